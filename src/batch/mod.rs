//! Batch: records on their way to one request. A body lies in chunks of one size, taken from the lane's pool and
//! given back to it, so that the memory of a lane is a number of chunks and nothing else, whatever the backlog.

mod selection;
#[cfg(test)]
mod tests;

pub use selection::{Bases, Form, Records, Selection};

use crate::{ack::FileKey, model::Sink};
use std::{ops::Range, time::Duration};

/// The bytes of a chunk.
pub const CHUNK: usize = 16 * 1024;

/// The chunks of one lane. Grows when asked to; its owner stops reading when it [`Pool::is_full`].
#[derive(Debug)]
pub struct Pool {
    free: Vec<Box<[u8]>>,
    used: usize,
    limit: usize,
    /// Chunks' worth of memory that something else uses for a while.
    lent: usize,
}

impl Pool {
    /// A pool that is full when `bytes` are in use.
    pub fn new(bytes: usize) -> Pool {
        Pool { free: Vec::new(), used: 0, limit: (bytes / CHUNK).max(4), lent: 0 }
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.used >= self.limit()
    }

    /// As many bytes are used by something else from now on; never all of the pool.
    pub fn lend(&mut self, bytes: usize) {
        self.lent = bytes.div_ceil(CHUNK);
        while self.free.len() + self.used > self.limit() && self.free.pop().is_some() {}
    }

    fn limit(&self) -> usize {
        self.limit.saturating_sub(self.lent).max(4)
    }

    /// Whether `chunks` are more than half of the limit: the open batches' share.
    pub fn is_more_than_half(&self, chunks: usize) -> bool {
        chunks > self.limit() / 2
    }

    /// Bytes in use, in whole chunks.
    pub fn used(&self) -> usize {
        self.used * CHUNK
    }

    fn take(&mut self) -> Box<[u8]> {
        self.used += 1;
        self.free.pop().unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice())
    }

    /// Takes back the chunks of a body.
    pub fn give_back(&mut self, body: Body) {
        self.used = self.used.saturating_sub(body.chunks.len());
        self.free.extend(body.chunks);
    }
}

/// Bytes in chunks; all but the last are full.
#[derive(Debug, Default)]
pub struct Body {
    chunks: Vec<Box<[u8]>>,
    len: usize,
}

impl Body {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Chunks that it holds.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Where to append.
    pub fn writer<'a>(&'a mut self, pool: &'a mut Pool) -> Writer<'a> {
        Writer { body: self, pool }
    }

    /// Appends the bytes of `range`, as far as there are any, to `out`.
    pub fn copy_to(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut at = range.start;
        let end = range.end.min(self.len);
        while at < end {
            let inside = at % CHUNK;
            let n = (CHUNK - inside).min(end - at);
            let Some(chunk) = self.chunks.get(at / CHUNK) else { return };
            out.extend_from_slice(&chunk[inside..inside + n]);
            at += n;
        }
    }
}

/// Appends to a body, with chunks from a pool.
#[derive(Debug)]
pub struct Writer<'a> {
    body: &'a mut Body,
    pool: &'a mut Pool,
}

impl Sink for Writer<'_> {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let inside = self.body.len % CHUNK;
            if inside == 0 {
                self.body.chunks.push(self.pool.take());
            }
            let n = (CHUNK - inside).min(bytes.len());
            if let Some(chunk) = self.body.chunks.last_mut() {
                chunk[inside..inside + n].copy_from_slice(&bytes[..n]);
            }
            self.body.len += n;
            bytes = &bytes[n..];
        }
    }
}

/// Records of one stream, encoded, in the order in which they were read.
#[derive(Debug)]
pub struct Batch {
    /// The stream, as the lane numbers them.
    pub stream: u32,
    /// When it was opened, since the agent started.
    pub opened: Duration,
    /// The encoded records.
    pub body: Body,
    /// Where each record ends in the body.
    ends: Vec<u32>,
    /// For every file with records in it: the offset of the first.
    pub firsts: Vec<(FileKey, u64)>,
    /// Whether an earlier life may have sent some of it.
    pub is_doubtful: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new(stream: u32, opened: Duration) -> Batch {
        Batch { stream, opened, body: Body::default(), ends: Vec::new(), firsts: Vec::new(), is_doubtful: false }
    }

    /// Whether there is a record of `file` in it.
    pub fn has(&self, file: FileKey) -> bool {
        // Reading stays with one file for a while, so it is nearly always the last.
        self.firsts.iter().rev().any(|(key, _)| *key == file)
    }

    /// The bytes written to the body since the last record are a record.
    pub fn end_record(&mut self) {
        // A body ends near 2 MiB.
        self.ends.push(self.body.len as u32);
    }

    /// Records in it.
    pub fn records(&self) -> usize {
        self.ends.len()
    }

    /// The encoded bytes of one record. The cold path: they are copied.
    pub fn record(&self, record: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.copy_to(self.bytes_of(&(record..record + 1)), &mut bytes);
        bytes
    }

    /// Where the records `range` lie in the body.
    pub fn bytes_of(&self, range: &Range<usize>) -> Range<usize> {
        let end_of = |nth: usize| match nth {
            0 => 0,
            nth => self.ends.get(nth - 1).map_or(self.body.len, |end| *end as usize),
        };
        end_of(range.start)..end_of(range.end)
    }
}
