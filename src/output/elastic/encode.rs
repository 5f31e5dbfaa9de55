//! A record as an action and a document of `_bulk`, written straight into the batch's body.
//!
//! ```text
//! {"create":{"_index":"audit-2026.11","_id":"<id>"}}
//! {"@timestamp":…,"event":{"id","sequence","kind","original"        of the record
//!  ,"action"},"organization":{"id"},"labels":{…}                    of the stream
//!  ,"host":{"name"},"container":{…},"kubernetes":{…},"log":{"file":{"path"},"offset":   of the file
//!  1234},"auditship":{"file",…},"ecs":{"version"},"audit":{…}}      of the record
//! ```
//!
//! `audit` comes last, so that [`plainer`](super::describe::plainer) can cut it off.
//!
//! All of it is the same when it is made again after a crash, but for one thing: whether a time is believable is
//! measured against the clock ([`Target`]). A record whose time lies on the edge, five years
//! ago or a day ahead, can go to two indices when the agent is killed at that very moment.

use super::{Target, object::may_be_spliced};
use crate::{
    model::{Container, LabelSet, Marks, Nanos, Origin, Part, Record, Sink},
    output::{
        Heads,
        text::{Civil, Decimal, put_base64, put_escaped, put_hex, record_id},
    },
};

#[cfg(test)]
mod tests;

/// The longest line, in bytes. Elasticsearch has no limit of its own below that of a request (100 MB, and 10 MB at some
/// managed services); a document holds its line twice, and control characters six times.
pub const MAX_LINE: usize = 512 * 1024;

/// The longest text of a path, a host or a container's part, in bytes: below Lucene's longest term of 32,766.
const MAX_TEXT: usize = 4096;

/// Ends the part of a document that every form of it has. Nothing before it can hold these bytes: what comes from
/// outside has its quotes escaped there.
pub(super) const ECS: &[u8] = b"},\"ecs\":{\"version\":\"8.11.0\"}";

/// Comes before the line's own object.
pub(super) const AUDIT: &[u8] = b",\"audit\":";

/// The labels that are an `event.action`, the first that there is.
const ACTION: [&str; 2] = ["event_type", "action"];

/// The labels that are an `organization.id`, the first that there is.
const ORGANIZATION: [&str; 2] = ["tenant", "org"];

/// What is the same in every document of a stream: the end of `event`, the organization and the labels.
pub fn stream(labels: &LabelSet) -> Vec<u8> {
    let mut out = Vec::new();
    let first = |names: [&str; 2]| {
        names.into_iter().find_map(|name| labels.iter().find(|(found, _)| *found == name)).map(|(_, value)| value)
    };
    if let Some(action) = first(ACTION) {
        member(&mut out, "action", action);
    }
    out.put(b"}");
    if let Some(organization) = first(ORGANIZATION) {
        out.put(b",\"organization\":{\"id\":");
        text(&mut out, organization);
        out.put(b"}");
    }
    out.put(b",\"labels\":");
    object(&mut out, labels.iter().map(|(name, value)| (name, Some(value))));
    out
}

/// What is the same in every document of a file: host, container and path. Texts are cut to 4,096 bytes at a
/// character's end.
pub fn file(origin: &Origin) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(b",\"host\":");
    object(&mut out, [("name", Some(&*origin.host))]);
    if let Some(container) = &origin.container {
        of_container(&mut out, container);
    }
    out.put(b",\"log\":{\"file\":");
    object(&mut out, [("path", Some(&*origin.path))]);
    out.put(b",\"offset\":");
    out
}

/// ECS has names for the container; for what Kubernetes knows, these are the names that Elastic's own agents use.
fn of_container(out: &mut Vec<u8>, container: &Container) {
    let known = [("id", container.id.as_deref()), ("name", container.name.as_deref())];
    if known.iter().any(|(_, value)| value.is_some()) {
        out.put(b",\"container\":");
        object(out, known);
    }
    let pod = [("name", container.pod.as_deref()), ("uid", container.pod_uid.as_deref())];
    let is_in_pod = pod.iter().any(|(_, value)| value.is_some());
    if container.namespace.is_none() && !is_in_pod && container.restart_count.is_none() {
        return;
    }
    out.put(b",\"kubernetes\":{\"pod\":");
    object(out, pod);
    if let Some(namespace) = &container.namespace {
        member(out, "namespace", namespace);
    }
    if let Some(count) = container.restart_count {
        out.put(b",\"container\":{\"status\":{\"restarts\":");
        out.put(Decimal::new(count.into()).bytes());
        out.put(b"}}");
    }
    out.put(b"}");
}

