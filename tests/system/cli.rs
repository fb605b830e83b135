//! The `armada` command, end to end: what it prints, what it leaves, and the code that it ends with.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use armada_tests::command::{Running, armada, armada_for, finish, read_results};
use armada_tests::processes::{assert_gone, descendants, signal, wait_for};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::{Value, json};

use crate::scaffold::Scaffold;

/// A folder with these files, which is a project as far as its configuration goes.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    for (file, content) in [("ctx_script.rs", "")].iter().chain(files) {
        std::fs::write(folder.path().join(file), content).unwrap();
    }
    folder
}

fn in_folder(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    finish(armada().args(arguments).current_dir(folder))
}

#[test]
fn a_new_project_is_right_and_says_what_it_may_do() {
    let scaffold = Scaffold::take();
    let (code, out, _) = scaffold.run(&["check"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("prices: 1 job, 2 agents\n"), "{out}");
    assert!(out.contains("browser        granted"), "{out}");
    assert!(out.contains(&scaffold.site.host()), "{out}");
    let (code, out, _) = scaffold.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(report["capabilities"]["monitoring"]["verdict"], "granted");
    assert_eq!(report["unknown_imports"], json!([]));
    let (code, _, told) = finish(armada().args(["new", "prices"]).current_dir(scaffold.root.parent().unwrap()));
    assert_eq!((code, told.as_str()), (2, "error: prices is there already, and is not an empty folder\n"));
}

#[test]
fn a_script_that_is_refused_what_it_uses_fails_its_check_and_runs_with_a_note() {
    let scaffold = Scaffold::take();
    let granted = r#""capabilities": ["browser", "monitoring"]"#;
    let template = scaffold.read("config/config_template.json");
    assert!(template.contains(granted));
    let refused = template.replace(granted, r#""capabilities": ["monitoring"]"#);
    let refusal = "the capability `browser` is not allowed: add \"browser\" to run_message.sandbox.capabilities";
    scaffold.with("config/config_template.json", &refused, || {
        let (code, out, _) = scaffold.run(&["check"]);
        assert_eq!(code, 2, "{out}");
        assert!(out.contains(&format!("browser        refused   {refusal}")), "{out}");
        let (code, out, _) = scaffold.run(&["check", "--json"]);
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &report["capabilities"]["browser"]["verdict"]), (2, &json!("refused")));
        let (code, _, told) = scaffold.run(&["run"]);
        assert_eq!(code, 1, "{told}");
        let (before, _) = told.split_once("prices: 1 job").unwrap();
        assert!(before.contains(&format!("note: the script uses `browser`: {refusal}")), "{told}");
    });
    let ceiling = scaffold.root.with_file_name("ceiling.json");
    std::fs::write(&ceiling, r#"{"capabilities": ["monitoring"]}"#).unwrap();
    let (code, out, _) = scaffold.run(&["check", "--ceiling", ceiling.to_str().unwrap()]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("the operator's ceiling does not allow it"), "{out}");
}

#[test]
fn the_folder_that_one_is_in_becomes_a_project_if_it_is_empty() {
    let folder = tempfile::Builder::new().prefix("new-").tempdir().unwrap();
    let (code, _, told) = in_folder(folder.path(), &["new", "."]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("created ./ctx_script.py") && !told.contains("cd "), "Python, unless it is said: {told}");
    let (code, _, told) = in_folder(folder.path(), &["config", "--json"]);
    assert_eq!(code, 0, "{told}");
}

/// Types into a terminal that asks for the language of a new project. Gives the exit code, what the terminal showed,
/// and the folder in which the project is, if it was made.
fn answer(keys: &[u8]) -> (Option<i32>, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let terminal = openpty(None, None).unwrap();
    let (mut typing, inside) = (File::from(terminal.master), File::from(terminal.slave));
    let mut command = armada();
    command.args(["new", "prices"]).current_dir(folder.path()).env("TERM", "xterm");
    let mut asking = command.stdin(inside.try_clone().unwrap()).stderr(inside).spawn().unwrap();
    // This end of the terminal closes when the command, which has the other one, has ended.
    drop(command);
    let mut shown = Vec::new();
    let mut byte = [0];
    while typing.read(&mut byte).is_ok_and(|count| count == 1) {
        shown.push(byte[0]);
        // The last language has been shown: it waits for an answer.
        if shown.ends_with(b"Rust\r\n") && shown.windows(4).filter(|four| four == b"Rust").count() == 1 {
            // What is typed before it reads key by key is lost.
            wait_for("the keys to be read", Duration::from_secs(60), || {
                let modes = tcgetattr(&typing).unwrap().local_flags;
                (!modes.contains(LocalFlags::ICANON)).then_some(())
            });
            typing.write_all(keys).unwrap();
        }
    }
    (asking.wait().unwrap().code(), String::from_utf8_lossy(&shown).into_owned(), folder)
}

#[test]
fn who_makes_a_project_on_a_terminal_is_asked_for_its_language() {
    for (keys, script) in [("\r", "ctx_script.py"), ("\u{1b}[B\r", "ctx_script.rs")] {
        let (code, shown, folder) = answer(keys.as_bytes());
        assert_eq!(code, Some(0), "{shown}");
        assert!(folder.path().join("prices").join(script).is_file(), "{shown}");
        assert!(shown.contains(&format!("What a job does is in {script}")), "{shown}");
    }
}

#[test]
fn an_interrupted_question_leaves_nothing_behind_and_the_terminal_as_it_was() {
    let (code, shown, folder) = answer(b"\x03");
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(shown.ends_with("\u{1b}[?25hinterrupted\r\n"), "the cursor is there again: {shown:?}");
}

#[test]
fn a_new_project_runs_in_plain_lines_and_the_second_time_nothing_is_compiled() {
    let scaffold = Scaffold::take();
    let (code, out, _) = scaffold.run(&["run"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let results = read_results(&scaffold.root.join("results.jsonl"));
    assert_eq!(results.len(), 1);
    assert_eq!((&results[0]["status"], &results[0]["result"]["title"]), (&json!("Success"), &json!("Plain")));

    let (code, out, told) = scaffold.run(&["run", "--output", "again/results.jsonl"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(told.starts_with("prices: 1 job, 1 agent, run "), "{told}");
    assert!(told.contains("[1/1] done job 0 in "), "{told}");
    assert!(told.contains("1 job: 1 succeeded in "), "{told}");
    assert!(told.ends_with("results: again/results.jsonl\n"), "{told}");
    assert!(!told.contains('\u{1b}'), "colours without a terminal: {told}");
    assert_eq!(read_results(&scaffold.root.join("again/results.jsonl")).len(), 1);
}

#[test]
fn a_job_that_fails_is_summed_up_with_its_place_and_makes_the_exit_code_one() {
    let scaffold = Scaffold::take();
    let rows = format!("url\n{}/plain.html\nhttp://elsewhere.example/\n", scaffold.site.url());
    let (code, _, told) = scaffold.with("config/data_job.csv", &rows, || scaffold.run(&["run"]));
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("2 jobs: 1 succeeded, 1 failed in "), "{told}");
    assert!(told.contains("at ctx_script.rs:19:"), "the place of `goto`: {told}");
    assert!(told.contains("run_message.sandbox.allowed_hosts"), "what would allow it: {told}");
}

#[test]
fn machines_are_told_in_json_lines_and_by_the_summary_last() {
    let scaffold = Scaffold::take();
    let ended = Running::start_at(&scaffold.root, &[]).finish();
    assert_eq!(ended.code, Some(0));
    let (first, last) = (ended.told.first().unwrap(), ended.told.last().unwrap());
    assert_eq!((&first["type"], &first["jobs"], &first["agents"]), (&json!("run"), &json!(1), &json!(1)));
    assert_eq!((&last["type"], &last["succeeded"], &last["failed"]), (&json!("summary"), &json!(1), &json!(0)));
    let told: Vec<_> = ended.told.iter().filter_map(|told| told["type"].as_str()).collect();
    for kind in ["agent", "started", "event", "ended"] {
        assert!(told.contains(&kind), "{told:?}");
    }
}

#[test]
fn results_that_cannot_be_written_end_the_run_in_order() {
    let scaffold = Scaffold::take();
    let temp = tempfile::tempdir().unwrap();
    let (code, _, told) = finish(scaffold.command(&["run", "--output", "/dev/full"]).env("TMPDIR", temp.path()));
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("ending: ") && told.contains("error: /dev/full: No space left on device"), "{told}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);

    let full = std::fs::File::create("/dev/full").unwrap();
    let mut run = scaffold.command(&["run", "--json", "--output", "/dev/null"]);
    let output = run.stdout(full).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("error: standard output: No space left on device"), "{told}");
}

#[test]
fn results_go_to_standard_output_when_asked() {
    let scaffold = Scaffold::take();
    let (code, out, told) = scaffold.run(&["run", "--output", "-"]);
    assert_eq!(code, 0, "{told}");
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["status"], "Success");
    assert!(told.ends_with("results: standard output\n"), "{told}");
    let (code, out, _) = scaffold.run(&["run", "--json", "--output", "-"]);
    assert_eq!(code, 2);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(error["type"], "error");
    assert!(error["message"].as_str().unwrap().contains("give one of them"), "{error}");
}

#[test]
fn a_second_run_into_the_same_file_ends_at_once_and_leaves_it_as_it_is() {
    let scaffold = Scaffold::take();
    let path = scaffold.root.join("held.jsonl");
    std::fs::write(&path, "of the first run\n").unwrap();
    let held = std::fs::File::open(&path).unwrap();
    held.lock().unwrap();
    let (code, _, told) = scaffold.run(&["run", "--output", "held.jsonl"]);
    assert_eq!(code, 2);
    assert!(told.contains("held.jsonl: another run is writing its results there"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "of the first run\n");
}

#[test]
fn a_file_that_is_cut_short_under_a_run_ends_it() {
    let scaffold = Scaffold::take();
    // More than any queue or buffer holds, so that the end is read while jobs run.
    let row = format!("{}/plain.html,{}\n", scaffold.site.url(), "x".repeat(1_000));
    let rows = format!("url,more\n{}", row.repeat(5_000));
    let ended = scaffold.with("config/data_job.csv", &rows, || {
        let mut run = Running::start_at(&scaffold.root, &[]);
        run.until(|told| told["type"] == "ended");
        std::fs::write(scaffold.root.join("config/data_job.csv"), "url,more\n").unwrap();
        run.finish()
    });
    assert_eq!(ended.code, Some(2));
    let [.., summary, error] = ended.told.as_slice() else { panic!("{:?}", ended.told) };
    assert_eq!((&summary["type"], &error["type"]), (&json!("summary"), &json!("error")));
    assert!(summary["not_started"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(ended.results.len(), 5_000);
    assert_eq!(ended.temporary_files, 0);
}

#[test]
fn an_interrupted_compiler_ends_with_the_command() {
    let scaffold = Scaffold::take();
    let script = scaffold.read("ctx_script.rs") + "\n// Something new.\n";
    scaffold.with("ctx_script.rs", &script, || {
        let mut building = scaffold.command(&["build"]).stderr(Stdio::piped()).spawn().unwrap();
        let compilers = wait_for("the compiler", Duration::from_secs(60), || {
            let processes = descendants(building.id());
            processes.iter().any(|process| process.command.iter().any(|it| it == "--crate-name")).then_some(processes)
        });
        signal(building.id(), "INT");
        let status = building.wait().unwrap();
        let mut told = String::new();
        building.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(status.code(), Some(130), "{told}");
        assert!(told.ends_with("interrupted\n"), "{told}");
        assert_gone(&compilers);
    });
}

#[test]
fn the_same_project_in_another_folder_builds_to_the_same_bytes() {
    let scaffold = Scaffold::take();
    let (code, out, told) = scaffold.run(&["build"]);
    assert_eq!(code, 0, "{told}");
    assert!(out.contains("built ") && out.contains("prices.armada"), "{out}");
    let first = std::fs::read(scaffold.root.join("prices.armada")).unwrap();

    let elsewhere = scaffold.root.with_file_name("elsewhere");
    let copied = Command::new("cp").arg("-r").args([&scaffold.root, &elsewhere.join("prices")]).status();
    assert!(copied.unwrap().success());
    let root = elsewhere.join("prices");
    let arguments = ["build", "--json", "--output", "b.armada"];
    let (code, out, told) = finish(armada_for(&root).args(arguments).current_dir(&root));
    assert_eq!(code, 0, "{told}");
    let built: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(built["bundle"], "b.armada");
    // What everybody may read of a file that the user makes, they may read of this one.
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode();
    std::fs::write(root.join("made"), "").unwrap();
    assert_eq!(mode(root.join("b.armada")), mode(root.join("made")));
    let (code, _, told) = finish(armada_for(&root).args(["build", "-o", "/proc/x"]).current_dir(&root));
    assert_eq!(code, 2);
    assert!(told.ends_with("error: /proc/x: No such file or directory (os error 2)\n"), "{told}");
    assert!(std::fs::read(root.join("b.armada")).unwrap() == first, "{built}");
}

#[test]
fn what_the_compiler_says_names_the_authors_file_and_line() {
    let scaffold = Scaffold::take();
    let broken = scaffold.read("ctx_script.rs").replace("page.goto(&url)", "page.go_to(&url)");
    for command in ["check", "build", "run"] {
        let (code, out, told) = scaffold.with("ctx_script.rs", &broken, || scaffold.run(&[command]));
        assert_eq!((code, out.as_str()), (2, ""), "{told}");
        assert!(told.contains("no method named `go_to`"), "{told}");
        assert!(told.contains("ctx_script.rs:19:"), "{told}");
        assert!(told.ends_with("error: the project does not compile\n"), "{told}");
    }
}

#[test]
fn a_project_does_not_choose_its_compiler_and_its_build_script_is_announced() {
    let scaffold = Scaffold::take();
    let (settings, script) = (scaffold.root.join(".cargo"), scaffold.root.join("build.rs"));
    std::fs::create_dir(&settings).unwrap();
    std::fs::write(settings.join("config.toml"), "[build]\nrustc = \"/no/compiler/of/theirs\"\n").unwrap();
    std::fs::write(&script, "fn main() {}").unwrap();
    let (code, _, told) = scaffold.run(&["check"]);
    std::fs::remove_dir_all(settings).unwrap();
    std::fs::remove_file(script).unwrap();
    assert_eq!(code, 0, "{told}");
    assert!(
        told.starts_with("note: build.rs: Cargo runs this build script on this machine, outside the sandbox\n"),
        "{told}"
    );
}

#[test]
fn a_window_without_a_display_is_refused_before_anything_is_done() {
    let scaffold = Scaffold::take();
    let (code, _, told) = scaffold.run(&["run", "--headed", "--output", "headed.jsonl"]);
    assert_eq!(code, 2);
    assert!(told.contains("neither DISPLAY nor WAYLAND_DISPLAY is set") && told.contains("xvfb-run"), "{told}");
    assert!(!scaffold.root.join("headed.jsonl").exists() && !told.contains("compil"), "{told}");
}

#[test]
fn a_folder_that_is_no_project_is_told_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let places =
        [("nowhere", "nowhere: there is no such folder"), (".", ".: there is no ctx_script.py or ctx_script.rs")];
    for (place, message) in places {
        for command in ["check", "build", "config", "run"] {
            let (code, out, told) = in_folder(empty.path(), &[command, place]);
            assert_eq!((code, out.as_str()), (2, ""), "{command}");
            assert!(told.contains(message) && told.contains("`armada new NAME`"), "{told}");
        }
    }
}

#[test]
fn every_mistake_of_the_configuration_is_told_at_once_with_its_place() {
    let template = "{\n  \"run_message\": {\n    \"sandbox\": { \"capabilities\": [\"brwser\"] }\n  },\n  \
                    \"default_job_message\": { \"site\": \"$env_SITE\" }\n}\n";
    let folder = folder(&[("config/config_template.json", template), ("config/data_job.csv", "a,a\n1,2\n")]);
    for command in ["check", "config", "run"] {
        let (code, out, told) = in_folder(folder.path(), &[command]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(told.contains("3 mistakes"), "{told}");
        for part in
            ["config_template.json:3:35", "did you mean `browser`?", "config_template.json:5:36", "data_job.csv:1:3"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let (code, out, _) = in_folder(folder.path(), &["check", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    let mistakes = told["mistakes"].as_array().unwrap();
    assert_eq!((code, mistakes.len(), &told["type"]), (2, 3, &json!("mistakes")));
    assert_eq!((&mistakes[0]["line"], &mistakes[0]["column"]), (&json!(3), &json!(35)));
}

#[test]
fn the_final_messages_can_be_looked_at_and_explained() {
    let folder = folder(&[
        ("config/config_template.json", r#"{"default_job_message": {"site": "$env_SITE", "page": 1}}"#),
        ("config/config_local.json", r#"{"SITE": "http://127.0.0.1"}"#),
        ("config/config_distant.json", r#"{"SITE": "https://shop.example"}"#),
        ("config/data_agent.csv", "name\nada\nben\n"),
        ("config/data_job.csv", "page\n7\n8\n9\n"),
    ]);
    let config = |arguments: &[&str]| {
        let (code, out, told) = in_folder(folder.path(), &[&["config"], arguments].concat());
        assert_eq!((code, told.as_str()), (0, ""));
        out
    };
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(parse(&config(&["--agent", "1"])), json!({"name": "ben", "targetted_agent": 1}));
    let job = json!({"site": "https://shop.example", "page": "9", "targetted_job": 2});
    assert_eq!(parse(&config(&["--job", "2", "--mode", "distant"])), job);
    let lines: Vec<Value> = config(&["--all"]).lines().map(parse).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!((&lines[0]["name"], &lines[4]["page"]), (&json!("ada"), &json!("9")));
    let document = parse(&config(&["--agents", "1", "--jobs", "2", "--set", "SITE=here"]));
    assert_eq!(
        (&document["run_message"]["number_of_agents"], &document["jobs"][1]["site"]),
        (&json!(1), &json!("here"))
    );
    let explained = config(&["--job", "1", "--explain"]);
    let site = "site = \"http://127.0.0.1\"  ← config/config_local.json:1:10, for the placeholder at \
                config/config_template.json:1:34";
    assert!(explained.contains(site), "{explained}");
    assert!(explained.contains("page = \"8\"  ← config/data_job.csv:3:1, row 1, column `page`"), "{explained}");
    let first = config(&["--explain"]);
    let sections: Vec<&str> = first.split("\n\n").map(|section| section.split(['\n', ' ']).next().unwrap()).collect();
    assert_eq!(sections, ["run_message.number_of_agents", "agent", "job"], "{first}");
    let all: Vec<Value> = config(&["--explain", "--all", "--json"]).lines().map(parse).collect();
    assert_eq!(all[0]["path"], "run_message.number_of_agents");
    let of_job = |job: u64| all.iter().filter(|line| line["job"] == job).map(|line| &line["value"]).collect::<Vec<_>>();
    assert_eq!(of_job(2), [&json!("http://127.0.0.1"), &json!("9"), &json!(2)]);
    assert_eq!(config(&["--json"]), config(&[]));
    let (code, out, told) = in_folder(folder.path(), &["config", "--job", "3"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(told.contains("there is no job 3: the run has 3 jobs"), "{told}");
}

#[test]
fn messages_that_nobody_reads_to_the_end_are_no_mistake_and_a_full_disk_is_one() {
    let folder = folder(&[("config/config_template.json", r#"{"run_message": {"number_of_jobs": 100000}}"#)]);
    for arguments in [&["config"][..], &["config", "--all"], &["config", "--all", "--explain"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = armada();
        let closed = command.args(arguments).arg(folder.path()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let closed = closed.wait_with_output().unwrap();
        assert_eq!((closed.status.code(), String::from_utf8(closed.stderr).unwrap().as_str()), (Some(0), ""));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = armada();
        let full = command.args(arguments).arg(folder.path()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let full = full.wait_with_output().unwrap();
        let told = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(2), "{told}");
        assert!(told.starts_with("error: standard output: No space left"), "{told}");
    }
}

#[test]
fn an_environment_variable_fills_in_a_placeholder_as_a_text() {
    let template = r#"{"default_agent_message": {"password": "$env_PASSWORD"}}"#;
    let folder = folder(&[("config/config_template.json", template)]);
    let config = |arguments: &[&str], value: &[u8]| {
        let mut command = armada();
        command.env("PASSWORD", "of its own name").env("SHOP_PASSWORD", OsStr::from_bytes(value));
        finish(command.arg("config").args(arguments).current_dir(folder.path()))
    };
    let arguments = ["--set-env", "PASSWORD=SHOP_PASSWORD", "--set", "PASSWORD=1"];
    let (code, out, told) = config(&[&arguments[..], &["--agent", "0"]].concat(), b"0123");
    assert_eq!(code, 0, "{told}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({"password": "0123"}));
    let (_, out, _) = config(&["--set-env", "PASSWORD", "--agent", "0", "--explain"], b"");
    let place = "config/config_template.json:1:40";
    assert_eq!(out, format!("password = \"of its own name\"  ← --set-env PASSWORD, for the placeholder at {place}\n"));
    for (arguments, value, message) in [
        (&["--set-env", "PASSWORD=NOWHERE_TO_BE_FOUND"][..], &b""[..], "`NOWHERE_TO_BE_FOUND` is not set"),
        (&["--set-env", "PASSWORD=SHOP_PASSWORD"], b"\xff", "`SHOP_PASSWORD` is not UTF-8"),
        (&[], b"", "`--set-env PASSWORD`"),
    ] {
        let (code, out, told) = config(arguments, value);
        assert_eq!((code, out.as_str()), (2, ""), "{message}");
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn a_mistake_in_an_argument_has_the_exit_code_two() {
    for arguments in [&["rum"][..], &["run", "--set", "X"], &["run", "--mode", "near"], &["run", "--agents", "0"], &[]]
    {
        let (code, out, told) = finish(armada().args(arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(told.contains("--help") || told.contains("Usage"), "{told}");
    }
}
