//! The system that most people have for this: Celery, with the same broker.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_tests::processes::descendants;
use armada_tests::pypi;

/// Celery with what it needs for Redis.
const PACKAGE: &str = "celery[redis]==5.7.0";
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends so many confirmed messages of about 330 bytes, and prints how many seconds that took.
const PRODUCER: &str = r#"
import sys, time
from celery import Celery
broker, queue, count = sys.argv[1:]
app = Celery("producer", broker=broker, broker_transport_options={"confirm_publish": True})
app.send_task("job", args=["x" * 100], queue=queue)
started = time.monotonic()
for _ in range(int(count)):
    app.send_task("job", args=["x" * 100], queue=queue)
print(time.monotonic() - started)
"#;

/// Sends jobs one at a time, each when the one before is done, and prints how many seconds each took.
const CALLER: &str = r#"
import sys, time
from celery import Celery
broker, queue, count = sys.argv[1:]
app = Celery("caller", broker=broker, backend="rpc://")
for _ in range(int(count)):
    started = time.monotonic()
    app.send_task("asked", args=[""], queue=queue).get(timeout=60, interval=0.0005)
    print(time.monotonic() - started)
"#;

/// A prefork worker of one process. Its script comes from Redis and is run with `exec`, where there is one. It writes
/// how many jobs it has done.
const WORKER: &str = r#"
import os, sys, threading
from celery import Celery
from celery.signals import worker_process_init
broker, queue, redis, key, done = sys.argv[1:]
app = Celery("worker", broker=broker, backend="rpc://")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, worker_send_task_events=False)
script, count = {}, 0

@worker_process_init.connect
def fetch(**_):
    if key:
        from redis import Redis
        exec(Redis.from_url(redis).get(key), script)

@app.task(name="job", ignore_result=True)
def job(message):
    global count
    if script:
        script["job"]()
    count += 1
    if count == 1 or count % 500 == 0:
        with open(done, "w") as file:
            file.write(f"{count}\n")

@app.task(name="asked")
def asked(message):
    return message

threading.Thread(target=lambda: (os.read(0, 1), os.killpg(0, 9)), daemon=True).start()
app.worker_main(["worker", "--queues", queue, "--pool", "prefork", "--concurrency", "1", "--prefetch-multiplier", "1",
    "--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"])
"#;

/// The Python that has Celery.
fn python() -> PathBuf {
    pypi::python(PACKAGE)
}

fn output(script: &str, arguments: &[&str]) -> anyhow::Result<Vec<Duration>> {
    let output = Command::new(python()).args(["-c", script]).args(arguments).output()?;
    ensure!(output.status.success(), "Celery: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(Duration::try_from_secs_f64(line.trim().parse()?)?)).collect()
}

/// Publishes so many messages; gives how long it took.
pub(crate) fn publish(broker: &str, queue: &str, count: u64) -> anyhow::Result<Duration> {
    output(PRODUCER, &[broker, queue, &count.to_string()])?.pop().context("Celery has printed nothing")
}

/// Has so many jobs done, one after the other; gives how long each took from being sent to its result.
pub(crate) fn call(broker: &str, queue: &str, count: u64) -> anyhow::Result<Vec<Duration>> {
    output(CALLER, &[broker, queue, &count.to_string()])
}

/// A worker, which ends with this.
pub(crate) struct Worker {
    child: Child,
    /// When its process was started.
    pub(crate) started: Instant,
    done: PathBuf,
    _folder: tempfile::TempDir,
}

impl Worker {
    /// Starts one on a queue. With a script, a Redis and the key under which that is in it.
    pub(crate) fn start(broker: &str, queue: &str, script: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let done = folder.path().join("done");
        let (redis, key) = script.unwrap_or_default();
        let mut command = Command::new(python());
        command.args(["-c", WORKER, broker, queue, redis, key]).arg(&done).current_dir(folder.path());
        command.env("C_FORCE_ROOT", "1").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, started, done, _folder: folder })
    }

    /// Waits until it has done so many jobs, 1 or a multiple of 500; gives when that was seen.
    pub(crate) fn until_done(&mut self, jobs: u64) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        loop {
            if read_count(&self.done) >= Some(jobs) {
                return Ok(Instant::now());
            }
            ensure!(begun.elapsed() < PATIENCE, "Celery's worker takes too long");
            ensure!(self.child.try_wait()?.is_none(), "Celery's worker has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The ids of its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let children = descendants(self.child.id()).into_iter().map(|process| process.id);
        std::iter::once(self.child.id()).chain(children).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // With its standard input its group ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn read_count(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok()
}
