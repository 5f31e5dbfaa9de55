//! One container and one agent, which is killed while the container writes.

use crate::{
    engine::{Container, Engine},
    proof::{Arrived, check, number_of},
    rig::{Agent, Destination, Meeting, Report, Site, chance, eventually, millis, seconds},
    story::{LINES, PREFIX, Story},
    witness::{Form, Witness},
};
use fastrand::Rng;
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long the container writes, at least.
const WRITING: f64 = 18.0;

/// So many files hold what it writes.
const CHUNKS: usize = 300;

const KILLS: usize = 6;

/// A new agent that has not found the log within this time is waited for: the container pauses.
const SPRINT: Duration = Duration::from_millis(700);

/// For so long after a rotation the next one is far off.
const FRESH: Duration = Duration::from_millis(300);

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// How many old files the runtime keeps; `None`: it never rotates.
    pub(crate) keeps: Option<usize>,
    /// Of the command that makes the container; `{log}` is a path for its log.
    pub(crate) options: &'static [&'static str],
    /// Of the source's configuration.
    pub(crate) source: &'static str,
    pub(crate) rotations: std::ops::RangeInclusive<usize>,
}

struct Run<'a> {
    case: &'a Case,
    story: Arc<Story>,
    site: Site,
    destination: Destination,
    agent: Option<Agent>,
    witness: Witness,
    arrived: Arrived,
    log: PathBuf,
    hold: PathBuf,
    /// Audit lines that were gone before an agent could read them.
    lost: HashSet<usize>,
    /// From this one on the witness's audit lines can be lost.
    settled: usize,
    /// How long there was no agent that had the log open.
    gaps: Vec<Duration>,
    pauses: usize,
    errors: Vec<serde_json::Value>,
}

impl Case {
    pub(crate) fn run(&self, engine: &Engine) {
        let started = Instant::now();
        let mut rng = chance(self.name);
        let story = Arc::new(Story::new(self.form, &mut rng));
        let mut site = Site::new();
        site.kind = "container";
        let glob = match self.form {
            Form::Docker => engine.path("data/containers/*/*-json.log"),
            Form::Cri => "container/*.log".into(),
        };
        site.glob = format!("{} signs/*.log", glob.display());
        site.source = format!("prefix = \"{PREFIX}\"\n{}", self.source);
        site.labels = "event_type = { field = [\"event_type\"] }\ntenant = { field = [\"tenant\"] }".into();
        let [input, control] = ["in", "control"].map(|name| site.path(name));
        fs::create_dir(&input).unwrap();
        fs::create_dir(&control).unwrap();
        fs::create_dir(site.log("signs")).unwrap();
        fs::create_dir(site.log("container")).unwrap();
        let chunks = input.join("chunks");
        fs::create_dir(&chunks).unwrap();
        story.cut(&chunks, CHUNKS, &mut rng);
        fs::write(input.join("script"), script()).unwrap();
        let log = site.log("container/0.log");
        let mut options: Vec<String> =
            self.options.iter().map(|text| text.replace("{log}", log.to_str().unwrap())).collect();
        for (path, place) in [(&input, "in:ro"), (&control, "control:ro")] {
            options.extend(["--volume".into(), format!("{}:/{place}", path.display())]);
        }
        let destination = Destination::new();
        let agent = Some(site.start(&destination));
        let container = Container::create(engine, &options);
        let id = &container.id;
        let log = match self.form {
            Form::Docker => engine.path(&format!("data/containers/{id}/{id}-json.log")),
            Form::Cri => log,
        };
        let witness = Witness::start(log.clone(), self.form, Arc::clone(&story));
        let mut run = Run {
            case: self,
            hold: control.join("hold"),
            story,
            site,
            destination,
            agent,
            witness,
            arrived: Arrived::default(),
            log,
            lost: HashSet::new(),
            settled: 0,
            gaps: Vec::new(),
            pauses: 0,
            errors: Vec::new(),
        };
        File::create(&run.hold).unwrap();
        container.start();
        eventually(seconds(20), "the runtime begins its log", || run.witness.seen().files > 0);
        fs::remove_file(&run.hold).unwrap();
        for n in 1..=KILLS {
            // Spread over the story, never at the very end of it.
            run.kill(LINES * n / (KILLS + 1), &mut rng);
            if n == KILLS / 2 && self.keeps == Some(0) {
                run.outage();
            }
        }
        container.wait(seconds(90));
        run.finish(started);
        drop(container);
    }
}

