//! Reading secrets. No error here ever contains one.

use super::settings::Secret;
use secrecy::{SecretString, zeroize::Zeroize};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a secret cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// `$CREDENTIALS_DIRECTORY` is used, but systemd did not set it.
    #[error("{}: the variable CREDENTIALS_DIRECTORY is not set; is LoadCredential= in the unit?", .0.display())]
    NoCredentials(PathBuf),
    /// The file cannot be opened or read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{}: is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It has more than 64 KiB.
    #[error("{}: is larger than 64 KiB", .0.display())]
    TooLarge(PathBuf),
    /// Its text will not do.
    #[error("{}: {why}", .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Secret {
    /// The secret as it is now. A file is read anew each time, so that it can be replaced.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Secret::Env { value, .. } => Ok(value.clone()),
            Secret::File(path) => read_file(&locate(path)?),
        }
    }

    /// The file that is read, if it is one.
    pub(crate) fn file(&self) -> Option<Result<PathBuf, SecretError>> {
        match self {
            Secret::Env { .. } => None,
            Secret::File(path) => Some(locate(path)),
        }
    }
}

/// The secret in `text`, or what is wrong with it.
pub(crate) fn clean(text: &str) -> Result<SecretString, &'static str> {
    let text = text.trim_end();
    if text.is_empty() {
        Err("is empty")
    } else if text.contains(char::is_control) {
        Err("contains control characters, such as a line break inside")
    } else {
        Ok(SecretString::from(text))
    }
}

fn locate(path: &Path) -> Result<PathBuf, SecretError> {
    let Some(name) = path.to_str().and_then(|text| text.strip_prefix(CREDENTIALS)) else { return Ok(path.into()) };
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(SecretError::NoCredentials(path.into())),
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let failed = |source| SecretError::Read { path: path.into(), source };
    // Asked by path first: opening a pipe would wait for its writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(SecretError::NotAFile(path.into()));
    }
    // Room for all of it at once, so that no copy stays behind in memory.
    let mut bytes = Vec::with_capacity(MAX_BYTES + 1);
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    let result = match (read, std::str::from_utf8(&bytes)) {
        (Err(error), _) => Err(failed(error)),
        _ if bytes.len() > MAX_BYTES => Err(SecretError::TooLarge(path.into())),
        (_, Err(_)) => Err(SecretError::Text { path: path.into(), why: "is not UTF-8 text" }),
        (_, Ok(text)) => clean(text).map_err(|why| SecretError::Text { path: path.into(), why }),
    };
    bytes.zeroize();
    result
}

/// At the start of a path: systemd's folder of credentials.
pub(crate) const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY/";

const MAX_BYTES: usize = 64 << 10;
