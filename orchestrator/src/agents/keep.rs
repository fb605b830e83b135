//! Keeping an agent going: it is started again when it ends before its run does, for as long as that comes to
//! something.
//!
//! It makes no difference here whether an agent is a process or a task: both have lives, which end with a reason.

use std::time::Duration;

use armada_protocol::{JobStore, ProtocolError, RunId};
use tokio_util::sync::CancellationToken;

/// How many times in a row an agent may end without having taken any job before it is given up. One that dies in a job
/// may be started as often as jobs have attempts.
const FRUITLESS_STARTS: u32 = 3;
/// How long to wait before starting an agent again: twice this, and twice as long each time.
const RESTART: Duration = Duration::from_millis(100);
/// How long to wait before a ledger that is away is asked again.
const AWAY: Duration = Duration::from_secs(1);

/// How a life of an agent ended.
pub(crate) struct Life {
    /// It has taken a job.
    pub(crate) has_worked: bool,
    /// The next life would end in the same way.
    pub(crate) is_hopeless: bool,
    pub(crate) reason: String,
}

/// Waits until a run is over, through whatever happens to its ledger.
pub(crate) async fn run_is_over(jobs: &dyn JobStore, run: RunId) {
    while let Err(ProtocolError::Unavailable(error)) = jobs.stopped(run).await {
        tracing::warn!(%run, %error, "whether the run is over is not known now");
        tokio::time::sleep(AWAY).await;
    }
}

/// Waits until the agents of a run are to end.
pub(crate) async fn is_over(jobs: &dyn JobStore, run: RunId, shutdown: &CancellationToken) {
    tokio::select! {
        () = run_is_over(jobs, run) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Keeps an agent going until this is over, which is told to the life that goes on then. Gives the reason if the agent
/// had to be given up before.
pub(crate) async fn keep<L: Future<Output = Life>>(
    index: u32,
    over: impl Future<Output = ()>,
    live: impl Fn(CancellationToken) -> L,
) -> Result<(), String> {
    tokio::pin!(over);
    let told = CancellationToken::new();
    let mut fruitless = 0;
    loop {
        let life = live(told.clone());
        tokio::pin!(life);
        let Life { has_worked, is_hopeless, reason } = tokio::select! {
            biased;
            () = &mut over => {
                told.cancel();
                life.await;
                return Ok(());
            }
            life = &mut life => life,
        };
        if has_worked {
            fruitless = 0;
        }
        fruitless += 1;
        if is_hopeless || fruitless >= FRUITLESS_STARTS {
            return Err(reason);
        }
        tracing::info!(agent = index, %reason, "starting the agent again");
        tokio::select! {
            () = tokio::time::sleep(RESTART * 2_u32.saturating_pow(fruitless)) => {}
            () = &mut over => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Keeps an agent whose lives take a job or not, and that is told to end in the one after them.
    async fn kept(worked: &[bool]) -> (Result<(), String>, usize) {
        let (lives, over) = (AtomicUsize::new(0), CancellationToken::new());
        let kept = keep(0, over.cancelled(), |told| {
            let life = lives.fetch_add(1, Ordering::Relaxed);
            let over = &over;
            async move {
                match worked.get(life) {
                    Some(&has_worked) => {
                        Life { has_worked, is_hopeless: false, reason: format!("the end of life {life}") }
                    }
                    None => {
                        over.cancel();
                        told.cancelled().await;
                        Life { has_worked: false, is_hopeless: false, reason: "told".to_owned() }
                    }
                }
            }
        });
        (kept.await, lives.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn an_agent_that_has_worked_may_die_as_often_as_it_likes() {
        let (kept, lives) = kept(&[false, true, true, true, false]).await;
        assert_eq!((kept, lives), (Ok(()), 6));
    }

    #[tokio::test]
    async fn an_agent_that_never_works_is_given_up() {
        let (kept, lives) = kept(&[false; 10]).await;
        assert_eq!((kept, lives), (Err("the end of life 2".to_owned()), 3));
    }
}
