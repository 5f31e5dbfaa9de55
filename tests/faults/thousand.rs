//! A thousand rotations with compression, with the destination away for half of the time.

use crate::{
    rig::{append, is_long, seconds},
    world::{Kind, World, with_suffix},
};
use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

const ROTATIONS: usize = 1000;
/// Rotated files that are kept: several times as many as fall into one outage, also on a machine that is busy.
const KEEP: usize = 300;

/// The time between two rotations, and between the destination's going and coming.
fn pace() -> (Duration, Duration) {
    if is_long() { (Duration::from_millis(500), seconds(20)) } else { (Duration::from_millis(20), seconds(1)) }
}

#[test]
fn a_thousand_rotations_lose_nothing() {
    let mut world = World::new("thousand");
    let (pace, outage) = pace();
    let path = world.site.log("a.jsonl");
    world.start();
    let started = Instant::now();
    let mut kept: VecDeque<PathBuf> = VecDeque::new();
    let (mut is_down, mut outages) = (false, 0);
    for n in 0..ROTATIONS {
        let should_be_down = (started.elapsed().as_millis() / outage.as_millis()) % 2 == 1;
        if should_be_down != is_down {
            is_down = should_be_down;
            if is_down {
                outages += 1;
                world.down();
            } else {
                world.up();
            }
        }
        append(&path, &world.lines(10));
        // A stamp of our own making: there are many rotations in a second.
        let old = with_suffix(&path, &format!(".20240102-15{:02}{:02}", n / 60, n % 60));
        fs::rename(&path, &old).unwrap();
        kept.push_back(old);
        // The one before is compressed.
        if n > 0 {
            let last = kept.len() - 2;
            kept[last] = if n % 2 == 0 { Kind::Gzip } else { Kind::Zstd }.replace(&kept[last]);
        }
        if kept.len() > KEEP {
            fs::remove_file(kept.pop_front().unwrap()).unwrap();
        }
        // The load: so many rotations a second, whatever the agent does.
        thread::sleep((started + pace * (n as u32 + 1)).saturating_duration_since(Instant::now()));
    }
    world.up();
    assert!(outages >= 5, "only {outages} outages");
    let tally = world.finish(true);
    // An answer that was lost with an outage is the only reason to send again, and these outages lose none.
    assert_eq!(tally.duplicates(), 0, "{tally:?}");
}
