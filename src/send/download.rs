//! What is at a URL, read as it comes.

use super::{client::Client, settings::Http};
use crate::output::Stall;
use std::io::{self, Read};
use tokio::runtime::Runtime;

/// The body of an answer, for a thread that may wait. Ends with an error where the answer breaks off, is not there in
/// time, or is too long: what was read then is not all of it.
#[derive(Debug)]
pub struct Download<'r> {
    runtime: &'r Runtime,
    response: reqwest::Response,
    chunk: Vec<u8>,
    /// How much of the chunk was read.
    at: usize,
    /// More bytes than these are too many.
    left: u64,
}

impl<'r> Download<'r> {
    /// Asks for what is at the URL. Secrets and certificates are read anew. Any answer but 200 is none.
    pub fn start(runtime: &'r Runtime, http: &Http, max_bytes: u64) -> Result<Download<'r>, Stall> {
        let client = Client::new(http, 1)?;
        let response = runtime.block_on(client.get())?;
        Ok(Download { runtime, response, chunk: Vec::new(), at: 0, left: max_bytes })
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            let chunk = self.runtime.block_on(self.response.chunk());
            // Without the URL: whoever reads this knows it.
            let Some(chunk) = chunk.map_err(|error| io::Error::other(error.without_url()))? else { return Ok(0) };
            self.left = match self.left.checked_sub(chunk.len() as u64) {
                Some(left) => left,
                None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the answer is too long")),
            };
            self.chunk.clear();
            self.chunk.extend_from_slice(&chunk);
            self.at = 0;
        }
        let rest = &self.chunk[self.at..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}
