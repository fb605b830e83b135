//! A real Chromium: `wit/deps/browser.wit`.
//!
//! The agent has one browser. It is launched when a script first asks for it, kept between jobs, and launched anew when
//! it has died or has had its number of jobs. Each job has a context of its own, which goes with the job; what an agent
//! context opens stays until the agent goes. Scripts hold handles, and dropping one closes the thing.

mod actions;
mod cdp;
mod chromium;
mod context;
mod dialogs;
mod downloads;
mod emulation;
mod frames;
mod guest;
mod keyboard;
mod launch;
mod locate;
mod navigation;
mod page;
mod pictures;
mod reads;
mod requests;
mod script;
mod selector;
mod storage;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use armada_protocol::Attempt;
use async_trait::async_trait;
use tokio::sync::Mutex;

use self::cdp::CdpError;
use self::chromium::Chromium;
use self::context::{CLOSING, Context, OwnedContext, Settings, Times};
use self::launch::{Launch, version};
use crate::capabilities::fingerprint::Fingerprint;
use crate::capabilities::proxy::Traffic;
use crate::capabilities::screen::Screen;
use crate::capabilities::secrets::Veil;
use crate::capabilities::{Life, Means, Notice};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::egress::Egress;
use crate::keep::Keep;

#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub use self::guest::{ContextHandle, DownloadHandle, ElementHandle, HeldRequestHandle, PageHandle};
#[allow(unreachable_pub, reason = "the crate re-exports it")]
pub use self::launch::{ChromiumNotFound, find_chromium, has_display};

/// The viewport of pages where nothing else is said.
const VIEWPORT: (u32, u32) = (1280, 720);

/// How an operator runs browsers.
#[derive(Clone, Debug)]
pub(crate) struct BrowserOptions {
    /// Which Chromium; looked for when not given.
    pub(crate) executable: Option<PathBuf>,
    /// Whether it has a window even if the project does not ask for one.
    pub(crate) headed: bool,
    /// Where its folders go.
    pub(crate) temp: PathBuf,
}

/// The version of the Chromium that agents launch, such as `156.0.8078.79`.
pub(super) async fn chromium_version(executable: Option<&Path>) -> Result<String, Error> {
    version(executable).await.map_err(|error| Error::Unavailable(error.to_string()))
}

/// What a browser stands on.
pub(crate) struct Parts {
    pub(crate) egress: Arc<Egress>,
    pub(crate) fingerprint: Arc<Fingerprint>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) veil: Arc<Veil>,
}

/// The browser of an agent.
pub(crate) struct Browser {
    fingerprint: Arc<Fingerprint>,
    launch: Launch,
    screen: Arc<Screen>,
    launch_time: Duration,
    jobs_per_browser: u32,
    settings: Arc<Settings>,
    chromium: Mutex<Option<Arc<Chromium>>>,
    scope: SyncMutex<Scope>,
    /// Held while the current context is made: calls that want it together get the same.
    making_current: Mutex<()>,
}

/// Whose context is the current one.
#[derive(Default)]
struct Scope {
    in_job: bool,
    /// How many jobs the Chromium has had.
    jobs: u32,
    of_job: Option<OwnedContext>,
    /// What scripts have opened beside it since the job began.
    made_in_job: Vec<Weak<Context>>,
    of_agent: Option<OwnedContext>,
}

impl Scope {
    /// Whose a context is that is made now: which job's, or the agent's.
    fn owner(&self) -> Option<u32> {
        self.in_job.then_some(self.jobs)
    }

    /// The place of the current context.
    fn current(&mut self) -> &mut Option<OwnedContext> {
        if self.in_job { &mut self.of_job } else { &mut self.of_agent }
    }
}

fn no_options() -> wit::ContextOptions {
    wit::ContextOptions {
        viewport: None,
        user_agent: None,
        locale: None,
        timezone: None,
        color_scheme: None,
        extra_headers: None,
        storage_state: None,
        ignore_https_errors: None,
    }
}

impl Browser {
    /// The browser of an agent; it is not launched yet. `notice` is told of what is done to pages and not by their
    /// script.
    pub(crate) fn new(means: &Means<'_>, parts: Parts, notice: Notice) -> Self {
        let Parts { egress, fingerprint, screen, traffic, veil } = parts;
        let Means { grant, options, .. } = means;
        let settings = &means.settings.browser;
        let headed = screen.is_there();
        let whole = settings.screen.screen_width.zip(settings.screen.screen_height);
        let size = settings.window_size.or(whole);
        let window = size.unwrap_or(VIEWPORT);
        let options_of_browser = &settings.browser;
        let limits = grant.limits();
        let times = Times {
            action: Duration::from_millis(options_of_browser.action_timeout_ms.into()),
            navigation: Duration::from_millis(options_of_browser.navigation_timeout_ms.into()),
        };
        // A window shows what fits in it; without one, pages have the size that was asked for.
        let viewport = (!headed || size.is_some()).then_some(wit::Viewport {
            width: window.0,
            height: window.1,
            scale: settings.device_scale_factor,
            mobile: None,
            touch: None,
        });
        Self {
            fingerprint,
            launch: Launch {
                executable: options.executable.clone(),
                headed,
                temp: options.temp.clone(),
                window,
                locale: options_of_browser.locale.clone(),
                user_agent: options_of_browser.user_agent.clone(),
                timezone: options_of_browser.timezone.clone(),
                scale: settings.device_scale_factor,
                display: None,
                accept_language: None,
            },
            screen,
            launch_time: Duration::from_millis(options_of_browser.launch_timeout_ms.into()),
            jobs_per_browser: options_of_browser.jobs_per_browser,
            settings: Arc::new(Settings {
                egress,
                traffic,
                veil,
                notice,
                keep: Keep::new(limits.bytes_kept),
                pages: usize::try_from(limits.pages).unwrap_or(usize::MAX),
                bytes_per_call: limits.bytes_per_call,
                call: Duration::try_from_secs_f64(limits.seconds_per_call).unwrap_or(Duration::MAX),
                times,
                viewport,
                user_agent: options_of_browser.user_agent.clone(),
                locale: options_of_browser.locale.clone(),
                timezone: options_of_browser.timezone.clone(),
                device: OnceLock::new(),
            }),
            chromium: Mutex::default(),
            scope: SyncMutex::default(),
            making_current: Mutex::default(),
        }
    }

