//! The open batches of a lane, and those that are sealed and wait to be sent.

use crate::{
    batch::{Batch, Form, Pool},
    model::Record,
    output::{Heads, Output},
    send::Work,
};
use std::{collections::VecDeque, time::Duration};

/// When a batch was opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    stream: u32,
    /// Since the agent started.
    at: Duration,
    /// How many bytes the lane had read.
    read: u64,
}

/// A batch with as much is sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub bytes: usize,
    pub records: usize,
}

/// The open batches of a lane, by stream, and their memory.
#[derive(Debug)]
pub(super) struct Batches {
    pub pool: Pool,
    open: Vec<Option<Batch>>,
    /// In the order of opening; a stream that was sealed since is passed over.
    order: VecDeque<Opened>,
    open_chunks: usize,
    most: Most,
    plainest: Form,
    /// Sealed, in the order in which they are to be sent.
    pub sealed: VecDeque<Work>,
}

impl Batches {
    pub(super) fn new(pool: Pool, most: Most, plainest: Form) -> Batches {
        let (open, order, sealed) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Batches { pool, open, order, open_chunks: 0, most, plainest, sealed }
    }

    /// The open batch of `stream`; opened now, when the lane has read `read` bytes, if there is none.
    pub(super) fn open(&mut self, stream: u32, now: Duration, read: u64) -> &mut Batch {
        let index = stream as usize;
        if index >= self.open.len() {
            self.open.resize_with(index + 1, || None);
        }
        let order = &mut self.order;
        self.open[index].get_or_insert_with(|| {
            order.push_back(Opened { stream, at: now, read });
            Batch::new(stream, now)
        })
    }

    /// Adds a record to the open batch of `stream`, and seals what is large enough.
    pub(super) fn put(&mut self, stream: u32, output: &Output, record: &Record<'_>, heads: Heads<'_>) {
        let Some(batch) = self.open.get_mut(stream as usize).and_then(Option::as_mut) else { return };
        let chunks = batch.body.chunks();
        output.encode(&mut batch.body.writer(&mut self.pool), record, heads);
        batch.end_record();
        self.open_chunks += batch.body.chunks() - chunks;
        if batch.body.len() >= self.most.bytes || batch.records() >= self.most.records {
            self.seal(stream);
        } else if batch.body.chunks() != chunks && self.pool.is_more_than_half(self.open_chunks) {
            self.seal_largest();
        }
    }

    fn seal(&mut self, stream: u32) {
        if let Some(batch) = self.open.get_mut(stream as usize).and_then(Option::take) {
            self.open_chunks -= batch.body.chunks();
            self.sealed.push_back(Work::new(batch, self.plainest));
        }
    }

    #[cold]
    fn seal_largest(&mut self) {
        let size = |batch: &Option<Batch>| batch.as_ref().map_or(0, |batch| batch.body.len());
        let largest = (0u32..).zip(&self.open).max_by_key(|(_, batch)| size(batch)).map(|(stream, _)| stream);
        if let Some(stream) = largest {
            self.seal(stream);
        }
    }

    /// Seals the batches that were opened at `until` or before, or before the lane had read `read` bytes.
    pub(super) fn seal_due(&mut self, until: Duration, read: u64) {
        while let Some(opened) = self.order.front().copied() {
            if opened.at > until && opened.read >= read {
                break;
            }
            self.order.pop_front();
            if self.is_open(opened) {
                self.seal(opened.stream);
            }
        }
    }

    /// Records in open and sealed batches.
    pub(super) fn records(&self) -> u64 {
        let open = self.open.iter().flatten().map(|batch| batch.records() as u64);
        open.chain(self.sealed.iter().map(|work| work.batch.records() as u64)).sum()
    }

    /// When the oldest open batch was opened.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.order.iter().find(|opened| self.is_open(**opened)).map(|opened| opened.at)
    }

    /// Whether it has not been sealed since.
    fn is_open(&self, opened: Opened) -> bool {
        let batch = self.open.get(opened.stream as usize).and_then(Option::as_ref);
        batch.is_some_and(|batch| batch.opened == opened.at)
    }
}
