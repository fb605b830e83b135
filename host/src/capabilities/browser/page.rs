//! A page: one tab, what is known of it, and how it hears of what happens.
//!
//! The browser's events change [`PageState`] and wake whoever waits; nothing is queued beyond small bounds. What a page
//! can do is spread over the files of this folder by subject, each an `impl Page`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use chromiumoxide_cdp::cdp::browser_protocol::emulation::SetFocusEmulationEnabledParams;
use chromiumoxide_cdp::cdp::browser_protocol::input::DragData;
use chromiumoxide_cdp::cdp::browser_protocol::network::EnableParams as EnableNetwork;
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    AddScriptToEvaluateOnNewDocumentParams, BringToFrontParams, EnableParams as EnablePage, GetFrameTreeParams,
    SetInterceptFileChooserDialogParams, SetLifecycleEventsEnabledParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::target::CloseTargetParams;
use chromiumoxide_cdp::cdp::js_protocol::runtime::{EnableParams as EnableRuntime, RunIfWaitingForDebuggerParams};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::cdp::{CdpError, Session, decode};
use super::context::Context;
use super::dialogs::DialogPolicy;
use super::downloads::Download;
use super::frames::{FrameDescription, FrameTreeDescription, Frames, World, WorldId};
use super::requests::{HeldRequest, Route};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;
use crate::keep::Kept;

/// How many popups, downloads and held requests wait to be taken; what comes after is closed, cancelled or sent on.
pub(super) const WAITING: usize = 32;
/// How many answers of documents are remembered.
const RESPONSES: usize = 8;
/// The name of our JavaScript world.
pub(super) const WORLD: &str = "armada";

/// A page.
pub(crate) struct Page {
    /// The browser's name for it, which is also its main frame's.
    pub(super) target: String,
    pub(super) session: Session,
    pub(super) context: Arc<Context>,
    state: Mutex<PageState>,
    changed: Notify,
    /// Mouse and keyboard are one each: acts that use them happen one after the other.
    pub(super) input: tokio::sync::Mutex<()>,
    /// Pictures change how the page is shown while they are taken.
    pub(super) pictures: tokio::sync::Mutex<()>,
    next_element: AtomicU64,
    /// Whether the browser was told to close it.
    leaving: AtomicBool,
}

/// What is known of a page.
#[derive(Default)]
pub(super) struct PageState {
    pub(super) frames: Frames,
    /// Whether the page is ready to be used.
    ready: bool,
    /// Why it will never be, if the browser has refused what its context asks for.
    unprepared: Option<String>,
    /// Why the page is closed, if it is.
    closed: Option<&'static str>,
    /// The JavaScript worlds that have a page engine.
    pub(super) engines: HashSet<WorldId>,
    /// The frames of the elements that are held by handle.
    pub(super) elements: BTreeMap<u64, String>,
    pub(super) dialog_policy: DialogPolicy,
    pub(super) dialogs: VecDeque<wit::Dialog>,
    pub(super) popups: VecDeque<Arc<Page>>,
    pub(super) downloads: VecDeque<Arc<Download>>,
    pub(super) routes: Vec<Route>,
    pub(super) held: VecDeque<Kept<HeldRequest>>,
    /// The answers of the last documents of the main frame, by load.
    pub(super) responses: VecDeque<(String, wit::Response)>,
    /// Where the mouse is.
    pub(super) mouse: (f64, f64),
    /// Which of its buttons are down.
    pub(super) buttons: Vec<wit::MouseButton>,
    /// What is being dragged natively, once the browser has said so.
    pub(super) drag: Option<DragData>,
    pub(super) media: Media,
    /// The headers added to every request of this page, over those of its context.
    pub(super) extra_headers: Kept<Vec<wit::Header>>,
}

/// How the page sees the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    pub(super) kind: String,
    pub(super) color_scheme: Option<&'static str>,
    pub(super) reduced_motion: Option<&'static str>,
}

