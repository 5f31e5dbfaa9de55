//! Which lines are put into a document as the objects that they are.
//!
//! A line that Elasticsearch would refuse as an object is known here before it is sent, because one such document can
//! refuse a whole request: with an ingest pipeline, duplicate keys in one of them did
//! (<https://github.com/elastic/elasticsearch/issues/138445>). It then travels as text alone. Nothing is allocated.

use memchr::{memchr, memchr2};

#[cfg(test)]
mod tests;

/// The deepest nesting, of objects and arrays: `depth_limit` of a `flattened` field, which counts the objects.
const MAX_DEPTH: usize = 20;

/// The most keys of the objects that are open at one time.
const MAX_KEYS: usize = 256;

/// The longest number, in bytes; with [`MAX_EXPONENT`] it is below the largest that readers take.
const MAX_NUMBER: usize = 200;

/// The most digits of an exponent.
const MAX_EXPONENT: usize = 2;

/// Whether `body`, which is known to be a JSON object in UTF-8, may be put into a document as it is. Not when it has
///
/// - a newline, which ends a document in a request;
/// - equal keys in one object, or a key with an escape, which may be equal to another one;
/// - more than 20 levels, or more than 256 keys at a time: too many to compare;
/// - numbers or halves of surrogate pairs that some readers of JSON do not take.
///
/// Whatever `body` is, brackets that are not its own are not closed by it, so that it stays inside of its document.
pub(super) fn may_be_spliced(body: &[u8]) -> bool {
    memchr(b'\n', body).is_none() && Scan::new(body).run().is_some()
}

/// An object or an array that is open.
#[derive(Clone, Copy, Default)]
struct Level {
    is_object: bool,
    /// Where its keys begin in [`Scan::keys`].
    keys: usize,
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    levels: [Level; MAX_DEPTH],
    depth: usize,
    /// Where the keys of the open objects begin, and how long they are. A line is far shorter than 4 GiB.
    keys: [(u32, u32); MAX_KEYS],
    count: usize,
    /// Whether the next string is a key.
    is_key: bool,
}

impl<'a> Scan<'a> {
    fn new(body: &'a [u8]) -> Self {
        let (levels, keys) = ([Level::default(); MAX_DEPTH], [(0, 0); MAX_KEYS]);
        Scan { body, at: 0, levels, depth: 0, keys, count: 0, is_key: false }
    }

    /// Reads all of it. Nothing: it may not be spliced.
    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.body.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => self.string()?,
                b'{' | b'[' => self.open(*byte == b'{')?,
                b'}' | b']' => {
                    self.close(*byte == b'}')?;
                    if self.depth == 0 {
                        return self.body[self.at..].iter().all(u8::is_ascii_whitespace).then_some(());
                    }
                }
                b',' => self.is_key = self.depth > 0 && self.levels[self.depth - 1].is_object,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => {}
            }
        }
        None
    }

    fn open(&mut self, is_object: bool) -> Option<()> {
        // The outermost is an object.
        if self.depth == 0 && !is_object {
            return None;
        }
        *self.levels.get_mut(self.depth)? = Level { is_object, keys: self.count };
        self.depth += 1;
        self.is_key = is_object;
        Some(())
    }

    fn close(&mut self, is_object: bool) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        let level = self.levels[self.depth];
        self.count = level.keys;
        (level.is_object == is_object).then_some(())
    }

    /// After the opening quote.
    fn string(&mut self) -> Option<()> {
        let start = self.at;
        loop {
            self.at += memchr2(b'"', b'\\', &self.body[self.at..])?;
            if self.body[self.at] == b'"' {
                break;
            }
            self.escape()?;
        }
        let end = self.at;
        self.at += 1;
        if self.is_key { self.key(start, end) } else { Some(()) }
    }

    /// At a backslash.
    fn escape(&mut self) -> Option<()> {
        if self.is_key {
            return None;
        }
        let is_pair = match surrogate(self.body.get(self.at..)?) {
            None => false,
            Some(Half::High) if surrogate(self.body.get(self.at + 6..)?) == Some(Half::Low) => true,
            Some(_) => return None,
        };
        self.at += if is_pair { 12 } else { 2 };
        (self.at <= self.body.len()).then_some(())
    }

    fn key(&mut self, start: usize, end: usize) -> Option<()> {
        self.is_key = false;
        let key = &self.body[start..end];
        let level = self.depth.checked_sub(1).map(|top| self.levels[top])?;
        let is_same = |(at, len): &(u32, u32)| {
            *len as usize == key.len() && &self.body[*at as usize..*at as usize + key.len()] == key
        };
        if self.keys[level.keys..self.count].iter().any(is_same) {
            return None;
        }
        *self.keys.get_mut(self.count)? = (start as u32, key.len() as u32);
        self.count += 1;
        Some(())
    }

    /// After the first character of a number.
    fn number(&mut self) -> Option<()> {
        let rest = &self.body[self.at..];
        let is_more = |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let number = &rest[..rest.iter().take_while(is_more).count()];
        self.at += number.len();
        let exponent = memchr2(b'e', b'E', number).map_or(&[][..], |at| &number[at + 1..]);
        let digits = exponent.iter().filter(|byte| byte.is_ascii_digit()).count();
        (number.len() < MAX_NUMBER && digits <= MAX_EXPONENT).then_some(())
    }
}

/// Half of a surrogate pair.
#[derive(PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// Which half the escape at the beginning of `text` is, if it is one.
fn surrogate(text: &[u8]) -> Option<Half> {
    match text {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => Some(Half::High),
        [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => Some(Half::Low),
        _ => None,
    }
}
