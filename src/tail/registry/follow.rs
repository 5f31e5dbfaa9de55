//! Where a content begins to be followed, and what it is called.

use super::{Change, Clock, Content, Followed, Place, Registry, Spool, relatives::Whence, seen_at};
use crate::{
    model::{Known, Mark, Origin, Packing, Sighting},
    tail::file::{self, TailFile},
};
use std::{path::Path, sync::Arc};

impl Registry {
    pub(super) fn follow(
        &mut self,
        known: Known,
        is_remembered: bool,
        content: Content,
        sighting: &Sighting,
        now: Clock,
    ) -> Change {
        self.follow_as(self.family_of(sighting), known, is_remembered, content, sighting, now)
    }

    pub(super) fn follow_as(
        &mut self,
        family: u64,
        known: Known,
        is_remembered: bool,
        content: Content,
        sighting: &Sighting,
        now: Clock,
    ) -> Change {
        let place = content.place();
        let source = self.site.owner_of(&known, sighting.source);
        // Nothing is sure of a length that cannot be asked for; the next look asks again.
        let len = content.backing.end().unwrap_or(content.size);
        let is_packed = content.backing.packing != Packing::Plain;
        self.doubt(source, family);
        let order = (family, content.changed);
        let file = TailFile::new(self.next_key, source, known, order, content.backing, len, self.site.outputs);
        if is_packed {
            file.set_life(file::Life::Final);
        }
        let file = Arc::new(file);
        self.next_key += 1;
        self.keep(Arc::clone(&file), place, (content.size, content.changed), 0, sighting, now);
        Change::Opened { file, is_remembered }
    }

    /// A content is followed from now on, in the file at `place`, which has this size and time of change. `expected`: as
    /// many bytes it is known to have had.
    pub(super) fn keep(
        &mut self,
        file: Arc<TailFile>,
        place: Place,
        (size, changed): (u64, i64),
        expected: u64,
        sighting: &Sighting,
        now: Clock,
    ) {
        self.by_path.insert(sighting.path.clone(), place);
        self.note_kin(&file.known, &sighting.path, Whence::Followed(place));
        let followed = Followed {
            path: sighting.path.clone(),
            family: sighting.family.clone(),
            size,
            changed,
            still_since: now.uptime,
            is_spoiled: false,
            deleted_at: None,
            head_said: file.head().len,
            is_said: false,
            expected,
            spool: Spool::Nothing,
            file,
        };
        self.followed.insert(place, Box::new(followed));
    }

    /// What to call a new content: never as another one that is known.
    pub(super) fn christen(&mut self, content: &Content, path: &Path, source: usize, now: Clock) -> Known {
        let nonce = (self.nonce)();
        let mut generation = 0;
        let name = loop {
            let name = file::name(&self.site.machine, &content.identity, nonce, generation);
            if self.names.insert(name) {
                break name;
            }
            generation += 1;
        };
        let text: Arc<str> = path.to_string_lossy().into();
        *self.origins.entry(Arc::clone(&text)).or_default() += 1;
        Known {
            seen_at: seen_at(path, &text),
            origin: Origin {
                name,
                host: Arc::clone(&self.site.host),
                path: text,
                source: self.site.sources.get(source).cloned().unwrap_or_default(),
                first_seen: now.wall,
                container: (self.describe)(source, path),
            },
            identity: content.identity,
            nonce,
            generation,
            head: Mark::of(&content.head),
            packing: content.backing.packing,
            size: 0,
            packed_size: content.packed_size(),
            pin: None,
            is_deleted: false,
            is_lost: false,
            last_seen: now.day(),
        }
    }
}
