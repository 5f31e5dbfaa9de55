//! `filter_path`: which parts of an answer are wanted.

use serde_json::{Map, Value};

/// What of `value` these paths name, separated by commas. A part of a path is a name or `*`, which is any one name.
/// Arrays are no part of a path: each of their values is looked at, and those of which nothing is left are left out, so
/// that the others change their places.
pub(super) fn filter(value: &Value, paths: &str) -> Value {
    let paths: Vec<Vec<&str>> = paths.split(',').map(|path| path.split('.').collect()).collect();
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    kept(value, &paths).unwrap_or_else(|| Value::Object(Map::new()))
}

fn kept(value: &Value, paths: &[&[&str]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let below = paths.iter().filter(|path| path[0] == "*" || path[0] == name).map(|path| &path[1..]);
                let below: Vec<&[&str]> = below.collect();
                if below.is_empty() { None } else { Some((name.clone(), kept(value, &below)?)) }
            };
            let members: Map<String, Value> = members.iter().filter_map(member).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Array(values) => {
            let values: Vec<Value> = values.iter().filter_map(|value| kept(value, paths)).collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        _ => None,
    }
}
