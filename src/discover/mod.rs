//! Discover: which files there are. A complete scan of the globs is the truth; notifications are only a hint to look
//! now, so that nothing is missed where they are late, lost or never come (NFS, overlayfs, a full queue).
//!
//! Known limits: a `**` does not go through links to folders.

pub mod container;
pub mod docker;
mod glob;
mod hints;
pub mod pods;
#[cfg(test)]
mod tests;

pub use glob::{Pattern, PatternError};
pub use hints::{Hint, Hints};

use crate::model::{Family, Nanos, Packing, Sighting, bases, packing_of};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What one source looks for.
#[derive(Debug)]
pub struct Search {
    /// A file that one of these matches belongs to the source …
    pub include: Vec<Pattern>,
    /// … unless one of these matches it too.
    pub exclude: Vec<Pattern>,
    /// Where rotated files are looked for beside the folder of the file: absolute, or relative to that folder.
    pub rotated_dir: Option<PathBuf>,
}

impl Search {
    /// Compiles the patterns of a source.
    pub fn new(include: &[String], exclude: &[String], rotated_dir: Option<&Path>) -> Result<Search, PatternError> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect::<Result<Vec<_>, _>>();
        let rotated_dir = rotated_dir.map(Path::to_owned);
        Ok(Search { include: patterns(include)?, exclude: patterns(exclude)?, rotated_dir })
    }

    /// Whether a file at `path` belongs to the source by its own name.
    pub fn is_match(&self, path: &Path) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(path));
        any(&self.include) && !any(&self.exclude)
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.is_match(path))
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
        let (folders, targets) = Default::default();
        let mut walk = Walk { source, search, scan: &mut scan, taken: &mut taken, folders, targets };
        for pattern in &search.include {
            walk.start(pattern);
        }
        walk.siblings();
        let of_source = scan.files.partition_point(|file| file.source < source);
        find_bases(&mut scan.files[of_source..]);
    }
    scan
}

/// A program may number the files that it writes to, and a pattern name them all: such a file was rotated only where the
/// file is that it was rotated from.
fn find_bases(files: &mut [Sighting]) {
    let is_doubtful = |file: &Sighting| !file.family.is_rotated && !bases(&file.family.base).is_empty();
    let doubtful: Vec<usize> = (0..files.len()).filter(|nth| is_doubtful(&files[*nth])).collect();
    if doubtful.is_empty() {
        return;
    }
    let paths: HashSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let family = |nth: usize| {
        let file = &files[nth];
        Family::rotated(&file.family.base, |base| paths.contains(&*file.path.with_file_name(base)))
    };
    let rotated: Vec<(usize, Family)> = doubtful.into_iter().filter_map(|nth| Some((nth, family(nth)?))).collect();
    for (nth, family) in rotated {
        files[nth].family = family;
    }
}

/// The walk of one source.
struct Walk<'a> {
    source: usize,
    search: &'a Search,
    scan: &'a mut Scan,
    taken: &'a mut HashSet<(u64, u64)>,
    /// Folders with files of the source, or where one would be.
    folders: BTreeSet<PathBuf>,
    /// By folder: names of files that links lead to.
    targets: BTreeMap<PathBuf, HashSet<String>>,
}

impl Walk<'_> {
    fn start(&mut self, pattern: &Pattern) {
        match pattern.depth() {
            // The pattern is a plain path: its folder is where a new file would show.
            0 => {
                self.scan.folders.insert(pattern.folder().to_owned());
                self.folders.insert(pattern.folder().to_owned());
                self.targets.entry(pattern.folder().to_owned()).or_default();
                self.note_target(pattern.base());
                self.file(pattern.base().to_owned(), None);
            }
            depth => self.folder(pattern, pattern.base().to_owned(), depth),
        }
    }

    fn folder(&mut self, pattern: &Pattern, path: PathBuf, depth: usize) {
        let items = match fs::read_dir(&path) {
            Ok(items) => items,
            Err(error) => return self.problem(path, error),
        };
        self.scan.folders.insert(path.clone());
        if depth == 1 || pattern.is_deep() {
            self.folders.insert(path.clone());
        }
        for item in items {
            let item = match item {
                Ok(item) => item,
                Err(error) => return self.problem(path, error),
            };
            let Ok(kind) = item.file_type() else { continue };
            let inner = item.path();
            let is_link = kind.is_symlink();
            if depth > 1 && (kind.is_dir() || (is_link && !pattern.is_deep() && inner.is_dir())) {
                self.folder(pattern, inner.clone(), depth - 1);
            }
            if kind.is_dir() {
                continue;
            }
            if pattern.is_match(&inner) {
                if is_link {
                    self.note_target(&inner);
                }
                self.file(inner, None);
            } else if let Some(family) = self.family(&path, &item.file_name().to_string_lossy()) {
                self.file(inner, Some(family));
            }
        }
    }

    /// The rotated siblings of a file behind a link are beside the file, not beside the link.
    fn note_target(&mut self, link: &Path) {
        let Ok(target) = fs::canonicalize(link) else { return };
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else { return };
        if Some(folder) != link.parent() {
            let names = self.targets.entry(folder.to_owned()).or_default();
            names.insert(name.to_string_lossy().into_owned());
        }
    }

    /// What `name` says, when it is a rotated name of a file in `folder` that belongs to the source.
    fn family(&self, folder: &Path, name: &str) -> Option<Family> {
        Family::rotated(name, |base| self.search.is_match(&folder.join(base)))
    }

    /// Rotated files that belong to the source, in folders that no pattern had listed.
    fn siblings(&mut self) {
        for (folder, targets) in std::mem::take(&mut self.targets) {
            let search = self.search;
            let is_base = |base: &str| targets.contains(base) || search.is_match(&folder.join(base));
            self.siblings_in(&folder, is_base);
        }
        let Some(rotated) = &self.search.rotated_dir else { return };
        let (search, folders) = (self.search, std::mem::take(&mut self.folders));
        if rotated.is_absolute() {
            let is_base = |base: &str| folders.iter().any(|folder| search.is_match(&folder.join(base)));
            self.siblings_in(rotated, is_base);
        } else {
            for folder in &folders {
                self.siblings_in(&folder.join(rotated), |base| search.is_match(&folder.join(base)));
            }
        }
    }

    fn siblings_in(&mut self, folder: &Path, is_base: impl Fn(&str) -> bool) {
        // Where nothing can be listed the files themselves can be read all the same.
        let Ok(items) = fs::read_dir(folder) else { return };
        self.scan.folders.insert(folder.to_owned());
        for item in items.flatten() {
            let family = Family::rotated(&item.file_name().to_string_lossy(), &is_base);
            if family.is_some() && item.file_type().is_ok_and(|kind| kind.is_file()) {
                self.file(item.path(), family);
            }
        }
    }

    /// `family`: of a file that is here for the sake of its base.
    fn file(&mut self, path: PathBuf, family: Option<Family>) {
        if self.search.is_excluded(&path) {
            return;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.problem(path, error),
        };
        if metadata.is_file() && self.taken.insert((metadata.dev(), metadata.ino())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let folder = path.parent().unwrap_or(&path);
            // Of one that a pattern names itself, a compressed form was made of another.
            let is_packed = packing_of(&name) != Packing::Plain;
            let family = family.or_else(|| if is_packed { self.family(folder, &name) } else { None });
            let family = family.unwrap_or_else(|| Family::itself(&name));
            self.scan.files.push(Sighting {
                family,
                source: self.source,
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                changed: changed(&metadata),
                path,
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
    Nanos::at(metadata.mtime(), metadata.mtime_nsec()).0
}
