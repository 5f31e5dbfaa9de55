//! Label sets and the string that carries them: `{name="value", …}`, the syntax of a PromQL metric.

use std::{collections::BTreeMap, fmt};

/// The labels of a stream, by name, without empty values (Loki drops those). A name may still occur twice: that is
/// found later, per stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels(Vec<(String, String)>);

/// The label that Loki adds to a stream that has none.
const SERVICE_NAME: &str = "service_name";

/// Where the value of `service_name` is looked for, in this order (Loki 3.4.2 `pkg/validation/limits.go`,
/// `discover_service_name`).
const SERVICE_NAME_FROM: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

impl Labels {
    /// Reads a label string. A metric name before the brace, which PromQL allows, is refused here.
    pub(super) fn parse(text: &[u8]) -> Result<Labels, String> {
        let text = std::str::from_utf8(text).map_err(|_| "parse error: invalid UTF-8 rune".to_owned())?;
        let mut lexer = Lexer::new(text);
        lexer.expect("{")?;
        let mut pairs = Vec::new();
        while !lexer.take("}") {
            let name = lexer.name()?;
            lexer.expect("=")?;
            pairs.push((name.to_owned(), lexer.string()?));
            if !lexer.take(",") {
                lexer.expect("}")?;
                break;
            }
        }
        lexer.end()?;
        Ok(Labels::new(pairs))
    }

    /// Sorts by name and drops empty values.
    fn new(mut pairs: Vec<(String, String)>) -> Labels {
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        Labels(pairs)
    }

    /// Adds `service_name` if it is missing, as Loki does by default.
    #[must_use]
    pub(super) fn with_service_name(mut self) -> Labels {
        if self.get(SERVICE_NAME).is_none() {
            let found = SERVICE_NAME_FROM.iter().find_map(|name| self.get(name));
            let value = found.unwrap_or("unknown_service").to_owned();
            let at = self.0.partition_point(|(name, _)| name.as_str() < SERVICE_NAME);
            self.0.insert(at, (SERVICE_NAME.to_owned(), value));
        }
        self
    }

    /// The value of a label.
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// Name and value, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many labels count towards the limit: `service_name` does not.
    pub(super) fn counted(&self) -> usize {
        self.0.len() - usize::from(self.get(SERVICE_NAME).is_some())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a map, for those who look at what is stored.
    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().cloned().collect()
    }
}

/// The canonical label string, which names the stream.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", Quoted(value))?;
        }
        f.write_str("}")
    }
}

/// A string in double quotes with Go's escapes, so that the lexer below reads it back.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if u32::from(c) < 0x80 && c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Reads the tokens that label strings and LogQL selectors have in common.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// A byte offset in `text`, always at the start of a character.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    /// What is left after white space.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest
    }

    /// An error that names the place.
    pub(super) fn error(&self, text: &str) -> String {
        format!("parse error at line 1, col {}: {text}", self.at + 1)
    }

    /// Takes `token` if it is next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes `token`; anything else is an error.
    pub(super) fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.error(&format!("syntax error: expected {token:?}"))) }
    }

    /// Whether all is read.
    pub(super) fn is_done(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Anything that is left is an error.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.is_done() { Ok(()) } else { Err(self.error("syntax error: unexpected text after the end")) }
    }

    /// A label name.
    pub(super) fn name(&mut self) -> Result<&'a str, String> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if len == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return Err(self.error("syntax error: expected a label name"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// A string in double, single or back quotes.
    pub(super) fn string(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let quote = match rest.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.error("syntax error: expected a quoted string")),
        };
        let body = &rest[1..];
        self.at += 1;
        if quote == '`' {
            let Some(len) = body.find('`') else {
                return Err(self.error("unterminated raw string"));
            };
            self.at += len + 1;
            // As in Go, carriage returns do not belong to a raw string.
            return Ok(body[..len].replace('\r', ""));
        }
        // Bytes, because an escape can stand for one byte of a character.
        let mut value = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            match rest.chars().next() {
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(c) if c == quote => {
                    self.at += 1;
                    return Ok(String::from_utf8(value)
                        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()));
                }
                Some('\\') => self.escape(quote, &mut value)?,
                Some(c) => {
                    value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// One of Go's escapes, at the backslash.
    fn escape(&mut self, quote: char, value: &mut Vec<u8>) -> Result<(), String> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let simple = |byte: u8| Some((vec![byte], 1));
        let digits = |from: usize, count: usize, radix: u32| {
            let digits = rest.get(from..from + count)?;
            // Checked one by one, because the conversion would take a sign.
            let legal = digits.iter().all(|b| char::from(*b).is_digit(radix));
            let number = legal.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok());
            number.flatten().map(|number| (number, from + count))
        };
        let byte = |found: Option<(u32, usize)>| {
            found.and_then(|(number, len)| Some((vec![u8::try_from(number).ok()?], len)))
        };
        let rune = |found: Option<(u32, usize)>| {
            found.and_then(|(number, len)| Some((char::from_u32(number)?.to_string().into_bytes(), len)))
        };
        let read = match rest.first() {
            Some(b'a') => simple(7),
            Some(b'b') => simple(8),
            Some(b'f') => simple(12),
            Some(b'n') => simple(b'\n'),
            Some(b'r') => simple(b'\r'),
            Some(b't') => simple(b'\t'),
            Some(b'v') => simple(11),
            Some(b'\\') => simple(b'\\'),
            Some(c) if char::from(*c) == quote => simple(*c),
            Some(b'0'..=b'7') => byte(digits(0, 3, 8)),
            Some(b'x') => byte(digits(1, 2, 16)),
            Some(b'u') => rune(digits(1, 4, 16)),
            Some(b'U') => rune(digits(1, 8, 16)),
            _ => None,
        };
        let Some((bytes, len)) = read else {
            return Err(self.error("unknown escape sequence"));
        };
        value.extend_from_slice(&bytes);
        self.at += 1 + len;
        Ok(())
    }
}