    fn scope(&self) -> MutexGuard<'_, Scope> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Chromium, launched when it is first asked for. One that has died stays dead until the job is over: the
    /// script has lost what it had there.
    async fn chromium(&self) -> Result<Arc<Chromium>, Error> {
        let mut chromium = self.chromium.lock().await;
        match &*chromium {
            Some(known) if known.is_alive() => return Ok(known.clone()),
            Some(_) => return Err(CdpError::Closed.into()),
            None => {}
        }
        let mut launch = Launch { display: self.screen.display().await?, ..self.launch.clone() };
        if let Some(device) = self.fingerprint.device().await? {
            launch.show(&device);
            // It is the same at every launch.
            let _ = self.settings.device.set(device);
        }
        let launched = Chromium::launch(&launch, self.settings.clone(), self.launch_time).await;
        let launched = launched.map(Arc::new).map_err(|error| Error::Unavailable(error.to_string()))?;
        *chromium = Some(launched.clone());
        let mut scope = self.scope();
        scope.jobs = u32::from(scope.in_job);
        drop(scope);
        Ok(launched)
    }

    /// What the browser is.
    async fn info(&self) -> Result<wit::BrowserInfo, Error> {
        Ok(self.chromium().await?.info.clone())
    }

    /// Makes a context. One that is made in a job goes with it.
    async fn new_context(&self, options: wit::ContextOptions) -> Result<OwnedContext, Error> {
        let (made, mut scope) = self.make_context(options).await?;
        if scope.in_job {
            scope.made_in_job.retain(|context| context.strong_count() > 0);
            scope.made_in_job.push(Arc::downgrade(made.get()));
        }
        drop(scope);
        Ok(made)
    }

    /// The context of the current job, or the agent's own while no job runs.
    async fn current_context(&self) -> Result<Arc<Context>, Error> {
        let _making = self.making_current.lock().await;
        // One that is dead is known here.
        self.chromium().await?;
        let known = self.scope().current().as_ref().map(|known| known.get().clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let (made, mut scope) = self.make_context(no_options()).await?;
        Ok(scope.current().insert(made).get().clone())
    }

    /// Makes a context for whom it was asked: what a job began is not another's.
    async fn make_context(&self, options: wit::ContextOptions) -> Result<(OwnedContext, MutexGuard<'_, Scope>), Error> {
        let chromium = self.chromium().await?;
        let owner = self.scope().owner();
        let made = chromium.new_context(options).await?;
        let scope = self.scope();
        if scope.owner() != owner {
            return Err(Error::Closed("the job is over".to_owned()));
        }
        Ok((made, scope))
    }

    /// Whether the browser has died: what scripts had there is lost. It is forgotten at the end of the job.
    pub(crate) async fn has_died(&self) -> bool {
        self.chromium.lock().await.as_ref().is_some_and(|chromium| !chromium.is_alive())
    }

    /// Whether the browser has had its number of jobs. Then the agent context is closed, the browser with it, and both
    /// are opened again.
    pub(crate) async fn is_due(&self) -> bool {
        self.chromium.lock().await.is_some() && self.scope().jobs >= self.jobs_per_browser
    }
}

#[async_trait]
impl Life for Browser {
    fn begin_job(&self, _attempt: Attempt) {
        let mut scope = self.scope();
        scope.in_job = true;
        scope.jobs += 1;
    }

    /// A job is over: the contexts that were opened in it go. After a fault everything goes that a script had. A
    /// browser that has died, or does not do as it is told, goes, too: says whether it is still there, or was not
    /// needed.
    async fn end_job(&self, after_fault: bool) -> bool {
        let (of_job, made_in_job, of_agent) = {
            let mut scope = self.scope();
            scope.in_job = false;
            let of_agent = if after_fault { scope.of_agent.take() } else { None };
            (scope.of_job.take(), std::mem::take(&mut scope.made_in_job), of_agent)
        };
        let mut chromium = self.chromium.lock().await;
        let Some(known) = chromium.as_ref() else { return true };
        let contexts = match after_fault {
            true => known.contexts(),
            false => {
                let of_job = of_job.iter().map(|context| context.get().clone());
                of_job.chain(made_in_job.iter().filter_map(Weak::upgrade)).collect()
            }
        };
        let closing = async {
            let closed = futures::future::try_join_all(contexts.iter().map(|context| context.close())).await;
            // What the job asked for and did not wait for is not the next one's to wait for.
            closed.is_ok() && known.settled().await
        };
        let closed = matches!(tokio::time::timeout(CLOSING, closing).await, Ok(true));
        // What was owned is closed, or ends with the browser.
        drop((of_job, of_agent));
        if closed && known.is_alive() {
            return true;
        }
        if known.is_alive() {
            (self.settings.notice)("the browser did not close the job's pages in time: it was ended".to_owned());
        }
        known.close().await;
        *chromium = None;
        false
    }

    /// Ends the browser. It is launched again when it is next asked for.
    async fn close(&self) {
        let chromium = self.chromium.lock().await.take();
        if let Some(chromium) = chromium {
            chromium.close().await;
        }
        *self.scope() = Scope::default();
    }
}
