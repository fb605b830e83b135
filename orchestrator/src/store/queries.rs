//! What is read of the store: lists in pages, and single things.
//!
//! A list stays fast however long it is: rows are found by an index in the order in which they are shown, and where a
//! filter has none, a bounded number of rows is looked at and the cursor says where to go on. Newest comes first, as in
//! the system that Armada succeeds; after a cursor, what is newer comes in its order, so that a list can be followed.

mod list;

use std::collections::HashMap;

use armada_protocol::RunId;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use self::list::List;
use super::runs::{clean, is_conducted, whole};
use super::statement::Statement;
use super::views::{
    ARTIFACT_COLUMNS, AgentView, ArtifactView, AttemptView, JOB_COLUMNS, JobStatus, JobView, REPORT_COLUMNS,
    ReportView, RunStatus, RunView, count, parsed,
};
use super::{Store, StoreError, StoredChange};

/// How many rows are counted, or looked at for what no index finds, and how far pages with numbers go.
pub(crate) const LOOKED_AT: u64 = 100_000;
/// What changes are about.
const KINDS: [&str; 6] = ["run", "agent", "job", "report", "artifact", "run_deleted"];
/// How many artifacts of a job are listed.
const ARTIFACTS: i64 = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paging {
    /// How many rows are before it.
    pub(crate) offset: u64,
    /// How many it has.
    pub(crate) size: u64,
    /// Only what is after this, in its order.
    pub(crate) after: Option<u64>,
    /// Only what is before this.
    pub(crate) before: Option<u64>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// How many there are in all, of those that were looked at.
    pub(crate) total: u64,
    /// Whether there may be more.
    pub(crate) is_total_exact: bool,
    /// Where to go on, if there is more.
    pub(crate) next: Option<u64>,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunFilter {
    pub(crate) status: Option<RunStatus>,
    /// In the name of the project or the reason of the end.
    pub(crate) text: Option<String>,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobFilter {
    pub(crate) run: Option<Uuid>,
    pub(crate) status: Option<JobStatus>,
    pub(crate) agent: Option<u32>,
    /// In the message or the error.
    pub(crate) text: Option<String>,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Whose reports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReportsOf {
    Run(Uuid),
    Job(Uuid),
}

/// Which reports.
#[derive(Clone, Debug)]
pub(crate) struct ReportFilter {
    pub(crate) of: ReportsOf,
    /// `event` or `log`.
    pub(crate) kind: &'static str,
    pub(crate) level: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

impl Store {
    /// Runs, the newest first.
    pub(crate) async fn list_runs(&self, filter: RunFilter, paging: Paging) -> Result<Page<RunView>, StoreError> {
        self.list(List::of_runs(filter), paging, |run: &RunView| run.cursor).await
    }

    /// Jobs, the newest first.
    pub(crate) async fn list_jobs(&self, filter: JobFilter, paging: Paging) -> Result<Page<JobView>, StoreError> {
        self.list(List::of_jobs(filter), paging, |job: &JobView| job.cursor).await
    }

    /// What was reported, the newest first.
    pub(crate) async fn list_reports(
        &self,
        filter: ReportFilter,
        paging: Paging,
    ) -> Result<Page<ReportView>, StoreError> {
        self.list(List::of_reports(filter), paging, |report: &ReportView| report.cursor).await
    }

    /// The agents of a run, by their numbers.
    pub(crate) async fn list_agents(&self, run: Uuid, paging: Paging) -> Result<Page<AgentView>, StoreError> {
        self.list(List::of_agents(run), paging, |agent: &AgentView| agent.agent).await
    }

    /// The attempts at a job, in their order.
    pub(crate) async fn list_attempts(&self, job: Uuid, paging: Paging) -> Result<Page<AttemptView>, StoreError> {
        self.list(List::of_attempts(job), paging, |attempt: &AttemptView| attempt.attempt).await
    }

    /// The artifacts of a job, by their names.
    pub(crate) async fn list_artifacts(&self, job: Uuid) -> Result<Vec<ArtifactView>, StoreError> {
        let mut select = Statement::new(&format!("SELECT {ARTIFACT_COLUMNS} FROM artifacts WHERE job_id = "));
        select.bind(job.to_string()).push(" ORDER BY name LIMIT ").bind(ARTIFACTS);
        Ok(select.query_as()?.fetch_all(self.pool()).await?)
    }

    /// An artifact.
    pub(crate) async fn artifact(&self, job: Uuid, name: &str) -> Result<ArtifactView, StoreError> {
        let mut select = Statement::new(&format!("SELECT {ARTIFACT_COLUMNS} FROM artifacts WHERE job_id = "));
        select.bind(job.to_string()).push(" AND name = ").bind(clean(name));
        let found = select.query_as()?.fetch_optional(self.pool()).await?;
        found.ok_or_else(|| StoreError::NotFound(format!("an artifact {name:?} of job {job}")))
    }

    /// A job.
    pub(crate) async fn job(&self, job: Uuid) -> Result<JobView, StoreError> {
        self.one("jobs", JOB_COLUMNS, "job", job).await
    }

    /// Something reported.
    pub(crate) async fn event(&self, report: Uuid) -> Result<ReportView, StoreError> {
        self.one("reports", REPORT_COLUMNS, "event", report).await
    }

    /// Whether a run is conducted here, and not reported by somebody else.
    pub(crate) async fn is_conducted(&self, run: RunId) -> Result<bool, StoreError> {
        is_conducted(self.pool(), run).await
    }

    /// Jobs that have ended, in the order of their places, from a place on: as many as have about so many bytes of
    /// results, but one at least. Says from which place to go on; nothing when there are no more.
    pub(crate) async fn results(
        &self,
        run: Uuid,
        from: u64,
        bytes: u64,
    ) -> Result<Option<(Vec<JobView>, u64)>, StoreError> {
        let ended = "run_id = $1 AND place >= $2 AND status IN ('Success', 'Failed', 'Cancelled')";
        // A length is as wide as the database likes.
        let sizes = format!(
            "SELECT place, CAST(COALESCE(LENGTH(result), 0) + COALESCE(LENGTH(error), 0) AS BIGINT) AS size FROM jobs \
             WHERE {ended} ORDER BY place LIMIT 200"
        );
        let sizes = sqlx::query(sqlx::AssertSqlSafe(sizes)).bind(run.to_string()).bind(whole(from));
        let (mut room, mut last) = (bytes, None);
        for row in sizes.fetch_all(self.pool()).await? {
            // What it is called in columns and quotes.
            let size = 256 + u64::try_from(row.try_get::<i64, _>("size")?).unwrap_or_default();
            if last.is_some() && size > room {
                break;
            }
            room = room.saturating_sub(size);
            last = Some(row.try_get::<i64, _>("place")?);
        }
        let Some(last) = last else { return Ok(None) };
        let select = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE {ended} AND place <= $3 ORDER BY place");
        let select = sqlx::query_as(sqlx::AssertSqlSafe(select)).bind(run.to_string()).bind(whole(from)).bind(last);
        Ok(Some((select.fetch_all(self.pool()).await?, count(last) + 1)))
    }

    /// What happened after a change, in order: so many changes at most.
    pub(crate) async fn changes_after(
        &self,
        after: u64,
        run: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<StoredChange>, StoreError> {
        let mut select = Statement::new("SELECT seq, run_id, kind, body FROM changes WHERE seq > ");
        select.bind(whole(after));
        if let Some(run) = run {
            select.push(" AND run_id = ").bind(run.to_string());
        }
        select.push(" ORDER BY seq LIMIT ").bind(whole(limit));
        let rows = select.query()?.fetch_all(self.pool()).await?;
        let mut changes = rows.iter().map(stored_change).collect::<Result<Vec<_>, _>>()?;
        let reports = |change: &&StoredChange| change.kind == "report";
        let (first, last) = (changes.iter().find(reports), changes.iter().rfind(reports));
        if let (Some(first), Some(last)) = (first, last) {
            let mut select = Statement::new(&format!("SELECT {REPORT_COLUMNS} FROM reports WHERE seq >= "));
            select.bind(whole(first.seq)).push(" AND seq <= ").bind(whole(last.seq));
            let views: Vec<ReportView> = select.query_as()?.fetch_all(self.pool()).await?;
            let views: HashMap<u64, ReportView> = views.into_iter().map(|view| (view.cursor, view)).collect();
            for change in &mut changes {
                if let Some(view) = views.get(&change.seq) {
                    change.body = serde_json::to_string(view)?.into();
                }
            }
        }
        Ok(changes)
    }

    /// Whether something that happened after a change may be kept no more: up to which one nothing is. Of a run that
    /// was removed, it is kept that it was.
    pub(crate) async fn forgotten_after(&self, after: u64, run: Option<Uuid>) -> Result<Option<u64>, StoreError> {
        // What is stored while this is asked is later than what is asked for.
        let last = self.last_seq();
        let first: Option<i64> = Statement::new("SELECT MIN(seq) AS seq FROM changes")
            .query()?
            .fetch_one(self.pool())
            .await?
            .try_get("seq")?;
        let forgotten = first.map_or(last, |first| count(first).saturating_sub(1));
        if forgotten <= after {
            return Ok(None);
        }
        let Some(run) = run else { return Ok(Some(forgotten)) };
        // The first that happens to a run is that it is there.
        let mut select = Statement::new("SELECT seq FROM runs WHERE id = ");
        select.bind(run.to_string());
        let run = select.query()?.fetch_optional(self.pool()).await?;
        let begun = run.map(|run| run.try_get("seq").map(count)).transpose()?;
        Ok(begun.is_none_or(|begun| begun <= forgotten).then_some(forgotten))
    }

    /// Whether the store answers.
    pub(crate) async fn answers(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").fetch_one(self.pool()).await?;
        Ok(())
    }

    /// How many runs, jobs and agents there are in each state. Of jobs that have ended, runs keep count, so only those
    /// of runs that go on are counted.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        const LIVE: &str = "('Pending', 'Dispatching', 'Running', 'Draining')";
        let runs = self.counted("SELECT status AS word, COUNT(*) AS number FROM runs GROUP BY status").await?;
        let jobs = format!(
            "SELECT status AS word, COUNT(*) AS number FROM jobs WHERE run_id IN (SELECT id FROM runs WHERE status IN \
             {LIVE}) AND status IN ('Waiting', 'Queued', 'Running') GROUP BY status"
        );
        let mut jobs = self.counted(&jobs).await?;
        for (word, column) in
            [("Success", "jobs_succeeded"), ("Failed", "jobs_failed"), ("Cancelled", "jobs_cancelled")]
        {
            let sum =
                format!("SELECT '{word}' AS word, CAST(COALESCE(SUM({column}), 0) AS BIGINT) AS number FROM runs");
            jobs.extend(self.counted(&sum).await?);
        }
        let agents = format!(
            "SELECT state AS word, COUNT(*) AS number FROM agents WHERE run_id IN (SELECT id FROM runs WHERE status IN \
             {LIVE}) GROUP BY state"
        );
        Ok(Counts { runs, jobs, agents: self.counted(&agents).await? })
    }

    async fn counted(&self, sql: &str) -> Result<HashMap<String, u64>, StoreError> {
        let rows = Statement::new(sql).query()?.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.try_get("word")?, count(row.try_get("number")?)))).collect()
    }

    async fn list<T>(&self, list: List, mut paging: Paging, key: impl Fn(&T) -> u64) -> Result<Page<T>, StoreError>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        paging.size = paging.size.clamp(1, 1_000);
        let is_descending = list.is_newest_first && paging.after.is_none();
        // What is counted is the whole list, wherever the page is.
        let all = self.edge(&list, &Paging::default(), list.is_newest_first).await?;
        let mut total = all.number;
        let mut edge = None;
        if !list.filters.is_empty() {
            total = if all.number == 0 {
                0
            } else {
                count(list.count(all.edge).query()?.fetch_one(self.pool()).await?.try_get("number")?)
            };
            let is_whole = paging.after.is_none() && paging.before.is_none();
            let looked_at = if is_whole { all } else { self.edge(&list, &paging, is_descending).await? };
            edge = (looked_at.number >= LOOKED_AT).then_some(looked_at.edge);
        }
        let select = list.page(&paging, is_descending, edge);
        let mut items: Vec<T> = select.query_as()?.fetch_all(self.pool()).await?;
        let size = usize::try_from(paging.size).unwrap_or(usize::MAX);
        let has_more = items.len() > size;
        items.truncate(size);
        let next = if has_more { items.last().map(key) } else { edge.map(count) };
        Ok(Page { items, total, is_total_exact: all.number < LOOKED_AT, next })
    }

    async fn edge(&self, list: &List, paging: &Paging, is_descending: bool) -> Result<Edge, StoreError> {
        let row = list.edge(paging, is_descending).query()?.fetch_one(self.pool()).await?;
        Ok(Edge { edge: row.try_get("edge")?, number: count(row.try_get("number")?) })
    }

    async fn one<T>(&self, table: &str, columns: &str, what: &str, id: Uuid) -> Result<T, StoreError>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let mut select = Statement::new(&format!("SELECT {columns} FROM {table} WHERE id = "));
        select.bind(id.to_string());
        let found = select.query_as()?.fetch_optional(self.pool()).await?;
        found.ok_or_else(|| StoreError::NotFound(format!("{what} {id}")))
    }
}

/// How many there are of what, by the words of their states.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) runs: HashMap<String, u64>,
    pub(crate) jobs: HashMap<String, u64>,
    pub(crate) agents: HashMap<String, u64>,
}

/// A change without what it says, if it is a report.
fn stored_change(row: &AnyRow) -> Result<StoredChange, StoreError> {
    let kind: String = row.try_get("kind")?;
    let body: Option<String> = row.try_get("body")?;
    let kind = KINDS.into_iter().find(|known| *known == kind).unwrap_or("other");
    Ok(StoredChange {
        seq: count(row.try_get("seq")?),
        run: parsed(row, "run_id")?,
        kind,
        body: body.unwrap_or_default().into(),
    })
}

/// Where the rows that are looked at end.
#[derive(Clone, Copy)]
struct Edge {
    edge: i64,
    number: u64,
}

#[cfg(test)]
mod tests;
