//! What goes wrong with a server's surroundings while runs go on: each with what must not be lost or doubled by it.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use armada_protocol::Broker as _;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_tests::clock::Clock;
use armada_tests::processes::{self, Process};
use armada_tests::serve::{Serve, bundle};
use armada_tests::servers::{postgresql, rabbitmq};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

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

/// How many bytes are in the files that a process has open and that have no name.
fn bytes_in_nameless_files(process: u32) -> u64 {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().filter_map(Result::ok);
    let nameless = open
        .map(|entry| entry.path())
        .filter(|path| std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().ends_with(" (deleted)")));
    nameless.filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

#[test]
fn what_a_job_reports_while_the_store_is_away_waits_on_the_agents_disk_and_is_stored_once_in_order() {
    let mut store = postgresql();
    let mut serve = Serve::start(&[], &[("ARMADA_STORE_URL", store.url())]);
    let run = serve.launch(&["reports"], 1);
    serve.until_ready(&run, 1);
    store.kill();
    let agent = serve.processes().into_iter().find(Process::is_agent).unwrap();
    let spilled = || (bytes_in_nameless_files(agent.id) > 1 << 20).then_some(());
    processes::wait_for("reports on the agent's disk", Duration::from_secs(60), spilled);
    store.restart();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    let job = serve.jobs(&run).remove(0);
    assert_eq!(job["attempts"], 1);
    let path = format!("/api/jobs/{}", job["job_uuid"].as_str().unwrap());
    let all = |path: &str, of: &str| -> Vec<Value> {
        let items = serve.get(path)["items"].as_array().unwrap().clone();
        items.into_iter().rev().map(|item| item[of].clone()).collect()
    };
    let numbered = |what: &str| (0..30).map(|number| json!(format!("{what} {number}"))).collect::<Vec<_>>();
    let events =
        all(&format!("/api/events/?job_uuid={}&page_size=100", job["job_uuid"].as_str().unwrap()), "event_content");
    assert_eq!(events, [vec![json!("ready")], numbered("event")].concat());
    let lines = all(&format!("{path}/log?page_size=100"), "event_content");
    let lines: Vec<_> = lines.into_iter().filter(|line| line.as_str().unwrap().starts_with("line ")).collect();
    assert_eq!(lines, numbered("line"));
    assert_eq!(all(&format!("{path}/artifacts"), "size"), vec![json!(100_000); 30]);
    assert_eq!(serve.end(), Some(0));
}

/// Has the server's folder of artifacts on a disk of 1 MiB: in a mount namespace of its own, which ends with it.
const SMALL_DISK: [&str; 6] = [
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    r#"mkdir -p "$ARMADA_DATA/artifacts" && mount -t tmpfs -o size=1m tmpfs "$ARMADA_DATA/artifacts" && exec "$0" "$@""#,
];

#[test]
fn a_job_waits_for_room_for_its_artifacts_and_keeps_all_of_them() {
    let arguments = ["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    let tried = Command::new("unshare").args(arguments).output().unwrap();
    let why = String::from_utf8_lossy(&tried.stderr);
    assert!(
        tried.status.success(),
        "this test needs a small disk, so it must be allowed user and mount namespaces: {why}"
    );

    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut serve = Serve::start_within(&SMALL_DISK, &[], &[], File::create(&log).unwrap().into());
    // As the server sees it.
    let artifacts = format!("/proc/{}/root{}", serve.id(), serve.data().join("artifacts").display());
    let artifacts = Path::new(&artifacts);
    let ballast = artifacts.join("ballast");
    std::fs::write(&ballast, vec![0; 600_000]).unwrap();
    let run = serve.launch(&["artifacts"], 1);
    serve.until_ready(&run, 1);
    let full = || std::fs::read_to_string(&log).unwrap().contains("os error 28").then_some(());
    processes::wait_for("the disk to be full", Duration::from_secs(60), full);
    let job = serve.jobs(&run).remove(0);
    assert_eq!(job["job_status"], "Running");
    let path = format!("/api/jobs/{}/artifacts", job["job_uuid"].as_str().unwrap());
    // What was kept is kept until there is something whole in its place.
    assert_eq!(serve.get(&format!("{path}/page.txt")), "first ".repeat(66_667));

    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    assert_eq!(serve.jobs(&run)[0]["attempts"], 1);
    let kept = serve.get(&path);
    let kept: Vec<_> = kept["items"].as_array().unwrap().iter().map(|kept| (&kept["name"], &kept["size"])).collect();
    assert_eq!(kept, [(&json!("other.txt"), &json!(400_002)), (&json!("page.txt"), &json!(400_002))]);
    assert_eq!(serve.get(&format!("{path}/page.txt")), "again ".repeat(66_667));
    assert_eq!(serve.get(&format!("{path}/other.txt")), "other ".repeat(66_667));
    let files = std::fs::read_dir(artifacts.join(&run).join("job-0")).unwrap();
    assert_eq!(files.count(), 2, "parts of artifacts were left");
    assert_eq!(serve.end(), Some(0));
}

/// What has happened to a run that has ended, as a client is told that was there from the beginning.
fn changes(serve: &Serve, run: &str) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("{}/api/changes?run={run}&after=0", serve.url().replace("http://", "ws://"));
    runtime.block_on(async {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut told: Vec<Value> = Vec::new();
        let is_end = |change: &Value| change["kind"] == "run" && change["data"]["status"] == "Succeeded";
        while !told.last().is_some_and(is_end) {
            let message = tokio::time::timeout(Duration::from_secs(60), socket.next()).await.unwrap();
            if let Ok(text) = message.unwrap().unwrap().into_text() {
                told.extend(serde_json::from_str(&text));
            }
        }
        told.retain(|change| change["kind"] != "watching");
        told
    })
}

