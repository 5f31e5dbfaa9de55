//! Threads that do for the follow thread what takes long: unpacking, to know what a file is, and saving what was
//! deleted. They end with their channels.

use super::{alarm, follow::FollowEvent, gauges::FollowGauges};
use crate::{
    discover::Hints,
    model::FileName,
    tail::{Inspection, Saving, Spool},
};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel},
    },
    thread,
};

/// What there is to do in the spool.
#[derive(Debug)]
enum SpoolJob {
    Save(Saving),
    Remove(FileName),
}

/// Both threads.
pub(super) struct Helpers {
    inspections: Sender<Inspection>,
    spool: Sender<SpoolJob>,
    /// Answers of the spool that are still to come.
    saving: usize,
}

impl Helpers {
    pub(super) fn start(
        spool: Spool,
        answers: &SyncSender<FollowEvent>,
        gauges: Arc<FollowGauges>,
    ) -> io::Result<Helpers> {
        let (inspections, to_inspect) = channel::<Inspection>();
        let (spool_jobs, to_spool) = channel();
        let answer = answers.clone();
        thread::Builder::new().name("inspect".into()).spawn(move || {
            for inspection in to_inspect {
                // The follow thread is gone: so is the question.
                if answer.send(FollowEvent::Inspected(Box::new(inspection.run()))).is_err() {
                    return;
                }
            }
        })?;
        let answer = answers.clone();
        thread::Builder::new().name("spool".into()).spawn(move || run_spool(spool, &to_spool, &answer, &gauges))?;
        Ok(Helpers { inspections, spool: spool_jobs, saving: 0 })
    }

    pub(super) fn inspect(&self, inspection: Inspection) {
        // The thread ends only with this sender.
        let _ = self.inspections.send(inspection);
    }

    pub(super) fn save(&mut self, saving: Saving) {
        self.saving += usize::from(self.spool.send(SpoolJob::Save(saving)).is_ok());
    }

    pub(super) fn unsave(&self, name: FileName) {
        let _ = self.spool.send(SpoolJob::Remove(name));
    }

    pub(super) fn note_saved(&mut self) {
        self.saving = self.saving.saturating_sub(1);
    }

    pub(super) fn is_saving(&self) -> bool {
        self.saving > 0
    }
}

fn run_spool(mut spool: Spool, jobs: &Receiver<SpoolJob>, answer: &SyncSender<FollowEvent>, gauges: &FollowGauges) {
    let show = |spool: &Spool| gauges.spool_bytes.store(spool.bytes(), Ordering::Relaxed);
    show(&spool);
    for job in jobs {
        match job {
            SpoolJob::Remove(name) => {
                spool.remove(name);
                show(&spool);
            }
            SpoolJob::Save(saving) => {
                let saved = spool.save(&saving);
                show(&spool);
                if answer.send(FollowEvent::Saved(saved)).is_err() {
                    return;
                }
            }
        }
    }
}

/// File system notifications, as far as they can be had; `overflow` is set when there are more than can wait.
pub(super) fn watch(sender: SyncSender<FollowEvent>, overflow: Arc<AtomicBool>) -> Option<Hints> {
    let hints = Hints::new(move |hint| {
        if sender.try_send(FollowEvent::Hint(hint)).is_err() {
            overflow.store(true, Ordering::Release);
        }
    });
    hints.map_err(|error| alarm::unwatchable(Path::new("/"), &error)).ok()
}
