//! Receiving a launch: a multipart body, streamed to disk part by part, and looked into once all of it is there.
//!
//! Whoever sends it may be hostile or slow: every part has its limit, every wait has its end, and what has not been
//! understood yet is never much, since it is kept in memory. What is received is in a folder that goes with the
//! request, however that ends. All that is wrong with a launch is told at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use armada_project::{Bundle, BundleError, BundleLimits, Component, Configuration, Digest, InvalidDigest, Mode};
use armada_protocol::RunId;
use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::components::{find_component, inspect, keep, path};
use super::{CONFIG, Inputs, InputsError, Kept, LaunchOptions, OPTIONS, at, new_upload};
use crate::http::{MistakeView, Problem};

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(30);
/// How long a client may take to send everything.
const TOTAL: Duration = Duration::from_secs(3600);
/// How long what was received may wait to be looked into.
const INSPECTION: Duration = Duration::from_secs(60);
/// How many bytes that are in no part yet may be in memory: headers of parts are short.
const UNPARSED: usize = 256 << 10;
/// How much is looked at once.
const PIECE: usize = 64 << 10;
/// The most that the parts hold that are small.
const SMALL: u64 = 1 << 20;
/// The most characters of a project's name.
const NAME: usize = 200;
/// How many uploads are looked into at the same time: a component is read into memory for that.
static INSPECTIONS: Semaphore = Semaphore::const_new(2);

/// What `POST /bot/start` takes. A part that is empty is as if it were not there.
#[derive(ToSchema)]
pub struct LaunchForm {
    /// `config_template.json`. Needed unless there is a `bundle`.
    #[schema(format = Binary)]
    pub configtemplate: Option<String>,
    /// What fills in the template's placeholders: `config_distant.json`, or `config_local.json` where the mode is
    /// `local`.
    #[schema(format = Binary)]
    pub configtune: Option<String>,
    /// `data_job.csv`.
    #[schema(format = Binary)]
    pub data_job: Option<String>,
    /// `data_agent.csv`.
    #[schema(format = Binary)]
    pub data_agent: Option<String>,
    /// Must be empty: what a project depends on is compiled into its component.
    #[schema(format = Binary)]
    pub requirements_txt: Option<String>,
    /// The component. Exactly one of `component`, `component_digest` and `bundle` is needed.
    #[schema(format = Binary)]
    pub component: Option<String>,
    /// The digest of a component that the server has.
    #[schema(example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub component_digest: Option<String>,
    /// What `armada build` writes: component and configuration in one file.
    #[schema(format = Binary)]
    pub bundle: Option<String>,
    /// How to launch it, as JSON.
    pub options: Option<LaunchOptions>,
}

/// A part of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Template,
    Tune,
    Jobs,
    Agents,
    Requirements,
    Component,
    ComponentDigest,
    Bundle,
    Options,
}

impl Part {
    const ALL: [Self; 9] = [
        Self::Template,
        Self::Tune,
        Self::Jobs,
        Self::Agents,
        Self::Requirements,
        Self::Component,
        Self::ComponentDigest,
        Self::Bundle,
        Self::Options,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Template => "configtemplate",
            Self::Tune => "configtune",
            Self::Jobs => "data_job",
            Self::Agents => "data_agent",
            Self::Requirements => "requirements_txt",
            Self::Component => "component",
            Self::ComponentDigest => "component_digest",
            Self::Bundle => "bundle",
            Self::Options => "options",
        }
    }

    /// The project's file that it is.
    fn file(self, mode: Mode) -> Option<&'static str> {
        match self {
            Self::Template => Some("config/config_template.json"),
            Self::Tune => Some(mode.tune_file()),
            Self::Jobs => Some("config/data_job.csv"),
            Self::Agents => Some("config/data_agent.csv"),
            _ => None,
        }
    }

    fn limit(self, limits: &BundleLimits) -> u64 {
        match self {
            Self::Template | Self::Tune => limits.json,
            Self::Jobs | Self::Agents => limits.csv,
            Self::Component => limits.component,
            Self::Bundle => limits.total(),
            Self::Requirements | Self::ComponentDigest | Self::Options => SMALL,
        }
    }
}

impl Inputs {
    /// Receives what a run is to be launched with. Nothing is left of what is refused, or not received to its end.
    pub async fn receive(request: Request, data: &Path, limits: &BundleLimits) -> Result<Self, Problem> {
        let receiving = tokio::time::timeout(TOTAL, Received::all(request, data, limits));
        let received = receiving.await.map_err(|_| too_slow())??;
        let (data, limits) = (data.to_owned(), *limits);
        inspecting(move || received.accept(&data, &limits)).await
    }
}

