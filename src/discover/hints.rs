//! Notifications of the file system, as hints. Losing all of them only makes the agent slower to notice.

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A watch that could not be set is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The content of this file changed.
    Changed(PathBuf),
    /// Something appeared, went, or was missed: scan.
    Scan,
}

/// The watches on the folders of the last scan.
pub struct Hints {
    watcher: RecommendedWatcher,
    /// With device and inode: a watch ends with its folder, and a new one may have the same name.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Watched folders from which notifications may never come.
    silent: BTreeSet<PathBuf>,
    failed: BTreeMap<PathBuf, Instant>,
}

impl Hints {
    /// Starts watching nothing; `on_hint` is called from a thread of the watcher's own, must not block, and may be
    /// called far more often than anything changes.
    pub fn new(mut on_hint: impl FnMut(Hint) + Send + 'static) -> notify::Result<Hints> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if event.need_rescan() => on_hint(Hint::Scan),
            Ok(event) => match event.kind {
                // Reading a file is an event too, our own reading included.
                EventKind::Access(_) => {}
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
                    event.paths.into_iter().for_each(|path| on_hint(Hint::Changed(path)));
                }
                _ => on_hint(Hint::Scan),
            },
            Err(_) => on_hint(Hint::Scan),
        })?;
        Ok(Hints { watcher, watched: BTreeMap::new(), silent: BTreeSet::new(), failed: BTreeMap::new() })
    }

    /// Watches exactly these folders. Returns the ones that newly cannot be watched, with the reason.
    pub fn watch(&mut self, folders: &BTreeSet<PathBuf>, now: Instant) -> Vec<(PathBuf, notify::Error)> {
        let mut problems = Vec::new();
        let watcher = &mut self.watcher;
        self.watched.retain(|folder, identity| {
            let stays = folders.contains(folder) && identify(folder) == Some(*identity);
            if !stays {
                // A folder that was removed has taken its watch with it.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        self.silent.retain(|folder| self.watched.contains_key(folder));
        self.failed.retain(|folder, _| folders.contains(folder));
        for folder in folders {
            let is_due = |since: &Instant| now.duration_since(*since) >= RETRY;
            if self.watched.contains_key(folder) || !self.failed.get(folder).is_none_or(is_due) {
                continue;
            }
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.extend(identify(folder).map(|identity| (folder.clone(), identity)));
                    self.failed.remove(folder);
                    if !tells_everything(folder) {
                        self.silent.insert(folder.clone());
                    }
                }
                Err(error) => {
                    if self.failed.insert(folder.clone(), now).is_none() {
                        problems.push((folder.clone(), error));
                    }
                }
            }
        }
        problems
    }

    /// Whether every folder of the last [`Hints::watch`] is watched, on a file system that tells of all changes.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.silent.is_empty()
    }
}

/// Whether all changes on its file system are made by this machine's kernel. Not so on network file systems, and on
/// overlays a watch may be on another file than the one that is written to. The numbers are those of statfs(2).
fn tells_everything(folder: &Path) -> bool {
    // ext2 to ext4, XFS, Btrfs, tmpfs, ZFS, F2FS.
    const LOCAL: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0xf2f5_2010];
    // As it is in the kernel: 32 bits, whatever the sign.
    rustix::fs::statfs(folder).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

fn identify(folder: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
