//! A ledger that is waited for: what it cannot take now, because its store is away or the way to it is cut, it is asked
//! again.
//!
//! Everything that is asked of a ledger can be asked twice (attempts belong to an incarnation, reports are numbered,
//! outcomes to an attempt), so asking again loses nothing and doubles nothing. Whoever asks waits meanwhile: an agent
//! does not take another job before the outcome of the last one is stored.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::{
    AgentState, Attempt, Incarnation, Job, JobStore, Next, Outcome, ProtocolError, Report, RunId, Start, Stop,
};

/// A [`JobStore`] that is asked again for as long as it is unavailable, up to a limit.
pub struct Patient {
    jobs: Arc<dyn JobStore>,
    patience: Duration,
}

impl Patient {
    /// Asks this ledger again for as long as this.
    pub fn new(jobs: Arc<dyn JobStore>, patience: Duration) -> Self {
        Self { jobs, patience }
    }

    async fn ask<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T, ProtocolError>
    where
        F: Future<Output = Result<T, ProtocolError>>,
    {
        let (mut backoff, begun) = (Backoff::new(), Instant::now());
        loop {
            match ask().await {
                Err(error @ ProtocolError::Unavailable(_)) if begun.elapsed() < self.patience => {
                    tracing::warn!(%error, "{what} could not be told: trying again");
                    backoff.wait().await;
                }
                answered => return answered,
            }
        }
    }
}

#[async_trait]
impl JobStore for Patient {
    async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
        self.ask("what the agent does", || self.jobs.agent(run, by, state.clone())).await
    }

    /// The next one is told soon enough.
    async fn alive(&self, run: RunId, by: Incarnation) -> Result<(), ProtocolError> {
        self.jobs.alive(run, by).await
    }

    async fn start(&self, run: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError> {
        self.ask("the start of a job", || self.jobs.start(run, job, by)).await
    }

    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        self.ask("what a job reports", || self.jobs.report(attempt, first, reports.clone())).await
    }

    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
        self.ask("the outcome of a job", || self.jobs.finish(attempt, outcome.clone())).await
    }

    async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError> {
        self.ask("whether the run is over", || self.jobs.stopped(run)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::embedded::EmbeddedJobStore;
    use crate::{Cause, Ledger as _, RunOptions};

    /// A ledger that is away every other time, after it has done what it was asked or before.
    struct Flickering {
        ledger: EmbeddedJobStore,
        asked: std::sync::atomic::AtomicU32,
    }

    impl Flickering {
        async fn flicker<T>(&self, answer: impl Future<Output = Result<T, ProtocolError>>) -> Result<T, ProtocolError> {
            let away = || Err(ProtocolError::Unavailable("away".to_owned()));
            match self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 {
                0 => away(),
                1 => answer.await.and_then(|_| away()),
                _ => answer.await,
            }
        }
    }

    #[async_trait]
    impl JobStore for Flickering {
        async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
            self.flicker(self.ledger.agent(run, by, state)).await
        }
        async fn alive(&self, run: RunId, by: Incarnation) -> Result<(), ProtocolError> {
            self.ledger.alive(run, by).await
        }
        async fn start(&self, run: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError> {
            self.flicker(self.ledger.start(run, job, by)).await
        }
        async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
            self.flicker(self.ledger.report(attempt, first, reports)).await
        }
        async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
            self.flicker(self.ledger.finish(attempt, outcome)).await
        }
        async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError> {
            self.flicker(self.ledger.stopped(run)).await
        }
    }

    fn patient(patience: Duration) -> (Arc<Flickering>, Patient) {
        let jobs = Arc::new(Flickering { ledger: EmbeddedJobStore::default(), asked: Default::default() });
        (jobs.clone(), Patient::new(jobs, patience))
    }

    #[tokio::test]
    async fn what_is_asked_again_is_done_once() {
        let run = RunId::new();
        let (jobs, patient) = patient(Duration::from_secs(60));
        let (changes, _heard) = mpsc::channel(100);
        let options = RunOptions { attempts_per_job: 1, artifacts: None, changes };
        jobs.ledger.open(run, options).await.unwrap();
        let message = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
        let (job, by) = (Job { uuid: run.job(0), index: 0, message }, Incarnation::new(0));
        let Start::Attempt(attempt) = patient.start(run, &job, by).await.unwrap() else { panic!() };
        assert_eq!(attempt.number, 1);
        let outcome = Outcome::failed(Cause::Failed, "no");
        assert_eq!(patient.finish(attempt, outcome).await.unwrap(), Next::Ended);
        assert_eq!(patient.start(run, &job, by).await.unwrap(), Start::Ended);
    }

    #[tokio::test]
    async fn patience_ends() {
        let (jobs, patient) = patient(Duration::ZERO);
        jobs.asked.store(0, std::sync::atomic::Ordering::Relaxed);
        let ended = patient.agent(RunId::new(), Incarnation::new(0), AgentState::Open).await;
        assert!(matches!(ended, Err(ProtocolError::Unavailable(_))));
    }
}
