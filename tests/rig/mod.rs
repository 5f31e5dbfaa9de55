//! What the tests stand on: an agent as a process of its own, a destination that misbehaves on command, writers that
//! know what they wrote, and the check that joins the two.

mod agent;
mod check;
mod destination;
mod http;
pub(crate) mod kinds;
pub(crate) mod machine;
mod relay;
mod report;
mod site;
pub(crate) mod stored;
mod wire;
mod writer;

pub(crate) use agent::{Agent, Finished, binary, command, command_of, finish};
pub(crate) use check::{Tally, check, check_but};
pub(crate) use destination::{Action, Attempt, Destination, Meeting};
pub(crate) use http::{Message, ask, read as read_message};
pub(crate) use relay::Relay;
pub(crate) use report::Report;
pub(crate) use site::Site;
pub(crate) use wire::Seen;
pub(crate) use writer::{Writer, append, event, lines};

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Waits until `condition` holds, and fails when it does not within `limit`.
#[track_caller]
pub(crate) fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A program in PATH, or where distributions keep those of the administrator.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/bin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Whether the tests run with the sizes and times of real outages.
pub(crate) fn is_long() -> bool {
    std::env::var_os("AUDITSHIP_TEST_LONG").is_some()
}

pub(crate) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(crate) fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Chance that can be had again: the seed is printed, and taken from `AUDITSHIP_TEST_SEED` when that is set.
pub(crate) fn chance(test: &str) -> fastrand::Rng {
    let given = std::env::var("AUDITSHIP_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: AUDITSHIP_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
