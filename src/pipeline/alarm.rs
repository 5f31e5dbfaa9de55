//! The pipeline's notable events, one function each: what the log says, and what the operator can do.

use crate::{
    dead_letters::Letter,
    model::{FileName, Known, LabelSet, Nanos},
    output::{Cause, Described},
    send::Change,
    tail::TailFile,
};
use std::{io, path::Path, time::Duration};

/// An output waits, or flows again.
pub(super) fn health(output: &str, change: &Change) {
    match change {
        Change::Stalled { cause, text } => {
            tracing::warn!(output, ?cause, "waiting: {text}{}; nothing is lost, it is tried again", hint(*cause));
        }
        Change::Recovered { after, failures } => {
            tracing::info!(output, failed_attempts = failures, "flowing again after {:.1} s", after.as_secs_f64());
        }
    }
}

/// One stream of an output waits, or flows again.
pub(super) fn stream_health(output: &str, stream: Option<&LabelSet>, change: Option<Change>) {
    let stream = stream.map(label_text).unwrap_or_default();
    match change {
        Some(Change::Stalled { text, .. }) => {
            tracing::warn!(output, stream, "one stream is waiting: {text}; nothing is lost, it is tried again");
        }
        Some(Change::Recovered { after, .. }) => {
            tracing::info!(output, stream, "the stream flows again after {:.1} s", after.as_secs_f64());
        }
        None => {}
    }
}

fn hint(cause: Cause) -> &'static str {
    match cause {
        Cause::Credentials => " (secrets are read again at each attempt: replace the file, no restart is needed)",
        Cause::Setup => " (check the output's url and the destination)",
        Cause::Tls => " (certificates are read again at each attempt)",
        Cause::Unexpected => " (not a receipt; does the url lead to what `type` says?)",
        Cause::Blocked => " (the destination's administrator has blocked it)",
        _ => "",
    }
}

/// A record was put into the dead letters.
pub(super) fn dead_lettered(output: &str, letter: &Letter) {
    tracing::error!(
        output,
        id = letter.id,
        file = letter.file,
        offset = letter.offset,
        reason = letter.reason,
        "the destination refuses this record; it is in the dead letters: mend what it is refused for, then send it again \
         with `auditship replay`"
    );
}

/// A record fails while all others pass, and nobody says that it is refused.
pub(super) fn stuck(output: &str, record: Option<Described>, why: &str) {
    let (id, file, offset) =
        record.map_or_else(Default::default, |record| (record.id(), record.file.to_string(), record.offset));
    tracing::error!(
        output,
        id,
        file,
        offset,
        why,
        "others pass and this record does not; it is tried again for ever, and its position waits: `auditship replay --skip` \
         puts it into the dead letters"
    );
}

/// There are more of them than are worth a line each.
pub(super) fn more_dead_lettered(output: &str, records: usize) {
    tracing::error!(output, records, "and so many more records of the same batch are in the dead letters");
}

/// Records that the destination refuses cannot be put aside.
pub(super) fn unburied(output: &str, why: &str) {
    tracing::error!(
        output,
        why,
        "refused records cannot be put into the dead letters; their position stays, and is tried again"
    );
}

/// Two records cannot be told apart by the destination.
pub(super) fn twins(output: &str, stream: Option<&LabelSet>) {
    let stream = stream.map(label_text).unwrap_or_default();
    tracing::warn!(
        output,
        stream,
        "two records follow each other with the same time, to the nanosecond, and the same line: the destination keeps \
         one of them; put an id into the lines. Said once; later ones are counted"
    );
}

/// Reading waits for answers.
pub(super) fn paused(output: &str, pending_bytes: u64, unsettled: Option<&str>, why: Option<&str>) {
    tracing::warn!(
        output,
        pending_bytes,
        oldest = unsettled.unwrap_or("unknown"),
        why = why.unwrap_or("the destination answers slowly"),
        "reading is paused: as much is sent and unanswered as `window` and `memory_limit` allow"
    );
}

