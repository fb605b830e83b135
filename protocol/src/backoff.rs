//! How long to wait before a server that is away is tried again: 100 ms at first, then twice as long each time, up to
//! two seconds. Every wait is drawn at random from a range, so that the many who lost the same server do not come back
//! at once.

use std::fmt::Display;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use uuid::Uuid;

/// The waits between attempts to reach a server. They do not end: whoever waits decides when it was long enough.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: ExponentialBackoff,
    /// Whether it was said what is waited for.
    is_told: bool,
}

impl Backoff {
    /// Half of the longest wait: as much again is what is drawn at random.
    const MAX: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        let waits = ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_max_delay(Self::MAX);
        let waits = waits.without_max_times().with_jitter().with_jitter_seed(seed).build();
        Self { waits, is_told: false }
    }

    /// Says what failed, as a warning the first time: whoever waits wants to know for what, once.
    pub(crate) fn tell(&mut self, failed: impl Display) {
        if self.is_told {
            tracing::debug!("{failed}; trying again");
        } else {
            tracing::warn!("{failed}; trying again");
        }
        self.is_told = true;
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.waits.next().unwrap_or(Self::MAX)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_two_seconds_and_never_end() {
        let waits: Vec<Duration> = Backoff::new().waits.take(100).collect();
        assert_eq!(waits.len(), 100);
        assert!(waits[0] >= Duration::from_millis(100) && waits[0] < Duration::from_millis(200), "{waits:?}");
        assert!(waits[50..].iter().all(|wait| *wait >= Backoff::MAX && *wait <= 2 * Backoff::MAX), "{waits:?}");
        assert!(
            Backoff::new().waits.ne(Backoff::new().waits.take(100)),
            "two that lost the same server come back at once"
        );
    }
}
