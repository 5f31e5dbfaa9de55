//! What Docker's own file says of a container: `config.v2.json`, beside the container's log.

use super::container::is_id;
use crate::model::Container;
use rustix::fs::OFlags;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Labels of a container or a pod.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// The most labels that are kept of a container …
const MAX_LABELS: usize = 64;
/// … and the most bytes of one, key and value.
const MAX_LABEL: usize = 1024;
/// A configuration has some 10 KiB.
const MAX_BYTES: u64 = 1 << 20;
/// The longest name of a container, or of anything in Kubernetes.
const MAX_NAME: usize = 253;

/// Reads the configuration beside `log`. `wanted`: the keys of the labels that are kept.
pub fn read(log: &Path, wanted: &BTreeSet<String>) -> io::Result<Container> {
    // A pipe of this name must not hold us up. The bits are the same whatever the sign.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(log.with_file_name("config.v2.json"))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(parse(&bytes, wanted)?)
}

/// Those of `labels` that are wanted, within the bounds.
pub(super) fn keep(labels: &BTreeMap<String, serde_json::Value>, wanted: &BTreeSet<String>) -> Labels {
    let label = |key: &String| {
        let value = labels.get(key)?.as_str()?;
        let is_kept = !value.is_empty() && key.len() + value.len() <= MAX_LABEL;
        is_kept.then(|| (key.as_str().into(), value.into()))
    };
    wanted.iter().filter_map(label).take(MAX_LABELS).collect()
}

fn parse(bytes: &[u8], wanted: &BTreeSet<String>) -> serde_json::Result<Container> {
    let file: File = serde_json::from_slice(bytes)?;
    let labels = file.config.and_then(|config| config.labels).unwrap_or_default();
    let short = |text: &str| (1..=MAX_NAME).contains(&text.len()).then(|| text.into());
    // The kubelet puts them there when its pods are run by Docker.
    let of_pod = |key: &str| short(labels.get(&format!("io.kubernetes.{key}"))?.as_str()?);
    let own_name = || short(file.name.as_deref()?.trim_start_matches('/'));
    Ok(Container {
        namespace: of_pod("pod.namespace"),
        pod: of_pod("pod.name"),
        pod_uid: of_pod("pod.uid"),
        name: of_pod("container.name").or_else(own_name),
        restart_count: None,
        id: file.id.filter(|id| is_id(id)).map(Into::into),
        labels: keep(&labels, wanted),
    })
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Config")]
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    // Whatever a value is, the others are worth having.
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ID: &str = "4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a4f1c0a9d5e7b3f2a";

    fn wanted(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn a_container_that_somebody_started() {
        let text = format!(
            r#"{{"StreamConfig":{{}},"State":{{"Running":true}},"ID":"{ID}","Name":"/web","Config":{{"Hostname":"x",
               "Labels":{{"com.example.team":"pay","n":1,"empty":"","other":"y"}}}},"HostConfig":null}}"#
        );
        let expect = Container {
            name: Some("web".into()),
            id: Some(ID.into()),
            labels: labels(&[("com.example.team", "pay")]),
            ..Container::default()
        };
        assert_eq!(parse(text.as_bytes(), &wanted(&["com.example.team", "n", "empty", "absent"])).unwrap(), expect);
    }

    #[test]
    fn a_container_of_a_pod() {
        let text = r#"{"ID":"short","Name":"/k8s_app_api_shop_u_0","Config":{"Labels":{
            "io.kubernetes.pod.name":"api","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u-1",
            "io.kubernetes.container.name":"app"}}}"#;
        let expect = Container {
            namespace: Some("shop".into()),
            pod: Some("api".into()),
            pod_uid: Some("u-1".into()),
            name: Some("app".into()),
            ..Container::default()
        };
        assert_eq!(parse(text.as_bytes(), &wanted(&[])).unwrap(), expect);
    }

    #[test]
    fn little_and_nothing() {
        for text in ["{}", r#"{"Name":null,"Config":null}"#, r#"{"Name":"/","Config":{"Labels":null}}"#] {
            assert!(parse(text.as_bytes(), &wanted(&["a"])).unwrap().is_unknown(), "{text}");
        }
        for text in ["", "{", "[]x", r#"{"Name":1}"#, "\u{0}", r#"{"Config":{"Labels":[]}}"#] {
            assert!(parse(text.as_bytes(), &wanted(&["a"])).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_have_bounds() {
        let value = "v".repeat(MAX_LABEL - 3);
        let (longest, longer) = (format!("{value}v"), format!("{value}vv"));
        let mut all: BTreeMap<String, serde_json::Value> =
            (0..100).map(|nth| (format!("k{nth:02}"), "x".into())).collect();
        all.insert("aa".into(), longest.clone().into());
        all.insert("ab".into(), longer.into());
        let keys: BTreeSet<String> = all.keys().cloned().collect();
        let kept = keep(&all, &keys);
        assert_eq!(kept.len(), MAX_LABELS);
        assert_eq!((kept.get("aa").map(|v| &**v), kept.get("ab")), (Some(&*longest), None));
    }

    #[test]
    fn the_file_is_beside_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x-json.log");
        let config = folder.path().join("config.v2.json");
        let read = || read(&log, &wanted(&[]));
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&config, r#"{"Name":"/web"}"#).unwrap();
        assert_eq!(read().unwrap().name.as_deref(), Some("web"));
        fs::write(&config, "garbage").unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::write(&config, format!("{{\"Name\":\"/web\"}}{}", " ".repeat(1 << 20))).unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::remove_file(&config).unwrap();
        fs::create_dir(&config).unwrap();
        assert!(read().is_err());
        fs::remove_dir(&config).unwrap();
        // Nobody will ever write into it.
        rustix::fs::mknodat(rustix::fs::CWD, &config, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read().is_err());
    }
}
