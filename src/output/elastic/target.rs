//! Where documents go: an index named after their time, or a data stream.

use crate::{
    model::{Nanos, Sink},
    output::text::{Civil, Small, put_digits},
};

#[cfg(test)]
mod tests;

/// The longest name of an index, in bytes (Elasticsearch `MetadataCreateIndexService.MAX_INDEX_NAME_BYTES`).
const MAX_NAME: usize = 255;

/// How far before now an event may lie that chooses an index: five years.
const MAX_AGE: i64 = 5 * 36_525 * 864 * Nanos::SECOND;

/// How far after now: a day.
const MAX_AHEAD: i64 = 86_400 * Nanos::SECOND;

/// Where documents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Indices by the events' times. An `_id` is unique there, whenever and however often its record is sent.
    Index(Pattern),
    /// A data stream. An `_id` is unique in its newest backing index only.
    DataStream(Name),
}

/// A name of an index with parts of a date in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year,
    Month,
    Day,
}

/// A name of a data stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Pattern {
    /// Reads a pattern such as `audit-%Y.%m`. The error says what is allowed.
    ///
    /// Elasticsearch allows more characters, none of which helps anybody: those here need no escape in a URL and in
    /// JSON.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |what: &str| {
            format!(
                "{what} in {text:?}: a name of an index has a-z, 0-9, '.', '_', '-' and the date parts %Y, %m and %d, \
                 begins with a letter, a digit or a date part, and has at most {MAX_NAME} bytes"
            )
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (piece, len) = match first {
                '%' => match rest.get(..2) {
                    Some("%Y") => (Piece::Year, 2),
                    Some("%m") => (Piece::Month, 2),
                    Some("%d") => (Piece::Day, 2),
                    _ => {
                        return Err(wrong(&format!(
                            "unknown date part {:?}",
                            rest.chars().take(2).collect::<String>()
                        )));
                    }
                },
                _ => {
                    let len = rest.find('%').unwrap_or(rest.len());
                    (Piece::Text(rest[..len].to_owned()), len)
                }
            };
            if let Piece::Text(text) = &piece
                && let Some(bad) = text.chars().find(|c| !is_legal(*c))
            {
                return Err(wrong(&format!("{bad:?}")));
            }
            pieces.push(piece);
            rest = &rest[len..];
        }
        match pieces.first() {
            None => return Err(wrong("nothing")),
            Some(Piece::Text(text)) if text.starts_with(['.', '_', '-']) => return Err(wrong("bad beginning")),
            Some(_) => {}
        }
        let pattern = Pattern(pieces);
        let mut name = Vec::new();
        pattern.put(&mut name, Civil::of(Nanos(0)));
        if name.len() > MAX_NAME { Err(wrong("too many bytes")) } else { Ok(pattern) }
    }

    /// Appends the name that belongs to this date.
    pub(super) fn put(&self, out: &mut impl Sink, date: Civil) {
        for piece in &self.0 {
            let (value, count) = match piece {
                Piece::Text(text) => {
                    out.put(text.as_bytes());
                    continue;
                }
                Piece::Year => (u32::from(date.year), 4),
                Piece::Month => (u32::from(date.month), 2),
                Piece::Day => (u32::from(date.day), 2),
            };
            let mut digits = Small::<4>::new();
            put_digits(&mut digits, value, count);
            out.put(digits.bytes());
        }
    }

    /// All names that it can make, as a search takes them.
    fn wildcard(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Year | Piece::Month | Piece::Day => "*".to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

impl Name {
    /// Reads a name of a data stream. The error says what is allowed.
    pub fn parse(text: &str) -> Result<Name, String> {
        let is_wrong = text.is_empty()
            || text.len() > MAX_NAME
            || text.starts_with(['.', '_', '-'])
            || !text.chars().all(is_legal);
        if is_wrong {
            return Err(format!(
                "{text:?}: a name of a data stream has a-z, 0-9, '.', '_' and '-', begins with a letter or a digit, and \
                 has at most {MAX_NAME} bytes"
            ));
        }
        Ok(Name(text.to_owned()))
    }
}

impl Target {
    /// Appends the name of the index or the data stream of a document. `seen`: of its file.
    pub(super) fn put(&self, out: &mut impl Sink, time: Nanos, seen: Nanos, now: Nanos) {
        match self {
            Target::Index(pattern) => pattern.put(out, Civil::of(believable(time, seen, now))),
            Target::DataStream(Name(name)) => out.put(name.as_bytes()),
        }
    }

    /// All of it, as the path of a search names it.
    pub(super) fn path(&self) -> String {
        match self {
            Target::Index(pattern) => pattern.wildcard(),
            Target::DataStream(Name(name)) => name.clone(),
        }
    }
}

/// The time that chooses an index: the event's, or that of the file's first sight when the event's is more than five
/// years in the past or more than a day ahead. A clock that went wrong must not make an index for every day of 1998.
fn believable(time: Nanos, seen: Nanos, now: Nanos) -> Nanos {
    let allowed = now.0.saturating_sub(MAX_AGE)..=now.0.saturating_add(MAX_AHEAD);
    if allowed.contains(&time.0) { time } else { seen }
}

fn is_legal(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-')
}
