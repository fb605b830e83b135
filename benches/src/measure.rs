//! How rows are measured and shown.

use std::fmt::Write as _;
use std::time::Duration;

/// What was measured, for one operation of each side.
pub(crate) struct Row {
    /// What it is, and what the peer does.
    pub(crate) what: String,
    pub(crate) peer: &'static str,
    armada: Times,
    peer_times: Times,
    /// How many times the peer's time it may take.
    pub(crate) must_reach: f64,
}

/// The least and the median of some times.
#[derive(Clone, Copy, Debug)]
struct Times {
    least: Duration,
    median: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        Self { least: at(0), median: at(times.len() / 2) }
    }
}

impl Row {
    /// Times per operation, as many of each side.
    pub(crate) fn new(
        what: impl Into<String>,
        peer: &'static str,
        times: Vec<(Duration, Duration)>,
        must_reach: f64,
    ) -> Self {
        let (armada, peer_times): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        Self { what: what.into(), peer, armada: Times::of(armada), peer_times: Times::of(peer_times), must_reach }
    }

    fn ratio(&self) -> f64 {
        self.armada.median.as_secs_f64() / self.peer_times.median.as_secs_f64()
    }
}

/// The rows as a table: time per operation (median, and least of all), and Armada's median over the peer's.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table =
        format!("{:<34} {:>22} {:>22} {:>7} {:>6}  peer\n", "what (median, least)", "armada", "peer", "ratio", "must");
    for row in rows {
        let times = |times: Times| format!("{} ({})", time(times.median), time(times.least));
        // A string takes what is written to it.
        let _ = writeln!(
            table,
            "{:<34} {:>22} {:>22} {:>6.2}x {:>5}x  {}",
            row.what,
            times(row.armada),
            times(row.peer_times),
            row.ratio(),
            row.must_reach,
            row.peer
        );
    }
    table
}

fn time(time: Duration) -> String {
    let nanoseconds = time.as_secs_f64() * 1e9;
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.0} ns"),
        ..1e6 => format!("{:.2} µs", nanoseconds / 1e3),
        ..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}
