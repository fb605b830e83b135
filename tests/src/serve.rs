//! `armada serve` as a process of its own, asked over HTTP as anybody would.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{armada, armada_for, finish, project};
use crate::processes::{self, Process};
use crate::servers::free_port;

/// How long something may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(240);

/// A server with a data folder of its own.
pub struct Serve {
    child: Child,
    url: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    wrapper: Vec<String>,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Serve {
    /// Starts one with these arguments and environment variables, on a free port.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_told(arguments, variables, Stdio::inherit())
    }

    /// The same, with what it logs going there.
    pub fn start_told(arguments: &[&str], variables: &[(&str, &str)], log: Stdio) -> Self {
        Self::start_within(&[], arguments, variables, log)
    }

    /// The same, by a command that makes its process the server's: the server's own command follows, and `ARMADA_DATA`
    /// is its data folder.
    pub fn start_within(wrapper: &[&str], arguments: &[&str], variables: &[(&str, &str)], log: Stdio) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("temp")).unwrap();
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let (wrapper, arguments) = (owned(wrapper), owned(arguments));
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        crate::choose_cryptography();
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        let command = command(&wrapper, &folder, &format!("127.0.0.1:{}", free_port()), &arguments, &variables);
        let (child, url) = begin(command, log);
        Self { child, url, arguments, variables, wrapper, folder, runtime, client }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The processes that it has started.
    pub fn processes(&self) -> Vec<Process> {
        processes::descendants(self.id())
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, and gives its exit code.
    pub fn end(&mut self) -> Option<i32> {
        processes::signal(self.id(), "TERM");
        processes::wait_for("the server to end", PATIENCE, || self.child.try_wait().unwrap()).code()
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let command = command(&self.wrapper, &self.folder, &address, &self.arguments, &self.variables);
        (self.child, self.url) = begin(command, Stdio::inherit());
    }

    /// Asks something; gives the status and the JSON of the answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).headers(self.headers());
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
    }

    /// What goes with every request: the server's token, if it has one.
    fn headers(&self) -> reqwest::header::HeaderMap {
        let token = self.variables.iter().find(|(name, _)| name == "ARMADA_TOKEN");
        let header = |(_, token): &(String, String)| {
            ("authorization".parse().unwrap(), format!("Bearer {token}").parse().unwrap())
        };
        token.map(header).into_iter().collect()
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Launches a run with these parts; gives the status and the answer.
    pub fn start_run(&self, form: Form, key: Option<&str>) -> (u16, Value) {
        let mut request = self.client.post(format!("{}/bot/start", self.url)).headers(self.headers()).multipart(form);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
    }

    /// Launches the project `lifecycle` with a job of each of these kinds, and so many agents. Gives the run's id.
    pub fn launch(&self, kinds: &[&str], agents: u32) -> String {
        self.launch_with(kinds, agents, json!({}))
    }

    /// The same with these values for placeholders more.
    pub fn launch_with(&self, kinds: &[&str], agents: u32, set: Value) -> String {
        let mut set = set;
        set["KINDS"] = json!(kinds);
        let options = json!({"mode": "local", "agents": agents, "jobs": kinds.len(), "set": set});
        let bundle = Part::bytes(std::fs::read(bundle()).unwrap()).file_name("lifecycle.armada");
        let form = Form::new().part("bundle", bundle).text("options", options.to_string());
        let (status, answer) = self.start_run(form, None);
        assert_eq!(status, 202, "{answer}");
        answer["run_id"].as_str().unwrap().to_owned()
    }

    /// A run, as it is now.
    pub fn run(&self, run: &str) -> Value {
        self.get(&format!("/api/runs/{run}"))
    }

    /// The jobs of a run, by their places.
    pub fn jobs(&self, run: &str) -> Vec<Value> {
        let mut jobs = Vec::new();
        for page in 1.. {
            let answer = self.get(&format!("/api/jobs/?run_uuid={run}&page={page}&page_size=100"));
            let items = answer["items"].as_array().unwrap();
            jobs.extend(items.iter().cloned());
            if items.len() < 100 {
                break;
            }
        }
        jobs.sort_by_key(|job| job["index"].as_u64());
        jobs
    }

    /// Waits until something holds of a run.
    pub fn until(&self, run: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let now = self.run(run);
            if holds(&now) {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE, "waited too long until {what}: {now}\njobs: {:#?}", self.jobs(run));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a run has ended.
    pub fn until_ended(&self, run: &str) -> Value {
        let ended = ["Succeeded", "Failed", "Cancelled"];
        self.until(run, "it has ended", |run| run["status"].as_str().is_some_and(|status| ended.contains(&status)))
    }

    /// Waits until so many jobs of a run are being done and have reported that they are ready.
    pub fn until_ready(&self, run: &str, jobs: usize) {
        let ready = |job: &Value| {
            let id = job["job_uuid"].as_str().unwrap();
            let events = self.get(&format!("/api/events/?job_uuid={id}"));
            let mut events = events["items"].as_array().unwrap().iter();
            let attempt = &job["attempts"];
            job["job_status"] == "Running"
                && events.any(|event| event["event_content"] == "ready" && event["attempt"] == *attempt)
        };
        self.until(run, "its jobs are ready", |_| self.jobs(run).iter().filter(|job| ready(job)).count() >= jobs);
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // A test that has failed leaves nothing running: agents end when their server does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(
    wrapper: &[String],
    folder: &TempDir,
    listen: &str,
    arguments: &[String],
    variables: &[(String, String)],
) -> Command {
    let mut command: Command = armada();
    if let [program, rest @ ..] = wrapper {
        let mut wrapped = Command::new(program);
        wrapped.args(rest).arg(command.get_program()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        command = wrapped;
    }
    command.arg("serve").args(["--listen", listen]).args(arguments);
    command.env("ARMADA_DATA", folder.path().join("data")).env("TMPDIR", folder.path().join("temp"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

fn begin(mut command: Command, log: Stdio) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some(url) = line.trim().strip_prefix("listening on ") else {
        let _ = child.kill();
        panic!("the server said {line:?} and ended with {:?}", child.wait());
    };
    (child, url.to_owned())
}

/// The bundle of the project `lifecycle`, built once.
pub fn bundle() -> PathBuf {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lifecycle.armada");
        let project = project("lifecycle");
        let (code, _, errors) = finish(armada_for(&project).arg("build").arg(&project).arg("--output").arg(&path));
        assert_eq!(code, 0, "{errors}");
        (folder, path)
    });
    path.clone()
}
