//! The tables whose keys are names that the user chose: `[sources.*]`, `[labels]` and `[outputs.*]`.

use super::{
    env::rename,
    error::nearest,
    reader::{Section, show_text},
    tree::{Entry, Place},
};

/// `[sources.*]`, `[labels]` or `[outputs.*]`.
pub(super) struct Named<'c> {
    /// All names, also of those that are wrong.
    pub(super) names: Vec<String>,
    /// The entries as written.
    pub(super) nodes: Vec<Entry>,
    outer: Option<Section<'c>>,
}

impl<'c> Named<'c> {
    /// The section that holds them.
    pub(super) fn outer(&self) -> Option<&Section<'c>> {
        self.outer.as_ref()
    }

    /// One entry as a table.
    pub(super) fn table(&self, entry: &Entry) -> Option<Section<'c>> {
        let outer = self.outer.as_ref()?;
        let mut section = outer.table(&entry.name, "", &entry.at, entry.node.clone())?;
        section.pattern = outer.pattern.clone();
        Some(section)
    }

    /// Names stand in metrics, in logs and in the state, and a variable can only reach them when they are plain.
    pub(super) fn check_name(&self, entry: &Entry) {
        let name = &entry.name;
        let first = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if let Some(outer) = self.outer.as_ref().filter(|_| !first || !rest || name.len() > 64) {
            let allowed = "1 to 64 letters, digits, _, - and ., not - or . first";
            outer.wrong(&entry.at, name, "not a name", allowed);
        }
    }

    /// The variable that was probably meant, when `entry` exists only because a variable names it wrongly.
    pub(super) fn misspelt(&self, entry: &Entry) -> Option<String> {
        let Place::Variable(name) = &entry.at else { return None };
        let others = self.nodes.iter().filter(|other| !matches!(other.at, Place::Variable(_)));
        let near = nearest(&entry.name, others.map(|other| other.name.as_str()))?;
        Some(rename(name, 2, near))
    }
}

impl<'c> Section<'c> {
    /// The tables of the key by name, in order; a wrong one is reported and left out, but its name stays known.
    pub(super) fn named(&mut self, key: &'static str) -> Option<Named<'c>> {
        let mut all = self.section(key)?;
        let mut named = Named { names: Vec::new(), nodes: Vec::new(), outer: None };
        for entry in all.entries.iter() {
            named.names.push(entry.name.clone());
            named.nodes.push(entry.clone());
        }
        all.pattern.push("*".to_string());
        named.outer = Some(all);
        Some(named)
    }

    /// Reads `type`. `None` when it is of a later version, and the rest with it. After any other error the section
    /// is read on as of the first type that there is.
    pub(super) fn kind(
        &mut self,
        named: &Named<'_>,
        entry: &Entry,
        types: &[&'static str],
        later: &[&'static str],
    ) -> Option<&'static str> {
        let first = types.first().copied();
        let Some(item) = self.text("type", &types.join(", ")) else {
            match named.misspelt(entry) {
                _ if self.has("type") => {}
                Some(meant) => self.missing_but("type", &types.join(", "), meant),
                None => self.missing("type", &types.join(", ")),
            }
            return first;
        };
        if later.contains(&item.value.as_str()) {
            self.not_yet_because(&item.at, "type", &format!("found {}", show_text(&item.value)));
            return None;
        }
        let kind = types.iter().copied().find(|kind| *kind == item.value);
        if kind.is_none() {
            let message = format!("found {}", show_text(&item.value));
            self.wrong_name(&item.at, "type", message, &item.value, types.iter().copied());
        }
        kind.or(first)
    }
}
