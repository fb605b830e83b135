//! Browser contexts: isolated sessions, and what all their pages share.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::network::SetExtraHttpHeadersParams;
use chromiumoxide_cdp::cdp::browser_protocol::page::AddScriptToEvaluateOnNewDocumentParams;
use chromiumoxide_cdp::cdp::browser_protocol::target::{
    CloseTargetParams, CreateTargetParams, DisposeBrowserContextParams,
};
use serde::Deserialize;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;
use url::Url;

use super::super::fingerprint::Device;
use super::cdp::{CdpError, Session};
use super::downloads::Download;
use super::page::{OwnedPage, Page};
use super::requests::{check_headers, extra_headers};
use crate::capabilities::Notice;
use crate::capabilities::proxy::Traffic;
use crate::capabilities::secrets::Veil;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;
use crate::egress::Egress;
use crate::keep::{Keep, Kept};

/// How many origins a context remembers having visited.
const ORIGINS: usize = 1_000;
/// How many scripts a context may run in every document.
const INIT_SCRIPTS: usize = 100;
/// How many contexts there may be beside one for each page that may be open: the job's own, and the agent's.
const OWN_CONTEXTS: usize = 2;
/// How long closing may take.
pub(super) const CLOSING: Duration = Duration::from_secs(10);

/// What holds for every page of the agent.
pub(crate) struct Settings {
    /// Which hosts may be reached.
    pub(crate) egress: Arc<Egress>,
    /// What is done to requests on their way.
    pub(crate) traffic: Arc<Traffic>,
    /// Hides secrets in what the browser says.
    pub(crate) veil: Arc<Veil>,
    /// Who is told of what was done to a page and not by its script, such as a request that was blocked.
    pub(crate) notice: Notice,
    /// What is kept for scripts.
    pub(crate) keep: Arc<Keep>,
    /// How many pages may be open at once.
    pub(crate) pages: usize,
    /// How much one call may give.
    pub(crate) bytes_per_call: u64,
    /// How long one call may take.
    pub(crate) call: Duration,
    /// How long acts and navigations take where nothing is said.
    pub(crate) times: Times,
    /// The viewport where nothing is said; the window's own if none.
    pub(crate) viewport: Option<wit::Viewport>,
    /// The user agent, language and time zone where nothing is said.
    pub(crate) user_agent: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) timezone: Option<String>,
    /// The device that is shown, known when the browser is launched.
    pub(crate) device: OnceLock<Arc<Device>>,
}

/// How long acts and navigations take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) action: Duration,
    pub(crate) navigation: Duration,
}

/// The pages of a browser, by what events name.
#[derive(Default)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
    pub(super) changed: Notify,
    /// What goes on beside the calls of scripts, until the browser has ended.
    pub(super) tasks: TaskTracker,
}

#[derive(Default)]
pub(super) struct Entries {
    pub(super) contexts: HashMap<String, Arc<Context>>,
    pub(super) pages: HashMap<String, Arc<Page>>,
    /// Pages by session.
    pub(super) sessions: HashMap<String, Arc<Page>>,
    /// Pages by frame.
    frames: HashMap<String, String>,
    /// Downloads that go on, by the browser's names for them.
    pub(super) downloads: HashMap<String, std::sync::Weak<Download>>,
    /// Pages and contexts asked for that the browser has not made yet.
    expected_pages: usize,
    expected_contexts: usize,
    /// Pages that are being opened: some are made already and not ready yet, and some are for nobody any more.
    opening: usize,
}

impl Registry {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that a frame belongs to.
    pub(super) fn page_of_frame(&self, frame: &str) -> Option<Arc<Page>> {
        let entries = self.entries();
        entries.frames.get(frame).and_then(|target| entries.pages.get(target)).cloned()
    }

    /// Counts a page that is asked for, unless there are too many. Those that go away on their own are waited for: what
    /// nobody has any more is not the script's to close.
    async fn expect_page(self: &Arc<Self>, most: usize) -> Result<(Expected, Expected), Error> {
        let mut has_room = false;
        self.until(|entries| {
            has_room = entries.pages.len() + entries.expected_pages < most;
            if has_room {
                entries.expected_pages += 1;
                entries.opening += 1;
            }
            has_room || (entries.opening == 0 && !entries.pages.values().any(|page| entries.is_leaving(page)))
        })
        .await;
        if !has_room {
            return Err(Error::Limit(format!(
                "{most} pages are open: close some, or raise run_message.sandbox.limits.pages"
            )));
        }
        let expected = Expected { registry: self.clone(), count: |entries| &mut entries.expected_pages };
        let opening = Expected { registry: self.clone(), count: |entries| &mut entries.opening };
        Ok((expected, opening))
    }

