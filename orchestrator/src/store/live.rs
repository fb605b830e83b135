//! What is kept in memory of the runs that go on: whom to tell that one is over, who was heard of when, and what waits
//! for another attempt. All of it can be made again from the tables, and from silence; moments are those of the
//! monotonic clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use armada_protocol::{Incarnation, RunId, Stop};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::bounds::Bounds;

/// What is known of the runs that go on, beside what is stored.
#[derive(Default)]
pub(super) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Arc<Live>>>,
}

/// What is known of a run.
pub(super) struct Live {
    pub(super) stop: watch::Sender<Option<Stop>>,
    /// Told when there may be something to put on a queue.
    pub(super) wake: Notify,
    /// When which process of an agent was last heard of.
    heard: Mutex<HashMap<Incarnation, Instant>>,
    /// Jobs that wait for another attempt, and until when.
    delays: Mutex<Delays>,
    pub(super) bounds: Bounds,
}

impl Default for Live {
    fn default() -> Self {
        let (heard, delays, bounds) = (Mutex::default(), Mutex::default(), Bounds::default());
        Self { stop: watch::Sender::new(None), wake: Notify::new(), heard, delays, bounds }
    }
}

impl LiveRuns {
    pub(super) fn of(&self, run: RunId) -> Arc<Live> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default().clone()
    }

    pub(super) fn forget(&self, run: RunId) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Live {
    /// Has the agents told to stop, unless they were.
    pub(super) fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert(stop);
            is_first
        });
        self.wake.notify_one();
    }

    /// The run has ended: nothing of it is waited for any more.
    pub(super) fn end(&self, stop: Stop) {
        self.stop(stop);
        *self.delays() = Delays::default();
        self.heard().clear();
    }

    /// Takes back that the agents are to stop: the run goes on.
    pub(super) fn go_on(&self) {
        self.stop.send_replace(None);
        *self.delays() = Delays::default();
        self.heard().clear();
        self.wake.notify_one();
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, HashMap<Incarnation, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn delays(&self) -> MutexGuard<'_, Delays> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hear(&self, by: Incarnation) {
        self.heard().insert(by, Instant::now());
    }
}

/// Jobs that wait for their time, in its order.
#[derive(Default)]
pub(super) struct Delays {
    order: BTreeSet<(Instant, Uuid)>,
    times: HashMap<Uuid, Instant>,
}

impl Delays {
    /// Has a job wait until then.
    pub(super) fn insert(&mut self, job: Uuid, due: Instant) {
        self.remove(job);
        self.times.insert(job, due);
        self.order.insert((due, job));
    }

    /// It waits no more.
    pub(super) fn remove(&mut self, job: Uuid) {
        if let Some(due) = self.times.remove(&job) {
            self.order.remove(&(due, job));
        }
    }

    /// When the next one's time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Those whose time has come, as many as this at most. They wait until they are removed.
    pub(super) fn due(&self, now: Instant, limit: usize) -> Vec<(Instant, Uuid)> {
        self.order.iter().take_while(|(due, _)| *due <= now).take(limit).copied().collect()
    }

    /// It waits no more, unless that is for another time by now.
    pub(super) fn end(&mut self, due: Instant, job: Uuid) {
        if self.times.get(&job) == Some(&due) {
            self.remove(job);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// How long jobs wait for their next attempts: twice as long each time, and never quite the same.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Before the second attempt.
    pub first: Duration,
    /// Before any.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl Retry {
    pub(super) fn after(&self, attempts: i64) -> Duration {
        let delays = ExponentialBuilder::new().with_min_delay(self.first).with_max_delay(self.longest).with_jitter();
        let before = usize::try_from(attempts.saturating_sub(1)).unwrap_or_default().min(64);
        delays.without_max_times().build().nth(before).unwrap_or(self.longest)
    }
}
