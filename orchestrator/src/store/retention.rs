//! What is forgotten: runs that ended long enough ago, and what was told of others as long ago.
//!
//! A run may have a million events. They go in small parts, each a write of its own, so that nobody who reports
//! something waits for long meanwhile.

use armada_protocol::RunId;
use futures::FutureExt as _;
use jiff::Timestamp;

use super::runs::refuse_live;
use super::views::parsed;
use super::{Store, StoreError};

/// How many rows go at once.
const AT_ONCE: i64 = 2_000;
/// How many runs are looked for at once.
const RUNS: i64 = 100;

/// What a run has most of, with the innermost first.
const PARTS: [&str; 4] = [
    "DELETE FROM reports WHERE seq IN (SELECT seq FROM reports WHERE run_id = $1 AND kind = 'event' ORDER BY seq LIMIT $2)",
    "DELETE FROM reports WHERE seq IN (SELECT seq FROM reports WHERE run_id = $1 AND kind = 'log' ORDER BY seq LIMIT $2)",
    "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes WHERE run_id = $1 ORDER BY seq LIMIT $2)",
    "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE run_id = $1 ORDER BY seq LIMIT $2)",
];

impl Store {
    /// Runs that ended before this moment, the oldest first: not all of them, if they are many.
    pub(crate) async fn runs_ended_before(&self, moment: Timestamp) -> Result<Vec<RunId>, StoreError> {
        let select = "SELECT id FROM runs WHERE finished_at < $1 AND status IN ('Succeeded', 'Failed', 'Cancelled') ORDER BY \
                      finished_at LIMIT $2";
        let select = sqlx::query(select).bind(moment.as_millisecond()).bind(RUNS);
        select.fetch_all(self.pool()).await?.iter().map(|row| Ok(RunId(parsed(row, "id")?))).collect()
    }

    /// Forgets what was told before this moment: who comes back to watch after that long has to look at how things are.
    pub(crate) async fn forget_changes_before(&self, moment: Timestamp) -> Result<(), StoreError> {
        loop {
            let deleted = self
                .writer
                .write(move |book| {
                    async move {
                        let delete = "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes ORDER BY seq LIMIT $1) AND \
                                      at < $2";
                        let delete = sqlx::query(delete).bind(AT_ONCE).bind(moment.as_millisecond());
                        Ok(delete.execute(book.sql()).await?.rows_affected())
                    }
                    .boxed()
                })
                .await?;
            if deleted < AT_ONCE.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// Removes what a run that has ended has, in parts.
    pub(super) async fn empty_run(&self, run: RunId) -> Result<(), StoreError> {
        for part in PARTS {
            loop {
                let deleted = self
                    .writer
                    .write(move |book| {
                        async move {
                            refuse_live(book, run).await?;
                            let delete = sqlx::query(part).bind(run.to_string()).bind(AT_ONCE);
                            Ok(delete.execute(book.sql()).await?.rows_affected())
                        }
                        .boxed()
                    })
                    .await?;
                if deleted < AT_ONCE.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(())
    }
}
