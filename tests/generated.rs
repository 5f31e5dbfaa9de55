//! The committed prost output is what `proto/` compiles to. A build needs neither `protoc` nor a build script.

#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path};

/// Each `.proto` file and the Rust file that is generated from it.
const FILES: &[(&str, &str)] =
    &[("proto/loki.proto", "src/output/loki/generated.rs"), ("proto/state.proto", "src/state/generated.rs")];

#[test]
fn the_generated_types_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (proto, output) in FILES {
        let expect = generate(root, proto);
        let output_path = root.join(output);
        if env::var_os("UPDATE_GENERATED").is_some_and(|value| value == "1") {
            fs::write(&output_path, &expect).unwrap();
        }
        if fs::read_to_string(&output_path).unwrap_or_default() != expect {
            stale.push(*output);
        }
    }
    assert!(stale.is_empty(), "run `UPDATE_GENERATED=1 cargo test --test generated`: {stale:?} differ from proto/");
}

fn generate(root: &Path, proto: &str) -> String {
    let path = root.join(proto);
    let parsed = protox::compile([&path], [path.parent().unwrap()]).unwrap();
    let requests = parsed
        .file
        .into_iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let modules = prost_build::Config::new().generate(requests).unwrap();
    assert_eq!(modules.len(), 1, "{proto} must be one package without imports");
    let code: String = modules.into_values().collect();
    format!("//! The messages of `{proto}`. `tests/generated.rs` compares and rewrites this file.\n\n{code}")
}
