//! `armada run --watch`: a run, and another one whenever a file of the project is saved.
//!
//! Each folder of the project is watched by itself, so that those that nobody writes by hand can be left out: a build
//! fills `target/` with thousands, and a system watches only so many. Many files that are saved at once, or one that an
//! editor saves in several steps, are one change, which is over when nothing has followed for a moment.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use armada_project::Project;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::plain::say;
use super::results::Places;
use crate::Ending;
use crate::args::Run;
use crate::console::{Style, paint, printable_line};
use crate::mistakes;
use crate::signals;

/// How long nothing may follow for what was saved to be all of it.
const QUIET: Duration = Duration::from_millis(100);
/// Folders that tools fill.
const FOLDERS: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];
/// Files that tools write: Cargo's choice of versions, and the name under which Vim tries whether it may write.
const FILES: [&str; 2] = ["Cargo.lock", "4913"];
/// How the names of bundles, of compiled files, and of what editors keep for themselves end.
const ENDINGS: [&str; 6] = [".armada", ".pyc", "~", "#", ".tmp", ".swp"];

/// Runs a project again and again, until a signal comes. A mistake is told, and waited out.
pub(super) fn run(arguments: &Run) -> anyhow::Result<Ending> {
    let project = Project::open(&arguments.project.project)?;
    let places = Places::new(arguments.output.as_deref(), arguments.artifacts.as_deref())?;
    let results = places.results.as_ref();
    let results = results.context("--watch writes the results anew for each run: give --output a file for them")?;
    let written = [real(results)?, real(&places.artifacts)?];
    let mut saves = Saves::of(project.root(), written)?;
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    loop {
        match super::once(arguments, Some(&mut saves)) {
            Ok(interrupted @ Ending::Interrupted(_)) => return Ok(interrupted),
            Ok(_) => {}
            Err(error) => mistakes::tell(&error, false),
        }
        // It may have come when nobody was ending in order any more.
        if let Some(signal) = signals::signal_that_came() {
            return Ok(signals::interrupted(signal));
        }
        if !saves.are_there() {
            say(&paint("waiting for a file to be saved: Ctrl-C ends this", Style::Quiet));
        }
        let saved = waiting.block_on(saves.wait());
        saves.forget();
        say(&format!("{} running again", paint(&format!("{saved}:"), Style::Strong)));
    }
}

/// A path without links, also of what is not there yet. Its folder is made, as a run does.
fn real(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = || path.display().to_string();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(shown)?;
    let beside = || Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default()));
    path.canonicalize().or_else(|_: io::Error| beside()).map_err(|error: io::Error| error).with_context(shown)
}

/// What is saved in a project's folder.
pub(super) struct Saves {
    root: PathBuf,
    /// Where runs write.
    written: [PathBuf; 2],
    watcher: RecommendedWatcher,
    heard: UnboundedReceiver<notify::Result<Event>>,
    /// Files that were saved or removed, relative to the project.
    files: BTreeSet<PathBuf>,
    /// When what was saved is all of it, unless more follows.
    over: Instant,
}

impl Saves {
    /// Watches a project's folder. What runs write does not count.
    fn of(root: &Path, written: [PathBuf; 2]) -> anyhow::Result<Self> {
        let (hear, heard) = unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| {
            // Whoever no longer listens has ended.
            let _ = hear.send(event);
        })?;
        let (root, files, over) = (root.to_owned(), BTreeSet::new(), Instant::now());
        let mut saves = Self { root, written, watcher, heard, files, over };
        let root = saves.root.clone();
        saves.watch(&root).with_context(|| format!("{} cannot be watched", root.display()))?;
        // They have been there before.
        saves.forget();
        Ok(saves)
    }

    /// Watches a folder and those in it. Whatever files are there have been saved.
    fn watch(&mut self, folder: &Path) -> notify::Result<()> {
        // Before it is read: nothing is saved in between unnoticed.
        self.watcher.watch(folder, RecursiveMode::NonRecursive)?;
        for entry in std::fs::read_dir(folder)?.flatten() {
            let (path, kind) = (entry.path(), entry.file_type()?);
            match self.place(&path) {
                Some(_) if kind.is_dir() => self.watch(&path)?,
                Some(file) => self.add(file),
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until something is saved, and the change is over; says what it is. It may be asked again, and given up.
    pub(super) async fn wait(&mut self) -> String {
        loop {
            tokio::select! {
                biased;
                Some(event) = self.heard.recv() => self.take(event),
                () = sleep_until(self.over), if !self.files.is_empty() => return self.describe(),
                // Nobody tells of anything any more.
                else => std::future::pending().await,
            }
        }
    }

    /// Whether something has been saved.
    pub(super) fn are_there(&mut self) -> bool {
        while let Ok(event) = self.heard.try_recv() {
            self.take(event);
        }
        !self.files.is_empty()
    }

    /// From now on, what has been saved before does not count.
    fn forget(&mut self) {
        self.files.clear();
    }

    fn take(&mut self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return tracing::warn!("not all of the project's folder is watched: {error}"),
        };
        if event.need_rescan() {
            // So much has happened that not all of it was told.
            let root = self.root.clone();
            self.watch_if_there(&root);
        }
        for path in event.paths.iter().filter(|_| is_save(event.kind)) {
            let Some(file) = self.place(path) else { continue };
            // A link to a folder is none: who knows where it leads.
            if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                self.add(file);
            } else if matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))) {
                self.watch_if_there(path);
            }
        }
    }

    fn watch_if_there(&mut self, folder: &Path) {
        if let Err(error) = self.watch(folder)
            && folder.exists()
        {
            tracing::warn!("{} cannot be watched: {error}", folder.display());
        }
    }

    fn add(&mut self, file: PathBuf) {
        self.files.insert(file);
        self.over = Instant::now() + QUIET;
    }

    /// Where in the project something is that people write.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let file = path.strip_prefix(&self.root).ok().filter(|file| !file.as_os_str().is_empty())?;
        let is_by_hand = file.iter().all(is_written_by_hand);
        (is_by_hand && !self.written.iter().any(|written| path.starts_with(written))).then(|| file.to_owned())
    }

    /// What was saved; if nothing, what was removed.
    fn describe(&self) -> String {
        let (there, gone): (Vec<_>, Vec<_>) = self.files.iter().partition(|file| self.root.join(file).exists());
        let (word, files) = if there.is_empty() { ("removed", gone) } else { ("saved", there) };
        let first = files.first().map(|file| printable_line(&file.display().to_string())).unwrap_or_default();
        match files.len() {
            0 | 1 => format!("{word} {first}"),
            count => format!("{word} {first} and {} more", count - 1),
        }
    }
}

/// Whether somebody has written something, not only read it or given it another date or owner.
fn is_save(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        _ => true,
    }
}

/// Whether a file or folder of this name is one that people write, neither hidden nor a tool's.
fn is_written_by_hand(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with('.')
        && !FOLDERS.contains(&&*name)
        && !FILES.contains(&&*name)
        && !ENDINGS.iter().any(|ending| name.ends_with(ending))
}
