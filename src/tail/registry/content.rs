//! An open file, and what it begins with.

use super::Place;
use crate::{
    model::{Identity, Known, Mark, Packing, packing_of},
    tail::{
        backing::{self, Backing},
        reader::has_head,
        unpack,
    },
};
use std::{fs::File, io, path::Path, sync::Arc};

/// An open file as it is now.
pub(super) struct Content {
    pub backing: Backing,
    pub identity: Identity,
    /// Of the file.
    pub size: u64,
    pub changed: i64,
    /// Up to the first 4 KiB of the content.
    pub head: Vec<u8>,
}

impl Content {
    /// An open file that was not looked into yet.
    pub(super) fn unseen(backing: Backing, identity: Identity) -> Content {
        Content { backing, identity, size: 0, changed: 0, head: Vec::new() }
    }

    /// Looks into an open file. `may_be_packed`: a file that is being written to is never taken for a compressed one,
    /// whatever its first bytes are. `named`: what its name says.
    pub(super) fn look(file: File, may_be_packed: bool, named: Packing) -> io::Result<Content> {
        let identity = backing::identify(&file.metadata()?);
        let backing = Backing::plain(Arc::new(file));
        let mut content = Content::unseen(backing, identity);
        content.look_anew()?;
        if may_be_packed {
            content.backing.packing = unpack::packing_of(&content.head, named)
                .map_err(|form| io::Error::other(format!("is compressed with {form}, which cannot be read")))?;
            if content.backing.packing != Packing::Plain {
                content.look_anew()?;
            }
        }
        Ok(content)
    }

    pub(super) fn place(&self) -> Place {
        self.identity.place()
    }

    /// The length of a compressed file.
    pub(super) fn packed_size(&self) -> u64 {
        if self.backing.packing == Packing::Plain { 0 } else { self.size }
    }

    /// Whether the file has changed; then it is looked at anew.
    pub(super) fn look_again(&mut self) -> io::Result<bool> {
        let metadata = self.backing.file.metadata()?;
        let is_new = (metadata.len(), backing::changed(&metadata)) != (self.size, self.changed);
        if is_new {
            self.look_anew()?;
        }
        Ok(is_new)
    }

    pub(super) fn look_anew(&mut self) -> io::Result<()> {
        let metadata = self.backing.file.metadata()?;
        (self.size, self.changed) = (metadata.len(), backing::changed(&metadata));
        self.head = match self.backing.packing {
            Packing::Plain => {
                let mut head = vec![0; Mark::MAX];
                let n = backing::read_at(&self.backing.file, &mut head, 0)?;
                head.truncate(n);
                head
            }
            packing => unpack::head(&self.backing.file, packing),
        };
        Ok(())
    }
}

/// What the file system says of the file at `path`.
pub fn identity_of(path: &Path) -> Option<Identity> {
    Some(backing::identify(&std::fs::metadata(path).ok()?))
}

/// Whether the file at `path`, compressed or not, begins as the content did: then it is a copy of it, or looks like one.
pub fn begins_like(path: &Path, known: &Known) -> bool {
    let named = packing_of(&path.file_name().unwrap_or_default().to_string_lossy());
    let content = backing::open(path).and_then(|file| Content::look(file, true, named));
    known.head.len > 0 && content.is_ok_and(|content| has_head(&content.head, &known.head))
}