    /// Counts a context that is asked for, unless there are too many. Those that are made for nobody any more are
    /// waited for.
    pub(super) async fn expect_context(self: &Arc<Self>, pages: usize) -> Result<Expected, Error> {
        let most = pages.saturating_add(OWN_CONTEXTS);
        let mut has_room = false;
        self.until(|entries| {
            has_room = entries.contexts.len() + entries.expected_contexts < most;
            if has_room {
                entries.expected_contexts += 1;
            }
            has_room || entries.expected_contexts == 0
        })
        .await;
        if !has_room {
            return Err(Error::Limit(format!(
                "{most} browser contexts are open, {OWN_CONTEXTS} more than pages may be: close some, or raise \
                 run_message.sandbox.limits.pages"
            )));
        }
        Ok(Expected { registry: self.clone(), count: |entries| &mut entries.expected_contexts })
    }

    /// Waits until nothing is asked for any more, and no page is left of a context that is closed. Says whether it came
    /// to that.
    pub(super) async fn settled(&self) -> bool {
        self.until(|entries| {
            entries.expected_pages == 0
                && entries.expected_contexts == 0
                && entries.pages.values().all(|page| entries.contexts.contains_key(&page.context.id))
        })
        .await
    }

    /// Does what must come to its end once it has begun, even when whoever waits for it is gone: what the browser makes
    /// for nobody would stay. Then, what it gives is dropped, and so must be something that closes what was made. The
    /// work is to be short, and counted as [`Expected`]: whoever gives up may begin anew.
    pub(super) async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, given) = oneshot::channel();
        self.tasks.spawn(async move {
            // Whoever is gone is told nothing.
            let _ = sender.send(work.await);
        });
        given.await.unwrap_or_else(|_| Err(Error::Closed("the browser is gone".to_owned())))
    }

    /// Waits until something about the pages is so, for at most as long as closing may take.
    pub(super) async fn until(&self, mut is_so: impl FnMut(&mut Entries) -> bool) -> bool {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if is_so(&mut self.entries()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(CLOSING, wait).await.is_ok()
    }
}

/// A browser context.
pub(crate) struct Context {
    /// The browser's name for it.
    pub(super) id: String,
    pub(super) browser: Session,
    pub(crate) settings: Arc<Settings>,
    pub(super) registry: Arc<Registry>,
    pub(super) options: wit::ContextOptions,
    shared: Mutex<Shared>,
}

/// What can be changed for all pages of a context.
struct Shared {
    times: Times,
    init_scripts: Vec<Kept<String>>,
    extra_headers: Kept<Vec<wit::Header>>,
    /// The origins that its pages have visited.
    origins: BTreeSet<String>,
}

