//! Label strings, selectors, content types, tenants, times.

use super::*;
use crate::receiver::loki::{labels::Labels, mime, query::parse_time, selector::Selector, tenant::tenant};

#[test]
fn label_strings() {
    #[track_caller]
    fn check(text: &[u8], expect: Option<&str>) {
        let labels = Labels::parse(text).map(|labels| labels.to_string());
        assert_eq!(labels.as_deref().ok(), expect, "{labels:?}");
        if let Ok(canonical) = labels {
            let again = Labels::parse(canonical.as_bytes()).map(|labels| labels.to_string());
            assert_eq!(again.as_ref(), Ok(&canonical), "the canonical form stands for itself");
        }
    }
    check(br#"{b="2", a="1"}"#, Some(r#"{a="1", b="2"}"#));
    check(br#" { a = "1" , } "#, Some(r#"{a="1"}"#));
    check(br#"{a="1",b=""}"#, Some(r#"{a="1"}"#));
    check(b"{}", Some("{}"));
    check(br"{a='x',b=`\y`}", Some(r#"{a="x", b="\\y"}"#));
    check(br#"{a="\x41\102\u0043\U00000044\t\"\\"}"#, Some(r#"{a="ABCD\t\"\\"}"#));
    check(br#"{a="\xc3\xa4 {,} ="}"#, Some("{a=\"ä {,} =\"}"));
    check(b"{a=`x\ny`}", Some(r#"{a="x\ny"}"#));
    check(br#"{_a9="x",a="1",a="2"}"#, Some(r#"{_a9="x", a="1", a="2"}"#));
    for wrong in [
        "",
        "a",
        "{",
        "{a}",
        "{a=}",
        "{a=1}",
        r#"{a="1"#,
        r#"{a="1" b="2"}"#,
        r#"{a="1"}x"#,
        r#"{9a="1"}"#,
        r#"{a.b="1"}"#,
        r#"{a!="1"}"#,
        r#"{a=~"1"}"#,
        "{a=\"x\ny\"}",
        r#"{a="\q"}"#,
        r#"{a="\'"}"#,
        r#"{a="\x4"}"#,
        r#"{a="\x+4"}"#,
        r#"{a="\ud800"}"#,
        r#"{a="\400"}"#,
        "{a=`x",
        r#"{,}"#,
        r#"{"a"="1"}"#,
        r#"x{a="1"}"#,
        r#"{ä="1"}"#,
        "{a=\"\\",
        "{a=\"\\ä\"}",
    ] {
        check(wrong.as_bytes(), None);
    }
    check(b"{a=\"\xff\"}", None);
}

#[test]
fn service_names() {
    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(Labels::parse(text.as_bytes()).unwrap().with_service_name().to_string(), expect);
    }
    check("{}", r#"{service_name="unknown_service"}"#);
    check(r#"{job="j",app="a",z="1"}"#, r#"{app="a", job="j", service_name="a", z="1"}"#);
    check(r#"{service_name="s",app="a"}"#, r#"{app="a", service_name="s"}"#);
    check(r#"{service_name="",job="j"}"#, r#"{job="j", service_name="j"}"#);
}

#[test]
fn selectors() {
    /// `None`: the query is refused.
    #[track_caller]
    fn check(query: &str, labels: &str, line: &str, expect: Option<bool>) {
        let labels = Labels::parse(labels.as_bytes()).unwrap();
        let got = Selector::parse(query).map(|s| s.accepts(&labels) && s.passes(line.as_bytes()));
        assert_eq!(got.clone().ok(), expect, "{query}: {got:?}");
    }
    let labels = r#"{app="api",env="prod"}"#;
    check(r#"{app="api"}"#, labels, "", Some(true));
    check(r#"{app="ap"}"#, labels, "", Some(false));
    check(r#"{app="api",env!="prod"}"#, labels, "", Some(false));
    check(r#"{app=~"a.+"}"#, labels, "", Some(true));
    check(r#"{app=~"p"}"#, labels, "", Some(false));
    check(r#"{app=~"api|x", none=""}"#, labels, "", Some(true));
    check(r#"{app=~".+", env!~"pr.*"}"#, labels, "", Some(false));
    check(r#"{app="api"} |= "x" != "y""#, labels, "axb", Some(true));
    check(r#"{app="api"} |= "x" != `y`"#, labels, "axy", Some(false));
    check(r#"{app="api"} |~ "x+b" !~ "^b""#, labels, "axxb", Some(true));
    for wrong in [
        "",
        "{}",
        r#"{app!="x"}"#,
        r#"{app=~".*"}"#,
        r#"{app="api"} | json"#,
        r#"{app="api"} |= x"#,
        r#"{app=~"("}"#,
        r#"count_over_time({app="api"}[1h])"#,
        r#"{app="api"}[5m]"#,
    ] {
        check(wrong, labels, "", None);
    }
}

#[test]
fn content_types() {
    #[track_caller]
    fn check(header: &str, expect: Result<mime::Kind, &str>) {
        assert_eq!(mime::parse(header), expect, "{header:?}");
    }
    use mime::Kind::{Json, Other};
    check("application/json", Ok(Json));
    check("Application/JSON; charset=utf-8", Ok(Json));
    check(r#"application/json; a="b;\"c"; d=e ;"#, Ok(Json));
    check("application/x-protobuf", Ok(Other));
    check("text", Ok(Other));
    check("", Err("mime: no media type"));
    check(" ;a=b", Err("mime: no media type"));
    check("text html", Err("mime: expected slash after first token"));
    check("text/", Err("mime: expected token after slash"));
    check("text/a/b", Err("mime: unexpected content after media subtype"));
    for wrong in ["a/b; c", "a/b; c=", "a/b; =c", "a/b; c=d e", r#"a/b; c="d"#, "a/b;;"] {
        check(wrong, Err("mime: invalid media parameter"));
    }
    check("a/b; c=1; C=2", Err("mime: duplicate parameter name"));
}

#[test]
fn tenants() {
    #[track_caller]
    fn check(mode: AuthMode, header: Option<&str>, expect: Result<&str, u16>) {
        let headers = header.map_or_else(HeaderMap::new, |id| headers(&[("x-scope-orgid", id)]));
        let got = tenant(&headers, mode).map_err(|refusal| refusal.status.as_u16());
        assert_eq!(got.as_deref().map_err(|status| *status), expect);
    }
    check(AuthMode::Single, None, Ok("fake"));
    check(AuthMode::Single, Some("a|b"), Ok("fake"));
    let multi = AuthMode::MultiTenant;
    check(multi, Some("team-a_1.(x)'*!"), Ok("team-a_1.(x)'*!"));
    check(multi, Some("a|a"), Ok("a"));
    check(multi, Some(&"a".repeat(150)), Ok(&"a".repeat(150)));
    check(multi, None, Err(401));
    check(multi, Some(""), Err(401));
    for wrong in ["a|b", "a/b", ".", "..", "a b", "a|", &"a".repeat(151)] {
        check(multi, Some(wrong), Err(400));
    }
}

#[test]
fn times_of_queries() {
    #[track_caller]
    fn check(text: &str, expect: Option<i128>) {
        assert_eq!(parse_time(text).ok(), expect, "{text}");
    }
    check("1795305600", Some(i128::from(NOW)));
    check("1795305600000000001", Some(i128::from(NOW) + 1));
    check("1795305600.0014", Some(i128::from(NOW) + 1_000_000));
    check("2026-11-22T00:00:00.000000001Z", Some(i128::from(NOW) + 1));
    check("2026-11-22T01:00:00+01:00", Some(i128::from(NOW)));
    check("yesterday", None);
    check("12345678901234567890", None);
}
