//! Paces: how fast an output sends, so that it neither harms its destination nor makes it drop.

use super::plan::Plan;
use crate::send::{Concurrency, Pace};
use std::{collections::HashMap, time::Duration};

/// Loki shards a stream by itself above 1.5 MB/s, and a stream in two is not deduplicated any more; 3 MB/s are refused
/// (`shard_streams`, `per_stream_rate_limit`).
const STREAM_BYTES_PER_SECOND: f64 = 1e6;
/// So much of a stream is sent at once after a rest.
const STREAM_BURST: f64 = 8e6;

/// Of one output.
#[derive(Debug)]
pub(super) struct Paces {
    requests: Pace,
    bytes: Option<Pace>,
    /// Of streams that have sent, where requests are by stream.
    streams: HashMap<u32, Pace>,
    pub concurrency: Concurrency,
    is_by_stream: bool,
}

impl Paces {
    pub(super) fn new(plan: &Plan) -> Paces {
        let (requests, bytes) = (plan.max_requests_per_second as f64, plan.max_bytes_per_second as f64);
        Paces {
            // What was saved up is sent at once: a second's worth.
            requests: Pace::new(requests, requests),
            bytes: (plan.max_bytes_per_second < u64::MAX).then(|| Pace::new(bytes, bytes)),
            streams: HashMap::new(),
            concurrency: Concurrency::new(plan.concurrency),
            is_by_stream: plan.output.is_by_stream(),
        }
    }

    /// When the output may send.
    pub(super) fn ready(&self, now: Duration) -> Duration {
        let bytes = self.bytes.as_ref().map_or(now, |bytes| bytes.ready(now));
        self.requests.ready(now).max(bytes)
    }

    /// When the stream may.
    pub(super) fn stream_ready(&self, stream: u32, now: Duration) -> Duration {
        self.streams.get(&stream).map_or(now, |pace| pace.ready(now))
    }

    /// A request of so many bytes, uncompressed, goes out.
    pub(super) fn spend(&mut self, stream: u32, bytes: usize, now: Duration) {
        self.requests.spend(now, 1.0);
        if let Some(pace) = &mut self.bytes {
            pace.spend(now, bytes as f64);
        }
        if self.is_by_stream {
            let pace = || Pace::new(STREAM_BYTES_PER_SECOND, STREAM_BURST);
            self.streams.entry(stream).or_insert_with(pace).spend(now, bytes as f64);
        }
    }

    /// When the first stream that has to wait may send again.
    pub(super) fn next_stream(&self, now: Duration) -> Option<Duration> {
        self.streams.values().map(|pace| pace.ready(now)).filter(|ready| *ready > now).min()
    }
}
