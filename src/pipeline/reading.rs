//! Reading: one turn at a file, from bytes to records in batches. The hot path: nothing in it allocates, locks or
//! calls the system per line.

use super::{
    alarm,
    files::{LaneFile, OpenLine},
    lane::{Lane, Mode},
    plan::wall_clock,
    succession::Turn,
};
use crate::{
    ack::FileKey,
    frame::{Framed, Framer, Step, Stream},
    model::{Digest, Mark, Marks, Nanos, Point, Record, Stamp, leaf},
    output::{Heads, StreamHead},
    parse::parse,
    state::Entry,
    tail::{Buffer, Burst, Life, TURN},
};
use std::{io, time::Duration};

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing more to read for now.
    Dry,
    /// There is more.
    More,
    /// It could not be read: to be tried again when the lane has nothing else to do.
    Failed,
}

impl Lane {
    /// One turn at the file: at most one buffer full.
    pub(super) fn turn(&mut self, key: FileKey, now: Duration) {
        let Some(mut file) = self.files.remove(&key) else { return };
        if let Some(other) = self.unpacked_first(&file) {
            // It takes this turn: in the queue of their family it may be behind this one, and would never have one.
            self.ready.push(&file.file);
            self.files.insert(key, file);
            if let Some(other) = self.files.get(&other) {
                self.ready.remove(&other.file);
            }
            return self.turn(other, now);
        }
        file.is_queued = false;
        self.wall_clock = wall_clock();
        // Let go or not: there may be something to hold it for again.
        file.file.hold(self.plan.index);
        // Taken out, so that the lane can change while bytes of it are worked on.
        let mut buffer = std::mem::take(&mut self.buffer);
        let changes = file.file.changes();
        let end = self.burst(&mut file, &mut buffer, now);
        // What failed changes nothing: it must not be what wakes the lane to try it again.
        self.shown.is_stale |= end != End::Failed;
        match end {
            End::Dry => file.looked = Some(changes),
            End::Failed => file.looked = None,
            End::More => {
                file.is_queued = true;
                self.ready.push(&file.file);
            }
        }
        if let Some(buffer) = buffer.as_mut().filter(|buffer| buffer.unpacks().is_some()) {
            if buffer.unpacks() == Some(key) && !file.is_queued {
                buffer.stop_unpacking();
            }
            // What it takes is taken from the batches.
            self.batches.pool.lend(buffer.unpacking_memory());
        }
        self.buffer = buffer;
        self.files.insert(key, file);
        self.let_go_when_done(key);
    }

    /// The compressed file that is being read, where this one is another: it would have to begin anew.
    fn unpacked_first(&self, file: &LaneFile) -> Option<FileKey> {
        let unpacks = self.buffer.as_ref().and_then(Buffer::unpacks).filter(|key| *key != file.file.key)?;
        let is_unfinished = self.files.get(&unpacks).is_some_and(|other| other.is_queued);
        (is_unfinished && file.file.is_packed()).then_some(unpacks)
    }

    fn burst(&mut self, file: &mut LaneFile, buffer: &mut Option<Buffer>, now: Duration) -> End {
        match file.file.life() {
            Life::Live | Life::Final => {}
            Life::Adrift => return End::Dry,
            Life::Replaced => {
                self.is_over(file);
                self.wake_waiting(file.file.family);
                return End::Dry;
            }
        }
        // A copy of it turned up after all.
        file.is_over = false;
        if !self.take_over(file, now) {
            return End::Dry;
        }
        let moves = file.file.moves();
        let buffer = buffer.get_or_insert_default();
        // Before it is read: what comes into a newer file was written after all of this one.
        let newer = self.newer(file);
        let skipped = if file.place.framer.is_in_gap() { self.skip_hole(file) } else { Ok(()) };
        match skipped.and_then(|()| buffer.read(&file.file, file.place.at, &file.place.mark)) {
            Ok(Burst::Data { bytes, before }) => {
                if file.failing_since.take().is_some() {
                    alarm::readable_again(&self.plan.name, &file.file);
                }
                self.frame_all(file, bytes, before, newer, now)
            }
            Ok(Burst::Replaced) => {
                // The follow thread gives the new content a name, and looks for a copy of this one; several lanes may
                // say so.
                (self.on_replaced)(file.file.key, moves);
                End::Dry
            }
            Err(error) => {
                if file.failing_since.is_none() {
                    file.failing_since = Some(now);
                    alarm::unreadable(&self.plan.name, &file.file, &error);
                }
                self.wake_waiting(file.file.family);
                End::Failed
            }
        }
    }

