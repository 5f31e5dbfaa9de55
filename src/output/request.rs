//! What is sent.

use std::{borrow::Cow, io::Write as _};

/// What is sent.
#[derive(Debug)]
pub struct Request {
    /// Begins with `/`; comes after the output's URL. With its query, if there is one.
    pub path: Cow<'static, str>,
    /// The body's type.
    pub content_type: &'static str,
    /// How the body is compressed, where a header says so.
    pub encoding: Option<&'static str>,
    /// Headers more, such as Loki's tenant; their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How the bodies of an output are compressed, where the destination leaves a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `Content-Encoding: gzip`
    Gzip,
    /// `Content-Encoding: zstd`
    Zstd,
}

/// Room to make requests in; one per thread, so that memory does not depend on how many are under way.
pub struct Scratch {
    pub(super) plain: Vec<u8>,
    pub(super) packed: Vec<u8>,
    pub(super) snappy: snap::raw::Encoder,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { plain: Vec::new(), packed: Vec::new(), snappy: snap::raw::Encoder::new() }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("plain", &self.plain.len()).finish_non_exhaustive()
    }
}

impl Scratch {
    /// The body that lies in `plain`, compressed, and what its header says. What cannot be compressed goes as it is.
    pub(super) fn pack(&mut self, compression: Compression) -> (Option<&'static str>, Vec<u8>) {
        self.packed.clear();
        let (name, packed) = match compression {
            Compression::None => return (None, self.plain.clone()),
            // Speed before size, as both cost CPU on the machine that is audited.
            Compression::Gzip => ("gzip", {
                let mut encoder = flate2::write::GzEncoder::new(&mut self.packed, flate2::Compression::new(1));
                encoder.write_all(&self.plain).and_then(|()| encoder.finish().map(|_| ()))
            }),
            Compression::Zstd => ("zstd", zstd::stream::copy_encode(&self.plain[..], &mut self.packed, 1)),
        };
        match packed {
            Ok(()) => (Some(name), self.packed.clone()),
            Err(_) => (None, self.plain.clone()),
        }
    }
}
