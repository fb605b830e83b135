//! `armada launch` against a server: what is sent, what is said, and what is seen of a run from afar.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use armada_tests::command::{armada, armada_for, finish, project};
use armada_tests::processes::{signal, wait_for};
use armada_tests::serve::{Serve, bundle};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// `armada launch` of the project `lifecycle` or of its bundle, with a job of each of these kinds.
fn launch(serve: &Serve, is_bundle: bool, kinds: &[&str]) -> Command {
    let project = project("lifecycle");
    let mut command = armada_for(&project);
    command.arg("launch").arg(if is_bundle { bundle() } else { project }).args(["--server", serve.url()]);
    command.args(["--jobs", &kinds.len().to_string(), "--set", &format!("KINDS={}", Value::from(kinds))]);
    command.env_remove("ARMADA_TOKEN").env_remove("ARMADA_SERVER");
    command
}

fn lines(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each job has ended, as it was told.
fn endings(told: &[Value]) -> Vec<u64> {
    let ended = told.iter().filter(|told| told["type"] == "ended");
    let mut indices: Vec<u64> = ended.map(|ended| ended["job"]["index"].as_u64().unwrap()).collect();
    indices.sort_unstable();
    indices
}

fn components(serve: &Serve) -> usize {
    std::fs::read_dir(serve.data().join("components")).map_or(0, Iterator::count)
}

/// A launch that is followed.
struct Followed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: Vec<Value>,
}

impl Followed {
    fn start(serve: &Serve, kinds: &[&str]) -> Self {
        let mut command = launch(serve, true, kinds);
        let mut child = command.args(["--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: Vec::new() }
    }

    fn until(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("it has not told {kind}: {:#?}", self.told)).unwrap();
            self.told.push(serde_json::from_str(&line).unwrap());
            if self.told.last().unwrap()["type"] == kind {
                return self.told.last().unwrap().clone();
            }
        }
    }

