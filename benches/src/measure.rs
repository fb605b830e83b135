//! How rows are measured and shown.

use std::fmt;
use std::time::Duration;

/// What was measured, for one operation of each side.
pub(crate) struct Row {
    /// What it is, and what the peer does.
    pub(crate) what: String,
    pub(crate) peer: &'static str,
    unit: Unit,
    armada: Figures,
    peer_figures: Figures,
    /// How many times the peer's figure it may be, where that has been decided.
    pub(crate) must_reach: Option<f64>,
}

/// What figures are of.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Seconds,
    Bytes,
}

/// The least and the median of some figures.
#[derive(Clone, Copy, Debug)]
struct Figures {
    least: f64,
    median: f64,
}

impl Figures {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or_default();
        Self { least: at(0), median: at(figures.len() / 2) }
    }
}

impl Row {
    /// Times per operation, as many of each side.
    pub(crate) fn new(
        what: impl Into<String>,
        peer: &'static str,
        times: Vec<(Duration, Duration)>,
        must_reach: impl Into<Option<f64>>,
    ) -> Self {
        let seconds = times.into_iter().map(|(armada, peer)| (armada.as_secs_f64(), peer.as_secs_f64()));
        Self::of(what.into(), peer, Unit::Seconds, seconds, must_reach.into())
    }

    /// Bytes of each side.
    pub(crate) fn bytes(
        what: impl Into<String>,
        peer: &'static str,
        (armada, other): (u64, u64),
        must_reach: impl Into<Option<f64>>,
    ) -> Self {
        Self::of(what.into(), peer, Unit::Bytes, [(armada as f64, other as f64)].into_iter(), must_reach.into())
    }

    fn of(
        what: String,
        peer: &'static str,
        unit: Unit,
        figures: impl Iterator<Item = (f64, f64)>,
        must_reach: Option<f64>,
    ) -> Self {
        let (armada, peer_figures): (Vec<_>, Vec<_>) = figures.unzip();
        let (armada, peer_figures) = (Figures::of(armada), Figures::of(peer_figures));
        Self { what, peer, unit, armada, peer_figures, must_reach }
    }

    fn ratio(&self) -> f64 {
        self.armada.median / self.peer_figures.median
    }
}

/// What is above the rows: figures per operation (median, and least of all), and Armada's median over the peer's.
pub(crate) fn header() -> String {
    format!("{:<38} {:>22} {:>22} {:>8} {:>6}  peer", "what (median, least)", "armada", "peer", "ratio", "must")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures =
            |figures: Figures| format!("{} ({})", self.unit.show(figures.median), self.unit.show(figures.least));
        write!(
            f,
            "{:<38} {:>22} {:>22} {:>7.2}x {:>6}  {}",
            self.what,
            figures(self.armada),
            figures(self.peer_figures),
            self.ratio(),
            self.must_reach.map_or("-".to_owned(), |must| format!("{must:.2}x")),
            self.peer
        )
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Unit::Bytes => format!("{:.2} MiB", figure / f64::from(1 << 20)),
            Unit::Seconds => match figure * 1e9 {
                nanoseconds @ ..1e3 => format!("{nanoseconds:.0} ns"),
                nanoseconds @ ..1e6 => format!("{:.2} µs", nanoseconds / 1e3),
                nanoseconds @ ..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
                nanoseconds => format!("{:.2} s", nanoseconds / 1e9),
            },
        }
    }
}
