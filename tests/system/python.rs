//! Projects in Python: what their authors may write, what becomes of mistakes, and what hostile ones come to.

use std::path::Path;

use armada_protocol::{Cause, JobRecord};
use armada_tests::command::{armada_for, finish, project};
use armada_tests::guests::built;
use armada_tests::run::TestRun;
use serde_json::{Value, json};

/// What must come of an attack.
enum Outcome {
    /// The job fails for this cause, with this in its message.
    Fault(Cause, &'static str),
    /// The job has this result.
    Result(&'static str),
}

/// Every attack of `tests/projects/python_hostile`, and what must come of it.
const ATTACKS: &[(&str, Outcome)] = &[
    ("endless_loop", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("endless_loop_beside_a_call", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("endless_regular_expression", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("endless_arithmetic", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("endless_tasks", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("sleeps_for_ever", Outcome::Fault(Cause::WallTime, "waiting for sleep")),
    ("sleeps_outside_the_loop", Outcome::Fault(Cause::WallTime, "limits.seconds_per_job")),
    ("waits_for_itself", Outcome::Fault(Cause::Failed, "every task waits for another one")),
    ("list_growth", Outcome::Fault(Cause::Memory, "more than 256 MiB")),
    ("list_growth_that_is_caught", Outcome::Fault(Cause::Memory, "more than 256 MiB")),
    ("one_huge_string", Outcome::Fault(Cause::Memory, "more than 256 MiB")),
    ("recursion", Outcome::Fault(Cause::Failed, "RecursionError")),
    ("recursion_without_a_limit", Outcome::Fault(Cause::Stack, "too deeply")),
    ("recursion_in_native_code", Outcome::Fault(Cause::Stack, "too deeply")),
    ("exits", Outcome::Fault(Cause::Trap, "ended its process with status 0")),
    ("exits_in_order", Outcome::Fault(Cause::Failed, "the script called sys.exit('enough')")),
    ("exits_in_a_task", Outcome::Fault(Cause::Failed, "the script called sys.exit(3)")),
    ("a_result_that_is_not_json", Outcome::Fault(Cause::Failed, "cannot be written as JSON")),
    ("a_result_that_holds_itself", Outcome::Fault(Cause::Failed, "cannot be written as JSON")),
    ("a_large_result", Outcome::Fault(Cause::TooLarge, "limits.bytes_per_call")),
    ("a_million_lines", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("a_task_that_refuses_to_end", Outcome::Result("\"over\"")),
    ("a_task_that_spins_when_cancelled", Outcome::Fault(Cause::CpuTime, "limits.cpu_seconds_per_job")),
    ("breaks_the_sdk", Outcome::Fault(Cause::Trap, "")),
    ("breaks_the_interpreter", Outcome::Fault(Cause::Trap, "")),
    ("calls_the_host_with_nonsense", Outcome::Fault(Cause::Trap, "")),
    ("raises_while_it_is_collected", Outcome::Result("\"collected\"")),
];

/// The attacks that a project has, by the marks in its source.
fn attacks_of(folder: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(folder.join("ctx_script.py")).unwrap();
    let after_mark = source.split("\n@attack\n").skip(1);
    after_mark
        .map(|rest| rest.split(['(', ' ']).filter(|word| !["async", "def"].contains(word)).next().unwrap().to_owned())
        .collect()
}

fn text(job: &JobRecord) -> &str {
    job.result.as_ref().map_or("", |result| result.get())
}

#[test]
fn every_attack_in_python_costs_its_job_and_nothing_else() {
    let folder = project("python_hostile");
    let mut named: Vec<&str> = ATTACKS.iter().map(|(name, _)| *name).collect();
    named.push("reads_the_machine");
    named.sort_unstable();
    let mut there = attacks_of(&folder);
    there.sort_unstable();
    assert_eq!(named, there, "an attack without an outcome, or an outcome without an attack");

    let jobs = ATTACKS.iter().flat_map(|(name, _)| [json!({"attack": name}), json!({})]);
    let limits = json!({"cpu_seconds_per_job": 1, "seconds_per_job": 20});
    let finished = TestRun::of(built(&folder)).limits(limits).jobs(jobs).finish();
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    for ((name, outcome), jobs) in ATTACKS.iter().zip(finished.jobs.chunks(2)) {
        let [attack, honest] = jobs else { panic!("{jobs:?}") };
        assert_eq!(text(honest), "\"honest\"", "after {name}: {:#?}", honest.error);
        match outcome {
            Outcome::Result(expected) => assert_eq!(text(attack), *expected, "{name}: {:#?}", attack.error),
            Outcome::Fault(cause, message) => {
                let error = attack.error.as_ref().unwrap_or_else(|| panic!("{name}: {}", text(attack)));
                assert_eq!(error.cause, *cause, "{name}: {error:?}");
                assert!(error.message.contains(message), "{name}: {}", error.message);
            }
        }
    }
}

#[test]
fn a_python_script_reaches_nothing_of_the_machine() {
    let finished =
        TestRun::of(built(&project("python_hostile"))).jobs([json!({"attack": "reads_the_machine"})]).finish();
    let said: serde_json::Map<String, Value> = serde_json::from_str(text(&finished.jobs[0])).unwrap();
    assert_eq!((&said["environment"], &said["arguments"], &said["path"]), (&json!("0"), &json!("[]"), &json!("[]")));
    let tried: Vec<_> =
        said.iter().filter(|(what, _)| !["environment", "arguments", "path"].contains(&what.as_str())).collect();
    assert_eq!(tried.len(), 20);
    for (what, said) in tried {
        assert!(said != "ok", "{what}");
    }
    assert!(!Path::new("/tmp/armada-was-here").exists());
}

/// A project in a folder of its own, of these files.
fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

/// What `armada check` says of a project that has a mistake.
fn mistake_in(files: &[(&str, &str)]) -> String {
    let folder = written(files);
    let (code, _, said) = finish(armada_for(folder.path()).arg("check").arg(folder.path()));
    assert_eq!(code, 2, "{said}");
    said
}

const SCRIPT: &str = "async def ctx_script(job_ctx, agent_ctx):\n    return 1\n";

#[test]
fn mistakes_in_python_are_told_at_their_place_before_anything_runs() {
    let said = mistake_in(&[("ctx_script.py", "import addon.site\n"), ("addon/site.py", "x = 1\ndef f(:\n")]);
    assert!(said.contains("[addon/site.py:2:7]") && said.contains("SyntaxError: invalid syntax"), "{said}");
    assert!(said.contains("reached from ctx_script.py:1"), "{said}");

    let said = mistake_in(&[("ctx_script.py", &format!("{SCRIPT}import bs4\n"))]);
    assert!(said.contains("[ctx_script.py:3:1]") && said.contains("No module named 'bs4'"), "{said}");
    assert!(said.contains("requirements.txt"), "{said}");

    let said = mistake_in(&[("ctx_script.py", "async def ctx_script(job_ctx):\n    pass\n")]);
    assert!(said.contains("must take job_ctx and agent_ctx"), "{said}");

    let asks = "from armada.monitoring import MonitoringClient\nMonitoringClient().record_success_event('x')\n";
    let said = mistake_in(&[("ctx_script.py", &format!("{asks}{SCRIPT}"))]);
    assert!(
        said.contains("[ctx_script.py:2:1]") && said.contains("no host to call while the project is built"),
        "{said}"
    );
}

#[test]
fn requirements_that_cannot_work_are_refused_by_name_with_what_to_do() {
    let refused = |line: &str| mistake_in(&[("ctx_script.py", SCRIPT), ("requirements.txt", line)]);
    let said = refused("# parses\nlxml\n");
    assert!(said.contains("[requirements.txt:2:1]") && said.contains("`lxml` has native code"), "{said}");
    assert!(said.contains("beautifulsoup4"), "{said}");
    // Needed by another package, which is not to blame by itself.
    let said = refused("pydantic\n");
    assert!(said.contains("`pydantic_core` has native code") && said.contains("dataclasses"), "{said}");
    let said = refused("a-package-that-nobody-would-call-so\n");
    assert!(said.contains("there is no wheel of `a-package-that-nobody-would-call-so`"), "{said}");
    let said = refused("--no-binary :all:\n");
    assert!(said.contains("options are not allowed here"), "{said}");
}

#[test]
fn packages_in_python_alone_work_with_their_data_and_modules_that_they_import_late() {
    let script = r#"
import importlib.metadata
import importlib.resources

import jinja2
from bs4 import BeautifulSoup
from faker import Faker


async def ctx_script(job_ctx, agent_ctx):
    import yaml  # only now

    Faker.seed(1)
    return {
        "text": BeautifulSoup("<p>one <b>two</b></p>", "html.parser").p.text,
        "template": jinja2.Template("{{ word }}!").render(word="<3"),
        "names": len(Faker("de_DE").name().split()) > 1,
        "version": importlib.metadata.version("beautifulsoup4").split(".")[0],
        "typed": importlib.resources.files("faker").joinpath("py.typed").is_file(),
        "yaml": yaml.safe_load("a: [1, 2]"),
        "domain": "münchen.example".encode("idna").decode(),
    }
"#;
    let folder = written(&[("ctx_script.py", script), ("requirements.txt", "beautifulsoup4\nfaker\njinja2\npyyaml\n")]);
    let finished = TestRun::of(built(folder.path())).finish();
    let result: Value =
        serde_json::from_str(text(&finished.jobs[0])).unwrap_or_else(|_| panic!("{:#?}", finished.jobs[0].error));
    let expected = json!({
        "text": "one two", "template": "<3!", "names": true, "version": "4", "typed": true, "yaml": {"a": [1, 2]},
        "domain": "xn--mnchen-3ya.example",
    });
    assert_eq!(result, expected);
}

#[test]
fn what_a_project_runs_while_it_is_built_sees_copies_and_nothing_else() {
    let script = r#"
import os, socket, subprocess

def tried(attempt):
    try:
        return attempt()
    except Exception as error:
        return type(error).__name__

def write(path):
    with open(path, "w") as file:
        return file.write("x")

SEEN = {
    "read": tried(lambda: open("/etc/passwd").read()),
    "climb": tried(lambda: open("/2/../../../../etc/passwd").read()),
    "connect": tried(lambda: socket.create_connection(("127.0.0.1", 22), 1)),
    "run": tried(lambda: subprocess.run(["id"])),
    "secrets": [name for name in os.environ if "SECRET" in name],
    "own": tried(lambda: write("/2/written.py")),
    "folders": [folder for folder in range(12) if os.path.isdir(f"/{folder}")],
    "environment": [file for folder in range(12) if os.path.isdir(f"/{folder}") for file in os.listdir(f"/{folder}") if "pip" in file],
}
raise RuntimeError(repr(SEEN))
"#;
    let folder = written(&[("ctx_script.py", script)]);
    let (_, _, said) =
        finish(armada_for(folder.path()).env("A_SECRET", "x").env("COLUMNS", "400").arg("check").arg(folder.path()));
    let said: String = said.lines().map(|line| line.trim_start_matches([' ', '|', 'x'])).collect();
    for expected in [
        "'read': 'FileNotFoundError'",
        "'climb': 'PermissionError'",
        "'connect': 'gaierror'",
        "'run': 'OSError'",
        "'secrets': []",
        "'own': 1",
        "'environment': []",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!folder.path().join("written.py").exists());
}

#[test]
fn a_module_that_is_random_while_it_is_built_is_not_the_same_everywhere() {
    let script = "import random\nasync def ctx_script(job_ctx, agent_ctx):\n    return random.random()\n";
    let folder = written(&[("ctx_script.py", script)]);
    let component = built(folder.path());
    let numbers = [0, 1].map(|_| text(&TestRun::of(component.clone()).finish().jobs[0]).to_owned());
    assert_ne!(numbers[0], numbers[1]);
}
