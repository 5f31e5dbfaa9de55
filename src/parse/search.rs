//! Walks a line with serde_json and keeps the wanted values.
//!
//! serde_json checks every value as one to be ignored; a wanted value is then cut out of the line at the place where
//! its key ended. So a number keeps its digits, a value that is not UTF-8 hides no other, and no value has to be
//! built. A key without escapes is borrowed from the line, which tells its place. After a key with escapes the place
//! is found by walking on from the last one that is known.

use super::{
    MAX_FIELDS,
    wanted::{Key, TIME, Wanted},
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::{borrow::Cow, fmt, str};

/// What a line has.
pub(super) struct Found<'a> {
    pub(super) fields: [Option<Cow<'a, str>>; MAX_FIELDS],
    /// The text of the time.
    pub(super) time: Option<Cow<'a, str>>,
    /// Whether the line is one JSON object, and nothing after it.
    pub(super) complete: bool,
}

/// `text` is `body` when all of it is UTF-8.
pub(super) fn search<'a>(wanted: &Wanted, body: &'a [u8], text: Option<&'a str>) -> Found<'a> {
    let found = Found { fields: [const { None }; MAX_FIELDS], time: None, complete: false };
    let mut search = Search { wanted, body, text, ranks: [usize::MAX; MAX_FIELDS + 1], found };
    // The position is only used once serde_json has seen the brace.
    let inside = body.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
    let object = Object { search: &mut search, node: Wanted::ROOT, inside };
    let complete = match text {
        Some(text) => walk(serde_json::Deserializer::from_str(text), object),
        None => walk(serde_json::Deserializer::from_slice(body), object),
    };
    search.found.complete = complete;
    search.found
}

fn walk<'a, R: serde_json::de::Read<'a>>(mut json: serde_json::Deserializer<R>, object: Object<'_, '_, 'a>) -> bool {
    object.deserialize(&mut json).and_then(|()| json.end()).is_ok()
}

struct Search<'w, 'a> {
    wanted: &'w Wanted,
    body: &'a [u8],
    text: Option<&'a str>,
    /// The rank of what was found, per slot.
    ranks: [usize; MAX_FIELDS + 1],
    found: Found<'a>,
}

impl<'a> Search<'_, 'a> {
    /// Takes the value at `start` for those who prefer it to what they have.
    fn offer(&mut self, key: &Key, start: usize) {
        if key.takers.iter().all(|taker| taker.rank > self.ranks[taker.slot]) {
            return;
        }
        let Some(value) = self.value(start) else { return };
        for taker in &key.takers {
            if taker.rank <= self.ranks[taker.slot] {
                self.ranks[taker.slot] = taker.rank;
                let place = match taker.slot {
                    TIME => &mut self.found.time,
                    slot => &mut self.found.fields[slot],
                };
                *place = Some(value.clone());
            }
        }
    }

    /// The text of the value that begins at `start` and that serde_json has checked; `None` when it counts as
    /// absent.
    fn value(&self, start: usize) -> Option<Cow<'a, str>> {
        match self.body.get(start)? {
            b'"' => {
                let (end, escapes) = string_end(self.body, start)?;
                if escapes {
                    return serde_json::from_slice::<String>(self.body.get(start..=end)?).ok().map(Cow::Owned);
                }
                self.slice(start + 1, end).filter(|text| !text.is_empty()).map(Cow::Borrowed)
            }
            b't' => Some(Cow::Borrowed("true")),
            b'f' => Some(Cow::Borrowed("false")),
            b'-' | b'0'..=b'9' => {
                let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
                // Without a byte after it, its own last bytes may be missing too.
                let len = self.body.get(start..)?.iter().position(|byte| !in_number(byte))?;
                self.slice(start, start + len).map(Cow::Borrowed)
            }
            _ => None,
        }
    }

    fn slice(&self, start: usize, end: usize) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(start..end),
            None => str::from_utf8(self.body.get(start..end)?).ok(),
        }
    }
}