impl Page {
    /// A page that the browser has just made. It is ready once [`Page::prepare`] has run.
    pub(super) fn new(target: String, session: Session, context: Arc<Context>) -> Self {
        // The frame is known from the start: events of its JavaScript worlds may come before the list of frames.
        let state = PageState { frames: Frames::of(target.clone()), ..PageState::default() };
        Self {
            target,
            session,
            context,
            state: Mutex::new(state),
            changed: Notify::new(),
            input: tokio::sync::Mutex::default(),
            pictures: tokio::sync::Mutex::default(),
            next_element: AtomicU64::new(1),
            leaving: AtomicBool::new(false),
        }
    }

    /// Makes the page ready: everything that must hold before its first document's first script runs is sent before it
    /// is let go.
    pub(super) async fn prepare(&self) -> Result<(), CdpError> {
        let session = &self.session;
        let mut network = EnableNetwork::default();
        // Bodies are not kept: nothing reads them.
        network.max_total_buffer_size = Some(0);
        network.max_resource_buffer_size = Some(0);
        let mut world = AddScriptToEvaluateOnNewDocumentParams::new("");
        world.world_name = Some(WORLD.to_owned());
        let mut pending = vec![
            session.begin(&EnablePage::default())?,
            session.begin(&SetLifecycleEventsEnabledParams::new(true))?,
            session.begin(&EnableRuntime::default())?,
            session.begin(&network)?,
            session.begin(&world)?,
            session.begin(&SetFocusEmulationEnabledParams::new(true))?,
            session.begin(&SetInterceptFileChooserDialogParams::new(true))?,
        ];
        let tree = session.begin(&GetFrameTreeParams::default())?;
        pending.extend(self.begin_emulation()?);
        pending.push(session.begin(&RunIfWaitingForDebuggerParams::default())?);
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tree {
            frame_tree: FrameTreeDescription,
        }
        let tree: Tree = decode(&tree.wait().await?)?;
        self.change(|state| state.frames.reset(&tree.frame_tree));
        for answer in pending {
            match answer.wait().await {
                // It holds for a whole process, and another page of this context, with the same settings, was first.
                Err(CdpError::Refused(message)) if message.contains("override is already in effect") => {}
                answer => drop(answer?),
            }
        }
        self.isolate_frames().await?;
        self.change(|state| state.ready = true);
        Ok(())
    }

