//! Logs of Datadog's intake, written straight into the body buffer.
//!
//! A log is one object and a comma. Its keys are in an order in which all that is the same for a file lies together,
//! and all that is the same for a stream; readers of JSON do not mind:
//!
//! ```text
//! {"hostname":…,"auditship.file":…,"auditship.path":…,container    of the file
//!   ,"auditship.id":…,"auditship.seq":…, and so on                 of the record
//!   ,"auditship.labels.NAME":…,"ddsource":…,"ddtags":…             of the stream
//!   ,"timestamp":…,"message":…},                                   of the record
//! ```
//!
//! Attributes are flat, and each value is a text, because that is how Datadog's own description of the request has them
//! (`additionalProperties` of `HTTPLogItem`) and how the OpenTelemetry Collector sends them; what else speaks this protocol
//! refuses objects and numbers there: VictoriaLogs 1.52 with "unexpected label value type". Datadog finds `a.b` by `@a.b`
//! like a `b` in an object `a`.
//!
//! The line is the text of `message`, byte for byte. Datadog itself reads a message that is JSON.

use crate::{
    model::{Container, LabelSet, Marks, Nanos, Origin, Part, Record, Sink},
    output::{
        FileHead, Heads,
        text::{Decimal, Small, put_base64, put_escaped, put_hex, record_id},
    },
};

/// The longest line that is sent as one log. In JSON a byte takes up to six (`\u0000`), and what goes with a line takes
/// less than the rest of [`MAX_LOG`](super::MAX_LOG).
pub const MAX_LINE: usize = 150 * 1024;

/// The most bytes of one value beside the message, as written in JSON. Twice the longest value of a label, so that
/// escaped quotes never cost it its end.
const MAX_VALUE: usize = 2048;

/// The most characters of a tag, its name included; Datadog cuts longer ones.
const MAX_TAG: usize = 200;

/// What is the same in every log of a file: `hostname`, and below `auditship` the file, its path and what is known of its
/// container. Texts are cut to 2,048 bytes at a character's end.
pub fn file(origin: &Origin) -> Vec<u8> {
    let mut out = b"{\"hostname\":".to_vec();
    put_text(&mut out, &origin.host);
    out.extend(b",\"auditship.file\":\"");
    out.extend(origin.name.hex());
    out.extend(b"\",\"auditship.path\":");
    put_text(&mut out, &origin.path);
    if let Some(container) = &origin.container {
        of_container(&mut out, container);
    }
    out
}

/// Its labels are not among it: there can be many, and those that are wanted are labels of the stream.
fn of_container(out: &mut Vec<u8>, container: &Container) {
    let texts = [
        ("namespace", &container.namespace),
        ("pod", &container.pod),
        ("pod_uid", &container.pod_uid),
        ("container", &container.name),
        ("container_id", &container.id),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            put_own_name(out, name);
            put_text(out, value);
        }
    }
    if let Some(count) = container.restart_count {
        put_own_name(out, "restart_count");
        put_text(out, &count.to_string());
    }
}

/// What is the same in every log of a stream: its labels as they are, `ddsource`, `service`, and the labels as tags.
pub fn stream(source: &str, service: &str, labels: &LabelSet) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels.iter() {
        put_own_name(&mut out, &["labels.", name].concat());
        put_text(&mut out, value);
    }
    for (name, value) in [("ddsource", source), ("service", service)] {
        put_name(&mut out, name);
        put_text(&mut out, value);
    }
    put_name(&mut out, "ddtags");
    put_text_whole(&mut out, &tags(labels));
    out
}

