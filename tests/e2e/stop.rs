//! SIGTERM.

use crate::rig::{
    Action, Destination, Meeting, Site, Writer, append, chance, check, eventually, lines, millis, seconds,
};
use rustix::process::Signal;

#[test]
fn what_was_read_is_acknowledged_before_the_end_and_never_sent_again() {
    let mut rng = chance("stop");
    let destination = Destination::new();
    destination.script(|_| Action { before: millis(30), after: millis(30), meeting: Meeting::Pass });
    let mut site = Site::new();
    // Nothing is sent for its age: at the end, what is open must leave early.
    site.output = "window = \"1MiB\"\nbatch = { max_wait = \"60s\", max_bytes = \"16KiB\" }".into();
    let writer = Writer::start(vec![site.log("app.jsonl"), site.log("other.jsonl")], 3000, None, rng.fork());
    for _ in 0..5 {
        let stored = destination.stored();
        let mut agent = site.start(&destination);
        eventually(seconds(20), "it ships", || destination.stored() > stored + 500);
        let (status, took) = agent.stop(seconds(20));
        assert!(status.success(), "{status}");
        assert!(took < seconds(5), "a destination that works holds nobody up for {took:?}");
        assert_eq!(agent.ended("records"), agent.ended("acknowledged"));
        println!("stop: ended {took:.2?} after SIGTERM");
    }
    let truth = writer.stop();
    assert_eq!(site.once(&destination, &[]).code, Some(0));
    let tally = check(&destination, &truth);
    assert_eq!(tally.sends, truth.len(), "a clean stop leaves nothing to be sent twice");
}

#[test]
fn a_black_hole_delays_the_end_by_the_timeout_and_no_more() {
    let destination = Destination::new();
    destination.script(|_| Meeting::Swallow);
    let mut site = Site::new();
    site.agent.push_str("\nshutdown_timeout = \"4s\"");
    let truth = lines("a", 1000);
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "it sends", || !destination.attempts().is_empty());
    let (status, took) = agent.stop(seconds(20));
    assert!(status.success(), "{status}");
    // The default is 10 s.
    assert!((seconds(3)..seconds(9)).contains(&took), "it ended after {took:?}");
    println!("stop: ended {took:.2?} after SIGTERM with a black hole and a timeout of 4 s");

    // Impatience: a second signal ends it at once.
    let mut agent = site.start(&destination);
    let sent = destination.attempts().len();
    eventually(seconds(20), "it sends", || destination.attempts().len() > sent);
    agent.signal(Signal::TERM);
    eventually(seconds(3), "a second signal is taken", || {
        if agent.is_running() {
            agent.signal(Signal::INT);
        }
        !agent.is_running()
    });

    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all of it arrives", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(10)).0.success());
    check(&destination, &truth);
    assert_eq!(site.behind(), 0);
}
