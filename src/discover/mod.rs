//! Discover: which files there are. A complete scan of the globs is the truth; notifications are only a hint to look
//! now, so that nothing is missed where they are late, lost or never come (NFS, overlayfs, a full queue).
//!
//! Known limits: a `**` does not go through links to folders.

mod glob;
mod hints;
#[cfg(test)]
mod tests;

pub use glob::{Pattern, PatternError};
pub use hints::{Hint, Hints};

use crate::model::Sighting;
use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

/// What one source looks for.
#[derive(Debug)]
pub struct Search {
    /// A file that one of these matches belongs to the source …
    pub include: Vec<Pattern>,
    /// … unless one of these matches it too.
    pub exclude: Vec<Pattern>,
}

impl Search {
    /// Compiles the patterns of a source.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Search, PatternError> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Result<Vec<_>, _>>();
        Ok(Search { include: patterns(include)?, exclude: patterns(exclude)? })
    }
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Every file once (by device and inode), owned by the first source that matches it.
    pub files: Vec<Sighting>,
    /// The folders that were listed: where notifications are worth having.
    pub folders: BTreeSet<PathBuf>,
    /// What could not be listed or looked at. A path that does not exist is not among them.
    pub problems: Vec<(PathBuf, io::Error)>,
}

/// Looks through the whole of what the searches name, in their order.
pub fn scan(searches: &[Search]) -> Scan {
    let mut scan = Scan::default();
    let mut taken = HashSet::new();
    for (source, search) in searches.iter().enumerate() {
        for pattern in &search.include {
            let mut walk = Walk { source, search, pattern, scan: &mut scan, taken: &mut taken };
            walk.start();
        }
    }
    scan
}

struct Walk<'a> {
    source: usize,
    search: &'a Search,
    pattern: &'a Pattern,
    scan: &'a mut Scan,
    taken: &'a mut HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn start(&mut self) {
        match self.pattern.depth() {
            // The pattern is a plain path: its folder is where a new file would show.
            0 => {
                self.scan.folders.insert(self.pattern.folder().to_owned());
                self.file(self.pattern.base().to_owned());
            }
            depth => self.folder(self.pattern.base().to_owned(), depth),
        }
    }

    fn folder(&mut self, path: PathBuf, depth: usize) {
        let items = match fs::read_dir(&path) {
            Ok(items) => items,
            Err(error) => return self.problem(path, error),
        };
        self.scan.folders.insert(path.clone());
        for item in items {
            let item = match item {
                Ok(item) => item,
                Err(error) => return self.problem(path, error),
            };
            let Ok(kind) = item.file_type() else { continue };
            let inner = item.path();
            let is_link = kind.is_symlink();
            if depth > 1 && (kind.is_dir() || (is_link && !self.pattern.is_deep() && inner.is_dir())) {
                self.folder(inner.clone(), depth - 1);
            }
            if !kind.is_dir() && self.pattern.is_match(&inner) {
                self.file(inner);
            }
        }
    }

    fn file(&mut self, path: PathBuf) {
        if self.search.exclude.iter().any(|pattern| pattern.is_match(&path)) {
            return;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.problem(path, error),
        };
        if metadata.is_file() && self.taken.insert((metadata.dev(), metadata.ino())) {
            self.scan.files.push(Sighting {
                path,
                source: self.source,
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                changed: changed(&metadata),
            });
        }
    }

    fn problem(&mut self, path: PathBuf, error: io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.scan.problems.push((path, error));
        }
    }
}

/// The time of the last change of content, nanoseconds since 1970.
fn changed(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}
