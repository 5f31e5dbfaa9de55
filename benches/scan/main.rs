//! `cargo bench --bench scan`: what a complete look at many quiet files costs, in CPU time of the thread that does it.
//! Its first look opens them all; the others find nothing new, which is what an idle agent does.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "printing is what it is for")]

use auditship::{
    discover::{Pattern, Search, scan},
    model::Nanos,
    tail::{Clock, Registry, Site},
};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use std::{fs, time::Duration};

const LOOKS: u32 = 20;

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    println!("{:>8} {:>12} {:>16} {:>16}", "files", "first look", "scan of each", "look of each");
    // Each is open.
    let most = getrlimit(Resource::Nofile).current.map_or(20_000, |most| most.saturating_sub(100).min(20_000));
    for count in if is_test { vec![10] } else { vec![2_000, most as usize] } {
        measure(count);
    }
}

fn measure(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    for nth in 0..count {
        fs::write(folder.path().join(format!("app-{nth:05}.jsonl")), format!("{{\"n\":{nth}}}\n")).unwrap();
    }
    let include = vec![Pattern::new(folder.path().join("*.jsonl").to_str().unwrap()).unwrap()];
    let searches = [Search { include, exclude: vec![], rotated_dir: None }];
    let site = Site {
        machine: b"machine".to_vec(),
        host: "host".into(),
        sources: vec!["app".into()],
        rotates_elsewhere: vec![false],
        in_turn: vec![false],
        outputs: 1,
        takers: vec![1],
        capacity: count + 100,
    };
    let mut registry = Registry::new(site, vec![], vec![], Box::new(|| 7));
    let mut uptime = Duration::ZERO;
    let mut look = |registry: &mut Registry| {
        uptime += Duration::from_secs(1);
        let before = cpu();
        let found = scan(&searches).files;
        let scanned = cpu();
        let changes = registry.look(found, Clock { uptime, wall: Nanos(1) });
        let looked = cpu();
        (scanned - before, looked - scanned, changes)
    };
    let (scanned, looked, changes) = look(&mut registry);
    assert_eq!(changes.len(), count);
    let first = scanned + looked;
    let (mut scans, mut looks) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..LOOKS {
        let (scanned, looked, changes) = look(&mut registry);
        assert!(changes.is_empty(), "{changes:?}");
        (scans, looks) = (scans + scanned, looks + looked);
    }
    println!("{count:>8} {first:>12.1?} {:>16.1?} {:>16.1?}", scans / LOOKS, looks / LOOKS);
}

/// CPU time of this thread.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}
