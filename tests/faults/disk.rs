//! A disk in memory that forgets what was not synced when its power is cut, and keeps a journal of everything that was
//! done to it: the same run can be cut at any place, and with different luck.
//!
//! What is kept after a cut, as on ext4, XFS and ext2: the bytes of a file up to its last sync, the names in a folder up
//! to the folder's last sync. Of what came later each page of 4 KiB is as it was at some moment of its own, as is the
//! file's length; pages that were not written yet read as zeros. A sync of a file does not keep its name.

use fastrand::Rng;
use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    time::{Duration, Instant, SystemTime},
};

const PAGE: usize = 4096;
/// How long the machine is off after a cut.
const AWAY: Duration = Duration::from_secs(60);
pub(crate) const ROOT: u64 = 1;

/// A file or a folder, by its inode.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) mode: u16,
    pub(crate) changed: SystemTime,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, u64>),
}

/// What was done.
#[derive(Clone)]
enum Op {
    /// `inode` got this name.
    Link {
        folder: u64,
        name: OsString,
        inode: u64,
    },
    Unlink {
        folder: u64,
        name: OsString,
    },
    Write {
        inode: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        inode: u64,
        len: usize,
    },
    /// A file or a folder.
    Sync {
        inode: u64,
    },
}

/// How much of what was not synced is there after the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    /// Nothing.
    None,
    /// Each page, length and folder as of some moment.
    Some,
    /// The same, but names of different folders are of the same moment: a journal's order.
    Ordered,
    /// All of it.
    All,
}

