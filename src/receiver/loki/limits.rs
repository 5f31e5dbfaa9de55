//! What Loki refuses by default, checked before anything is stored. Pure: the clock is an argument.

use super::{labels::Labels, wire::Entry};
use std::{collections::BTreeMap, time::Duration};

/// The limits of a tenant. The defaults are those of Loki 3.4.2 (`pkg/validation/limits.go`) unless a field says
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes in a line; longer ones are refused. Default 256 KiB.
    pub max_line_size: usize,
    /// The most labels of a stream, `service_name` not counted. Default 15.
    pub max_label_names: usize,
    /// The most bytes in a label's name. Default 1024.
    pub max_label_name_size: usize,
    /// The most bytes in a label's value. Default 2048.
    pub max_label_value_size: usize,
    /// How old an entry may be (`reject_old_samples_max_age`). Default 7 days.
    pub max_age: Duration,
    /// How far in the future an entry may be (`creation_grace_period`). Default 10 minutes.
    pub max_ahead: Duration,
    /// How much older than the newest entry of its stream an entry may be: half of the ingester's `max_chunk_age`
    /// (`pkg/ingester/stream.go`). Default 1 hour.
    pub max_behind: Duration,
    /// The most bytes of names and values in the structured metadata of an entry. Default 64 KiB.
    pub max_metadata_size: usize,
    /// The most pairs in the structured metadata of an entry. Default 128.
    pub max_metadata_entries: usize,
    /// The most streams of a tenant (`max_global_streams_per_user`). Default 5000. Streams are never forgotten here.
    pub max_streams: usize,
    /// The most bytes of a request's body, as sent and decompressed; more is 413. Default 100 MB, the bound of newer
    /// Lokis: that of 3.4.2 is 2 GiB.
    pub max_body: usize,
    /// The most decoded bytes of a push; more is a permanent 500, because the message from the distributor to the
    /// ingester is too large (`grpc_server_max_recv_msg_size`). Measured on the request as sent. Default 4 MiB.
    pub max_push: usize,
    /// The tenant's ingestion rate; all of a push or nothing is stored. Loki's own is 4 MiB/s with a burst of 6 MiB.
    /// Default none, so that the receiver never slows a trial or a benchmark.
    pub rate: Option<Rate>,
    /// The most entries that a query may ask for (`max_entries_limit_per_query`). Default 5000.
    pub max_query_entries: usize,
    /// The longest time range of a query. Default 721 hours.
    pub max_query_length: Duration,
    /// Whether a missing `service_name` label is added (`discover_service_name`). Default true.
    pub discover_service_name: bool,
    /// Whether queries answer `detected_level` in the structured metadata of every entry (`discover_log_levels`).
    /// Loki looks for the level in the line; here it is always `unknown`. Default true.
    pub discover_log_levels: bool,
}

/// A token bucket over the bytes of lines and structured metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The bytes that are added per second.
    pub bytes_per_second: u64,
    /// The most bytes that can be saved up; a push of more never passes.
    pub burst: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Limits {
            max_line_size: 256 << 10,
            max_label_names: 15,
            max_label_name_size: 1024,
            max_label_value_size: 2048,
            max_age: 168 * HOUR,
            max_ahead: Duration::from_secs(600),
            max_behind: HOUR,
            max_metadata_size: 64 << 10,
            max_metadata_entries: 128,
            max_streams: 5000,
            max_body: 100_000_000,
            max_push: 4 << 20,
            rate: None,
            max_query_entries: 5000,
            max_query_length: 721 * HOUR,
            discover_service_name: true,
            discover_log_levels: true,
        }
    }
}

