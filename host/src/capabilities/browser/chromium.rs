//! One launched Chromium: its connection, its contexts and pages, and the task that its process belongs to.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::browser::{
    CloseParams, SetDownloadBehaviorBehavior, SetDownloadBehaviorParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::fetch::{EnableParams as EnableFetch, RequestPattern};
use chromiumoxide_cdp::cdp::browser_protocol::target::{
    CloseTargetParams, CreateBrowserContextParams, FilterEntry, SetAutoAttachParams, TargetFilter,
};
use chromiumoxide_cdp::cdp::js_protocol::runtime::RunIfWaitingForDebuggerParams;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cdp::{BROWSER_GONE, CdpError, Connection, Events, Session, decode};
use super::context::{Context, OwnedContext, Registry, Settings};
use super::downloads::{Download, DownloadProgress, WillBegin};
use super::emulation::{check_options, emulate_in_worker};
use super::launch::{Launch, LaunchError, Process, drain};
use super::page::Page;
use super::requests::{Paused, decide};
use crate::capabilities::proxy::{Peers, Proxy, ProxyError};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::egress::Trust;

/// Room in a message for what is around the bytes that a call may give: JSON, and base64 for pictures.
fn message_bytes(bytes_per_call: u64) -> usize {
    let bytes = usize::try_from(bytes_per_call).unwrap_or(usize::MAX);
    bytes.saturating_mul(4) / 3 + 64 * 1024
}

/// The types of targets that are workers.
const WORKERS: [&str; 3] = ["worker", "service_worker", "shared_worker"];

/// A Chromium.
pub(crate) struct Chromium {
    connection: Connection,
    registry: Arc<Registry>,
    settings: Arc<Settings>,
    pub(crate) info: wit::BrowserInfo,
    folder: PathBuf,
    /// Ends the process when cancelled.
    stop: CancellationToken,
    ended: Mutex<Option<JoinHandle<()>>>,
}