impl Context {
    pub(super) fn new(
        id: String,
        browser: Session,
        settings: Arc<Settings>,
        registry: Arc<Registry>,
        options: wit::ContextOptions,
        extra_headers: Kept<Vec<wit::Header>>,
    ) -> Self {
        let shared =
            Shared { times: settings.times, init_scripts: Vec::new(), extra_headers, origins: BTreeSet::new() };
        Self { id, browser, settings, registry, options, shared: Mutex::new(shared) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that a call may take: what the script says, else the context's default, and never more than the
    /// grant's.
    pub(super) fn deadline(&self, timeout_ms: Option<u32>, default: impl FnOnce(Times) -> Duration) -> Deadline {
        let asked = match timeout_ms {
            Some(milliseconds) => Duration::from_millis(milliseconds.into()),
            None => default(self.shared().times),
        };
        Deadline::after(asked.min(self.settings.call))
    }

    /// The time that reading something may take where nothing is said.
    pub(crate) fn action_deadline(&self, timeout_ms: Option<u32>) -> Deadline {
        self.deadline(timeout_ms, |times| times.action)
    }

    /// Sets the default times.
    pub(crate) fn set_default_timeouts(&self, action_ms: Option<u32>, navigation_ms: Option<u32>) {
        let mut shared = self.shared();
        if let Some(milliseconds) = action_ms {
            shared.times.action = Duration::from_millis(milliseconds.into());
        }
        if let Some(milliseconds) = navigation_ms {
            shared.times.navigation = Duration::from_millis(milliseconds.into());
        }
    }

    /// An error of the browser, as a script is told it.
    pub(super) fn error(&self, error: CdpError) -> Error {
        match error {
            CdpError::Refused(message) if message.contains("context") && message.contains("find") => {
                Error::Closed("the browser context is closed".to_owned())
            }
            other => other.into(),
        }
    }

    /// Opens an empty page.
    pub(crate) async fn new_page(&self) -> Result<OwnedPage, Error> {
        let (expected, opening) = self.registry.expect_page(self.settings.pages).await?;
        let mut create = CreateTargetParams::new("about:blank");
        create.browser_context_id = Some(self.id.clone().into());
        // A window of its own: a page behind another in one window is not drawn.
        create.new_window = Some(true);
        let browser = self.browser.clone();
        let open = async move {
            let _opening = opening;
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Created {
                target_id: String,
            }
            let created: Created = match browser.call_as(&create).await {
                Ok(created) => created,
                Err(error) => return Ok(Err(error)),
            };
            let registry = expected.registry.clone();
            registry.until(|entries| entries.pages.contains_key(&created.target_id)).await;
            let page = registry.entries().pages.get(&created.target_id).cloned();
            let Some(page) = page else {
                browser.tell(&CloseTargetParams::new(created.target_id));
                return Err(Error::Unavailable("the browser has not opened a page".to_owned()));
            };
            drop(expected);
            let owned = OwnedPage::new(&page);
            // Until it is ready, the browser would not close it.
            page.ready().await?;
            Ok(Ok(owned))
        };
        self.registry.see_through(open).await?.map_err(|error| self.error(error))
    }

    /// Closes the context and its pages, and waits until they are closed.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let dispose = DisposeBrowserContextParams::new(self.id.clone());
        match self.browser.call(dispose).await {
            Ok(_) | Err(CdpError::Refused(_)) => {}
            Err(error) => return Err(self.error(error)),
        }
        self.registry.entries().contexts.remove(&self.id);
        self.registry.until(|entries| !entries.pages.values().any(|page| page.context.id == self.id)).await;
        Ok(())
    }

    /// Has the context closed.
    fn begin_close(&self) {
        if self.registry.entries().contexts.remove(&self.id).is_some() {
            self.browser.tell(&DisposeBrowserContextParams::new(self.id.clone()));
        }
    }

    /// The pages of this context.
    fn pages(&self) -> Vec<Arc<Page>> {
        self.registry.entries().pages.values().filter(|page| page.context.id == self.id).cloned().collect()
    }

    /// Sets the headers added to every request of its pages.
    pub(crate) async fn set_extra_headers(&self, headers: Vec<wit::Header>) -> Result<(), Error> {
        check_headers(&headers)?;
        let headers = self.settings.keep.keep(headers)?;
        self.shared().extra_headers = headers;
        for page in self.pages() {
            page.send_extra_headers().await?;
        }
        Ok(())
    }

    /// The command that sets the headers of one page: the context's, and these over them.
    pub(super) fn extra_headers_with(&self, headers: &[wit::Header]) -> SetExtraHttpHeadersParams {
        extra_headers(self.shared().extra_headers.iter().chain(headers))
    }

    /// Runs a script in every document of pages opened from now on.
    pub(crate) fn add_init_script(&self, script: String) -> Result<(), Error> {
        let mut shared = self.shared();
        if shared.init_scripts.len() >= INIT_SCRIPTS {
            return Err(Error::Limit(format!("a context has at most {INIT_SCRIPTS} init scripts")));
        }
        shared.init_scripts.push(self.settings.keep.keep(script)?);
        Ok(())
    }

    /// The commands that give a new page the context's scripts.
    pub(super) fn init_scripts(&self) -> Vec<AddScriptToEvaluateOnNewDocumentParams> {
        self.shared().init_scripts.iter().map(|script| AddScriptToEvaluateOnNewDocumentParams::new(&**script)).collect()
    }

    /// A page has gone to this URL.
    pub(super) fn visited(&self, url: &str) {
        let Ok(url) = Url::parse(url) else { return };
        if !matches!(url.scheme(), "http" | "https") {
            return;
        }
        let mut shared = self.shared();
        if shared.origins.len() < ORIGINS {
            shared.origins.insert(url.origin().ascii_serialization());
        }
    }

    /// The origins that its pages have visited.
    pub(super) fn origins(&self) -> Vec<String> {
        self.shared().origins.iter().cloned().collect()
    }

    /// A frame belongs to a page.
    pub(super) fn register_frame(&self, frame: &str, page: &str) {
        self.registry.entries().frames.insert(frame.to_owned(), page.to_owned());
    }

    /// Frames are gone.
    pub(super) fn forget_frames(&self, frames: &[String]) {
        let mut entries = self.registry.entries();
        for frame in frames {
            entries.frames.remove(frame);
        }
    }
}

impl Entries {
    /// Whether a page is there only until the browser has closed it.
    fn is_leaving(&self, page: &Page) -> bool {
        page.is_leaving() || !self.contexts.contains_key(&page.context.id)
    }

    /// A page is gone.
    pub(super) fn remove_page(&mut self, page: &Page) {
        self.pages.remove(&page.target);
        self.frames.retain(|_, target| *target != page.target);
        self.downloads.retain(|_, download| download.strong_count() > 0);
    }
}

/// Something asked for that does not exist yet: counted until this goes.
pub(super) struct Expected {
    registry: Arc<Registry>,
    count: fn(&mut Entries) -> &mut usize,
}

impl Drop for Expected {
    fn drop(&mut self) {
        *(self.count)(&mut self.registry.entries()) -= 1;
        self.registry.changed.notify_waiters();
    }
}

/// Owns a context on behalf of a script or a job: dropping it closes the context.
pub(crate) struct OwnedContext(Arc<Context>);

impl OwnedContext {
    /// Gives the context to its owner.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// The context.
    pub(crate) fn get(&self) -> &Arc<Context> {
        &self.0
    }
}

impl Drop for OwnedContext {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}
