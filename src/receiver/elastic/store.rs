//! What is stored.

use super::{Block, DocumentView, ElasticCounts, ElasticOptions, document::Fields, error::Refusal};
use axum::body::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long after it is stored a document is found without a refresh: `index.refresh_interval`.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The indices, the data streams and what lies in them.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) counts: ElasticCounts,
    pub(super) block: Option<Block>,
    /// By name; those behind data streams too.
    indices: BTreeMap<String, Index>,
    /// By name: the backing indices, the newest last.
    streams: BTreeMap<String, Vec<String>>,
    /// Points in time, by id.
    pub(super) points: HashMap<String, Vec<Place>>,
    /// How many documents and points there have been.
    next: u64,
}

#[derive(Debug, Default)]
struct Index {
    documents: Vec<Document>,
    by_id: HashMap<String, usize>,
    /// How many of the documents a refresh has made visible.
    refreshed: usize,
}

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: String,
    pub(super) source: Bytes,
    pub(super) fields: Fields,
    /// Larger than that of any that came before: `_shard_doc`.
    pub(super) nth: u64,
    sends: u32,
    stored: Instant,
}

/// Where a document lies: its index, and its place there.
pub(super) type Place = (String, usize);

/// What became of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is stored in this index.
    Created(String),
    /// There was one with this id, and it is replaced.
    Updated(String),
}

impl Store {
    /// The index that documents for `name` are written to; made if need be.
    pub(super) fn write_index(
        &mut self,
        options: &ElasticOptions,
        name: &str,
        must_be_stream: bool,
    ) -> Result<String, Refusal> {
        if let Some(newest) = self.streams.get(name).and_then(|backing| backing.last()) {
            return Ok(newest.clone());
        }
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        };
        if options.data_streams.iter().any(fits) {
            check_name(name)?;
            self.streams.insert(name.to_owned(), Vec::new());
            return Ok(self.rollover(name).unwrap_or_default());
        }
        if must_be_stream {
            let flag = "and [require_data_stream] request flag is [true] and";
            let reason = format!("no such index [{name}] {flag} [{name}] is not a data stream");
            return Err(Refusal::new(404, "index_not_found_exception", reason));
        }
        if !self.indices.contains_key(name) {
            check_name(name)?;
            if !options.auto_create {
                return Err(Refusal::no_index(name));
            }
            self.indices.insert(name.to_owned(), Index::default());
        }
        Ok(name.to_owned())
    }

    /// Whether it is a data stream.
    pub(super) fn is_stream(&self, name: &str) -> bool {
        self.streams.contains_key(name)
    }

    /// Stores a document. `create`: unless there is one with its id in this index.
    pub(super) fn put(
        &mut self,
        index: &str,
        id: &str,
        source: Bytes,
        fields: Fields,
        create: bool,
        now: Instant,
    ) -> Result<Put, Refusal> {
        self.next += 1;
        let nth = self.next;
        let Index { documents, by_id, .. } = self.indices.entry(index.to_owned()).or_default();
        if let Some(old) = by_id.get(id).and_then(|place| documents.get_mut(*place)) {
            old.sends += 1;
            if create {
                self.counts.conflicts += 1;
                let reason = format!("[{id}]: version conflict, document already exists (current version [1])");
                return Err(Refusal::new(409, "version_conflict_engine_exception", reason));
            }
            (old.source, old.fields) = (source, fields);
            return Ok(Put::Updated(index.to_owned()));
        }
        by_id.insert(id.to_owned(), documents.len());
        documents.push(Document { id: id.to_owned(), source, fields, nth, sends: 1, stored: now });
        self.counts.created += 1;
        Ok(Put::Created(index.to_owned()))
    }

    /// Keeps a document that `stream` refused. The index that it lies in.
    pub(super) fn keep_failed(&mut self, stream: &str, id: &str, source: Bytes, now: Instant) -> String {
        let index = failures(stream);
        // The same document can fail again.
        if self.put(&index, &format!("{id}#{}", self.next), source, Fields::default(), true, now).is_ok() {
            self.counts.created -= 1;
        }
        self.counts.failed += 1;
        index
    }

    /// An id for a document that has none.
    pub(super) fn new_id(&mut self) -> String {
        self.next += 1;
        format!("generated-{:012}", self.next)
    }

    /// A new backing index.
    pub(super) fn rollover(&mut self, stream: &str) -> Option<String> {
        let backing = self.streams.get_mut(stream)?;
        let name = format!(".ds-{stream}-{}-{:06}", today(), backing.len() + 1);
        backing.push(name.clone());
        self.indices.insert(name.clone(), Index::default());
        Some(name)
    }

    /// The indices that `target` names: names and patterns with `*`, separated by commas.
    pub(super) fn resolve(&self, target: &str) -> Result<Vec<String>, Refusal> {
        let mut found = Vec::new();
        for part in target.split(',') {
            if let Some(backing) = self.streams.get(part) {
                found.extend(backing.iter().cloned());
            } else if self.indices.contains_key(part) {
                found.push(part.to_owned());
            } else if part.contains('*') || part == "_all" {
                let is_meant = |name: &&String| part == "_all" || fits(part, name);
                // Hidden ones only through their streams.
                found.extend(self.indices.keys().filter(|name| !name.starts_with('.')).filter(is_meant).cloned());
                found.extend(self.streams.iter().filter(|(name, _)| is_meant(name)).flat_map(|(_, all)| all.clone()));
            } else {
                return Err(Refusal::no_index(part));
            }
        }
        found.dedup();
        Ok(found)
    }

    /// Makes what is stored visible.
    pub(super) fn refresh(&mut self, indices: &[String]) {
        for name in indices {
            if let Some(index) = self.indices.get_mut(name) {
                index.refreshed = index.documents.len();
            }
        }
    }

    /// The documents in these indices that a search finds at `now`.
    pub(super) fn visible(&self, indices: &[String], now: Instant) -> Vec<Place> {
        let mut places = Vec::new();
        for name in indices {
            let Some(index) = self.indices.get(name) else { continue };
            let is_visible = |(place, document): &(usize, &Document)| {
                *place < index.refreshed || now.saturating_duration_since(document.stored) >= REFRESH_INTERVAL
            };
            let found = index.documents.iter().enumerate().filter(is_visible);
            places.extend(found.map(|(place, _)| (name.clone(), place)));
        }
        places
    }

    /// The document at a place.
    pub(super) fn get(&self, place: &Place) -> Option<&Document> {
        self.indices.get(&place.0)?.documents.get(place.1)
    }

    /// Keeps a point in time. Its id.
    pub(super) fn keep_point(&mut self, places: Vec<Place>) -> String {
        self.next += 1;
        let id = format!("point-{}", self.next);
        self.points.insert(id.clone(), places);
        id
    }

    pub(super) fn view(&self, target: &str) -> Vec<DocumentView> {
        let target = match target.strip_suffix("::failures") {
            Some(stream) => failures(stream),
            None => target.to_owned(),
        };
        let mut found = Vec::new();
        for name in self.resolve(&target).unwrap_or_default() {
            let documents = self.indices.get(&name).into_iter().flat_map(|index| &index.documents);
            found.extend(documents.map(|document| (document.nth, name.clone(), document)));
        }
        found.sort_by_key(|(nth, ..)| *nth);
        let view = |(_, index, document): (u64, String, &Document)| {
            let (id, source) = (document.id.clone(), document.source.to_vec());
            DocumentView { index, id, source, sends: document.sends }
        };
        found.into_iter().map(view).collect()
    }
}

