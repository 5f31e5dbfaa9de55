//! One content that is being read, shared by the threads that read it.

use super::backing::{Backing, mark_before};
use crate::{
    ack::FileKey,
    model::{FileName, Identity, Known, Mark, Nanos, Packing, Point},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::Metadata,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It may grow.
    Live,
    /// It has a successor, or was deleted, and was still long enough: a last line without a newline is its end. It
    /// is read on all the same when it does grow.
    Final,
    /// Its content was truncated away, and a copy of it is looked for: nothing can be read for now.
    Adrift,
    /// Its content was truncated away, and no copy of it was found; there is nothing more to read under this name.
    Replaced,
}

/// A content, and the file that it is read from. Readers use `read_at` on the one descriptor.
#[derive(Debug)]
pub struct TailFile {
    /// The number of this content in this process.
    pub key: FileKey,
    /// The number of the source that owns it.
    pub source: usize,
    /// What is persisted of it, as of when it was opened.
    pub known: Known,
    /// The same for all that was rotated from one file, and for that file.
    pub family: u64,
    /// When it was last written to, as of when it was opened, in nanoseconds since 1970: the order within a family.
    pub written: i64,
    /// The same, as of now.
    now: Mutex<Known>,
    /// Another file when the content was moved: from one that was truncated to its copy.
    backing: Mutex<Backing>,
    /// Counts these moves.
    moves: AtomicU64,
    life: AtomicU8,
    /// Counts the changes of length or time that a look has noticed.
    changes: AtomicU64,
    /// The length at the last look.
    size: AtomicU64,
    /// The greatest length that a reader has seen together with bytes of this content.
    verified: AtomicU64,
    /// The length at the look before the one that found it shorter; 0 while none has.
    shrunk_from: AtomicU64,
    /// By output.
    settled: Vec<Settled>,
    /// Ends of stretches that were read, with their marks, rising: what the content is known by beside its head, and a
    /// copy that was made before the last of them can be recognised all the same.
    trail: Mutex<Vec<(u64, Mark)>>,
}

/// So many ends are kept of a content.
const TRAIL: usize = 16;

/// How far an output is.
#[derive(Debug, Default)]
struct Settled {
    /// Up to here it needs nothing again; `u64::MAX` when it has let go of the file.
    position: AtomicU64,
    /// The last point that it has committed.
    point: Mutex<Option<Point>>,
}

impl TailFile {
    pub(super) fn new(
        key: FileKey,
        source: usize,
        known: Known,
        (family, written): (u64, i64),
        backing: Backing,
        size: u64,
        outputs: usize,
    ) -> TailFile {
        TailFile {
            key,
            source,
            family,
            written,
            now: Mutex::new(known.clone()),
            known,
            backing: Mutex::new(backing),
            moves: AtomicU64::new(0),
            life: AtomicU8::new(0),
            changes: AtomicU64::new(0),
            size: AtomicU64::new(size),
            verified: AtomicU64::new(0),
            shrunk_from: AtomicU64::new(0),
            settled: (0..outputs).map(|_| Settled::default()).collect(),
            trail: Mutex::default(),
        }
    }

    /// Its name at the destinations.
    pub fn name(&self) -> FileName {
        self.known.origin.name
    }