/// Writes the chunks, and pauses while there is a file `hold`.
fn script() -> String {
    let pause = WRITING / CHUNKS as f64;
    format!(
        "for chunk in /in/chunks/*; do\n\
         while [ -e /control/hold ]; do sleep 0.01; done\n\
         case $chunk in *.err) cat $chunk >&2 ;; *) cat $chunk ;; esac\n\
         sleep {pause:.3}\n\
         done\n"
    )
}

impl Run<'_> {
    fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("it runs")
    }

    /// A kill when the container has written so many lines, at a moment at which nothing that has not arrived is in
    /// the agent's hands only; and the next agent at once.
    #[track_caller]
    fn kill(&mut self, lines: usize, rng: &mut Rng) {
        eventually(seconds(60), "the container writes", || self.witness.seen().complete >= lines);
        let mut rotated = None;
        if self.case.keeps == Some(0) {
            // Then it will be a while until the next one.
            let files = self.witness.seen().files;
            let is_over = |run: &Self| run.witness.seen().complete == LINES;
            eventually(seconds(30), "a rotation", || self.witness.seen().files > files || is_over(self));
            rotated = Some(Instant::now());
        } else {
            thread::sleep(millis(rng.u64(0..300)));
        }
        let limit = Instant::now() + seconds(30);
        loop {
            self.arrived.look(&self.destination);
            let mut missing = self.destroyed();
            missing.retain(|n| n.is_none_or(|n| !self.arrived.numbers.contains(&n) && !self.lost.contains(&n)));
            if missing.is_empty() {
                break;
            }
            assert!(
                Instant::now() < limit,
                "{}: rotated away and not here: {}",
                self.case.name,
                self.explain(&missing)
            );
            thread::sleep(millis(2));
        }
        if rotated.is_some_and(|at: Instant| at.elapsed() > FRESH) {
            // The next rotation would come while nobody has the file open.
            File::create(&self.hold).unwrap();
            self.pauses += 1;
        }
        let mut agent = self.agent.take().expect("it runs");
        agent.kill_9();
        self.errors.extend(agent.errors());
        let killed = Instant::now();
        self.agent = Some(self.site.start(&self.destination));
        loop {
            let now = fs::metadata(&self.log);
            if now.is_ok_and(|now| self.agent().holds(&now)) {
                break;
            }
            if killed.elapsed() > SPRINT && !self.hold.exists() {
                File::create(&self.hold).unwrap();
                self.pauses += 1;
            }
            assert!(killed.elapsed() < seconds(20), "{}: the next agent does not find the log", self.case.name);
            thread::sleep(millis(2));
        }
        self.gaps.push(killed.elapsed());
        let _ = fs::remove_file(&self.hold);
        // What the last one had sent can still be on its way.
        thread::sleep(millis(20));
        self.arrived.look(&self.destination);
        let gone = self.destroyed();
        let lost = gone.into_iter().flatten().filter(|n| !self.arrived.numbers.contains(n));
        self.lost.extend(lost);
    }

    /// What there is to know of lines that do not come.
    fn explain(&self, missing: &[Option<usize>]) -> String {
        let files = self.witness.seen().places(missing);
        let log = self.agent().lines();
        format!(
            "{} lines, among them {:?} of the files {files:?}; the agent's log ends with {:#?}; {:#}",
            missing.len(),
            &missing[..missing.len().min(5)],
            &log[log.len().saturating_sub(12)..],
            self.site.status()
        )
    }

    /// The destination takes nothing until the log has been rotated twice: what is not acknowledged has no name then.
    #[track_caller]
    fn outage(&self) {
        self.destination.script(|_| Meeting::Answer(503, "", "no healthy upstream"));
        let files = self.witness.seen().files;
        eventually(seconds(30), "two rotations", || self.witness.seen().files >= files + 2);
        self.destination.script(|_| Meeting::Pass);
    }

    /// The audit lines that began in a file that is gone.
    fn destroyed(&mut self) -> Vec<Option<usize>> {
        let Some(keeps) = self.case.keeps else { return Vec::new() };
        let seen = self.witness.seen();
        // The first one of them that is still needed.
        while seen.audits.get(self.settled).is_some_and(|(n, _)| self.arrived.numbers.contains(n)) {
            self.settled += 1;
        }
        seen.before(&self.story, seen.files.saturating_sub(1 + keeps), self.settled)
    }

    #[track_caller]
    fn finish(mut self, started: Instant) {
        let name = self.case.name;
        eventually(seconds(30), "all of it is in the log", || self.witness.seen().complete == LINES);
        let wrote = started.elapsed();
        let expected: HashSet<usize> =
            self.story.truth().map(|(n, _)| n).filter(|n| !self.lost.contains(n)).collect();
        let limit = Instant::now() + seconds(60);
        while !expected.is_subset(&self.arrived.numbers) {
            if Instant::now() > limit || self.agent().has_ended() {
                println!(
                    "{name}: {} lines have not arrived: {:#?}",
                    self.arrived.missing(&self.story),
                    self.agent().alarms()
                );
                break;
            }
            thread::sleep(millis(20));
            self.arrived.look(&self.destination);
        }
        // What is wrongly taken for new is on its way when these have come.
        let mut signs = Vec::new();
        for n in 0..2 {
            let sign = crate::rig::event(&format!("sign-{n}"), "sign", "acme");
            let mut file = File::create(self.site.log(&format!("signs/{n}.log"))).unwrap();
            file.write_all(&[b"2026-01-01T00:00:00Z stdout F audit: ", &sign[..], b"\n"].concat()).unwrap();
            signs.push(sign);
            eventually(seconds(20), "a sign arrives", || {
                self.destination
                    .attempts()
                    .iter()
                    .rev()
                    .take(64)
                    .any(|attempt| attempt.is_stored && attempt.entries.iter().any(|seen| seen.line == signs[n]))
            });
        }
        let mut agent = self.agent.take().expect("it runs");
        agent.end();
        self.errors.extend(agent.errors());
        let mut truth: Vec<&[u8]> = self.story.truth().map(|(_, body)| body).collect();
        truth.extend(signs.iter().map(Vec::as_slice));
        let lost = self.story.truth().filter(|(n, _)| self.lost.contains(n)).map(|(_, body)| body).collect();
        let tally = check(&self.destination, &truth, &lost, (self.case.keeps == Some(0)).then_some(&*self.story));
        for (stream, written) in self.story.streams.iter().enumerate() {
            let written: HashSet<usize> = written.iter().copied().collect();
            let numbers = tally.order.iter().filter_map(|line| number_of(line)).filter(|n| written.contains(n));
            assert!(numbers.is_sorted(), "{name}: stream {stream} is not in its order");
        }
        let seen = self.witness.seen();
        let longest = self.gaps.iter().max().copied().unwrap_or_default();
        println!(
            "{name}: {LINES} lines of {} KB, {} audit lines; {} pieces of {} KB in {} files, {} lines across; {} kills, {} ms \
             without an agent at most, {} pauses; {} in parts, {} records resent, {} missing ({} could be), {} torn, {} names; \
             {:.1} s of {:.1} s",
            self.story.len() / 1000,
            truth.len() - signs.len(),
            seen.pieces,
            seen.bytes / 1000,
            seen.files,
            seen.across,
            self.gaps.len(),
            longest.as_millis(),
            self.pauses,
            tally.parted,
            tally.duplicates,
            tally.missing,
            self.lost.len(),
            tally.torn,
            tally.files.len(),
            wrote.as_secs_f64(),
            started.elapsed().as_secs_f64(),
        );
        let rotations = seen.files - 1;
        assert!(self.case.rotations.contains(&rotations), "{name}: {rotations} rotations");
        let few = LINES / 1000;
        assert!(
            tally.missing <= few,
            "{name}: {} lines are missing, and are said to have had no reader",
            tally.missing
        );
        assert!(tally.torn <= KILLS, "{name}: more torn records than kills: {}", tally.torn);
        assert!(self.errors.is_empty(), "{name}: {:#?}", self.errors);
        assert_eq!(self.site.behind(), 0, "{:#?}", self.site.status());
        Report {
            name: name.into(),
            lines: truth.len() - signs.len(),
            missing: tally.missing,
            altered: tally.torn,
            seconds: started.elapsed().as_secs_f64(),
            ..Report::default()
        }
        .write();
    }
}
