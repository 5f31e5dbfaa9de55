//! Everything that was accepted, and the part of a push that Loki leaves to the ingester.

use super::{
    Counts, EntryView, StreamView,
    labels::Labels,
    limits::{Limits, Rate, metadata_size, nanos, rfc3339},
    log::{Body, Line, Log},
    metadata::{self, Names},
    push::Refusal,
    stream::{Offer, Stream},
    wire::Entry,
};
use axum::http::StatusCode;
use std::{
    collections::HashMap,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    io,
};

/// A stream of a push that passed validation.
#[derive(Debug)]
pub(super) struct Valid {
    pub(super) labels: Labels,
    /// With their times in nanoseconds since 1970. Never empty.
    pub(super) entries: Vec<(i64, Entry)>,
}

/// What is stored of all tenants.
#[derive(Debug)]
pub(super) struct Store {
    tenants: HashMap<String, Tenant>,
    pub(super) names: Names,
    pub(super) counts: Counts,
    /// Whether lines and metadata are kept, or only hashes.
    keep_lines: bool,
    /// Seeded per process: what arrives must not be able to choose collisions.
    hasher: RandomState,
    log: Option<Log>,
}

#[derive(Debug, Default)]
struct Tenant {
    /// In the order of their first entry.
    streams: Vec<Stream>,
    /// From the canonical label string to the place in `streams`.
    places: HashMap<String, usize>,
    bucket: Option<Bucket>,
}

/// The bytes that a tenant may send at a moment.
#[derive(Debug)]
struct Bucket {
    bytes: u64,
    /// Nanoseconds since 1970.
    filled: i64,
}

impl Store {
    pub(super) fn new(keep_lines: bool, log: Option<Log>) -> Store {
        Store {
            tenants: HashMap::new(),
            names: Names::default(),
            counts: Counts::default(),
            keep_lines,
            hasher: RandomState::new(),
            log,
        }
    }

    /// Stores what Loki's ingester would store, and answers what it would answer: the error of the **last** stream.
    /// An earlier stream that was dropped leaves no trace in the answer (`pkg/ingester/instance.go`).
    pub(super) fn push(
        &mut self,
        limits: &Limits,
        now: i64,
        tenant: &str,
        streams: &[Valid],
        request: u64,
    ) -> Result<(), Refusal> {
        self.flush_log()?;
        self.take_rate(limits, now, tenant, streams)?;
        let mut answer = Ok(());
        for stream in streams {
            answer = self.append(limits, tenant, stream, request);
        }
        self.flush_log()?;
        answer
    }

    /// The streams of a tenant, in the order of their first entry.
    pub(super) fn streams(&self, tenant: &str) -> &[Stream] {
        self.tenants.get(tenant).map_or(&[], |tenant| &tenant.streams)
    }

    /// A copy of the streams of a tenant.
    pub(super) fn view(&self, tenant: &str) -> Vec<StreamView> {
        let entry = |entry: &super::stream::Stored| EntryView {
            ts: entry.time,
            line: entry.line().to_vec(),
            metadata: self.names.unpack(entry.metadata()),
            sends: entry.sends,
        };
        self.streams(tenant)
            .iter()
            .map(|stream| StreamView {
                labels: stream.labels.to_map(),
                entries: stream.entries.iter().map(entry).collect(),
            })
            .collect()
    }

    fn flush_log(&mut self) -> Result<(), Refusal> {
        self.log.as_mut().map_or(Ok(()), Log::flush).map_err(|e| log_failed(&e))
    }

