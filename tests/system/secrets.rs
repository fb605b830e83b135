//! Secrets: typed into pages of their origins and sent to them, hidden from scripts, and revealed by a grant of its
//! own.

use armada_protocol::Hidden;
use armada_protocol::inventory::Secret;
use armada_protocol::{Inventory, Status};
use armada_tests::command::{armada_for, finish, project, read_results};
use armada_tests::guests::{built, component};
use armada_tests::run::{Finished, TestRun};
use armada_tests::site::Site;
use serde_json::{Value, json};

/// The secret, with what is written in many ways.
const PASSWORD: &str = "p@ss \"wörd\" & <more>";

/// Everything of what has to do with secrets; compilers would say more than anybody can read.
const LOGGED: &str = "warn,armada_host=trace,armada_protocol=trace,h2=trace,hyper=trace,hyper_util=trace,rustls=trace,\
                      tokio_util=trace";

fn inventory(site: &Site) -> Inventory {
    let secret = |value: &str| Secret { value: Hidden(value.to_owned()), origins: vec![site.url()] };
    let secrets = [("password".to_owned(), secret(PASSWORD)), ("shown".to_owned(), secret("for all to see"))].into();
    Inventory { secrets, ..Inventory::default() }
}

fn sandbox() -> Value {
    json!({
        "capabilities": ["browser", "http", "monitoring", "secrets"],
        "allowed_hosts": ["127.0.0.1:*", "localhost:*"],
        "secrets": ["password"],
        "revealed_secrets": ["shown", "missing"],
    })
}

fn message(site: &Site) -> Value {
    json!({"site": site.url(), "backwards": PASSWORD.chars().rev().collect::<String>()})
}

/// Nothing of a run has the secret as it is.
fn passed(finished: &Finished) {
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    let failed: Vec<_> = finished.jobs.iter().filter(|job| job.status != Status::Success).collect();
    assert!(failed.is_empty() && !finished.jobs.is_empty(), "{failed:#?}");
    let told = format!("{:?}{:?}", finished.changes, finished.jobs);
    assert!(!told.contains("p@ss"), "{told}");
}

/// Every case, on a site that the secret is bound to.
pub(crate) fn every_case_passes() {
    let listed = TestRun::of(component("secrets")).finish();
    let cases: Vec<String> = serde_json::from_str(listed.jobs[0].result.as_ref().unwrap().get()).unwrap();
    let site = Site::start();
    let jobs = cases.iter().filter(|case| *case != "what_is_not_granted_is_denied").map(|case| {
        let mut message = message(&site);
        message["case"] = case.as_str().into();
        message
    });
    passed(&TestRun::of(component("secrets")).sandbox(sandbox()).inventory(inventory(&site)).jobs(jobs).finish());
}

#[test]
fn secrets_are_typed_where_they_may_go_and_seen_by_no_script() {
    every_case_passes();
}

#[test]
fn both_keys_are_needed_for_the_capability_and_for_each_secret() {
    let site = Site::start();
    let denied = |without: &str, ceiling: Value, expected: &str| {
        let mut sandbox = sandbox();
        match without {
            "capability" => sandbox["capabilities"] = json!(["browser", "http"]),
            "name" => sandbox["secrets"] = json!([]),
            _ => {}
        }
        let mut message = message(&site);
        message["case"] = "what_is_not_granted_is_denied".into();
        message["expected"] = expected.into();
        let run = TestRun::of(component("secrets")).sandbox(sandbox).ceiling(ceiling).inventory(inventory(&site));
        passed(&run.jobs([message]).finish());
    };
    denied("capability", json!({}), "add \"secrets\" to run_message.sandbox.capabilities");
    denied("name", json!({}), "add \"password\" to run_message.sandbox.secrets");
    denied("", json!({"capabilities": ["browser"]}), "the operator's ceiling does not allow it");
    denied("", json!({"secrets": []}), "the operator's ceiling does not allow it");
}

#[test]
fn python_has_secrets_typed_and_sent() {
    let site = Site::start();
    let run = TestRun::of(built(&project("python_secrets"))).sandbox(sandbox()).inventory(inventory(&site));
    let finished = run.jobs([message(&site)]).finish();
    passed(&finished);
    assert_eq!(finished.jobs[0].result.as_ref().unwrap().get(), "\"[secret password]\"");
}

#[test]
fn nothing_that_is_logged_has_a_secret_that_was_typed_or_sent_by_tls() {
    let (site, authority) = Site::start_with_private_authority();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let secret = |name: &str, value: &str| {
        let (path, origin) = (file(name), site.url());
        std::fs::write(&path, value).unwrap();
        format!("[secrets.{name}]\nfile = {path:?}\norigins = [{origin:?}]\n")
    };
    let inventory = [secret("password", PASSWORD), secret("shown", "for all to see")].concat();
    std::fs::write(file("inventory.toml"), inventory).unwrap();
    std::fs::write(file("authority.pem"), authority).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let python = project("python_secrets");
        let mut command = armada_for(&python);
        command.args(["run", "--set", &format!("SITE={}", site.url())]).arg("--inventory").arg(file("inventory.toml"));
        command.args(["--set", &format!("BACKWARDS={}", PASSWORD.chars().rev().collect::<String>())]);
        command.arg("--output").arg(file("results.jsonl")).arg(&python).envs(variables.iter().copied());
        let (code, told, logged) = finish(&mut command);
        (code, format!("{told}{logged}{:?}", read_results(&file("results.jsonl"))))
    };
    let trusted = file("authority.pem");
    let (code, told) = run(&[("SSL_CERT_FILE", trusted.to_str().unwrap()), ("ARMADA_LOG", LOGGED)]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("page.fill-secret") && told.contains("[secret password]"), "{told}");
    assert!(!told.contains("p@ss"), "{told}");
    let (code, told) = run(&[]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("certificate"), "{told}");
}
