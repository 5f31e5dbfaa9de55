//! The labels of pods, from a kubelet or an API server: asked for in the background, and taken where they are there.
//! Nothing ever waits for them.

use super::alarm;
use crate::{
    discover::{docker::Labels, pods::labels_of_pods},
    send::{Download, Http},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The list is asked for this often …
const EVERY: Duration = Duration::from_secs(30);
/// … and at most this often when a pod is met that is not on it.
const PAUSE: Duration = Duration::from_secs(5);
/// A longer list is none: some 1,000 pods with all that is said of them.
const MAX_LIST: u64 = 16 << 20;

/// The pods of one list.
pub(super) struct Pods {
    /// By uid, as of the last list.
    known: Arc<Mutex<HashMap<Box<str>, Labels>>>,
    /// Uids that have been asked for: one that nobody knows is asked for once.
    asked: Mutex<HashSet<Box<str>>>,
    wakes: SyncSender<()>,
}

impl Pods {
    /// Asks for the first list. The thread ends with this.
    pub(super) fn start(source: &str, http: Http, wanted: Arc<BTreeSet<String>>) -> io::Result<Pods> {
        Pods::start_at_pace(source, http, wanted, EVERY, PAUSE)
    }

    fn start_at_pace(
        source: &str,
        http: Http,
        wanted: Arc<BTreeSet<String>>,
        every: Duration,
        pause: Duration,
    ) -> io::Result<Pods> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let known = Arc::new(Mutex::default());
        let (wakes, woken) = sync_channel(1);
        let (source, found) = (source.to_owned(), Arc::clone(&known));
        thread::Builder::new().name("pods".into()).spawn(move || {
            let mut failing = false;
            loop {
                let asked = Instant::now();
                // What wakes it from here on may not be on this list.
                while woken.try_recv().is_ok() {}
                let list = Download::start(&runtime, &http, MAX_LIST).map_err(|stall| stall.text);
                let list = list.and_then(|list| labels_of_pods(list, &wanted).map_err(|error| error.to_string()));
                let is_failing = list.is_err();
                match list {
                    Ok(list) => *lock(&found) = list,
                    // What was known is still the best that there is.
                    Err(why) if !failing => alarm::pods_unknown(&source, &why),
                    Err(_) => {}
                }
                if failing && !is_failing {
                    alarm::pods_known_again(&source);
                }
                failing = is_failing;
                if !wait(&woken, asked, every, pause) {
                    return;
                }
            }
        })?;
        Ok(Pods { known, asked: Mutex::default(), wakes })
    }

    /// The labels of a pod, when they are known.
    pub(super) fn labels(&self, uid: &str) -> Option<Labels> {
        let found = lock(&self.known).get(uid).cloned();
        if found.is_none() && lock(&self.asked).insert(uid.into()) {
            self.wake();
        }
        found
    }

    /// These are all pods that there are: a pod's folder is there some time before its first container writes, and
    /// that is when to ask for its labels.
    pub(super) fn note<'u>(&self, uids: impl Iterator<Item = &'u str>) {
        let uids: HashSet<Box<str>> = uids.map(Into::into).collect();
        let mut asked = lock(&self.asked);
        let known = lock(&self.known);
        let has_new = uids.iter().any(|uid| !known.contains_key(uid) && !asked.contains(uid));
        *asked = uids;
        if has_new {
            self.wake();
        }
    }

    fn wake(&self) {
        // Full: it is awake.
        let _ = self.wakes.try_send(());
    }
}

/// Until the next list is due. `false`: nobody wants it any more.
fn wait(woken: &Receiver<()>, asked: Instant, every: Duration, pause: Duration) -> bool {
    match woken.recv_timeout(every.saturating_sub(asked.elapsed())) {
        Ok(()) => thread::sleep(pause.saturating_sub(asked.elapsed())),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    true
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is half done in there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
