//! The four destinations: what each is called, the receivers that play them, and what they hold in the end.

use super::{
    door::Door,
    proof::{self, Verdict, read},
    writer::WrittenFile,
};
use crate::receiver::{
    self, Datadog, DatadogOptions, Elastic, ElasticOptions, Options, Receiver, Splunk, SplunkOptions,
};
use axum::Router;
use std::{io, time::Duration};

/// A receipt of Splunk's is true after this long: so the kill also meets what is taken and not acknowledged.
const ACK_DELAY: Duration = Duration::from_millis(200);

/// A destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Loki,
    Elastic,
    Splunk,
    Datadog,
}

impl Kind {
    /// In the order of their values, so that one is also a place in an array.
    pub(super) const ALL: [Kind; 4] = [Kind::Loki, Kind::Elastic, Kind::Splunk, Kind::Datadog];

    /// The name of its output in the configuration.
    pub(super) fn output(self) -> &'static str {
        match self {
            Kind::Loki => "loki",
            Kind::Elastic => "elastic",
            Kind::Splunk => "splunk",
            Kind::Datadog => "datadog",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Kind::Loki => "Loki",
            Kind::Elastic => "Elasticsearch",
            Kind::Splunk => "Splunk HEC",
            Kind::Datadog => "Datadog",
        }
    }

    /// What it does with a record that comes again.
    pub(super) fn again(self) -> &'static str {
        match self {
            Kind::Loki => "kept once: time, labels and line are the same",
            Kind::Elastic => "refused: the _id is there",
            Kind::Splunk => "kept as a copy with the same auditship_id",
            Kind::Datadog => "kept as a copy with the same auditship.id",
        }
    }
}

/// One receiver of each kind.
#[derive(Debug)]
pub(super) struct Destinations {
    loki: Receiver,
    elastic: Elastic,
    splunk: Splunk,
    datadog: Datadog,
}

/// What was found at all of them.
#[derive(Debug)]
pub(super) struct Found {
    /// By [`Kind`].
    pub(super) verdicts: [Verdict; 4],
    /// Loki's.
    pub(super) streams: u64,
}

impl Destinations {
    pub(super) fn new() -> io::Result<Destinations> {
        Ok(Destinations {
            loki: Receiver::new(Options::default())?,
            elastic: Elastic::new(ElasticOptions::default()),
            splunk: Splunk::new(SplunkOptions { ack_delay: ACK_DELAY, ..SplunkOptions::default() }),
            datadog: Datadog::new(DatadogOptions::default()),
        })
    }

    /// All of them at one address, behind the door.
    pub(super) fn behind(&self, door: &Door) -> Router {
        let routers = [self.loki.router(), self.elastic.router(), self.splunk.router(), self.datadog.router()];
        receiver::all(Kind::ALL.into_iter().zip(routers).map(|(kind, router)| door.before(kind, router)))
    }

    /// How many records they have stored, all together. A line in parts is several.
    pub(super) fn stored(&self) -> u64 {
        self.loki.counts().accepted
            + self.elastic.counts().created
            + self.splunk.counts().accepted
            + self.datadog.counts().accepted
    }

    /// Compares what each holds with what was written. One after the other: each copies what it holds.
    pub(super) fn compare(&self, written: &[WrittenFile]) -> Found {
        let streams = self.loki.streams("fake");
        let count = streams.len() as u64;
        let entries = streams.into_iter().flat_map(|stream| stream.entries);
        Found {
            verdicts: [
                proof::compare(written, entries.map(read::loki)),
                proof::compare(written, self.elastic.documents("_all").into_iter().map(read::elastic)),
                proof::compare(written, self.splunk.events().into_iter().map(read::splunk)),
                proof::compare(written, self.datadog.entries().into_iter().map(read::datadog)),
            ],
            streams: count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_its_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
