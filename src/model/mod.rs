//! The nouns that every stage shares. Pure values: no clock, no sockets, no files.

mod container;
mod family;
mod file;
mod known;
mod record;
mod time;

pub use container::Container;
pub use family::{Family, bases, packing_of};
pub use file::{FileName, Mark, Origin, Point};
pub use known::{Identity, Known, Packing, Sighting};
pub use record::{Chain, Digest, LabelSet, Marks, Part, Record, leaf};
pub use time::{Nanos, Stamp};

/// Where an encoder writes. A batch's body takes the bytes in chunks; a `Vec<u8>` takes them in tests.
pub trait Sink {
    /// Appends `bytes` as they are.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
