//! Structured metadata: the rewriting that Loki does at ingest, and a packed form.

use super::wire::Pair;
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// A pair after rewriting.
pub(super) type Clean<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Rewrites names and values as Loki 3.4.2 does (`pkg/distributor/distributor.go`).
pub(super) fn clean(pair: &Pair) -> Clean<'_> {
    (clean_name(&pair.name), clean_value(&pair.value))
}

/// Characters that are neither letters nor digits become `_`; a leading digit gets `key_` before it and a single
/// leading `_` gets `key`.
fn clean_name(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    let legal = |c: char| c == '_' || c.is_alphanumeric();
    let single = text.starts_with('_') && !text.starts_with("__");
    if !single && text.chars().all(legal) && !text.starts_with(char::is_numeric) {
        return text;
    }
    let before = if single {
        "key"
    } else if text.starts_with(char::is_numeric) {
        "key_"
    } else {
        ""
    };
    before.chars().chain(text.chars().map(|c| if legal(c) { c } else { '_' })).collect::<String>().into()
}

/// U+FFFD and every byte that is not UTF-8 become a space.
fn clean_value(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\u{fffd}') => text.into(),
        _ => {
            let mut text = String::with_capacity(value.len());
            for chunk in value.utf8_chunks() {
                text.push_str(&chunk.valid().replace('\u{fffd}', " "));
                text.extend(chunk.invalid().iter().map(|_| ' '));
            }
            text.into()
        }
    }
}

/// The names of metadata that have occurred, so that an entry holds a number instead of a name.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Memory ends long before the numbers do.
        let number = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// Appends the pairs to `data`: for each the name's number, the value's length, the value.
    pub(super) fn pack<'a>(&mut self, pairs: impl Iterator<Item = Clean<'a>>, data: &mut Vec<u8>) {
        for (name, value) in pairs {
            put_varint(u64::from(self.number(&name)), data);
            put_varint(value.len() as u64, data);
            data.extend_from_slice(value.as_bytes());
        }
    }

    /// The pairs in what [`Names::pack`] wrote.
    pub(super) fn unpack(&self, mut data: &[u8]) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        while let Some((name, value)) = self.next(&mut data) {
            pairs.push((name.to_owned(), value));
        }
        pairs
    }

    fn next(&self, data: &mut &[u8]) -> Option<(&str, String)> {
        let name = self.names.get(usize::try_from(get_varint(data)?).ok()?)?;
        let len = usize::try_from(get_varint(data)?).ok()?;
        let (value, rest) = data.split_at_checked(len)?;
        *data = rest;
        Some((name, String::from_utf8_lossy(value).into_owned()))
    }
}

fn put_varint(number: u64, data: &mut Vec<u8>) {
    prost::encoding::encode_varint(number, data);
}

fn get_varint(data: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(data).ok()
}
