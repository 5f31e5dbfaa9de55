//! What the local destinations hold, compared with what was written.

use crate::{
    rig::stored::{Stored, compare, of_document, of_event, text},
    world::World,
};
use serde_json::Value;

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

/// What Splunk has indexed.
pub(crate) fn splunk(world: &World) -> Vec<Stored> {
    let stored = |event: auditship::receiver::SplunkEventView| {
        let get = |name: &str| event.field(&format!("auditship_{name}")).map(str::to_owned);
        of_event(get, event.event.clone(), event.sends.into())
    };
    world.splunk.events().into_iter().map(stored).collect()
}

/// What Datadog has: one of what is equal in every byte.
pub(crate) fn datadog(world: &World) -> Vec<Stored> {
    let stored = |log: auditship::receiver::DatadogView| {
        let object: Value = serde_json::from_slice(&log.object).unwrap();
        Stored::new(|name| text(&object[format!("auditship.{name}")]), log.message, log.sends.into())
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
    let findings = compare(stored, truth);
    assert!(findings.altered.is_empty(), "{name}: {:#?}", &findings.altered[..findings.altered.len().min(5)]);
    assert_eq!(findings.duplicates, 0, "{name}: stored twice");
    let (excused, missing): (Vec<_>, Vec<_>) = findings.missing.iter().partition(|line| refused.contains(line));
    let shown: Vec<_> =
        missing.iter().take(5).map(|line| String::from_utf8_lossy(&line[..line.len().min(300)])).collect();
    assert!(missing.is_empty(), "{name}: {} lines are missing: {shown:#?}", missing.len());
    assert_eq!(excused.len(), refused.len(), "{name}: a line arrived that was refused");
    assert_eq!(findings.left_out, refused.len() as u64, "{name}: the numbers of the records have a gap");
    let again = stored.iter().map(|record| record.sends - 1).sum();
    Tally { records: stored.len(), again }
}
