//! As much of HTTP/1.1 as the agent and the receiver speak with each other. Written by hand, because the faults are
//! between the bytes: a body that is taken without an answer, a connection that is cut in the middle.

use std::io::{self, Read};

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
