//! What a job has reported and nobody has taken yet: a queue that has a bounded part in memory and the rest on disk.
//!
//! While the ledger is away, a job goes on and reports. The newest reports are in memory; once those are more than the
//! bound, they go to the end of a file, which has no name and so is gone with the agent, however that ends. They are
//! taken from the disk first, so the order stays. There are several files, each bounded, and one that is read goes: a
//! job that reports without end, and never faster than it is read, does not fill the disk. A disk that refuses costs
//! nothing but memory: the grant's limits of what a job may report bound that as well.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use armada_protocol::Report;
use armada_protocol::report::Artifact;

/// How much is kept in memory, in bytes.
const MEMORY_BYTES: u64 = 1 << 20;
/// How much is taken at once, in bytes: so much, or a single report that has more. It is far less than a link carries.
const BATCH_BYTES: u64 = 1 << 20;
/// After how many bytes another file is begun.
const FILE_BYTES: u64 = 32 << 20;
/// What a report takes beside its text and content, in bytes.
const REPORT_BYTES: u64 = size_of::<Report>() as u64;

/// Reports in their order.
pub(super) struct Backlog {
    folder: PathBuf,
    memory_limit: u64,
    file_limit: u64,
    /// The older ones: files that are not read yet, in their order.
    spilled: VecDeque<Spilled>,
    /// The newer ones.
    newest: VecDeque<Report>,
    newest_bytes: u64,
    /// Whether the disk has refused: it is not asked for every report again.
    disk_refuses: bool,
}

impl Backlog {
    /// An empty one, which has its file in this folder when it needs one.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            memory_limit: MEMORY_BYTES,
            file_limit: FILE_BYTES,
            spilled: VecDeque::new(),
            newest: VecDeque::new(),
            newest_bytes: 0,
            disk_refuses: false,
        }
    }

    /// How many bytes of artifacts are on disk, among them those that were replaced since.
    pub(super) fn artifact_bytes_on_disk(&self) -> u64 {
        self.spilled.iter().map(|spilled| spilled.artifact_bytes).sum()
    }

    /// Adds a report. Of progress only the last one counts, and of artifacts the last of each name: one before it that
    /// is still in memory goes.
    ///
    /// It may write to the disk, which takes as long as copying what is in memory: nobody waits until it is on the disk
    /// for good.
    pub(super) fn push(&mut self, report: Report) {
        match &report {
            Report::Progress(_) => self.forget(|other| matches!(other, Report::Progress(_))),
            Report::Artifact(Artifact { name, .. }) => {
                self.forget(|other| matches!(other, Report::Artifact(other) if other.name == *name));
            }
            Report::Event(_) | Report::Log(_) => {}
        }
        self.newest_bytes += bytes(&report);
        self.newest.push_back(report);
        if self.newest_bytes > self.memory_limit && !self.disk_refuses {
            match self.spill() {
                Ok(()) => {
                    self.newest.clear();
                    self.newest_bytes = 0;
                }
                Err(error) => {
                    self.disk_refuses = true;
                    let folder = self.folder.display();
                    tracing::warn!(%error, "what a job reports stays in memory: it cannot be kept in {folder}");
                }
            }
        }
    }

    /// Takes the oldest ones: so many that the caller can send them at once. Fails when what is on disk cannot be read.
    pub(super) fn take(&mut self) -> io::Result<Vec<Report>> {
        let mut batch = Vec::new();
        if let Some(spilled) = self.spilled.front_mut() {
            spilled.read(&mut batch)?;
            if spilled.is_empty() {
                self.spilled.pop_front();
            }
            return Ok(batch);
        }
        let mut taken = 0;
        while let Some(next) = self.newest.front().map(bytes)
            && (batch.is_empty() || taken + next <= BATCH_BYTES)
        {
            taken += next;
            self.newest_bytes = self.newest_bytes.saturating_sub(next);
            batch.extend(self.newest.pop_front());
        }
        Ok(batch)
    }

    fn forget(&mut self, is_replaced: impl Fn(&Report) -> bool) {
        let newest_bytes = &mut self.newest_bytes;
        self.newest.retain(|report| {
            let goes = is_replaced(report);
            if goes {
                *newest_bytes = newest_bytes.saturating_sub(bytes(report));
            }
            !goes
        });
    }

    /// Writes what is in memory to a file. One that cannot be written to the end of stays as it was.
    fn spill(&mut self) -> io::Result<()> {
        if let Some(last) = self.spilled.back_mut()
            && last.end < self.file_limit
        {
            return last.append(&self.newest);
        }
        let mut spilled = Spilled::create(&self.folder)?;
        spilled.append(&self.newest)?;
        self.spilled.push_back(spilled);
        Ok(())
    }
}

