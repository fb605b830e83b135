//! How long something may take.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::contract::Error;

/// A point in time by which something must be done, and how long that was from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// So long from now.
    pub(crate) fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// What is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is left.
    pub(crate) fn has_passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Does this until the deadline; after it, fails with `timeout` and what was being waited for.
    pub(crate) async fn bound<T>(
        &self,
        waiting_for: impl FnOnce() -> String,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout_at(self.at, work).await {
            Ok(result) => result,
            Err(_) => Err(self.passed(&waiting_for())),
        }
    }

    /// The error of having waited for this in vain.
    pub(crate) fn passed(&self, waiting_for: &str) -> Error {
        Error::Timeout(format!("waited {} ms for {waiting_for}", self.allowed.as_millis()))
    }
}
