//! What the destinations hold, read without the agent's code, and compared with what was written.

use crate::world::World;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// A record at a destination.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    file: String,
    offset: u64,
    pub(crate) seq: u64,
    /// Its number as a part, and on the last one how many there are and the SHA-256 of the whole.
    part: Option<(u64, Option<(u64, String)>)>,
    /// As it was in the file.
    pub(crate) body: Vec<u8>,
    /// How often it came.
    pub(crate) sends: u64,
    /// Whether the destination has the line's own JSON, not only its text.
    pub(crate) is_object: bool,
}

impl Stored {
    /// `get`: what is known of it beside its text, by auditship's names.
    fn new(get: impl Fn(&str) -> Option<String>, text: Vec<u8>, sends: u64) -> Stored {
        let number = |name: &str| get(name).map(|text| text.parse::<u64>().expect("a number"));
        let body = match get("encoding").as_deref() {
            None => text,
            Some("base64") => STANDARD.decode(text).expect("base64"),
            Some(other) => panic!("an encoding that nobody knows: {other}"),
        };
        let whole = number("parts").map(|parts| (parts, get("sha256").expect("the hash of the whole")));
        Stored {
            id: get("id").unwrap_or_default(),
            file: get("file").expect("a file"),
            offset: number("offset").expect("an offset"),
            seq: number("seq").expect("a number"),
            part: number("part").map(|part| (part, whole)),
            body,
            sends,
            is_object: false,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What Loki has: one of what is equal in time and line in a stream.
pub(crate) fn loki(world: &World) -> Vec<Stored> {
    let entries = world.loki.streams("fake").into_iter().flat_map(|stream| stream.entries);
    let stored = |entry: auditship::receiver::EntryView| {
        let get = |name: &str| {
            let name = format!("auditship_{name}");
            entry.metadata.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
        };
        Stored::new(get, entry.line.clone(), entry.sends.into())
    };
    entries.map(stored).collect()
}

/// What Elasticsearch has in these indices. Its `_id` is that of the record.
pub(crate) fn elastic(world: &World, target: &str) -> Vec<Stored> {
    let stored = |document: auditship::receiver::DocumentView| {
        let stored = of_document(&document.source, document.sends.into());
        assert_eq!(stored.id, document.id, "event.id is not the _id");
        stored
    };
    world.elastic.documents(target).into_iter().map(stored).collect()
}

/// From a document.
pub(crate) fn of_document(source: &[u8], sends: u64) -> Stored {
    #[derive(serde::Deserialize)]
    struct Audit<'a> {
        #[serde(borrow)]
        audit: Option<&'a RawValue>,
    }
    let shown = || String::from_utf8_lossy(&source[..source.len().min(2000)]).into_owned();
    // The object as it is: reading it would hide what it looks like.
    let Audit { audit } = serde_json::from_slice(source).unwrap_or_else(|error| panic!("{error}: {}", shown()));
    let without: HashMap<String, &RawValue> = serde_json::from_slice(source).unwrap();
    let member = |name: &str| without.get(name).map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
    let (event, log, own) = (member("event").unwrap(), member("log").unwrap(), member("auditship").unwrap());
    let get = |name: &str| match name {
        "id" => text(&event["id"]),
        "seq" => text(&event["sequence"]),
        "offset" => text(&log["offset"]),
        other => text(&own[other]),
    };
    let original = event["original"].as_str().expect("event.original").as_bytes().to_vec();
    let mut stored = Stored::new(get, original, sends);
    if let Some(audit) = audit {
        // Without the white space around it, such as the end of a Windows line, which is in the text.
        assert_eq!(audit.get().as_bytes(), stored.body.trim_ascii(), "the object is not the line");
        stored.is_object = true;
    }
    stored
}

/// What Splunk has indexed.
pub(crate) fn splunk(world: &World) -> Vec<Stored> {
    let stored = |event: auditship::receiver::SplunkEventView| {
        let get = |name: &str| event.field(&format!("auditship_{name}")).map(str::to_owned);
        of_event(get, event.event.clone(), event.sends.into())
    };
    world.splunk.events().into_iter().map(stored).collect()
}

/// From an event's fields, and its `_raw`.
pub(crate) fn of_event(get: impl Fn(&str) -> Option<String>, raw: Vec<u8>, sends: u64) -> Stored {
    let form = get("form");
    let raw = match form.as_deref() {
        None | Some("string") => raw,
        Some("wrapped") => {
            let object: Value = serde_json::from_slice(&raw).unwrap();
            object["auditship_body"].as_str().unwrap().as_bytes().to_vec()
        }
        Some(other) => panic!("a form that nobody knows: {other}"),
    };
    let is_object = form.is_none() && get("encoding").is_none();
    Stored { is_object, ..Stored::new(get, raw, sends) }
}

/// What Datadog has: one of what is equal in every byte.
pub(crate) fn datadog(world: &World) -> Vec<Stored> {
    let stored = |log: auditship::receiver::DatadogView| {
        let object: Value = serde_json::from_slice(&log.object).unwrap();
        Stored::new(|name| text(&object["auditship"][name]), log.message, log.sends.into())
    };
    world.datadog.entries().into_iter().map(stored).collect()
}

/// What arrived, in numbers.
#[derive(Debug)]
pub(crate) struct Tally {
    #[allow(dead_code, reason = "it is printed")]
    pub(crate) records: usize,
    /// Records that came more than once, each time counted.
    pub(crate) again: u64,
}

/// `stored` is what was written, in `truth` file by file and line by line: each record once in effect, byte for byte,
/// parts joined, at its offset, and nothing else. Lines of `refused` are not there.
#[track_caller]
pub(crate) fn check(name: &str, stored: &[Stored], truth: &[Vec<Vec<u8>>], refused: &[Vec<u8>]) -> Tally {
    let mut files: BTreeMap<&str, BTreeMap<u64, &Stored>> = BTreeMap::new();
    for record in stored {
        // An offset is a record's, so that what is there twice is seen, whatever else differs.
        let before = files.entry(&record.file).or_default().insert(record.offset, record);
        assert!(before.is_none(), "{name}: stored twice: {before:?} and {record:?}");
    }
    let mut written: Vec<BTreeMap<u64, &[u8]>> = truth.iter().map(|lines| places(lines)).collect();
    let mut left_out = 0;
    for (file, records) in files {
        left_out += records.values().map(|record| record.seq).max().unwrap_or(0) - records.len() as u64;
        let lines = join(name, file, records.values().copied());
        let likeness = |nth: &usize| {
            lines.iter().filter(|(at, line)| written[*nth].get(at).is_some_and(|own| own == line)).count()
        };
        let nth = (0..written.len()).max_by_key(likeness).expect("a written file");
        let own = &mut written[nth];
        for (at, line) in lines {
            let show = || String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned();
            match own.remove(&at) {
                Some(expected) => assert!(expected == line, "{name}: altered at offset {at}: {}", show()),
                None => panic!("{name}: foreign at offset {at}: {}", show()),
            }
        }
    }
    let (excused, missing): (Vec<&[u8]>, Vec<&[u8]>) =
        written.iter().flat_map(|file| file.values().copied()).partition(|line| refused.iter().any(|r| r == line));
    let show = |lines: &[&[u8]]| -> Vec<String> {
        lines.iter().take(5).map(|line| String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned()).collect()
    };
    assert!(missing.is_empty(), "{name}: {} lines are missing: {:#?}", missing.len(), show(&missing));
    assert_eq!(excused.len(), refused.len(), "{name}: a line arrived that was refused");
    assert_eq!(left_out, refused.len() as u64, "{name}: the numbers of the records have a gap");
    let again = stored.iter().map(|record| record.sends - 1).sum();
    Tally { records: stored.len(), again }
}

/// The lines of a file by their offsets.
fn places(lines: &[Vec<u8>]) -> BTreeMap<u64, &[u8]> {
    let mut end = 0;
    let place = |line: &'_ Vec<u8>| {
        let at = end;
        end += line.len() as u64 + 1;
        at
    };
    let at: Vec<u64> = lines.iter().map(place).collect();
    at.into_iter().zip(lines.iter().map(Vec::as_slice)).collect()
}

/// The lines of a file, whole again, by their offsets.
fn join<'a>(name: &str, file: &str, records: impl Iterator<Item = &'a Stored>) -> Vec<(u64, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut open: Option<(u64, Vec<u8>, u64)> = None;
    for record in records {
        let Some((number, whole)) = &record.part else {
            assert!(open.is_none(), "{name}, {file}: the last part is missing before offset {}", record.offset);
            lines.push((record.offset, record.body.clone()));
            continue;
        };
        let (start, mut line, parts) = open.take().unwrap_or((record.offset, Vec::new(), 0));
        assert_eq!(*number, parts + 1, "{name}, {file}: the parts at offset {start}");
        line.extend_from_slice(&record.body);
        match whole {
            None => open = Some((start, line, *number)),
            Some((parts, sha256)) => {
                let digest: String = Sha256::digest(&line).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!((parts, sha256), (number, &digest), "{name}, {file}: the parts at offset {start}");
                lines.push((start, line));
            }
        }
    }
    assert!(open.is_none(), "{name}, {file}: the last part is missing");
    lines
}
