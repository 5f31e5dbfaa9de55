//! `check --connect`: each output is asked whether it takes what we would send, and stores nothing.

use crate::rig::{Finished, Site, command, finish};
use auditship::receiver::{
    Datadog, DatadogOptions, Elastic, ElasticOptions, Options, Receiver, Splunk, SplunkOptions, SplunkToken, all,
    serve,
};
use std::fs;

const TOKEN: &str = "00000000-0000-0000-0000-000000000000";

/// All four, which know this key and this token.
fn destinations(ack: bool) -> (tokio::runtime::Runtime, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let token = SplunkToken { value: TOKEN.into(), ack, ..SplunkToken::default() };
    let routers = [
        Receiver::new(Options::default()).unwrap().router(),
        Elastic::new(ElasticOptions { authorization: vec![format!("ApiKey {TOKEN}")], ..ElasticOptions::default() })
            .router(),
        Splunk::new(SplunkOptions { tokens: vec![token], ..SplunkOptions::default() }).router(),
        Datadog::new(DatadogOptions { keys: vec![TOKEN.into()], ..DatadogOptions::default() }).router(),
    ];
    runtime.spawn(async move { serve(listener, all(routers), std::future::pending()).await });
    (runtime, url)
}

fn check(url: &str, token: &str, splunk: &str) -> Finished {
    let site = Site::new();
    fs::write(site.path("token"), token).unwrap();
    fs::set_permissions(site.path("token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let secret = format!("{{ file = {:?} }}", site.path("token"));
    let text = site.config(url)
        + &format!(
            "[outputs.elastic]\ntype = \"elasticsearch\"\nurl = {url:?}\nindex = \"audit-%Y.%m\"\nauth.api_key = {secret}\n\
             [outputs.stream]\ntype = \"elasticsearch\"\nurl = {url:?}\ndata_stream = \"audit\"\nauth.api_key = {secret}\n\
             [outputs.splunk]\ntype = \"splunk_hec\"\nurl = {url:?}\nauth.token = {secret}\n{splunk}\n\
             [outputs.datadog]\ntype = \"datadog\"\nurl = {url:?}\nauth.token = {secret}\n"
        );
    let path = site.path("auditship.toml");
    fs::write(&path, text).unwrap();
    finish(command().args(["check", "--connect", "-c"]).arg(path))
}

/// What is said of an output.
fn row<'a>(done: &'a Finished, output: &str) -> &'a str {
    done.stdout.lines().find(|line| line.trim_start().starts_with(output)).expect("a row")
}

#[test]
fn every_type_of_output_says_whether_it_accepts() {
    let (_runtime, url) = destinations(true);
    let done = check(&url, TOKEN, "");
    assert_eq!(done.code, Some(0), "{done:#?}");
    for output in ["loki", "elastic", "stream", "splunk", "datadog"] {
        assert!(row(&done, output).ends_with("accepts"), "{done:#?}");
    }

    let done = check(&url, "another", "");
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(row(&done, "loki").ends_with("accepts"), "{done:#?}");
    for output in ["elastic", "stream", "splunk", "datadog"] {
        let row = row(&done, output);
        assert!(row.contains("HTTP 401") || row.contains("HTTP 403"), "{row}");
    }
    assert!(!format!("{done:?}").contains("another"), "{done:#?}");
}

#[test]
fn a_token_without_acknowledgement_is_told_what_to_do() {
    let (_runtime, url) = destinations(false);
    let done = check(&url, TOKEN, "");
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(row(&done, "splunk").contains("ack = false"), "{done:#?}");
    assert_eq!(check(&url, TOKEN, "ack = false").code, Some(0));
}
