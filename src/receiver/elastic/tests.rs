#![allow(clippy::unwrap_used)]

use super::*;
use axum::http;
use std::{io::Write as _, time::Duration};

fn elastic(options: ElasticOptions) -> Elastic {
    Elastic::new(options)
}

fn with_stream() -> ElasticOptions {
    ElasticOptions { data_streams: vec!["logs-*".into()], ..ElasticOptions::default() }
}

/// Sends a request as a client does, and waits for the answer. An empty one is `null`.
fn send_with(elastic: &Elastic, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_vec())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = handler(State(elastic.clone()), request).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    })
}

fn send(elastic: &Elastic, method: &str, path: &str, body: &str) -> (u16, Value) {
    send_with(elastic, method, path, &[("content-type", "application/x-ndjson")], body.as_bytes())
}

fn ok(elastic: &Elastic, method: &str, path: &str, body: &str) -> Value {
    let (status, answer) = send(elastic, method, path, body);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The actions and documents of `create`.
fn creates(index: &str, documents: &[(&str, &str)]) -> String {
    let line = |(id, document): &(&str, &str)| {
        format!("{{\"create\":{{\"_index\":\"{index}\",\"_id\":\"{id}\"}}}}\n{document}\n")
    };
    documents.iter().map(line).collect()
}

/// The status and the error's type of each item.
fn outcomes(answer: &Value) -> Vec<(u64, String)> {
    let item = |item: &Value| {
        let item = item.as_object().unwrap().values().next().unwrap();
        (item["status"].as_u64().unwrap(), item["error"]["type"].as_str().unwrap_or_default().to_owned())
    };
    answer["items"].as_array().unwrap().iter().map(item).collect()
}

#[track_caller]
fn check_items(elastic: &Elastic, path: &str, body: &str, expect: &[(u64, &str)]) {
    let found = outcomes(&ok(elastic, "POST", path, body));
    let found: Vec<_> = found.iter().map(|(status, kind)| (*status, kind.as_str())).collect();
    assert_eq!(found, expect);
}

#[track_caller]
fn check_refused(elastic: &Elastic, method: &str, path: &str, body: &str, status: u16, kind: &str) -> String {
    let (found, answer) = send(elastic, method, path, body);
    assert_eq!((found, answer["error"]["type"].as_str().unwrap_or_default()), (status, kind), "{answer}");
    answer["error"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// 2026-11-25, at this second of the day.
fn at(second: u32) -> String {
    format!("{{\"@timestamp\":\"2026-11-25T00:00:{second:02}.000000001Z\",\"event\":{{\"id\":\"e{second}\"}}}}")
}

#[test]
fn the_routes_do_not_conflict() {
    let loki = crate::receiver::Receiver::new(crate::receiver::Options::default()).unwrap();
    let _ = elastic(ElasticOptions::default()).router().merge(loki.router());
}

#[test]
fn an_id_is_stored_once_in_an_index() {
    let elastic = elastic(ElasticOptions::default());
    let body = creates("a", &[("1", "{}"), ("2", "{}"), ("1", "{\"x\":1}")]);
    let conflict = (409, "version_conflict_engine_exception");
    check_items(&elastic, "/_bulk", &body, &[(201, ""), (201, ""), conflict]);
    check_items(&elastic, "/_bulk", &creates("b", &[("1", "{}")]), &[(201, "")]);
    let found: Vec<_> = elastic.documents("a").into_iter().map(|document| (document.id, document.sends)).collect();
    assert_eq!(found, [("1".to_owned(), 2), ("2".to_owned(), 1)]);
    assert_eq!(elastic.documents("a")[0].source, b"{}");
    assert_eq!(elastic.documents("*").len(), 3);
    let expect = ElasticCounts { requests: 2, created: 3, conflicts: 1, ..ElasticCounts::default() };
    assert_eq!(elastic.counts(), expect);
    // The target of the path, and an id of its own.
    check_items(
        &elastic,
        "/c/_bulk",
        "{\"create\":{}}\n{}\n{\"index\":{\"_id\":\"1\"}}\n{}\n",
        &[(201, ""), (201, "")],
    );
    check_items(&elastic, "/c/_bulk", "{\"index\":{\"_id\":\"1\"}}\n{}\n", &[(200, "")]);
}

#[test]
fn after_a_rollover_a_data_stream_takes_the_same_id_again() {
    let elastic = elastic(with_stream());
    let body = creates("logs-a", &[("1", &at(1))]);
    check_items(&elastic, "/_bulk", &body, &[(201, "")]);
    check_items(&elastic, "/_bulk", &body, &[(409, "version_conflict_engine_exception")]);
    assert_eq!(elastic.rollover("nothing"), None);
    ok(&elastic, "POST", "/logs-a/_rollover", "");
    check_items(&elastic, "/_bulk", &body, &[(201, "")]);
    let documents = elastic.documents("logs-a");
    assert_eq!(documents.len(), 2);
    assert!(documents[0].index.starts_with(".ds-logs-a-") && documents[0].index.ends_with("-000001"));
    assert!(documents[1].index.ends_with("-000002"));
    // Nothing but create.
    let index = body.replace("create", "index");
    check_items(&elastic, "/_bulk", &index, &[(400, "illegal_argument_exception")]);
}

#[test]
fn a_request_is_lines() {
    let elastic = elastic(ElasticOptions::default());
    let check = |body: &str, kind: &str, reason: &str| {
        let found = check_refused(&elastic, "POST", "/_bulk", body, 400, kind);
        assert!(found.contains(reason), "{found}");
    };
    check("", "parse_exception", "request body is required");
    check("\n", "action_request_validation_exception", "no requests added");
    check("{\"create\":{\"_index\":\"a\"}}\n{}", "illegal_argument_exception", "terminated by a newline");
    check("{\"create\":{\"_index\":\"a\"}}", "illegal_argument_exception", "terminated by a newline");
    check("[]\n{}\n", "illegal_argument_exception", "Malformed action/metadata line [1]");
    check("{\"drop\":{\"_index\":\"a\"}}\n{}\n", "illegal_argument_exception", "[drop]");
    check("{\"create\":{\"_index\":\"a\",\"x\":1}}\n{}\n", "illegal_argument_exception", "unknown parameter [x]");
    check("{\"create\":{}}\n{}\n", "action_request_validation_exception", "index is missing");
    let long = creates("a", &[(&"x".repeat(513), "{}")]);
    check(&long, "action_request_validation_exception", "is too long");
    assert_eq!((elastic.counts().created, elastic.counts().refused_requests), (0, 9));
    check_items(&elastic, "/_bulk", &format!("\n{}", creates("a", &[(&"x".repeat(512), "{}")])), &[(201, "")]);
    let (status, _) = send_with(&elastic, "POST", "/_bulk", &[("content-type", "text/plain")], b"x");
    assert_eq!(status, 406);
    check_refused(&elastic, "POST", "/_bulk?x=1", "x\n", 400, "illegal_argument_exception");
}

#[test]
fn documents_that_do_not_fit() {
    let options = ElasticOptions { reject_fields: vec!["audit.bad".into()], ..with_stream() };
    let elastic = elastic(options);
    let nested = |levels: usize| format!("{{\"audit\":{}1{}}}", "{\"k\":".repeat(levels), "}".repeat(levels));
    let bad = (400, "document_parsing_exception");
    let check = |index: &str, document: &str, expect: (u64, &str)| {
        check_items(&elastic, "/_bulk", &creates(index, &[("1", document)]), &[expect]);
    };
    check("a1", "{\"a\":1,\"a\":1}", bad);
    check("a2", "{\"a\":{\"b\":1,\"b\":1}}", bad);
    check("a3", "{\"a\":", bad);
    check("a4", "[]", bad);
    check("a5", &nested(20), (201, ""));
    check("a6", &nested(21), bad);
    check("a7", "{\"audit\":1}", bad);
    check("a8", "{\"audit\":{\"bad\":1}}", bad);
    check("a9", "{\"@timestamp\":\"1969-12-31T23:59:59Z\"}", bad);
    check("a10", "{\"@timestamp\":\"x\"}", bad);
    check("a11", "{\"event\":{\"sequence\":\"x\"}}", bad);
    check("a12", "{}", (201, ""));
    check("logs-a", "{}", bad);
    check("logs-a", &at(1), (201, ""));
    check("A", "{}", (400, "invalid_index_name_exception"));
    assert_eq!(elastic.counts().rejected, 12);
}

#[test]
fn with_a_pipeline_one_document_refuses_all() {
    let elastic = elastic(ElasticOptions { pipelines: vec!["p".into()], ..ElasticOptions::default() });
    let body = creates("a", &[("1", "{}"), ("2", "{\"a\":1,\"a\":1}")]);
    check_refused(&elastic, "POST", "/_bulk?pipeline=p", &body, 400, "x_content_parse_exception");
    assert_eq!(elastic.documents("*").len(), 0);
    check_items(&elastic, "/_bulk?pipeline=_none", &body, &[(201, ""), (400, "document_parsing_exception")]);
    let body = creates("b", &[("1", "{}")]);
    check_items(&elastic, "/_bulk?pipeline=p", &body, &[(201, "")]);
    check_items(&elastic, "/_bulk?pipeline=q", &body, &[(400, "illegal_argument_exception")]);
}

#[test]
fn a_failure_store_says_201_to_what_it_keeps() {
    let elastic = elastic(ElasticOptions { failure_store: true, ..with_stream() });
    let answer = ok(&elastic, "POST", "/_bulk", &creates("logs-a", &[("1", "{}"), ("2", &at(1))]));
    assert_eq!(answer["errors"], false);
    let store = |nth: usize| answer["items"][nth]["create"].get("failure_store").cloned();
    assert_eq!((store(0), store(1)), (Some(json!("used")), None));
    assert_eq!(elastic.documents("logs-a").len(), 1);
    assert_eq!(elastic.documents("logs-a::failures").len(), 1);
    assert_eq!((elastic.counts().created, elastic.counts().failed), (1, 1));
}

#[test]
fn nothing_is_written_while_there_is_a_block() {
    let elastic = elastic(ElasticOptions::default());
    let body = creates("a", &[("1", "{}")]);
    let check = |block, expect: (u64, &str)| {
        elastic.block(block);
        check_items(&elastic, "/_bulk", &body, &[expect]);
    };
    check(Some(Block::ReadOnly), (403, "cluster_block_exception"));
    check(Some(Block::FloodStage), (429, "cluster_block_exception"));
    check(None, (201, ""));
}

#[test]
fn what_may_be_made_by_writing_to_it() {
    let options = ElasticOptions { auto_create: false, ..with_stream() };
    let none = elastic(options.clone());
    let missing = (404, "index_not_found_exception");
    check_items(&none, "/_bulk", &creates("a", &[("1", "{}")]), &[missing]);
    check_items(&none, "/_bulk", &creates("logs-a", &[("1", &at(1))]), &[(201, "")]);
    let all = elastic(with_stream());
    check_items(&all, "/_bulk?require_data_stream=true", &creates("a", &[("1", "{}")]), &[missing]);
    check_items(&all, "/_bulk?require_data_stream=true", &creates("logs-a", &[("1", &at(1))]), &[(201, "")]);
    // OpenSearch does not know it.
    let other = elastic(ElasticOptions { flavour: Flavour::OpenSearch, ..with_stream() });
    let path = "/_bulk?require_data_stream=true";
    check_refused(&other, "POST", path, &creates("a", &[("1", "{}")]), 400, "illegal_argument_exception");
}

#[test]
fn bodies_come_compressed_and_have_a_limit() {
    let body = creates("a", &[("1", "{}"), ("2", "{}")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::stream::encode_all(body.as_bytes(), 1).unwrap();
    let check = |options: ElasticOptions, encoding: &str, body: &[u8], expect: u16| {
        let elastic = elastic(options);
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", encoding)];
        assert_eq!(send_with(&elastic, "POST", "/_bulk", &headers, body).0, expect, "{encoding}");
        assert_eq!(elastic.documents("a").len(), if expect == 200 { 2 } else { 0 });
    };
    let default = ElasticOptions::default;
    let limited = |max_content_length| ElasticOptions { max_content_length, ..default() };
    check(default(), "gzip", &gzip, 200);
    check(default(), "gzip", &gzip[..gzip.len() - 9], 400);
    check(default(), "zstd", &zstd, 400);
    check(ElasticOptions { zstd: true, ..default() }, "zstd", &zstd, 200);
    check(limited(body.len()), "gzip", &gzip, 200);
    check(limited(body.len() - 1), "gzip", &gzip, 413);
    check(limited(body.len() - 1), "identity", body.as_bytes(), 413);
}

#[test]
fn a_filter_leaves_what_it_names() {
    let elastic = elastic(ElasticOptions::default());
    let body = creates("a", &[("1", "{}"), ("1", "{}")]);
    let path = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.failure_store";
    let expect = json!({ "errors": true, "items": [
        { "create": { "status": 201 } },
        { "create": { "status": 409, "error": { "type": "version_conflict_engine_exception" } } },
    ] });
    assert_eq!(ok(&elastic, "POST", path, &body), expect);
    // Places are lost with the items of which nothing is left.
    let expect = json!({ "items": [
        { "create": { "error": { "type": "version_conflict_engine_exception" } } },
        { "create": { "error": { "type": "version_conflict_engine_exception" } } },
    ] });
    let body = creates("a", &[("1", "{}"), ("2", "{}"), ("1", "{}")]);
    assert_eq!(ok(&elastic, "POST", "/_bulk?filter_path=items.*.error.type", &body), expect);
    assert_eq!(ok(&elastic, "POST", "/a/_refresh?filter_path=nothing", ""), json!({}));
    // An error is not filtered.
    let (_, error) = send(&elastic, "POST", "/_bulk?filter_path=errors", "");
    assert_eq!(error["error"]["type"], "parse_exception");
}

#[test]
fn only_who_is_expected_is_let_in() {
    let elastic = elastic(ElasticOptions { authorization: vec!["ApiKey abc".into()], ..ElasticOptions::default() });
    for (headers, expect) in
        [(&[][..], 401), (&[("authorization", "ApiKey abd")][..], 401), (&[("authorization", "ApiKey abc")][..], 200)]
    {
        let (status, answer) = send_with(&elastic, "GET", "/", headers, b"");
        assert_eq!(status, expect);
        assert_eq!(answer["error"]["type"] == "security_exception", expect == 401);
    }
}

#[test]
fn each_says_what_it_is() {
    let check = |flavour, distribution: Value| {
        let elastic = elastic(ElasticOptions { flavour, ..ElasticOptions::default() });
        assert_eq!(ok(&elastic, "GET", "/", "")["version"]["distribution"], distribution);
        check_refused(&elastic, "GET", "/_bulk", "", 400, "");
    };
    check(Flavour::Elasticsearch, Value::Null);
    check(Flavour::OpenSearch, json!("opensearch"));
}

/// The ids of the hits.
fn hits(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["_id"].as_str().unwrap()).collect()
}

#[test]
fn what_is_new_is_found_after_a_refresh() {
    let elastic = elastic(with_stream());
    let count = || ok(&elastic, "GET", "/logs-a/_count", "")["count"].as_u64().unwrap();
    ok(&elastic, "POST", "/_bulk", &creates("logs-a", &[("1", &at(1))]));
    assert_eq!(count(), 0);
    let indices = elastic.store().resolve("logs-a").unwrap();
    let later = Instant::now() + Duration::from_secs(1);
    assert_eq!(elastic.store().visible(&indices, later).len(), 1);
    ok(&elastic, "POST", "/logs-a/_refresh", "");
    assert_eq!(count(), 1);
    ok(&elastic, "POST", "/_bulk?refresh=true", &creates("logs-a", &[("2", &at(2))]));
    assert_eq!(count(), 2);
    check_refused(&elastic, "POST", "/nothing/_refresh", "", 404, "index_not_found_exception");
    assert_eq!(ok(&elastic, "GET", "/nothing-*/_count", "")["count"], 0);
}

#[test]
fn queries() {
    let elastic = elastic(with_stream());
    let documents: Vec<String> = (0..5).map(at).collect();
    let ids = ["a", "b", "c", "d", "e"];
    let pairs: Vec<_> = ids.into_iter().zip(documents.iter().map(String::as_str)).collect();
    ok(&elastic, "POST", "/_bulk?refresh=true", &creates("logs-a", &pairs));
    let check = |query: Value, expect: &[&str]| {
        let body = json!({ "query": query, "_source": false });
        let answer = ok(&elastic, "POST", "/logs-a/_search", &body.to_string());
        assert_eq!(hits(&answer), expect, "{query}");
        assert_eq!(answer["timed_out"], false);
        let count = ok(&elastic, "POST", "/logs-*/_count", &json!({ "query": query }).to_string());
        assert_eq!(count["count"], expect.len());
    };
    check(json!({ "match_all": {} }), &ids);
    check(json!({ "ids": { "values": ["d", "b", "x"] } }), &["b", "d"]);
    check(json!({ "terms": { "event.id": ["e1", "e4"] } }), &["b", "e"]);
    check(json!({ "term": { "event.id": { "value": "e1" } } }), &["b"]);
    check(json!({ "exists": { "field": "event.sequence" } }), &[]);
    let second = "2026-11-25T00:00:02.000000001Z";
    check(json!({ "range": { "@timestamp": { "gte": second } } }), &["c", "d", "e"]);
    check(json!({ "range": { "@timestamp": { "gt": second, "lt": "2026-11-25T00:00:04Z" } } }), &["d"]);
    let both = json!({ "bool": { "filter": [{ "range": { "@timestamp": { "lte": second } } }],
        "must_not": { "ids": { "values": ["a"] } } } });
    check(both, &["b", "c"]);
    let refused = |body: Value, kind: &str| {
        check_refused(&elastic, "POST", "/logs-a/_search", &body.to_string(), 400, kind);
    };
    refused(json!({ "query": { "fuzzy": {} } }), "parsing_exception");
    refused(json!({ "query": { "term": { "audit.x": 1 } } }), "query_shard_exception");
    refused(json!({ "siez": 1 }), "parsing_exception");
    refused(json!({ "size": 10_001 }), "illegal_argument_exception");
    refused(json!({ "sort": ["_shard_doc"] }), "illegal_argument_exception");
    refused(json!({ "sort": ["event.id"], "search_after": [1, 2] }), "illegal_argument_exception");
}

#[test]
fn a_hit_has_its_document_or_parts_of_it() {
    let elastic = elastic(ElasticOptions::default());
    ok(&elastic, "POST", "/_bulk?refresh=true", &creates("a", &[("1", &at(3))]));
    let check = |more: Value, source: Value, fields: Value| {
        let hit = ok(&elastic, "POST", "/a/_search", &more.to_string())["hits"]["hits"][0].clone();
        assert_eq!((&hit["_source"], &hit["fields"]), (&source, &fields), "{more}");
    };
    let whole: Value = serde_json::from_str(&at(3)).unwrap();
    check(json!({}), whole, Value::Null);
    check(json!({ "_source": ["event.id"] }), json!({ "event": { "id": "e3" } }), Value::Null);
    check(json!({ "_source": false, "fields": ["event.id"] }), Value::Null, json!({ "event.id": ["e3"] }));
}

#[test]
fn pages_of_a_point_in_time_are_complete() {
    for flavour in [Flavour::Elasticsearch, Flavour::OpenSearch] {
        let elastic = elastic(ElasticOptions { flavour, ..with_stream() });
        // Times that are equal, and one that is in the next backing index.
        let documents = [("a", at(1)), ("b", at(0)), ("c", at(1)), ("d", at(1)), ("e", at(2))];
        for (id, document) in &documents {
            ok(&elastic, "POST", "/_bulk", &creates("logs-a", &[(id, document)]));
            if *id == "c" {
                elastic.rollover("logs-a");
            }
        }
        ok(&elastic, "POST", "/logs-a/_refresh", "");
        let (path, name, close) = match flavour {
            Flavour::Elasticsearch => ("/logs-a/_pit", "id", "/_pit"),
            Flavour::OpenSearch => ("/logs-a/_search/point_in_time", "pit_id", "/_search/point_in_time"),
        };
        check_refused(&elastic, "POST", path, "", 400, "action_request_validation_exception");
        let id = ok(&elastic, "POST", &format!("{path}?keep_alive=1m"), "")[name].clone();
        // Not in it.
        ok(&elastic, "POST", "/_bulk?refresh=true", &creates("logs-a", &[("f", &at(0))]));
        let time = json!({ "order": "asc", "format": "strict_date_optional_time_nanos" });
        let mut sort = vec![json!({ "@timestamp": time })];
        if flavour == Flavour::OpenSearch {
            sort.push(json!("event.id"));
        }
        let mut found: Vec<String> = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut body = json!({ "size": 2, "pit": { "id": id, "keep_alive": "1m" }, "sort": sort });
            if !after.is_null() {
                body["search_after"] = after.clone();
            }
            let answer = ok(&elastic, "POST", "/_search", &body.to_string());
            assert_eq!(answer["pit_id"], id);
            let page = hits(&answer);
            let Some(last) = answer["hits"]["hits"].as_array().unwrap().last() else { break };
            assert_eq!(last["sort"].as_array().unwrap().len(), 2);
            assert!(last["sort"][0].as_str().unwrap().ends_with(".000000001Z"));
            after = last["sort"].clone();
            found.extend(page.into_iter().map(ToOwned::to_owned));
        }
        // OpenSearch adds no tie-breaker, and these have equal keys: only the first page of them is whole.
        let expect: &[&str] = match flavour {
            Flavour::Elasticsearch => &["b", "a", "c", "d", "e"],
            Flavour::OpenSearch => &["b", "a", "e"],
        };
        assert_eq!(found, expect, "{flavour:?}");
        let body = json!({ name: id }).to_string();
        ok(&elastic, "DELETE", close, &body);
        check_refused(&elastic, "DELETE", close, &body, 404, "search_context_missing_exception");
        let body = json!({ "pit": { "id": id } }).to_string();
        check_refused(&elastic, "POST", "/_search", &body, 404, "search_context_missing_exception");
    }
}

/// Both sides of the wire: what the output sends is stored, and what the receiver answers is understood.
mod with_the_output {
    use super::*;
    use crate::{
        batch::{Bases, Batch, Form, Pool, Records, Selection},
        model::{FileName, LabelSet, Marks, Nanos, Origin, Record, leaf},
        output::{Answer, Compression, Heads, Item, Output, Request, Scratch, StreamHead, Verdict, elastic as out},
    };

    const NOW: Nanos = Nanos(1_795_633_503_123_456_789);

    fn output(target: out::Target) -> Output {
        Output::Elastic(out::Elastic::new(target, None, Compression::Gzip))
    }

    fn batch(output: &Output, bodies: &[&[u8]]) -> (Batch, StreamHead) {
        let (name, first_seen) = (FileName(0xab), NOW);
        let (host, path, source) = ("h".into(), "/p".into(), "s".into());
        let file = output.file(&Origin { name, host, path, source, first_seen, container: None });
        let stream = output.stream(&LabelSet::new([("tenant".to_owned(), "t".to_owned())]));
        let (mut pool, mut batch) = (Pool::new(1 << 20), Batch::new(0, Duration::ZERO));
        for (seq, body) in (1..).zip(bodies) {
            let marks = if body.starts_with(b"{") { Marks::NONE } else { Marks::MALFORMED };
            let record = Record { body, offset: seq, seq, leaf: leaf(body), time: NOW, marks, part: None };
            let heads = Heads { file: &file, stream: &stream, now: NOW };
            output.encode(&mut batch.body.writer(&mut pool), &record, heads);
            batch.end_record();
        }
        (batch, stream)
    }

    fn sent(elastic: &Elastic, request: &Request) -> (u16, Value) {
        let mut headers = vec![("content-type", request.content_type)];
        headers.extend(request.encoding.map(|encoding| ("content-encoding", encoding)));
        send_with(elastic, "POST", &request.path, &headers, &request.body)
    }

    fn verdict(elastic: &Elastic, output: &Output, batch: &(Batch, StreamHead), form: Form) -> Verdict {
        let selection = Selection::of(0..batch.0.records(), form);
        let records = Records { batch: &batch.0, selection: &selection, bases: &Bases::default() };
        let (status, answer) = sent(elastic, &output.request(&batch.1, records, &mut Scratch::default()));
        let body = answer.to_string();
        output.reply(Answer { status, body: body.as_bytes(), retry_after: None, now: NOW }, selection.len())
    }

    #[test]
    fn every_record_is_stored_once() {
        let elastic = elastic(ElasticOptions::default());
        let output = output(out::Target::Index(out::Pattern::parse("audit-%Y.%m").unwrap()));
        let batch = batch(&output, &[b"{\"a\":1}", b"no json", b"{\"a\":1,\"a\":2}"]);
        for _ in 0..2 {
            assert_eq!(verdict(&elastic, &output, &batch, Form::Full), Verdict::Accepted);
            assert_eq!(verdict(&elastic, &output, &batch, Form::Plain), Verdict::Accepted);
        }
        assert_eq!((elastic.counts().created, elastic.counts().conflicts), (3, 9));
        let documents = elastic.documents("audit-2026.11");
        let originals: Vec<Value> = documents
            .iter()
            .map(|document| serde_json::from_slice::<Value>(&document.source).unwrap()["event"]["original"].clone())
            .collect();
        assert_eq!(originals, [json!("{\"a\":1}"), json!("no json"), json!("{\"a\":1,\"a\":2}")]);
    }

    #[test]
    fn what_is_refused_as_an_object_is_taken_as_text() {
        let elastic =
            elastic(ElasticOptions { reject_fields: vec!["audit.bad".into()], ..ElasticOptions::default() });
        let output = output(out::Target::Index(out::Pattern::parse("audit").unwrap()));
        let batch = batch(&output, &[b"{}", b"{\"bad\":1}"]);
        let Verdict::Items(items) = verdict(&elastic, &output, &batch, Form::Full) else { panic!() };
        assert!(matches!(&items[..], [Item::Stored, Item::Refused { .. }]), "{items:?}");
        assert_eq!(verdict(&elastic, &output, &batch, Form::Plain), Verdict::Accepted);
    }

    #[test]
    fn no_records_are_taken_when_the_credentials_are() {
        let output = output(out::Target::Index(out::Pattern::parse("audit").unwrap()));
        let batch = batch(&output, &[]);
        let open = elastic(ElasticOptions::default());
        assert_eq!(verdict(&open, &output, &batch, Form::Full), Verdict::Accepted);
        let closed = elastic(ElasticOptions { authorization: vec!["x".into()], ..ElasticOptions::default() });
        assert!(matches!(verdict(&closed, &output, &batch, Form::Full), Verdict::Stall(_)));
    }

    #[test]
    fn a_block_stalls_and_a_failure_store_refuses() {
        let elastic =
            elastic(ElasticOptions { failure_store: true, reject_fields: vec!["event".into()], ..with_stream() });
        let output = output(out::Target::DataStream(out::Name::parse("logs-a").unwrap()));
        let batch = batch(&output, &[b"{}"]);
        let Verdict::Items(items) = verdict(&elastic, &output, &batch, Form::Full) else { panic!() };
        assert!(matches!(&items[..], [Item::Refused { reason }] if reason.contains("failure store")), "{items:?}");
        elastic.block(Some(Block::FloodStage));
        assert!(matches!(verdict(&elastic, &output, &batch, Form::Full), Verdict::Stall(_)));
    }

    #[test]
    fn after_a_rollover_a_look_up_finds_what_is_stored() {
        let elastic = elastic(with_stream());
        let lookup =
            out::Elastic::new(out::Target::DataStream(out::Name::parse("logs-a").unwrap()), None, Compression::None);
        let output = output(lookup.target().clone());
        let batch = batch(&output, &[b"{\"a\":1}", b"{\"a\":2}"]);
        let stored = || {
            let selection = Selection::of(0..2, Form::Full);
            let records = Records { batch: &batch.0, selection: &selection, bases: &Bases::default() };
            let (status, answer) = sent(&elastic, &lookup.refresh());
            let body = answer.to_string();
            let answer = |status, body| Answer { status, body, retry_after: None, now: NOW };
            out::lookup::refreshed(answer(status, body.as_bytes())).unwrap();
            let (status, found) = sent(&elastic, &lookup.lookup(records));
            out::lookup::found(answer(status, found.to_string().as_bytes()), &out::lookup::ids(records)).unwrap()
        };
        // There is no such stream yet.
        assert_eq!(stored(), [false, false]);
        assert_eq!(verdict(&elastic, &output, &batch, Form::Full), Verdict::Accepted);
        elastic.rollover("logs-a");
        assert_eq!(stored(), [true, true]);
        // What it is for: without it they are stored twice.
        assert_eq!(verdict(&elastic, &output, &batch, Form::Full), Verdict::Accepted);
        assert_eq!(elastic.documents("logs-a").len(), 4);
    }
}
