//! The configuration as written: a tree in which every value knows its place.

use std::{ops::Range, rc::Rc};
use toml::de::{DeTable, DeValue};

/// Where a key or a value is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The configuration as a whole.
    Whole,
    /// This byte of the file.
    Byte(usize),
    /// An environment variable, by its name as given.
    Variable(Rc<str>),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// Text of a variable. What it stands for depends on who asks.
    Raw(String),
    /// `None` when it needs more than 128 bits; then the text is all there is.
    Integer(Option<i128>, String),
    Flag(bool),
    /// Nothing here takes a float or a date; the name of the type and the text are for the message.
    Other(&'static str, String),
    List(Vec<Node>),
    Table(Table),
}

/// Entries in the order of the file; those that only the environment has follow by name.
pub(super) type Table = Rc<Vec<Entry>>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) node: Node,
}

/// A syntax error: the byte, where it is known, and the parser's words.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) byte: Option<usize>,
    pub(super) message: String,
}

impl From<toml::de::Error> for Syntax {
    // Not the error's own `Display`: it quotes the line, which may hold a secret.
    fn from(error: toml::de::Error) -> Self {
        Syntax { byte: error.span().map(|span| span.start), message: error.message().to_string() }
    }
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Table, Syntax> {
    let (entries, errors) = DeTable::parse_recoverable(text);
    // The parser looks at the structure before it looks into the values, so its first error need not come first.
    match errors.into_iter().min_by_key(|error| error.span().map(|span| span.start)) {
        Some(error) => Err(error.into()),
        None => Ok(table(entries.into_inner(), &|span| Place::Byte(span.start))),
    }
}

/// Reads one value in TOML's form out of a variable.
pub(super) fn parse_value(text: &str, variable: &Place) -> Result<Node, Syntax> {
    let value = DeValue::parse(text)?;
    Ok(Node { at: variable.clone(), value: convert(value.into_inner(), &|_| variable.clone()) })
}

fn table(entries: DeTable<'_>, place: &dyn Fn(Range<usize>) -> Place) -> Table {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (toml::Spanned<_>, toml::Spanned<DeValue<'_>>)| Entry {
        at: place(key.span()),
        name: std::borrow::Cow::<str>::into_owned(key.into_inner()),
        node: Node { at: place(value.span()), value: convert(value.into_inner(), place) },
    };
    Rc::new(entries.into_iter().map(entry).collect())
}

fn convert(value: DeValue<'_>, place: &dyn Fn(Range<usize>) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok(), number.to_string())
        }
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Float(number) => Value::Other("the number", number.to_string()),
        DeValue::Datetime(time) => Value::Other("the time", time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| Node { at: place(item.span()), value: convert(item.into_inner(), place) })
                .collect(),
        ),
        DeValue::Table(entries) => Value::Table(table(entries, place)),
    }
}
