//! As much of HTTP/1.1 as the agent and the receiver speak with each other. Written by hand, because the faults are
//! between the bytes: a body that is taken without an answer, a connection that is cut in the middle.

use std::{
    io::{self, Read, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Message {
    /// The first line and the headers, with the empty line after them.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The second word of the first line: the path of a request, the status of an answer.
    pub(crate) fn second_word(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// Reads one message; `None` at the end of the connection.
pub(crate) fn read(stream: &mut (impl Read + ?Sized)) -> io::Result<Option<Message>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let head_len = loop {
        if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let body = bytes.split_off(head_len);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let mut message = Message { head, body };
    let len = message.header("content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    while message.body.len() < len {
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            n => message.body.extend_from_slice(&chunk[..n]),
        }
    }
    assert_eq!(message.body.len(), len, "the agent does not pipeline");
    Ok(Some(message))
}

/// Asks in HTTP/1.0, so that the answer ends with the connection. Returns its status and body.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let len = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {len}\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = answer.split_off(end + 4);
    let status = str::from_utf8(&answer).ok().and_then(|head| head.split(' ').nth(1)?.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body))
}
