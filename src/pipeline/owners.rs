//! Which source owns what the state remembers, when the configuration has changed.

use super::{alarm, settings::Source};
use crate::{
    discover::Search,
    model::{FileName, Known, bases},
};
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The sources, as remembered contents see them.
pub(super) struct Owners<'s> {
    sources: &'s [Source],
    searches: &'s [Search],
    /// By source: whether some output takes it.
    is_taken: Vec<bool>,
    /// Of contents that the configuration does not name any more.
    pub unwanted: HashSet<FileName>,
    /// Contents that have another owner than before, and the name of that one.
    pub passed: Vec<(Known, Arc<str>)>,
}

impl<'s> Owners<'s> {
    pub(super) fn new(sources: &'s [Source], searches: &'s [Search], is_taken: Vec<bool>) -> Owners<'s> {
        Owners { sources, searches, is_taken, unwanted: HashSet::new(), passed: Vec::new() }
    }

    /// Gives the content to the first source that names its file, when its own does not any more, or no output takes
    /// that. Returns the number of the source that owns it then.
    pub(super) fn settle(&mut self, known: &mut Known) -> Option<usize> {
        let own = self.sources.iter().position(|source| *source.name == *known.origin.source);
        let of_origin = paths(&known.origin.path);
        let is_named =
            |source: usize, paths: &[PathBuf]| paths.iter().any(|path| self.searches[source].is_match(path));
        // Of files in a folder for rotated ones nothing is known here.
        let is_own = |own: &usize| self.sources[*own].rotated_dir.is_some() || is_named(*own, &of_origin);
        if let Some(own) = own.filter(|own| is_own(own) && self.is_taken[*own]) {
            return Some(own);
        }
        let of_now = paths(&known.seen_at);
        let first =
            (0..self.sources.len()).find(|source| is_named(*source, &of_origin) || is_named(*source, &of_now));
        match first.filter(|first| Some(*first) != own && self.is_taken[*first]) {
            Some(first) => {
                let from = std::mem::replace(&mut known.origin.source, self.sources[first].name.as_str().into());
                self.passed.push((known.clone(), from));
                Some(first)
            }
            None => {
                if !own.is_some_and(|own| is_own(&own)) {
                    self.unwanted.insert(known.origin.name);
                }
                own
            }
        }
    }

    /// Says what has another owner.
    pub(super) fn say(&self) {
        let mut said: BTreeMap<_, (usize, &str)> = BTreeMap::new();
        for (known, from) in &self.passed {
            said.entry((&**from, &*known.origin.source)).or_insert((0, &known.origin.path)).0 += 1;
        }
        said.into_iter().for_each(|((from, to), (files, path))| alarm::passed_on(from, to, files, path));
    }
}

/// The path, and those of which its name is a rotated form.
fn paths(path: &str) -> Vec<PathBuf> {
    let path = Path::new(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    bases(&name).into_iter().map(|base| path.with_file_name(base)).chain([path.to_owned()]).collect()
}
