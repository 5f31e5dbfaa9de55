//! The router, over a real connection.

use super::*;
use crate::receiver::{loki::now, serve};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// Sends a request and reads the answer: status and body.
fn exchange(to: SocketAddr, head: &str, body: &[u8]) -> (u16, String) {
    let mut connection = TcpStream::connect(to).unwrap();
    let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    // The receiver may answer and close before it has read all.
    let _ = connection.write_all(&[head.as_bytes(), body].concat());
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Runs `test` against a receiver on a free port, then stops the receiver.
fn with_server(limits: Limits, test: impl FnOnce(&Receiver, SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let receiver = receiver(limits);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async { _ = stopped.await };
    let server = runtime.spawn(serve(listener, receiver.router(), shutdown));
    test(&receiver, address);
    drop(stop);
    runtime.block_on(server).unwrap().unwrap();
}

#[test]
fn routes() {
    with_server(Limits { max_body: 1000, ..Limits::default() }, |receiver, to| {
        #[track_caller]
        fn check(to: SocketAddr, head: &str, body: &[u8], status: u16, text: &str) {
            let got = exchange(to, head, body);
            assert_eq!(got.0, status, "{got:?}");
            assert!(got.1.contains(text), "{got:?}");
        }
        let time = now();
        let body = snappy(&lines(r#"{app="x"}"#, &[(time, "the line")]));
        let post = "POST /loki/api/v1/push HTTP/1.1\r\ncontent-type: application/x-protobuf";
        assert_eq!(exchange(to, post, &body), (204, String::new()));
        check(to, "POST /loki/api/v1/push HTTP/1.1", &body, 400, "mime: no media type\n");
        check(to, post, &[0; 1001], 413, "request body too large");
        check(to, "GET /loki/api/v1/push HTTP/1.1", b"", 405, "");
        check(to, "GET /loki/api/v1/nothing HTTP/1.1", b"", 404, "");
        check(to, "GET /ready HTTP/1.1", b"", 200, "ready");
        let labels = r#"{"data":["app","service_name"],"status":"success"}"#;
        check(to, "GET /loki/api/v1/labels HTTP/1.1", b"", 200, labels);
        let query = "query=%7Bapp%3D%22x%22%7D&limit=5";
        let found = format!(r#"["{time}","the line"]"#);
        check(to, &format!("GET /loki/api/v1/query_range?{query} HTTP/1.1"), b"", 200, &found);
        let form = "POST /loki/api/v1/query_range HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
        check(to, form, query.as_bytes(), 200, &found);
        check(to, "GET /loki/api/v1/query_range?query=x HTTP/1.1", b"", 400, "parse error");
        let counts = receiver.counts();
        assert_eq!((counts.requests, counts.refused_requests, counts.accepted), (2, 1, 1));
    });
}
