//! The configuration after checking: what the stages are built from. Nothing here can be wrong any more.

use crate::{
    output::{Compression, elastic::Target},
    send::{Http, Secret},
};
use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

/// The whole configuration.
#[derive(Debug)]
pub struct Settings {
    /// `[agent]`
    pub agent: Agent,
    /// `[sources.*]`, in the order of the file: the first that matches a file owns it. Never empty.
    pub sources: Vec<Source>,
    /// `record.timestamp`: names in order of preference, a dot reaching into objects.
    pub timestamp: Vec<String>,
    /// `[labels]`, by name.
    pub labels: Vec<Label>,
    /// `[guard]`
    pub guard: Guard,
    /// `[outputs.*]`, in the order of the file. Never empty.
    pub outputs: Vec<Output>,
}

/// `[agent]`
#[derive(Debug)]
pub struct Agent {
    /// Where offsets, names and admitted label values are kept.
    pub state_dir: PathBuf,
    /// The name of this machine in every record.
    pub host: String,
    /// `admin`: `None` when it is off.
    pub admin: Option<Admin>,
    /// The most resident memory, in bytes; at least 32 MiB.
    pub memory_limit: u64,
    /// The pause between two complete scans; 50 ms to 1 h.
    pub scan_interval: Duration,
    /// Whether file system notifications are used as a hint to look at once.
    pub notify: bool,
    /// `spool.max_bytes`: the most bytes that are saved from deleted files.
    pub spool_max_bytes: u64,
    /// `dead_letters.max_bytes`: the most bytes of records that destinations refuse for good; full, the output stalls.
    pub dead_letters_max_bytes: u64,
    /// How long a stop waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// `log.level`
    pub log_level: tracing::Level,
    /// `log.format`
    pub log_format: LogFormat,
}

/// `agent.admin`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// `admin_token_file`: what whoever asks has to show; always a file.
    pub token: Option<Secret>,
}

impl Admin {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// `agent.log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One `[sources.NAME]`.
#[derive(Debug)]
pub struct Source {
    /// NAME
    pub name: String,
    /// `type`
    pub kind: SourceKind,
    /// Absolute glob patterns (`*`, `?`, `[…]`, `{a,b}`, `**`). Never empty.
    pub include: Vec<String>,
    /// Where rotated files go, when not beside the file: absolute, or relative to each file's folder.
    pub rotated_dir: Option<PathBuf>,
    /// Files that match one of these are not read.
    pub exclude: Vec<String>,
    /// Where reading starts in files that exist when the source is first seen.
    pub start_at: StartAt,
    /// Longer lines travel in parts; 1 KiB to 64 MiB.
    pub max_line: usize,
    /// Only lines that begin with one of these are shipped, without it and one space after it. Empty: all.
    pub prefixes: Vec<Vec<u8>>,
    /// `pod_labels`: where a kubelet or an API server lists the pods of this machine. Container sources only.
    pub pod_labels: Option<Http>,
}

/// The type of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `type = "file"`: a line of the file is a line.
    File,
    /// `type = "container"`: a line of the file is a piece of a container's line, as Docker or CRI writes it.
    Container,
}

/// `start_at`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first byte.
    Beginning,
    /// The first line that begins after first sight.
    End,
}

/// One of `[labels]`.
#[derive(Clone, Debug)]
pub struct Label {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`, not `__…`, not one that auditship or Loki sets itself.
    pub name: String,
    /// Where its value comes from.
    pub from: LabelFrom,
    /// The value where there is none; never empty.
    pub default: Option<String>,
    /// When set, only these values (and `default`) are admitted.
    pub values: Option<Vec<String>>,
}

/// The kinds of labels.
#[derive(Clone, Debug)]
pub enum LabelFrom {
    /// `{ field = [...] }`: the first of these fields that is present.
    Field(Vec<String>),
    /// `{ path = "regex" }`: the group `v` of the file's path.
    Path(regex::Regex),
    /// `{ meta = "host" }`
    Meta(Meta),
    /// `"text"`
    Constant(String),
}

/// What is known of a file beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meta {
    /// `agent.host`
    Host,
    /// The source's name.
    Source,
    /// The last part of the path of first sight.
    Filename,
    /// The pod's namespace; this and the following of container sources only, and where they are known.
    Namespace,
    /// The pod's name.
    Pod,
    /// The pod's uid.
    PodUid,
    /// The container's name.
    Container,
    /// How often the container had been started again.
    RestartCount,
    /// The runtime's id of the container.
    ContainerId,
    /// `label.KEY`: a label of the container (Docker) or its pod.
    Label(String),
}

/// `[guard]`
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// Per label; the rest becomes `__other__`.
    pub max_label_values: NonZeroUsize,
    /// Over all labels; further combinations become `__other__` in every label that is not constant.
    pub max_streams: NonZeroUsize,
}

/// One `[outputs.NAME]`.
#[derive(Debug)]
pub struct Output {
    /// NAME
    pub name: String,
    /// Names of the sources it takes, in configuration order; all when the key is absent. Never empty.
    pub sources: Vec<String>,
    /// What it speaks.
    pub kind: OutputKind,
    /// How it connects.
    pub http: Http,
    /// A batch is sent when its body has this many bytes, uncompressed; 4 KiB to 2 MiB.
    pub batch_max_bytes: usize,
    /// A batch is sent when its oldest record is this old; 10 ms to 1 min.
    pub batch_max_wait: Duration,
    /// The most bytes of source between safe position and read position; at least 1 MiB.
    pub window: u64,
    /// Requests at the same time, 1 to 64.
    pub concurrency: usize,
    /// `ack_timeout`: what was taken and is not acknowledged within this is sent again.
    pub ack_timeout: Duration,
    /// Requests in a second, 1 to 10,000.
    pub max_requests_per_second: usize,
    /// Bytes of batches in a second, uncompressed; `u64::MAX`: as many as there are.
    pub max_bytes_per_second: u64,
}

/// The type of an output with what only that type has.
#[derive(Debug)]
pub enum OutputKind {
    /// `type = "loki"`
    Loki {
        /// `tenant_id`
        tenant: LokiTenant,
    },
    /// `type = "elasticsearch"`
    Elastic {
        /// `index` or `data_stream`
        target: Target,
        /// `pipeline`
        pipeline: Option<String>,
        /// `compression`
        compression: Compression,
    },
    /// `type = "splunk_hec"`
    Splunk {
        /// `index`; `None`: the token's own.
        index: Option<String>,
        /// `sourcetype`
        sourcetype: String,
        /// `ack`: whether only what is acknowledged is done.
        ack: bool,
        /// `compression`
        compression: Compression,
    },
    /// `type = "datadog"`
    Datadog {
        /// `service`
        service: String,
        /// `source`
        source: String,
        /// `compression`
        compression: Compression,
    },
}

/// `tenant_id` of a Loki output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LokiTenant {
    /// `""` or absent: no header.
    None,
    /// `"name"`
    Fixed(String),
    /// `{ label = "tenant" }`
    Label(String),
}
