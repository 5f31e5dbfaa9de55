//! What is wrong with a configuration, for the person who has to put it right.

use std::{fmt, path::PathBuf};

/// Everything that is wrong, in the order of the file, then of the variables. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<Problem>);

impl ConfigErrors {
    /// The single problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

/// One block of one or two lines a problem.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written.
    pub at: At,
    /// The whole key, such as `outputs.loki.url`; empty when no key is meant.
    pub key: String,
    /// What is wrong, with what was found. Never contains a secret.
    pub message: String,
    /// What is allowed instead, as a phrase that begins with "allowed".
    pub allowed: Option<String>,
    /// The nearest thing that would be right.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(at: At, key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { at, key: key.into(), message: message.into(), allowed: None, hint: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Line { file, line, column } => write!(f, "{}:{line}:{column}: ", file.display())?,
            At::File(file) => write!(f, "{}: ", file.display())?,
            At::Variable(name) => write!(f, "environment variable {name}: ")?,
            At::Nowhere => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        match (&self.allowed, &self.hint) {
            (Some(allowed), Some(hint)) => write!(f, "\n  {allowed}; did you mean `{hint}`?"),
            (Some(allowed), None) => write!(f, "\n  {allowed}"),
            (None, Some(hint)) => write!(f, "\n  did you mean `{hint}`?"),
            (None, None) => Ok(()),
        }
    }
}

/// Where a problem is. The order is the order of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The configuration as a whole, or the machine around it.
    Nowhere,
    /// The file as a whole.
    File(PathBuf),
    /// A place in the file; both numbers begin at 1, columns are characters.
    Line {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by name.
    Variable(String),
}

/// Something that works, but probably not as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The whole key, such as `outputs.loki.auth`.
    pub key: String,
    /// What was noticed, and what can be done.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    // Beyond this no key is near, and the comparison is quadratic.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= word.chars().count().max(candidate.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// An error with its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}
