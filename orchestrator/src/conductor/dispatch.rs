//! Dispatch: every job of a run into the store and on to the queue, a batch at a time, from wherever it was left off.
//!
//! A batch is stored before it is published, and said to be on the queue after: a server that dies in between finds
//! jobs that wait, and publishes them. One batch is stored while the one before it is published.

use armada_project::Configuration;
use armada_protocol::{Job, ProtocolError, RunId};
use serde_json::value::RawValue;

use super::{Conductor, ConductorError, Shared};

/// How many jobs are stored and published together: the window of confirms.
const BATCH: usize = 4_000;

impl Conductor {
    /// Dispatches what is not dispatched yet.
    pub(super) async fn dispatch(&self, run: RunId, configuration: &Configuration) -> Result<(), ConductorError> {
        let Shared { store, .. } = &*self.shared;
        let mut next = store.next_place(run, configuration.number_of_jobs()).await?;
        let mut messages = configuration.jobs();
        let mut line = Vec::new();
        let mut place = 0;
        let mut stored: Vec<Job> = Vec::new();
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH {
                let Some(written) = messages.write_line(&mut line) else { break };
                written?;
                if place >= next {
                    let message: Box<RawValue> = serde_json::from_slice(&line)?;
                    batch.push(Job { uuid: run.job(place), index: place, message });
                    next = place + 1;
                }
                line.clear();
                place += 1;
            }
            let is_last = batch.is_empty();
            let (published, added) = tokio::join!(self.publish(run, stored), async {
                if batch.is_empty() { Ok(()) } else { store.add_jobs(run, batch.clone()).await }
            });
            published?;
            added?;
            if is_last {
                store.dispatched(run).await?;
                return Ok(());
            }
            stored = batch;
        }
    }

    /// Puts jobs that are stored on the queue, however long it takes until that takes them.
    pub(super) async fn publish(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ConductorError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let Shared { store, queue, .. } = &*self.shared;
        let places = jobs.iter().map(|job| job.index).collect();
        let mut wait = super::AGAIN;
        while let Err(error) = queue.publish(run, jobs.clone()).await {
            match &error {
                // A broker that was killed may have forgotten a queue that is very new.
                ProtocolError::NotFound(_) => queue.declare(run).await?,
                ProtocolError::Unavailable(_) | ProtocolError::Closed | ProtocolError::Io(_) => {}
                _ => return Err(error.into()),
            }
            tracing::warn!(%run, %error, "jobs could not be put on the queue: trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(super::AGAIN_LONGEST);
        }
        store.queued(run, places).await?;
        Ok(())
    }
}
