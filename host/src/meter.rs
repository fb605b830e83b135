//! CPU time: how long a guest really computes.
//!
//! A guest runs inside the polls of one future, so its CPU time is what the thread's CPU clock says each of these polls
//! took. Waiting for the host, or for a processor that others use, costs it nothing. The budget is looked at on every
//! tick of the epoch, in the middle of whatever the guest computes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has computed so far, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// The CPU time of one guest. All in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    budget: AtomicU64,
    spent: AtomicU64,
    /// The thread's time when the poll in progress began.
    since: AtomicU64,
}

impl CpuMeter {
    /// Starts counting anew, towards this budget.
    pub(crate) fn begin(&self, budget: Duration) {
        self.budget.store(u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        self.since.store(thread_time(), Ordering::Relaxed);
    }

    /// Whether the budget is used up. Asked from inside the poll in progress.
    pub(crate) fn is_exhausted(&self) -> bool {
        let current = thread_time().saturating_sub(self.since.load(Ordering::Relaxed));
        self.spent.load(Ordering::Relaxed).saturating_add(current) > self.budget.load(Ordering::Relaxed)
    }

    /// Counts the time of this future's polls.
    pub(crate) fn count<F: Future>(self: &Arc<Self>, work: F) -> Metered<F> {
        Metered { meter: self.clone(), work: Box::pin(work) }
    }
}

/// A future whose polls are counted.
pub(crate) struct Metered<F> {
    meter: Arc<CpuMeter>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let before = thread_time();
        self.meter.since.store(before, Ordering::Relaxed);
        let result = self.work.as_mut().poll(context);
        self.meter.spent.fetch_add(thread_time().saturating_sub(before), Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_costs_nothing_and_computing_does() {
        let meter = Arc::new(CpuMeter::default());
        meter.begin(Duration::from_millis(20));
        meter.count(tokio::time::sleep(Duration::from_millis(60))).await;
        assert!(meter.spent.load(Ordering::Relaxed) < 20_000_000, "{meter:?}");
        meter
            .count(async {
                let until = thread_time() + 30_000_000;
                while thread_time() < until {}
                assert!(meter.is_exhausted());
            })
            .await;
        assert!(meter.spent.load(Ordering::Relaxed) >= 30_000_000, "{meter:?}");
    }
}
