//! What is read of the store: lists in pages, and single things.
//!
//! A list stays fast however long it is: rows are found by an index in the order in which they are shown, and where a filter
//! has none, a bounded number of rows is looked at and the cursor says where to go on. Newest comes first, as in the system that
//! Armada succeeds; after a cursor, what is newer comes in its order, so that a list can be followed.

use std::collections::HashMap;

use armada_protocol::RunId;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::runs::{clean, whole};
use super::statement::Statement;
use super::views::{
    AGENT_COLUMNS, ARTIFACT_COLUMNS, ATTEMPT_COLUMNS, AgentView, ArtifactView, AttemptView, JOB_COLUMNS, JobStatus,
    JobView, REPORT_COLUMNS, RUN_COLUMNS, ReportView, RunStatus, RunView, count, parsed,
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

/// A value that is compared.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(i64),
}

/// What an index does not find.
#[derive(Clone, Debug)]
enum Filter {
    Equal(&'static str, Value),
    AtLeast(&'static str, i64),
    Below(&'static str, i64),
    /// One of the columns has the text, whatever the case of its ASCII letters.
    Contains(&'static [&'static str], String),
}

/// A list: rows of a table in the order of a key, by an index on `(equal…, key)`.
struct List {
    table: &'static str,
    columns: &'static str,
    key: &'static str,
    /// Whether the greatest key comes first.
    is_newest_first: bool,
    equal: Vec<(&'static str, Value)>,
    filters: Vec<Filter>,
}

impl List {
    fn of_runs(filter: RunFilter) -> Self {
        let mut list = Self::new("runs", RUN_COLUMNS, "seq");
        list.equal.extend(filter.status.map(|status| ("status", Value::Text(status.word().to_owned()))));
        list.between("created_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["project", "reason"], text)));
        list
    }

    fn of_jobs(filter: JobFilter) -> Self {
        let mut list = Self::new("jobs", JOB_COLUMNS, "seq");
        let status = filter.status.map(|status| Value::Text(status.word().to_owned()));
        let agent = filter.agent.map(|agent| Value::Number(agent.into()));
        match (filter.run, status, agent) {
            (Some(run), Some(status), agent) => {
                list.equal = vec![("run_id", Value::Text(run.to_string())), ("status", status)];
                list.filters.extend(agent.map(|agent| Filter::Equal("agent", agent)));
            }
            (Some(run), None, agent) => {
                list.equal.push(("run_id", Value::Text(run.to_string())));
                list.equal.extend(agent.map(|agent| ("agent", agent)));
            }
            (None, status, agent) => {
                list.filters.extend(status.map(|status| Filter::Equal("status", status)));
                list.filters.extend(agent.map(|agent| Filter::Equal("agent", agent)));
            }
        }
        list.between("created_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["message", "error"], text)));
        list
    }

    fn of_reports(filter: ReportFilter) -> Self {
        let mut list = Self::new("reports", REPORT_COLUMNS, "seq");
        list.equal.push(match filter.of {
            ReportsOf::Run(run) => ("run_id", Value::Text(run.to_string())),
            ReportsOf::Job(job) => ("job_id", Value::Text(job.to_string())),
        });
        list.equal.push(("kind", Value::Text(filter.kind.to_owned())));
        list.filters.extend(filter.level.map(|level| Filter::Equal("level", Value::Text(level))));
        list.between("reported_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["content"], text)));
        list
    }

    fn of_agents(run: Uuid) -> Self {
        let mut list = Self::new("agents", AGENT_COLUMNS, "agent");
        list.is_newest_first = false;
        list.equal.push(("run_id", Value::Text(run.to_string())));
        list
    }

    fn of_attempts(job: Uuid) -> Self {
        let mut list = Self::new("attempts", ATTEMPT_COLUMNS, "attempt");
        list.is_newest_first = false;
        list.equal.push(("job_id", Value::Text(job.to_string())));
        list
    }

    fn new(table: &'static str, columns: &'static str, key: &'static str) -> Self {
        Self { table, columns, key, is_newest_first: true, equal: Vec::new(), filters: Vec::new() }
    }

    fn between(&mut self, column: &'static str, from: Option<i64>, to: Option<i64>) {
        self.filters.extend(from.map(|from| Filter::AtLeast(column, from)));
        self.filters.extend(to.map(|to| Filter::Below(column, to)));
    }

    /// `SELECT … FROM … WHERE` what an index finds.
    fn select(&self, columns: &str, paging: &Paging) -> Statement {
        let mut statement = Statement::new(&format!("SELECT {columns} FROM {} WHERE 1 = 1", self.table));
        for (column, value) in &self.equal {
            statement.push(&format!(" AND {column} = "));
            bind(&mut statement, value);
        }
        for (than, number) in [(">", paging.after), ("<", paging.before)] {
            if let Some(number) = number {
                statement.push(&format!(" AND {} {than} ", self.key)).bind(whole(number));
            }
        }
        statement
    }

    fn order(&self, statement: &mut Statement, is_descending: bool, limit: u64, offset: u64) {
        let direction = if is_descending { "DESC" } else { "ASC" };
        statement.push(&format!(" ORDER BY {} {direction} LIMIT ", self.key)).bind(whole(limit));
        if offset > 0 {
            statement.push(" OFFSET ").bind(whole(offset));
        }
    }

    fn filter(&self, statement: &mut Statement) {
        for filter in &self.filters {
            match filter {
                Filter::Equal(column, value) => bind(statement.push(&format!(" AND {column} = ")), value),
                Filter::AtLeast(column, least) => drop(statement.push(&format!(" AND {column} >= ")).bind(*least)),
                Filter::Below(column, bound) => drop(statement.push(&format!(" AND {column} < ")).bind(*bound)),
                Filter::Contains(columns, text) => {
                    for (index, column) in columns.iter().enumerate() {
                        statement.push(if index == 0 { " AND (" } else { " OR " });
                        statement.push(&format!("LOWER({column}) LIKE LOWER(")).bind(pattern(text));
                        statement.push(") ESCAPE '\\'");
                    }
                    statement.push(")");
                }
            }
        }
    }

    /// Where the rows that are looked at end, and how many they are.
    fn edge(&self, paging: &Paging, is_descending: bool) -> Statement {
        let outermost = if is_descending { "MIN" } else { "MAX" };
        let mut looked_at = self.select(self.key, paging);
        self.order(&mut looked_at, is_descending, LOOKED_AT, 0);
        let before = format!("SELECT COALESCE({outermost}({}), 0) AS edge, COUNT(*) AS number FROM (", self.key);
        looked_at.wrap(&before, ") AS looked_at");
        looked_at
    }

    /// Only what is not behind the edge.
    fn within(&self, statement: &mut Statement, edge: i64, is_descending: bool) {
        let than = if is_descending { ">=" } else { "<=" };
        statement.push(&format!(" AND {} {than} ", self.key)).bind(edge);
    }

    fn page(&self, paging: &Paging, is_descending: bool, edge: Option<i64>) -> Statement {
        let mut statement = self.select(self.columns, paging);
        if let Some(edge) = edge {
            self.within(&mut statement, edge, is_descending);
        }
        self.filter(&mut statement);
        self.order(&mut statement, is_descending, paging.size + 1, paging.offset);
        statement
    }

    fn count(&self, edge: i64) -> Statement {
        let mut statement = self.select("COUNT(*) AS number", &Paging::default());
        self.within(&mut statement, edge, self.is_newest_first);
        self.filter(&mut statement);
        statement
    }
}

fn bind(statement: &mut Statement, value: &Value) {
    match value {
        Value::Text(text) => statement.bind(text.clone()),
        Value::Number(number) => statement.bind(*number),
    };
}

/// A text that is looked for, as LIKE takes it.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in clean(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
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
        let mut select = Statement::new("SELECT id FROM runs WHERE granted IS NOT NULL AND id = ");
        select.bind(run.to_string());
        Ok(select.query()?.fetch_optional(self.pool()).await?.is_some())
    }

    /// Jobs that have ended, in the order of their places, from a place on: as many as have about so many bytes of results,
    /// but one at least. Says from which place to go on; nothing when there are no more.
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
mod tests {
    use super::*;
    use crate::store::{Retry, StoreOptions};

    async fn open(url: String, folder: &tempfile::TempDir) -> Store {
        let (lease, retry) = (std::time::Duration::from_secs(30), Retry::default());
        Store::open(StoreOptions { url, artifacts: folder.path().join("artifacts"), lease, retry }).await.unwrap()
    }

    /// Every way in which a list can be asked for.
    fn lists() -> Vec<List> {
        let (run, job) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let text = Some("50%_\\ 'x'".to_owned());
        let (from, to) = (Some(1), Some(2));
        let mut lists = vec![List::of_agents(run), List::of_attempts(job)];
        for status in [None, Some(RunStatus::Failed)] {
            lists.push(List::of_runs(RunFilter { status, ..RunFilter::default() }));
            lists.push(List::of_runs(RunFilter { status, text: text.clone(), from, to }));
        }
        for (run, status, agent) in [
            (None, None, None),
            (None, Some(JobStatus::Failed), Some(1)),
            (Some(run), None, None),
            (Some(run), Some(JobStatus::Failed), None),
            (Some(run), None, Some(1)),
            (Some(run), Some(JobStatus::Failed), Some(1)),
        ] {
            lists.push(List::of_jobs(JobFilter { run, status, agent, ..JobFilter::default() }));
            lists.push(List::of_jobs(JobFilter { run, status, agent, text: text.clone(), from, to }));
        }
        for of in [ReportsOf::Run(run), ReportsOf::Job(job)] {
            let plain = ReportFilter { of, kind: "event", level: None, text: None, from: None, to: None };
            lists.push(List::of_reports(plain.clone()));
            lists.push(List::of_reports(ReportFilter {
                level: Some("info".to_owned()),
                text: text.clone(),
                from,
                to,
                ..plain
            }));
        }
        lists
    }

    fn statements(list: &List) -> Vec<Statement> {
        let mut statements = Vec::new();
        for (after, before) in [(None, None), (Some(5), None), (None, Some(5)), (Some(5), Some(9))] {
            let paging = Paging { offset: 10, size: 10, after, before };
            let is_descending = list.is_newest_first && after.is_none();
            statements.push(list.edge(&paging, is_descending));
            statements.push(list.page(&paging, is_descending, None));
            statements.push(list.page(&paging, is_descending, Some(3)));
        }
        statements.push(list.count(3));
        statements
    }

    #[tokio::test]
    async fn no_list_is_read_without_an_index_or_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(Store::file_url(&folder.path().join("store.db")), &folder).await;
        for list in lists() {
            for mut statement in statements(&list) {
                let sql = statement.sql().to_owned();
                statement.wrap("EXPLAIN QUERY PLAN ", "");
                for row in statement.query().unwrap().fetch_all(store.pool()).await.unwrap() {
                    let step: String = row.try_get("detail").unwrap();
                    let is_whole_table = step.starts_with(&format!("SCAN {}", list.table)) && !step.contains("USING");
                    assert!(!is_whole_table && !step.contains("TEMP B-TREE"), "{step}: {sql}");
                    for (column, _) in &list.equal {
                        let is_read = step.contains(&format!("{} USING", list.table));
                        // Jobs of an agent and a status are found by either.
                        let is_found = step.contains(&format!("{column}=?")) || step.contains("jobs_by_agent");
                        assert!(!is_read || is_found, "{step} leaves {column}: {sql}");
                    }
                }
            }
        }
        store.close().await;
    }

    async fn every_statement_is_taken(store: &Store) {
        for list in lists() {
            for statement in statements(&list) {
                let sql = statement.sql().to_owned();
                let read = statement.query().unwrap().fetch_all(store.pool()).await;
                assert!(read.is_ok(), "{:?}: {sql}", read.err());
            }
        }
        let (run, time) = (RunId::new(), jiff::Timestamp::UNIX_EPOCH);
        assert!(store.report_run(run, Some(time)).await.unwrap().1);
        assert!(!store.report_run(run, None).await.unwrap().1);
        let job = store.report_job(run, Some(3), JobStatus::Running).await.unwrap().job_uuid;
        let event =
            super::super::reported::ReportedEvent { job, level: "info", content: "50%_ \0 Done".to_owned(), time };
        let event = store.report_event(event).await.unwrap();
        store.report_job_status(job, JobStatus::Success).await.unwrap();
        assert_eq!(store.event(event.event_uuid).await.unwrap().event_content, "50%_ \u{fffd} Done");
        assert_eq!(store.job(job).await.unwrap().job_status, JobStatus::Success);
        assert_eq!(store.run(run).await.unwrap().status, RunStatus::Succeeded);
        let paging = Paging { size: 10, ..Paging::default() };
        for (text, expected) in [("50%_", 1), ("done", 1), ("\0", 1), ("5_%", 0)] {
            let (of, text) = (ReportsOf::Run(run.0), Some(text.to_owned()));
            let filter = ReportFilter { of, kind: "event", level: None, text, from: None, to: None };
            let page = store.list_reports(filter.clone(), paging).await.unwrap();
            assert_eq!((page.items.len(), page.total), (expected, expected as u64), "{filter:?}");
        }
        let page =
            store.list_runs(RunFilter { status: Some(RunStatus::Succeeded), ..RunFilter::default() }, paging).await;
        assert_eq!(page.unwrap().total, 1);
        assert_eq!(store.list_artifacts(job).await.unwrap().len(), 0);
        assert!(matches!(store.artifact(job, "x\0").await, Err(StoreError::NotFound(_))));
        let (results, next) = store.results(run.0, 0, 1).await.unwrap().unwrap();
        assert_eq!((results.len(), next), (1, 1));
        assert!(store.results(run.0, next, 1).await.unwrap().is_none());
        let changes = store.changes_after(0, Some(run.0), 100).await.unwrap();
        let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds, ["run", "job", "run", "report", "job", "run"]);
        assert!(changes.iter().all(|change| !change.body.is_empty()));
        store.delete_run(run).await.unwrap();
        assert!(matches!(store.job(job).await, Err(StoreError::NotFound(_))));
    }

    #[tokio::test]
    async fn sqlite_takes_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(Store::file_url(&folder.path().join("store.db")), &folder).await;
        every_statement_is_taken(&store).await;
        store.close().await;
    }

    #[tokio::test]
    async fn postgresql_takes_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        let server = armada_tests::servers::postgresql();
        let store = open(server.url().to_owned(), &folder).await;
        every_statement_is_taken(&store).await;
        store.close().await;
    }

    #[tokio::test]
    async fn a_filter_that_finds_nothing_near_says_where_to_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(Store::file_url(&folder.path().join("store.db")), &folder).await;
        let run = RunId::new();
        store.report_run(run, None).await.unwrap();
        let job = store.report_job(run, None, JobStatus::Running).await.unwrap().job_uuid;
        // One in a quarter of a million has the text.
        let insert = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 249999) INSERT INTO reports \
                      (seq, id, run_id, job_id, attempt, kind, level, content, reported_at) SELECT 1000 + i, printf('%08x-0000-0000-0000-000000000000', i), $1, \
                      $2, 1, 'event', 'info', CASE WHEN i = 7 THEN 'needle' ELSE 'hay' END, i FROM n";
        let insert = sqlx::query(insert).bind(run.to_string()).bind(job.to_string());
        insert.execute(store.pool()).await.unwrap();
        let (of, text) = (ReportsOf::Job(job), Some("needle".to_owned()));
        let filter = ReportFilter { of, kind: "event", level: None, text, from: None, to: None };
        let mut paging = Paging { size: 10, ..Paging::default() };
        let mut asked = 0;
        let found = loop {
            asked += 1;
            let page = store.list_reports(filter.clone(), paging).await.unwrap();
            assert!(!page.is_total_exact);
            if let Some(found) = page.items.first() {
                assert_eq!(page.next, None);
                break found.clone();
            }
            paging.before = Some(page.next.expect("there is more"));
        };
        assert_eq!((found.cursor, asked), (1_007, 3));
        let plain = ReportFilter { text: None, ..filter };
        let page = store.list_reports(plain, Paging { size: 10, ..Paging::default() }).await.unwrap();
        assert_eq!((page.total, page.is_total_exact), (LOOKED_AT, false));
        store.close().await;
    }
}