/// Reading goes on.
pub(super) fn resumed(output: &str, after: Duration) {
    tracing::info!(output, "reading goes on after {:.1} s", after.as_secs_f64());
}

/// Content was destroyed, perhaps before it was read.
pub(super) fn truncated(output: &str, file: &TailFile, unread: u64) {
    let (path, name) = (&*file.known.origin.path, file.name());
    if unread == 0 {
        tracing::info!(output, path, %name, "the file was truncated after all that was known of it had been read");
    } else {
        tracing::error!(
            output, path, %name, unread_bytes = unread,
            "the file was truncated before all of it was read: at least these bytes are lost; rotate by renaming, \
             not by copytruncate"
        );
    }
}

/// Content is in no file that can be found.
pub(super) fn destroyed(known: &Known, unread: Option<u64>) {
    let (path, name) = (&*known.origin.path, known.origin.name);
    match unread {
        Some(unread_bytes) => tracing::error!(
            path, %name, unread_bytes,
            "at least these bytes of the file are lost: no file holds them any more, nor a copy or a compressed form \
             of it; keep rotated files until they are delivered"
        ),
        None => tracing::warn!(
            path, %name,
            "the file was deleted, truncated or written anew while the agent was stopped: what it held beyond the last \
             position is lost, and nobody can say how much that is"
        ),
    }
}

/// NUL bytes where lines should be.
pub(super) fn gap(output: &str, file: &TailFile, offset: u64, nul_bytes: u64) {
    let path = &*file.known.origin.path;
    tracing::warn!(
        output,
        path,
        offset,
        nul_bytes,
        "a run of NUL bytes instead of lines: left by a crash, or by truncating a file whose writer does not append; \
         it is delivered as one record marked gap"
    );
}

/// A compressed file stays incomplete.
pub(super) fn broken_archive(path: &Path, error: &io::Error) {
    tracing::error!(
        path = %path.display(), %error,
        "the compressed file is cut off or damaged: what comes out of it is delivered, the rest cannot be read"
    );
}

/// A deleted file is not safe from the end of the agent.
pub(super) fn at_risk(name: FileName, at_risk_bytes: u64, error: &io::Error) {
    tracing::error!(
        %name, at_risk_bytes, %error,
        "a file was deleted before all of it was delivered, and these bytes of it cannot be saved: they are read as \
         long as the agent runs, and lost when it ends; raise agent.spool.max_bytes or free space"
    );
}

/// The spool begins behind the position.
pub(super) fn saved_from_later(known: &Known, unsaved_bytes: u64) {
    let (path, name) = (&*known.origin.path, known.origin.name);
    tracing::error!(
        path, %name, unsaved_bytes,
        "the state on disk is older than what was saved of this deleted file: these bytes were delivered before, or are \
         lost"
    );
}

/// What an output that is new gets of a deleted file.
pub(super) fn saved_for_others(output: &str, known: &Known, unsaved_bytes: u64) {
    let (path, name) = (&*known.origin.path, known.origin.name);
    tracing::error!(
        output, path, %name, unsaved_bytes,
        "the file was deleted, and only what the outputs of that time had not got of it was saved: this output has no \
         position in it, and does not get the bytes before"
    );
}

/// Contents have another owner.
pub(super) fn passed_on(from: &str, to: &str, files: usize, example: &str) {
    tracing::warn!(
        from,
        to,
        files,
        example,
        "the source that owned these files does not name them any more, or no output takes it: they go on, from where \
         each output is, as files of the other source"
    );
}

/// A program does not know that its file is deleted.
pub(super) fn written_though_deleted(path: &Path) {
    tracing::warn!(
        path = %path.display(),
        "a program goes on writing to this file though it was deleted; the lines are read, but when the program or \
         the agent ends they are gone for everybody else: have it open its file anew"
    );
}

/// More files than descriptors.
pub(super) fn short_of_descriptors(waiting: usize) {
    match waiting {
        0 => tracing::info!("all files can be opened again"),
        waiting => tracing::error!(
            waiting,
            "files wait, because as many as the limit on open files allows are not delivered yet; they are opened as \
             others are done with: raise LimitNOFILE (ulimit -Hn)"
        ),
    }
}

