//! Rules about the code that the compiler does not keep: which way dependencies point, and what the pure stages may
//! not name.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The stages in the order of their layers: a layer names only modules of the layers above it in this list.
const LAYERS: &[&[&str]] = &[
    &["model"],
    // Pure: bytes and times come in, values go out.
    &["frame", "parse", "guard", "batch", "output", "ack"],
    // One edge each, ignorant of each other.
    &["discover", "tail", "state", "dead_letters", "send", "receiver"],
    &["pipeline"],
    // Looks at what the pipeline shows; nothing below knows of it.
    &["admin"],
    &["config"],
    &["cli"],
];

/// A module and what it may name of its own layer.
const NEIGHBOURS: &[(&str, &[&str])] = &[("batch", &["ack"]), ("output", &["batch"])];

/// What the first two layers may not name, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "no runtime"),
    ("reqwest", "no sockets"),
    ("notify::", "no file system"),
    ("std::fs", "no files"),
    ("std::net", "no sockets"),
    ("std::env", "no environment"),
    ("Instant::now", "the clock comes in as a value"),
    ("SystemTime", "the clock comes in as a value"),
    ("Timestamp::now", "the clock comes in as a value"),
    ("fastrand", "chance comes in as a value"),
    ("tracing::", "what is notable is returned"),
];

/// The production sources of a module: neither tests nor generated code.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "generated.rs" {
                let text = fs::read_to_string(&path).unwrap();
                // What is below is tests.
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push((path, code));
            }
        }
    }
    assert!(!found.is_empty(), "src/{module} has no sources");
    found
}

/// The code without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (depth, layer) in LAYERS.iter().enumerate() {
        for module in *layer {
            let allowed: Vec<&str> = LAYERS[..depth].concat();
            let neighbours = NEIGHBOURS.iter().find(|(name, _)| name == module).map_or(&[][..], |(_, names)| names);
            for (path, text) in sources(module) {
                for other in LAYERS.concat() {
                    let is_allowed = other == *module || allowed.contains(&other) || neighbours.contains(&other);
                    let names = |line: &str| {
                        let is_list = line.contains("crate::{") || line.starts_with("    ");
                        let starts = ["{", " "].map(|before| format!("{before}{other}::"));
                        line.contains(&format!("crate::{other}"))
                            || (is_list && starts.iter().any(|start| line.contains(start)))
                    };
                    if !is_allowed && code(&text).any(names) {
                        wrong.push(format!("{} names {other}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tail_knows_the_frame_and_settle_stages_by_their_types_only() {
    // The two exceptions to "above": how much a step of framing needs, and the number of a file.
    for (_, text) in sources("tail") {
        let text = text.replace("unpack::", "");
        for line in code(&text).filter(|line| line.contains("frame::") || line.contains("ack::")) {
            let known = ["frame::{GAP, HEAD, MAX_PREFIX}", "ack::FileKey"];
            assert!(known.iter().any(|known| line.contains(known)), "{line}");
        }
    }
}

#[test]
fn the_pure_stages_are_pure() {
    let mut wrong = Vec::new();
    for module in LAYERS[..2].concat() {
        for (path, text) in sources(module) {
            for (name, why) in IMPURE {
                if code(&text).any(|line| line.contains(name)) {
                    wrong.push(format!("{} names {name}: {why}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_send_names_reqwest() {
    for module in LAYERS.concat().into_iter().filter(|module| *module != "send") {
        for (path, text) in sources(module) {
            assert!(!code(&text).any(|line| line.contains("reqwest")), "{}", path.display());
        }
    }
}

#[test]
fn files_stay_small() {
    for module in LAYERS.concat() {
        for (path, text) in sources(module) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines: two names would be clearer than one", path.display());
        }
    }
}

#[test]
fn every_module_is_in_a_layer() {
    for item in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(["lib", "main"].contains(&&*name) || LAYERS.concat().contains(&&*name), "{name} is in no layer");
    }
}

#[test]
fn every_dependency_is_justified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let document = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
    let is_dependency =
        |section: &&str| section.starts_with("dependencies]") || section.starts_with("dev-dependencies]");
    for section in manifest.split("\n[").filter(is_dependency) {
        for line in section.lines().skip(1) {
            let Some((name, _)) = line.split_once(" = ") else { continue };
            assert!(document.contains(&format!("`{name}`")), "docs/dependencies.md does not say why {name}");
        }
    }
}