/// What a report takes, about.
fn bytes(report: &Report) -> u64 {
    let content = match report {
        Report::Event(event) => event.content.len() + event.attachment.as_ref().map_or(0, String::len),
        Report::Log(line) => line.text.len(),
        Report::Progress(progress) => progress.message.len(),
        Report::Artifact(artifact) => artifact.name.len() + artifact.media_type.len() + artifact.bytes.len(),
    };
    REPORT_BYTES + content as u64
}

/// Reports in a file: of each the lengths of its JSON and of its artifact's content, then both.
struct Spilled {
    file: File,
    /// Where the first one that was not read begins.
    start: u64,
    /// Where the last whole one ends.
    end: u64,
    artifact_bytes: u64,
}

impl Spilled {
    fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, start: 0, end: 0, artifact_bytes: 0 })
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Writes all of these to the end, or none.
    fn append<'a>(&mut self, reports: impl IntoIterator<Item = &'a Report>) -> io::Result<()> {
        let (mut end, mut artifact_bytes) = (self.end, self.artifact_bytes);
        let write = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(end))?;
            let mut file = BufWriter::new(file);
            for report in reports {
                let json = serde_json::to_vec(report)?;
                let content = match report {
                    Report::Artifact(artifact) => artifact.bytes.as_slice(),
                    _ => &[],
                };
                for length in [json.len() as u64, content.len() as u64] {
                    file.write_all(&length.to_be_bytes())?;
                }
                file.write_all(&json)?;
                file.write_all(content)?;
                end += 16 + (json.len() + content.len()) as u64;
                artifact_bytes += content.len() as u64;
            }
            file.flush()
        };
        let written = write();
        match written {
            Ok(()) => (self.end, self.artifact_bytes) = (end, artifact_bytes),
            // A part of what was to be written may be there: the room that it has is given back. What is read ends
            // before.
            Err(_) => drop(self.file.set_len(self.end)),
        }
        written
    }

    /// Reads a batch.
    fn read(&mut self, batch: &mut Vec<Report>) -> io::Result<()> {
        let mut file = &self.file;
        let begun = file.seek(SeekFrom::Start(self.start))?;
        let mut file = BufReader::new(file);
        while self.start < self.end && (batch.is_empty() || self.start - begun < BATCH_BYTES) {
            let mut lengths = [0; 2];
            for length in &mut lengths {
                let mut bytes = [0; 8];
                file.read_exact(&mut bytes)?;
                *length = u64::from_be_bytes(bytes);
            }
            let [json_length, content_length] = lengths;
            let next = 16 + json_length + content_length;
            if !batch.is_empty() && self.start - begun + next > BATCH_BYTES {
                break;
            }
            let mut report = serde_json::from_slice(&part(&mut file, json_length)?)?;
            if let Report::Artifact(artifact) = &mut report {
                artifact.bytes = part(&mut file, content_length)?;
            }
            self.start += next;
            self.artifact_bytes = self.artifact_bytes.saturating_sub(content_length);
            batch.push(report);
        }
        Ok(())
    }
}

