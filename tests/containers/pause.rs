//! Without a runtime: a line in pieces, of which the next one is long in coming. In between the file is rotated away,
//! and the agent is killed.

use crate::{
    proof::{check, show},
    rig::{Agent, Destination, Site, append, event, eventually, millis, seconds},
    story::PREFIX,
    witness::Form,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Longer than whatever could take a piece for the last one.
const PAUSE: Duration = Duration::from_secs(45);

/// What happens to a file in the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    None,
    /// As the kubelet does it: renamed by the time.
    Stamped,
    /// As Docker does it: renamed to `.1`.
    Numbered,
    /// The same, twice, with another piece in the file between.
    Twice,
    /// The same, with nothing in the file between.
    Empty,
    /// As conmon does it: a new file is renamed over it.
    Over,
    /// As Docker does it with `max-file=1`.
    Unlinked,
}

/// One container's log.
struct Log {
    name: String,
    path: PathBuf,
    form: Form,
    rotation: Rotation,
    /// Lines that must arrive.
    truth: Vec<Vec<u8>>,
}

impl Log {
    fn new(site: &Site, form: Form, rotation: Rotation) -> Log {
        let name = format!("{form:?}-{rotation:?}").to_lowercase();
        let path = match form {
            Form::Docker => site.log(&format!("containers/{name}/{name}-json.log")),
            Form::Cri => site.log(&format!("pods/default_{name}_uid/app/0.log")),
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Log { name, path, form, rotation, truth: Vec::new() }
    }

    /// Writes a piece; a line's last one has its newline.
    fn write(&self, stream: &str, piece: &str) {
        let now = jiff::Timestamp::now();
        let line = match self.form {
            Form::Docker => serde_json::json!({"log": piece, "stream": stream, "time": now.to_string()}).to_string(),
            Form::Cri => {
                let tag = if piece.ends_with('\n') { 'F' } else { 'P' };
                format!("{now:.9} {stream} {tag} {}", piece.trim_end_matches('\n'))
            }
        };
        append(&self.path, &[line.into_bytes()]);
    }

    /// A new audit line, as its container writes it.
    fn line(&mut self, id: &str) -> String {
        let body = event(&format!("{}-{id}", self.name), "login", "acme");
        let line = format!("{PREFIX} {}\n", String::from_utf8(body.clone()).unwrap());
        self.truth.push(body);
        line
    }

    fn with(&self, end: &str) -> PathBuf {
        PathBuf::from(format!("{}{end}", self.path.display()))
    }

    /// The file goes where it is called so, and a new one is in its place.
    fn renew(&self, end: &str) {
        fs::rename(&self.path, self.with(end)).unwrap();
        File::create(&self.path).unwrap();
    }
}

/// Lines of ours and of others, on both streams, of which the first pieces are there before the pause.
struct Torn {
    log: Log,
    /// Stream and what is still to be written of its line.
    rest: Vec<(&'static str, String)>,
}

impl Torn {
    fn begin(mut log: Log) -> Torn {
        let whole = log.line("first");
        log.write("stdout", &whole);
        // One is cut within its text, the other one within its prefix.
        let (out, err) = (log.line("out"), log.line("err"));
        log.write("stdout", &out[..40]);
        log.write("stderr", &err[..3]);
        log.write("stdout", &out[40..60]);
        Torn { log, rest: vec![("stdout", out[60..].to_owned()), ("stderr", err[3..].to_owned())] }
    }

    /// Not ours, though what comes later looks so.
    fn begin_foreign(mut log: Log) -> Torn {
        log.name.push_str("-foreign");
        let whole = log.line("first");
        log.write("stderr", &whole);
        log.write("stdout", "GET /");
        let err = log.line("err");
        log.write("stderr", &err[..20]);
        let decoy = format!("{PREFIX} {}\n", String::from_utf8(event("decoy", "decoy", "acme")).unwrap());
        Torn { log, rest: vec![("stdout", decoy), ("stderr", err[20..].to_owned())] }
    }

    fn rotate(&mut self) {
        let log = &self.log;
        match log.rotation {
            Rotation::None => {}
            Rotation::Stamped => log.renew(".20260102-150405"),
            Rotation::Numbered => log.renew(".1"),
            Rotation::Twice | Rotation::Empty => {
                log.renew(".1");
                if log.rotation == Rotation::Twice {
                    for (stream, rest) in &mut self.rest {
                        let after = rest.split_off(10);
                        log.write(stream, &std::mem::replace(rest, after));
                    }
                }
                thread::sleep(millis(500));
                fs::rename(log.with(".1"), log.with(".2")).unwrap();
                log.renew(".1");
            }
            Rotation::Over => {
                File::create(log.with(".tmp")).unwrap();
                fs::rename(log.with(".tmp"), &log.path).unwrap();
            }
            Rotation::Unlinked => {
                fs::remove_file(&log.path).unwrap();
                File::create(&log.path).unwrap();
            }
        }
    }

