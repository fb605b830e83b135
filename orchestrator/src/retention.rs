//! Forgets what is older than it is to be kept, for as long as the server goes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use armada_protocol::RunId;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::conductor::Conductor;
use crate::inputs::remove_unused_components;
use crate::store::{Store, StoreError};

/// How often it is looked for what is too old.
const LOOK: Duration = Duration::from_secs(600);
/// By how much more or less than the monotonic clock the wall clock may move from one look to the next.
const DRIFT: Duration = Duration::from_secs(60);
/// How long nothing is removed after the wall clock has moved by more than that: somebody may put it right again.
const DOUBT: Duration = Duration::from_secs(3600);

/// Removes components that no run needs any more, and, if they are not kept for ever, runs once they have ended for so
/// long, and what was told of others before; until the server ends.
pub(crate) async fn keep(
    store: Store,
    conductor: Conductor,
    data: PathBuf,
    keep: Option<Duration>,
    ending: CancellationToken,
) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut clock = Clock { looked: (Instant::now(), Timestamp::now()), doubted_until: None };
    while ending.run_until_cancelled(look.tick()).await.is_some() {
        let now = Timestamp::now();
        if !clock.is_believed(Instant::now(), now) {
            tracing::warn!(%now, "the clock has jumped: nothing old is removed for an hour");
            continue;
        }
        if let Some(keep) = keep {
            match ending.run_until_cancelled(forget(&store, &conductor, keep, now)).await {
                None => return,
                Some(Ok(0)) => {}
                Some(Ok(runs)) => tracing::info!(runs, "runs were removed that ended longer ago than they are kept"),
                Some(Err(error)) => tracing::warn!(%error, "old runs could not be looked for; it is tried again"),
            }
        }
        let data = data.clone();
        match tokio::task::spawn_blocking(move || remove_unused_components(&data)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(components)) => tracing::info!(components, "components were removed that no run was launched with"),
            Ok(Err(error)) => tracing::warn!(%error, "unused components could not be looked for; it is tried again"),
            Err(error) => tracing::error!(%error, "the task that removes unused components failed"),
        }
    }
}

/// The wall clock, as far as it is believed. What it says at the start is.
struct Clock {
    /// What both clocks said at the last look.
    looked: (Instant, Timestamp),
    doubted_until: Option<Instant>,
}

impl Clock {
    /// Whether it has gone on as the monotonic clock has, for long enough.
    fn is_believed(&mut self, instant: Instant, time: Timestamp) -> bool {
        let (last_instant, last_time) = std::mem::replace(&mut self.looked, (instant, time));
        let expected = last_time.checked_add(instant.saturating_duration_since(last_instant));
        if expected.is_ok_and(|expected| time.duration_since(expected).unsigned_abs() > DRIFT) {
            self.doubted_until = instant.checked_add(DOUBT);
        }
        self.doubted_until.is_none_or(|until| instant >= until)
    }
}

/// Removes what is too old now. Says how many runs that were.
async fn forget(store: &Store, conductor: &Conductor, keep: Duration, now: Timestamp) -> Result<u64, StoreError> {
    let Ok(oldest) = now.checked_sub(keep) else { return Ok(0) };
    let mut removed = 0;
    loop {
        let runs: Vec<RunId> = store.runs_ended_before(oldest).await?;
        let before = removed;
        for run in runs {
            match conductor.delete(run).await {
                Ok(()) => removed += 1,
                // It does not keep the others from being removed.
                Err(error) => tracing::warn!(%run, %error, "an old run could not be removed; it is tried again"),
            }
        }
        if removed == before {
            store.forget_changes_before(oldest).await?;
            return Ok(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::rig::Rig;
    use crate::store::foreign_runs::ReportedEvent;
    use crate::store::queries::{Paging, RunFilter};
    use crate::store::views::JobStatus;

    #[test]
    fn a_clock_that_has_jumped_is_believed_once_it_has_gone_on_for_long_enough() {
        let (begun, time) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut clock = Clock { looked: (begun, time), doubted_until: None };
        let mut believed = |after: u64, jump: i64| {
            let seconds = SignedDuration::from_secs(i64::try_from(after).unwrap() + jump);
            clock.is_believed(begun + Duration::from_secs(after), time + seconds)
        };
        let (steady, day) = (20, 86_400);
        assert!(believed(600, 0) && believed(1200, steady));
        assert!(!believed(1800, day) && !believed(2400, day));
        assert!(!believed(3000, -day), "it was set again");
        assert!(!believed(6000, -day));
        assert!(believed(6600, -day) && believed(7200, -day));
    }

    #[tokio::test]
    async fn runs_that_ended_too_long_ago_are_forgotten_and_others_stay() {
        let rig = Rig::embedded().await;
        let Rig { conductor, store, .. } = &rig;
        let (old, live, recent) = (RunId::new(), RunId::new(), RunId::new());
        for run in [old, live, recent] {
            store.report_run(run, None).await.unwrap();
            let job = store.report_job(run, None, JobStatus::Running).await.unwrap().job_uuid;
            for event in 0..3 {
                let (content, time) = (format!("{event}"), Timestamp::now());
                store.report_event(ReportedEvent { job, level: "info", content, time }).await.unwrap();
            }
            if run != live {
                store.report_job_status(job, JobStatus::Success).await.unwrap();
            }
        }
        let hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
        for update in [
            "UPDATE runs SET finished_at = $1 WHERE id = $2",
            "UPDATE runs SET created_at = $1 WHERE id = $2",
            "UPDATE changes SET at = $1 WHERE run_id = $2",
        ] {
            sqlx::query(update).bind(hour_ago).bind(old.to_string()).execute(store.pool()).await.unwrap();
        }
        let paging = Paging { size: 10, ..Paging::default() };
        let now = Timestamp::now();
        assert_eq!(forget(store, conductor, Duration::from_secs(7_200), now).await.unwrap(), 0);
        assert_eq!(forget(store, conductor, Duration::from_secs(1_800), now).await.unwrap(), 1);
        let left = store.list_runs(RunFilter::default(), paging).await.unwrap();
        let left: Vec<_> = left.items.iter().map(|run| RunId(run.run_uuid)).collect();
        assert_eq!(left, [recent, live]);
        assert!(
            store.changes_after(0, Some(old.0), 10).await.unwrap().iter().all(|change| change.kind == "run_deleted")
        );
        assert_eq!(store.changes_after(0, Some(live.0), 10).await.unwrap().len(), 6);
        let rows = sqlx::query("SELECT seq FROM reports WHERE run_id = $1").bind(old.to_string());
        assert!(rows.fetch_all(store.pool()).await.unwrap().is_empty());
        rig.close().await;
    }
}
