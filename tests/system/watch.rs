//! `armada run --watch`, end to end: what is saved runs again, and nothing else does.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use armada_tests::command::{armada, finish, read_results};
use armada_tests::processes::{self, Process, assert_gone, descendants, wait_for};
use serde_json::json;

use crate::scaffold::Scaffold;

const WAITING: &str = "waiting for a file to be saved";

/// A script that says that it is there and then waits for as long as it takes.
const SLOW: &str = r#"
pub async fn ctx_script(job_ctx: &armada::Job, agent_ctx: &armada::Agent) -> armada::Result<()> {
    let _page = agent_ctx.browser.new_page().await?;
    job_ctx.monitoring_client.record_success_event("here")?;
    armada::sleep(std::time::Duration::from_secs(3600)).await?;
    Ok(())
}
"#;

/// A project that is watched.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    temp: tempfile::TempDir,
}

impl Watching {
    fn start(scaffold: &Scaffold) -> Self {
        Self::start_with(scaffold.command(&["run", "--watch", "--verbose", "--output", "watched/results.jsonl"]))
    }

    fn start_with(mut command: Command) -> Self {
        let temp = tempfile::tempdir().unwrap();
        command.env("TMPDIR", temp.path()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, temp }
    }

    /// Waits until it says this; gives what it said until then, this included.
    fn until(&mut self, what: &str) -> String {
        let mut told = String::new();
        while !told.contains(what) {
            let Some(line) = self.lines.next() else { panic!("it has ended without `{what}`: {told}") };
            told.push_str(&format!("{}\n", line.unwrap()));
            assert!(told.contains(what) || !told.contains(WAITING), "nothing like `{what}`: {told}");
        }
        told
    }

    /// Interrupts it, and waits until it and all that it has started are gone.
    fn interrupt(&mut self) -> String {
        let started: Vec<Process> = descendants(self.child.id());
        processes::signal(self.child.id(), "INT");
        let told: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        let ended = wait_for("the command to end", Duration::from_secs(60), || self.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(130), "{told:#?}");
        assert_gone(&started);
        told.join("\n")
    }

