//! What goes wrong with a server's surroundings while runs go on: each with what must not be lost or doubled by it.

use std::time::Duration;

use armada_protocol::JobQueue as _;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_tests::processes::{self, Process};
use armada_tests::serve::{Serve, bundle};
use armada_tests::servers::{postgresql, rabbitmq};
use reqwest::multipart::{Form, Part};
use serde_json::json;

fn waiting(url: &str, run: &str) -> Option<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { RabbitQueue::new(url, "test").unwrap().waiting(run.parse().unwrap()).await.unwrap() })
}

#[test]
fn a_broker_that_is_killed_during_dispatch_has_every_job_in_the_end() {
    let mut broker = rabbitmq("");
    let mut serve = Serve::start(&["--agents", "external"], &[("ARMADA_AMQP_URL", broker.url())]);
    let jobs = 20_000;
    let options = json!({"mode": "local", "agents": 1, "jobs": jobs, "set": {"KINDS": []}});
    let bundle = Part::bytes(std::fs::read(bundle()).unwrap()).file_name("lifecycle.armada");
    let form = Form::new().part("bundle", bundle).text("options", options.to_string());
    let (status, answer) = serve.start_run(form, None);
    assert_eq!(status, 202, "{answer}");
    let run = answer["run_id"].as_str().unwrap();
    serve.until(run, "its dispatch has begun", |run| run["jobs"].as_u64() > Some(0));
    assert_eq!(serve.run(run)["status"], "Dispatching", "there are too few jobs for this test");
    // So new a queue would be forgotten with the broker, and declared again: what it had is then published anew.
    broker.control(&["eval", "mnesia:sync_log()."]);
    broker.kill();
    std::thread::sleep(Duration::from_secs(1));
    broker.restart();
    serve.until(run, "every job is dispatched", |run| run["status"] == "Running");
    assert_eq!(serve.run(run)["jobs"], jobs);
    serve.until(run, "every job is on the queue", |_| {
        serve.get(&format!("/api/jobs?run_uuid={run}&status=Waiting"))["items"].as_array().unwrap().is_empty()
    });
    // Some may be there twice: the ledger knows.
    assert!(waiting(broker.url(), run) >= Some(jobs));
    let (status, _) = serve.ask("POST", &format!("/api/runs/{run}/cancel"), None);
    assert!((200..300).contains(&status));
    let ended = serve.until_ended(run);
    assert_eq!((&ended["status"], &ended["jobs_cancelled"]), (&json!("Cancelled"), &json!(jobs)));
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn a_job_that_kills_every_agent_is_given_up_and_buried_until_it_is_retried() {
    let broker = rabbitmq("");
    let mut serve = Serve::start(&[], &[("ARMADA_AMQP_URL", broker.url())]);
    let run = serve.launch(&["wait", "quick", "quick"], 1);
    for _ in 0..3 {
        serve.until_ready(&run, 1);
        let agent = serve.processes().into_iter().find(Process::is_agent).unwrap();
        processes::signal(agent.id, "KILL");
        serve.until(&run, "the agent's death is known", |_| serve.jobs(&run)[0]["job_status"] != "Running");
    }
    let ended = serve.until_ended(&run);
    assert_eq!((&ended["jobs_failed"], &ended["jobs_succeeded"]), (&json!(1), &json!(2)));
    let poison = &serve.jobs(&run)[0];
    assert_eq!((&poison["attempts"], &poison["error"]["cause"]), (&json!(3), &json!("agent")));
    let counts = broker.control(&["list_queues", "--quiet", "name", "messages"]);
    assert!(counts.contains(&format!("{run}.dead\t1")), "{counts}");
    assert!(!counts.contains(&format!("{run}\t")), "{counts}");
    let (status, answer) = serve.ask("POST", &format!("/api/runs/{run}/retry"), None);
    assert!((200..300).contains(&status), "{answer}");
    serve.until_ready(&run, 1);
    let counts = broker.control(&["list_queues", "--quiet", "name", "messages"]);
    assert!(!counts.contains(&format!("{run}.dead")), "{counts}");
    serve.ask("POST", &format!("/api/runs/{run}/cancel"), None);
    assert_eq!(serve.until_ended(&run)["status"], "Cancelled");
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn an_outcome_waits_for_a_store_that_is_away_and_nothing_is_done_twice() {
    let mut store = postgresql();
    let mut serve = Serve::start(&[], &[("ARMADA_STORE_URL", store.url())]);
    let run = serve.launch(&["slow", "slow", "quick", "quick"], 2);
    serve.until_ready(&run, 2);
    store.kill();
    // Both jobs end meanwhile.
    std::thread::sleep(Duration::from_secs(15));
    store.restart();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    assert!(serve.jobs(&run).iter().all(|job| job["attempts"] == 1), "{:#?}", serve.jobs(&run));
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn a_job_waits_for_room_for_its_artifacts_and_keeps_all_of_them() {
    let mut serve = Serve::start(&[], &[]);
    // As on a full disk, nothing can be written there.
    let artifacts = serve.data().join("artifacts");
    std::fs::create_dir_all(&artifacts).unwrap();
    std::fs::remove_dir(&artifacts).unwrap();
    std::fs::write(&artifacts, "").unwrap();
    let run = serve.launch(&["artifact"], 1);
    serve.until_ready(&run, 1);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(serve.jobs(&run)[0]["job_status"], "Running");
    std::fs::remove_file(&artifacts).unwrap();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    let job = serve.jobs(&run)[0]["job_uuid"].as_str().unwrap().to_owned();
    let kept = serve.get(&format!("/api/jobs/{job}/artifacts"));
    assert_eq!((&kept["items"][0]["name"], &kept["items"][0]["size"]), (&json!("page.txt"), &json!(5)));
    let (status, text) = serve.ask("GET", &format!("/api/jobs/{job}/artifacts/page.txt"), None);
    assert_eq!((status, text), (200, json!("hello")));
    assert_eq!(serve.jobs(&run)[0]["attempts"], 1);
    assert_eq!(serve.end(), Some(0));
}
