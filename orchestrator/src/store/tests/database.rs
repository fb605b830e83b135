//! Databases that refuse something, are away, or do not get to say that they have done it.

use std::time::Duration;

use armada_protocol::{Cause, Incarnation, JobStore as _, Next, Outcome, ProtocolError};
use armada_tests::cut::Cut;
use armada_tests::servers::postgresql;
use futures::FutureExt as _;

use super::{begin, open, running};
use crate::store::{Store, StoreError, may_pass};

pub(super) async fn what_breaks_a_rule_of_the_tables_is_refused_and_what_is_away_may_come_back(store: Store) {
    let insert = async |seq: i64, status: Option<&'static str>| {
        let insert = "INSERT INTO runs (id, seq, project, status, created_at) VALUES ($1, $2, '', $3, 0)";
        let id = uuid::Uuid::new_v4().to_string();
        let writing = store.writer.write(move |book| {
            async move {
                sqlx::query(insert).bind(id).bind(seq).bind(status).execute(book.sql()).await?;
                Ok(())
            }
            .boxed()
        });
        writing.await
    };
    insert(1, Some("Running")).await.unwrap();
    for refused in [insert(1, Some("Running")).await, insert(2, None).await] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)) && !error.may_pass(), "{error:?}");
        assert!(matches!(ProtocolError::from(error), ProtocolError::Invalid(_)));
    }
    let nonsense = sqlx::query("SELECT nothing").execute(store.pool()).await.map_err(StoreError::from);
    assert!(!nonsense.unwrap_err().may_pass());
    store.pool.close().await;
    for away in [insert(3, Some("Running")).await, store.answers().await] {
        let error = away.unwrap_err();
        assert!(error.may_pass(), "{error:?}");
        assert!(matches!(ProtocolError::from(error), ProtocolError::Unavailable(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_unheard_is_known() {
    let server = postgresql();
    let cut = Cut::before(server.port());
    let mut url: url::Url = server.url().parse().unwrap();
    url.set_port(Some(cut.port())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(url.to_string(), folder.path()).await;
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let mut watch = store.watch();
    cut.lose_the_answer_to(b"COMMIT");
    let again = Outcome::failed(Cause::Retry, "not yet");
    assert_eq!(store.finish(attempt, again).await.unwrap(), Next::Later);
    assert_eq!(watch.try_recv().unwrap().kind, "job", "those who watch hear of it");
    let mut waiting = Vec::new();
    while waiting.is_empty() {
        store.wait_for_work(run, Duration::from_millis(10)).await;
        store.end_delays(run).await.unwrap();
        waiting = store.waiting_jobs(run, false, 10).await.unwrap();
    }
    assert_eq!(waiting[0].uuid, run.job(0), "its time comes");
    store.close().await;
}

#[test]
fn what_a_database_says_of_itself_may_pass() {
    let busy_full_or_ending =
        ["5", "517", "6", "10", "778", "13", "14", "53100", "57P01", "57P03", "08006", "40001", "55P03"];
    let broken_rules = ["19", "787", "2067", "1", "11", "23505", "23503", "22001", "42P01", "28P01", ""];
    assert!(busy_full_or_ending.iter().all(|code| may_pass(code)));
    assert!(!broken_rules.iter().any(|code| may_pass(code)));
}
