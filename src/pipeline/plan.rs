//! What a lane is built from: the settings of one output, compiled.

use super::settings::{Label, LabelFrom, LokiTenant, Meta, OutputKind, Settings, SourceKind};
use crate::{
    frame,
    guard::{Allowed, Budget, Rule},
    model::{Container, Nanos, Origin},
    output::{Output, datadog, elastic, loki, splunk},
    parse::Wanted,
    send::Http,
};
use std::{path::Path, sync::Arc, time::Duration};

/// One output, compiled.
#[derive(Debug)]
pub(super) struct Plan {
    pub name: String,
    /// Its number, in configuration order.
    pub index: usize,
    pub output: Arc<Output>,
    pub http: Http,
    /// By source: how its lines are framed; `None` when the output does not take it.
    pub frames: Vec<Option<frame::Settings>>,
    pub labelling: Arc<Labelling>,
    pub batch_max_bytes: usize,
    pub dead_letters_max_bytes: u64,
    /// What was taken and is not acknowledged within this is sent again.
    pub ack_timeout: Duration,
    pub max_requests_per_second: usize,
    pub max_bytes_per_second: u64,
    pub batch_max_wait: Duration,
    pub window: u64,
    pub concurrency: usize,
    /// The bytes of chunks that its batches may use.
    pub pool: usize,
}

/// How a record gets its time and labels; the same for all outputs.
#[derive(Debug)]
pub(super) struct Labelling {
    pub wanted: Wanted,
    per_file: Vec<LabelFrom>,
}

impl Labelling {
    /// Also the rules from which the labels are admitted.
    pub(super) fn new(settings: &Settings) -> (Labelling, Vec<Rule>) {
        let mut fields: Vec<Vec<String>> = Vec::new();
        let mut per_file = Vec::new();
        let mut rules: Vec<Rule> = Vec::new();
        for Label { name, from, default, values } in settings.labels.iter().cloned() {
            rules.push(match from {
                LabelFrom::Constant(value) => Rule::Constant { name, value },
                LabelFrom::Field(names) => {
                    fields.push(names);
                    Rule::Field { name, slot: fields.len() - 1, allowed: Allowed { default, values } }
                }
                LabelFrom::Path(_) | LabelFrom::Meta(_) => {
                    per_file.push(from);
                    Rule::PerFile { name, index: per_file.len() - 1, allowed: Allowed { default, values } }
                }
            });
        }
        if !settings.labels.iter().any(|label| label.name == loki::SERVICE_NAME) {
            // Loki adds one of its own choosing otherwise, and stored labels would not be the ones that were sent.
            rules.push(Rule::Constant { name: loki::SERVICE_NAME.into(), value: "auditship".into() });
        }
        (Labelling { wanted: Wanted::new(&settings.timestamp, &fields), per_file }, rules)
    }

    /// The values of the labels that are the same for all records of a file.
    pub(super) fn of_file(&self, origin: &Origin) -> Vec<Option<String>> {
        let value = |from: &LabelFrom| match from {
            LabelFrom::Path(regex) => regex.captures(&origin.path)?.name("v").map(|v| v.as_str().to_owned()),
            LabelFrom::Meta(meta) => meta_of(meta, origin),
            LabelFrom::Field(_) | LabelFrom::Constant(_) => None,
        };
        self.per_file.iter().map(value).collect()
    }
}

fn meta_of(meta: &Meta, origin: &Origin) -> Option<String> {
    let container = origin.container.as_deref();
    let text = |text: fn(&Container) -> &Option<Box<str>>| text(container?).as_deref().map(str::to_owned);
    match meta {
        Meta::Host => Some(origin.host.to_string()),
        Meta::Source => Some(origin.source.to_string()),
        Meta::Filename => Path::new(&*origin.path).file_name().map(|name| name.to_string_lossy().into_owned()),
        Meta::Namespace => text(|container| &container.namespace),
        Meta::Pod => text(|container| &container.pod),
        Meta::PodUid => text(|container| &container.pod_uid),
        Meta::Container => text(|container| &container.name),
        Meta::RestartCount => container?.restart_count.map(|count| count.to_string()),
        Meta::ContainerId => text(|container| &container.id),
        Meta::Label(key) => container?.labels.get(key.as_str()).map(|value| value.to_string()),
    }
}

pub(super) fn budget(settings: &Settings) -> Budget {
    Budget { max_label_values: settings.guard.max_label_values.get(), max_streams: settings.guard.max_streams.get() }
}

