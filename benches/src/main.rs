//! Measures what Armada costs, as ratios: each row against a peer that does the same work with less around it, in the
//! same run on the same machine. Absolute times are shown, too, but say more about the machine.
//!
//! `make bench` measures everything; names as arguments choose (`instantiation host-call page configuration python
//! start dispatch jobs agent events proxy`).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod agent;
mod bare;
mod celery;
mod cluster;
mod component;
mod configuration;
mod dispatch;
mod events;
mod host_call;
mod instantiation;
mod jobs;
mod measure;
mod page;
mod proxy;
mod python;
mod start;

use measure::Row;

type Measurement = fn() -> anyhow::Result<Vec<Row>>;

const MEASUREMENTS: [(&str, Measurement); 11] = [
    ("instantiation", instantiation::measure),
    ("host-call", host_call::measure),
    ("page", page::measure),
    ("configuration", configuration::measure),
    ("python", python::measure),
    ("start", start::measure),
    ("dispatch", dispatch::measure),
    ("jobs", jobs::measure),
    ("agent", agent::measure),
    ("events", events::measure),
    ("proxy", proxy::measure),
];

fn main() -> anyhow::Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    // What is measured as a process of its own.
    match chosen.as_slice() {
        [first, rest @ ..] if first == agent::BARE => return agent::run_bare(rest),
        [first, rest @ ..] if first == proxy::OURS => return proxy::run_ours(rest),
        _ => {}
    }
    if let Some(unknown) = chosen.iter().find(|name| MEASUREMENTS.iter().all(|(known, _)| known != name)) {
        let known = MEASUREMENTS.map(|(name, _)| name).join(", ");
        anyhow::bail!("there is no measurement `{unknown}`: choose from {known}");
    }
    println!("{}", measure::header());
    for (name, measure) in MEASUREMENTS {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            eprintln!("measuring {name}");
            for row in measure()? {
                println!("{row}");
            }
        }
    }
    Ok(())
}
