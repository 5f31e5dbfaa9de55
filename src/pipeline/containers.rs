//! What is known of a container when a file of it is seen for the first time: from the file's path, from Docker's own
//! file beside it, and from the list of pods as far as that is there. None of it is a gate.

use super::{
    alarm,
    pods::Pods,
    settings::{Label, LabelFrom, Meta, Source, SourceKind},
};
use crate::{
    discover::{container, docker},
    model::Container,
};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A log of the kubelet can be a link to a link to Docker's file.
const MAX_LINKS: usize = 8;

/// Describes the containers of the sources that have some.
pub(super) struct Containers {
    /// By source; `None` for those of plain files.
    sources: Vec<Option<OfSource>>,
    /// The keys of labels that become labels of records. The others are not kept: nobody would see them.
    wanted: Arc<BTreeSet<String>>,
    /// A file of Docker that says nothing was noted.
    is_said: AtomicBool,
}

struct OfSource {
    pods: Option<Pods>,
}

impl Containers {
    /// Starts to ask for pods where the settings say so; they are taken out of them.
    pub(super) fn start(sources: &mut [Source], labels: &[Label]) -> io::Result<Containers> {
        let key = |from: &LabelFrom| match from {
            LabelFrom::Meta(Meta::Label(key)) => Some(key.clone()),
            _ => None,
        };
        let wanted: BTreeSet<String> = labels.iter().filter_map(|label| key(&label.from)).collect();
        let wanted = Arc::new(wanted);
        let of_source = |source: &mut Source| {
            // Of no use where no label is wanted.
            let http = source.pod_labels.take().filter(|_| !wanted.is_empty());
            let pods = http.map(|http| Pods::start(&source.name, http, Arc::clone(&wanted))).transpose()?;
            Ok((source.kind == SourceKind::Container).then_some(OfSource { pods }))
        };
        let sources = sources.iter_mut().map(of_source).collect::<io::Result<_>>()?;
        Ok(Containers { sources, wanted, is_said: AtomicBool::new(false) })
    }

    /// Whether the files of this source are logs of containers.
    pub(super) fn has(&self, source: usize) -> bool {
        matches!(self.sources.get(source), Some(Some(_)))
    }

    /// What is known now of the container that writes to `path`.
    pub(super) fn describe(&self, source: usize, path: &Path) -> Option<Arc<Container>> {
        let of_source = self.sources.get(source)?.as_ref()?;
        let mut found = Container::default();
        for path in links(path) {
            found.fill(container::of_path(&path));
            if !container::is_docker(&path) {
                continue;
            }
            match docker::read(&path, &self.wanted) {
                Ok(said) => found.fill(said),
                Err(error) if !self.is_said.swap(true, Ordering::Relaxed) => alarm::silent_docker(&path, &error),
                Err(_) => {}
            }
        }
        if let (Some(pods), Some(uid)) = (&of_source.pods, &found.pod_uid) {
            let labels = pods.labels(uid);
            found.fill_labels(labels.into_iter().flatten());
        }
        (!found.is_unknown()).then(|| found.into())
    }

    /// These folders there are.
    pub(super) fn note_folders(&self, folders: &BTreeSet<PathBuf>) {
        for pods in self.sources.iter().flatten().filter_map(|source| source.pods.as_ref()) {
            let names = folders.iter().filter_map(|folder| folder.file_name()?.to_str());
            pods.note(names.filter_map(container::uid_of_folder));
        }
    }
}

/// The path, and where links lead from there.
fn links(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    while let Some(last) = all.last().filter(|_| all.len() < MAX_LINKS) {
        let Ok(target) = std::fs::read_link(last) else { break };
        let target = last.parent().unwrap_or(Path::new("/")).join(target);
        all.push(target);
    }
    all
}

#[cfg(test)]
mod tests;