    /// Waits until it has ended; gives its exit code, and what it told.
    fn finish(mut self) -> (Option<i32>, Vec<Value>) {
        for line in self.lines.by_ref() {
            self.told.push(serde_json::from_str(&line.unwrap()).unwrap());
        }
        let status = wait_for("the command to end", PATIENCE, || self.child.try_wait().unwrap());
        (status.code(), std::mem::take(&mut self.told))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // A test that has failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_project_is_sent_once_and_followed_to_its_end() {
    let serve = Serve::start(&[], &[]);
    let mut first = launch(&serve, false, &["quick", "fail", "retry_once"]);
    let (code, printed, errors) = finish(first.args(["--follow", "--json", "--agents", "2"]));
    assert_eq!(code, 1, "{printed}{errors}");
    let told = lines(&printed);
    assert_eq!((&told[0]["type"], &told[1]["type"]), (&json!("launched"), &json!("run")));
    assert_eq!(
        (&told[1]["project"], &told[1]["jobs"], &told[1]["agents"]),
        (&json!("lifecycle"), &json!(3), &json!(2))
    );
    assert_eq!(endings(&told), [0, 1, 2]);
    let again = told.iter().find(|told| told["type"] == "retried").unwrap();
    assert_eq!(again["outcome"]["failed"]["error"]["cause"], "retry", "{again}");
    let summary = told.last().unwrap();
    assert_eq!(
        (&summary["type"], &summary["succeeded"], &summary["failed"]),
        (&json!("summary"), &json!(2), &json!(1))
    );
    assert_eq!(summary["retried_attempts"], 1);
    let results = summary["results"].as_str().unwrap().trim_start_matches(serve.url());
    assert_eq!(serve.ask("GET", results, None).0, 200);
    assert_eq!(serve.run(told[0]["run_id"].as_str().unwrap())["status"], "Failed");
    assert_eq!(components(&serve), 1);

    // The bundle has the same component: only its configuration is sent.
    let (code, printed, errors) = finish(launch(&serve, true, &["quick"]).arg("--follow"));
    assert_eq!(code, 0, "{printed}{errors}");
    assert!(printed.contains("launched lifecycle as run") && printed.contains("/cancel"), "{printed}");
    assert!(errors.contains("[1/1] done job 0") && errors.contains("1 job: 1 succeeded"), "{errors}");
    assert_eq!(components(&serve), 1);
}

#[test]
fn what_a_job_reports_is_told_as_of_a_run_of_this_machine() {
    let serve = Serve::start(&[], &[]);
    let (code, told) = Followed::start(&serve, &["reports", "artifact"]).finish();
    assert_eq!(code, Some(0), "{told:#?}");
    let of = |kind: &str, job: u64| {
        let of_job = |told: &&Value| told["type"] == kind && told["attempt"]["index"] == job;
        told.iter().filter(of_job).collect::<Vec<_>>()
    };
    // Contexts write lines of their own.
    let is_scripts = |told: &&&Value| told["line"]["text"].as_str().is_some_and(|text| text.starts_with("line "));
    let lines = of("log", 0).iter().filter(is_scripts).count();
    assert_eq!((of("event", 0).len(), lines, of("event", 1).len()), (31, 30, 1), "{told:#?}");
    assert_eq!(of("event", 1)[0]["event"]["content"], "ready");
    for ended in told.iter().filter(|told| told["type"] == "ended") {
        let job = &ended["job"];
        let artifacts = job["artifacts"].as_array().unwrap();
        let counts = (job["events"].as_array().unwrap().len(), artifacts.len());
        assert_eq!(counts, if job["index"] == 0 { (31, 30) } else { (1, 1) }, "{job}");
        let path = artifacts[0]["path"].as_str().unwrap().trim_start_matches(serve.url());
        assert_eq!(serve.ask("GET", path, None).0, 200, "{path}");
    }
}

#[test]
fn a_run_is_followed_through_the_death_of_its_server_and_nothing_is_told_twice() {
    let mut serve = Serve::start(&[], &[]);
    let mut followed = Followed::start(&serve, &["quick", "wait_once", "quick"]);
    let run = followed.until("launched")["run_id"].as_str().unwrap().to_owned();
    serve.until_ready(&run, 1);
    serve.kill();
    serve.restart();
    let (code, told) = followed.finish();
    assert_eq!(code, Some(0), "{told:#?}");
    assert_eq!(endings(&told), [0, 1, 2]);
    assert_eq!(told.last().unwrap()["succeeded"], 3);
}

#[test]
fn an_interruption_ends_the_following_and_not_the_run() {
    let serve = Serve::start(&[], &[]);
    let mut followed = Followed::start(&serve, &["wait"]);
    let run = followed.until("launched")["run_id"].as_str().unwrap().to_owned();
    followed.until("started");
    signal(followed.child.id(), "INT");
    let (code, told) = followed.finish();
    assert_eq!(code, Some(130));
    let reason = told.last().unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("the run goes on") && reason.contains(&format!("/api/runs/{run}/cancel")), "{reason}");
    assert!(serve.run(&run)["finished_at"].is_null());
    // Whoever follows a run that somebody else cancels is told so.
    let mut other = Followed::start(&serve, &["wait"]);
    let cancelled = other.until("launched")["run_id"].as_str().unwrap().to_owned();
    other.until("started");
    for run in [&run, &cancelled] {
        assert!((200..300).contains(&serve.ask("POST", &format!("/api/runs/{run}/cancel"), None).0));
    }
    let (code, told) = other.finish();
    assert_eq!((code, endings(&told)), (Some(130), vec![0]));
}

#[test]
fn a_token_is_asked_for_and_sent() {
    let serve = Serve::start(&[], &[("ARMADA_TOKEN", "open sesame")]);
    for (token, expected) in [(None, 2), (Some("close sesame"), 2), (Some("open sesame"), 0)] {
        let mut command = launch(&serve, true, &["quick"]);
        let (code, printed, errors) = finish(command.arg("--follow").envs(token.map(|token| ("ARMADA_TOKEN", token))));
        assert_eq!(code, expected, "{printed}{errors}");
        let advice = ["asks for a token: set ARMADA_TOKEN", "the token in ARMADA_TOKEN is not the server's"];
        let said = advice.map(|advice| errors.contains(advice));
        assert_eq!(said, [token.is_none(), token == Some("close sesame")], "{errors}");
        assert!(!errors.contains("sesame"), "{errors}");
    }
}