/// Has something that was received looked into, in its turn.
pub(super) async fn inspecting<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = tokio::time::timeout(INSPECTION, INSPECTIONS.acquire()).await;
    let turn = turn.map_err(|_| Problem::unavailable("too many uploads wait to be looked into"))?;
    let turn = turn.map_err(Problem::internal)?;
    let looking = move || {
        let _turn = turn;
        look()
    };
    tokio::task::spawn_blocking(looking).await.map_err(Problem::internal)?
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "the upload took too long: nothing came, or too little in too long a time",
    )
}

/// Waits for a client to send more.
async fn coming<T>(more: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(IDLE, more).await.map_err(|_| too_slow())
}

/// The bytes of a request that are in no parts.
pub(super) struct Chunks(BodyDataStream);

impl Chunks {
    pub(super) fn of(body: Body) -> Self {
        Self(body.into_data_stream())
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let cut_short = |_| Problem::bad_request("the upload is cut short");
        coming(self.0.next()).await?.transpose().map_err(cut_short)
    }
}

/// A file that something is received into.
pub(super) struct Spool {
    file: File,
    part: &'static str,
    left: u64,
    limit: u64,
}

impl Spool {
    /// A new file for this part, of at most so many bytes.
    pub(super) async fn create(path: &Path, part: &'static str, limit: u64) -> Result<Self, Problem> {
        let file = File::create_new(path).await.map_err(at(path))?;
        Ok(Self { file, part, left: limit, limit })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let too_large = || Problem::too_large(format!("`{}` is larger than {} bytes", self.part, self.limit));
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
        self.file.write_all(bytes).await.map_err(at(Path::new(self.part)))?;
        Ok(())
    }

    /// Whether anything was received.
    pub(super) async fn finish(mut self) -> Result<bool, Problem> {
        // What is written is in the file only after this.
        self.file.flush().await.map_err(at(Path::new(self.part)))?;
        Ok(self.left < self.limit)
    }
}

/// A body that is given in small pieces, one at a time, so that whoever looks for parts in it does not read on while
/// there is something to be understood; and that ends with an error if that finds none for too long.
struct Pieces {
    body: BodyDataStream,
    rest: Bytes,
    has_given: bool,
    unparsed: Arc<AtomicUsize>,
}

impl Stream for Pieces {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match ready!(self.body.poll_next_unpin(context)) {
                Some(Ok(chunk)) => self.rest = chunk,
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.has_given = true;
        if self.unparsed.fetch_add(length, Ordering::Relaxed) > UNPARSED {
            return Poll::Ready(Some(Err(axum::Error::new("no part begins"))));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

/// A launch as it was received: each part that is there, and not empty, in a file of its name.
struct Received {
    folder: TempDir,
    parts: BTreeSet<Part>,
    empty: BTreeSet<Part>,
}

impl Received {
    async fn all(request: Request, data: &Path, limits: &BundleLimits) -> Result<Self, Problem> {
        let unparsed = Arc::new(AtomicUsize::default());
        let mut request = request.map(|body| {
            let (body, unparsed) = (body.into_data_stream(), unparsed.clone());
            Body::from_stream(Pieces { body, rest: Bytes::new(), has_given: false, unparsed })
        });
        // Each part has a limit of its own.
        DefaultBodyLimit::disable().apply(&mut request);
        let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
            let detail = "a launch is sent as multipart/form-data, with a boundary in its Content-Type";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        })?;
        let mut received = Self { folder: new_upload(data)?, parts: BTreeSet::new(), empty: BTreeSet::new() };
        while let Some(field) = coming(form.next_field()).await?.map_err(broken)? {
            let name = field.name().unwrap_or_default();
            let part = Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| unknown(name))?;
            if received.parts.contains(&part) || received.empty.contains(&part) {
                return Err(Problem::bad_request(format!("the part `{name}` is there twice")));
            }
            let has_content = received.take(part, field, part.limit(limits), &unparsed).await?;
            if has_content { &mut received.parts } else { &mut received.empty }.insert(part);
        }
        Ok(received)
    }