/// Where a data stream keeps what it refused.
fn failures(stream: &str) -> String {
    format!(".fs-{stream}")
}

/// Whether a name fits a pattern in which `*` is any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => match name.strip_prefix(start) {
            None => false,
            Some(name) => (0..=name.len()).any(|at| name.is_char_boundary(at) && fits(rest, &name[at..])),
        },
    }
}

/// What an index can be called (`MetadataCreateIndexService.validateIndexOrAliasName`).
fn check_name(name: &str) -> Result<(), Refusal> {
    let wrong = |what: &str| {
        Err(Refusal::bad("invalid_index_name_exception", format!("Invalid index name [{name}], {what}")))
    };
    if name.is_empty() || name == "." || name == ".." {
        return wrong("must not be empty, '.' or '..'");
    }
    if name.contains(['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':']) {
        return wrong("must not contain the following characters ['\\\\','/','*','?','\"','<','>','|',' ',',']");
    }
    if name.starts_with(['_', '-', '+']) {
        return wrong("must not start with '_', '-', or '+'");
    }
    if name.len() > 255 {
        return wrong("index name is too long");
    }
    if name.to_lowercase() != name { wrong("must be lowercase") } else { Ok(()) }
}

/// `yyyy.MM.dd`
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = jiff::Timestamp::new(i64::try_from(since.as_secs()).unwrap_or(0), 0).unwrap_or_default();
    time.strftime("%Y.%m.%d").to_string()
}
