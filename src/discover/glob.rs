//! A glob pattern and where to look for it.

use globset::{GlobBuilder, GlobMatcher};
use std::path::{Path, PathBuf};

/// How deep a `**` reaches.
const DEEP: usize = 32;

/// An absolute pattern: `*`, `?`, `[…]` and `{a,b}` within a name, `**` across folders.
#[derive(Clone, Debug)]
pub struct Pattern {
    matcher: GlobMatcher,
    base: PathBuf,
    depth: usize,
    is_deep: bool,
}

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// Relative patterns would depend on where the agent was started.
    #[error("must be an absolute path, beginning with /")]
    Relative,
    /// Not a glob.
    #[error("{}", .0.kind())]
    Syntax(#[from] globset::Error),
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::Relative);
        }
        let matcher = GlobBuilder::new(text).literal_separator(true).build()?.compile_matcher();
        let is_magic = |c: char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\');
        let (base, rest) = match text.find(is_magic) {
            None => (text, ""),
            Some(first) => {
                // The part before the first special character, up to its last slash, is a folder.
                let slash = text[..first].rfind('/').unwrap_or(0);
                (&text[..slash.max(1)], &text[slash + 1..])
            }
        };
        let is_deep = rest.contains("**");
        let depth = match rest {
            "" => 0,
            _ if is_deep => DEEP,
            // Slashes inside {…} are counted too: at worst it looks deeper than needed.
            _ => 1 + rest.matches('/').count(),
        };
        Ok(Pattern { matcher, base: PathBuf::from(base), depth, is_deep })
    }

    /// Whether the pattern matches the whole path.
    pub fn is_match(&self, path: &Path) -> bool {
        self.matcher.is_match(path)
    }

    /// The folder from which everything that can match is reached; the file itself when there is nothing to match.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The folder where a scan for it begins.
    pub fn folder(&self) -> &Path {
        if self.depth > 0 { &self.base } else { self.base.parent().unwrap_or(&self.base) }
    }

    /// How many levels below [`Pattern::base`] a match can be; 0 when the base is the file.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it has a `**`.
    pub fn is_deep(&self) -> bool {
        self.is_deep
    }
}
