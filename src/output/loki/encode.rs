//! Protobuf of Loki's `pkg/push/push.proto`, written straight into the body buffer.
//!
//! Every byte is what prost would write for the same message: fields in the order of their numbers, zero values
//! left out. Lengths are computed first, so an entry is never moved or patched after it is written.

use crate::{
    model::{LabelSet, Marks, Nanos, Origin, Part, Record, Sink},
    output::{
        FileHead, container,
        text::{Decimal, Small, put_base64, put_hex},
    },
};
use std::fmt::Write as _;

#[cfg(test)]
mod tests;

/// The longest line that Loki takes by default (`max_line_size`, 256 KB); counted on the line alone.
pub const MAX_LINE: usize = 262_144;

/// The longest body that fits a line even in base64. Longer ones are cut into parts before they get here.
pub const MAX_PART: usize = MAX_LINE / 4 * 3;

/// The longest value of structured metadata that is sent; the host and the path are cut to it.
const MAX_VALUE: usize = 2048;

/// What is the same in every entry of a file, encoded once: `auditship_file`, `auditship_host`, `auditship_path`, and
/// what is known of its container. Texts are cut to 2,048 bytes at a character's end: Loki bounds the metadata of an
/// entry.
pub fn file_metadata(origin: &Origin) -> Vec<u8> {
    let mut bytes = Vec::new();
    long_pair(&mut bytes, "auditship_file", &origin.name.hex());
    long_pair(&mut bytes, "auditship_host", shortened(&origin.host).as_bytes());
    long_pair(&mut bytes, "auditship_path", shortened(&origin.path).as_bytes());
    if let Some(container) = &origin.container {
        container::fields(container, |name, value| long_pair(&mut bytes, name, shortened(value).as_bytes()));
    }
    bytes
}

/// Appends one entry of a stream to `out`: tag, length, timestamp, line, structured metadata.
///
/// A line that is not UTF-8 goes as standard base64 of the body, and `auditship_encoding` says so: Loki stores any
/// bytes, but its JSON answers would turn the bad ones into U+FFFD.
pub fn entry(out: &mut impl Sink, record: &Record<'_>, file: &FileHead) {
    let time = timestamp(record.time);
    let line = line_len(record);
    let metadata = record_metadata(record);
    let mut head = Small::<48>::new();
    head.byte(STREAM_ENTRIES);
    head.varint(content_len(&time, line, file, &metadata) as u64);
    head.put(time.bytes());
    if line > 0 {
        head.byte(ENTRY_LINE);
        head.varint(line as u64);
    }
    out.put(head.bytes());
    if in_base64(record) {
        put_base64(out, record.body);
    } else {
        out.put(record.body);
    }
    out.put(&file.bytes);
    out.put(metadata.bytes());
}

/// The exact number of bytes that [`entry`] appends.
pub fn entry_len(record: &Record<'_>, file: &FileHead) -> usize {
    let content = content_len(&timestamp(record.time), line_len(record), file, &record_metadata(record));
    1 + varint_len(content as u64) + content
}

/// The bytes that go before `entries_len` bytes of entries to make a `PushRequest` of one stream.
pub fn envelope(labels: &[u8], entries_len: usize) -> Vec<u8> {
    let mut head = Small::<24>::new();
    let labels_len = if labels.is_empty() { 0 } else { 1 + varint_len(labels.len() as u64) + labels.len() };
    head.byte(REQUEST_STREAMS);
    head.varint((labels_len + entries_len) as u64);
    if !labels.is_empty() {
        head.byte(STREAM_LABELS);
        head.varint(labels.len() as u64);
    }
    [head.bytes(), labels].concat()
}

/// The stream's label string, in the one form that Loki itself prints: sorted, double-quoted, `{a="1", b="2"}`.
///
/// Read by PromQL's lexer (`promql/parser/lex.go`). It takes Go's escapes, ends a string at a raw newline, and
/// takes a raw U+FFFD for bad UTF-8, which would refuse the whole request; so that one is escaped too.
pub fn labels(set: &LabelSet) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in set.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{FFFD}' => text.push_str("\\ufffd"),
                // Writing to a String cannot fail.
                c if c.is_ascii_control() => _ = write!(text, "\\x{:02x}", u32::from(c)),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text.push('}');
    text
}

/// The length of an entry without its tag and length.
fn content_len(time: &Small<24>, line: usize, file: &FileHead, metadata: &Small<RECORD_METADATA>) -> usize {
    let line_field = if line > 0 { 1 + varint_len(line as u64) + line } else { 0 };
    time.bytes().len() + line_field + file.bytes.len() + metadata.bytes().len()
}

