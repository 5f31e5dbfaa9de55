//! What the tests of several receivers need.
#![allow(clippy::unwrap_used)]

use super::serve;
use axum::Router;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// Sends a request and reads the answer: status and body. Nothing if the connection is closed before a byte of it.
pub(super) fn exchange(to: SocketAddr, head: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(to).unwrap();
    let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    // The receiver may answer and close before it has read all.
    let _ = connection.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    if answer.is_empty() {
        return None;
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Some((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// Runs `test` against `router` on a free port, then stops it.
pub(super) fn with_server(router: Router, test: impl FnOnce(SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async { _ = stopped.await };
    let server = runtime.spawn(serve(listener, router, shutdown));
    test(address);
    drop(stop);
    runtime.block_on(server).unwrap().unwrap();
}
