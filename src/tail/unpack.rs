//! Reading compressed files: from their start on only, because there is no other way into them.
//!
//! Source of the formats: RFC 1952 (gzip; members may follow one another) and RFC 8878 (Zstandard; likewise frames).

use super::backing::{Backing, read_at};
use crate::model::{Mark, Packing};
use std::{
    fs::File,
    io::{self, BufReader, Read},
    sync::Arc,
};

/// Zstandard frames with a larger window are refused: 8 MiB is what `zstd -19` uses, and what a reader must allow.
const ZSTD_WINDOW_LOG: u32 = 23;
/// What a decoder takes beside the window of this module, in bytes: the most that it can be.
const ZSTD_MEMORY: usize = 9 << 20;
const GZIP_MEMORY: usize = 128 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b, 8];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What the first bytes of a file say; `Err` names a form that cannot be read. `named`: what its name says, which
/// counts as long as there are too few bytes to tell.
pub(super) fn packing_of(head: &[u8], named: Packing) -> Result<Packing, &'static str> {
    let is = |magic: &[u8]| head.starts_with(magic);
    let may_be = |magic: &[u8], packing| named == packing && magic.starts_with(head);
    match () {
        () if is(GZIP) || may_be(GZIP, Packing::Gzip) => Ok(Packing::Gzip),
        () if is(ZSTD) || may_be(ZSTD, Packing::Zstd) => Ok(Packing::Zstd),
        () if is(&[0xfd, b'7', b'z', b'X', b'Z', 0]) => Err("xz"),
        () if is(b"BZh") => Err("bzip2"),
        () if is(&[4, 0x22, 0x4d, 0x18]) => Err("lz4"),
        () => Ok(Packing::Plain),
    }
}

/// A file's bytes in order, without moving the place of the descriptor that others share.
struct InOrder {
    file: Arc<File>,
    at: u64,
}

impl Read for InOrder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = read_at(&self.file, buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// How many bytes a decoder is asked for at once. One that finds damage drops what it had for the question: asked for as
/// much each time, as much comes out each time, and little is dropped.
const STEP: usize = 4 << 10;

/// What a decoder gives, in questions of one size.
struct Steps<R> {
    decoder: R,
    step: Box<[u8]>,
    given: usize,
    filled: usize,
}

impl<R: Read> Read for Steps<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.filled {
            (self.given, self.filled) = (0, 0);
            self.filled = self.decoder.read(&mut self.step)?;
        }
        let n = buffer.len().min(self.filled - self.given);
        buffer[..n].copy_from_slice(&self.step[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

fn in_steps(decoder: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(Steps { decoder, step: vec![0; STEP].into_boxed_slice(), given: 0, filled: 0 })
}

/// The bytes that come out of a compressed file: whoever reads them in order, in whatever pieces, gets the same.
pub(super) fn decoder(file: &Arc<File>, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
    let source = BufReader::with_capacity(32 << 10, InOrder { file: Arc::clone(file), at: 0 });
    Ok(match packing {
        Packing::Plain => Box::new(source),
        Packing::Gzip => in_steps(flate2::bufread::MultiGzDecoder::new(source)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            in_steps(decoder)
        }
    })
}

/// Up to the first [`Mark::MAX`] bytes that come out; fewer when the file ends, or breaks, before.
pub(super) fn head(file: &Arc<File>, packing: Packing) -> Vec<u8> {
    let mut bytes = vec![0; Mark::MAX];
    let mut filled = 0;
    if let Ok(mut decoder) = decoder(file, packing) {
        while filled < bytes.len() {
            match decoder.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
    bytes.truncate(filled);
    bytes
}

/// A stretch of what comes out of a compressed file, which moves forward only.
pub(super) struct Unpacker {
    file: Arc<File>,
    packing: Packing,
    decoder: Box<dyn Read + Send>,
    window: Box<[u8]>,
    /// The offset of the window's first byte.
    start: u64,
    filled: usize,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("packing", &self.packing).field("start", &self.start).finish_non_exhaustive()
    }
}

impl Unpacker {
    /// Begins at the start of `backing`; at most `size` bytes can be had at once.
    pub(super) fn new(backing: &Backing, size: usize) -> io::Result<Unpacker> {
        Ok(Unpacker {
            file: Arc::clone(&backing.file),
            packing: backing.packing,
            decoder: decoder(&backing.file, backing.packing)?,
            window: vec![0; size].into_boxed_slice(),
            start: 0,
            filled: 0,
        })
    }

    /// Whether bytes of `backing` from `offset` on can be had without beginning anew.
    pub(super) fn is_before(&self, backing: &Backing, offset: u64) -> bool {
        Arc::ptr_eq(&self.file, &backing.file) && offset >= self.start
    }

    /// The bytes from `offset` on, as many as the window holds; fewer at the end, or where the file breaks.
    pub(super) fn read(&mut self, offset: u64) -> &[u8] {
        loop {
            let skip = offset.saturating_sub(self.start).min(self.filled as u64);
            // At most what is filled.
            let skip = skip as usize;
            if skip > 0 {
                self.window.copy_within(skip..self.filled, 0);
                self.filled -= skip;
                self.start += skip as u64;
            }
            if self.filled == self.window.len() && self.start == offset {
                break;
            }
            match self.decoder.read(&mut self.window[self.filled..]) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // How much can be had was found out when the file was inspected.
                Err(_) => break,
            }
        }
        if self.start == offset { &self.window[..self.filled] } else { &[] }
    }

    /// What it takes of memory beside its window, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.window.len()
            + match self.packing {
                Packing::Zstd => ZSTD_MEMORY,
                Packing::Plain | Packing::Gzip => GZIP_MEMORY,
            }
    }
}
