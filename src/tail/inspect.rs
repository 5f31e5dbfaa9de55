//! Inspecting a compressed file: one pass over it tells whether it is whole, how much comes out, and whether the bytes
//! are there that are known from the file that it was made of. Takes as long as unpacking does, so it has a thread of
//! its own, and files that are being compressed are inspected again when they have changed.

use super::{backing::Backing, registry::Place, unpack::decoder};
use crate::model::{Mark, Packing};
use std::{
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

/// A question about a compressed file.
#[derive(Debug)]
pub struct Inspection {
    pub(super) place: Place,
    pub(super) file: Arc<File>,
    pub(super) packing: Packing,
    /// Ends and lengths of the marks that are wanted.
    pub(super) wanted: Vec<(u64, u32)>,
}

/// The answer.
#[derive(Debug)]
pub struct Inspected {
    pub(super) place: Place,
    pub(super) backing: Backing,
    /// Why it is not whole: cut off, or damaged.
    pub(super) broken: Option<io::Error>,
    pub(super) marks: Vec<(u64, Mark)>,
    /// The mark of its end.
    pub(super) end: Mark,
}

impl Inspection {
    /// Unpacks the whole file.
    pub fn run(mut self) -> Inspected {
        self.wanted.sort_unstable();
        self.wanted.dedup();
        let Inspection { place, file, packing, wanted } = self;
        let mut pass = Pass { wanted, next: 0, marks: Vec::new(), before: Vec::new(), at: 0 };
        let broken = pass.run(&file, packing).err();
        let backing = Backing { file, packing, base: 0, unpacked: pass.at, is_copy: false, is_cut: false };
        Inspected { place, backing, broken, marks: pass.marks, end: Mark::of(&pass.before) }
    }
}

struct Pass {
    wanted: Vec<(u64, u32)>,
    /// The first of them that has not been reached.
    next: usize,
    marks: Vec<(u64, Mark)>,
    /// Up to 4 KiB before `at`, and what has just been read after them.
    before: Vec<u8>,
    /// The offset after `before`.
    at: u64,
}

impl Pass {
    fn run(&mut self, file: &Arc<File>, packing: Packing) -> io::Result<()> {
        if file.metadata()?.len() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut decoder = decoder(file, packing)?;
        let mut chunk = vec![0; 64 << 10];
        self.note();
        loop {
            match decoder.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.before.extend_from_slice(&chunk[..n]);
                    self.at += n as u64;
                    self.note();
                    let old = self.before.len().saturating_sub(Mark::MAX);
                    self.before.drain(..old);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the marks that end in `before`.
    fn note(&mut self) {
        while let Some((end, len)) = self.wanted.get(self.next).copied().filter(|(end, _)| *end <= self.at) {
            self.next += 1;
            let after = usize::try_from(self.at - end).unwrap_or(usize::MAX);
            let Some(stop) = self.before.len().checked_sub(after) else { continue };
            let start = stop.saturating_sub(len as usize);
            self.marks.push((end, Mark::of(&self.before[start..stop])));
        }
    }
}