    /// What is known now.
    pub(super) fn state(&self) -> MutexGuard<'_, PageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut PageState) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_waiters();
        result
    }

    /// Looks at what is known, now and after every change, until there is what is looked for or the page is closed.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut PageState) -> Option<T>) -> Result<T, Error> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(found) = look(&mut state) {
                    return Ok(found);
                }
                if let Some(reason) = state.closed {
                    return Err(Error::Closed(reason.to_owned()));
                }
            }
            changed.await;
        }
    }

    /// Waits until the page is ready to be used.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        self.until(|state| match &state.unprepared {
            Some(reason) => {
                Some(Err(Error::Invalid(format!("the context asks for what the browser refuses: {reason}"))))
            }
            None => state.ready.then_some(Ok(())),
        })
        .await?
    }

    /// The browser does not do with this page what its context asks for; the page goes.
    pub(super) fn refused(&self, error: &CdpError) {
        if let CdpError::Refused(message) = error {
            self.change(|state| state.unprepared = Some(message.clone()));
        }
        self.begin_close();
    }

    /// An error of the browser, as a script is told it.
    pub(super) fn error(&self, error: CdpError) -> Error {
        if let Some(reason) = self.state().closed {
            return Error::Closed(reason.to_owned());
        }
        match error {
            gone if gone.is_gone() => Error::Closed("the page went to another document meanwhile".to_owned()),
            other => other.into(),
        }
    }

    /// The time that this call may take.
    pub(super) fn action_deadline(&self, timeout_ms: Option<u32>) -> Deadline {
        self.context.deadline(timeout_ms, |times| times.action)
    }

    /// The time that this navigation may take.
    pub(super) fn navigation_deadline(&self, timeout_ms: Option<u32>) -> Deadline {
        self.context.deadline(timeout_ms, |times| times.navigation)
    }

    /// Numbers for so many further handles on elements.
    pub(super) fn number_elements(&self, count: u64) -> u64 {
        self.next_element.fetch_add(count, Ordering::Relaxed)
    }

    /// The page's URL.
    pub(crate) fn url(&self) -> String {
        self.state().frames.main().map(|frame| frame.url.clone()).unwrap_or_default()
    }

    /// Whether the page is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    /// The page's frames, the main frame first.
    pub(crate) fn frames(&self) -> Vec<wit::Frame> {
        let state = self.state();
        let list = state.frames.list();
        list.into_iter()
            .map(|(depth, frame)| wit::Frame { name: frame.name.clone(), url: frame.url.clone(), depth })
            .collect()
    }

    /// Brings the page to the front.
    pub(crate) async fn bring_to_front(&self) -> Result<(), Error> {
        self.session.call(BringToFrontParams::default()).await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Closes the page and waits until it is closed.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.begin_close();
        self.until(|state| state.closed.map(drop)).await
    }

    /// Has the page closed.
    pub(super) fn begin_close(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.context.browser.tell(&CloseTargetParams::new(self.target.clone()));
    }

    /// Whether the browser was told to close the page.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The page is closed. So are the popups that nobody has taken, as nobody will now.
    pub(super) fn closed(&self, reason: &'static str) {
        let popups: Vec<Arc<Self>> = self.change(|state| {
            state.closed.get_or_insert(reason);
            state.held.clear();
            state.downloads.clear();
            state.popups.drain(..).collect()
        });
        self.session.end();
        for popup in popups {
            popup.begin_close();
        }
    }

    /// Waits for a page that this page opens.
    pub(crate) async fn wait_for_popup(&self, options: wit::WaitOptions) -> Result<Arc<Self>, Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let popup = async {
            let popup = self.until(|state| state.popups.pop_front()).await?;
            popup.ready().await?;
            Ok(popup)
        };
        deadline.bound(|| "the page to open another".to_owned(), popup).await
    }

    /// A page that this one has opened; refused when too many wait already.
    pub(super) fn opened(&self, popup: Arc<Self>) -> bool {
        self.change(|state| {
            let room = state.popups.len() < WAITING && state.closed.is_none();
            if room {
                state.popups.push_back(popup);
            }
            room
        })
    }

    /// Something happened in this page.
    pub(super) fn on_event(&self, method: &str, params: &RawValue) {
        if let Err(error) = self.handle(method, params) {
            tracing::debug!(%error, method, "unreadable event of the browser");
        }
    }

    fn handle(&self, method: &str, params: &RawValue) -> Result<(), CdpError> {
        match method {
            "Page.frameAttached" => {
                let event: FrameAttached = decode(params)?;
                self.context.register_frame(&event.frame_id, &self.target);
                self.change(|state| state.frames.attached(&event.frame_id, event.parent_frame_id));
            }
            "Page.frameDetached" => {
                let event: FrameDetached = decode(params)?;
                if event.reason.as_deref() != Some("swap") {
                    let removed = self.change(|state| state.frames.detached(&event.frame_id));
                    self.context.forget_frames(&removed);
                }
            }
            "Page.frameNavigated" => {
                let event: FrameNavigated = decode(params)?;
                self.context.register_frame(&event.frame.id, &self.target);
                self.context.visited(&event.frame.url);
                let removed = self.change(|state| state.frames.navigated(&event.frame));
                self.context.forget_frames(&removed);
            }
            "Page.navigatedWithinDocument" => {
                let event: NavigatedWithinDocument = decode(params)?;
                self.change(|state| state.frames.navigated_within_document(&event.frame_id, event.url));
            }
            "Page.frameRequestedNavigation" | "Page.frameScheduledNavigation" => {
                let event: OfFrame = decode(params)?;
                self.change(|state| state.frames.navigation_requested(&event.frame_id));
            }
            "Page.frameStartedNavigating" => {
                let event: StartedNavigating = decode(params)?;
                let within = event.navigation_type.to_ascii_lowercase().contains("samedocument");
                if !within {
                    self.change(|state| state.frames.navigation_started(&event.frame_id));
                }
            }
            "Page.frameStoppedLoading" => {
                let event: OfFrame = decode(params)?;
                self.change(|state| state.frames.navigation_ended(&event.frame_id));
            }
            "Page.lifecycleEvent" => {
                let event: Lifecycle = decode(params)?;
                self.change(|state| state.frames.loaded(&event.frame_id, &event.loader_id, &event.name));
            }
            "Runtime.executionContextCreated" => {
                let event: WorldCreated = decode(params)?;
                let description = event.context;
                let world = match (description.aux_data.is_default, description.name.as_str()) {
                    (true, _) => World::Main,
                    (false, WORLD) => World::Isolated,
                    _ => return Ok(()),
                };
                self.change(|state| {
                    state.frames.world_created(&description.aux_data.frame_id, world, description.id);
                });
            }
            "Runtime.executionContextDestroyed" => {
                let event: WorldDestroyed = decode(params)?;
                self.change(|state| {
                    state.frames.world_destroyed(event.execution_context_id);
                    state.engines.remove(&event.execution_context_id);
                });
            }
            "Runtime.executionContextsCleared" => self.change(|state| {
                state.frames.worlds_cleared();
                state.engines.clear();
            }),
            "Input.dragIntercepted" => self.drag_intercepted(params)?,
            "Network.responseReceived" => self.on_response(params)?,
            "Page.javascriptDialogOpening" => {
                self.answer_dialog(decode(params)?);
            }
            "Inspector.targetCrashed" => {
                self.closed("the page crashed");
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers the answer of a document of the main frame.
    fn on_response(&self, params: &RawValue) -> Result<(), CdpError> {
        let event: ResponseReceived = decode(params)?;
        if event.kind != "Document" {
            return Ok(());
        }
        self.change(|state| {
            if event.frame_id.as_ref() != Some(state.frames.main_id()) {
                return;
            }
            if state.responses.len() >= RESPONSES {
                state.responses.pop_front();
            }
            let headers = event.response.headers;
            let headers = headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect();
            let response = wit::Response {
                url: event.response.url,
                status: event.response.status,
                status_text: event.response.status_text,
                headers,
            };
            state.responses.push_back((event.loader_id, response));
        });
        Ok(())
    }
}

/// Owns a page on behalf of a script: dropping it closes the page.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct OwnedPage(Weak<Page>);

impl OwnedPage {
    /// Gives the page to a script.
    pub(super) fn new(page: &Arc<Page>) -> Self {
        Self(Arc::downgrade(page))
    }

    /// The page, as long as the browser has it.
    pub(crate) fn get(&self) -> Result<Arc<Page>, Error> {
        self.0.upgrade().ok_or_else(|| Error::Closed("the page is closed".to_owned()))
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        if let Some(page) = self.0.upgrade() {
            page.begin_close();
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameAttached {
    frame_id: String,
    parent_frame_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameDetached {
    frame_id: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct FrameNavigated {
    frame: FrameDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NavigatedWithinDocument {
    frame_id: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfFrame {
    frame_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartedNavigating {
    frame_id: String,
    #[serde(default)]
    navigation_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    frame_id: String,
    loader_id: String,
    name: String,
}

#[derive(Deserialize)]
struct WorldCreated {
    context: WorldDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorldDescription {
    id: WorldId,
    #[serde(default)]
    name: String,
    aux_data: WorldData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorldData {
    #[serde(default)]
    is_default: bool,
    #[serde(default)]
    frame_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorldDestroyed {
    execution_context_id: WorldId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseReceived {
    loader_id: String,
    frame_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    response: ResponseDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseDescription {
    url: String,
    status: u16,
    #[serde(default)]
    status_text: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}
