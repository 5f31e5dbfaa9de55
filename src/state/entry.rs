//! An entry of the state, and its form on disk.

use super::generated as pb;
use crate::model::{Chain, Container, FileName, Identity, Known, LabelSet, Mark, Nanos, Origin, Packing, Point};
use prost::Message;
use std::sync::Arc;

/// One change of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The entries before it are the whole state.
    SnapshotEnd,
    /// Stands in for the machine's id.
    Machine(Vec<u8>),
    /// A file's content, new or with a longer head.
    File(Known),
    /// A file's content is gone.
    Gone(FileName),
    /// How far an output has got.
    Cursor {
        /// The output's name.
        output: String,
        /// The file.
        file: FileName,
        /// The safe position.
        point: Point,
    },
    /// A label's admitted value.
    LabelValue {
        /// The label's name.
        label: String,
        /// The value.
        value: String,
    },
    /// An admitted combination of labels.
    Stream(LabelSet),
    /// The files of a source have been listed once for an output.
    Source {
        /// The source's name.
        source: String,
        /// The output's name.
        output: String,
    },
    /// An output's change of state.
    Health {
        /// The output's name.
        output: String,
        /// What it changed to.
        health: Health,
    },
    /// Records of a stream go elsewhere from now on.
    Late {
        /// The output's name.
        output: String,
        /// The stream.
        labels: LabelSet,
        /// Those before this time.
        before: Nanos,
    },
    /// Records of a file that need another time have it from here on.
    Base {
        /// The output's name.
        output: String,
        /// The file.
        file: FileName,
        /// The number of the first such record.
        from: u64,
        /// The time that theirs is made of.
        time: Nanos,
    },
}

/// Whether an output flows, for `auditship status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Since when.
    pub since: Nanos,
    /// Why it waits; `None` while it flows. Never contains a secret.
    pub stalled: Option<String>,
}

