//! Running the agent: starts the threads, waits, and puts their reports together.

use super::{
    containers::Containers,
    follow::{Follow, FollowError, FollowEvent, FollowSettings, HINTS, Target},
    gauges::{FollowGauges, LaneGauges, Live},
    lane::{Event, Lane, Mode, Shared},
    plan::{self, Labelling, Plan, budget},
    report::{OutputReport, Report},
    settings::Settings,
};
use crate::{
    discover::PatternError,
    guard::{Admission, Rule},
    state::{Entry, Memory, OpenError, Store},
};
use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

/// The state is synced this often; a lost second is sent again.
const SYNC: Duration = Duration::from_secs(1);
/// How often a progress bar moves.
const TICK: Duration = Duration::from_millis(200);

/// How long to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Ship what there is, wait for every acknowledgement, and end.
    pub once: bool,
    /// With `once`: end after this all the same.
    pub timeout: Option<Duration>,
}

/// How the run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why.
    pub ended: Ended,
    /// What was done, and what is left.
    pub report: Report,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `once`: all that there was is acknowledged.
    Done,
    /// By SIGTERM or SIGINT.
    Stopped,
    /// `once`: the time is up.
    TimedOut,
}

/// How far a run with `once` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were there, summed over the outputs.
    pub total: u64,
    /// Of those, settled.
    pub settled: u64,
}

/// What a run tells who started it. All of it comes from the thread that called [`run`].
#[derive(Debug)]
pub enum Moment {
    /// Once: the threads work. What they do can be looked at from now on.
    Started(Arc<Live>),
    /// A few times a second.
    Tick(Progress),
    /// Once: it was told to stop, or is done.
    Stopping,
}

/// Why the agent did not start, or broke.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] OpenError),
    /// A glob that the configuration's check let through.
    #[error("sources: {0}")]
    Pattern(#[from] PatternError),
    /// The system has no thread, signal or timer for us.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A bug of ours.
    #[error("a thread of the agent broke; what it had not settled is sent again at the next start")]
    Broken,
}

/// Runs the agent until it is done or told to stop. `on_moment` is called within a tokio runtime that lives as long.
pub fn run(mut settings: Settings, options: Options, mut on_moment: impl FnMut(Moment)) -> Result<Outcome, RunError> {
    let capacity = file_capacity();
    let store = Arc::new(Store::open(&settings.agent.state_dir)?);
    let shutdown_timeout = settings.agent.shutdown_timeout;
    let runtime =
        Builder::new_multi_thread().worker_threads(plan::SEND_THREADS).thread_name("send").enable_all().build()?;
    let mut running = Running::start(&mut settings, options, store, &runtime, capacity)?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let time_is_up = tokio::time::sleep(options.timeout.unwrap_or(Duration::MAX / 4));
        tokio::pin!(time_is_up);
        let mut tick = tokio::time::interval(TICK);
        let mut ended = Ended::Done;
        let mut is_stopping = false;
        let mut is_said = false;
        on_moment(Moment::Started(Arc::clone(&running.live)));
        while running.reports.len() < running.lanes.len() {
            tokio::select! {
                report = running.done.recv() => match report {
                    Some(report) => running.reports.push(report),
                    None => break,
                },
                _ = terminate.recv() => is_stopping |= running.stop(is_stopping, shutdown_timeout, &mut ended, Ended::Stopped),
                _ = interrupt.recv() => is_stopping |= running.stop(is_stopping, shutdown_timeout, &mut ended, Ended::Stopped),
                () = &mut time_is_up, if options.once && !is_stopping => {
                    is_stopping |= running.stop(is_stopping, Duration::ZERO, &mut ended, Ended::TimedOut);
                }
                _ = tick.tick() => on_moment(Moment::Tick(running.progress())),
            }
            if is_stopping && !std::mem::replace(&mut is_said, true) {
                on_moment(Moment::Stopping);
            }
        }
        if !is_said {
            on_moment(Moment::Stopping);
        }
        Ok::<Ended, io::Error>(ended)
    })?;
    on_moment(Moment::Tick(running.progress()));
    let report = running.finish()?;
    // What is still under way is of no use to anybody.
    runtime.shutdown_background();
    Ok(Outcome { ended, report })
}

impl From<FollowError> for RunError {
    fn from(error: FollowError) -> RunError {
        match error {
            FollowError::Pattern(error) => RunError::Pattern(error),
            FollowError::System(error) => RunError::System(error),
        }
    }
}

/// The threads of a run.
struct Running {
    started: Instant,
    store: Arc<Store>,
    lanes: Vec<mpsc::Sender<Event>>,
    lane_threads: Vec<JoinHandle<()>>,
    gauges: Vec<Arc<LaneGauges>>,
    live: Arc<Live>,
    done: tokio::sync::mpsc::Receiver<(usize, OutputReport)>,
    reports: Vec<(usize, OutputReport)>,
    follow: mpsc::SyncSender<FollowEvent>,
    follow_thread: JoinHandle<Vec<PathBuf>>,
    commit: mpsc::Sender<()>,
    commit_thread: JoinHandle<()>,
}