    /// What has become of it.
    pub fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Live,
            1 => Life::Final,
            2 => Life::Adrift,
            _ => Life::Replaced,
        }
    }

    pub(super) fn set_life(&self, life: Life) {
        let number = match life {
            Life::Live => 0,
            Life::Final => 1,
            Life::Adrift => 2,
            Life::Replaced => 3,
        };
        self.life.store(number, Ordering::Release);
    }

    /// What is persisted of it, as of now.
    pub fn known_now(&self) -> Known {
        lock(&self.now).clone()
    }

    /// Changes what is persisted of it. Returns it when it is another now.
    pub(super) fn update(&self, change: impl FnOnce(&mut Known)) -> Option<Known> {
        let mut now = lock(&self.now);
        let before = now.clone();
        change(&mut now);
        (*now != before).then(|| now.clone())
    }

    /// It was seen on `day`. Returns what is persisted when that is news.
    pub(super) fn seen_on(&self, day: Nanos) -> Option<Known> {
        let mut now = lock(&self.now);
        let is_news = std::mem::replace(&mut now.last_seen, day) != day;
        is_news.then(|| now.clone())
    }

    /// The mark of its first bytes. Looked at by readers that begin, and by scans while it grows.
    pub(super) fn head(&self) -> Mark {
        lock(&self.now).head
    }

    /// `bytes` are the first of the content, as far as somebody has seen it now; one who saw it first decides.
    pub(super) fn grow_head(&self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(Mark::MAX)];
        let mut now = lock(&self.now);
        if bytes.len() > now.head.len as usize && now.head.agrees(&bytes[..now.head.len as usize]) {
            now.head = Mark::of(bytes);
        }
    }

    pub(super) fn backing(&self) -> Backing {
        lock(&self.backing).clone()
    }

    pub(super) fn set_backing(&self, backing: Backing) {
        *lock(&self.backing) = backing;
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// How often the content was moved to another file: what a reader has found out counts for the file that it looked
    /// at only.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// A number that is another one after every change that was noticed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn note_change(&self, size: u64) {
        let before = self.size.swap(size, Ordering::AcqRel);
        if size < before {
            // Only the first time: what shrinks later is the content that came after this one.
            let _ = self.shrunk_from.compare_exchange(0, before, Ordering::AcqRel, Ordering::Acquire);
        }
        if size != before {
            self.take_back();
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// It is in another file now, of this length.
    pub(super) fn note_moved(&self, size: u64) {
        self.take_back();
        self.size.store(size, Ordering::Release);
        self.shrunk_from.store(0, Ordering::Release);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Its length in bytes at the last look.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn note_verified(&self, len: u64) {
        self.verified.fetch_max(len, Ordering::AcqRel);
    }

    /// The greatest length that this content is known to have had. Of one that was truncated away, its length now
    /// says nothing: that is the length of what came after it.
    pub fn known_len(&self) -> u64 {
        self.verified.load(Ordering::Acquire).max(self.shrunk_from.load(Ordering::Acquire))
    }

    /// What the file system says of the file that it is read from.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.backing().file.metadata()
    }

    /// How many bytes it has now.
    pub fn end(&self) -> io::Result<u64> {
        self.backing().end()
    }

    /// The first offset that can be read: more than 0 only of what was saved from a deleted file.
    pub fn base(&self) -> u64 {
        lock(&self.backing).base
    }

    /// Whether it is read from a compressed file.
    pub fn is_packed(&self) -> bool {
        lock(&self.backing).packing != Packing::Plain
    }

    /// Whether what was saved of it ends before the content did, so that nothing goes on in the file that came after it.
    pub fn is_cut(&self) -> bool {
        lock(&self.backing).is_cut
    }

    /// The first offset from `offset` on that is not in a hole of the file; `offset` where nothing is known of holes.
    pub fn next_data(&self, offset: u64) -> io::Result<u64> {
        let backing = self.backing();
        if backing.packing == Packing::Plain { backing.next_data(offset) } else { Ok(offset) }
    }

    /// The mark of the bytes before `offset`; of plain files only.
    pub fn mark_before(&self, offset: u64) -> io::Result<Mark> {
        let backing = self.backing();
        mark_before(&backing.file, offset.saturating_sub(backing.base))
    }

    /// The state has `point` of output number `output`, which does not let go of the file for now.
    pub fn set_committed(&self, output: usize, point: Point) {
        if let Some(settled) = self.settled.get(output) {
            settled.position.store(point.rewind, Ordering::Release);
            *lock(&settled.point) = Some(point);
        }
    }

    /// The point that the state has of output number `output`.
    pub fn committed(&self, output: usize) -> Option<Point> {
        self.settled.get(output).and_then(|settled| *lock(&settled.point))
    }

    /// A reader has read `bytes`, the first of the content, and framed them up to `end`, with this mark before it. Returns
    /// what is to be persisted before anything of it is sent: by what was known when it was opened it may not be found
    /// again.
    pub fn note_first(&self, bytes: &[u8], end: u64, mark: &Mark) -> Option<Known> {
        self.grow_head(bytes);
        // A line has a time or an id; the middle of one may be like others.
        let is_line = memchr::memchr(b'\n', &bytes[..bytes.len().min(Mark::MAX)]).is_some();
        let mut now = lock(&self.now);
        if !is_line && end > Mark::MAX as u64 {
            now.pin = now.pin.or(Some((end, *mark)));
        }
        let is_news = now.pin != self.known.pin || now.head.len > self.known.head.len;
        is_news.then(|| now.clone())
    }

    /// Output number `output` or another has read up to `end`, with this mark before it.
    pub fn note_read(&self, end: u64, mark: &Mark) {
        let mut trail = lock(&self.trail);
        if mark.len == 0 || trail.last().is_some_and(|(last, _)| *last >= end) {
            return;
        }
        if trail.len() == TRAIL {
            // Of what is long ago, every other one: few cover much.
            let mut nth = 0;
            trail.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
        }
        trail.push((end, *mark));
    }

    pub(super) fn trail(&self) -> Vec<(u64, Mark)> {
        lock(&self.trail).clone()
    }

    pub(super) fn set_trail(&self, trail: Vec<(u64, Mark)>) {
        *lock(&self.trail) = trail;
    }

    /// There is something to read again: every output that had let go of it holds it.
    fn take_back(&self) {
        (0..self.settled.len()).for_each(|output| self.hold(output));
    }

    /// Output number `output`, should it have let go of the file, needs it from its last point on.
    pub fn hold(&self, output: usize) {
        if let Some(settled) = self.settled.get(output)
            && let Some(point) = *lock(&settled.point)
        {
            let _ = settled.position.compare_exchange(u64::MAX, point.rewind, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Output number `output` is done with the file.
    pub fn let_go(&self, output: usize) {
        if let Some(settled) = self.settled.get(output) {
            settled.position.store(u64::MAX, Ordering::Release);
        }
    }

    pub(super) fn is_let_go(&self) -> bool {
        self.lowest() == u64::MAX
    }

    /// The position up to which no output needs anything again; `u64::MAX` when all have let go.
    pub(super) fn lowest(&self) -> u64 {
        let positions = self.settled.iter().map(|settled| settled.position.load(Ordering::Acquire));
        positions.min().unwrap_or(u64::MAX)
    }

    /// The committed points of the outputs, as far as there are any.
    pub(super) fn points(&self) -> Vec<Point> {
        self.settled.iter().filter_map(|settled| *lock(&settled.point)).collect()
    }

    /// Where the line after the last newline begins (0 when there is none in the last 64 MiB), and its mark. Of a
    /// compressed file, which does not grow, its end without a mark.
    pub fn end_of_last_line(&self) -> io::Result<(u64, Mark)> {
        const FURTHEST: u64 = 64 << 20;
        let backing = self.backing();
        let size = backing.end()?;
        if backing.packing != Packing::Plain {
            return Ok((size, Mark::default()));
        }
        let mut end = size;
        let mut chunk = vec![0; 64 * 1024];
        while end > 0 && size - end < FURTHEST {
            let start = end.saturating_sub(chunk.len() as u64);
            // At most the chunk's length.
            let wanted = (end - start) as usize;
            let n = backing.read_at(&mut chunk[..wanted], start)?;
            if let Some(newline) = memchr::memrchr(b'\n', &chunk[..n]) {
                let at = start + newline as u64 + 1;
                return Ok((at, mark_before(&backing.file, at)?));
            }
            end = start;
        }
        Ok((0, Mark::default()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is valid between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// hash(machine, device, inode, birth time or else the nonce, generation).
pub(super) fn name(machine: &[u8], identity: &Identity, nonce: u64, generation: u32) -> FileName {
    let mut hash = Sha256::new();
    hash.update((machine.len() as u64).to_le_bytes());
    hash.update(machine);
    hash.update(identity.device.to_le_bytes());
    hash.update(identity.inode.to_le_bytes());
    match identity.birth {
        Some(birth) => hash.update(birth.to_le_bytes()),
        None => hash.update(nonce.to_le_bytes()),
    }
    hash.update(generation.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    FileName(u64::from_be_bytes(first))
}
