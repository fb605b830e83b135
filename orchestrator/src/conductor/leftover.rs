//! What is left on the queue of a run whose jobs have ended.
//!
//! Whoever knows a run may put jobs on its queue. They count from the moment that they are taken from there: so it can be
//! decided in one transaction, without asking the queue, that every job has ended, and one that was put there just then must not
//! go with the queue. It is taken as an agent takes it; the ledger knows it, or enters it as one that nobody has done, which
//! makes the run a failed one with something to retry. Who cancels a run wants no more of what is on its queue.

use std::time::Duration;

use armada_protocol::job::FOREIGN_PLACES;
use armada_protocol::{Incarnation, JobStore as _, ProtocolError, RunId};
use tokio::time::timeout;

use super::{Conductor, ConductorError, Shared};

/// Who takes these jobs: the number that no agent has.
const NOBODY: u32 = u32::MAX;
/// How long a queue that has something may take to deliver it, and how often it may.
const DELIVERY: Duration = Duration::from_secs(1);
const DELIVERIES: u32 = 30;

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
        for _ in 0..DELIVERIES {
            while let Ok(next) = timeout(DELIVERY, consumer.next()).await {
                let Some(delivery) = next? else { return Ok(()) };
                // The run's own jobs were in the ledger before they were on the queue.
                if run.place(delivery.job.uuid) >= FOREIGN_PLACES {
                    store.start(run, &delivery.job, nobody).await?;
                }
                consumer.acknowledge(delivery.tag).await?;
            }
            if !has_leftover().await? {
                return Ok(());
            }
        }
        Err(ProtocolError::Unavailable(format!("the queue of run {run} has jobs, and does not deliver them")).into())
    }
}
