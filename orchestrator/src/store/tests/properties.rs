//! That the rules of attempts hold through any order of events, and not only in those that somebody thought of.

use armada_protocol::{AgentState, Attempt, Cause, Incarnation, JobStore as _, Outcome, Start};
use proptest::prelude::*;

use super::{job, job_view, open, running, success};
use crate::store::Store;
use crate::store::views::RunStatus;

#[derive(Clone, Debug)]
enum Step {
    Start { job: u64, agent: u32 },
    Finish { held: usize, retry: bool, well: bool },
    Die { agent: u32 },
    Close { agent: u32 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..4, 0_u32..3).prop_map(|(job, agent)| Step::Start { job, agent }),
        4 => (any::<prop::sample::Index>(), any::<bool>(), any::<bool>())
            .prop_map(|(held, retry, well)| Step::Finish { held: held.index(64), retry, well }),
        1 => (0_u32..3).prop_map(|agent| Step::Die { agent }),
        1 => (0_u32..3).prop_map(|agent| Step::Close { agent }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is delivered, said twice, said late or lost: each job ends once, its attempts are numbered without
    /// gaps, and the counts of the run are those of its jobs.
    #[test]
    fn every_job_ends_once_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let url = Store::file_url(&folder.path().join("store.db"));
            let mut store = open(url.clone(), folder.path()).await;
            let run = running(&store, 4).await;
            let mut agents: Vec<Incarnation> = (0..3).map(Incarnation::new).collect();
            let mut held: Vec<Attempt> = Vec::new();
            let mut ends = std::collections::HashMap::new();
            for step in steps {
                match step {
                    Step::Start { job: index, agent } => {
                        let by = agents[agent as usize];
                        if let Start::Attempt(attempt) = store.start(run, &job(run, index), by).await.unwrap() {
                            held.push(attempt);
                        }
                    }
                    Step::Finish { held: which, retry, well } => {
                        if held.is_empty() { continue }
                        let attempt = held[which % held.len()];
                        let cause = if retry { Cause::Retry } else { Cause::Failed };
                        let outcome = if well { success() } else { Outcome::failed(cause, "no") };
                        store.finish(attempt, outcome).await.unwrap();
                    }
                    Step::Die { agent } => {
                        let died = AgentState::Died { message: "killed".to_owned() };
                        store.agent(run, agents[agent as usize], died).await.unwrap();
                        agents[agent as usize] = Incarnation::new(agent);
                    }
                    Step::Close { agent } => {
                        store.agent(run, agents[agent as usize], AgentState::Closed).await.unwrap();
                        agents[agent as usize] = Incarnation::new(agent);
                    }
                    Step::Restart => {
                        store.close().await;
                        store = open(url.clone(), folder.path()).await;
                    }
                }
                for index in 0..4 {
                    let view = job_view(&store, run, index).await;
                    if view.job_status.has_ended() {
                        let end = (view.job_status, view.attempts, view.finished_at);
                        assert_eq!(*ends.entry(index).or_insert(end), end, "a job ends once");
                    } else {
                        assert!(!ends.contains_key(&index), "what has ended stays so");
                    }
                    let select = sqlx::query_scalar("SELECT attempt FROM attempts WHERE job_id = $1 ORDER BY attempt");
                    let attempts: Vec<i64> =
                        select.bind(run.job(index).to_string()).fetch_all(store.pool()).await.unwrap();
                    assert_eq!(attempts, (1..=i64::try_from(view.attempts).unwrap()).collect::<Vec<_>>());
                }
                let view = store.run(run).await.unwrap();
                let ended = view.jobs_succeeded + view.jobs_failed + view.jobs_cancelled;
                assert_eq!(ended, ends.len() as u64);
                assert_eq!(view.status == RunStatus::Draining, ended == 4);
            }
            store.close().await;
        });
    }
}
