//! The results of a run: one JSON object per job and line, written as jobs end.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use armada_protocol::JobRecord;

use crate::commands::create;

/// The file that results go to.
pub(super) struct Results {
    path: String,
    file: BufWriter<File>,
}

impl Results {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.display().to_string(), file: BufWriter::new(create(path)?) })
    }

    /// Writes a job. It is in the file at once: whoever follows it sees it, and an end of this process loses nothing.
    pub(super) fn write(&mut self, record: &JobRecord) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.file, record).with_context(|| self.path.clone())?;
        self.file.write_all(b"\n").and_then(|()| self.file.flush()).with_context(|| self.path.clone())
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| self.path.clone())
    }
}