/// One plan per output, which it takes out of the settings.
pub(super) fn plans(settings: &mut Settings, labelling: Labelling) -> Vec<Plan> {
    let labelling = Arc::new(labelling);
    let pools = pools(settings.agent.memory_limit, &settings.outputs);
    let sources = &settings.sources;
    let host = &settings.agent.host;
    let dead_letters_max_bytes = settings.agent.dead_letters_max_bytes;
    let plan = |(index, output): (usize, super::settings::Output)| {
        let kind = kind(output.kind, host);
        let frames = sources.iter().map(|source| {
            let is_taken = output.sources.contains(&source.name);
            let limit = source.max_line.min(kind.line_limit());
            let is_container = source.kind == SourceKind::Container;
            is_taken
                .then(|| frame::Settings::with_prefixes(source.prefixes.clone(), limit).of_container(is_container))
        });
        Plan {
            index,
            frames: frames.collect(),
            name: output.name,
            output: Arc::new(kind),
            http: output.http,
            labelling: Arc::clone(&labelling),
            batch_max_bytes: output.batch_max_bytes,
            dead_letters_max_bytes,
            ack_timeout: output.ack_timeout,
            max_requests_per_second: output.max_requests_per_second,
            max_bytes_per_second: output.max_bytes_per_second,
            batch_max_wait: output.batch_max_wait,
            window: output.window,
            concurrency: output.concurrency,
            pool: pools.get(index).copied().unwrap_or(SMALLEST_POOL),
        }
    };
    std::mem::take(&mut settings.outputs).into_iter().enumerate().map(plan).collect()
}

fn kind(kind: OutputKind, host: &str) -> Output {
    match kind {
        OutputKind::Loki { tenant } => {
            let tenant = match tenant {
                LokiTenant::None => loki::Tenant::None,
                LokiTenant::Fixed(id) => loki::Tenant::Fixed(id),
                LokiTenant::Label(name) => loki::Tenant::Label(name),
            };
            Output::Loki(loki::Loki::new(tenant, host.to_owned()))
        }
        OutputKind::Elastic { target, pipeline, compression } => {
            Output::Elastic(elastic::Elastic::new(target, pipeline.as_deref(), compression))
        }
        OutputKind::Splunk { index, sourcetype, ack, compression } => {
            Output::Splunk(splunk::Splunk::new(index, sourcetype, ack, compression))
        }
        OutputKind::Datadog { service, source, compression } => {
            Output::Datadog(datadog::Datadog { compression, service, source })
        }
    }
}

/// By output: the share of the memory limit that its batches may fill. The rest is code and runtime, and per output
/// what reading, compression and requests under way take.
fn pools(memory_limit: u64, outputs: &[super::settings::Output]) -> Vec<usize> {
    const RUNTIME: u64 = 14 << 20;
    const READ_BUFFER: u64 = 5 << 18;
    // Each sending thread keeps the largest batch that it has seen, as it was and compressed.
    let largest = outputs.iter().map(|output| output.batch_max_bytes as u64).max().unwrap_or(0);
    let shared = RUNTIME + SEND_THREADS as u64 * largest * 9 / 4;
    // Where requests are by stream there is an open batch for each, and each needs room to become worth a request.
    let weight =
        |output: &super::settings::Output| if matches!(output.kind, OutputKind::Loki { .. }) { 2 } else { 1 };
    let part = memory_limit.saturating_sub(shared) / outputs.iter().map(weight).sum::<u64>().max(1);
    let pool = |output: &super::settings::Output| {
        let share = (part * weight(output)).saturating_sub(READ_BUFFER);
        // Batches under way lie there compressed too: lines compress to less than half, and no more can be under way
        // than there is in the pool.
        let under_way = (output.concurrency * output.batch_max_bytes / 2) as u64;
        let pool = share - under_way.min(share / 3);
        usize::try_from(pool).unwrap_or(usize::MAX).max(SMALLEST_POOL)
    };
    outputs.iter().map(pool).collect()
}

/// Less would send next to nothing at a time.
const SMALLEST_POOL: usize = 2 << 20;

/// The threads that compress and send, for all outputs.
pub(super) const SEND_THREADS: usize = 2;

/// The wall clock, in nanoseconds since 1970; 0 when it stands before 1970.
pub(super) fn wall_clock() -> Nanos {
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Nanos(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX))
}