/// Appends the action and the document of a record.
pub fn encode(out: &mut impl Sink, target: &Target, record: &Record<'_>, heads: Heads<'_>) {
    let id = record_id(heads.file.name, record.offset, &record.leaf);
    let (time, seen) = (record.time, heads.file.first_seen);
    out.put(b"{\"create\":{\"_index\":\"");
    target.put(out, time, seen, heads.now);
    out.put(b"\",\"_id\":\"");
    out.put(id.bytes());
    out.put(b"\"}}\n{\"@timestamp\":\"");
    out.put(Civil::of(storable(time, seen)).rfc3339().bytes());
    out.put(b"\",\"event\":{\"id\":\"");
    out.put(id.bytes());
    out.put(b"\",\"sequence\":");
    out.put(Decimal::new(record.seq).bytes());
    out.put(b",\"kind\":\"event\",\"original\":\"");
    if record.marks.has(Marks::INVALID_UTF8) {
        put_base64(out, record.body);
    } else {
        put_escaped(out, record.body);
    }
    out.put(b"\"");
    out.put(&heads.stream.bytes);
    out.put(&heads.file.bytes);
    out.put(Decimal::new(record.offset).bytes());
    out.put(b"},\"auditship\":{\"file\":\"");
    out.put(&heads.file.name.hex());
    out.put(b"\"");
    if !record.marks.is_none() || record.part.is_some() || time.0 < 0 {
        unusual(out, record);
    }
    out.put(ECS);
    if is_object(record) && may_be_spliced(record.body) {
        out.put(AUDIT);
        out.put(record.body);
    }
    out.put(b"}\n");
}

/// The time that is sent as `@timestamp`. Elasticsearch's `date_nanos` refuses times before 1970: those documents have
/// the time of the file's first sight, and their own in `auditship.time`.
fn storable(time: Nanos, seen: Nanos) -> Nanos {
    if time.0 < 0 { seen.max(Nanos(0)) } else { time }
}

/// Whether the body is one whole JSON object.
fn is_object(record: &Record<'_>) -> bool {
    const NOT: [Marks; 4] = [Marks::MALFORMED, Marks::INVALID_UTF8, Marks::EMPTY, Marks::GAP];
    record.part.is_none() && !NOT.iter().any(|mark| record.marks.has(*mark))
}

/// What most records do not have.
#[cold]
fn unusual(out: &mut impl Sink, record: &Record<'_>) {
    if !record.marks.is_none() {
        out.put(b",\"mark\":[");
        for (i, name) in record.marks.names().enumerate() {
            out.put(if i == 0 { b"\"" } else { b",\"" });
            out.put(name.as_bytes());
            out.put(b"\"");
        }
        out.put(b"]");
    }
    if let Some(Part { number, whole }) = record.part {
        let number = Decimal::new(number.into());
        out.put(b",\"part\":");
        out.put(number.bytes());
        if let Some(whole) = whole {
            out.put(b",\"parts\":");
            out.put(number.bytes());
            out.put(b",\"sha256\":\"");
            put_hex(out, &whole);
            out.put(b"\"");
        }
    }
    if record.marks.has(Marks::INVALID_UTF8) {
        out.put(b",\"encoding\":\"base64\"");
    }
    if record.time.0 < 0 {
        out.put(b",\"time\":\"");
        out.put(Civil::of(record.time).rfc3339().bytes());
        out.put(b"\"");
    }
}

/// Appends an object of those that are known.
fn object<'a>(out: &mut Vec<u8>, members: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
    out.put(b"{");
    let start = out.len();
    for (name, value) in members {
        if let Some(value) = value {
            member(out, name, value);
        }
    }
    if out.len() > start {
        // The comma before the first.
        out.remove(start);
    }
    out.put(b"}");
}

/// Appends a member that comes after another one.
fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.put(b",");
    text(out, name);
    out.put(b":");
    text(out, value);
}

/// Appends a string.
fn text(out: &mut Vec<u8>, text: &str) {
    out.put(b"\"");
    put_escaped(out, &text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)]);
    out.put(b"\"");
}
