//! The router, over a real connection.

use super::*;
use crate::receiver::serve;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// Sends a request and reads the answer: status and body.
fn exchange(to: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(to).unwrap();
    let token = SplunkToken::default().value;
    let head = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Splunk {token}\r\ncontent-length: {}\r\n\
         x-splunk-request-channel: {CHANNEL}\r\n\r\n",
        body.len()
    );
    // The receiver may answer and close before it has read all.
    let _ = connection.write_all(&[head.as_bytes(), body.as_bytes()].concat());
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn routes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let splunk = of(SplunkOptions { max_body: 1000, ..SplunkOptions::default() });
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let to = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.spawn(serve(listener, splunk.router(), async { _ = stopped.await }));

    let check = |head: &str, body: &str, status: u16, expect: &str| {
        assert_eq!(exchange(to, head, body), (status, expect.to_owned()), "{head}");
    };
    let event = r#"{"time":5,"event":"a"}"#;
    for (nth, path) in ["", "/event", "/event/1.0"].iter().enumerate() {
        let expect = format!(r#"{{"ackId":{nth},"code":0,"text":"Success"}}"#);
        check(&format!("POST /services/collector{path}"), event, 200, &expect);
    }
    let blank = r#"{"code":13,"invalid-event-number":0,"text":"Event field cannot be blank"}"#;
    check("POST /services/collector/event", r#"{"event":""}"#, 400, blank);
    let long = r#"{"code":413,"text":"Content-Length of 1001 too large (maximum is 1000)"}"#;
    check("POST /services/collector/event", &"x".repeat(1001), 413, long);
    check("POST /services/collector/ack", r#"{"acks":[2,3]}"#, 200, r#"{"acks":{"2":true,"3":false}}"#);
    for path in ["", "/1.0"] {
        check(&format!("GET /services/collector/health{path}"), "", 200, r#"{"code":17,"text":"HEC is healthy"}"#);
    }
    check("OPTIONS /services/collector/event", "", 200, "");
    assert_eq!(exchange(to, "GET /services/collector/event", "").0, 405);
    check("GET /nothing", "", 404, r#"{"code":404,"text":"The requested URL was not found on this server."}"#);

    let form = "search=search+index%3Dmain&output_mode=json&earliest_time=5&latest_time=6";
    let got = exchange(to, "POST /services/search/v2/jobs/export", form);
    assert_eq!((got.0, got.1.lines().count()), (200, 3), "{got:?}");
    assert_eq!(exchange(to, &format!("GET /services/search/v2/jobs/export?{form}"), ""), got);
    assert_eq!(exchange(to, "GET /services/search/v2/jobs/export?search=x", "").0, 400);

    drop(stop);
    runtime.block_on(server).unwrap().unwrap();
    assert_eq!((splunk.counts().requests, splunk.counts().refused_requests), (5, 2));
}