impl Chromium {
    /// Launches Chromium and waits until it is ready.
    pub(crate) async fn launch(
        launch: &Launch,
        settings: Arc<Settings>,
        within: Duration,
    ) -> Result<Self, LaunchError> {
        let trust = Trust::of_the_system().map_err(ProxyError::from)?;
        let (egress, traffic) = (settings.egress.clone(), settings.traffic.clone());
        let memory = settings.device.get().map(|device| device.profile.memory);
        let proxy = Proxy::open(egress, trust, traffic, memory, settings.notice.clone()).await?;
        let (process, pipes) = launch.start(&proxy)?;
        if let Some(group) = process.group() {
            proxy.serve(Peers::group(group));
        }
        let (path, folder) = (process.path().display().to_string(), process.folder().to_owned());
        let registry = Arc::new(Registry::default());
        let (connection, drive) =
            Connection::open(pipes.read, pipes.write, message_bytes(settings.bytes_per_call), settings.veil.clone());
        let router = Arc::new(Router {
            connection: connection.clone(),
            registry: registry.clone(),
            settings: settings.clone(),
            folder: folder.clone(),
        });
        let printed = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let driving = drive(router);
        let ended = tokio::spawn(own(process, proxy, connection.clone(), stop.clone(), registry.clone(), {
            let printed = printed.clone();
            async move {
                tokio::join!(driving, drain(pipes.printed, &printed));
            }
        }));
        let browser = connection.browser();
        // From here on, dropping it ends the process.
        let mut chromium = Self {
            connection,
            registry,
            settings,
            info: wit::BrowserInfo { product: String::new(), user_agent: String::new(), headless: !launch.headed },
            folder,
            stop,
            ended: Mutex::new(Some(ended)),
        };
        match tokio::time::timeout(within, prepare(&browser, &chromium.settings)).await {
            Ok(Ok((product, user_agent))) => {
                chromium.info.product = product;
                chromium.info.user_agent = user_agent;
                Ok(chromium)
            }
            Ok(Err(_)) | Err(_) => {
                chromium.close().await;
                let printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
                let printed = String::from_utf8_lossy(&printed).trim().to_owned();
                let printed = if printed.is_empty() { String::new() } else { format!("; it printed:\n{printed}") };
                Err(LaunchError::NotReady { path, printed })
            }
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        !self.connection.is_closed()
    }

    /// Makes a context.
    pub(crate) async fn new_context(&self, mut options: wit::ContextOptions) -> Result<OwnedContext, Error> {
        check_options(&options)?;
        let expected = self.registry.expect_context(self.settings.pages).await?;
        let extra_headers = self.settings.keep.keep(options.extra_headers.take().unwrap_or_default())?;
        let state = options.storage_state.take();
        let browser = self.connection.browser();
        let (settings, registry) = (self.settings.clone(), self.registry.clone());
        let make = async move {
            let _expected = expected;
            let create = CreateBrowserContextParams { dispose_on_detach: Some(true), ..Default::default() };
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Created {
                browser_context_id: String,
            }
            let created: Created = browser.call_as(&create).await?;
            let id = created.browser_context_id;
            let context = Context::new(id.clone(), browser, settings, registry.clone(), options, extra_headers);
            let context = Arc::new(context);
            registry.entries().contexts.insert(id, context.clone());
            Ok(OwnedContext::new(context))
        };
        let owned = self.registry.see_through(make).await?;
        let context = owned.get();
        let mut downloads = SetDownloadBehaviorParams::new(SetDownloadBehaviorBehavior::AllowAndName);
        downloads.browser_context_id = Some(context.id.clone().into());
        downloads.download_path = Some(self.folder.display().to_string());
        downloads.events_enabled = Some(true);
        context.browser.call(downloads).await?;
        if let Some(state) = state {
            context.set_storage_state(&state).await?;
        }
        Ok(owned)
    }

    /// Waits until nothing that was asked for is still being made, nor what was closed still closing. Says whether it
    /// came to that.
    pub(crate) async fn settled(&self) -> bool {
        self.registry.settled().await
    }

    /// Every context that there is.
    pub(crate) fn contexts(&self) -> Vec<Arc<Context>> {
        self.registry.entries().contexts.values().cloned().collect()
    }

    /// Ends the browser, and waits until nothing of it is left.
    pub(crate) async fn close(&self) {
        self.connection.browser().tell(&CloseParams::default());
        self.stop.cancel();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // The task does not panic; if it did, there is nothing left to end.
            let _ = ended.await;
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Owns the process and its proxy until both have ended.
async fn own(
    mut process: Process,
    proxy: Proxy,
    connection: Connection,
    stop: CancellationToken,
    registry: Arc<Registry>,
    work: impl Future<Output = ()>,
) {
    tokio::pin!(work);
    let mut working = true;
    tokio::select! {
        () = process.died() => {}
        () = stop.cancelled() => {}
        () = &mut work => { working = false; }
    }
    // Whatever the reason, what is left of it ends now; its pipes are drained meanwhile.
    let end = async {
        process.end().await;
        proxy.close().await;
        connection.close();
    };
    if working {
        tokio::join!(end, work);
    } else {
        end.await;
    }
    registry.tasks.close();
    registry.tasks.wait().await;
}

/// Sets the browser up; gives its product and user agent.
async fn prepare(browser: &Session, settings: &Settings) -> Result<(String, String), CdpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        product: String,
        user_agent: String,
    }
    let version: Version =
        browser.call_as(&chromiumoxide_cdp::cdp::browser_protocol::browser::GetVersionParams::default()).await?;
    let mut fetch = EnableFetch::default();
    fetch.patterns = Some(vec![RequestPattern { url_pattern: Some("*".to_owned()), ..Default::default() }]);
    browser.call(fetch).await?;
    // Pages are held at their start until they are ready to be used; popups, too.
    let mut attach = SetAutoAttachParams::new(true, true);
    attach.flatten = Some(true);
    // Workers that belong to no page, too, where they are to show a device.
    let workers: &[&str] = if settings.device.get().is_some() { &["service_worker", "shared_worker"] } else { &[] };
    attach.filter = Some(only(&[&["page"], workers].concat()));
    browser.call(attach).await?;
    Ok((version.product, version.user_agent))
}

/// Lets targets of these types through.
pub(super) fn only(types: &[&str]) -> TargetFilter {
    let wanted = types.iter().map(|name| FilterEntry { r#type: Some((*name).to_owned()), exclude: Some(false) });
    let others = FilterEntry { r#type: None, exclude: Some(true) };
    TargetFilter::new(wanted.chain([others]).collect::<Vec<_>>())
}

/// Sends events to where they belong.
struct Router {
    connection: Connection,
    registry: Arc<Registry>,
    settings: Arc<Settings>,
    folder: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    session_id: String,
    target_info: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    target_id: String,
    #[serde(rename = "type")]
    kind: String,
    opener_id: Option<String>,
    browser_context_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detached {
    session_id: String,
}

impl Events for Router {
    fn on_event(&self, session: Option<&str>, method: &str, params: &RawValue) {
        let page = session.and_then(|session| self.registry.entries().sessions.get(session).cloned());
        match page {
            // What a page has started is attached as what the browser has.
            Some(page) if method != "Target.attachedToTarget" => page.on_event(method, params),
            _ => {
                if let Err(error) = self.handle(method, params) {
                    tracing::debug!(%error, method, "unreadable event of the browser");
                }
            }
        }
    }

    fn on_closed(&self) {
        let pages: Vec<Arc<Page>> = {
            let mut entries = self.registry.entries();
            entries.contexts.clear();
            entries.sessions.clear();
            entries.downloads.clear();
            entries.pages.drain().map(|(_, page)| page).collect()
        };
        for page in pages {
            page.closed(BROWSER_GONE);
        }
        self.registry.changed.notify_waiters();
    }
}

impl Router {
    fn handle(&self, method: &str, params: &RawValue) -> Result<(), CdpError> {
        match method {
            "Fetch.requestPaused" => {
                let paused = Paused::read(params)?;
                let page = self.registry.page_of_frame(&paused.frame_id);
                decide(&self.connection.browser(), paused, &self.settings, page.as_ref());
            }
            "Target.attachedToTarget" => self.attached(decode(params)?),
            "Target.detachedFromTarget" => {
                let event: Detached = decode(params)?;
                self.detached(&event.session_id);
            }
            "Browser.downloadWillBegin" => {
                let event: WillBegin = decode(params)?;
                let page = self.registry.page_of_frame(&event.frame_id);
                let download = Download::new(event, &self.folder, &self.settings, self.connection.browser());
                let download = Arc::new(download);
                let known = Arc::downgrade(&download);
                self.registry.entries().downloads.insert(download.guid().to_owned(), known);
                // Without a page to take it, it is given up here.
                if let Some(page) = page {
                    page.download_started(download);
                }
            }
            "Browser.downloadProgress" => {
                let event: DownloadProgress = decode(params)?;
                let download = self.registry.entries().downloads.get(&event.guid).and_then(std::sync::Weak::upgrade);
                if let Some(download) = download {
                    download.progressed(&event);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The browser has made a page, and holds it.
    fn attached(&self, event: Attached) {
        let session = self.connection.session(&event.session_id);
        let target = event.target_info;
        if let Some(device) = self.settings.device.get().filter(|_| WORKERS.contains(&target.kind.as_str())) {
            emulate_in_worker(&session, device);
            session.tell(&RunIfWaitingForDebuggerParams::default());
            return;
        }
        let (context, opener, too_many) = {
            let entries = self.registry.entries();
            let context = target.browser_context_id.as_ref().and_then(|id| entries.contexts.get(id)).cloned();
            let opener = target.opener_id.as_ref().and_then(|id| entries.pages.get(id)).cloned();
            (context, opener, entries.pages.len() >= self.settings.pages)
        };
        let Some(context) = context.filter(|_| target.kind == "page") else {
            session.tell(&RunIfWaitingForDebuggerParams::default());
            return;
        };
        let page = Arc::new(Page::new(target.target_id.clone(), session.clone(), context));
        let refused = too_many || opener.as_ref().is_some_and(|opener| !opener.opened(page.clone()));
        if refused {
            (self.settings.notice)(format!(
                "closed a page that another had opened: {} pages are open, or too many wait to be taken with \
                 wait_for_popup; see run_message.sandbox.limits.pages",
                self.settings.pages
            ));
            // A page that waits for us does not close, and its opener waits with it.
            session.tell(&RunIfWaitingForDebuggerParams::default());
            self.connection.browser().tell(&CloseTargetParams::new(target.target_id));
            return;
        }
        {
            let mut entries = self.registry.entries();
            entries.pages.insert(target.target_id.clone(), page.clone());
            entries.sessions.insert(event.session_id, page.clone());
        }
        page.context.register_frame(&target.target_id, &target.target_id);
        self.registry.changed.notify_waiters();
        self.registry.tasks.spawn(async move {
            if let Err(error) = page.prepare().await {
                tracing::debug!(%error, "a page could not be made ready");
                page.refused(&error);
            }
        });
    }

    /// A page is gone.
    fn detached(&self, session: &str) {
        let page = {
            let mut entries = self.registry.entries();
            let page = entries.sessions.remove(session);
            if let Some(page) = &page {
                entries.remove_page(page);
            }
            page
        };
        if let Some(page) = page {
            page.closed("the page is closed");
        }
        self.registry.changed.notify_waiters();
    }
}
