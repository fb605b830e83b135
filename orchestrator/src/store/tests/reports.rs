//! What is told of attempts and of runs: reports, artifacts and changes.

use armada_protocol::report::{Artifact, Event, EventLevel, LogLevel, LogLine};
use armada_protocol::{Incarnation, JobStore, Report};

use super::{begin, grant, running, success};
use crate::store::Store;

pub(super) async fn reports_and_artifacts_are_kept_while_the_attempt_is_open(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let event = |content: &str| {
        Report::Event(Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            level: EventLevel::Success,
            content: content.to_owned(),
            attachment: None,
        })
    };
    let artifact = |name: &str, bytes: &[u8]| {
        Report::Artifact(Artifact { name: name.into(), media_type: "text/plain".into(), bytes: bytes.to_vec() })
    };
    let reports = vec![event("one"), artifact("a.txt", b"old"), artifact("a.txt", b"newer"), event("two\0")];
    JobStore::report(&store, attempt, 0, reports.clone()).await.unwrap();
    // The answer got lost: it is said again.
    JobStore::report(&store, attempt, 0, reports).await.unwrap();
    assert!(JobStore::report(&store, attempt, 4, vec![artifact("../a", b"")]).await.is_err());
    store.finish(attempt, success()).await.unwrap();
    JobStore::report(&store, attempt, 4, vec![event("late")]).await.unwrap();
    let select = sqlx::query_scalar("SELECT content FROM reports WHERE job_id = $1 ORDER BY seq");
    let told: Vec<String> = select.bind(attempt.job.to_string()).fetch_all(store.pool()).await.unwrap();
    assert_eq!(told, ["one", "two\u{fffd}"]);
    let path = store.artifacts_of(run.0, 0).join("a.txt");
    assert_eq!(std::fs::read(path).unwrap(), b"newer");
    assert_eq!(std::fs::read_dir(store.artifacts_of(run.0, 0)).unwrap().count(), 1);
}

pub(super) async fn an_attempt_reports_no_more_than_its_run_allows(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let artifact = |name: &str, bytes: usize| {
        Report::Artifact(Artifact { name: name.into(), media_type: "text/plain".into(), bytes: vec![7; bytes] })
    };
    let line = |bytes: usize| {
        let (time, level) = (jiff::Timestamp::UNIX_EPOCH, LogLevel::Info);
        Report::Log(LogLine { time, level, text: "x".repeat(bytes) })
    };
    let report = async |first, reports| JobStore::report(&store, attempt, first, reports).await;
    let most = usize::try_from(grant().limits().artifact_bytes_per_job).unwrap();
    report(0, vec![artifact("a", most / 2)]).await.unwrap();
    // Another version takes the place of the one before.
    report(1, vec![artifact("a", most)]).await.unwrap();
    assert!(report(2, vec![artifact("b", 1)]).await.is_err());
    assert!(report(2, vec![line(1 << 20)]).await.is_err(), "a line as long as that");
    assert!(report(u64::MAX, vec![line(1)]).await.is_err(), "as many reports as that");
    let mut taken = 0;
    while report(2 + 64 * taken, vec![line(60 << 10); 64]).await.is_ok() {
        taken += 1;
        assert!(taken < 100, "it never ends");
    }
    assert!(taken > 0);
    store.finish(attempt, success()).await.unwrap();
}

pub(super) async fn changes_are_numbered_in_their_order(store: Store) {
    let mut watch = store.watch();
    let run = running(&store, 3).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    store.finish(attempt, success()).await.unwrap();
    let select = sqlx::query_scalar("SELECT seq FROM changes ORDER BY seq");
    let stored: Vec<i64> = select.fetch_all(store.pool()).await.unwrap();
    let mut told = Vec::new();
    while let Ok(change) = watch.try_recv() {
        told.push(i64::try_from(change.seq).unwrap());
    }
    assert_eq!(stored, told);
    assert!(told.is_sorted_by(|a, b| a < b) && told.len() > 4);
}
