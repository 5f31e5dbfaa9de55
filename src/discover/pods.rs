//! The labels of pods, as a kubelet (`/pods`) or an API server (`/api/v1/pods`) lists them.

use super::docker::{Labels, keep};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Read,
};

/// By uid: the labels of all pods of a list, those of `wanted` only. A pod that has none of them is there too.
pub fn labels_of_pods(list: impl Read, wanted: &BTreeSet<String>) -> serde_json::Result<HashMap<Box<str>, Labels>> {
    // As it comes: a list is many times what is kept of it.
    let list: List = serde_json::from_reader(std::io::BufReader::new(list))?;
    let mut found = HashMap::new();
    for Pod { metadata } in list.items {
        let labels = keep(&metadata.labels.unwrap_or_default(), wanted);
        // In paths a static pod has the hash of its configuration for a uid.
        let annotation = |key| metadata.annotations.as_ref()?.get(key)?.as_str();
        for uid in [annotation("kubernetes.io/config.hash"), annotation("kubernetes.io/config.mirror")] {
            found.extend(uid.map(|uid| (uid.into(), labels.clone())));
        }
        found.extend(metadata.uid.map(|uid| (uid.into(), labels)));
    }
    Ok(found)
}

#[derive(Deserialize)]
struct List {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: Option<String>,
    labels: Option<BTreeMap<String, serde_json::Value>>,
    annotations: Option<BTreeMap<String, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By uid: key and value of each label.
    type Expected<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

    fn check(text: &str, expect: Option<Expected<'_>>) {
        let wanted = ["app", "app.kubernetes.io/name"].map(str::to_owned).into();
        let labels = |pairs: &&[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let expect = expect.map(|pods| pods.iter().map(|(uid, pairs)| ((*uid).into(), labels(pairs))).collect());
        assert_eq!(labels_of_pods(text.as_bytes(), &wanted).ok(), expect, "{text}");
    }

    #[test]
    fn a_list_of_pods() {
        let text = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[
            {"metadata":{"name":"a","namespace":"n","uid":"u-1","labels":{"app":"shop","x":"y",
              "app.kubernetes.io/name":"api"}},"spec":{"containers":[{"name":"c"}]},"status":{}},
            {"metadata":{"name":"b","uid":"u-2","labels":null}},
            {"metadata":{"name":"c","uid":"u-3","labels":{"app":"etcd"},
              "annotations":{"kubernetes.io/config.hash":"9f5b","kubernetes.io/config.mirror":"9f5b"}}},
            {"metadata":{}}]}"#;
        check(
            text,
            Some(&[
                ("u-1", &[("app", "shop"), ("app.kubernetes.io/name", "api")]),
                ("u-2", &[]),
                ("u-3", &[("app", "etcd")]),
                ("9f5b", &[("app", "etcd")]),
            ]),
        );
        check(r#"{"items":[]}"#, Some(&[]));
    }

    #[test]
    fn what_is_no_list() {
        for text in ["", "Unauthorized", r#"{"kind":"Status"}"#, r#"{"items":null}"#, r#"{"items":[{"#, "[]x"] {
            check(text, None);
        }
    }
}
