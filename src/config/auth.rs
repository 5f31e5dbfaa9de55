//! `outputs.*.auth`, and other secrets. Nothing that is written here is ever echoed, because a misplaced secret may stand anywhere.

use super::{context::Item, reader::Section, tree::Place};
use crate::send::{Auth, Secret, secret};

/// The ways in which an output can prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Basic,
    Bearer,
    ApiKey,
    SplunkToken,
    DatadogKey,
}

impl Scheme {
    fn key(self) -> &'static str {
        match self {
            Scheme::Basic => "basic",
            Scheme::Bearer => "bearer",
            Scheme::ApiKey => "api_key",
            Scheme::SplunkToken | Scheme::DatadogKey => "token",
        }
    }

    fn read(self, mut section: Section<'_>) -> Option<Auth> {
        match self {
            Scheme::Basic => return basic(section),
            Scheme::Bearer => return bearer(section),
            Scheme::ApiKey | Scheme::SplunkToken | Scheme::DatadogKey => {}
        }
        let secret = secret(&mut section, &ALONE);
        section.finish();
        Some(match self {
            Scheme::ApiKey => Auth::ApiKey(secret?),
            Scheme::SplunkToken => Auth::Splunk(secret?),
            _ => Auth::Datadog(secret?),
        })
    }
}

/// At most one of these. `None` after an error.
pub(super) fn auth(section: &mut Section<'_>, schemes: &[Scheme]) -> Option<Auth> {
    let written = section.has("auth");
    let Some(mut auth) = section.section("auth") else {
        return (!written).then_some(Auth::None);
    };
    let mut read: Vec<(&str, Option<Auth>)> = Vec::new();
    for scheme in schemes {
        if let Some(section) = auth.section(scheme.key()) {
            read.push((scheme.key(), scheme.read(section)));
        }
    }
    let set: Vec<&str> = schemes.iter().map(|scheme| scheme.key()).filter(|key| auth.has(key)).collect();
    if let [one, other, ..] = set[..] {
        auth.wrong(&auth.at, "", format!("both {one} and {other} are set"), "one of them");
    }
    auth.finish();
    match read.into_iter().next() {
        Some((_, auth)) => auth,
        None => set.is_empty().then_some(Auth::None),
    }
}

/// Exactly one of these. `None` after an error.
pub(super) fn required(section: &mut Section<'_>, schemes: &[Scheme]) -> Option<Auth> {
    let read = auth(section, schemes);
    if let (Some(Auth::None), [scheme, ..]) = (&read, schemes) {
        section.missing("auth", &format!("{} = {{ file = \"/run/secrets/…\" }}", scheme.key()));
        return None;
    }
    read
}

fn basic(mut section: Section<'_>) -> Option<Auth> {
    let user = user(&mut section);
    let password = secret(&mut section, &PASSWORD);
    section.finish();
    Some(Auth::Basic { user: user?, password: password? })
}

fn bearer(mut section: Section<'_>) -> Option<Auth> {
    let token = secret(&mut section, &TOKEN);
    section.finish();
    token.map(Auth::Bearer)
}

fn user(section: &mut Section<'_>) -> Option<String> {
    let Some(user) = section.line("user", "text, such as \"123\"") else {
        if !section.has("user") {
            section.missing("user", "the name of the user");
        }
        return None;
    };
    if user.value.contains(':') {
        section.wrong(&user.at, "user", "contains a colon, which ends the name in this scheme", "a name without it");
        return None;
    }
    Some(user.value)
}

/// `token_file` alone, which may be absent; `None` after an error.
pub(super) fn token_file(section: &mut Section<'_>) -> Option<Auth> {
    let inline = section.answer(TOKEN.inline);
    if let Some(node) = &inline {
        section.wrong(&node.at, TOKEN.inline, "a secret is not written here", "its file in `token_file`");
    }
    let written = section.has(TOKEN.file) || inline.is_some();
    match section.line(TOKEN.file, FILE) {
        Some(file) => from_file(section, TOKEN.file, &file).map(Auth::Bearer),
        None => (!written).then_some(Auth::None),
    }
}

/// The three keys that a secret could be under.
struct Keys {
    inline: &'static str,
    file: &'static str,
    env: &'static str,
}

const PASSWORD: Keys = Keys { inline: "password", file: "password_file", env: "password_env" };
/// In a table of its own.
const ALONE: Keys = Keys { inline: "value", file: "file", env: "env" };
const TOKEN: Keys = Keys { inline: "token", file: "token_file", env: "token_env" };

fn secret(section: &mut Section<'_>, keys: &Keys) -> Option<Secret> {
    let allowed = format!(
        "its file in `{}`, readable by this user only, or the name of a variable in `{}`",
        keys.file, keys.env
    );
    let inline = section.answer(keys.inline);
    if let Some(node) = &inline {
        section.wrong(&node.at, keys.inline, "a secret is not written here", &allowed);
    }
    let file = section.line(keys.file, FILE);
    let env = section.line(keys.env, "the name of a variable");
    match (section.has(keys.file), section.has(keys.env)) {
        (true, true) => {
            section.wrong(&section.at, "", format!("both {} and {} are set", keys.file, keys.env), "one of them");
            None
        }
        (false, false) => {
            if inline.is_none() {
                section.missing(keys.file, &allowed);
            }
            None
        }
        _ => match (file, env) {
            (Some(file), _) => from_file(section, keys.file, &file),
            (_, Some(env)) => from_env(section, keys.env, &env),
            (None, None) => None,
        },
    }
}

/// A secret that can only be in a file. `None` when the key is absent, and after an error.
pub(super) fn file(section: &mut Section<'_>, key: &'static str) -> Option<Secret> {
    let file = section.line(key, FILE)?;
    from_file(section, key, &file)
}

fn from_file(section: &Section<'_>, key: &str, file: &Item<String>) -> Option<Secret> {
    let path = &file.value;
    if path.starts_with('/') || path.strip_prefix(secret::CREDENTIALS).is_some_and(|name| !name.is_empty()) {
        return Some(Secret::File(path.into()));
    }
    section.wrong(&file.at, key, "is not an absolute path", FILE);
    None
}

fn from_env(section: &Section<'_>, key: &str, item: &Item<String>) -> Option<Secret> {
    // In any other form it may be the secret itself, and is not echoed.
    let is_name = item.value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let name =
        if is_name { format!("the variable {}", item.value) } else { "the variable that it names".to_string() };
    let wrong = |at: &Place, message: String| {
        section.wrong(at, key, message, "a variable with the secret");
        None
    };
    let Some(value) = section.context.env.get(&item.value) else {
        return wrong(&item.at, format!("{name} is not set"));
    };
    let Some(text) = value.to_str() else { return wrong(&item.at, format!("{name} is not UTF-8 text")) };
    match secret::clean(text) {
        Ok(value) => Some(Secret::Env { name: item.value.clone(), value }),
        Err(why) => wrong(&item.at, format!("{name} {why}")),
    }
}

const FILE: &str = "an absolute path, or $CREDENTIALS_DIRECTORY/NAME";
