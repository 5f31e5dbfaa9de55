//! Decides which values and which combinations become labels.

use super::{Allowed, Budget, MAX_VALUE, OTHER, Rule, raw};
use crate::model::LabelSet;
use std::collections::{BTreeMap, BTreeSet};

/// What has been admitted. Restored from the state at start.
#[derive(Debug)]
pub struct Admission {
    budget: Budget,
    constants: Vec<(String, String)>,
    /// The rules that are not constant.
    varying: Vec<Varying>,
    /// Per label. May hold more than the budget when that was made smaller.
    values: BTreeMap<String, BTreeSet<String>>,
    /// The admitted combinations, without constants. May be more than the budget, as above.
    streams: BTreeSet<LabelSet>,
}

#[derive(Debug)]
struct Varying {
    name: String,
    from: From,
    allowed: Allowed,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Field(usize),
    PerFile(usize),
}

/// Something newly admitted, to be made durable. See the module's text for what has to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A value of a label.
    Value {
        /// The label.
        label: String,
        /// The value.
        value: String,
    },
    /// A combination of the labels that are not constant.
    Stream(LabelSet),
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The record's labels, constants included.
    pub labels: LabelSet,
    /// The labels that became `__other__`.
    pub other: Vec<Other>,
}

/// A label that became `__other__`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The label.
    pub label: String,
    /// The reason.
    pub why: Why,
}

/// Why a label became `__other__`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Too long, or has control characters.
    Unfit,
    /// Not one of the label's closed set.
    NotInSet,
    /// The label has as many values as it may.
    TooManyValues,
    /// There are as many combinations as there may be.
    TooManyStreams,
}

/// What is to become of one raw value.
enum Fate<'v> {
    /// It is used, and takes no place.
    Free(&'v str),
    /// It is used, and takes or has a place in the budget.
    Counted(&'v str),
    Refused(Why),
    Absent,
}

impl Admission {
    /// Nothing is admitted yet.
    pub fn new(rules: Vec<Rule>, budget: Budget) -> Admission {
        let mut constants = Vec::new();
        let mut varying = Vec::new();
        for rule in rules {
            match rule {
                Rule::Field { name, slot, allowed } => {
                    varying.push(Varying { name, from: From::Field(slot), allowed })
                }
                Rule::PerFile { name, index, allowed } => {
                    varying.push(Varying { name, from: From::PerFile(index), allowed });
                }
                Rule::Constant { name, value } => constants.push((name, value)),
            }
        }
        Admission { budget, constants, varying, values: BTreeMap::new(), streams: BTreeSet::new() }
    }

    /// Admits what was [`News::Value`] before. What no rule can make any more takes no place.
    pub fn restore_value(&mut self, label: &str, value: &str) {
        let counts =
            |rule: &Varying| rule.name == label && matches!(rule.allowed.fate(Some(value)), Fate::Counted(_));
        if self.varying.iter().any(counts) {
            self.values.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }

    /// Admits what was [`News::Stream`] before. What no rule can make any more takes no place.
    pub fn restore_stream(&mut self, labels: &LabelSet) {
        if labels.iter().all(|(name, _)| self.varying.iter().any(|rule| rule.name == name)) {
            self.streams.insert(labels.clone());
        }
    }

    /// Decides on a record with these fields, in a file with these values. What is newly admitted is added to
    /// `news`.
    pub fn admit<F, P>(&mut self, fields: &[Option<F>], per_file: &[Option<P>], news: &mut Vec<News>) -> Admitted
    where
        F: AsRef<str>,
        P: AsRef<str>,
    {
        let mut labels = Vec::with_capacity(self.varying.len());
        let mut other = Vec::new();
        let mut fresh = Vec::new();
        for rule in &self.varying {
            let raw = match rule.from {
                From::Field(slot) => raw(fields, slot),
                From::PerFile(index) => raw(per_file, index),
            };
            let value = match self.within_budget(rule, rule.allowed.fate(raw)) {
                Fate::Absent => continue,
                Fate::Free(value) => value,
                Fate::Counted(value) => {
                    fresh.push((rule.name.as_str(), value));
                    value
                }
                Fate::Refused(why) => {
                    other.push(Other { label: rule.name.clone(), why });
                    OTHER
                }
            };
            labels.push((rule.name.clone(), value.to_owned()));
        }
        let stream = LabelSet::new(labels);
        let is_new = !self.streams.contains(&stream) && !self.is_fallback(&stream);
        if is_new && self.streams.len() >= self.budget.max_streams {
            return self.fallback(other);
        }
        for (label, value) in fresh {
            if self.values.entry(label.to_owned()).or_default().insert(value.to_owned()) {
                news.push(News::Value { label: label.to_owned(), value: value.to_owned() });
            }
        }
        if is_new {
            news.push(News::Stream(stream.clone()));
            self.streams.insert(stream.clone());
        }
        Admitted { labels: self.with_constants(&stream), other }
    }

    /// How many combinations there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many values each label has that counts against the budget.
    pub fn values(&self) -> impl Iterator<Item = (&str, usize)> {
        let counted = self.varying.iter().filter(|rule| rule.allowed.values.is_none());
        counted.map(|rule| (rule.name.as_str(), self.values.get(&rule.name).map_or(0, BTreeSet::len)))
    }

    fn within_budget<'v>(&self, rule: &Varying, fate: Fate<'v>) -> Fate<'v> {
        let Fate::Counted(value) = fate else { return fate };
        let has_place = match self.values.get(&rule.name) {
            Some(values) => values.contains(value) || values.len() < self.budget.max_label_values,
            None => self.budget.max_label_values > 0,
        };
        if has_place { fate } else { Fate::Refused(Why::TooManyValues) }
    }

    /// Whether `stream` is `__other__` throughout.
    fn is_fallback(&self, stream: &LabelSet) -> bool {
        stream.iter().filter(|(_, value)| *value == OTHER).count() == self.varying.len()
    }

    /// The combination that is always admitted.
    fn fallback(&self, mut other: Vec<Other>) -> Admitted {
        for rule in &self.varying {
            if other.iter().all(|known| known.label != rule.name) {
                other.push(Other { label: rule.name.clone(), why: Why::TooManyStreams });
            }
        }
        let stream = LabelSet::new(self.varying.iter().map(|rule| (rule.name.clone(), OTHER.to_owned())));
        Admitted { labels: self.with_constants(&stream), other }
    }

    fn with_constants(&self, stream: &LabelSet) -> LabelSet {
        let varying = stream.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        LabelSet::new(self.constants.iter().cloned().chain(varying))
    }
}

impl Allowed {
    fn fate<'v>(&'v self, raw: Option<&'v str>) -> Fate<'v> {
        let default = self.default.as_deref();
        let Some(value) = raw else { return default.map_or(Fate::Absent, Fate::Free) };
        if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            return Fate::Refused(Why::Unfit);
        }
        if value == OTHER || default == Some(value) {
            return Fate::Free(value);
        }
        match &self.values {
            Some(values) if values.iter().any(|known| known == value) => Fate::Free(value),
            Some(_) => Fate::Refused(Why::NotInSet),
            None => Fate::Counted(value),
        }
    }
}
