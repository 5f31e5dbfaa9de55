//! What a destination holds, read without the agent's code, and compared with what was written.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// A record at a destination.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) offset: u64,
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
    pub(crate) fn new(get: impl Fn(&str) -> Option<String>, text: Vec<u8>, sends: u64) -> Stored {
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

/// A JSON value as the text that it is at destinations that know text only.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
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

/// What is there against what was written.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) records: usize,
    /// Lines that were written and are not there, parts joined.
    pub(crate) missing: Vec<Vec<u8>>,
    /// Records that are there more than once, each time counted.
    pub(crate) duplicates: usize,
    /// Lines with other bytes, parts that do not join, lines that nobody wrote: what and where.
    pub(crate) altered: Vec<String>,
    /// How many numbers of records are not there, up to the highest of each file.
    pub(crate) left_out: u64,
}

/// `truth` is what was written, file by file and line by line.
pub(crate) fn compare(stored: &[Stored], truth: &[Vec<Vec<u8>>]) -> Findings {
    let mut findings = Findings { records: stored.len(), ..Findings::default() };
    let mut files: BTreeMap<&str, BTreeMap<u64, &Stored>> = BTreeMap::new();
    for record in stored {
        // An offset is a record's, so that what is there twice is seen, whatever else differs.
        let Some(before) = files.entry(&record.file).or_default().insert(record.offset, record) else { continue };
        findings.duplicates += 1;
        if (before.seq, &before.part, &before.body) != (record.seq, &record.part, &record.body) {
            findings.altered.push(format!("stored twice, and not the same: {before:?} and {record:?}"));
        }
    }
    let mut written: Vec<BTreeMap<u64, &[u8]>> = truth.iter().map(|lines| places(lines)).collect();
    for (file, records) in files {
        findings.left_out += records.values().map(|record| record.seq).max().unwrap_or(0) - records.len() as u64;
        let lines = join(file, records.values().copied(), &mut findings.altered);
        let likeness = |nth: &usize| {
            lines.iter().filter(|(at, line)| written[*nth].get(at).is_some_and(|own| own == line)).count()
        };
        let nth = (0..written.len()).max_by_key(likeness).expect("a written file");
        let own = &mut written[nth];
        for (at, line) in lines {
            let show = || String::from_utf8_lossy(&line[..line.len().min(300)]).into_owned();
            match own.remove(&at) {
                Some(expected) if expected == line => {}
                Some(_) => findings.altered.push(format!("altered at offset {at}: {}", show())),
                None => findings.altered.push(format!("foreign at offset {at}: {}", show())),
            }
        }
    }
    findings.missing = written.iter().flat_map(|file| file.values().map(|line| line.to_vec())).collect();
    findings
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
fn join<'a>(
    file: &str,
    records: impl Iterator<Item = &'a Stored>,
    problems: &mut Vec<String>,
) -> Vec<(u64, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut open: Option<(u64, Vec<u8>, u64)> = None;
    for record in records {
        let Some((number, whole)) = &record.part else {
            if open.take().is_some() {
                problems.push(format!("{file}: the last part is missing before offset {}", record.offset));
            }
            lines.push((record.offset, record.body.clone()));
            continue;
        };
        let (start, mut line, parts) = open.take().unwrap_or((record.offset, Vec::new(), 0));
        line.extend_from_slice(&record.body);
        if *number != parts + 1 {
            problems.push(format!("{file}: part {number} at offset {start}, after {parts}"));
        }
        let Some((parts, sha256)) = whole else {
            open = Some((start, line, *number));
            continue;
        };
        let digest: String = Sha256::digest(&line).iter().map(|byte| format!("{byte:02x}")).collect();
        if (parts, sha256) != (number, &digest) {
            problems.push(format!("{file}: the parts at offset {start} are not the line"));
        }
        lines.push((start, line));
    }
    if open.is_some() {
        problems.push(format!("{file}: the last part is missing"));
    }
    lines
}