#[test]
fn what_the_ceiling_refuses_is_said_when_a_run_is_launched() {
    let folder = tempfile::tempdir().unwrap();
    let ceiling = folder.path().join("ceiling.json");
    std::fs::write(&ceiling, r#"{"capabilities": ["monitoring"]}"#).unwrap();
    let serve = Serve::start(&["--ceiling", ceiling.to_str().unwrap()], &[]);
    let (code, printed, errors) = finish(&mut launch(&serve, true, &["quick"]));
    assert_eq!(code, 0, "{printed}{errors}");
    assert!(errors.contains("the script uses `browser`") && errors.contains("ceiling does not allow it"), "{errors}");
}

#[test]
fn mistakes_are_told_with_their_places_before_anything_is_sent() {
    let serve = Serve::start(&[], &[]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("ctx_script.py"), "").unwrap();
    std::fs::write(
        folder.path().join("config/config_template.json"),
        r#"{"run_message": {"number_of_agents": 0}, "default_agent_message": {}, "default_job_message": {}}"#,
    )
    .unwrap();
    let (code, _, errors) = finish(armada().arg("launch").arg(folder.path()).args(["--server", serve.url()]));
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("config/config_template.json:1:38") && errors.contains("number_of_agents"), "{errors}");
    let nobody = ["--json", "--server", "http://127.0.0.1:1"];
    let (code, printed, _) = finish(armada().arg("launch").arg(bundle()).args(nobody));
    assert_eq!(code, 2);
    assert!(lines(&printed)[0]["message"].as_str().unwrap().contains("armada serve"), "{printed}");
    assert_eq!(serve.get("/api/runs")["total"], 0);
    assert_eq!(components(&serve), 0);
}

#[test]
fn launches_of_the_same_name_are_one_run_also_when_they_come_at_once() {
    let serve = Serve::start(&[], &[]);
    let bytes = std::fs::read(bundle()).unwrap();
    let start = || {
        let options = json!({"mode": "local", "set": {"KINDS": ["quick"]}}).to_string();
        let form = Form::new().part("bundle", Part::bytes(bytes.clone())).text("options", options);
        serve.start_run(form, Some("monday's"))
    };
    let answers = std::thread::scope(|scope| {
        let started: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
        started.into_iter().map(|started| started.join().unwrap()).collect::<Vec<_>>()
    });
    let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 202], "{answers:#?}");
    let run = answers[0].1["run_id"].as_str().unwrap();
    assert!(answers.iter().all(|(_, answer)| answer["run_id"] == run && answer["links"] == answers[0].1["links"]));
    assert_eq!(serve.until_ended(run)["status"], "Succeeded");
    assert_eq!(start().0, 200);
    assert_eq!(serve.get("/api/runs")["total"], 1);
    assert_eq!(std::fs::read_dir(serve.data().join("runs")).unwrap().count(), 1);
}

#[test]
fn nothing_is_left_of_a_launch_that_is_refused() {
    let serve = Serve::start(&[], &[]);
    let bytes = std::fs::read(bundle()).unwrap();
    let cut = Form::new().part("bundle", Part::bytes(bytes[..bytes.len() / 2].to_vec()));
    let (status, problem) = serve.start_run(cut, None);
    assert_eq!((status, &problem["mistakes"][0]["file"]), (422, &json!("bundle")), "{problem}");
    let wrong = Form::new().part("bundle", Part::bytes(bytes)).text("options", r#"{"mode": "local", "agents": 0}"#);
    let (status, problem) = serve.start_run(wrong, None);
    assert_eq!(status, 422, "{problem}");
    assert_eq!(serve.get("/api/runs")["total"], 0);
    assert_eq!(components(&serve), 0);
    assert_eq!(std::fs::read_dir(serve.data().join("uploads")).unwrap().count(), 0);
}
