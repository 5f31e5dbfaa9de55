//! Event envelopes, written straight into the body buffer.
//!
//! An envelope has the seven keys that HEC knows and no other: at an unknown one it answers 200 and stores nothing from
//! there on (Splunk Enterprise 10.4.3). `event` comes last, so that it can be replaced without a look at the rest.
//!
//! ```text
//! {"time":…,"host":…,"source":…,"sourcetype":…,"index":…,"fields":{…},"event":…}
//! ```
//!
//! Four shapes of `event` tell exactly which bytes the line had, see [`Shape`]:
//!
//! | the line | `event` | in `fields` |
//! |---|---|---|
//! | a JSON object | the object, its bytes as they are | |
//! | any other text, parts of long lines too | a string | `auditship_form` = `string` |
//! | text that HEC finds blank and refuses | `{"auditship_body":"…"}` | `auditship_form` = `wrapped` |
//! | not UTF-8 | a string of standard base64 | `auditship_encoding` = `base64` |
//!
//! Times before 1970 are negative decimals. They are the truth about the record; whether HEC takes them is not known. If
//! it does not, it says so (code 15), and the record becomes a dead letter like any other that is refused.

use super::Splunk;
use crate::{
    model::{LabelSet, Marks, Nanos, Origin, Part, Record, Sink},
    output::{
        FileHead, StreamHead, container,
        text::{Decimal, Small, put_base64, put_digits, put_escaped, put_hex, record_id},
    },
};

#[cfg(test)]
mod tests;

/// The longest line that is sent as one event, in bytes; a longer one travels in parts.
///
/// A byte of a line takes at most six in the body (`\u0001`), so an event is at most 786,432 bytes and its fields. That
/// is below 1,000,000, the least `max_content_length` that HEC was ever shipped with: any record can be sent alone.
/// Splunk itself reads no JSON at search time beyond a few kilobytes unless it is told to, so more would gain little.
pub const MAX_LINE: usize = 128 * 1024;

/// An object that nests deeper goes as a string. What HEC's parser takes is not documented.
const MAX_DEPTH: usize = 20;

/// The longest host, path or name of container metadata that is sent, in bytes.
const MAX_VALUE: usize = 2048;

/// Names that Splunk gives every event itself (its documentation's "default fields").
const RESERVED: [&str; 9] =
    ["host", "source", "sourcetype", "index", "splunk_server", "linecount", "punct", "timestamp", "time"];

/// How a line becomes an `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The line is a JSON object and stands there as it is.
    Object,
    /// The line is the text of a string.
    Text,
    /// The line is the text of a string in an object, because HEC refuses what is blank (code 13).
    Wrapped,
    /// The line is not UTF-8.
    Base64,
}

impl Shape {
    fn of(record: &Record<'_>) -> Shape {
        if is_object(record) {
            return Shape::Object;
        }
        match str::from_utf8(record.body) {
            Err(_) => Shape::Base64,
            Ok(text) if is_blank(text) => Shape::Wrapped,
            Ok(_) => Shape::Text,
        }
    }

    /// The last of the fields, and what comes before the line.
    pub(super) fn before(self) -> &'static [u8] {
        match self {
            Shape::Object => br#"},"event":"#,
            Shape::Text => br#","auditship_form":"string"},"event":""#,
            Shape::Wrapped => br#","auditship_form":"wrapped"},"event":{"auditship_body":""#,
            Shape::Base64 => br#","auditship_encoding":"base64"},"event":""#,
        }
    }

    /// What comes after the line.
    pub(super) fn after(self) -> &'static [u8] {
        match self {
            Shape::Object => b"}\n",
            Shape::Text | Shape::Base64 => b"\"}\n",
            Shape::Wrapped => b"\"}}\n",
        }
    }

    /// Appends the end of an envelope, from the last of the fields on.
    pub(super) fn put(self, out: &mut impl Sink, body: &[u8]) {
        out.put(self.before());
        match self {
            Shape::Object => out.put(body),
            Shape::Text | Shape::Wrapped => put_escaped(out, body),
            Shape::Base64 => put_base64(out, body),
        }
        out.put(self.after());
    }
}