#[derive(Default)]
pub(crate) struct Disk {
    nodes: HashMap<u64, Node>,
    /// As of the beginning of the journal; all of it synced.
    base: HashMap<u64, Node>,
    journal: Vec<(Instant, Op)>,
    /// Every node that there was at the end of the journal, once that has ended; what is done later is not in it.
    ended: Option<HashMap<u64, Node>>,
    next: u64,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let root = Node { mode: 0o700, changed: SystemTime::now(), kind: Kind::Folder(BTreeMap::new()) };
        Disk { nodes: HashMap::from([(ROOT, root)]), next: ROOT + 1, ..Disk::default() }
    }

    /// Everything is on the disk; the journal begins here.
    pub(crate) fn settle(&mut self) {
        self.base = self.nodes.clone();
        self.journal.clear();
    }

    /// The journal ends.
    pub(crate) fn end(&mut self) {
        self.ended = Some(self.nodes.clone());
    }

    /// How many things were done.
    pub(crate) fn len(&self) -> usize {
        self.journal.len()
    }

    /// When the first `at` of them were done.
    pub(crate) fn time(&self, at: usize) -> Instant {
        self.journal[at - 1].0
    }

    pub(crate) fn get(&self, inode: u64) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    pub(crate) fn get_mut(&mut self, inode: u64) -> Option<&mut Node> {
        self.nodes.get_mut(&inode)
    }

    pub(crate) fn bytes(&self, inode: u64) -> &[u8] {
        match self.nodes.get(&inode).map(|node| &node.kind) {
            Some(Kind::File(bytes)) => bytes,
            _ => &[],
        }
    }

    pub(crate) fn find(&self, folder: u64, name: &OsStr) -> Option<u64> {
        match &self.nodes.get(&folder)?.kind {
            Kind::Folder(names) => names.get(name).copied(),
            Kind::File(_) => None,
        }
    }

    pub(crate) fn make(&mut self, folder: u64, name: &OsStr, mode: u16, kind: Kind) -> u64 {
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, Node { mode, changed: SystemTime::now(), kind });
        self.note(Op::Link { folder, name: name.to_owned(), inode });
        inode
    }

    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> bool {
        let Some(inode) = self.find(from.0, from.1) else { return false };
        self.note(Op::Unlink { folder: from.0, name: from.1.to_owned() });
        self.note(Op::Link { folder: to.0, name: to.1.to_owned(), inode });
        true
    }

    pub(crate) fn unlink(&mut self, folder: u64, name: &OsStr) -> bool {
        let is_there = self.find(folder, name).is_some();
        if is_there {
            self.note(Op::Unlink { folder, name: name.to_owned() });
        }
        is_there
    }

    /// Writes; without an offset to the end.
    pub(crate) fn write(&mut self, inode: u64, offset: Option<usize>, bytes: &[u8]) {
        let offset = offset.unwrap_or_else(|| self.bytes(inode).len());
        self.note(Op::Write { inode, offset, bytes: bytes.to_vec() });
    }

    pub(crate) fn resize(&mut self, inode: u64, len: usize) {
        self.note(Op::Resize { inode, len });
    }

    pub(crate) fn sync(&mut self, inode: u64) {
        self.note(Op::Sync { inode });
    }

    fn note(&mut self, op: Op) {
        apply_names(&mut self.nodes, &op);
        if let Op::Write { inode, .. } | Op::Resize { inode, .. } = op
            && let Some(Node { kind: Kind::File(bytes), changed, .. }) = self.nodes.get_mut(&inode)
        {
            *changed = SystemTime::now();
            apply_bytes(bytes, &op);
        }
        if self.ended.is_none() {
            self.journal.push((Instant::now(), op));
        }
    }

    /// The moments in which something below `folder` was synced.
    pub(crate) fn syncs(&self, folder: u64) -> Vec<usize> {
        let inside = self.below(folder);
        let is_one = |op: &Op| matches!(op, Op::Sync { inode } if inside.contains(inode));
        (1..=self.len()).filter(|at| is_one(&self.journal[at - 1].1)).collect()
    }

    /// The inodes that were below a folder at any time.
    fn below(&self, folder: u64) -> Vec<u64> {
        let mut inside = vec![folder];
        let base = self.base.iter().filter_map(|(inode, node)| match &node.kind {
            Kind::Folder(names) => Some(names.values().map(|child| (*inode, *child))),
            Kind::File(_) => None,
        });
        let linked = self.journal.iter().filter_map(|(_, op)| match op {
            Op::Link { folder, inode, .. } => Some((*folder, *inode)),
            _ => None,
        });
        for (parent, child) in base.flatten().chain(linked) {
            if inside.contains(&parent) {
                inside.push(child);
            }
        }
        inside
    }

    /// A file as it was after the first `at` things.
    pub(crate) fn bytes_at(&self, inode: u64, at: usize) -> Vec<u8> {
        self.file(inode, at, Luck::All, &mut Rng::with_seed(0))
    }

    /// After the end of the journal: the disk as a cut after the first `at` things leaves it.
    pub(crate) fn cut(&mut self, at: usize, luck: Luck, rng: &mut Rng) {
        let synced = |inode: u64| {
            let is_it = |op: &Op| matches!(op, Op::Sync { inode: other } if *other == inode);
            self.journal[..at].iter().rposition(|(_, op)| is_it(op)).map_or(0, |n| n + 1)
        };
        let mut left = HashMap::new();
        let mut next = vec![ROOT];
        let common = rng.usize(..=at);
        while let Some(inode) = next.pop() {
            if left.contains_key(&inode) {
                continue;
            }
            let Some(mut node) = self.ended.as_ref().and_then(|nodes| nodes.get(&inode)).cloned() else { continue };
            match &mut node.kind {
                Kind::File(bytes) => *bytes = self.file(inode, at, luck, rng),
                Kind::Folder(names) => {
                    let until = match luck {
                        Luck::None => synced(inode),
                        Luck::Some => rng.usize(synced(inode)..=at),
                        Luck::Ordered => common.max(synced(inode)),
                        Luck::All => at,
                    };
                    *names = self.names(inode, until);
                    next.extend(names.values());
                }
            }
            // Nobody was quick to switch it on again.
            node.changed -= AWAY;
            left.insert(inode, node);
        }
        // An inode that is lost is given to the next file.
        self.next = left.keys().max().map_or(self.next, |highest| highest + 1);
        self.nodes = left;
    }

    fn names(&self, folder: u64, until: usize) -> BTreeMap<OsString, u64> {
        let empty = || Node { mode: 0, changed: SystemTime::UNIX_EPOCH, kind: Kind::Folder(BTreeMap::new()) };
        let mut nodes = HashMap::from([(folder, self.base.get(&folder).cloned().unwrap_or_else(empty))]);
        self.journal[..until].iter().for_each(|(_, op)| apply_names(&mut nodes, op));
        match nodes.remove(&folder).map(|node| node.kind) {
            Some(Kind::Folder(names)) => names,
            _ => BTreeMap::new(),
        }
    }

    fn file(&self, inode: u64, at: usize, luck: Luck, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = match self.base.get(&inode).map(|node| &node.kind) {
            Some(Kind::File(bytes)) => bytes.clone(),
            _ => Vec::new(),
        };
        let ops: Vec<&Op> =
            self.journal[..at].iter().map(|(_, op)| op).filter(|op| op.file() == Some(inode)).collect();
        let synced = ops.iter().rposition(|op| matches!(op, Op::Sync { .. })).map_or(0, |n| n + 1);
        ops[..synced].iter().for_each(|op| apply_bytes(&mut bytes, op));
        let late = &ops[synced..];
        match luck {
            Luck::None => return bytes,
            Luck::All => {
                late.iter().for_each(|op| apply_bytes(&mut bytes, op));
                return bytes;
            }
            Luck::Some | Luck::Ordered => {}
        }
        let mut whole = bytes.clone();
        let mut lens = vec![bytes.len()];
        for op in late {
            apply_bytes(&mut whole, op);
            lens.push(whole.len());
        }
        let len = lens[rng.usize(..lens.len())];
        bytes.resize(len.max(whole.len()), 0);
        // When each page was written for the last time.
        let moments: Vec<usize> = (0..=bytes.len() / PAGE).map(|_| rng.usize(..=late.len())).collect();
        for (moment, op) in late.iter().enumerate() {
            if let Op::Write { offset, bytes: new, .. } = op {
                for (n, byte) in new.iter().enumerate() {
                    let place = offset + n;
                    if moment < moments[place / PAGE] {
                        bytes[place] = *byte;
                    }
                }
            }
        }
        bytes.truncate(len);
        bytes
    }
}