/// One object of the line: the line itself, or one that a dotted name reaches into.
struct Object<'s, 'w, 'a> {
    search: &'s mut Search<'w, 'a>,
    node: usize,
    /// The position after its brace.
    inside: usize,
}

impl<'a> DeserializeSeed<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Object { search, node, inside } = self;
        let wanted = search.wanted;
        // A position before the colon of the current key, and the commas between them.
        let mut known = inside;
        let mut commas = 0;
        while let Some((key, place)) = map.next_key_seed(Name { wanted, node, text: search.text.is_some() })? {
            if let Place::Borrowed(end) = place {
                // The key's address is inside the body: it was borrowed from there.
                known = end.wrapping_sub(search.body.as_ptr().addr()).saturating_add(1);
                commas = 0;
            }
            let value = key.and_then(|key| Some((key, value_start(search.body, &mut known, &mut commas)?)));
            commas += 1;
            let Some((key, start)) = value else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match key.inner {
                Some(node) if search.body.get(start) == Some(&b'{') => {
                    map.next_value_seed(Object { search: &mut *search, node, inside: start + 1 })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    search.offer(key, start);
                }
            }
        }
        Ok(())
    }
}

/// Where a key is.
enum Place {
    /// In the line; the address of its closing quote.
    Borrowed(usize),
    /// It has escapes and was put together elsewhere.
    Built,
}

/// Reads a key and looks it up.
struct Name<'w> {
    wanted: &'w Wanted,
    node: usize,
    /// Whether the line is UTF-8. In one that is not, keys are bytes, so that a bad one hides no other.
    text: bool,
}

impl<'w> Name<'w> {
    fn borrowed(&self, key: &[u8]) -> (Option<&'w Key>, Place) {
        (self.wanted.key(self.node, key), Place::Borrowed(key.as_ptr_range().end.addr()))
    }
}

impl<'a, 'w> DeserializeSeed<'a> for Name<'w> {
    type Value = (Option<&'w Key>, Place);

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.text { json.deserialize_str(self) } else { json.deserialize_bytes(self) }
    }
}

impl<'a, 'w> Visitor<'a> for Name<'w> {
    type Value = (Option<&'w Key>, Place);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(self.borrowed(key.as_bytes()))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        self.visit_bytes(key.as_bytes())
    }

    fn visit_borrowed_bytes<E: Error>(self, key: &'a [u8]) -> Result<Self::Value, E> {
        // serde_json checks this in strings only.
        if key.iter().any(|byte| *byte < b' ') {
            return Err(E::custom("a control character in a key"));
        }
        Ok(self.borrowed(key))
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok((self.wanted.key(self.node, key), Place::Built))
    }
}

/// The position of the value of the key whose colon is `commas` commas after `known`; both are moved up to that
/// colon, so that no byte is walked over twice.
fn value_start(body: &[u8], known: &mut usize, commas: &mut usize) -> Option<usize> {
    if *commas > 0 || body.get(*known) != Some(&b':') {
        *known = colon_slow(body, *known, *commas)?;
        *commas = 0;
    }
    let after = *known + 1;
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    Some(after + body.get(after..)?.iter().position(|byte| !space(byte))?)
}

/// Finds that colon. Up to there serde_json has checked the line.
#[cold]
fn colon_slow(body: &[u8], from: usize, mut commas: usize) -> Option<usize> {
    let mut at = from;
    let mut depth = 0_usize;
    loop {
        match body.get(at)? {
            b'"' => at = string_end(body, at)?.0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => commas = commas.checked_sub(1)?,
            b':' if depth == 0 && commas == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The position of the closing quote of the string that begins at `start`, and whether it has escapes.
fn string_end(body: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut at = start + 1;
    let mut escapes = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', body.get(at..)?)?;
        if body.get(at) == Some(&b'"') {
            return Some((at, escapes));
        }
        escapes = true;
        at += 2;
    }
}
