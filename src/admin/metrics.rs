//! `/metrics`: the numbers as Prometheus reads them. Labels are names of the configuration and of this code, never a
//! path and never a value of a label, so that there are only so many series. Documented in `docs/metrics.md`.

use crate::{
    output::Cause,
    pipeline::{Figures, FileNumbers, OutputNumbers},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use std::fmt;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The text.
pub(super) fn render(figures: Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("auditship");
    registry.register_collector(Box::new(Collected(figures)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Name, unit, what it says, and where the number is.
type Of<N> = (&'static str, Option<Unit>, &'static str, fn(&N) -> u64);

/// By output.
const COUNTERS: &[Of<OutputNumbers>] = &[
    ("records", None, "Records that were read.", |n| n.records),
    ("acknowledged_records", None, "Records that the destination has acknowledged.", |n| n.acknowledged),
    ("read", Some(Unit::Bytes), "Bytes of files that were read.", |n| n.read_bytes),
    ("passed", Some(Unit::Bytes), "Bytes of lines without the configured prefix.", |n| n.passed_bytes),
    ("acknowledged", Some(Unit::Bytes), "Bytes of files of which nothing is needed any more.", |n| {
        n.acknowledged_bytes
    }),
    ("refused_records", None, "Records that the destination refused; they are held.", |n| n.refused),
    ("dead_lettered_records", None, "Records that were put aside as dead letters.", |n| n.dead_lettered),
    ("dead_lettered", Some(Unit::Bytes), "Bytes of records that were put aside as dead letters.", |n| {
        n.dead_lettered_bytes
    }),
    ("requests", None, "Requests, repeated ones included.", |n| n.requests),
    ("sent", Some(Unit::Bytes), "Bytes of request bodies, compressed.", |n| n.sent_bytes),
    ("lost", Some(Unit::Bytes), "Bytes that were truncated away before they were read.", |n| n.lost_bytes),
];

const GAUGES: &[Of<OutputNumbers>] = &[
    ("pending_records", None, "Records that were read and are not acknowledged.", |n| n.pending),
    ("behind", Some(Unit::Bytes), "Bytes of open files that are not acknowledged.", |n| n.behind_bytes),
];

/// A mark, and where its number is.
type Mark = (&'static str, fn(&OutputNumbers) -> u64);

/// By output and mark.
const MARKS: &[Mark] = &[
    ("malformed", |n| n.malformed),
    ("invalid_utf8", |n| n.invalid_utf8),
    ("empty", |n| n.empty),
    ("unterminated", |n| n.unterminated),
    ("gap", |n| n.gaps),
    ("part", |n| n.parts),
    ("twin", |n| n.twins),
];

const FILE_COUNTERS: &[Of<FileNumbers>] = &[
    ("destroyed", Some(Unit::Bytes), "Bytes that were in no file any more before every output had them.", |n| {
        n.destroyed_bytes
    }),
    ("scans", None, "Complete scans for files.", |n| n.scans),
];

const FILE_GAUGES: &[Of<FileNumbers>] = &[
    ("open_files", None, "Files that are open.", |n| n.open),
    ("waiting_files", None, "Files that wait for a descriptor.", |n| n.waiting),
    ("deleted", Some(Unit::Bytes), "Bytes in deleted files or the spool only that some output does not have.", |n| {
        n.deleted_bytes
    }),
];

#[derive(Debug)]
struct Collected(Figures);

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        let Collected(figures) = self;
        self.encode_outputs(&mut sheet)?;
        for (name, unit, help, of) in FILE_COUNTERS {
            sheet.counter(name, unit, help)?.number(of(&figures.files))?;
        }
        for (name, unit, help, of) in FILE_GAUGES {
            sheet.gauge(name, unit, help)?.number(of(&figures.files))?;
        }
        let seconds = figures.files.scan_nanos as f64 / 1e9;
        sheet.gauge("scan_duration", &Some(Unit::Seconds), "How long the last scan took.")?.fraction(seconds)?;
        let unreadable = "Paths that were found and cannot be read.";
        sheet.gauge("unreadable_paths", &None, unreadable)?.number(figures.unreadable as u64)?;
        let (spool, most) = figures.spool_bytes;
        sheet.gauge("spool", &Some(Unit::Bytes), "Bytes saved from deleted files.")?.number(spool)?;
        sheet.gauge("spool_limit", &Some(Unit::Bytes), "How many there may be.")?.number(most)?;
        let (streams, most) = figures.streams;
        sheet.gauge("streams", &None, "Combinations of labels that are admitted.")?.number(streams as u64)?;
        sheet.gauge("streams_limit", &None, "How many there may be.")?.number(most as u64)?;
        let mut values = sheet.gauge("label_values", &None, "Values of a label that are admitted.")?;
        for (label, count) in &figures.label_values {
            values.of([("label", label)], *count as u64)?;
        }
        let most = figures.max_label_values as u64;
        sheet.gauge("label_values_limit", &None, "How many there may be of each label.")?.number(most)?;
        let failures = "Attempts to write the state that failed.";
        sheet.counter("state_sync_failures", &None, failures)?.number(figures.sync_failures)?;
        let uptime = figures.uptime.as_secs_f64();
        sheet.gauge("uptime", &Some(Unit::Seconds), "Since the agent started.")?.fraction(uptime)?;
        let mut build = sheet.0.encode_descriptor("build", "The version that runs.", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

impl Collected {
    fn encode_outputs(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let outputs = &self.0.outputs;
        for (name, unit, help, of) in COUNTERS {
            let mut numbers = sheet.counter(name, unit, help)?;
            for output in outputs {
                numbers.of([("output", &output.name)], of(&output.numbers))?;
            }
        }
        for (name, unit, help, of) in GAUGES {
            let mut numbers = sheet.gauge(name, unit, help)?;
            for output in outputs {
                numbers.of([("output", &output.name)], of(&output.numbers))?;
            }
        }
        let help = "Records with something to say about them.";
        let mut marked = sheet.counter("marked_records", &None, help)?;
        for output in outputs {
            for (mark, of) in MARKS {
                marked.of([("output", output.name.as_str()), ("mark", *mark)], of(&output.numbers))?;
            }
        }
        let help = "Attempts that settled nothing and are made again.";
        let mut retries = sheet.counter("retries", &None, help)?;
        for output in outputs {
            for (cause, count) in Cause::ALL.into_iter().zip(output.retries) {
                retries.of([("output", output.name.as_str()), ("class", cause.name())], count)?;
            }
        }
        let mut waits = sheet.gauge("output_waiting", &None, "1 while the output, or a part of it, waits.")?;
        for output in outputs {
            waits.of([("output", &output.name)], u64::from(output.why.is_some()))?;
        }
        let help = "The age of the oldest record that is not acknowledged, by its own time.";
        let mut ages = sheet.gauge("oldest_unacknowledged", &Some(Unit::Seconds), help)?;
        for output in outputs {
            let labels = [("output", &output.name)];
            ages.encoder.encode_family(&labels)?.encode_gauge(&output.oldest_age.as_secs_f64())?;
        }
        Ok(())
    }
}

struct Sheet<'e>(DescriptorEncoder<'e>);

/// One metric.
struct Metric<'e> {
    encoder: MetricEncoder<'e>,
    is_counter: bool,
}

impl Sheet<'_> {
    fn counter<'s>(
        &'s mut self,
        name: &'s str,
        unit: &'s Option<Unit>,
        help: &str,
    ) -> Result<Metric<'s>, fmt::Error> {
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        Ok(Metric { encoder, is_counter: true })
    }

    fn gauge<'s>(&'s mut self, name: &'s str, unit: &'s Option<Unit>, help: &str) -> Result<Metric<'s>, fmt::Error> {
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        Ok(Metric { encoder, is_counter: false })
    }
}

impl Metric<'_> {
    fn number(&mut self, number: u64) -> fmt::Result {
        encode(&mut self.encoder, self.is_counter, number)
    }

    fn fraction(&mut self, number: f64) -> fmt::Result {
        self.encoder.encode_gauge(&number)
    }

    fn of<T: AsRef<str>, const N: usize>(&mut self, labels: [(&'static str, T); N], number: u64) -> fmt::Result {
        let labels: [(&str, &str); N] = std::array::from_fn(|n| (labels[n].0, labels[n].1.as_ref()));
        encode(&mut self.encoder.encode_family(&labels)?, self.is_counter, number)
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, is_counter: bool, number: u64) -> fmt::Result {
    if is_counter {
        encoder.encode_counter::<NoLabelSet, u64, u64>(&number, None)
    } else {
        encoder.encode_gauge(&number)
    }
}
