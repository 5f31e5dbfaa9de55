//! The part of LogQL that is answered: a stream selector and line filters.

use super::labels::{Labels, Lexer};
use regex::bytes::Regex as ByteRegex;

/// `{app="x", env=~"a|b"} |= "text"`
#[derive(Debug)]
pub(super) struct Selector {
    matchers: Vec<Matcher>,
    filters: Vec<Filter>,
}

/// A condition on one label. A label that is absent has the empty value.
#[derive(Debug)]
struct Matcher {
    name: String,
    test: Test,
    /// The result of `test` that is wanted.
    wanted: bool,
}

/// A condition on the line.
#[derive(Debug)]
struct Filter {
    test: Test,
    /// The result of `test` that is wanted.
    wanted: bool,
}

#[derive(Debug)]
enum Test {
    /// Equal, for a label; contained, for a line.
    Text(String),
    /// For a label anchored at both ends.
    Pattern(ByteRegex),
}

impl Matcher {
    fn accepts(&self, value: &str) -> bool {
        self.wanted
            == match &self.test {
                Test::Text(text) => text == value,
                Test::Pattern(pattern) => pattern.is_match(value.as_bytes()),
            }
    }
}

impl Selector {
    /// Reads a query. Metric queries, parsers and label filters are errors.
    pub(super) fn parse(query: &str) -> Result<Selector, String> {
        let mut lexer = Lexer::new(query);
        let matchers = matchers(&mut lexer)?;
        if matchers.iter().all(|matcher| matcher.accepts("")) {
            return Err("parse error : queries require at least one regexp or equality matcher that does not have \
                        an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
                        app=~\".+\" will"
                .to_owned());
        }
        let mut filters = Vec::new();
        while !lexer.is_done() {
            let (pattern, wanted) = match () {
                () if lexer.take("|=") => (false, true),
                () if lexer.take("!=") => (false, false),
                () if lexer.take("|~") => (true, true),
                () if lexer.take("!~") => (true, false),
                () => return Err(lexer.error("syntax error: expected a line filter (|=, !=, |~ or !~)")),
            };
            let text = lexer.string()?;
            let test = if pattern { Test::Pattern(compile(&text)?) } else { Test::Text(text) };
            filters.push(Filter { test, wanted });
        }
        Ok(Selector { matchers, filters })
    }

    /// Whether a stream is meant.
    pub(super) fn accepts(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = labels.iter().find(|(name, _)| *name == matcher.name).map_or("", |(_, value)| value);
            matcher.accepts(value)
        })
    }

    /// Whether a line passes the filters.
    pub(super) fn passes(&self, line: &[u8]) -> bool {
        self.filters.iter().all(|filter| {
            filter.wanted
                == match &filter.test {
                    Test::Text(text) => memchr::memmem::find(line, text.as_bytes()).is_some(),
                    Test::Pattern(pattern) => pattern.is_match(line),
                }
        })
    }
}

fn matchers(lexer: &mut Lexer<'_>) -> Result<Vec<Matcher>, String> {
    lexer.expect("{")?;
    let mut matchers = Vec::new();
    while !lexer.take("}") {
        let name = lexer.name()?.to_owned();
        // The longer tokens first: "=" also begins "=~".
        let (pattern, wanted) = match () {
            () if lexer.take("=~") => (true, true),
            () if lexer.take("!~") => (true, false),
            () if lexer.take("!=") => (false, false),
            () if lexer.take("=") => (false, true),
            () => return Err(lexer.error("syntax error: expected =, !=, =~ or !~")),
        };
        let text = lexer.string()?;
        let test = if pattern { Test::Pattern(compile(&format!("^(?s:{text})$"))?) } else { Test::Text(text) };
        matchers.push(Matcher { name, test, wanted });
        if !lexer.take(",") {
            lexer.expect("}")?;
            break;
        }
    }
    Ok(matchers)
}

fn compile(pattern: &str) -> Result<ByteRegex, String> {
    ByteRegex::new(pattern).map_err(|e| format!("parse error : error parsing regexp: {e}"))
}