impl Running {
    fn start(
        settings: &mut Settings,
        options: Options,
        store: Arc<Store>,
        runtime: &Runtime,
        capacity: usize,
    ) -> Result<Running, RunError> {
        let started = Instant::now();
        // First, so that the labels of pods may be there when the first file is met.
        let containers = Arc::new(Containers::start(&mut settings.sources, &settings.labels)?);
        let (labelling, rules) = Labelling::new(settings);
        let machine = machine_id(&store);
        let budget = budget(settings);
        let admission = Arc::new(Mutex::new(store.with_memory(|memory| restore(rules, budget, memory))));
        let (follow, follow_events) = mpsc::sync_channel(HINTS);
        let to_follow = Mutex::new(follow.clone());
        let shared = Shared {
            store: Arc::clone(&store),
            admission: Arc::clone(&admission),
            runtime: runtime.handle().clone(),
            started,
            on_replaced: Arc::new(move |key, moves| {
                let sender = to_follow.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let _ = sender.send(FollowEvent::Replaced(key, moves));
            }),
        };
        let mode = if options.once { Mode::Once } else { Mode::Follow };
        let plans = plan::plans(settings, labelling);
        let (done_sender, done) = tokio::sync::mpsc::channel(plans.len().max(1));
        let mut targets = Vec::new();
        let mut lanes = Vec::new();
        let mut gauges = Vec::new();
        let mut waiting: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for plan in plans {
            let (sender, receiver) = mpsc::channel();
            let gauge = Arc::new(LaneGauges::new(&plan.name));
            targets.push(target(&plan, sender.clone()));
            lanes.push(sender.clone());
            gauges.push(Arc::clone(&gauge));
            let (index, done) = (plan.index, done_sender.clone());
            let lane = Lane::new(plan, mode, shared.clone(), gauge, (sender, receiver));
            waiting.push(Box::new(move || {
                let report = lane.run();
                let _ = done.blocking_send((index, report));
            }));
        }
        let agent = &settings.agent;
        let follow_gauges = Arc::new(FollowGauges::default());
        let live = Arc::new(Live::new(
            started,
            Arc::clone(&store),
            admission,
            (budget, agent.spool_max_bytes),
            gauges.clone(),
            Arc::clone(&follow_gauges),
        ));
        let for_files = FollowSettings {
            sources: &settings.sources,
            host: &agent.host,
            spool_max_bytes: agent.spool_max_bytes,
            capacity,
            interval: agent.scan_interval,
            notify: agent.notify && !options.once,
            once: options.once,
            gauges: Arc::clone(&follow_gauges),
            containers: &containers,
        };
        let following = Follow::new(&for_files, targets, Arc::clone(&store), machine, started, &follow)?;
        let lane_threads = waiting
            .into_iter()
            .map(|lane| thread::Builder::new().name("lane".into()).spawn(lane))
            .collect::<io::Result<_>>()?;
        let follow_thread =
            thread::Builder::new().name("follow".into()).spawn(move || following.run(&follow_events))?;
        let (commit, stop_commit) = mpsc::channel();
        let synced = Arc::clone(&store);
        let commit_thread = thread::Builder::new().name("commit".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stop_commit.recv_timeout(SYNC) {
                synced.sync();
            }
        })?;
        Ok(Running {
            started,
            store,
            lanes,
            lane_threads,
            gauges,
            live,
            done,
            reports: Vec::new(),
            follow,
            follow_thread,
            commit,
            commit_thread,
        })
    }

    /// Tells the lanes to stop within `grace`; the second time, at once. Always `true`: they are stopping.
    fn stop(&self, is_stopping: bool, grace: Duration, ended: &mut Ended, why: Ended) -> bool {
        let grace = if is_stopping { Duration::ZERO } else { grace };
        if !is_stopping {
            *ended = why;
        }
        let deadline = self.started.elapsed() + grace;
        for lane in &self.lanes {
            let _ = lane.send(Event::Stop(deadline));
        }
        true
    }

    fn progress(&self) -> Progress {
        let sum = |value: fn(&LaneGauges) -> u64| self.gauges.iter().map(|gauge| value(gauge)).sum();
        Progress { total: sum(|gauge| gauge.total.load(Ordering::Relaxed)), settled: sum(LaneGauges::settled) }
    }

    fn finish(mut self) -> Result<Report, RunError> {
        // Both end on a closed channel too; an error means that they have ended.
        let _ = self.follow.send(FollowEvent::Stop);
        let _ = self.commit.send(());
        let unreadable = self.follow_thread.join();
        let threads = self.lane_threads.into_iter().chain([self.commit_thread]);
        // All of them are waited for, whatever the first says.
        let broken = threads.map(JoinHandle::join).filter(Result::is_err).count();
        self.store.sync();
        let (Ok(unreadable), 0, true) = (unreadable, broken, self.reports.len() == self.lanes.len()) else {
            return Err(RunError::Broken);
        };
        self.reports.sort_by_key(|(index, _)| *index);
        Ok(Report { outputs: self.reports.into_iter().map(|(_, report)| report).collect(), unreadable })
    }
}

fn target(plan: &Plan, lane: mpsc::Sender<Event>) -> Target {
    Target { name: plan.name.clone(), takes: plan.frames.iter().map(Option::is_some).collect(), lane }
}

fn restore(rules: Vec<Rule>, budget: crate::guard::Budget, memory: &Memory) -> Admission {
    let mut admission = Admission::new(rules, budget);
    memory.values.iter().for_each(|(label, value)| admission.restore_value(label, value));
    memory.streams.iter().for_each(|labels| admission.restore_stream(labels));
    admission
}

/// What tells this machine's files from those of another one.
fn machine_id(store: &Store) -> Vec<u8> {
    // Once a substitute is in use it stays: names depend on it.
    if let Some(id) = store.with_memory(|memory| memory.machine.clone()) {
        return id;
    }
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if !id.trim().is_empty() {
        return id.trim().as_bytes().to_vec();
    }
    let id: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(16).collect();
    store.append([Entry::Machine(id.clone())]);
    id
}

/// How many files may be open: as many as the system allows, less what connections and the state need.
fn file_capacity() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused at worst; then the limit is what it was.
    let _ = setrlimit(Resource::Nofile, limit);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit - limit / 8).unwrap_or(usize::MAX).saturating_sub(64).max(8)
}