impl Entry {
    /// Appends the entry's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let message = pb::Entry { kind: Some(self.to_pb()) };
        out.reserve(message.encoded_len());
        // A Vec grows: encoding into it cannot run out of room.
        let _ = message.encode(out);
    }

    /// `None` when the bytes are not an entry of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
        Self::from_pb(pb::Entry::decode(bytes).ok()?.kind?)
    }

    fn to_pb(&self) -> pb::entry::Kind {
        use pb::entry::Kind;
        match self {
            Entry::SnapshotEnd => Kind::SnapshotEnd(pb::SnapshotEnd {}),
            Entry::Machine(id) => Kind::Machine(pb::Machine { id: id.clone() }),
            Entry::File(known) => Kind::File(pb::File {
                name: known.origin.name.0,
                device: known.identity.device,
                inode: known.identity.inode,
                birth: known.identity.birth,
                nonce: known.nonce,
                generation: known.generation,
                head_len: known.head.len,
                head_hash: known.head.hash.to_vec(),
                source: known.origin.source.to_string(),
                host: known.origin.host.to_string(),
                path: known.origin.path.to_string(),
                first_seen: known.origin.first_seen.0,
                packing: match known.packing {
                    Packing::Plain => 0,
                    Packing::Gzip => 1,
                    Packing::Zstd => 2,
                },
                size: known.size,
                packed_size: known.packed_size,
                pin: known.pin.map_or(0, |(end, _)| end),
                pin_len: known.pin.map_or(0, |(_, mark)| mark.len),
                pin_hash: known.pin.map_or_else(Vec::new, |(_, mark)| mark.hash.to_vec()),
                deleted: known.is_deleted,
                lost: known.is_lost,
                last_seen: known.last_seen.0,
                seen_at: known.seen_at.to_string(),
                container: known.origin.container.as_deref().map(container_to_pb),
            }),
            Entry::Gone(name) => Kind::Gone(pb::Gone { name: name.0 }),
            Entry::Cursor { output, file, point } => Kind::Cursor(pb::Cursor {
                output: output.clone(),
                name: file.0,
                rewind: point.rewind,
                acked: point.at,
                seq: point.seq,
                chain: point.chain.0.to_vec(),
                time: point.time.map(|time| time.0),
                mark_len: point.mark.len,
                mark_hash: point.mark.hash.to_vec(),
                acked_mark_len: if point.rewind < point.at { point.at_mark.len } else { 0 },
                acked_mark_hash: if point.rewind < point.at { point.at_mark.hash.to_vec() } else { Vec::new() },
                within_stdout: point.within[0],
                within_stderr: point.within[1],
            }),
            Entry::LabelValue { label, value } => {
                Kind::LabelValue(pb::LabelValue { label: label.clone(), value: value.clone() })
            }
            Entry::Stream(labels) => Kind::Stream(pb::Stream { labels: labels_to_pb(labels) }),
            Entry::Late { output, labels, before } => {
                Kind::Late(pb::Late { output: output.clone(), labels: labels_to_pb(labels), before: before.0 })
            }
            Entry::Base { output, file, from, time } => {
                Kind::Base(pb::Base { output: output.clone(), file: file.0, from: *from, time: time.0 })
            }
            Entry::Source { source, output } => {
                Kind::Source(pb::Source { name: source.clone(), output: output.clone() })
            }
            Entry::Health { output, health } => Kind::Health(pb::Health {
                output: output.clone(),
                since: health.since.0,
                stalled: health.stalled.clone().unwrap_or_default(),
            }),
        }
    }

    fn from_pb(kind: pb::entry::Kind) -> Option<Entry> {
        use pb::entry::Kind;
        Some(match kind {
            Kind::SnapshotEnd(_) => Entry::SnapshotEnd,
            Kind::Machine(machine) => Entry::Machine(machine.id),
            Kind::File(file) => Entry::File(Known {
                seen_at: file.seen_at.into(),
                origin: Origin {
                    name: FileName(file.name),
                    host: file.host.into(),
                    path: file.path.into(),
                    source: file.source.into(),
                    first_seen: Nanos(file.first_seen),
                    container: file.container.map(|container| Arc::new(container_of(container))),
                },
                identity: Identity { device: file.device, inode: file.inode, birth: file.birth },
                nonce: file.nonce,
                generation: file.generation,
                head: mark(file.head_len, &file.head_hash)?,
                packing: match file.packing {
                    0 => Packing::Plain,
                    1 => Packing::Gzip,
                    2 => Packing::Zstd,
                    _ => return None,
                },
                size: file.size,
                packed_size: file.packed_size,
                pin: match file.pin {
                    0 => None,
                    end => Some((end, mark(file.pin_len, &file.pin_hash)?)),
                },
                is_deleted: file.deleted,
                is_lost: file.lost,
                last_seen: Nanos(if file.last_seen == 0 { file.first_seen } else { file.last_seen }),
            }),
            Kind::Gone(gone) => Entry::Gone(FileName(gone.name)),
            Kind::Cursor(cursor) => {
                let rewind_mark = mark(cursor.mark_len, &cursor.mark_hash)?;
                let at_mark = match &cursor.acked_mark_hash[..] {
                    [] if cursor.rewind == cursor.acked => rewind_mark,
                    [] => Mark::default(),
                    hash => mark(cursor.acked_mark_len, hash)?,
                };
                let point = Point {
                    rewind: cursor.rewind,
                    at: cursor.acked,
                    seq: cursor.seq,
                    chain: Chain(cursor.chain.as_slice().try_into().ok()?),
                    time: cursor.time.map(Nanos),
                    mark: rewind_mark,
                    at_mark,
                    within: [cursor.within_stdout, cursor.within_stderr],
                };
                if point.rewind > point.at {
                    return None;
                }
                Entry::Cursor { output: cursor.output, file: FileName(cursor.name), point }
            }
            Kind::LabelValue(value) => Entry::LabelValue { label: value.label, value: value.value },
            Kind::Stream(stream) => Entry::Stream(labels_of(stream.labels)),
            Kind::Late(late) => {
                let (labels, before) = (labels_of(late.labels), Nanos(late.before));
                Entry::Late { output: late.output, labels, before }
            }
            Kind::Base(base) => {
                let (file, time) = (FileName(base.file), Nanos(base.time));
                Entry::Base { output: base.output, file, from: base.from, time }
            }
            Kind::Source(source) => Entry::Source { source: source.name, output: source.output },
            Kind::Health(health) => Entry::Health {
                output: health.output,
                health: Health {
                    since: Nanos(health.since),
                    stalled: Some(health.stalled).filter(|text| !text.is_empty()),
                },
            },
        })
    }
}

fn mark(len: u32, hash: &[u8]) -> Option<Mark> {
    if len as usize > Mark::MAX {
        return None;
    }
    Some(Mark { len, hash: hash.try_into().ok()? })
}

fn labels_to_pb(labels: &LabelSet) -> Vec<pb::Label> {
    labels.iter().map(|(name, value)| pb::Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn labels_of(labels: Vec<pb::Label>) -> LabelSet {
    LabelSet::new(labels.into_iter().map(|label| (label.name, label.value)))
}

fn container_to_pb(container: &Container) -> pb::Container {
    let Container { namespace, pod, pod_uid, name, restart_count, id, labels } = container;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    pb::Container {
        namespace: text(namespace),
        pod: text(pod),
        pod_uid: text(pod_uid),
        name: text(name),
        restart_count: *restart_count,
        id: text(id),
        labels: labels
            .iter()
            .map(|(name, value)| pb::Label { name: name.to_string(), value: value.to_string() })
            .collect(),
    }
}

fn container_of(container: pb::Container) -> Container {
    let text = |text: String| Some(text).filter(|text| !text.is_empty()).map(Into::into);
    Container {
        namespace: text(container.namespace),
        pod: text(container.pod),
        pod_uid: text(container.pod_uid),
        name: text(container.name),
        restart_count: container.restart_count,
        id: text(container.id),
        labels: container.labels.into_iter().map(|label| (label.name.into(), label.value.into())).collect(),
    }
}
