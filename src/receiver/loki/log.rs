//! The file of accepted entries: one JSON object a line.

use super::{labels::Labels, metadata::Clean};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Appends accepted entries to a file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// What is accepted and not yet written. Nothing more is accepted while a write fails, so at most one
    /// request's entries wait here.
    pending: Vec<u8>,
}

/// A line of the file.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) tenant: &'a str,
    #[serde(serialize_with = "labels")]
    pub(super) stream: &'a Labels,
    /// Nanoseconds since 1970, as text: JSON readers round such numbers.
    pub(super) ts: String,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
    #[serde(serialize_with = "pairs")]
    pub(super) metadata: &'a [Clean<'a>],
    /// Whether it was there already.
    pub(super) duplicate: bool,
    /// The number of the push request, from 1.
    pub(super) request: u64,
}

/// The bytes of the entry.
#[derive(Serialize)]
pub(super) enum Body<'a> {
    #[serde(rename = "line")]
    Text(&'a str),
    /// Not UTF-8.
    #[serde(rename = "line_base64")]
    Base64(String),
}

impl<'a> Body<'a> {
    pub(super) fn of(line: &'a [u8]) -> Body<'a> {
        match std::str::from_utf8(line) {
            Ok(text) => Body::Text(text),
            Err(_) => Body::Base64(STANDARD.encode(line)),
        }
    }
}

fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

fn pairs<S: Serializer>(pairs: &[Clean<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

impl Log {
    /// Opens the file for appending, and makes it.
    pub(super) fn open(path: &Path) -> io::Result<Log> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Log { file, pending: Vec::new() })
    }

    /// Adds a line; it is written by [`Log::flush`].
    pub(super) fn add(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.pending, line)?;
        self.pending.push(b'\n');
        Ok(())
    }

    /// Writes what waits. After an error the rest is written by a later call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let mut result = Ok(());
        while done < self.pending.len() && result.is_ok() {
            match self.file.write(&self.pending[done..]) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => result = Err(e),
            }
        }
        self.pending.drain(..done);
        result
    }
}