impl Op {
    fn file(&self) -> Option<u64> {
        match self {
            Op::Write { inode, .. } | Op::Resize { inode, .. } | Op::Sync { inode } => Some(*inode),
            Op::Link { .. } | Op::Unlink { .. } => None,
        }
    }
}

fn apply_bytes(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, bytes: new, .. } => {
            bytes.resize(bytes.len().max(offset + new.len()), 0);
            bytes[*offset..offset + new.len()].copy_from_slice(new);
        }
        Op::Resize { len, .. } => bytes.resize(*len, 0),
        Op::Sync { .. } | Op::Link { .. } | Op::Unlink { .. } => {}
    }
}

fn apply_names(nodes: &mut HashMap<u64, Node>, op: &Op) {
    let (Op::Link { folder, .. } | Op::Unlink { folder, .. }) = op else { return };
    let Some(Node { kind: Kind::Folder(names), .. }) = nodes.get_mut(folder) else { return };
    match op {
        Op::Link { name, inode, .. } => _ = names.insert(name.clone(), *inode),
        Op::Unlink { name, .. } => _ = names.remove(name),
        _ => {}
    }
}

#[test]
fn a_cut_keeps_what_was_synced_and_nothing_else() {
    let mut disk = Disk::new();
    let name = OsStr::new;
    let kept = disk.make(ROOT, name("kept"), 0o600, Kind::File(Vec::new()));
    disk.settle();
    disk.write(kept, None, b"synced ");
    disk.sync(kept);
    disk.write(kept, None, b"not");
    let new = disk.make(ROOT, name("new"), 0o600, Kind::File(Vec::new()));
    disk.write(new, None, b"a page");
    disk.sync(new);
    let unnamed = disk.len();
    disk.sync(ROOT);
    disk.rename((ROOT, name("new")), (ROOT, name("newer")));
    let mut rng = Rng::with_seed(1);
    let end = disk.len();
    disk.end();
    disk.cut(unnamed, Luck::None, &mut rng);
    assert_eq!((disk.bytes(kept), disk.find(ROOT, name("new"))), (&b"synced "[..], None));
    disk.cut(end, Luck::None, &mut rng);
    assert_eq!((disk.find(ROOT, name("new")), disk.find(ROOT, name("newer"))), (Some(new), None));
    assert_eq!(disk.bytes(new), b"a page");
    disk.cut(end, Luck::All, &mut rng);
    assert_eq!((disk.bytes(kept), disk.find(ROOT, name("newer"))), (&b"synced not"[..], Some(new)));
    let mut seen: Vec<Vec<u8>> = (0..100)
        .map(|_| {
            disk.cut(end, Luck::Some, &mut rng);
            disk.bytes(kept).to_vec()
        })
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [&b"synced "[..], b"synced \0\0\0", b"synced not"]);
}
