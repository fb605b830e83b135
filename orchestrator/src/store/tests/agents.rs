//! Agents that die, end or are silent, and what becomes of their jobs.

use std::sync::Arc;
use std::time::Duration;

use armada_protocol::{AgentState, Cause, Incarnation, JobStore as _, Next, Outcome, Start};

use super::{begin, job, job_view, running, success};
use crate::store::Store;
use crate::store::views::{JobStatus, RunStatus};

pub(super) async fn the_job_of_an_agent_that_died_goes_to_another(store: Store) {
    let run = running(&store, 1).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    let lost = begin(&store, run, 0, a).await;
    let died = AgentState::Died { message: "killed".to_owned() };
    store.agent(run, a, died).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    assert_eq!(begin(&store, run, 0, b).await.number, 2);
    assert_eq!(store.finish(lost, success()).await.unwrap(), Next::Ended);
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Running);
    // Another process of the same agent has nothing of the one before it.
    let again = Incarnation::new(1);
    assert_eq!(begin(&store, run, 0, again).await.number, 3);
    store.agent_is_gone(run, again, "silent".to_owned()).await.unwrap();
    let view = job_view(&store, run, 0).await;
    assert_eq!((view.job_status, view.attempts), (JobStatus::Failed, 3));
    assert!(view.error.unwrap().get().contains("agent 1 died during attempt 3"));
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Draining);
}

pub(super) async fn a_job_that_was_handed_back_has_all_its_attempts(store: Store) {
    let run = running(&store, 1).await;
    for agent in 0..5 {
        let by = Incarnation::new(agent);
        begin(&store, run, 0, by).await;
        store.agent(run, by, AgentState::Closed).await.unwrap();
        assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    }
    let attempt = begin(&store, run, 0, Incarnation::new(9)).await;
    assert_eq!(store.finish(attempt, Outcome::failed(Cause::Retry, "once")).await.unwrap(), Next::Later);
}

pub(super) async fn an_agent_that_is_never_heard_of_again_loses_its_job(store: Store) {
    let run = running(&store, 1).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    begin(&store, run, 0, a).await;
    // The server is started again: nobody was heard of, and who was alive may still be.
    let again = Store { live: Arc::default(), lease: Duration::from_millis(20), ..store };
    assert_eq!(again.start(run, &job(run, 0), b).await.unwrap(), Start::Elsewhere);
    while !again.silent_agents(run).await.unwrap().contains(&a) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    again.agent_is_gone(run, a, "silent".to_owned()).await.unwrap();
    assert_eq!(begin(&again, run, 0, b).await.number, 2);
}

pub(super) async fn who_is_gone_takes_nothing_of_the_process_after_it(store: Store) {
    let run = running(&store, 2).await;
    let (old, new) = (Incarnation::new(0), Incarnation::new(0));
    store.agent(run, old, AgentState::Open).await.unwrap();
    begin(&store, run, 0, old).await;
    store.agent(run, new, AgentState::Open).await.unwrap();
    begin(&store, run, 1, new).await;
    store.agent_is_gone(run, old, "silent".to_owned()).await.unwrap();
    store.agent(run, old, AgentState::Closed).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    assert_eq!(job_view(&store, run, 1).await.job_status, JobStatus::Running);
    assert_eq!(store.start(run, &job(run, 1), Incarnation::new(1)).await.unwrap(), Start::Elsewhere);
    let select = sqlx::query_scalar("SELECT state FROM agents WHERE run_id = $1").bind(run.to_string());
    let states: Vec<String> = select.fetch_all(store.pool()).await.unwrap();
    assert_eq!(states, ["Open"]);
}
