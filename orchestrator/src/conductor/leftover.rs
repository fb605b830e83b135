//! What is left on the queue of a run whose jobs have ended.
//!
//! Whoever knows a run may put jobs on its queue. They count from the moment that they are taken from there: so it can
//! be decided in one transaction, without asking the queue, that every job has ended, and one that was put there just
//! then must not go with the queue. It is taken as an agent takes it; the ledger knows it, or enters it as one that
//! nobody has done, which makes the run a failed one with something to retry. Who cancels a run wants no more of what
//! is on its queue.

use std::time::Duration;

use armada_protocol::job::FOREIGN_PLACES;
use armada_protocol::{Incarnation, JobStore as _, ProtocolError, RunId};
use tokio::time::{Instant, timeout};

use super::{Conductor, ConductorError, Shared};

/// Who takes these jobs: the number that no agent has.
const NOBODY: u32 = u32::MAX;
/// How long a queue that has something may take to deliver it.
const DELIVERY: Duration = Duration::from_secs(1);
/// How long, and how many, messages are taken: somebody who goes on putting them there does not keep the run from
/// ending.
const LONGEST: Duration = Duration::from_secs(30);
const MOST: u32 = 100_000;

impl Conductor {
    /// Has the ledger settle what is on the queue of a run that takes no more jobs.
    pub(super) async fn settle_leftover(&self, run: RunId) -> Result<(), ConductorError> {
        let Shared { store, queue, .. } = &*self.shared;
        let has_leftover = async || match queue.waiting(run).await {
            Ok(waiting) => Ok(waiting.is_some_and(|waiting| waiting > 0)),
            // It was never there, or is gone already.
            Err(ProtocolError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        };
        if !has_leftover().await? {
            return Ok(());
        }
        let nobody = Incarnation::new(NOBODY);
        let mut consumer = queue.consume(run, NOBODY).await?;
        let (begun, mut taken) = (Instant::now(), 0);
        while taken < MOST && begun.elapsed() < LONGEST {
            let delivery = match timeout(DELIVERY, consumer.next()).await {
                Ok(next) => next?,
                Err(_) if has_leftover().await? => continue,
                Err(_) => return Ok(()),
            };
            let Some(delivery) = delivery else { return Ok(()) };
            // The run's own jobs were in the ledger before they were on the queue.
            if run.place(delivery.job.uuid) >= FOREIGN_PLACES {
                store.start(run, &delivery.job, nobody).await?;
            }
            consumer.acknowledge(delivery.tag).await?;
            taken += 1;
        }
        tracing::warn!(%run, taken, "the queue of a run that has ended does not become empty: the rest goes with it");
        Ok(())
    }
}
