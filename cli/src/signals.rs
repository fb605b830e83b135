//! Being interrupted: the first time in order, the second time at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interruption {
    /// Cancelled by the first signal: end in order.
    pub(crate) gently: CancellationToken,
    /// Cancelled by the second: end at once.
    pub(crate) at_once: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Interruption {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let interruption = Self::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals = signal(kind)?;
            let interruption = interruption.clone();
            // Ends with the runtime; a signal can come until then.
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
                    if interruption.gently.is_cancelled() {
                        interruption.at_once.cancel();
                    }
                    interruption.signal.store(number, Ordering::Relaxed);
                    interruption.gently.cancel();
                }
            });
        }
        Ok(interruption)
    }

    /// The number of the signal that came, if one did.
    pub(crate) fn signal(&self) -> Option<u8> {
        self.gently.is_cancelled().then(|| self.signal.load(Ordering::Relaxed))
    }
}
