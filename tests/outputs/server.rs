//! A server that says what a test's script wants, where no receiver does: also half an answer.

use crate::rig::{Message, read_message};
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A request.
pub(crate) struct Asked {
    /// Without its query.
    pub(crate) path: String,
    /// Decompressed.
    pub(crate) body: Vec<u8>,
}

/// An answer, in JSON.
pub(crate) enum Said {
    Whole(u16, String),
    /// The head and one half of the body; then the connection is closed.
    Half(u16, String),
}

/// It has its script for itself; what the script finds out is shared with the test by the script.
pub(crate) struct Server {
    address: SocketAddr,
    is_closing: Arc<AtomicBool>,
    door: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(script: impl FnMut(&Asked) -> Said + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_closing = Arc::new(AtomicBool::new(false));
        let closing = Arc::clone(&is_closing);
        let script = Arc::new(Mutex::new(script));
        let door = thread::spawn(move || {
            for connection in listener.incoming() {
                if closing.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    // A broken connection is the other side's, or the script's, doing.
                    let _ = attend(&connection, |asked| (script.lock().unwrap())(asked));
                    let _ = connection.shutdown(Shutdown::Both);
                });
            }
        });
        Server { address, is_closing, door: Some(door) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::Relaxed);
        // The door sees the flag when somebody knocks.
        let _ = TcpStream::connect(self.address);
        if let Some(door) = self.door.take() {
            door.join().unwrap();
        }
    }
}

/// One connection, to its end.
fn attend(mut stream: &TcpStream, mut script: impl FnMut(&Asked) -> Said) -> io::Result<()> {
    while let Some(message) = read_message(&mut stream)? {
        let said = script(&asked(&message)?);
        let (Said::Whole(status, body) | Said::Half(status, body)) = &said;
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let sent = if let Said::Half(..) = said { body.len() / 2 } else { body.len() };
        stream.write_all(&[head.as_bytes(), &body.as_bytes()[..sent]].concat())?;
        if sent < body.len() {
            return Ok(());
        }
    }
    Ok(())
}

fn asked(message: &Message) -> io::Result<Asked> {
    let path = message.second_word().split('?').next().unwrap_or_default().to_owned();
    let mut body = Vec::new();
    match message.header("content-encoding") {
        Some("gzip") => _ = flate2::read::MultiGzDecoder::new(&message.body[..]).read_to_end(&mut body)?,
        _ => body.clone_from(&message.body),
    }
    Ok(Asked { path, body })
}
