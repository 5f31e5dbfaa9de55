//! A way to a server on which some requests arrive and are not answered: the server has stored what they bring, and the
//! agent does not know.

use super::http;
use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    kept: Arc<AtomicUsize>,
}

impl Relay {
    /// `keeps`: whether the answer to a request for this path is kept.
    pub(crate) fn new(server: SocketAddr, keeps: fn(&str) -> bool) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&kept);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || pass(stream, server, keeps, &count));
            }
        });
        Relay { address, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many answers were kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }
}

/// Until the agent ends the connection, or the server has ended.
fn pass(mut agent: TcpStream, server: SocketAddr, keeps: fn(&str) -> bool, kept: &AtomicUsize) -> io::Result<()> {
    while let Some(request) = http::read(&mut agent)? {
        let method = request.head.split(' ').next().unwrap_or_default();
        let of_the_connection = ["host", "content-length", "connection", "accept-encoding"];
        let headers = request.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: Vec<(&str, &str)> =
            headers.filter(|(name, _)| !of_the_connection.contains(&&*name.to_lowercase())).collect();
        let path = request.second_word();
        let (status, body) = http::ask(server, method, path, &headers, &request.body)?;
        if keeps(path) {
            assert_eq!(status / 100, 2, "{path}: {}", String::from_utf8_lossy(&body));
            kept.fetch_add(1, Ordering::Relaxed);
            return io::copy(&mut agent, &mut io::sink()).map(drop);
        }
        let len = body.len();
        write!(agent, "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n")?;
        agent.write_all(&body)?;
    }
    Ok(())
}
