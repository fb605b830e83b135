//! Processes of this machine, as a test sees them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its program and arguments.
    pub command: Vec<String>,
}

impl Process {
    /// Whether it is the main process of a Chromium, not one of its children.
    pub fn is_chromium(&self) -> bool {
        self.command.iter().any(|argument| argument == "--remote-debugging-pipe")
            && !self.command.iter().any(|argument| argument.starts_with("--type="))
            && !self.command.first().is_some_and(|program| program.ends_with("sh"))
    }

    /// Whether it is an agent of a run.
    pub fn is_agent(&self) -> bool {
        self.command.get(1).is_some_and(|argument| argument == "agent")
    }
}

/// The processes that descend from this one, itself excluded.
pub fn descendants(of: u32) -> Vec<Process> {
    let all = all();
    let mut found = Vec::new();
    let mut todo = vec![of];
    while let Some(parent) = todo.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            todo.push(process.id);
            found.push(process.clone());
        }
    }
    found
}

/// All processes.
pub fn all() -> Vec<Process> {
    let ids = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    ids.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(id: u32) -> Option<Process> {
    let folder = Path::new("/proc").join(id.to_string());
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    // A process that has ended and was not waited for is no process any more.
    if status.lines().any(|line| line.starts_with("State:") && line.contains('Z')) {
        return None;
    }
    let command = std::fs::read(folder.join("cmdline")).ok()?;
    let command = command.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    Some(Process { id, parent, command: command.map(|part| String::from_utf8_lossy(part).into_owned()).collect() })
}

/// Waits until none of these processes runs any more.
///
/// # Panics
///
/// When one still runs after ten seconds.
pub fn assert_gone(processes: &[Process]) {
    let wanted: BTreeSet<_> = processes.iter().map(|process| process.id).collect();
    let started = Instant::now();
    loop {
        let left: Vec<_> = all().into_iter().filter(|process| wanted.contains(&process.id)).collect();
        if left.is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a signal to a process.
pub fn signal(id: u32, signal: &str) {
    let sent = std::process::Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "signal {signal} to {id}");
}

/// Waits until something is there.
///
/// # Panics
///
/// When it is not there after this long.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < within, "waited {within:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