    /// Takes a part. Says whether there is anything in it.
    async fn take(
        &self,
        part: Part,
        mut field: Field<'_>,
        limit: u64,
        unparsed: &AtomicUsize,
    ) -> Result<bool, Problem> {
        let mut spool = Spool::create(&self.folder.path().join(part.name()), part.name(), limit).await?;
        unparsed.store(0, Ordering::Relaxed);
        while let Some(chunk) = coming(field.chunk()).await?.map_err(broken)? {
            unparsed.store(0, Ordering::Relaxed);
            spool.write(&chunk).await?;
        }
        spool.finish().await
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn bytes(&self, part: Part) -> Result<Vec<u8>, InputsError> {
        let path = self.folder.path().join(part.name());
        fs::read(&path).map_err(at(&path))
    }

    /// Makes of it what a run can be launched with, or says all that is wrong with it.
    fn accept(self, data: &Path, limits: &BundleLimits) -> Result<Inputs, Problem> {
        let mut wrong = Wrong::default();
        let options = self.options(&mut wrong)?;
        self.check_parts(&mut wrong)?;
        let folder = self.folder.path();
        let has_configuration = self.has(Part::Template) || self.has(Part::Bundle);
        let bundle = self.unpack(limits, &mut wrong)?;
        if !self.has(Part::Bundle) {
            self.place(options.mode())?;
        }
        let mut found = None;
        if let Some(component) = self.component(data, bundle.as_ref(), &mut wrong)? {
            found = Some((component.reference(), component.capabilities().collect()));
        }
        // Of a bundle that is no good, nothing was unpacked.
        let resolved = match has_configuration && (bundle.is_some() || !self.has(Part::Bundle)) {
            true => Configuration::resolve(folder, options.mode(), &options.overrides()).map(Some),
            false => Ok(None),
        };
        let configuration = resolved.unwrap_or_else(|mistakes| {
            wrong.add(Problem::from(&mistakes));
            None
        });
        let (configuration, (component, uses)) = match (configuration, found) {
            (Some(configuration), Some(found)) if wrong.is_nothing() => (configuration, found),
            _ => return Err(wrong.into_problem()),
        };
        if let Some(file) = self.component_file() {
            keep(data, &folder.join(file), component.digest)?;
        }
        let name = options.project.clone().or_else(|| bundle.map(|bundle| bundle.name().to_owned()));
        let kept = Kept { options, project: name.unwrap_or_else(|| "project".to_owned()), component, uses };
        self.finish(&kept)?;
        let (run, data) = (RunId::new(), data.to_owned());
        Ok(Inputs { run, data, upload: Some(self.folder), kept, configuration })
    }

    fn options(&self, wrong: &mut Wrong) -> Result<LaunchOptions, InputsError> {
        if !self.has(Part::Options) {
            return Ok(LaunchOptions::default());
        }
        let options: LaunchOptions = serde_json::from_slice(&self.bytes(Part::Options)?).unwrap_or_else(|error| {
            let place = (error.line() > 0).then_some((error.line() as u64, error.column() as u64));
            let mistake = MistakeView::new(Part::Options.name(), error.to_string(), None);
            wrong.0.push(MistakeView { line: place.map(|at| at.0), column: place.map(|at| at.1), ..mistake });
            LaunchOptions::default()
        });
        let is_name = |name: &String| {
            !name.trim().is_empty() && name.chars().count() <= NAME && !name.chars().any(char::is_control)
        };
        if !options.project.as_ref().is_none_or(is_name) {
            wrong.say(Part::Options, "`project` is a name of 1 to 200 characters without control characters", None);
        }
        Ok(options)
    }

    /// Checks which parts are there.
    fn check_parts(&self, wrong: &mut Wrong) -> Result<(), InputsError> {
        if self.has(Part::Requirements) && !self.bytes(Part::Requirements)?.trim_ascii().is_empty() {
            let help = "leave it out, and build the project with `armada build` or `armada launch`";
            let message = "nothing is installed when a run is launched: dependencies are compiled into the component";
            wrong.say(Part::Requirements, message, Some(help));
        }
        let programs = [Part::Component, Part::ComponentDigest, Part::Bundle];
        let given: Vec<Part> = programs.into_iter().filter(|part| self.has(*part)).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let help = "send `component` (the file), `component_digest` (of one that the server has) or `bundle`";
                match programs.into_iter().find(|part| self.empty.contains(part)) {
                    Some(part) => wrong.say(part, "there is nothing in it", Some(help)),
                    None => wrong.say(Part::Component, "there is no component", Some(help)),
                }
            }
            [first, second, ..] => {
                let message = format!("there is `{}` too", second.name());
                wrong.say(*first, &message, Some("send one of `component`, `component_digest` and `bundle`"));
            }
        }
        let files = Part::ALL.into_iter().filter(|part| part.file(Mode::Local).is_some());
        for part in files.filter(|part| self.has(Part::Bundle) && self.has(*part)) {
            wrong.say(part, "there is a `bundle` too, which has its own", Some("leave out one of the two"));
        }
        if ![Part::Template, Part::Bundle].into_iter().any(|part| self.has(part)) && !self.empty.contains(&Part::Bundle)
        {
            wrong.say(Part::Template, "there is no configuration", Some("send config/config_template.json"));
        }
        Ok(())
    }

    fn unpack(&self, limits: &BundleLimits, wrong: &mut Wrong) -> Result<Option<Bundle>, Problem> {
        let path = self.folder.path().join(Part::Bundle.name());
        if !self.has(Part::Bundle) {
            return Ok(None);
        }
        let file = fs::File::open(&path).map_err(at(&path))?;
        match Bundle::unpack(file, self.folder.path(), limits) {
            Ok(bundle) => Ok(Some(bundle)),
            Err(BundleError::Write { path, source }) => Err(InputsError::File { path, source }.into()),
            Err(BundleError::TooLarge { name, limit }) => {
                Err(Problem::too_large(format!("{name} of `bundle` is larger than {limit} bytes")))
            }
            Err(error) => {
                wrong.say(Part::Bundle, &error.to_string(), None);
                Ok(None)
            }
        }
    }

    /// Moves the parts of a configuration to where a project has its files.
    fn place(&self, mode: Mode) -> Result<(), InputsError> {
        let folder = self.folder.path();
        let config = folder.join(CONFIG);
        fs::create_dir(&config).map_err(at(&config))?;
        for part in &self.parts {
            if let Some(file) = part.file(mode) {
                fs::rename(folder.join(part.name()), folder.join(file)).map_err(at(folder))?;
            }
        }
        Ok(())
    }

    /// The name of the component's file, if it was sent.
    fn component_file(&self) -> Option<&'static str> {
        match (self.has(Part::Component), self.has(Part::Bundle)) {
            (true, _) => Some(Part::Component.name()),
            (false, true) => Some("component.wasm"),
            (false, false) => None,
        }
    }

    fn component(&self, data: &Path, bundle: Option<&Bundle>, wrong: &mut Wrong) -> Result<Option<Component>, Problem> {
        let inspected = match self.component_file() {
            Some(_) if self.has(Part::Bundle) && bundle.is_none() => return Ok(None),
            Some(file) => inspect(&self.folder.path().join(file)),
            None if self.has(Part::ComponentDigest) => {
                let text = String::from_utf8_lossy(&self.bytes(Part::ComponentDigest)?).trim().to_owned();
                let Ok(digest) = text.parse::<Digest>() else {
                    wrong.say(Part::ComponentDigest, &InvalidDigest.to_string(), None);
                    return Ok(None);
                };
                let kept = path(data, digest);
                if find_component(data, digest)?.is_none() {
                    let help = "send the component itself as `component`";
                    wrong.say(Part::ComponentDigest, "the server does not have this component", Some(help));
                    return Ok(None);
                }
                let inspected = inspect(&kept);
                match &inspected {
                    Ok(component) if component.reference().digest != digest => {
                        return Err(Problem::internal(format!("{} is damaged", kept.display())));
                    }
                    _ => inspected,
                }
            }
            None => return Ok(None),
        };
        match inspected {
            Ok(component) => Ok(Some(component)),
            Err(problem) if problem.mistakes.is_empty() => Err(problem),
            Err(problem) => {
                wrong.add(problem);
                Ok(None)
            }
        }
    }

    /// Leaves in the folder what is kept of a run, and sees to it that it is there even after a power cut.
    fn finish(&self, kept: &Kept) -> Result<(), InputsError> {
        let folder = self.folder.path();
        for part in Part::ALL {
            match fs::remove_file(folder.join(part.name())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(folder)(error)),
                _ => {}
            }
        }
        let options = folder.join(OPTIONS);
        fs::write(&options, serde_json::to_vec(kept)?).map_err(at(&options))?;
        let config = folder.join(CONFIG);
        let files = fs::read_dir(&config).map_err(at(&config))?.map(|entry| entry.map(|entry| entry.path()));
        for path in [Ok(options), Ok(config.clone()), Ok(folder.to_owned())].into_iter().chain(files) {
            let path = path.map_err(at(&config))?;
            fs::File::open(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
        }
        Ok(())
    }
}

/// What is wrong with a launch.
#[derive(Default)]
struct Wrong(Vec<MistakeView>);

impl Wrong {
    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    fn say(&mut self, part: Part, message: &str, help: Option<&str>) {
        self.0.push(MistakeView::new(part.name(), message, help));
    }

    fn add(&mut self, problem: Problem) {
        self.0.extend(problem.mistakes);
    }

    fn into_problem(self) -> Problem {
        Problem::mistaken(self.0)
    }
}

fn broken(error: MultipartError) -> Problem {
    Problem::bad_request(format!("the form is cut short, or cannot be read: {}", error.body_text()))
}

fn unknown(name: &str) -> Problem {
    let known: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
    let name: String = name.chars().take(40).collect();
    Problem::bad_request(format!("there is no part {name:?}: the parts are {}", known.join(", ")))
}
