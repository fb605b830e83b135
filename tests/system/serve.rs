//! The control plane, end to end: launches over HTTP, agents as processes, and every outcome once in the store,
//! whatever is killed meanwhile.

use std::collections::BTreeSet;

use armada_tests::command::{armada, finish};
use armada_tests::cut::Cut;
use armada_tests::processes::{self, Process};
use armada_tests::serve::Serve;
use armada_tests::servers::{Server, postgresql, rabbitmq, redis};
use serde_json::{Value, json};

/// Everything that a server can be connected to.
struct Servers {
    redis: Server,
    rabbitmq: Server,
    postgresql: Server,
}

impl Servers {
    fn start() -> Self {
        std::thread::scope(|scope| {
            let (redis, rabbitmq) = (scope.spawn(redis), scope.spawn(|| rabbitmq("")));
            let postgresql = postgresql();
            Self { redis: redis.join().unwrap(), rabbitmq: rabbitmq.join().unwrap(), postgresql }
        })
    }

    fn serve(&self) -> Serve {
        let urls = [
            ("ARMADA_REDIS_URL", self.redis.url()),
            ("ARMADA_AMQP_URL", self.rabbitmq.url()),
            ("ARMADA_STORE_URL", self.postgresql.url()),
        ];
        Serve::start(&["--agent-silence-seconds", "20"], &urls)
    }
}

/// Every job has ended once, in so many attempts at least and at most, and each attempt is there once.
fn assert_each_once(serve: &Serve, run: &str, jobs: usize) {
    let view = serve.run(run);
    let all = serve.jobs(run);
    let names: BTreeSet<_> = all.iter().map(|job| job["job_uuid"].as_str().unwrap()).collect();
    assert_eq!((all.len(), names.len()), (jobs, jobs));
    let count = |status: &str| all.iter().filter(|job| job["job_status"] == status).count();
    assert_eq!(view["jobs"], jobs);
    assert_eq!(view["jobs_succeeded"], count("Success"));
    assert_eq!(view["jobs_failed"], count("Failed"));
    assert_eq!(count("Success") + count("Failed") + count("Cancelled"), jobs, "{all:#?}");
    for job in &all {
        let attempts = serve.get(&format!("/api/jobs/{}/attempts", job["job_uuid"].as_str().unwrap()));
        let numbers: Vec<u64> =
            attempts["items"].as_array().unwrap().iter().map(|attempt| attempt["attempt"].as_u64().unwrap()).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=job["attempts"].as_u64().unwrap()).collect::<Vec<_>>());
    }
}

fn quick(jobs: usize) -> Vec<&'static str> {
    vec!["quick"; jobs]
}

#[test]
fn nothing_but_a_browser_is_needed_to_serve() {
    let mut serve = Serve::start(&[], &[]);
    let run = serve.launch(&["quick", "fail", "retry_once", "quick", "quick", "retry"], 3);
    let ended = serve.until_ended(&run);
    assert_eq!(ended["status"], "Failed");
    assert_each_once(&serve, &run, 6);
    let jobs = serve.jobs(&run);
    let of = |index: usize| (jobs[index]["job_status"].as_str().unwrap(), jobs[index]["attempts"].as_u64().unwrap());
    assert_eq!((of(0), of(1), of(2), of(5)), (("Success", 1), ("Failed", 1), ("Success", 2), ("Failed", 3)));
    assert_eq!(jobs[2]["result"]["attempt"], 2);
    assert!(jobs[1]["error"]["message"].is_string());
    let agents = serve.get(&format!("/api/runs/{run}/agents"));
    let states: BTreeSet<_> =
        agents["items"].as_array().unwrap().iter().map(|agent| agent["state"].to_string()).collect();
    assert_eq!(states, BTreeSet::from(["\"Closed\"".to_owned()]));
    assert!(serve.processes().is_empty(), "{:?}", serve.processes());
    let numbers = serve.get("/metrics");
    let dispatched = numbers.as_str().unwrap().lines().find(|line| line.starts_with("armada_jobs_dispatched_total"));
    assert_eq!(dispatched, Some("armada_jobs_dispatched_total 6"));
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn settings_that_cannot_be_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (["--listen", "0.0.0.0:0"], "set a token (ARMADA_TOKEN)"),
        (["--listen", "localhost:8080"], "expected one such as 127.0.0.1:8080"),
        (["--keep-runs-days", "0"], "a number of days between 0.001 and 365"),
        (["--max-csv-mib", "0"], "from 1 on"),
        (["--chromium", "/nowhere/chromium"], "give --chromium or ARMADA_CHROMIUM the path"),
        (["--cors-origin", "example.org"], "`example.org` is no origin"),
        (["--cors-origin", "https://example.org/"], "expected one such as https://example.org"),
        (["--store-url", "mysql://db/armada"], "it looks like postgres://"),
        (["--store-url", "postgres://127.0.0.1:1/armada"], "is it running, and is this its address?"),
        (["--amqp-url", "http://mq"], "it looks like amqp://"),
        (["--redis-url", "redis"], "it looks like redis://"),
    ] {
        let mut serve = armada();
        serve.env("ARMADA_LISTEN", "127.0.0.1:0").arg("serve").args(arguments);
        let (code, _, error) = finish(serve.arg("--data").arg(folder.path()));
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}