    /// Passes over a hole of the file without reading it: there are only NUL bytes in it. The last of them stays, as in
    /// framing.
    #[cold]
    fn skip_hole(&mut self, file: &mut LaneFile) -> io::Result<()> {
        let data = file.file.next_data(file.place.at)?;
        let data = if self.mode == Mode::Once { data.min(file.file.size()) } else { data };
        let skipped = data.saturating_sub(1).saturating_sub(file.place.at);
        if skipped < TURN as u64 {
            return Ok(());
        }
        let mark = file.file.mark_before(file.place.at + skipped)?;
        file.place.at += skipped;
        file.place.mark = mark;
        self.counts.read_bytes += skipped;
        self.counts.passed_bytes += skipped;
        let rewind = file.place.framer.rewind(file.place.at);
        let mark = file.place.mark_of(rewind, &[], &file.file);
        self.scanned(file, file.place.point_with(rewind, mark));
        Ok(())
    }

    /// Everything of the file before `point` is in a batch, was passed over or was settled in an earlier life.
    pub(super) fn scanned(&mut self, file: &LaneFile, point: Point) {
        // Where that life was done, what is needed again may be less than it was then.
        if point.at >= file.place.done {
            self.ledger.scanned(file.file.key, point);
            self.dirty.insert(file.file.key);
        }
    }

    /// The content is gone.
    fn is_over(&mut self, file: &mut LaneFile) {
        if !std::mem::replace(&mut file.is_over, true) {
            let unread = file.file.known_len().saturating_sub(file.place.at);
            self.counts.lost_bytes += unread;
            alarm::truncated(&self.plan.name, &file.file, unread);
        }
    }

    fn frame_all(
        &mut self,
        file: &mut LaneFile,
        bytes: &[u8],
        before: usize,
        newer: (bool, bool),
        now: Duration,
    ) -> End {
        let bytes = match self.mode {
            Mode::Follow => bytes,
            // What is written from now on is for the next run.
            Mode::Once => {
                let wanted = usize::try_from(file.file.size().saturating_sub(file.place.at)).unwrap_or(usize::MAX);
                &bytes[..bytes.len().min(before.saturating_add(wanted))]
            }
        };
        let (mut pos, held) = (before, file.place.framer.held());
        if matches!(file.turn, Turn::Complete | Turn::Handed(_)) {
            if bytes.len() - before <= held as usize {
                return End::Dry;
            }
            if file.turn != Turn::Complete {
                // Written to a file that has a successor: what was open goes on there all the same.
                self.release(file);
                pos += held as usize;
            }
            file.turn = Turn::Begun;
        }
        // Taken out, so that the file can change while bytes that it holds are worked on.
        let mut framer = std::mem::take(&mut file.place.framer);
        let (start, end) = (file.place.at, self.steps(file, &mut framer, bytes, &mut pos, newer, now));
        let rewind = framer.rewind(file.place.at);
        if file.place.at > start {
            file.place.mark = Mark::of(&bytes[..pos]);
            file.file.note_read(file.place.at, &file.place.mark);
            self.counts.read_bytes += file.place.at - start;
            if start == 0
                && let Some(known) = file.file.note_first(&bytes[..pos], file.place.at, &file.place.mark)
            {
                self.store.append([Entry::File(known)]);
                self.needs_sync = true;
            }
        }
        // What was open can end without a byte.
        if file.place.at > start || file.place.rewind_mark.is_some_and(|(before, _)| before != rewind) {
            let mark = file.place.mark_of(rewind, &bytes[..pos], &file.file);
            file.place.rewind_to(rewind, mark);
            self.scanned(file, file.place.point_with(rewind, mark));
        }
        file.place.ahead = match framer.held() as usize {
            0 => file.place.mark,
            // A copy can be shorter than what was read of its source.
            held => bytes.get(..pos + held).map_or(file.place.ahead, Mark::of),
        };
        if end == End::Dry {
            framer.shrink();
        }
        file.place.framer = framer;
        if end == End::Dry && newer.1 {
            self.completed(file);
        }
        end
    }

