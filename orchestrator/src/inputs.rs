//! What a run is launched with: configuration, CSV files, options and component, as files.
//!
//! They are kept for as long as the run is: a server that is started again reads them to go on with the run, and a
//! replay launches another run with them. Until a run is accepted they lie under `uploads`, and go with whoever holds
//! them; [`Inputs::keep`] moves them to `runs/<run>`. Components are kept once, under their digest, since many runs
//! share one.

mod components;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use armada_project::{
    Capability, Ceiling, ComponentRef, Configuration, Digest, Given, Grant, Mistakes, Mode, Overrides,
};
use armada_protocol::RunId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tempfile::TempDir;
use utoipa::ToSchema;

pub use self::components::{find_component, receive_component, remove_unused_components};
pub use self::receive::LaunchForm;

/// What a run was launched with beside its files.
const OPTIONS: &str = "options.json";
/// The folder of the configuration, within that of a run.
const CONFIG: &str = "config";

/// How a project is launched: what `armada run` takes from its command line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LaunchOptions {
    /// The project's name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `local` or `distant`: which tune file `configtune` is, or which one of a bundle is used. `distant` if it is not
    /// said.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// So many agents, whatever the template and the rows say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<u32>,
    /// So many jobs, whatever the template and the rows say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// Values for placeholders, over the tune file's.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub set: Map<String, Value>,
}

impl LaunchOptions {
    /// Who says nothing is a client of the system that Armada succeeds, and from there a server is the distant one.
    /// `armada launch` always says the mode: the one that `armada run` takes, too, so that a project is the same on a
    /// server until somebody wants it otherwise.
    fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Distant)
    }

    fn overrides(&self) -> Overrides {
        let set = self.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Overrides { agents: self.agents, jobs: self.jobs, set, given: Given::Request, ..Overrides::default() }
    }
}

/// What becomes of a capability that the component uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapabilityReport {
    /// The capability.
    pub capability: String,
    /// Whether the run may use it.
    pub granted: bool,
    /// What it is for; where it is refused, what would grant it.
    pub message: String,
}

/// `options.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    options: LaunchOptions,
    project: String,
    component: ComponentRef,
    /// The capabilities that the component uses.
    uses: Vec<Capability>,
}

/// Why what a run is launched with cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The options cannot be read.
    #[error("what the run was launched with cannot be read: {0}")]
    Options(#[from] serde_json::Error),
    /// The configuration is not right any more: a file was changed, or this version of Armada checks more.
    #[error("the configuration of the run cannot be used: {}", .0.lines().next().unwrap_or_default())]
    Configuration(#[from] Mistakes),
}

/// Says which file could not be read or written.
fn at(path: &Path) -> impl FnOnce(io::Error) -> InputsError + '_ {
    move |source| InputsError::File { path: path.to_owned(), source }
}

/// What a run is launched with.
#[derive(Debug)]
pub struct Inputs {
    run: RunId,
    data: PathBuf,
    /// Where they are until they are kept.
    upload: Option<TempDir>,
    kept: Kept,
    configuration: Configuration,
}

impl Inputs {
    /// What a run of this data folder was launched with. Reads all of the configuration, so not on a thread of the
    /// runtime.
    pub fn open(data: &Path, run: RunId) -> Result<Self, InputsError> {
        Self::read(data, run, &Self::folder(data, run), None)
    }

    /// Where a run's inputs are kept.
    pub fn folder(data: &Path, run: RunId) -> PathBuf {
        data.join("runs").join(run.to_string())
    }

    fn read(data: &Path, run: RunId, folder: &Path, upload: Option<TempDir>) -> Result<Self, InputsError> {
        let path = folder.join(OPTIONS);
        let kept: Kept = serde_json::from_slice(&fs::read(&path).map_err(at(&path))?)?;
        let configuration = Configuration::resolve(folder, kept.options.mode(), &kept.options.overrides())?;
        Ok(Self { run, data: data.to_owned(), upload, kept, configuration })
    }