#[test]
fn agents_can_be_tasks_of_the_server() {
    let mut serve = Serve::start(&["--agents", "in-process"], &[]);
    let run = serve.launch(&quick(4), 2);
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    assert_each_once(&serve, &run, 4);
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn runs_are_cancelled_paused_retried_and_replayed() {
    let mut serve = Serve::start(&[], &[]);
    // Cancelled while jobs are being done.
    let run = serve.launch(&["wait", "wait", "wait", "quick"], 2);
    serve.until_ready(&run, 2);
    let (status, _) = serve.ask("POST", &format!("/api/runs/{run}/cancel"), None);
    assert!((200..300).contains(&status), "{status}");
    let ended = serve.until_ended(&run);
    assert_eq!((&ended["status"], &ended["jobs_cancelled"]), (&json!("Cancelled"), &json!(4)));
    // Several at once do not touch each other; one of them is paused.
    let (one, two) = (serve.launch(&["wait_once", "quick", "fail"], 1), serve.launch(&quick(3), 1));
    serve.until_ready(&one, 1);
    let (status, paused) = serve.ask("POST", &format!("/api/runs/{one}/pause"), None);
    assert!((200..300).contains(&status), "{status} {paused}");
    assert_eq!(serve.until_ended(&two)["status"], "Succeeded");
    // Its agent is killed: the job waits for another attempt as long as the run is paused.
    let agent = serve.processes().into_iter().find(Process::is_agent).unwrap();
    processes::signal(agent.id, "KILL");
    serve.until(&one, "the killed agent's job waits", |_| {
        serve.jobs(&one).iter().all(|job| job["job_status"] != "Running")
    });
    assert_eq!(serve.run(&one)["status"], "Running");
    let (status, _) = serve.ask("POST", &format!("/api/runs/{one}/resume"), None);
    assert!((200..300).contains(&status));
    let ended = serve.until_ended(&one);
    assert_eq!((&ended["status"], &ended["jobs_failed"]), (&json!("Failed"), &json!(1)));
    // Failed jobs again, and only those.
    let (status, answer) = serve.ask("POST", &format!("/api/runs/{one}/retry"), None);
    assert!((200..300).contains(&status), "{answer}");
    let ended = serve.until_ended(&one);
    assert_eq!((&ended["jobs_succeeded"], &ended["jobs_failed"]), (&json!(2), &json!(1)));
    let attempts: Vec<_> = serve.jobs(&one).iter().map(|job| job["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [2, 1, 2]);
    // The same inputs in a run of its own.
    let (status, answer) = serve.ask("POST", &format!("/api/runs/{two}/replay"), None);
    assert!((200..300).contains(&status), "{answer}");
    let replay = answer["run_id"].as_str().or(answer["run_uuid"].as_str()).unwrap().to_owned();
    assert_ne!(replay, two);
    assert_eq!(serve.until_ended(&replay)["status"], "Succeeded");
    assert_each_once(&serve, &replay, 3);
    // A run is removed with everything of it.
    let (status, _) = serve.ask("DELETE", &format!("/api/runs/{two}"), None);
    assert!((200..300).contains(&status));
    assert_eq!(serve.ask("GET", &format!("/api/runs/{two}"), None).0, 404);
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn a_server_that_is_ended_and_started_again_goes_on() {
    let mut serve = Serve::start(&[], &[]);
    let run = serve.launch(&["wait_once", "quick", "wait_once", "quick", "quick"], 2);
    serve.until_ready(&run, 2);
    assert_eq!(serve.end(), Some(0));
    assert!(processes::all().iter().all(|process| !process.command.iter().any(|word| word.contains(&run))));
    serve.restart();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    assert_each_once(&serve, &run, 5);
}

#[test]
fn a_server_that_is_killed_and_started_again_goes_on() {
    let mut serve = Serve::start(&[], &[]);
    let run = serve.launch(&["wait_once", "quick", "wait_once", "quick", "quick"], 2);
    serve.until_ready(&run, 2);
    serve.kill();
    // No agent outlives it.
    processes::wait_for("the agents to end", std::time::Duration::from_secs(60), || {
        let left = processes::all().into_iter().any(|process| process.command.iter().any(|word| word.contains(&run)));
        (!left).then_some(())
    });
    serve.restart();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded");
    assert_each_once(&serve, &run, 5);
}

#[test]
fn through_redis_rabbitmq_and_postgresql_every_outcome_is_there_once() {
    let servers = Servers::start();
    let mut serve = servers.serve();
    let kinds: Vec<&str> = ["quick", "retry_once", "fail"].into_iter().cycle().take(60).collect();
    let run = serve.launch(&kinds, 3);
    let ended = serve.until_ended(&run);
    assert_eq!((&ended["jobs_succeeded"], &ended["jobs_failed"]), (&json!(40), &json!(20)));
    assert_each_once(&serve, &run, 60);
    assert_eq!(serve.end(), Some(0));
}

/// Has a run with jobs that wait in their first attempt, does something to it, and expects every job to succeed in the
/// end.
fn survives(servers: &mut Servers, act: impl FnOnce(&mut Servers, &mut Serve, &str)) {
    let mut serve = servers.serve();
    let kinds: Vec<&str> = ["wait_once", "wait_once", "wait_once"].into_iter().chain(quick(40)).collect();
    let run = serve.launch(&kinds, 3);
    serve.until_ready(&run, 3);
    act(servers, &mut serve, &run);
    let ended = serve.until_ended(&run);
    assert_eq!(ended["status"], "Succeeded", "{ended} {:#?}", serve.jobs(&run));
    assert_each_once(&serve, &run, 43);
    assert_eq!(serve.end(), Some(0));
}

/// Has the jobs that wait get their second attempts.
fn kill_agents(serve: &Serve) {
    for agent in serve.processes().into_iter().filter(Process::is_agent) {
        processes::signal(agent.id, "KILL");
    }
}

#[test]
fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let mut servers = Servers::start();
    survives(&mut servers, |_, serve, _| kill_agents(serve));
    survives(&mut servers, |_, serve, _| {
        for browser in serve.processes().into_iter().filter(Process::is_chromium) {
            processes::signal(browser.id, "KILL");
        }
    });
    survives(&mut servers, |servers, serve, _| {
        servers.rabbitmq.kill();
        servers.rabbitmq.restart();
        kill_agents(serve);
    });
    survives(&mut servers, |servers, serve, _| {
        servers.redis.kill();
        servers.redis.restart();
        kill_agents(serve);
    });
    survives(&mut servers, |servers, serve, _| {
        servers.postgresql.kill();
        // Their jobs end while there is no store.
        kill_agents(serve);
        servers.postgresql.restart();
    });
    survives(&mut servers, |_, serve, _| {
        serve.kill();
        serve.restart();
    });
}

#[test]
fn what_a_project_has_wrong_is_told_at_once_and_nothing_is_left() {
    let serve = Serve::start(&[], &[]);
    let options = json!({"mode": "local", "set": {"KINDS": 3}}).to_string();
    let wrong = reqwest::multipart::Form::new()
        .text("configtemplate", r#"{"run_message": {"number_of_agents": "many"}, "default_job_message": 3}"#)
        .text("options", options);
    let (status, answer) = serve.start_run(wrong, None);
    assert!((400..500).contains(&status), "{status} {answer}");
    assert_eq!(serve.get("/api/runs/")["total"], 0);
    let left: Vec<Value> = Vec::new();
    assert_eq!(serve.get("/api/runs/")["items"], json!(left));
    let uploads = std::fs::read_dir(serve.data().join("uploads")).map_or(0, Iterator::count);
    assert_eq!(uploads, 0);
}

/// Agents that somebody else has started, at this address.
struct External(Vec<std::process::Child>);

impl External {
    fn start(url: &str, run: &str, agents: u32, token: &str) -> Self {
        Self((0..agents).map(|index| Self::command(url, run, index, token).spawn().unwrap()).collect())
    }

    fn command(url: &str, run: &str, index: u32, token: &str) -> std::process::Command {
        let mut command = armada();
        command.args(["agent", "--run", run, "--index", &index.to_string(), "--server", url]);
        command.env("ARMADA_TOKEN", token);
        command
    }

    fn codes(&mut self) -> Vec<Option<i32>> {
        let patience = std::time::Duration::from_secs(60);
        let end = |child: &mut std::process::Child| {
            processes::wait_for("the agent to end", patience, || child.try_wait().unwrap()).code()
        };
        self.0.iter_mut().map(end).collect()
    }
}

impl Drop for External {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn agents_from_elsewhere_go_on_after_their_server_and_the_network_were_gone() {
    let mut serve =
        Serve::start(&["--agents", "external", "--agent-silence-seconds", "20"], &[("ARMADA_TOKEN", "secret")]);
    let kinds: Vec<&str> = ["prints"; 30].into_iter().chain(["slow", "slow"]).collect();
    let run = serve.launch(&kinds, 2);
    let credential = &credential(&serve, &run);
    // A credential is good for its run only.
    let other = serve.launch(&quick(1), 1);
    let mut refused = External::start(serve.url(), &other, 1, credential);
    assert_eq!(refused.codes(), [Some(2)]);
    let port = serve.url().rsplit(':').next().unwrap().parse().unwrap();
    let cut = Cut::before(port);
    let mut agents = External::start(&format!("http://127.0.0.1:{}", cut.port()), &run, 2, credential);
    serve.until_ready(&run, 2);
    cut.cut();
    std::thread::sleep(std::time::Duration::from_secs(2));
    serve.kill();
    serve.restart();
    cut.mend();
    assert_eq!(serve.until_ended(&run)["status"], "Succeeded", "{:#?}", serve.jobs(&run));
    assert_each_once(&serve, &run, 32);
    assert!(serve.jobs(&run).iter().all(|job| job["attempts"] == 1), "nobody did anything twice");
    assert_eq!(agents.codes(), [Some(0), Some(0)]);
    assert_eq!(serve.end(), Some(0));
}

/// The credential with which agents of a run connect.
fn credential(serve: &Serve, run: &str) -> String {
    let (status, answer) = serve.ask("POST", &format!("/api/runs/{run}/credential"), None);
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

#[test]
fn agents_from_elsewhere_run_what_the_server_has_compiled_and_nothing_that_somebody_else_has() {
    let redis = redis();
    let mut connection = ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let variables = [("ARMADA_TOKEN", "secret"), ("ARMADA_REDIS_URL", redis.url())];
    let mut serve = Serve::start(&["--agents", "external"], &variables);
    // Who can write to Redis replaces what would have to be compiled, then what is compiled already.
    for (kind, told) in [("component", None), ("compiled", Some("is not signed by this agent's server"))] {
        let run = serve.launch(&quick(2), 1);
        let view = serve.until(&run, "it is prepared", |run| run["status"] != "Pending");
        let digest = view["component_digest"].as_str().unwrap();
        let keys = format!("armada:{kind}:{digest}*");
        let keys: Vec<String> = ::redis::cmd("KEYS").arg(keys).query(&mut connection).unwrap();
        let [key] = &keys[..] else { panic!("{keys:?}") };
        let mut bytes: Vec<u8> = ::redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        ::redis::cmd("SET").arg(key).arg(bytes).exec(&mut connection).unwrap();
        // A machine that has never seen the component.
        let (cache, log) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let mut agent = External::command(serve.url(), &run, 0, &credential(&serve, &run));
        agent.env("ARMADA_REDIS_URL", redis.url()).env("ARMADA_CACHE_DIR", cache.path()).stderr(log.reopen().unwrap());
        let mut agent = External(vec![agent.spawn().unwrap()]);
        assert_eq!(agent.codes(), [Some(0)], "{kind}: {}", std::fs::read_to_string(log.path()).unwrap());
        assert_eq!(serve.until_ended(&run)["status"], "Succeeded", "{kind}");
        assert_each_once(&serve, &run, 2);
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(log.contains("compiles the component itself"), told.is_some(), "{kind}: {log}");
        assert!(log.contains(told.unwrap_or_default()), "{kind}: {log}");
    }
    assert_eq!(serve.end(), Some(0));
}

#[test]
fn spans_go_to_a_collector_and_log_lines_are_json_where_that_is_asked_for() {
    use std::io::{Read as _, Write as _};

    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let collecting = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        let mut told = Vec::new();
        let mut part = [0; 4096];
        // The service's name and those of spans are in the clear in the protocol's messages.
        while !told.windows(6).any(|bytes| bytes == b"armada") {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&told));
            told.extend_from_slice(&part[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&told).into_owned()
    });
    let log = tempfile::NamedTempFile::new().unwrap();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("ARMADA_LOG", "info"), ("NO_PROXY", "*")];
    let mut serve = Serve::start_told(&["--log-format", "json"], &variables, log.reopen().unwrap().into());
    let run = serve.launch(&quick(1), 1);
    serve.until_ended(&run);
    assert_eq!(serve.end(), Some(0));
    let told = collecting.join().unwrap();
    assert!(told.starts_with("POST /v1/traces "), "{told}");
    let lines = std::fs::read_to_string(log.path()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = lines.iter().find(|line| line["message"] == "a run has ended").unwrap();
    assert_eq!((&ended["run"], &ended["status"]), (&json!(run), &json!("Succeeded")));
}
