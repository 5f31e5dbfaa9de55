//! The state is damaged, cannot be written, or is gone: the agent starts at once, sends again what it must, skips
//! nothing, and says once what is wrong.

use crate::{
    rig::{Attempt, Tally, binary, check, eventually, seconds},
    world::World,
};
use std::{
    collections::HashSet,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FILES: usize = 12;
/// How soon it must be sending.
const START: Duration = Duration::from_secs(5);

/// A site whose agent was stopped twice. All was delivered; of the last state's generation the second half is news.
struct Damaged {
    world: World,
    /// A copy of the state folder as it was then, file by file.
    whole: Vec<(PathBuf, Vec<u8>)>,
    /// Lines that every generation knows to be delivered.
    old: HashSet<Vec<u8>>,
    lives: u32,
}

impl Damaged {
    fn new(name: &'static str) -> Damaged {
        let mut world = World::new(name);
        let mut old = HashSet::new();
        for life in 0..2 {
            for n in 0..FILES {
                let lines = world.write(&world.site.log(&format!("app{n}.jsonl")), 40);
                if life == 0 {
                    old.extend(lines);
                }
            }
            world.start();
            world.arrives();
            world.stop();
        }
        let mut whole: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(world.site.path("state"))
            .unwrap()
            .map(|item| item.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        whole.sort();
        Damaged { world, whole, old, lives: 2 }
    }

    /// The generations, oldest first.
    fn generations(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let is_state = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("state-");
        let found: Vec<_> = self.whole.iter().filter(|(path, _)| is_state(path)).cloned().collect();
        assert!(
            found.len() >= 2,
            "no previous generation is kept: {:?}",
            fs::read_dir(self.world.site.path("state"))
        );
        found
    }

    /// The folder as it was, and nothing else in it.
    fn restore(&self) {
        let folder = self.world.site.path("state");
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        self.whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }

    /// Starts the agent on the folder as it is now, with some new lines to ship. Returns its alarms.
    #[track_caller]
    fn recovers(&mut self, case: &str) -> Vec<serde_json::Value> {
        for n in 0..3 {
            self.world.write(&self.world.site.log(&format!("app{n}.jsonl")), 5);
        }
        let started = Instant::now();
        self.world.start();
        let life = self.lives;
        self.lives += 1;
        eventually(START, &format!("{case}: it ships"), || {
            self.world.destination.attempts().iter().any(|attempt| attempt.life == life)
        });
        let took = started.elapsed();
        self.world.arrives();
        let errors = self.world.agent().errors();
        self.world.stop();
        let attempts = self.world.destination.attempts();
        let of_life = attempts.iter().filter(|attempt: &&Attempt| attempt.life == life);
        let sent: Vec<_> = of_life.flat_map(|attempt| &attempt.entries).collect();
        let old = sent.iter().filter(|seen| self.old.contains(&seen.body()[..])).count();
        println!(
            "t6 {case}: shipping after {took:.1?}, {} sent, {old} of them old, {} alarms",
            sent.len(),
            errors.len()
        );
        drop(attempts);
        errors
    }

    /// The same, when a good generation is left: what that one knows is not sent again.
    #[track_caller]
    fn recovers_from_the_last_good_one(&mut self, case: &str, alarms: std::ops::RangeInclusive<usize>) -> String {
        let errors = self.recovers(case);
        let life = self.lives - 1;
        let attempts = self.world.destination.attempts();
        let of_life = attempts.iter().filter(|attempt| attempt.life == life).flat_map(|attempt| &attempt.entries);
        let again = of_life.filter(|seen| self.old.contains(&seen.body()[..])).count();
        assert_eq!(again, 0, "{case}: lines that the last good generation knows were sent again");
        assert!(alarms.contains(&errors.len()), "{case}: {alarms:?} alarms expected: {errors:#?}");
        errors.first().map(ToString::to_string).unwrap_or_default()
    }

    #[track_caller]
    fn ends(self) -> Tally {
        let tally = check(&self.world.destination, &self.world.truth);
        self.world.print(&tally);
        tally
    }
}

#[track_caller]
fn names(alarm: &str, causes: &[&str]) {
    assert!(causes.iter().any(|cause| alarm.contains(cause)), "none of {causes:?} is in {alarm}");
}

#[test]
fn the_newest_generation_is_empty_or_zero_or_foreign() {
    let mut damaged = Damaged::new("t6 newest");
    let (newest, bytes) = damaged.generations().pop().unwrap();
    let cases: [(&str, Vec<u8>, &[&str]); 3] = [
        ("empty", Vec::new(), &["empty"]),
        ("zero", vec![0; bytes.len()], &["zero", "NUL"]),
        ("foreign", b"{\"positions\": {}}\n".to_vec(), &["state file"]),
    ];
    for (case, bytes, causes) in cases {
        damaged.restore();
        fs::write(&newest, bytes).unwrap();
        let alarm = damaged.recovers_from_the_last_good_one(case, 1..=1);
        names(&alarm, causes);
        names(&alarm, &[newest.to_str().unwrap()]);
    }
    damaged.ends();
}

#[test]
fn the_newest_generation_is_cut_anywhere() {
    let mut damaged = Damaged::new("t6 cut");
    let (newest, bytes) = damaged.generations().pop().unwrap();
    let mut alarms = 0;
    for twentieth in 1..20 {
        damaged.restore();
        fs::write(&newest, &bytes[..bytes.len() * twentieth / 20]).unwrap();
        // Behind the snapshot a cut is what every kill in the middle of a write leaves: no damage.
        let alarm = damaged.recovers_from_the_last_good_one(&format!("cut at {twentieth}/20"), 0..=1);
        alarms += usize::from(!alarm.is_empty());
        if twentieth == 1 {
            names(&alarm, &["cut off", "damaged"]);
        }
    }
    assert!(alarms > 0);
    damaged.ends();
}

#[test]
fn one_bit_of_the_newest_generation_is_wrong() {
    let mut damaged = Damaged::new("t6 bit");
    let (newest, bytes) = damaged.generations().pop().unwrap();
    let places = [0, 7, 8, 12, bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - 100];
    for (n, place) in places.into_iter().enumerate() {
        damaged.restore();
        let mut wrong = bytes.clone();
        // Not the bit that would make it a later version's.
        wrong[place] ^= if place == 7 { 1 } else { 1 << n };
        fs::write(&newest, wrong).unwrap();
        let alarm = damaged.recovers_from_the_last_good_one(&format!("bit {} of byte {place}", n % 8), 1..=1);
        names(&alarm, &["damaged", "state file", "cut off"]);
    }
    damaged.ends();
}

#[test]
fn only_the_previous_generation_is_left() {
    let mut damaged = Damaged::new("t6 previous");
    let (newest, _) = damaged.generations().pop().unwrap();
    damaged.restore();
    fs::remove_file(newest).unwrap();
    // Nothing tells this from a generation that was never made.
    damaged.recovers_from_the_last_good_one("previous", 0..=1);
    damaged.ends();
}

#[test]
fn only_a_temporary_file_is_left() {
    let mut damaged = Damaged::new("t6 temporary");
    damaged.restore();
    for (path, _) in damaged.generations() {
        fs::rename(&path, path.with_extension("tmp")).unwrap();
    }
    let errors = damaged.recovers("temporary");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    names(&errors[0].to_string(), &["no usable state"]);
    sent_again(&damaged);
}

#[test]
fn every_generation_is_damaged() {
    for (case, damage) in [("all zero", 0u8), ("all foreign", b'x')] {
        let mut damaged = Damaged::new("t6 all");
        damaged.restore();
        for (path, bytes) in damaged.generations() {
            fs::write(path, vec![damage; bytes.len()]).unwrap();
        }
        let errors = damaged.recovers(case);
        assert_eq!(errors.len(), 1, "{errors:#?}");
        names(&errors[0].to_string(), &["no usable state", "damaged"]);
        sent_again(&damaged);
    }
}

/// From the start of the files, never from their ends.
#[track_caller]
fn sent_again(damaged: &Damaged) {
    let life = damaged.lives - 1;
    let attempts = damaged.world.destination.attempts();
    let of_life = attempts.iter().filter(|attempt| attempt.life == life).flat_map(|attempt| &attempt.entries);
    let sent: HashSet<Vec<u8>> = of_life.map(|seen| seen.body().to_vec()).collect();
    // Whether the names and times are those of before depends on the file system: the bodies must all be there.
    assert!(
        damaged.world.truth.iter().all(|line| sent.contains(line)),
        "{} of {}",
        sent.len(),
        damaged.world.truth.len()
    );
}

/// The owner of a folder that nobody may write to.
const NOBODY: u32 = 65_534;

#[test]
fn the_folder_cannot_be_written() {
    let mut damaged = Damaged::new("t6 read only");
    damaged.restore();
    let world = &mut damaged.world;
    // Everything can be read by everybody; the state is root's.
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(world.site.root(), 0o755);
    open(&world.site.path("state"), 0o755);
    for item in fs::read_dir(world.site.path("state")).unwrap() {
        open(&item.unwrap().path(), 0o644);
    }
    // Where the build is may be closed to others.
    let copy = world.site.path("auditship");
    fs::copy(binary(), &copy).unwrap();
    open(&copy, 0o755);
    world.write(&world.site.log("app0.jsonl"), 30);
    let config = world.site.prepare(&world.destination);
    let mut command = crate::rig::command_of(&copy);
    command.arg("run").arg("-c").arg(&config).uid(NOBODY).gid(NOBODY);
    let mut agent = crate::rig::Agent::spawn(&mut command);
    let started = Instant::now();
    eventually(START, "it ships without a state", || world.destination.stored() >= world.truth.len());
    let took = started.elapsed();
    eventually(START, "it is said", || !agent.errors().is_empty());
    world.write(&world.site.log("app1.jsonl"), 30);
    world.arrives();
    agent.end();
    let errors = agent.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    names(&errors[0].to_string(), &["cannot be written"]);
    names(&errors[0].to_string(), &["ermission denied"]);
    damaged.lives += 1;
    // It claimed no position: what it delivered is sent again, and nothing is skipped.
    let errors = damaged.recovers("after a life without writing");
    assert!(errors.is_empty(), "{errors:#?}");
    println!("t6 read only: shipping after {took:.1?}");
    assert_eq!(damaged.ends().duplicates(), 60);
}

/// The agent's state folder as a full file system of one mebibyte, with what was in it before.
const FULL: &str = "cp -a \"$STATE\" \"$STATE.old\" && mount -t tmpfs -o size=1m tmpfs \"$STATE\" && \
    cp -a \"$STATE.old/.\" \"$STATE/\" && { head -c 2m /dev/zero > \"$STATE/filler\" 2>/dev/null; exec \"$@\"; }";

#[test]
fn the_disk_is_full() {
    let mut damaged = Damaged::new("t6 full");
    damaged.restore();
    let state = damaged.world.site.path("state");
    let probe = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs \"$0\""])
        .arg(&state)
        .output();
    if !probe.as_ref().is_ok_and(|done| done.status.success()) {
        return println!("t6 full: SKIPPED, this user may not mount: {probe:?}");
    }
    let world = &mut damaged.world;
    world.write(&world.site.log("app0.jsonl"), 30);
    let script = FULL.replace("$STATE", state.to_str().unwrap());
    world.start_by(&["unshare", "-m", "sh", "-c", &script, "sh"]);
    eventually(START, "it ships", || world.destination.stored() >= world.truth.len());
    eventually(START, "it is said", || !world.agent().errors().is_empty());
    for n in 0..5 {
        world.write(&world.site.log(&format!("app{n}.jsonl")), 20);
        world.settle();
    }
    let errors = world.agent().errors();
    world.stop();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    names(&errors[0].to_string(), &["cannot be written"]);
    names(&errors[0].to_string(), &["space"]);
    let unclaimed = 30 + 5 * 20 + 5 * 2;
    damaged.lives += 1;
    // Its folder is gone with it; the one below is as it was before.
    let errors = damaged.recovers("after a life on a full disk");
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(damaged.ends().duplicates(), unclaimed);
}

