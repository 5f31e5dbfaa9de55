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
        Ok(Hints { watcher, watched: BTreeMap::new(), failed: BTreeMap::new() })
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

    /// Whether every folder of the last [`Hints::watch`] is watched.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }
}

fn identify(folder: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