    /// The same for another run.
    pub fn copy(&self) -> Result<Self, InputsError> {
        // Should the run that these are of be removed meanwhile, its component stays.
        find_component(&self.data, self.kept.component.digest)?;
        let from = self.place();
        let upload = new_upload(&self.data)?;
        let config = upload.path().join(CONFIG);
        fs::create_dir(&config).map_err(at(&config))?;
        let files = fs::read_dir(from.join(CONFIG)).map_err(at(&from))?;
        let mut files = files.map(|entry| entry.map(|entry| Path::new(CONFIG).join(entry.file_name())));
        // Nobody changes them any more, so the files themselves can be shared.
        let link = |file: PathBuf| fs::hard_link(from.join(&file), upload.path().join(&file)).map_err(at(&from));
        files.try_for_each(|file| link(file.map_err(at(&from))?))?;
        link(OPTIONS.into())?;
        let folder = upload.path().to_owned();
        Self::read(&self.data, RunId::new(), &folder, Some(upload))
    }

    /// Puts them where they are found for as long as the run is.
    pub fn keep(mut self) -> Result<(), InputsError> {
        let Some(upload) = self.upload.take() else { return Ok(()) };
        let folder = Self::folder(&self.data, self.run);
        make_folder(&self.data.join("runs"))?;
        fs::rename(upload.path(), &folder).map_err(at(&folder))?;
        // It has moved: there is nothing to remove.
        let _ = upload.keep();
        let runs = self.data.join("runs");
        fs::File::open(&runs).and_then(|runs| runs.sync_all()).map_err(at(&runs))
    }

    fn place(&self) -> PathBuf {
        self.upload.as_ref().map_or_else(|| Self::folder(&self.data, self.run), |upload| upload.path().to_owned())
    }

    /// The run that they are for.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        &self.kept.project
    }

    /// The resolved configuration. It reads its rows from where the inputs are now: after [`Inputs::keep`], open them
    /// again.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The component's digest and size.
    pub fn component(&self) -> ComponentRef {
        self.kept.component
    }

    /// The component's bytes.
    pub async fn component_bytes(&self) -> Result<Vec<u8>, InputsError> {
        let path = components::path(&self.data, self.kept.component.digest);
        tokio::fs::read(&path).await.map_err(at(&path))
    }

    /// What the run is allowed below this ceiling.
    pub fn grant(&self, ceiling: &Ceiling) -> Grant {
        Grant::new(self.configuration.sandbox(), ceiling)
    }

    /// What becomes of each capability that the component uses.
    pub fn capabilities(&self, grant: &Grant) -> Vec<CapabilityReport> {
        let report = |capability: &Capability| {
            let checked = grant.check_capability(capability.name());
            CapabilityReport {
                capability: capability.name().to_owned(),
                granted: checked.is_ok(),
                message: checked.map_or_else(|denied| denied.to_string(), |()| capability.meaning().to_owned()),
            }
        };
        self.kept.uses.iter().map(report).collect()
    }
}

/// The components that runs were launched with.
fn components_in_use(data: &Path) -> Result<HashSet<Digest>, InputsError> {
    /// What of `options.json` is of interest.
    #[derive(Deserialize)]
    struct Used {
        component: ComponentRef,
    }
    let runs = data.join("runs");
    let folders = match fs::read_dir(&runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        folders => folders.map_err(at(&runs))?,
    };
    let mut used = HashSet::new();
    for folder in folders {
        let path = folder.map_err(at(&runs))?.path().join(OPTIONS);
        match fs::read(&path) {
            Ok(options) => used.insert(serde_json::from_slice::<Used>(&options)?.component.digest),
            // The run is being removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&path)(error)),
        };
    }
    Ok(used)
}

/// Removes what a server before this one had not finished receiving.
pub fn sweep(data: &Path) -> Result<(), InputsError> {
    let uploads = data.join("uploads");
    match fs::remove_dir_all(&uploads) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&uploads)(error)),
        _ => Ok(()),
    }
}

/// A folder for something that is being received. It is removed with what is returned.
fn new_upload(data: &Path) -> Result<TempDir, InputsError> {
    let uploads = data.join("uploads");
    make_folder(&uploads)?;
    let mut builder = tempfile::Builder::new();
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    builder.permissions(rights).tempdir_in(&uploads).map_err(at(&uploads))
}

fn make_folder(folder: &Path) -> Result<(), InputsError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))
}
