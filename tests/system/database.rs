//! Databases: the same cases on a real SQLite file, a real PostgreSQL and a real MariaDB.

use std::process::Command;
use std::time::{Duration, Instant};

use armada_protocol::Hidden;
use armada_protocol::inventory::Database;
use armada_protocol::{Inventory, JobRecord, Status};
use armada_tests::command::project;
use armada_tests::guests::{built, component};
use armada_tests::run::{Finished, TestRun};
use armada_tests::servers::{self, Server};
use serde_json::{Value, json};

/// The same database twice: to change, and to read.
fn inventory(url: &str) -> Inventory {
    let lent = |writable| Database { url: Hidden(url.to_owned()), writable, connections_per_agent: 2 };
    let databases = [("orders".to_owned(), lent(true)), ("reading".to_owned(), lent(false))].into();
    Inventory { databases, ..Inventory::default() }
}

fn run(url: &str, cases: &[&str]) -> TestRun {
    TestRun::of(component("database"))
        .sandbox(json!({"capabilities": ["database", "monitoring"], "databases": ["orders", "reading"]}))
        .inventory(inventory(url))
        .jobs(cases.iter().map(|case| json!({"case": case})))
}

fn passed(finished: &Finished) {
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    let failed: Vec<&JobRecord> = finished.jobs.iter().filter(|job| job.status != Status::Success).collect();
    assert!(failed.is_empty() && !finished.jobs.is_empty(), "{failed:#?}");
}

/// Every case that needs no more than a database.
fn passes_every_case(url: &str) {
    let names = run(url, &[]).jobs([json!({})]).finish();
    let names: Vec<String> = serde_json::from_str(names.jobs[0].result.as_ref().unwrap().get()).unwrap();
    // These need other limits, another grant, or a server that goes.
    let apart = [
        "rows_are_limited",
        "bytes_are_limited",
        "a_transaction_is_open_when_the_script_traps",
        "a_statement_that_takes_too_long_is_ended",
        "what_is_not_granted_is_denied",
        "the_server_goes",
    ];
    assert!(apart.iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    let rest: Vec<&str> = names.iter().map(String::as_str).filter(|name| !apart.contains(name)).collect();
    passed(&run(url, &rest).finish());

    let limits = json!({"rows_per_query": 50, "bytes_per_call": 20_000});
    passed(&run(url, &["rows_are_limited", "bytes_are_limited"]).limits(limits).finish());
    let limits = json!({"seconds_per_call": 0.5});
    passed(&run(url, &["a_statement_that_takes_too_long_is_ended"]).limits(limits).finish());

    let cases = [
        "a_transaction_is_left_open",
        "a_transaction_is_open_when_the_script_traps",
        "what_was_left_open_was_rolled_back",
    ];
    let finished = run(url, &cases).finish();
    let ends: Vec<Status> = finished.jobs.iter().map(|job| job.status).collect();
    assert_eq!(ends, [Status::Success, Status::Failed, Status::Success], "{:#?}", finished.jobs);
    assert!(finished.jobs[1].error.as_ref().unwrap().message.contains("as it should"));
}

#[test]
fn a_sqlite_file_does_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.db");
    std::fs::write(&file, "").unwrap();
    passes_every_case(&format!("sqlite:{}", file.display()));
}

#[test]
fn postgresql_does_everything() {
    let server = servers::postgresql();
    passes_every_case(server.url());
}

#[test]
fn mariadb_does_everything() {
    let server = servers::mariadb();
    passes_every_case(server.url());
}

/// Everything that a run has told.
fn told(finished: &Finished) -> String {
    format!("{:?}{:?}", finished.changes, finished.jobs)
}

fn tells_nothing_of_a_server_that_goes(mut server: Server, is_in_use: impl Fn(&Server) -> bool) {
    let running = run(server.url(), &["the_server_goes"]);
    let finished = std::thread::spawn(move || running.finish());
    let begun = Instant::now();
    while !is_in_use(&server) {
        assert!(begun.elapsed() < Duration::from_secs(120), "the guest has not begun");
        std::thread::sleep(Duration::from_millis(100));
    }
    server.kill();
    let finished = finished.join().unwrap();
    passed(&finished);
    let told = told(&finished);
    assert!(told.contains("the database `orders`"), "{told}");
    for hidden in ["127.0.0.1", &server.port().to_string(), "armada:", "secret"] {
        assert!(!told.contains(hidden), "{hidden:?} is told: {told}");
    }
}

#[test]
fn a_postgresql_that_goes_is_told_without_its_address() {
    tells_nothing_of_a_server_that_goes(servers::postgresql(), |server| {
        let asked = Command::new("psql").args(["--command", "SELECT * FROM going", server.url()]).output();
        asked.unwrap().status.success()
    });
}

#[test]
fn a_mariadb_that_goes_is_told_without_its_address() {
    tells_nothing_of_a_server_that_goes(servers::mariadb(), |server| {
        let port = format!("--port={}", server.port());
        let asked = Command::new("mariadb")
            .args(["--no-defaults", "--host=127.0.0.1", &port, "--user=armada", "--password=secret"])
            .args(["--execute", "SELECT * FROM shop.going"])
            .output();
        asked.unwrap().status.success()
    });
}

#[test]
fn both_keys_are_needed_for_the_capability_and_for_each_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.db");
    std::fs::write(&file, "").unwrap();
    let url = format!("sqlite:{}", file.display());
    let denied = |sandbox: Value, ceiling: Value, expected: &str| {
        let jobs = [json!({"case": "what_is_not_granted_is_denied", "expected": expected})];
        let run = TestRun::of(component("database")).sandbox(sandbox).ceiling(ceiling).inventory(inventory(&url));
        passed(&run.jobs(jobs).finish());
    };
    let granted = json!({"capabilities": ["database"], "databases": ["orders"]});
    denied(
        json!({"databases": ["orders"]}),
        json!({}),
        "the capability `database` is not allowed: add \"database\" to run_message.sandbox.capabilities",
    );
    denied(
        json!({"capabilities": ["database"]}),
        json!({}),
        "the database `orders` is not allowed: add \"orders\" to run_message.sandbox.databases in config/config_template.json",
    );
    denied(granted.clone(), json!({"capabilities": []}), "the operator's ceiling does not allow it");
    denied(granted, json!({"databases": ["reading"]}), "the operator's ceiling does not allow it");
}

#[test]
fn python_asks_and_changes_databases_as_the_reference_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.db");
    std::fs::write(&file, "").unwrap();
    let (postgresql, mariadb) = (servers::postgresql(), servers::mariadb());
    let component = built(&project("python_database"));
    let urls = [format!("sqlite:{}", file.display()), postgresql.url().to_owned(), mariadb.url().to_owned()];
    for (url, kind) in urls.iter().zip(["sqlite", "postgresql", "mysql"]) {
        let run = TestRun::of(component.clone())
            .sandbox(json!({"capabilities": ["database"], "databases": ["orders"]}))
            .inventory(inventory(url));
        let finished = run.finish();
        passed(&finished);
        assert_eq!(finished.jobs[0].result.as_ref().unwrap().get(), format!("[\"{kind}\"]"));
    }
}