#[test]
fn a_clock_that_jumps_by_days_costs_no_job_and_no_agent() {
    let clock = Clock::right();
    let mut serve = Serve::start(&["--keep-runs-days", "1"], &clock.variables());
    let first = serve.launch(&["slow", "slow", "slow", "quick"], 2);
    serve.until_ready(&first, 2);
    let mut runs = vec![first];
    for difference in ["+2d", "-3d"] {
        clock.set(difference);
        runs.push(serve.launch(&["quick"], 1));
        // More than one heartbeat.
        std::thread::sleep(Duration::from_secs(5));
    }
    let ended: Vec<Value> = runs.iter().map(|run| serve.until_ended(run)).collect();
    // The clock did jump, there and back.
    let moment = |text: &Value| text.as_str().unwrap().parse::<Timestamp>().unwrap();
    let created: Vec<_> = ended.iter().map(|run| moment(&run["run_datetime"])).collect();
    let day = SignedDuration::from_hours(24);
    assert!(created[2] < created[0] - 2 * day && created[0] + day < created[1], "{created:?}");
    for (run, ended) in runs.iter().zip(&ended) {
        assert_eq!(ended["status"], "Succeeded", "{ended}");
        assert!(serve.jobs(run).iter().all(|job| job["attempts"] == 1), "{:#?}", serve.jobs(run));
        let agents = serve.get(&format!("/api/runs/{run}/agents"));
        let agents = agents["items"].as_array().unwrap();
        assert!(agents.iter().all(|agent| agent["state"] == "Closed" && agent["starts"] == 1), "{agents:#?}");
        let moments = ["run_datetime", "started_at", "finished_at"].map(|name| moment(&ended[name]));
        assert!(moments.is_sorted(), "{moments:?}");
        let told = changes(&serve, run);
        assert!(told.is_sorted_by(|a, b| a["seq"].as_u64().unwrap() < b["seq"].as_u64().unwrap()), "{told:#?}");
        let successes = told.iter().filter(|change| change["data"]["job_status"] == "Success");
        assert_eq!(json!(successes.count()), ended["jobs"], "{told:#?}");
    }
    let listed = serve.get("/api/runs/");
    let listed: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|run| run["run_uuid"].as_str().unwrap()).collect();
    assert_eq!(listed, [&*runs[2], &*runs[1], &*runs[0]]);
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn a_run_that_goes_on_is_kept_whatever_the_clock_says() {
    let clock = Clock::right();
    let mut serve = Serve::start(&["--keep-runs-days", "1", "--agents", "external"], &clock.variables());
    let (ended, live) = (serve.launch(&["quick"], 1), serve.launch(&["quick"], 1));
    serve.ask("POST", &format!("/api/runs/{ended}/cancel"), None);
    serve.until_ended(&ended);
    serve.until(&live, "it waits for its agents", |run| run["status"] == "Running");
    // What is too old is looked for when the server starts.
    serve.kill();
    clock.set("+2d");
    serve.restart();
    let is_gone = || (serve.ask("GET", &format!("/api/runs/{ended}"), None).0 == 404).then_some(());
    processes::wait_for("the run that has ended to be removed", Duration::from_secs(60), is_gone);
    assert_eq!(serve.run(&live)["status"], "Running");
    assert_eq!(serve.jobs(&live).len(), 1);
    assert_eq!(serve.end(), Some(0));
}
