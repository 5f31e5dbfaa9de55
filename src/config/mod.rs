//! The configuration: a TOML file and the environment over it become [`pipeline::Settings`](crate::pipeline::Settings), or the list of all that is wrong.
//!
//! The text becomes a tree whose values know their places (`tree`, `env`), the sections are read out of it with typed
//! getters (`reader`), and only what is right as a whole is handed on. Nothing outside the file and the given variables
//! is looked at; [`check_surroundings`] does that.

mod agent;
mod auth;
mod context;
mod env;
mod error;
mod labels;
mod named;
mod outputs;
mod reader;
mod sources;
mod surroundings;
mod tree;
mod url;
mod values;

#[cfg(test)]
mod tests;

pub use error::{At, ConfigErrors, Problem, Warning, chain};
pub use surroundings::check_surroundings;
pub use values::parse_duration;

use crate::pipeline::Settings;
use context::Context;
use env::Environment;
use reader::Section;
use std::{collections::BTreeSet, ffi::OsString, fs::File, io, io::Read, path::Path};
use tree::{Place, Table};

/// Reads the configuration from `file`, if there is one, and from the variables `AUDITSHIP__…` of `env`.
///
/// `env` is the whole environment (`std::env::vars_os()`), because `password_env` and `token_env` name any variable.
pub fn load<K, V>(file: Option<&Path>, env: impl Iterator<Item = (K, V)>) -> Result<Settings, ConfigErrors>
where
    K: Into<OsString>,
    V: Into<OsString>,
{
    let env = Environment::new(env);
    let Some(path) = file else { return read(None, "", &env).0 };
    let whole = |at, message| ConfigErrors(vec![Problem::new(at, "", message)]);
    let bytes = slurp(path).map_err(|error| whole(At::File(path.into()), format!("cannot be read: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => read(file, &text, &env).0,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
            let context = Context::new(file, &text, &env);
            Err(whole(context.at(&Place::Byte(valid)), "not UTF-8 text".to_string()))
        }
    }
}

/// The pure part of [`load`]; the second value is every key that was asked for.
fn read(file: Option<&Path>, text: &str, env: &Environment) -> (Result<Settings, ConfigErrors>, BTreeSet<String>) {
    let context = Context::new(file, text, env);
    let mut root = match tree::parse(text) {
        Ok(root) => root,
        Err(syntax) => {
            let at = context.at(&syntax.byte.map_or(Place::Whole, Place::Byte));
            let problem = Problem::new(at, "", format!("not valid TOML: {}", syntax.message));
            return (Err(ConfigErrors(vec![problem])), BTreeSet::new());
        }
    };
    env.lay_over(&mut root, &mut context.problems.borrow_mut());
    let settings = build(&context, root);
    let Context { problems, known, .. } = context;
    let mut problems = problems.into_inner();
    problems.sort_by(|a, b| a.at.cmp(&b.at));
    let result = match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(ConfigErrors(problems)),
    };
    (result, known.into_inner())
}

/// `None` only after an error was reported.
fn build(context: &Context<'_>, root: Table) -> Option<Settings> {
    let mut root = Section::root(context, root);
    let agent = agent::agent(&mut root);
    let sources = sources::sources(&mut root);
    let timestamp = agent::timestamp(&mut root);
    let labels = labels::labels(&mut root, sources.has_containers);
    let guard = agent::guard(&mut root);
    let outputs = outputs::outputs(&mut root, &sources.names, &labels.names);
    root.finish();
    Some(Settings { agent: agent?, sources: sources.all, timestamp, labels: labels.all, guard, outputs })
}

fn slurp(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

/// More than any configuration; it keeps a wrong path from filling the memory.
const MAX_FILE: u64 = 1 << 20;
