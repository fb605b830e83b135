//! What a run may use: the numbers of `run_message.sandbox.limits`.
//!
//! A project asks for them, an operator caps them, and the smaller of the two holds. Every row of the table is enforced
//! by the agent, on the guest or on what the host does for it.

use serde::{Deserialize, Serialize};

use crate::setting::{Block, Checked, Kind, Preset, settings};

/// The longest that anything may take: a week, in seconds.
const WEEK: f64 = 604_800.0;
const GIB: u64 = 1 << 30;

settings! {
    /// The limits of a run. [`Limits::default`] is what holds for a limit that is not given.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Limits {
        memory_mib: u64 = Kind::Whole { min: 1, max: 4096 }, Some(Preset::Whole(256)), "MiB",
            "Linear memory of one instance of the project.";
        cpu_seconds_per_job: f64 = Kind::Number { min: 0.001, max: WEEK }, Some(Preset::Number(30.0)), "s",
            "Time that the project computes in one job; waiting does not count.";
        seconds_per_job: f64 = Kind::Number { min: 0.001, max: WEEK }, Some(Preset::Number(300.0)), "s",
            "Time that one job takes, waiting included.";
        seconds_per_context: f64 = Kind::Number { min: 0.001, max: WEEK }, Some(Preset::Number(60.0)), "s",
            "Time that an agent context takes to open, and to close; CPU time is that of a job.";
        seconds_per_call: f64 = Kind::Number { min: 0.001, max: WEEK }, Some(Preset::Number(120.0)), "s",
            "Time that one call of a host function takes.";
        attempts_per_job: u32 = Kind::Whole { min: 1, max: 100 }, Some(Preset::Whole(3)), "",
            "Attempts that a job has when it asks to be retried or its browser or agent is lost.";
        fresh_instance_per_job: bool = Kind::Switch, Some(Preset::Switch(false)), "",
            "Whether every job starts in a new instance, with nothing left of the jobs before.";
        pages: u64 = Kind::Whole { min: 1, max: 1000 }, Some(Preset::Whole(16)), "",
            "Pages that are open at once; of browser contexts, there may be 2 more.";
        handles: u64 = Kind::Whole { min: 1, max: 100_000 }, Some(Preset::Whole(1000)), "",
            "Handles of host objects (pages, elements, …) that are held at once.";
        concurrent_calls: u64 = Kind::Whole { min: 1, max: 1000 }, Some(Preset::Whole(64)), "",
            "Calls of host functions that are in flight at once.";
        bytes_per_call: u64 = Kind::Whole { min: 1024, max: GIB }, Some(Preset::Whole(33_554_432)), "bytes",
            "Bytes that one call of a host function takes or returns.";
        seconds_per_modification: f64 = Kind::Number { min: 0.001, max: WEEK }, Some(Preset::Number(5.0)), "s",
            "Time that a modifier takes for one request or response; one that takes longer fails it.";
        traffic_body_bytes: u64 = Kind::Whole { min: 0, max: GIB }, Some(Preset::Whole(8_388_608)), "bytes",
            "Bytes of a body of the browser's traffic that a modifier, a watch or a recording holds; a longer one fails the \
             request for a modifier, and is left out for the others.";
        bytes_kept: u64 = Kind::Whole { min: 1024, max: GIB }, Some(Preset::Whole(67_108_864)), "bytes",
            "Bytes that the host keeps for an agent: routes, scripts, headers and held requests of its pages; as many again for \
             what its script watches and has not read.";
        http_requests_at_once: u64 = Kind::Whole { min: 1, max: 1000 }, Some(Preset::Whole(32)), "",
            "HTTP requests of an agent's script that are in flight at once, until their bodies are read.";
        http_response_bytes: u64 = Kind::Whole { min: 1024, max: GIB }, Some(Preset::Whole(67_108_864)), "bytes",
            "Bytes of one response to an HTTP request of the script, decompressed.";
        rows_per_query: u64 = Kind::Whole { min: 1, max: 1_000_000 }, Some(Preset::Whole(10_000)), "",
            "Rows that one query of a database gives.";
        events_per_job: u64 = Kind::Whole { min: 0, max: 1_000_000 }, Some(Preset::Whole(1000)), "",
            "Events that one job reports.";
        events_per_second: u64 = Kind::Whole { min: 1, max: 10_000 }, Some(Preset::Whole(50)), "per second",
            "Events that one agent reports in a second.";
        log_bytes_per_job: u64 = Kind::Whole { min: 0, max: 100 << 20 }, Some(Preset::Whole(1_048_576)), "bytes",
            "Bytes that one job writes to its log, standard output and standard error; a line counts 100 more.";
        artifacts_per_job: u64 = Kind::Whole { min: 0, max: 10_000 }, Some(Preset::Whole(100)), "",
            "Artifacts that one job keeps.";
        artifact_bytes_per_job: u64 = Kind::Whole { min: 0, max: GIB }, Some(Preset::Whole(67_108_864)), "bytes",
            "Bytes of the artifacts that one job keeps.";
    }
}

impl Limits {
    /// The most that can be asked for: what a ceiling allows that says nothing.
    pub fn loosest() -> Limits {
        let mut limits = Limits::default();
        for setting in Limits::TABLE {
            if let Some(loosest) = setting.loosest() {
                limits.put(setting.name, loosest);
            }
        }
        limits
    }

    /// The tighter of the two, limit by limit: the smaller number, a fresh instance if either says so.
    pub fn tighter(&self, other: &Limits) -> Limits {
        let mut limits = self.clone();
        for setting in Limits::TABLE {
            let tighter = match (self.get(setting.name), other.get(setting.name)) {
                (Some(Checked::Whole(one)), Some(Checked::Whole(two))) => Checked::Whole(one.min(two)),
                (Some(Checked::Number(one)), Some(Checked::Number(two))) => Checked::Number(one.min(two)),
                (Some(Checked::Switch(one)), Some(Checked::Switch(two))) => Checked::Switch(one || two),
                _ => continue,
            };
            limits.put(setting.name, tighter);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_tables() {
        let limits = Limits::default();
        assert_eq!(limits.memory_mib, 256);
        assert_eq!(limits.seconds_per_job, 300.0);
        assert_eq!(limits.attempts_per_job, 3);
        assert!(!limits.fresh_instance_per_job);
        for setting in Limits::TABLE {
            assert_eq!(limits.get(setting.name), setting.default.map(Checked::from), "{}", setting.name);
        }
    }

    #[test]
    fn the_tighter_of_two_is_the_smaller_in_each_row() {
        let one = Limits { pages: 3, memory_mib: 512, ..Limits::default() };
        let two = Limits { pages: 8, memory_mib: 128, fresh_instance_per_job: true, ..Limits::loosest() };
        let tighter = one.tighter(&two);
        assert_eq!((tighter.pages, tighter.memory_mib, tighter.fresh_instance_per_job), (3, 128, true));
        assert_eq!(tighter.seconds_per_job, 300.0);
        assert_eq!(one.tighter(&Limits::loosest()), one);
    }
}
