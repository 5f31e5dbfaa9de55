//! Lines of all kinds.

use super::event;

/// So many of them, among them those that a destination cannot take as they are. Most have `prefix` and their number in
/// them; the empty ones and `{}` are all alike.
pub(crate) fn kinds(prefix: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| kind(n, &format!("{prefix}-{n}"))).collect()
}

/// One of 700 KB, of characters of three bytes: the destinations get it in parts.
pub(crate) fn long(id: &str) -> Vec<u8> {
    format!("{{\"id\":\"{id}\",\"event_type\":\"read\",\"pad\":\"{}\"}}", "漢".repeat(700_000 / 3)).into_bytes()
}

fn kind(n: usize, id: &str) -> Vec<u8> {
    let nested = || format!("{}{{\"id\":\"{id}\"}}{}", "{\"a\":".repeat(24), "}".repeat(24)).into_bytes();
    match n % 24 {
        0 => format!("panic: {id} is not JSON {{").into_bytes(),
        1 => [b"{\"id\":\"", id.as_bytes(), b"\",\"name\":\"M\xfcller\"}"].concat(),
        2 => Vec::new(),
        3 => b"{}".to_vec(),
        4 => format!("\u{1b}[31m{id}\u{1}\t\u{7f}\u{0}\u{b}").into_bytes(),
        5 => format!("{{\"id\":\"{id}\",\"text\":\"\\u0001\\n\\\"\\\\ \\ud83d\\ude00\"}}").into_bytes(),
        6 => format!("{{\"id\":\"x\",\"id\":\"{id}\",\"event_type\":\"a\",\"in\":{{\"k\":1,\"k\":2}}}}").into_bytes(),
        7 => nested(),
        8 => format!("[\"{id}\",1,null]").into_bytes(),
        9 => format!("{{\"id\":\"{id}\",\"event_type\":\"crlf\"}}\r").into_bytes(),
        10 => b" \t ".to_vec(),
        11 => format!("{{\"id\":\"{id}\",\"n\":1e999,\"half\":\"\\ud800\",\"big\":123456789012345678901234567890}}")
            .into(),
        _ => event(id, ["login", "read"][n % 2], ["acme", "umbrella"][n / 2 % 2]),
    }
}