/// The timestamp's field. It is there even when both numbers are zero: without it Loki reads the year 1.
fn timestamp(time: Nanos) -> Small<24> {
    let mut value = Small::<20>::new();
    // Protobuf writes a negative int64 as its two's complement.
    value.number(TIMESTAMP_SECONDS, time.seconds() as u64);
    value.number(TIMESTAMP_NANOS, time.subsec() as u64);
    let mut field = Small::new();
    field.byte(ENTRY_TIMESTAMP);
    field.varint(value.bytes().len() as u64);
    field.put(value.bytes());
    field
}

/// The pairs of structured metadata that differ from record to record.
fn record_metadata(record: &Record<'_>) -> Small<RECORD_METADATA> {
    let mut out = Small::new();
    out.pair("auditship_seq", Decimal::new(record.seq).bytes());
    out.pair("auditship_offset", Decimal::new(record.offset).bytes());
    if !record.marks.is_none() || record.part.is_some() {
        unusual_metadata(&mut out, record.marks, record.part);
    }
    out
}

#[cold]
fn unusual_metadata(out: &mut Small<RECORD_METADATA>, marks: Marks, part: Option<Part>) {
    if !marks.is_none() {
        let mut names = Small::<64>::new();
        for name in marks.names() {
            if !names.bytes().is_empty() {
                names.byte(b',');
            }
            names.put(name.as_bytes());
        }
        out.pair("auditship_mark", names.bytes());
    }
    if let Some(part) = part {
        let number = Decimal::new(part.number.into());
        out.pair("auditship_part", number.bytes());
        if let Some(whole) = part.whole {
            out.pair("auditship_parts", number.bytes());
            let mut hex = Small::<64>::new();
            put_hex(&mut hex, &whole);
            out.pair("auditship_sha256", hex.bytes());
        }
    }
    if marks.has(Marks::INVALID_UTF8) {
        out.pair("auditship_encoding", b"base64");
    }
}

fn in_base64(record: &Record<'_>) -> bool {
    record.marks.has(Marks::INVALID_UTF8)
}

fn line_len(record: &Record<'_>) -> usize {
    if in_base64(record) { record.body.len().div_ceil(3) * 4 } else { record.body.len() }
}

/// Cut to [`MAX_VALUE`] bytes at a character's end.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE)]
}

/// A pair of any length, appended to a vector.
fn long_pair(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut head = Small::<40>::new();
    let value_len = if value.is_empty() { 0 } else { 1 + varint_len(value.len() as u64) + value.len() };
    head.byte(ENTRY_METADATA);
    head.varint((2 + name.len() + value_len) as u64);
    head.byte(PAIR_NAME);
    head.varint(name.len() as u64);
    head.put(name.as_bytes());
    if !value.is_empty() {
        head.byte(PAIR_VALUE);
        head.varint(value.len() as u64);
    }
    out.extend_from_slice(head.bytes());
    out.extend_from_slice(value);
}

fn varint_len(value: u64) -> usize {
    // Seven bits a byte, and one byte for zero.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Protobuf on the stack.
trait Protobuf {
    fn varint(&mut self, value: u64);
    fn number(&mut self, tag: u8, value: u64);
    fn pair(&mut self, name: &str, value: &[u8]);
}

impl<const N: usize> Protobuf for Small<N> {
    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits.
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// A varint field; zero is left out.
    fn number(&mut self, tag: u8, value: u64) {
        if value != 0 {
            self.byte(tag);
            self.varint(value);
        }
    }

    /// A pair whose name and value together are short enough that all lengths are one byte.
    #[inline]
    fn pair(&mut self, name: &str, value: &[u8]) {
        debug_assert!(!value.is_empty() && 4 + name.len() + value.len() < 0x80);
        self.put(&[ENTRY_METADATA, (4 + name.len() + value.len()) as u8, PAIR_NAME, name.len() as u8]);
        self.put(name.as_bytes());
        self.put(&[PAIR_VALUE, value.len() as u8]);
        self.put(value);
    }
}

/// Room for all pairs that a record can have: 309 bytes with today's marks.
const RECORD_METADATA: usize = 384;

// Tags: the field's number times eight, plus 2 for bytes and messages or 0 for varints.
const REQUEST_STREAMS: u8 = 0x0a;
const STREAM_LABELS: u8 = 0x0a;
const STREAM_ENTRIES: u8 = 0x12;
const ENTRY_TIMESTAMP: u8 = 0x0a;
const ENTRY_LINE: u8 = 0x12;
const ENTRY_METADATA: u8 = 0x1a;
const TIMESTAMP_SECONDS: u8 = 0x08;
const TIMESTAMP_NANOS: u8 = 0x10;
const PAIR_NAME: u8 = 0x0a;
const PAIR_VALUE: u8 = 0x12;
