//! The other side: asking a running agent for its status. As little HTTP as that takes, because only `send` names an
//! HTTP client.

use super::Status;
use crate::{pipeline::Admin, send::SecretError};
use secrecy::ExposeSecret as _;
use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// To connect, and between any two bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// No status is larger.
const MAX_ANSWER: u64 = 256 << 20;

/// Why there is no status from the agent.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers there, most likely because the agent does not run.
    #[error("nobody answers")]
    Unreachable(#[source] io::Error),
    /// The connection broke.
    #[error("the answer cannot be read")]
    Broken(#[source] io::Error),
    /// The token cannot be had.
    #[error("agent.admin_token_file")]
    Token(#[source] SecretError),
    /// It answers something else.
    #[error("answers: {0}")]
    Refused(String),
    /// It is not what it should be.
    #[error("the answer is not a status")]
    Strange(#[source] serde_json::Error),
}

/// The status of the agent that listens at `agent.admin`.
pub fn ask(admin: &Admin) -> Result<Status, AskError> {
    let mut stream =
        TcpStream::connect_timeout(&reachable(admin.address), PATIENCE).map_err(AskError::Unreachable)?;
    let authorization = match &admin.token {
        None => String::new(),
        Some(token) => {
            let token = token.read().map_err(AskError::Token)?;
            format!("Authorization: Bearer {}\r\n", token.expose_secret())
        }
    };
    // 1.0: the answer ends with the connection, and comes in one piece.
    let request = format!("GET /api/status HTTP/1.0\r\nHost: {}\r\n{authorization}\r\n", admin.address);
    let mut answer = Vec::new();
    let timeout = Some(PATIENCE);
    let asked = stream.set_read_timeout(timeout).and_then(|()| stream.write_all(request.as_bytes()));
    asked.and_then(|()| stream.take(MAX_ANSWER).read_to_end(&mut answer)).map_err(AskError::Broken)?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = answer.split_at(end);
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let body = String::from_utf8_lossy(body);
        let text: String = body.trim().chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(AskError::Refused(format!("{status} {text}").trim().to_owned()));
    }
    serde_json::from_slice(body).map_err(AskError::Strange)
}

/// Where to connect to what listens at `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