/// Appends one log.
///
/// A line that is not UTF-8 goes as standard base64 of the body, and `auditship.encoding` says so: JSON is UTF-8.
pub fn record(out: &mut impl Sink, record: &Record<'_>, heads: Heads<'_>) {
    let mut start = Small::<64>::new();
    start.put(b",\"timestamp\":");
    signed(&mut start, record.time.0.div_euclid(Nanos::MILLI));
    start.put(b",\"message\":\"");
    out.put(&heads.file.bytes);
    out.put(identity(record, heads.file).bytes());
    out.put(&heads.stream.bytes);
    out.put(start.bytes());
    if record.marks.has(Marks::INVALID_UTF8) {
        put_base64(out, record.body);
    } else {
        put_escaped(out, record.body);
    }
    out.put(b"\"},");
}

/// Which record it is, as those of our attributes that differ from record to record.
fn identity(record: &Record<'_>, file: &FileHead) -> Small<IDENTITY> {
    let mut out = Small::new();
    out.put(b",\"auditship.id\":\"");
    out.put(record_id(file.name, record.offset, &record.leaf).bytes());
    out.put(b"\",\"auditship.seq\":\"");
    out.put(Decimal::new(record.seq).bytes());
    out.put(b"\",\"auditship.offset\":\"");
    out.put(Decimal::new(record.offset).bytes());
    out.put(b"\",\"auditship.time_ns\":\"");
    signed(&mut out, record.time.0);
    out.byte(b'"');
    if !record.marks.is_none() || record.part.is_some() {
        unusual(&mut out, record.marks, record.part);
    }
    out
}

#[cold]
fn unusual(out: &mut Small<IDENTITY>, marks: Marks, part: Option<Part>) {
    for (nth, name) in marks.names().enumerate() {
        out.put(if nth == 0 { b",\"auditship.mark\":\"" } else { b"," });
        out.put(name.as_bytes());
    }
    if !marks.is_none() {
        out.byte(b'"');
    }
    if let Some(part) = part {
        let number = Decimal::new(part.number.into());
        out.put(b",\"auditship.part\":\"");
        out.put(number.bytes());
        if let Some(whole) = part.whole {
            out.put(b"\",\"auditship.parts\":\"");
            out.put(number.bytes());
            out.put(b"\",\"auditship.sha256\":\"");
            put_hex(out, &whole);
        }
        out.byte(b'"');
    }
    if marks.has(Marks::INVALID_UTF8) {
        out.put(b",\"auditship.encoding\":\"base64\"");
    }
}

/// The labels as Datadog takes tags: `name:value,name:value`. A tag has letters, digits and `_-:./`, any other character
/// becomes `_`; the exact value is in `auditship.labels.NAME`.
fn tags(labels: &LabelSet) -> String {
    let tag = |(name, value): (&str, &str)| -> String {
        let legal = |c: char| if c.is_alphanumeric() || "_-:./".contains(c) { c } else { '_' };
        let text = [name, ":", value].concat();
        text.chars().map(legal).take(MAX_TAG).collect()
    };
    labels.iter().map(tag).collect::<Vec<_>>().join(",")
}

/// `,"auditship.name":`
fn put_own_name(out: &mut Vec<u8>, name: &str) {
    put_name(out, &["auditship.", name].concat());
}

/// `,"name":`
fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend(b",\"");
    out.extend(name.as_bytes());
    out.extend(b"\":");
}

/// A JSON string, cut to [`MAX_VALUE`] bytes between its quotes, at a character's end.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let (mut character, mut written, mut end) = (Vec::new(), 0, 0);
    for c in text.chars() {
        character.clear();
        put_escaped(&mut character, c.encode_utf8(&mut [0; 4]).as_bytes());
        written += character.len();
        if written > MAX_VALUE {
            break;
        }
        end += c.len_utf8();
    }
    put_text_whole(out, &text[..end]);
}

/// A JSON string.
fn put_text_whole(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

fn signed<const N: usize>(out: &mut Small<N>, value: i64) {
    if value < 0 {
        out.byte(b'-');
    }
    out.put(Decimal::new(value.unsigned_abs()).bytes());
}

/// Room for all that [`identity`] can write: 440 bytes with today's marks.
const IDENTITY: usize = 512;