    fn end(&mut self) {
        let (first, second) = (&self.rest[1], &self.rest[0]);
        let at = first.1.floor_char_boundary(first.1.len() / 2);
        self.log.write(first.0, &first.1[..at]);
        let half = second.1.floor_char_boundary(second.1.len() / 2);
        self.log.write(second.0, &second.1[..half]);
        self.log.write(first.0, &first.1[at..]);
        self.log.write(second.0, &second.1[half..]);
        for stream in ["stdout", "stderr"] {
            let line = self.log.line(&format!("last-{stream}"));
            self.log.write(stream, &line);
        }
    }
}

struct Scene {
    site: Site,
    destination: Destination,
    agent: Option<Agent>,
}

impl Scene {
    fn start(&mut self) {
        self.agent = Some(self.site.start(&self.destination));
    }

    fn kill(&mut self) {
        self.agent.take().expect("it runs").kill_9();
    }

    #[track_caller]
    fn arrive(&self, torn: &[Torn], limit: Duration) {
        let expected: HashSet<&[u8]> =
            torn.iter().flat_map(|torn| torn.log.truth.iter().map(Vec::as_slice)).collect();
        let start = Instant::now();
        loop {
            let attempts = self.destination.attempts();
            let stored = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
            let stored: HashSet<Vec<u8>> = stored.map(|seen| seen.body().to_vec()).collect();
            drop(attempts);
            let missing: Vec<String> =
                expected.iter().filter(|line| !stored.contains(**line)).map(|line| show(line)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(start.elapsed() < limit, "did not arrive: {missing:#?}; stored is {:#?}", {
                let foreign = stored.iter().filter(|line| !expected.contains(&line[..]));
                foreign.map(|line| show(line)).collect::<Vec<_>>()
            });
            thread::sleep(millis(50));
        }
    }
}

/// `kills`: before and after the rotation.
fn scene(rotations: &[(Form, Rotation)], kills: [bool; 2]) {
    let mut site = Site::new();
    site.kind = "container";
    site.glob = "containers/*/*-json.log pods/*/*/*.log".into();
    site.source = format!("prefix = \"{PREFIX}\"");
    let destination = Destination::new();
    let mut torn: Vec<Torn> =
        rotations.iter().map(|(form, rotation)| Torn::begin(Log::new(&site, *form, *rotation))).collect();
    for (form, rotation) in rotations {
        let mut log = Log::new(&site, *form, *rotation);
        log.path = PathBuf::from(log.path.to_str().unwrap().replace(&log.name, &format!("{}-foreign", log.name)));
        fs::create_dir_all(log.path.parent().unwrap()).unwrap();
        torn.push(Torn::begin_foreign(log));
    }
    let mut scene = Scene { site, destination, agent: None };
    scene.start();
    eventually(seconds(20), "the first lines arrive", || scene.destination.stored() >= torn.len());
    // The pieces behind them have been read as well.
    thread::sleep(seconds(1));
    let paused = Instant::now();
    if kills[0] {
        scene.kill();
        scene.start();
    }
    thread::sleep((PAUSE / 2).saturating_sub(paused.elapsed()));
    torn.iter_mut().for_each(Torn::rotate);
    thread::sleep(seconds(3));
    if kills[1] {
        scene.kill();
        scene.start();
    }
    thread::sleep(PAUSE.saturating_sub(paused.elapsed()));
    torn.iter_mut().for_each(Torn::end);
    scene.arrive(&torn, seconds(20));
    // What is wrongly taken for a line of its own is on its way.
    thread::sleep(seconds(2));
    scene.agent.take().expect("it runs").end();
    let truth: Vec<&[u8]> = torn.iter().flat_map(|torn| torn.log.truth.iter().map(Vec::as_slice)).collect();
    let tally = check(&scene.destination, &truth, &HashSet::new(), None);
    println!(
        "partials with a pause of {} s: {} logs, kills {kills:?}: {} lines, {} records resent",
        paused.elapsed().as_secs(),
        torn.len(),
        tally.lines,
        tally.duplicates
    );
}

#[test]
fn partials_with_a_pause() {
    use {Form::*, Rotation::*};
    let kept = [(Cri, None), (Cri, Stamped), (Docker, None), (Docker, Numbered), (Docker, Twice), (Docker, Empty)];
    let destroyed = [(Cri, Over), (Docker, Unlinked)];
    thread::scope(|scope| {
        let scenes = [
            (kept.to_vec(), [true, true]),
            (kept.to_vec(), [false, true]),
            ([&kept[..], &destroyed].concat(), [true, false]),
            ([&kept[..], &destroyed].concat(), [false, false]),
        ];
        for (rotations, kills) in scenes {
            scope.spawn(move || scene(&rotations, kills));
        }
    });
}