    /// How many things it has left in the folder for temporary files.
    fn temporary_files(&self) -> usize {
        std::fs::read_dir(self.temp.path()).unwrap().count()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // A test that has failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often it has run, by what it has said.
fn runs(told: &str) -> usize {
    told.matches(", run ").count()
}

/// Saves a file the way many editors do: another one takes its place.
fn save_by_renaming(path: &Path, content: &str) {
    let name = path.file_name().unwrap().to_string_lossy();
    std::fs::rename(path, path.with_file_name(format!("{name}~"))).unwrap();
    let new = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
    std::fs::remove_file(path.with_file_name(format!("{name}~"))).unwrap();
}

#[test]
fn what_is_saved_runs_again_and_what_runs_write_does_not() {
    let scaffold = Scaffold::take();
    let results = scaffold.root.join("watched/results.jsonl");
    let rows = scaffold.read("config/data_job.csv");
    let mut watching = Watching::start(&scaffold);
    let told = watching.until(WAITING);
    assert_eq!((runs(&told), read_results(&results).len()), (1, 1), "{told}");

    // Another row, by an editor that writes in several steps: one more run, of two jobs.
    let two = format!("{rows}{}/plain.html\n", scaffold.site.url());
    scaffold.with("config/data_job.csv", &rows, || {
        save_by_renaming(&scaffold.root.join("config/data_job.csv"), &two);
        let told = watching.until(WAITING);
        assert!(told.starts_with("saved config/data_job.csv: running again\n"), "{told}");
        assert_eq!((runs(&told), read_results(&results).len()), (1, 2), "{told}");

        // What nobody writes by hand counts for nothing: the next thing that is said is of a file that does.
        for file in ["target/x", "__pycache__/x.pyc", ".hidden", "x.rs~", "prices.armada", ".git/index"] {
            let path = scaffold.root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "written").unwrap();
        }
        // Files of a new folder are noticed, many at once are one change, and one that has gone is called so.
        let addon = scaffold.root.join("addon/inner");
        std::fs::create_dir_all(&addon).unwrap();
        for file in ["a.txt", "b.txt", "c.txt"] {
            std::fs::write(addon.join(file), "of the addon").unwrap();
        }
        let told = watching.until(WAITING);
        assert!(told.starts_with("saved addon/inner/a.txt and 2 more: running again\n"), "{told}");
        assert_eq!(runs(&told), 1, "{told}");
        std::fs::remove_file(addon.join("b.txt")).unwrap();
        let told = watching.until(WAITING);
        assert!(told.starts_with("removed addon/inner/b.txt: running again\n"), "{told}");
        std::fs::write(addon.join("c.txt"), "of a folder that is watched now").unwrap();
        let told = watching.until(WAITING);
        assert!(told.starts_with("saved addon/inner/c.txt: running again\n"), "{told}");
    });
    watching.until(WAITING);
    assert_eq!((watching.interrupt().as_str(), watching.temporary_files()), ("interrupted", 0));
    for folder in ["addon", "target", "__pycache__", ".git", "watched"] {
        std::fs::remove_dir_all(scaffold.root.join(folder)).unwrap();
    }
    for file in [".hidden", "x.rs~", "prices.armada"] {
        std::fs::remove_file(scaffold.root.join(file)).unwrap();
    }
}

#[test]
fn a_mistake_is_told_and_waited_out() {
    let scaffold = Scaffold::take();
    let script = scaffold.read("ctx_script.rs");
    let broken = script.replace("page.goto(&url)", "page.go_to(&url)");
    scaffold.with("config/config_template.json", "{", || {
        let mut watching = Watching::start(&scaffold);
        let told = watching.until(WAITING);
        assert!(told.contains("config_template.json:1:") && runs(&told) == 0, "{told}");
        watching
    });
    let mut watching = Watching::start(&scaffold);
    watching.until(WAITING);
    scaffold.with("ctx_script.rs", &broken, || {
        let told = watching.until(WAITING);
        assert!(told.contains("ctx_script.rs:19:") && told.contains("the project does not compile"), "{told}");
        assert_eq!(runs(&told), 0, "{told}");
    });
    let told = watching.until(WAITING);
    assert!(told.contains("1 job: 1 succeeded"), "{told}");
    watching.interrupt();
}

#[test]
fn a_run_that_goes_on_is_ended_in_order_by_what_is_saved_and_by_an_interruption() {
    let scaffold = Scaffold::take();
    let mut watching = scaffold.with("ctx_script.rs", SLOW, || {
        let mut watching = Watching::start(&scaffold);
        watching.until("Success: here");
        watching
    });
    let running = descendants(watching.child.id());
    assert!(running.iter().any(Process::is_chromium), "{running:#?}");
    let told = watching.until("saved ctx_script.rs: running again");
    assert!(told.contains("ending: saved ctx_script.rs\n"), "{told}");
    assert!(told.contains("1 job: 0 succeeded, 1 cancelled"), "{told}");
    assert_gone(&running);
    let told = watching.until(WAITING);
    assert!(told.contains("1 job: 1 succeeded"), "{told}");

    scaffold.with("ctx_script.rs", SLOW, || {
        watching.until("Success: here");
        let told = watching.interrupt();
        assert!(told.contains("ending: jobs in progress") && told.contains("1 cancelled"), "{told}");
        assert_eq!(watching.temporary_files(), 0);
    });
}

#[test]
fn an_interruption_while_the_project_is_built_again_ends_the_compiler() {
    let scaffold = Scaffold::take();
    let mut watching = Watching::start(&scaffold);
    watching.until(WAITING);
    let script = scaffold.read("ctx_script.rs") + "\n// Something newer.\n";
    scaffold.with("ctx_script.rs", &script, || {
        wait_for("the compiler", Duration::from_secs(60), || {
            let processes = descendants(watching.child.id());
            processes.iter().any(|process| process.command.iter().any(|it| it == "--crate-name")).then_some(())
        });
        assert!(watching.interrupt().ends_with("interrupted"));
    });
}

#[test]
fn a_python_project_runs_again_and_its_mistakes_are_told_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let (script, results) = (folder.path().join("ctx_script.py"), folder.path().join("results.jsonl"));
    let save = |result: &str| {
        std::fs::write(&script, format!("async def ctx_script(job_ctx, agent_ctx):\n    return {result}\n")).unwrap();
    };
    save("1");
    std::fs::write(folder.path().join("main.py"), "raise SystemExit\n").unwrap();
    let mut command = armada();
    command.args(["run", "--watch"]).current_dir(folder.path());
    let mut watching = Watching::start_with(command);
    let told = watching.until(WAITING);
    assert!(told.contains("note: main.py: not used: Armada calls ctx_script itself"), "{told}");
    assert_eq!(read_results(&results)[0]["result"], 1, "{told}");

    save("(");
    let told = watching.until(WAITING);
    assert!(told.contains("ctx_script.py:2:12") && told.contains("SyntaxError"), "{told}");
    assert_eq!(runs(&told), 0, "{told}");
    save("2");
    let told = watching.until(WAITING);
    assert!(told.starts_with("saved ctx_script.py: running again\n"), "{told}");
    assert_eq!(read_results(&results)[0]["result"], 2, "{told}");

    save("3");
    wait_for("the build", Duration::from_secs(60), || {
        let processes = descendants(watching.child.id());
        processes.iter().any(|process| process.command.iter().any(|it| it == "componentize")).then_some(())
    });
    assert!(watching.interrupt().ends_with("interrupted"));
}

#[test]
fn it_is_not_for_machines_and_needs_a_file_for_its_results() {
    let scaffold = Scaffold::take();
    let (code, _, told) = finish(&mut scaffold.command(&["run", "--watch", "--json"]));
    assert_eq!(code, 2);
    assert!(told.contains("'--watch' cannot be used with '--json'"), "{told}");
    let (code, out, told) = finish(&mut scaffold.command(&["run", "--watch", "--output", "-"]));
    assert_eq!((code, json!(out)), (2, json!("")));
    assert!(told.contains("give --output a file"), "{told}");
    let (code, _, told) = finish(&mut scaffold.command(&["run", "--watch", "nowhere"]));
    assert_eq!(code, 2);
    assert!(told.contains("nowhere: there is no such folder"), "{told}");
}
