//! What is known of the container that wrote a file.

use std::collections::BTreeMap;

/// What is known of the container that wrote a file, as of the first sight of that file. Every part of it may be
/// missing; what is missing then stays missing for that file, because what is sent twice must be the same twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The pod's namespace.
    pub namespace: Option<Box<str>>,
    /// The pod's name.
    pub pod: Option<Box<str>>,
    /// The pod's uid; of a static pod, the hash of its configuration.
    pub pod_uid: Option<Box<str>>,
    /// The container's name.
    pub name: Option<Box<str>>,
    /// How often the container had been started again.
    pub restart_count: Option<u32>,
    /// The runtime's id: 64 hex digits.
    pub id: Option<Box<str>>,
    /// Labels of the container or its pod, and of them only those that the configuration names.
    pub labels: BTreeMap<Box<str>, Box<str>>,
}

impl Container {
    /// Takes from `other` what is missing.
    pub fn fill(&mut self, other: Container) {
        let fill = |mine: &mut Option<Box<str>>, other| {
            if mine.is_none() {
                *mine = other;
            }
        };
        fill(&mut self.namespace, other.namespace);
        fill(&mut self.pod, other.pod);
        fill(&mut self.pod_uid, other.pod_uid);
        fill(&mut self.name, other.name);
        fill(&mut self.id, other.id);
        self.restart_count = self.restart_count.or(other.restart_count);
        self.fill_labels(other.labels);
    }

    /// Takes the labels that are missing.
    pub fn fill_labels(&mut self, labels: impl IntoIterator<Item = (Box<str>, Box<str>)>) {
        for (key, value) in labels {
            self.labels.entry(key).or_insert(value);
        }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_first_stays() {
        let label = |key: &str, value: &str| (key.into(), value.into());
        let mut first = Container {
            pod: Some("p".into()),
            restart_count: Some(0),
            labels: [label("a", "1")].into(),
            ..Container::default()
        };
        let second = Container {
            namespace: Some("n".into()),
            pod: Some("other".into()),
            restart_count: Some(7),
            labels: [label("a", "2"), label("b", "2")].into(),
            ..Container::default()
        };
        first.fill(second);
        let expect = Container {
            namespace: Some("n".into()),
            pod: Some("p".into()),
            restart_count: Some(0),
            labels: [label("a", "1"), label("b", "2")].into(),
            ..Container::default()
        };
        assert_eq!(first, expect);
        assert!(Container::default().is_unknown() && !first.is_unknown());
    }
}
