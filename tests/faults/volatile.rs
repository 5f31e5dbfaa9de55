//! The [`Disk`] as a file system of the kernel's, by FUSE: what real processes do to it can be cut off.

use crate::disk::{Disk, Kind, Node, ROOT};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// Nothing is remembered by the kernel: the disk changes behind its back when it is cut.
const TTL: Duration = Duration::ZERO;

pub(crate) struct Volatile {
    disk: Arc<Mutex<Disk>>,
    /// Unmounts when dropped.
    _session: BackgroundSession,
}

impl Volatile {
    pub(crate) fn mount(at: &Path) -> io::Result<Volatile> {
        let disk = Arc::new(Mutex::new(Disk::new()));
        let session = fuser::spawn_mount(Door(Arc::clone(&disk)), at, &Config::default())?;
        Ok(Volatile { disk, _session: session })
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Door(Arc<Mutex<Disk>>);

impl Door {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attributes(inode: u64, node: &Node) -> FileAttr {
    let (kind, size) = match &node.kind {
        Kind::File(bytes) => (FileType::RegularFile, bytes.len() as u64),
        Kind::Folder(_) => (FileType::Directory, 0),
    };
    let time = node.changed;
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: node.mode & 0o7777,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn done(is_done: bool, reply: ReplyEmpty) {
    if is_done { reply.ok() } else { reply.error(Errno::ENOENT) }
}

impl Filesystem for Door {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        let found = disk.find(parent.0, name).and_then(|inode| Some((inode, disk.get(inode)?)));
        match found {
            Some((inode, node)) => reply.entry(&TTL, &attributes(inode, node), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.disk().get(inode.0) {
            Some(node) => reply.attr(&TTL, &attributes(inode.0, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        if let Some(len) = size {
            disk.resize(inode.0, len as usize);
        }
        let Some(node) = disk.get_mut(inode.0) else { return reply.error(Errno::ENOENT) };
        if let Some(mode) = mode {
            node.mode = mode as u16;
        }
        reply.attr(&TTL, &attributes(inode.0, node));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut disk = self.disk();
        let inode = disk.make(parent.0, name, (mode & !umask) as u16, Kind::Folder(BTreeMap::new()));
        match disk.get(inode) {
            Some(node) => reply.entry(&TTL, &attributes(inode, node), Generation(0)),
            None => reply.error(Errno::EIO),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let mut disk = self.disk();
        let inode = disk.make(parent.0, name, (mode & !umask) as u16, Kind::File(Vec::new()));
        match disk.get(inode) {
            Some(node) => reply.created(
                &TTL,
                &attributes(inode, node),
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            None => reply.error(Errno::EIO),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().unlink(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.disk().unlink(parent.0, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(self.disk().rename((parent.0, name), (new_parent.0, new_name)), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.disk();
        let bytes = disk.bytes(inode.0);
        let start = bytes.len().min(offset as usize);
        reply.data(&bytes[start..bytes.len().min(start + size as usize)]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let is_appended = flags.0 & rustix::fs::OFlags::APPEND.bits() as i32 != 0;
        self.disk().write(inode.0, (!is_appended).then_some(offset as usize), data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.disk().sync(inode.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.disk().sync(inode.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let Some(Node { kind: Kind::Folder(names), .. }) = disk.get(inode.0) else {
            return reply.error(Errno::ENOTDIR);
        };
        let dots = [(OsStr::new("."), inode.0), (OsStr::new(".."), ROOT)];
        let items = dots.into_iter().chain(names.iter().map(|(name, inode)| (name.as_os_str(), *inode)));
        for (n, (name, inode)) in items.enumerate().skip(offset as usize) {
            let kind = match disk.get(inode).map(|node| &node.kind) {
                Some(Kind::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            if reply.add(INodeNo(inode), n as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