/// A file cannot be read.
pub(super) fn unreadable(output: &str, file: &TailFile, error: &io::Error) {
    let path = &*file.known.origin.path;
    tracing::error!(output, path, %error, "the file cannot be read; it is tried again");
}

/// It can again.
pub(super) fn readable_again(output: &str, file: &TailFile) {
    tracing::info!(output, path = &*file.known.origin.path, "the file can be read again");
}

/// A path cannot be listed or opened.
pub(super) fn unusable_path(path: &Path, error: &io::Error) {
    tracing::error!(
        path = %path.display(), %error,
        "cannot be read, so its lines are not shipped; it is tried at each scan: give the user that auditship runs as \
         the right to read it (setfacl -m u:auditship:rX)"
    );
}

/// A folder cannot be watched.
pub(super) fn unwatchable(path: &Path, error: &notify::Error) {
    tracing::warn!(path = %path.display(), %error, "no notifications for this folder; it is scanned instead");
}

/// The labels of pods cannot be had.
pub(super) fn pods_unknown(source: &str, why: &str) {
    tracing::warn!(
        source,
        "the labels of pods cannot be had: {why}; files that are seen for the first time meanwhile go without those that \
         are not known yet, and nothing waits"
    );
}

/// They can again.
pub(super) fn pods_known_again(source: &str) {
    tracing::info!(source, "the labels of pods are known again");
}

/// Docker's file beside a log is of no use. Said once.
pub(super) fn silent_docker(log: &Path, error: &io::Error) {
    tracing::debug!(
        path = %log.display(), %error,
        "the config.v2.json beside this log cannot be used: its records have no name and no labels of the container; \
         later files of which that is so are not named"
    );
}

/// Some labels of a record became `__other__`.
pub(super) fn over_budget(label: &str, why: &str) {
    tracing::warn!(label, "{why}: further values become __other__; the record itself is delivered as it is");
}

fn label_text(labels: &LabelSet) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The question for acknowledgements is not answered, or is again.
pub(super) fn receipts(output: &str, change: Option<Change>) {
    match change {
        Some(Change::Stalled { cause, text }) => tracing::error!(
            output,
            cause = cause.name(),
            "cannot ask for acknowledgements: {text}; what was sent does not count as stored, and reading will pause"
        ),
        Some(Change::Recovered { after, .. }) => {
            tracing::info!(output, "acknowledgements are answered again after {:.1} s", after.as_secs_f64());
        }
        None => {}
    }
}

/// What the destination had taken is sent again.
pub(super) fn unacknowledged(output: &str, records: usize, why: &str) {
    tracing::warn!(
        output,
        records,
        why,
        "the destination took these records and does not say that it has stored them; they are sent again"
    );
}

/// Records of this stream come too late for it.
pub(super) fn late(output: &str, stream: Option<&LabelSet>, before: Nanos) {
    let stream = stream.map(label_text).unwrap_or_default();
    tracing::warn!(
        output,
        stream,
        "the destination takes nothing before {before} in this stream; such records go to the same labels with `late`, under \
         their own time"
    );
}

/// Records are stored under another time than their own.
pub(super) fn retimed(output: &str, records: usize, why: &str) {
    tracing::warn!(
        output,
        records,
        why,
        "no stream takes these records under their own time; they get another one, with their own in `auditship_time`"
    );
}

/// The oldest record is nearly too old for the destination to keep it.
pub(super) fn aged(output: &str, age: Duration, limit: Duration) {
    let hours = |time: Duration| time.as_secs() / 3600;
    tracing::error!(
        output,
        "the oldest record that is not acknowledged is {} h old; what is older than {} h the destination takes and does not keep",
        hours(age),
        hours(limit)
    );
}

/// Records are read that the destination takes and does not keep.
pub(super) fn too_old(output: &str, records: u64) {
    tracing::error!(
        output,
        records,
        "records are older than the destination keeps; it takes them all the same, and they will not be found there. Said \
         once an hour"
    );
}
