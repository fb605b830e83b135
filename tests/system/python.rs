//! Projects in Python: what their authors may write, what becomes of mistakes, and what hostile ones come to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use armada_protocol::report::LogLevel;
use armada_protocol::{Cause, JobRecord};
use armada_tests::command::{armada_for, finish, project, written};
use armada_tests::guests::built;
use armada_tests::processes::{Process, assert_gone, descendants, signal, wait_for};
use armada_tests::run::{TestRun, cache_folder};
use armada_tests::site::Site;
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
        .map(|rest| rest.split(['(', ' ']).find(|word| !["async", "def"].contains(word)).unwrap().to_owned())
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
    assert_eq!(tried.len(), 24);
    for (what, said) in tried {
        assert!(said != "ok", "{what}");
    }
    assert!(!Path::new("/tmp/armada-was-here").exists());
}

/// Runs the cases that a project of `tests/projects` tells when it is asked for none, and fails unless all pass; gives
/// what else it told.
fn all_cases_pass(component: &[u8], cases: &Value, site: &Site) {
    let cases: Vec<&str> = cases.as_array().unwrap().iter().map(|case| case.as_str().unwrap()).collect();
    assert!(cases.len() > 20, "{cases:?}");
    let jobs = cases.iter().map(|case| json!({"case": case, "site": site.url()}));
    let finished = TestRun::of(component.to_vec()).jobs(jobs).agents(2).finish();
    let failed: Vec<String> = cases
        .iter()
        .zip(&finished.jobs)
        .filter(|(_, job)| text(job) != "\"passed\"")
        .map(|(case, job)| format!("{case}: {:#?}\nlog: {:?}", job.error, job.log))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// What a project gives when its job asks for no case.
fn told(component: &[u8]) -> Value {
    let listed = TestRun::of(component.to_vec()).finish();
    serde_json::from_str(text(&listed.jobs[0])).unwrap_or_else(|_| panic!("{:#?}", listed.jobs[0].error))
}

#[test]
fn every_function_of_the_python_sdk_does_what_it_says() {
    let component = built(&project("python_browser"));
    all_cases_pass(&component, &told(&component), &Site::start());
}

#[test]
fn asyncio_behaves_as_on_any_event_loop() {
    let component = built(&project("python_asyncio"));
    let told = told(&component);
    all_cases_pass(&component, &told["cases"], &Site::start());

    let endings = told["endings"].as_object().unwrap();
    let jobs = endings.keys().map(|name| json!({"case": name}));
    let limits = json!({"cpu_seconds_per_job": 5, "seconds_per_job": 30});
    let finished = TestRun::of(component).limits(limits).jobs(jobs).finish();
    for ((name, expected), job) in endings.iter().zip(&finished.jobs) {
        let expected = |part: &str| expected[part].as_str();
        if let Some(result) = expected("result") {
            assert_eq!(text(job), json!(result).to_string(), "{name}: {:#?}", job.error);
        }
        if let Some(message) = expected("error") {
            let error = job.error.as_ref().unwrap_or_else(|| panic!("{name}: {}", text(job)));
            assert!(error.message.contains(message), "{name}: {}", error.message);
        }
        if let Some(line) = expected("log") {
            let log: Vec<&str> = job.log.iter().map(|line| line.report.text.as_str()).collect();
            assert!(log.iter().any(|logged| logged.contains(line)), "{name}: {log:?}");
        }
    }
}

#[test]
fn an_exception_is_the_jobs_failure_with_the_authors_lines() {
    let script = r#"
import logging

from addon.shop import price


async def ctx_script(job_ctx, agent_ctx):
    print("looking", "for", 1)
    logging.debug("not shown")
    logging.getLogger("shop").info("prices")
    logging.warning("no %s", "price")
    try:
        await price(agent_ctx.browser)
    except armada.NotFoundError:
        pass
    except Exception as error:
        logging.exception("that was it")
        raise armada.Failure("the shop is closed") from error
import armada
"#;
    let shop = r#"
async def price(browser):
    page = await browser.new_page()
    return await page.locator("h1").inner_text(timeout=50)
"#;
    let folder = written(&[("ctx_script.py", script), ("addon/shop.py", shop)]);
    let finished = TestRun::of(built(folder.path())).finish();
    let job = &finished.jobs[0];
    let error = job.error.as_ref().unwrap();
    let lines: Vec<&str> = error.message.lines().collect();
    assert_eq!(lines[0], "the shop is closed");
    assert!(lines[1].starts_with("caused by armada.TimeoutError: "), "{lines:?}");
    assert_eq!(
        error.traceback,
        [
            "ctx_script.py:18 in ctx_script: raise armada.Failure(\"the shop is closed\") from error",
            lines[1],
            "addon/shop.py:4 in price: return await page.locator(\"h1\").inner_text(timeout=50)",
            "ctx_script.py:13 in ctx_script: await price(agent_ctx.browser)",
        ]
    );
    let log: Vec<_> = job.log.iter().map(|line| (line.report.level, line.report.text.as_str())).collect();
    let expected = [(LogLevel::Info, "looking for 1"), (LogLevel::Info, "prices"), (LogLevel::Warning, "no price")];
    assert_eq!(log[..3], expected);
    assert_eq!(log[3], (LogLevel::Error, "that was it"));
    let traceback: String = log[4..].iter().map(|(_, text)| format!("{text}\n")).collect();
    let files: Vec<_> = traceback.lines().filter_map(|line| line.trim_start().strip_prefix("File ")).collect();
    assert_eq!(files, ["\"ctx_script.py\", line 13, in ctx_script", "\"addon/shop.py\", line 4, in price"]);
}

#[test]
fn a_script_decides_what_becomes_of_its_job() {
    let script = r#"
import armada


async def ctx_script(job_ctx, agent_ctx):
    attempt = job_ctx.monitoring_client.current_job().attempt
    match job_ctx.job_message["kind"]:
        case "retry" if attempt < 3:
            raise armada.Retry("busy")
        case "fatal" if attempt < 2:
            raise armada.Fatal("worn out")
        case "failed":
            raise armada.Failure("no")
        case "key":
            return job_ctx.job_message["price"]
    return attempt
"#;
    let folder = written(&[("ctx_script.py", script)]);
    let jobs = ["retry", "fatal", "failed", "key"].map(|kind| json!({"kind": kind}));
    // Two, because one of them cannot go on.
    let finished = TestRun::of(built(folder.path())).agents(2).jobs(jobs).finish();
    let results: Vec<_> = finished.jobs.iter().map(|job| (text(job), job.attempts)).collect();
    assert_eq!(results, [("3", 3), ("2", 2), ("", 1), ("", 1)]);
    let messages: Vec<_> = finished.jobs[2..].iter().map(|job| job.error.as_ref().unwrap().message.as_str()).collect();
    assert_eq!(messages, ["no", "KeyError: 'the message has no `price`: it has `kind`'"]);
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

/// Makes a wheel that needs something from elsewhere, and that something: a source distribution that tells when its
/// code runs.
const MAKE_PACKAGES: &str = r#"
import os, sys, zipfile
folder = sys.argv[1]
os.makedirs(f"{folder}/source")
with open(f"{folder}/source/setup.py", "w") as file:
    file.write(f"open({folder!r} + '/ran', 'w').close()\nfrom setuptools import setup\nsetup(name='elsewhere', version='1')\n")
about = f"Metadata-Version: 2.1\nName: armada-leads-elsewhere\nVersion: 1\nRequires-Dist: elsewhere @ file://{folder}/source\n"
with zipfile.ZipFile(f"{folder}/armada_leads_elsewhere-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("armada_leads_elsewhere.py", "")
    info = "armada_leads_elsewhere-1.dist-info"
    wheel.writestr(f"{info}/METADATA", about)
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
"#;

#[test]
fn a_requirement_has_no_code_built_on_this_machine_however_it_is_asked_for() {
    let index = tempfile::tempdir().unwrap();
    let made = Command::new("python3").args(["-c", MAKE_PACKAGES]).arg(index.path()).status().unwrap();
    assert!(made.success());
    let source = index.path().join("source").display().to_string();
    for requirements in [
        "armada-leads-elsewhere\n".to_owned(),
        format!("idna; python_version > '3'\u{c}{source}\n"),
        format!("elsewhere @ file://{source}\n"),
        format!("{source}\n"),
    ] {
        let folder = written(&[("ctx_script.py", SCRIPT), ("requirements.txt", &requirements)]);
        let mut command = armada_for(folder.path());
        let (code, _, said) = finish(command.env("PIP_FIND_LINKS", index.path()).arg("check").arg(folder.path()));
        assert_eq!(code, 2, "{requirements}: {said}");
        assert!(said.contains("requirements.txt"), "{requirements}: {said}");
        assert!(!index.path().join("ran").exists(), "{requirements}");
    }
}

#[test]
fn a_build_that_is_interrupted_leaves_no_process_and_soon_no_file() {
    let folder = written(&[("ctx_script.py", "while True:\n    pass\n"), ("requirements.txt", "idna\n")]);
    let builds = cache_folder().join("python/builds");
    let mut building = armada_for(folder.path()).arg("build").arg(folder.path()).spawn().unwrap();
    let processes = wait_for("the interpreter", Duration::from_secs(120), || {
        let processes = descendants(building.id());
        let is_there = |process: &Process| process.command.iter().any(|argument| argument == "componentize");
        processes.iter().any(is_there).then_some(processes)
    });
    signal(building.id(), "INT");
    assert_eq!(building.wait().unwrap().code(), Some(130));
    assert_gone(&processes);
    // The next build removes what this one has left.
    built(written(&[("ctx_script.py", &format!("{SCRIPT}# {:?}\n", folder.path()))]).path());
    let left = std::fs::read_dir(&builds).unwrap().flatten().filter(|entry| {
        std::fs::read_to_string(entry.path().join("project/ctx_script.py"))
            .is_ok_and(|text| text.starts_with("while True"))
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_project_shows_its_script_no_file_from_outside() {
    let folder = written(&[("ctx_script.py", SCRIPT), ("config/config_template.json", "{}")]);
    let secret = folder.path().with_extension("secret");
    std::fs::write(&secret, "key\nvalue\n").unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("config/data_job.csv")).unwrap();
    let (code, _, said) = finish(armada_for(folder.path()).arg("check").arg(folder.path()));
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("config/data_job.csv: this link leads out of the project"), "{said}");
}

#[test]
fn packages_in_python_alone_work_with_their_data_and_modules_that_they_import_late() {
    let script = r#"
import importlib.metadata
import importlib.resources

import datetime
import pathlib

import certifi
import jinja2
import sqlalchemy
from babel.dates import format_date
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
        "date": format_date(datetime.date(2026, 7, 1), locale="de"),
        "select": sqlalchemy.create_engine("sqlite://").connect().execute(sqlalchemy.text("select 1 + 1")).scalar(),
        "certificates": pathlib.Path(certifi.where()).is_file(),
    }
"#;
    let folder = written(&[
        ("ctx_script.py", script),
        ("requirements.txt", "babel\nbeautifulsoup4\ncertifi\nfaker\njinja2\npyyaml\nsqlalchemy\n"),
    ]);
    let finished = TestRun::of(built(folder.path())).finish();
    let result: Value =
        serde_json::from_str(text(&finished.jobs[0])).unwrap_or_else(|_| panic!("{:#?}", finished.jobs[0].error));
    let expected = json!({
        "text": "one two", "template": "<3!", "names": true, "version": "4", "typed": true, "yaml": {"a": [1, 2]},
        "domain": "xn--mnchen-3ya.example", "date": "01.07.2026", "select": 2, "certificates": true,
    });
    assert_eq!(result, expected);
}

#[test]
fn files_beside_modules_can_be_read_and_nothing_can_be_written() {
    let shop = r#"
import json
import os
from pathlib import Path

WHEN_BUILT = json.loads((Path(__file__).parent / "rates.json").read_text())["eur"]


def rates():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "rates.json"), encoding="utf-8") as file:
        now = json.load(file)["eur"]
    try:
        open(os.path.join(here, "rates.json"), "w")
    except OSError as error:
        return [WHEN_BUILT, now, sorted(os.listdir(here)), os.path.exists(f"{here}/no.json"), type(error).__name__]
"#;
    let script = "from addon.shop import rates\nasync def ctx_script(job_ctx, agent_ctx):\n    return rates()\n";
    let files = [("ctx_script.py", script), ("addon/shop.py", shop), ("addon/rates.json", r#"{"eur": 1.5}"#)];
    let finished = TestRun::of(built(written(&files).path())).finish();
    let result: Value =
        serde_json::from_str(text(&finished.jobs[0])).unwrap_or_else(|_| panic!("{:#?}", finished.jobs[0].error));
    assert_eq!(result, json!([1.5, 1.5, ["rates.json", "shop.py"], false, "OSError"]));
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
