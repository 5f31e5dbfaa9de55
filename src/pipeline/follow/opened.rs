//! Where the lanes begin in a file that was opened.

use super::{Follow, Target};
use crate::{
    model::{Mark, Point},
    pipeline::{alarm, lane::Event, settings::StartAt},
    state::Entry,
    tail::TailFile,
};
use std::sync::Arc;

impl Follow {
    pub(super) fn opened(&mut self, file: &Arc<TailFile>, is_remembered: bool) {
        if !is_remembered {
            self.store.append([Entry::File(file.known.clone())]);
        }
        // Once: what comes into the same file after a truncation is new.
        let is_old = self.old.as_mut().is_some_and(|old| old.remove(&file.known.identity.place()));
        for (index, target) in self.targets.iter().enumerate() {
            if target.takes.get(file.source) != Some(&true) {
                file.let_go(index);
                continue;
            }
            // As of now: it may have been followed before in this run.
            let point = match self.store.point(&target.name, file.name()) {
                Some(point) if point.rewind < file.base() => {
                    // Older than what was saved: the state on disk was not the last one.
                    alarm::saved_from_later(&file.known, file.base() - point.rewind);
                    let base = file.base();
                    let at_mark = if point.at < base { Mark::default() } else { point.at_mark };
                    Point { rewind: base, at: point.at.max(base), mark: Mark::default(), at_mark, ..point }
                }
                Some(point) => point,
                None if file.base() > 0 => {
                    let base = file.base();
                    alarm::saved_for_others(&target.name, &file.known, base);
                    Point { rewind: base, at: base, ..self.first_point(file, target, false) }
                }
                None => self.first_point(file, target, is_old),
            };
            // A lane that has ended wants no more files.
            let _ = target.lane.send(Event::Opened(Arc::clone(file), Box::new(point), is_remembered));
        }
    }

    /// Where an output begins in a file that it has not read before.
    fn first_point(&self, file: &TailFile, target: &Target, is_old: bool) -> Point {
        let start = Point::start(file.name());
        let source = self.sources.get(file.source).cloned().unwrap_or_default();
        // A file that appears after the first look was written after it: all of it is new.
        let is_old = is_old && !self.listed.contains(&(source, target.name.clone())) && file.known.generation == 0;
        if self.start_at.get(file.source) != Some(&StartAt::End) || !is_old {
            return start;
        }
        match file.end_of_last_line() {
            Ok((at, mark)) => {
                let point = Point { rewind: at, at, mark, at_mark: mark, ..start };
                // Kept at once: after a crash, "the end" would be another one.
                let output = target.name.clone();
                self.store.append([Entry::Cursor { output, file: file.name(), point }]);
                point
            }
            // Rather from the start than with a gap.
            Err(_) => start,
        }
    }
}