impl Splunk {
    /// What is the same in every envelope of a file: where it is from, where it goes, and the fields of the file. Texts
    /// are cut to 2,048 bytes at a character's end; what is empty is left out.
    pub fn file(&self, origin: &Origin) -> Vec<u8> {
        let mut out = Vec::new();
        pair(&mut out, "host", &origin.host);
        pair(&mut out, "source", &origin.path);
        pair(&mut out, "sourcetype", &self.sourcetype);
        pair(&mut out, "index", self.index.as_deref().unwrap_or_default());
        out.put(br#","fields":{"auditship_file":""#);
        out.put(&origin.name.hex());
        out.put(b"\"");
        if let Some(container) = &origin.container {
            container::fields(container, |name, value| pair(&mut out, name, value));
        }
        out
    }

    /// What is the same in every envelope of a stream: its labels, as fields.
    ///
    /// A label whose name would hide one of Splunk's own fields or of auditship's is called `label_…`; so is one that is
    /// called that already, so that no two become one.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        let mut bytes = Vec::new();
        for (name, value) in labels.iter() {
            let is_taken = RESERVED.contains(&name);
            let is_taken = is_taken || ["_", "auditship_", "label_"].iter().any(|start| name.starts_with(start));
            if is_taken { pair(&mut bytes, &format!("label_{name}"), value) } else { pair(&mut bytes, name, value) }
        }
        StreamHead { bytes, ..StreamHead::default() }
    }
}

/// `,"name":"value"`, unless the value is empty: HEC's documentation says nothing of empty ones.
fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        out.put(b",\"");
        out.put(name.as_bytes());
        out.put(b"\":\"");
        put_escaped(out, &value.as_bytes()[..value.floor_char_boundary(MAX_VALUE)]);
        out.put(b"\"");
    }
}

/// Appends one envelope and a newline to `out`.
pub fn event(out: &mut impl Sink, record: &Record<'_>, file: &FileHead, stream: &StreamHead) {
    out.put(b"{\"time\":");
    out.put(seconds(record.time).bytes());
    out.put(&file.bytes);
    out.put(&stream.bytes);
    out.put(identity(record, file).bytes());
    if !record.marks.is_none() || record.part.is_some() {
        unusual(out, record.marks, record.part);
    }
    Shape::of(record).put(out, record.body);
}

/// A time in seconds since 1970, with nine decimals. HEC refuses scientific notation (code 15), and an `f64` cannot hold
/// nanoseconds.
pub(super) fn seconds(time: Nanos) -> Small<24> {
    let mut out = Small::new();
    if time.0 < 0 {
        out.byte(b'-');
    }
    let (size, second) = (time.0.unsigned_abs(), Nanos::SECOND.unsigned_abs());
    out.put(Decimal::new(size / second).bytes());
    out.byte(b'.');
    // A remainder of a division by 10^9 fits.
    put_digits(&mut out, (size % second) as u32, 9);
    out
}

/// Which record of which file it is.
fn identity(record: &Record<'_>, file: &FileHead) -> Small<IDENTITY> {
    let mut out = Small::new();
    out.put(br#","auditship_seq":""#);
    out.put(Decimal::new(record.seq).bytes());
    out.put(br#"","auditship_offset":""#);
    out.put(Decimal::new(record.offset).bytes());
    out.put(br#"","auditship_id":""#);
    out.put(record_id(file.name, record.offset, &record.leaf).bytes());
    out.byte(b'"');
    out
}

/// Room for the longest of them: 153 bytes.
const IDENTITY: usize = 160;

#[cold]
fn unusual(out: &mut impl Sink, marks: Marks, part: Option<Part>) {
    for (nth, name) in marks.names().enumerate() {
        out.put(if nth == 0 { br#","auditship_mark":""# } else { b"," });
        out.put(name.as_bytes());
    }
    if !marks.is_none() {
        out.put(b"\"");
    }
    if let Some(part) = part {
        let number = Decimal::new(part.number.into());
        out.put(br#","auditship_part":""#);
        out.put(number.bytes());
        if let Some(whole) = part.whole {
            out.put(br#"","auditship_parts":""#);
            out.put(number.bytes());
            out.put(br#"","auditship_sha256":""#);
            put_hex(out, &whole);
        }
        out.put(b"\"");
    }
}

/// Whether the line can stand there as it is: a JSON object with something in it, whose first and last bytes are its
/// braces. White space around it, such as the `\r` of a Windows line, would be lost between `event` and its value.
fn is_object(record: &Record<'_>) -> bool {
    let is_json = record.part.is_none() && (record.marks.is_none() || record.marks == Marks::UNTERMINATED);
    let [b'{', inside @ .., b'}'] = record.body else { return false };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    is_json && !inside.iter().all(is_space) && !is_deep(record.body)
}

/// Whether there is nothing to see in it. HEC refuses `""` and white space; what it counts as white space is not
/// documented, so all that might be counts here.
#[cold]
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

/// Whether JSON nests more than [`MAX_DEPTH`] levels.
fn is_deep(json: &[u8]) -> bool {
    // It takes as many brackets, whether they are in strings or not; few lines have them.
    memchr::memchr2_iter(b'{', b'[', json).nth(MAX_DEPTH).is_some() && is_deep_slow(json)
}

#[cold]
fn is_deep_slow(json: &[u8]) -> bool {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}