/// So many bytes, as far as they are there.
fn part(file: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(length).read_to_end(&mut bytes)?;
    if read as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use armada_protocol::report::{Event, EventLevel, LogLevel, LogLine, Progress};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    impl Backlog {
        pub(crate) fn bytes_in_memory(&self) -> u64 {
            self.newest_bytes
        }

        fn bytes_on_disk(&self) -> u64 {
            self.spilled.iter().map(|spilled| spilled.file.metadata().unwrap().len()).sum()
        }
    }

    fn log(text: String) -> Report {
        Report::Log(LogLine { time: Timestamp::UNIX_EPOCH, level: LogLevel::Info, text })
    }

    fn artifact(name: String, bytes: Vec<u8>) -> Report {
        Report::Artifact(Artifact { name, media_type: "text/plain".to_owned(), bytes })
    }

    fn report() -> impl Strategy<Value = Report> {
        let text = "[a-zß\n\"\\\\]{0,40}";
        let event = |content| {
            let (time, level) = (Timestamp::UNIX_EPOCH, EventLevel::Success);
            Report::Event(Event { time, level, content, attachment: Some("0.txt".to_owned()) })
        };
        prop_oneof![
            4 => text.prop_map(log),
            2 => text.prop_map(event),
            1 => (any::<u64>(), text).prop_map(|(done, message)| Report::Progress(Progress { done, total: None, message })),
            2 => (0..4_u8, prop::collection::vec(any::<u8>(), 0..2000))
                .prop_map(|(name, bytes)| artifact(format!("{name}.txt"), bytes)),
        ]
    }

    /// What counts of these: events and lines of the log in their order, the last progress, and the last artifact of
    /// each name.
    fn counted(reports: &[Report]) -> (Vec<&Report>, HashMap<&str, &Report>) {
        let (mut lines, mut last) = (Vec::new(), HashMap::new());
        for report in reports {
            match report {
                Report::Event(_) | Report::Log(_) => lines.push(report),
                Report::Progress(_) => drop(last.insert("", report)),
                Report::Artifact(artifact) => drop(last.insert(&artifact.name, report)),
            }
        }
        (lines, last)
    }

    proptest! {
        #[test]
        fn what_counts_is_taken_once_and_in_order_from_memory_and_disk(
            memory_limit in 0..4000_u64,
            file_limit in 0..8000_u64,
            steps in prop::collection::vec(prop_oneof![5 => report().prop_map(Some), 1 => Just(None)], 0..200),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut backlog = Backlog { memory_limit, file_limit, ..Backlog::new(folder.path().to_owned()) };
            let (mut pushed, mut taken) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Some(report) => {
                        pushed.push(report.clone());
                        backlog.push(report);
                    }
                    None => taken.append(&mut backlog.take().unwrap()),
                }
                prop_assert!(backlog.newest_bytes <= memory_limit);
                prop_assert_eq!(backlog.newest_bytes, backlog.newest.iter().map(bytes).sum::<u64>());
            }
            loop {
                let mut batch = backlog.take().unwrap();
                if batch.is_empty() {
                    break;
                }
                taken.append(&mut batch);
            }
            prop_assert_eq!(counted(&taken), counted(&pushed));
            prop_assert!(backlog.spilled.is_empty() && backlog.newest.is_empty());
        }
    }

    #[test]
    fn a_batch_is_bounded_and_has_at_least_one_report() {
        let folder = tempfile::tempdir().unwrap();
        for memory_limit in [0, u64::MAX] {
            let mut backlog = Backlog { memory_limit, ..Backlog::new(folder.path().to_owned()) };
            let third = BATCH_BYTES as usize / 3;
            for (name, size) in [("a", third), ("b", third), ("c", third), ("d", 3 * third + 1000), ("e", 1), ("f", 1)]
            {
                backlog.push(artifact(name.to_owned(), vec![7; size]));
            }
            let batches = std::iter::from_fn(|| Some(backlog.take().unwrap().len()).filter(|taken| *taken > 0));
            assert_eq!(batches.collect::<Vec<_>>(), [2, 1, 1, 2], "{memory_limit}");
        }
    }

    #[test]
    fn a_folder_that_refuses_costs_nothing_but_memory() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let mut backlog = Backlog { memory_limit: 100, ..Backlog::new(missing) };
        let reports: Vec<_> = (0..50).map(|number| log(format!("line {number}"))).collect();
        reports.iter().cloned().for_each(|report| backlog.push(report));
        assert!(backlog.bytes_in_memory() > 100);
        assert_eq!(backlog.take().unwrap(), reports);
    }

    #[test]
    fn what_is_on_disk_stays_in_order_when_the_disk_refuses_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut backlog = Backlog { memory_limit: 100, ..Backlog::new(folder.path().to_owned()) };
        let reports: Vec<_> = (0..50).map(|number| log(format!("{number:0100}"))).collect();
        reports[..25].iter().cloned().for_each(|report| backlog.push(report));
        // A file that can only be read refuses as a full disk does.
        let spilled = backlog.spilled.back_mut().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&spilled.file));
        spilled.file = File::open(path).unwrap();
        reports[25..].iter().cloned().for_each(|report| backlog.push(report));
        assert!(backlog.bytes_in_memory() > 100);
        let mut taken = backlog.take().unwrap();
        assert_eq!(taken, reports[..25]);
        taken.append(&mut backlog.take().unwrap());
        assert_eq!(taken, reports);
    }

    #[test]
    fn a_job_that_reports_without_end_does_not_fill_the_disk_while_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        // A batch has one of them.
        let (file_limit, size) = (2 << 20, 600 << 10);
        let mut backlog = Backlog { memory_limit: 0, file_limit, ..Backlog::new(folder.path().to_owned()) };
        let save = |backlog: &mut Backlog| backlog.push(artifact("a".to_owned(), vec![7; size]));
        // Something is always left to read.
        save(&mut backlog);
        for round in 0..30 {
            save(&mut backlog);
            assert_eq!(backlog.take().unwrap().len(), 1);
            assert_eq!(backlog.artifact_bytes_on_disk(), size as u64);
            let on_disk = backlog.bytes_on_disk();
            assert!(on_disk <= file_limit + 2 * size as u64, "{on_disk} bytes after {round} rounds");
        }
    }

    #[test]
    fn no_file_is_left_or_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut backlog = Backlog { memory_limit: 0, ..Backlog::new(folder.path().to_owned()) };
        backlog.push(artifact("a".to_owned(), vec![7; 5000]));
        assert_eq!(backlog.artifact_bytes_on_disk(), 5000);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(backlog.take().unwrap().len(), 1);
        assert_eq!(backlog.artifact_bytes_on_disk(), 0);
        assert!(backlog.spilled.is_empty());
    }
}
