//! That every list is read by an index, in both databases, and what lists and single things hold.

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
        super::super::foreign_runs::ReportedEvent { job, level: "info", content: "50%_ \0 Done".to_owned(), time };
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
    let page = store.list_runs(RunFilter { status: Some(RunStatus::Succeeded), ..RunFilter::default() }, paging).await;
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
