//! What a power cut leaves in the files, as records.

use auditship::frame::GAP;
use flate2::read::MultiGzDecoder;
use std::{ffi::OsStr, fs, io::Read as _, ops::Range, os::unix::fs::MetadataExt as _, path::PathBuf};

/// A file after the cut.
pub(crate) struct OnDisk {
    pub(crate) path: PathBuf,
    pub(crate) inode: u64,
    /// Its content, unpacked.
    pub(crate) bytes: Vec<u8>,
}

/// Where a record is in a file.
pub(crate) type Place = Range<usize>;

impl OnDisk {
    pub(crate) fn read(path: PathBuf) -> OnDisk {
        let raw = fs::read(&path).unwrap();
        let mut bytes = Vec::new();
        if path.extension() == Some(OsStr::new("gz")) {
            // One that is cut off or wrong holds nothing that anybody could read.
            let _ = MultiGzDecoder::new(&raw[..]).read_to_end(&mut bytes);
        } else {
            bytes = raw;
        }
        OnDisk { inode: fs::metadata(&path).unwrap().ino(), bytes, path }
    }

    /// Its whole lines as records, without the gaps that the cut has left; and what is behind the last newline, which
    /// is whole where nobody goes on writing.
    pub(crate) fn records(&self) -> (Vec<Place>, Vec<Place>) {
        let end = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut places = Vec::new();
        let mut start = 0;
        for line in self.bytes[..end].split_inclusive(|byte| *byte == b'\n') {
            pieces(&self.bytes, start..start + line.len() - 1, &mut places);
            start += line.len();
        }
        let mut tail = Vec::new();
        pieces(&self.bytes, end..self.bytes.len(), &mut tail);
        (places, tail)
    }
}

/// The parts of a line between its gaps.
fn pieces(bytes: &[u8], line: Place, places: &mut Vec<Place>) {
    let (mut start, mut at) = (line.start, line.start);
    while at < line.end {
        let run = bytes[at..line.end].iter().take_while(|byte| **byte == 0).count();
        if run >= GAP || (run > 0 && start == at) {
            places.push(start..at);
            start = at + run;
        }
        at += run.max(1);
    }
    places.push(start..line.end);
    places.retain(|place| !place.is_empty());
}

/// The lines that this place is in.
pub(crate) fn lines_around(bytes: &[u8], place: Place) -> impl Iterator<Item = &[u8]> {
    let start =
        bytes[..place.start.min(bytes.len())].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut next = start;
    bytes[start..].split_inclusive(|byte| *byte == b'\n').map_while(move |line| {
        let is_inside = next < place.end;
        next += line.len();
        is_inside.then(|| line.strip_suffix(b"\n").unwrap_or(line))
    })
}