    fn take_rate(&mut self, limits: &Limits, now: i64, tenant: &str, streams: &[Valid]) -> Result<(), Refusal> {
        let Some(rate) = limits.rate else {
            return Ok(());
        };
        let entries = || streams.iter().flat_map(|stream| &stream.entries);
        let size: usize = entries().map(|(_, entry)| entry.line.len() + metadata_size(entry)).sum();
        let bucket = &mut self.tenants.entry(tenant.to_owned()).or_default().bucket;
        let bucket = bucket.get_or_insert(Bucket { bytes: rate.burst, filled: now });
        if bucket.take(rate, now, size as u64) {
            return Ok(());
        }
        let lines = entries().count();
        self.counts.rejected += lines as u64;
        Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "ingestion rate limit exceeded for user {tenant} (limit: {} bytes/sec) while attempting to ingest \
                 '{lines}' lines totaling '{size}' bytes, reduce log volume or contact your Loki administrator to \
                 see if the limit can be increased",
                rate.bytes_per_second
            ),
        ))
    }

    fn append(&mut self, limits: &Limits, tenant: &str, valid: &Valid, request: u64) -> Result<(), Refusal> {
        let name = valid.labels.to_string();
        let owner = self.tenants.entry(tenant.to_owned()).or_default();
        let place = match owner.places.get(&name) {
            Some(place) => *place,
            None if owner.streams.len() >= limits.max_streams => {
                self.counts.rejected += valid.entries.len() as u64;
                return Err(stream_limit(&name, tenant));
            }
            None => {
                owner.streams.push(Stream::new(valid.labels.clone()));
                owner.places.insert(name.clone(), owner.streams.len() - 1);
                self.counts.streams += 1;
                owner.streams.len() - 1
            }
        };
        let stream = &mut owner.streams[place];
        let mut late = Late::default();
        for (time, entry) in &valid.entries {
            let line = &entry.line[..];
            let pairs = || entry.metadata.iter().map(metadata::clean);
            let names = &mut self.names;
            let pack = self.keep_lines.then_some(|data: &mut Vec<u8>| names.pack(pairs(), data));
            let hash = self.hasher.hash_one((time, line));
            let duplicate = match stream.offer(*time, line, hash, nanos(limits.max_behind), pack) {
                Offer::New => {
                    self.counts.accepted += 1;
                    self.counts.line_bytes += line.len() as u64;
                    false
                }
                Offer::Duplicate => {
                    self.counts.duplicates += 1;
                    true
                }
                Offer::TooFarBehind(oldest) => {
                    self.counts.rejected += 1;
                    late.add(*time, oldest);
                    continue;
                }
            };
            if let Some(log) = &mut self.log {
                let ts = time.to_string();
                let pairs: Vec<_> = pairs().collect();
                let body = Body::of(line);
                let stream = &stream.labels;
                log.add(&Line { tenant, stream, ts, body, metadata: &pairs, duplicate, request })
                    .map_err(|e| log_failed(&e))?;
            }
        }
        late.answer(tenant, valid.entries.len(), &name)
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: i64, size: u64) -> bool {
        let passed = u128::from(now.saturating_sub(self.filled).max(0).unsigned_abs());
        let new = passed * u128::from(rate.bytes_per_second) / 1_000_000_000;
        // Only whole bytes move the clock, or small steps would add nothing for ever.
        if new > 0 {
            self.filled = now;
            self.bytes = u64::try_from(u128::from(self.bytes) + new).unwrap_or(u64::MAX).min(rate.burst);
        }
        let fits = size <= self.bytes;
        if fits {
            self.bytes -= size;
        }
        fits
    }
}

/// Entries that were too far behind their stream.
#[derive(Debug, Default)]
struct Late {
    count: usize,
    text: String,
}

impl Late {
    /// How many are named in an answer (`max_returned_stream_errors`).
    const NAMED: usize = 10;

    fn add(&mut self, time: i64, oldest: i128) {
        self.count += 1;
        if self.count > Self::NAMED {
            return;
        }
        let at = jiff::Timestamp::from_nanosecond(i128::from(time))
            .map_or_else(|_| format!("{time}ns"), |at| at.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string());
        let _ = writeln!(
            self.text,
            "entry with timestamp {at} ignored, reason: 'entry too far behind, entry timestamp is: {}, oldest \
             acceptable timestamp is: {}',",
            rfc3339(i128::from(time)),
            rfc3339(oldest)
        );
    }

    fn answer(self, tenant: &str, total: usize, stream: &str) -> Result<(), Refusal> {
        let Late { count, text } = self;
        if count == 0 {
            return Ok(());
        }
        let text = format!("{text}user '{tenant}', total ignored: {count} out of {total} for stream: {stream}");
        Err(Refusal::new(StatusCode::BAD_REQUEST, text))
    }
}

fn stream_limit(name: &str, tenant: &str) -> Refusal {
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        format!(
            "Maximum active stream limit exceeded when trying to create stream {name}, reduce the number of active \
             streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit \
             can be increased, user: '{tenant}'"
        ),
    )
}

/// The receiver's own disk, not something that Loki would say.
fn log_failed(error: &io::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the receiver's log file: {error}"))
}
