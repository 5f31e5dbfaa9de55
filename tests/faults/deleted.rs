//! Many more files than descriptors. Those that are deleted while they are behind are held by a descriptor, so the
//! others must share what is left.

use crate::{
    rig::{eventually, is_long, seconds},
    world::World,
};
use std::{fs, path::PathBuf};

const FILES: usize = 20_000;
/// What is known of each file comes on top of `agent.memory_limit` (ARCHITECTURE.md, Memory): so this is more than 64 MiB.
const LIMIT: u64 = 80 << 20;
/// Both limits, so that the agent cannot raise its own.
const FEW: [&str; 4] = ["sh", "-c", "ulimit -n 1024; exec \"$@\"", "sh"];

#[test]
fn twenty_thousand_files_with_a_thousand_descriptors() {
    let mut world = World::new("deleted");
    world.patience *= 2;
    world.site.agent = "memory_limit = \"64MiB\"".into();
    world.site.glob = "*/*.jsonl".into();
    world.signpost = "0/signpost-{}.jsonl";
    let each = if is_long() { 50 } else { 2 };
    let paths: Vec<PathBuf> = (0..FILES).map(|n| world.site.log(&format!("{}/{n}.jsonl", n % 20))).collect();
    (0..20).for_each(|n| fs::create_dir(world.site.log(&n.to_string())).unwrap());
    let mut lines = world.lines(FILES * each);
    for path in &paths {
        let mut bytes = lines.split_off(lines.len() - each).join(&b'\n');
        bytes.push(b'\n');
        fs::write(path, bytes).unwrap();
    }
    world.start_by(&FEW);
    let limits = || -> Vec<String> {
        let limits = world.agent().proc("limits");
        let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
        open.split_whitespace().skip(3).take(2).map(str::to_owned).collect()
    };
    eventually(seconds(5), "the limits hold", || limits() == ["1024", "1024"]);
    world.arrives();

    // Some of them go on, whether they are open or not.
    for path in paths.iter().step_by(41) {
        world.write(path, 3);
    }
    world.arrives();

    // Some are deleted when they have been delivered, and some while they are behind.
    for path in paths.iter().skip(1).step_by(41) {
        fs::remove_file(path).unwrap();
    }
    world.down();
    for path in paths.iter().skip(2).step_by(997) {
        world.write(path, 3);
        world.seen(path);
        fs::remove_file(path).unwrap();
    }
    world.up();
    world.arrives();

    // Positions of all of them outlive the process.
    world.stop();
    world.start_by(&FEW);
    for path in paths.iter().skip(3).step_by(41) {
        world.write(path, 3);
    }
    world.arrives();
    let [_, high, mapped] = world.agent().memory();
    println!("deleted: {} MiB of memory at most, {} MiB of them mapped", high >> 20, mapped >> 20);
    assert!(high < LIMIT + mapped, "{high} bytes of memory, {mapped} of them mapped");
    let tally = world.finish(false);
    assert_eq!(tally.duplicates(), 0, "{tally:?}");
    // More behind than there are descriptors: that is said, and nothing else.
    let said = |error: &serde_json::Value| error["message"].as_str().is_some_and(|text| text.contains("files wait"));
    assert!(!world.errors.is_empty() && world.errors.iter().all(said), "{:#?}", world.errors);
}