    /// All steps over `bytes`, of which those before `pos` have been framed.
    fn steps(
        &mut self,
        file: &mut LaneFile,
        framer: &mut Framer,
        bytes: &[u8],
        pos: &mut usize,
        newer: (bool, bool),
        now: Duration,
    ) -> End {
        // Otherwise this is all that there is for now.
        let is_full_read = bytes.len() - *pos == TURN;
        // The ledger knows of everything before this.
        let mut scanned = file.place.at.max(file.place.done);
        loop {
            if self.is_full(file.place.at.saturating_sub(scanned)) {
                return End::More;
            }
            let (rest, before) = (&bytes[*pos..], &bytes[..*pos]);
            let (at, rewind) = (file.place.at, framer.rewind(file.place.at));
            let step = match framer.next(&file.frame, rest, at) {
                Step::More if newer.1 && !is_full_read && !file.file.is_cut() => {
                    framer.last_line(&file.frame, rest, at)
                }
                Step::More if self.is_end_of_all(file, newer.0) && ends_here(file, rest) => {
                    framer.last(&file.frame, rest, at)
                }
                step => step,
            };
            let end = match step {
                Step::More => {
                    file.tail = rest.len() as u64;
                    return if is_full_read { End::More } else { End::Dry };
                }
                Step::Passed { end } => {
                    self.counts.passed_bytes += end - at;
                    end
                }
                Step::Record(framed) => {
                    if self.record(file, &framed, Marks::NONE, rewind, before, now) {
                        scanned = at;
                    }
                    framed.end
                }
                Step::Gap { start, end } => {
                    if self.gap(file, start, end, rewind, before, now) {
                        scanned = at;
                    }
                    end
                }
            };
            // A step never ends behind the bytes that it was given.
            *pos += (end - at) as usize;
            file.place.at = end;
        }
    }

    /// Puts a record into the batch of its stream. `before`: the bytes before it. Returns whether the ledger was told
    /// of its place.
    fn record(
        &mut self,
        file: &mut LaneFile,
        framed: &Framed<'_>,
        marks: Marks,
        rewind: u64,
        before: &[u8],
        now: Duration,
    ) -> bool {
        let (time, stream, found) = self.describe(file, framed);
        let mut marks = marks.with(found);
        if framed.end <= file.place.done {
            // Settled in an earlier life; only the rest of its line is of interest.
            return false;
        }
        if framed.is_unterminated {
            marks = marks.with(Marks::UNTERMINATED);
        }
        let leaf = leaf(framed.body);
        let place = &mut file.place;
        let record = Record {
            body: framed.body,
            offset: framed.offset,
            seq: place.seq + 1,
            leaf,
            time,
            marks,
            part: framed.part,
        };
        let key = file.file.key;
        let bin = if self.plan.output.is_by_stream() { stream } else { 0 };
        let batch = self.batches.open(bin, now, self.counts.read_bytes);
        let is_first = !batch.has(key);
        if is_first {
            let mark = place.mark_of(rewind, before, &file.file);
            let at_mark = if rewind < place.at { Mark::of(before) } else { mark };
            let point = place.point_from(rewind, mark, at_mark);
            batch.firsts.push((key, place.at));
            batch.is_doubtful |= place.at < place.sent;
            self.ledger.open(key, point, time);
        }
        place.seq += 1;
        place.chain = place.chain.next(&leaf);
        // The line's own, not its part's: read again from the line's start, this is where its time comes from.
        let line = place.open[which(framed)].filter(|_| framed.part.is_some());
        place.time = Some(line.map_or(time, |line| line.time));
        self.counts.note(&record);
        if self.plan.output.max_age().is_some_and(|limit| is_older(time, self.wall_clock, limit)) {
            self.note_old(now);
        }
        self.note_twin(stream, time, &leaf);
        let default = StreamHead::default();
        let head = self.heads.get(stream as usize).unwrap_or(&default);
        let heads = Heads { file: &file.head, stream: head, now: self.wall_clock };
        self.batches.put(bin, &self.plan.output, &record, heads);
        is_first
    }

    /// Says where NUL bytes were instead of lines.
    #[cold]
    fn gap(&mut self, file: &mut LaneFile, start: u64, end: u64, rewind: u64, before: &[u8], now: Duration) -> bool {
        let text = format!("{{\"auditship\":\"gap\",\"offset\":{start},\"bytes\":{}}}", end - start);
        let body = text.as_bytes();
        let framed = Framed {
            body,
            offset: start,
            end,
            part: None,
            is_unterminated: false,
            head: Some(body),
            is_head_whole: true,
            is_malformed: false,
            time: None,
            stream: None,
        };
        if end > file.place.done {
            alarm::gap(&self.plan.name, &file.file, start, end - start);
        }
        self.record(file, &framed, Marks::GAP, rewind, before, now)
    }