impl Limits {
    /// Checks a stream's labels (Loki 3.4.2 `pkg/distributor/validator.go`); a stream that fails is dropped whole.
    pub(super) fn check_labels(&self, labels: &Labels) -> Result<(), String> {
        if labels.is_empty() {
            return Err("error at least one label pair is required per stream".to_owned());
        }
        let (count, limit) = (labels.counted(), self.max_label_names);
        if count > limit {
            return Err(format!("entry for stream '{labels}' has {count} label names; limit {limit}"));
        }
        let mut last = "";
        for (name, value) in labels.iter() {
            if name.len() > self.max_label_name_size {
                return Err(format!("stream '{labels}' has label name too long: '{name}'"));
            }
            if value.len() > self.max_label_value_size {
                return Err(format!("stream '{labels}' has label value too long: '{value}'"));
            }
            if name == last {
                return Err(format!("stream '{labels}' has duplicate label name: '{name}'"));
            }
            last = name;
        }
        Ok(())
    }

    /// Checks an entry (Loki 3.4.2 `pkg/distributor/validator.go`); its siblings are not affected. `now` is in
    /// nanoseconds since 1970. Returns its time, which then fits 64 bits.
    pub(super) fn check_entry(&self, now: i64, labels: &str, entry: &Entry) -> Result<i64, String> {
        let time = entry.time();
        let oldest = i128::from(now) - nanos(self.max_age);
        if time < oldest {
            return Err(format!(
                "entry for stream '{labels}' has timestamp too old: {}, oldest acceptable timestamp is: {}",
                rfc3339(time),
                rfc3339(oldest)
            ));
        }
        let too_new = || format!("entry for stream '{labels}' has timestamp too new: {}", rfc3339(time));
        if time > i128::from(now) + nanos(self.max_ahead) {
            return Err(too_new());
        }
        let len = entry.line.len();
        if len > self.max_line_size {
            return Err(format!(
                "Max entry size '{}' bytes exceeded for stream '{labels}' while adding an entry with length '{len}' \
                 bytes",
                self.max_line_size
            ));
        }
        let size = metadata_size(entry);
        if size > self.max_metadata_size {
            return Err(format!(
                "stream '{labels}' has structured metadata too large: '{size}' bytes, limit: '{}' bytes. Please see \
                 `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it.",
                self.max_metadata_size
            ));
        }
        let count = entry.metadata.len();
        if count > self.max_metadata_entries {
            return Err(format!(
                "stream '{labels}' has too many structured metadata labels: '{count}', limit: '{}'. Please see \
                 `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to \
                 increase it.",
                self.max_metadata_entries
            ));
        }
        // Only a clock or a limit at the edge of the representable times gets a time here that does not fit.
        i64::try_from(time).map_err(|_| too_new())
    }
}

/// The bytes of names and values in the structured metadata.
pub(super) fn metadata_size(entry: &Entry) -> usize {
    entry.metadata.iter().map(|pair| pair.name.len() + pair.value.len()).sum()
}

/// A duration in nanoseconds.
pub(super) fn nanos(duration: Duration) -> i128 {
    // At most 2^64 seconds: fits.
    duration.as_nanos() as i128
}

/// A time as Loki's messages print it: whole seconds, UTC.
pub(super) fn rfc3339(time: i128) -> String {
    match jiff::Timestamp::from_nanosecond(time) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => format!("{time}ns"),
    }
}

/// What was refused during validation; equal texts are counted instead of repeated.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// In a fixed order, unlike Loki's.
    texts: BTreeMap<String, usize>,
}

impl Refusals {
    /// The most different texts that are kept. Loki keeps all; here an answer stays small whatever is sent.
    const MAX_TEXTS: usize = 100;

    /// Adds one.
    pub(super) fn add(&mut self, text: String) {
        if self.texts.len() < Self::MAX_TEXTS || self.texts.contains_key(&text) {
            *self.texts.entry(text).or_default() += 1;
        }
    }

    /// The body of the answer, if anything was refused.
    pub(super) fn text(&self) -> Option<String> {
        let grouped: Vec<_> = self.texts.iter().map(|(text, n)| format!("{n} errors like: {text}")).collect();
        (!grouped.is_empty()).then(|| grouped.join("; "))
    }
}
