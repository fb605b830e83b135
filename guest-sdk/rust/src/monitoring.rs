//! What a script reports about its work.

use crate::__bindings::armada::monitoring::monitoring as wit;
pub use crate::__bindings::armada::monitoring::monitoring::{Artifact, EventLevel, Job as JobInfo, LogLevel};
use crate::error::Error;
use crate::operation::Operation;
use std::panic::Location;

/// Reports for the job that is running. The host adds run, agent, job, attempt and time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MonitoringClient {}

impl MonitoringClient {
    /// Reports that a step succeeded.
    #[track_caller]
    pub fn record_success_event(&self, content: impl AsRef<str>) -> Result<(), Error> {
        self.record_event(EventLevel::Success, content)
    }

    /// Reports that a step failed. The job goes on: return a [`Failure`](crate::Failure) to end it.
    #[track_caller]
    pub fn record_failure_event(&self, content: impl AsRef<str>) -> Result<(), Error> {
        self.record_event(EventLevel::Failure, content)
    }

    /// Reports a step, of any level, in at most 16 KiB of text.
    #[track_caller]
    pub fn record_event(&self, level: EventLevel, content: impl AsRef<str>) -> Result<(), Error> {
        let at = Location::caller();
        wit::record_event(level, content.as_ref(), None).map_err(|error| Error::from_wit(error, at))
    }

    /// Reports a step together with a file that belongs to it.
    #[track_caller]
    pub fn record_event_with(
        &self,
        level: EventLevel,
        content: impl AsRef<str>,
        attachment: &Artifact,
    ) -> Result<(), Error> {
        let at = Location::caller();
        wit::record_event(level, content.as_ref(), Some(attachment)).map_err(|error| Error::from_wit(error, at))
    }

    /// Writes to the job's log. What is printed goes there too: `println!` as info, `eprintln!` as warning.
    pub fn log(&self, level: LogLevel, message: impl AsRef<str>) {
        wit::log(level, message.as_ref());
    }

    /// Says how far the job has come.
    pub fn progress(&self, done: u64, total: Option<u64>, message: impl AsRef<str>) {
        wit::progress(done, total, message.as_ref());
    }

    /// Keeps a file with the job's results. A second one of the same name replaces the first.
    #[track_caller]
    pub fn save_artifact(
        &self,
        name: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Operation<(), ()> {
        let artifact = Artifact { name: name.into(), media_type: media_type.into(), bytes: bytes.into() };
        Operation::new((), move |()| wit::save_artifact(artifact))
    }

    /// The job that is running, or nothing while the agent context is opened or closed.
    pub fn current_job(&self) -> Option<JobInfo> {
        wit::current_job()
    }
}