/// A machine without a clock of its own begins in the past, and jumps when it learns the time.
#[test]
fn the_clock_jumps() {
    let Some(library) = faketime() else {
        return println!("t6 clock: SKIPPED, there is no libfaketime on this machine");
    };
    let mut world = World::new("t6 clock");
    let (path, clock) = (world.site.log("app.jsonl"), world.site.path("clock"));
    world.write(&path, 100);
    let env = |name: &str, value: &Path| format!("{name}={}", value.display());
    let way = [
        "env".to_owned(),
        env("LD_PRELOAD", &library),
        env("FAKETIME_TIMESTAMP_FILE", &clock),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let way: Vec<&str> = way.iter().map(String::as_str).collect();
    fs::write(&clock, "+0").unwrap();
    world.start_by(&way);
    world.arrives();
    for offset in ["+7200", "-86400", "+0"] {
        fs::write(&clock, offset).unwrap();
        world.write(&path, 100);
        world.arrives();
    }
    world.kill();
    fs::write(&clock, "-3600").unwrap();
    world.write(&path, 100);
    let started = Instant::now();
    world.start_by(&way);
    world.arrives();
    assert!(started.elapsed() < seconds(5), "{:?}", started.elapsed());
    world.finish(true);
}

fn faketime() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime"];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join("libfaketime.so.1"));
    paths.find(|path| path.is_file())
}