    /// Loki keeps one of two entries with equal time and line in a stream. Times that were written less finely than
    /// nanoseconds are filled so that this cannot happen; of the others only neighbours in their stream are seen.
    fn note_twin(&mut self, stream: u32, time: Nanos, leaf: &Digest) {
        let index = stream as usize;
        if index >= self.last.len() {
            self.last.resize(index + 1, (Nanos::default(), Digest::default()));
        }
        let last = &mut self.last[index];
        if (last.0, &last.1) == (time, leaf) {
            if self.counts.twins == 0 {
                alarm::twins(&self.plan.name, self.streams.labels_at(index));
            }
            self.counts.twins += 1;
        }
        *last = (time, *leaf);
    }

    /// The record's time, stream and marks; a part after the first has those of its line.
    fn describe(&mut self, file: &mut LaneFile, framed: &Framed<'_>) -> (Nanos, u32, Marks) {
        let place = &mut file.place;
        let of_part = |line: OpenLine, number: u32| {
            // Equal parts of one line must not be equal records to a destination that keeps one of two.
            let time = Nanos(line.time.0.saturating_add(i64::from(number) - 1));
            let is_text = std::str::from_utf8(framed.body).is_ok();
            (time, line.stream, if is_text { Marks::NONE } else { Marks::INVALID_UTF8 })
        };
        let Some(head) = framed.head else {
            let line =
                place.open[which(framed)].unwrap_or(OpenLine { time: file.file.known.origin.first_seen, stream: 0 });
            return of_part(line, framed.part.map_or(1, |part| part.number));
        };
        let parsed = parse(&self.plan.labelling.wanted, head);
        let salt = file.file.name().0.wrapping_add(framed.offset);
        let time = match parsed.time.or(framed.time) {
            Some(stamp) => stamp.filled(salt),
            None => fallback(place.time.unwrap_or(file.file.known.origin.first_seen)).filled(salt),
        };
        let stream = self.stream_of(&parsed.fields, &file.labels);
        let frame = if framed.is_malformed { Marks::MALFORMED } else { Marks::NONE };
        if framed.part.is_none() {
            return (time, stream, parsed.marks.with(frame));
        }
        place.open[which(framed)] = Some(OpenLine { time, stream });
        let (time, stream, marks) = of_part(OpenLine { time, stream }, 1);
        // Of a line that is longer than what was looked at nobody knows how it ends.
        let is_malformed = framed.is_head_whole && parsed.marks.has(Marks::MALFORMED);
        (time, stream, if is_malformed { marks.with(Marks::MALFORMED) } else { marks.with(frame) })
    }
}

/// The time of a record that has none, from the previous record's, else the file's first sight. The fallback of a time
/// that was filled is the fallback of the time before it.
fn fallback(before: Nanos) -> Stamp {
    let time = Nanos(before.0.saturating_sub(before.0.rem_euclid(Nanos::MILLI)));
    Stamp { time, unit: Nanos::MILLI }
}

/// Whether a time lies so far before now.
fn is_older(time: Nanos, now: Nanos, limit: Duration) -> bool {
    i128::from(now.0) - i128::from(time.0) > limit.as_nanos().cast_signed()
}

/// Which of the open lines of a file a record is of.
fn which(framed: &Framed<'_>) -> usize {
    usize::from(framed.stream == Some(Stream::Stderr))
}

/// Whether `rest` is the last line of a file that will not grow any more.
fn ends_here(file: &LaneFile, rest: &[u8]) -> bool {
    file.file.life() == Life::Final && file.place.at + rest.len() as u64 == file.file.size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_missing_comes_from_the_one_before() {
        fn check(before: i64, expect: i64) {
            let stamp = fallback(Nanos(before));
            assert_eq!(stamp.time, Nanos(expect));
            for salt in [0, 1, 999_999] {
                assert_eq!(fallback(stamp.filled(salt)), stamp);
            }
        }
        check(5_999_999, 5_000_000);
        check(-1, -1_000_000);
        // The earliest time that a line can have.
        assert_eq!(fallback(Nanos(i64::MIN)).time, Nanos(i64::MIN));
    }
}
