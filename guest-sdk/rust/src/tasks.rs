//! Time.

use std::time::Duration;

use crate::__bindings::armada::tasks::tasks as wit;
use crate::operation::Operation;

/// Waits for this long, in whole milliseconds; other host calls go on meanwhile.
///
/// ```no_run
/// # async fn f() -> armada::Result<()> {
/// armada::sleep(std::time::Duration::from_millis(250)).await?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Operation<(), ()> {
    Operation::new((), move |()| wit::sleep(milliseconds(duration)))
}

/// A duration as the contract has it: whole milliseconds, rounded up so that a short wait stays one.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    let whole = duration.as_millis();
    let rounded = if duration.subsec_nanos().is_multiple_of(1_000_000) { whole } else { whole + 1 };
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_up_to_whole_milliseconds_and_saturate() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(20)), 20);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
    }
}
