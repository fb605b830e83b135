//! The screen that a browser has its windows on: `wit/deps/screen.wit`.
//!
//! A project that wants a visible browser gets a virtual display of its own, an [`Xvfb`], which is started with the
//! agent context and ends with it. Only an operator can have windows on the machine's own display; that is theirs, so
//! no script gets a picture of it. A browser that was to be visible is never run without a window instead: sites tell
//! the two apart.

mod picture;
mod xvfb;

use std::path::PathBuf;
use std::sync::Arc;

use armada_project::Capability;
use async_trait::async_trait;
use tokio::sync::Mutex;
use wasmtime::component::Accessor;

use self::xvfb::Xvfb;
use crate::call::{Call, Host, Weigh, call, call_now};
use crate::capabilities::{Life, Means};
use crate::contract::{Error, screen as wit};
use crate::instance::InstanceState;

pub(crate) use self::xvfb::Display;

/// The size of a screen where nothing else is said.
const SIZE: (u32, u32) = (1920, 1080);

/// The screen of an agent.
pub(crate) struct Screen {
    kind: Kind,
    size: (u32, u32),
    temp: PathBuf,
    bytes_per_call: u64,
    xvfb: Mutex<Option<Xvfb>>,
}

/// Where windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nowhere: the browser has none.
    None,
    /// On the machine's own display.
    Machine,
    /// On a virtual one.
    Virtual,
}

impl Screen {
    /// The screen of an agent; a virtual one is not started yet.
    pub(crate) fn new(means: &Means<'_>) -> Self {
        let settings = &means.settings.browser.screen;
        let kind = match (means.options.headed, settings.screen_visible) {
            (true, _) => Kind::Machine,
            // There is no other there.
            (false, true) if cfg!(target_os = "macos") => Kind::Machine,
            (false, true) => Kind::Virtual,
            (false, false) => Kind::None,
        };
        Self {
            kind,
            size: (settings.screen_width.unwrap_or(SIZE.0), settings.screen_height.unwrap_or(SIZE.1)),
            temp: means.options.temp.clone(),
            bytes_per_call: means.grant.limits().bytes_per_call,
            xvfb: Mutex::default(),
        }
    }

    /// Whether the browser has a window.
    pub(crate) fn is_there(&self) -> bool {
        self.kind != Kind::None
    }

    /// The virtual display, running, if that is where windows are.
    pub(crate) async fn display(&self) -> Result<Option<Display>, Error> {
        if self.kind != Kind::Virtual {
            return Ok(None);
        }
        let mut xvfb = self.xvfb.lock().await;
        if let Some(known) = xvfb.as_mut() {
            if known.is_alive() {
                return Ok(Some(known.display().clone()));
            }
            if let Some(dead) = xvfb.take() {
                dead.end().await;
            }
        }
        let started = Xvfb::start("Xvfb", self.size, &self.temp).await;
        let started = started.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Some(xvfb.insert(started).display().clone()))
    }

    fn check(&self) -> Result<(), Error> {
        let reason = match self.kind {
            Kind::Virtual => return Ok(()),
            Kind::None => {
                "there is no screen: set \"screen_visible\": 1 in config_fantomas.config_screen of \
                 default_agent_message in config/config_template.json"
            }
            Kind::Machine => "the browser is on the machine's own display, of which scripts get no pictures",
        };
        Err(Error::Unavailable(reason.to_owned()))
    }

    async fn screenshot(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        let Some(display) = self.display().await? else { return self.check().map(|()| Vec::new()) };
        let most = self.bytes_per_call;
        let taken = tokio::task::spawn_blocking(move || picture::take(&display.picture, most)).await;
        taken.unwrap_or_else(|error| Err(Error::Unavailable(format!("no picture could be taken: {error}"))))
    }
}

#[async_trait]
impl Life for Screen {
    async fn open(&self) -> Result<(), Error> {
        self.display().await.map(|_| ())
    }

    async fn close(&self) {
        if let Some(xvfb) = self.xvfb.lock().await.take() {
            xvfb.end().await;
        }
    }
}

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Screen, name)
}

impl Weigh for wit::ScreenSize {}

impl wit::Host for InstanceState {
    fn size(&mut self) -> Result<wit::ScreenSize, Error> {
        call_now(self, named("size"), |state| {
            let screen = &state.capabilities.screen;
            screen.check()?;
            let (width, height) = screen.size;
            Ok(wit::ScreenSize { width, height })
        })
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn screenshot(guest: &Accessor<InstanceState, Self>) -> Result<Vec<u8>, Error> {
        call(guest, named("screenshot"), |state| {
            let screen: Arc<Screen> = state.capabilities.screen.clone();
            Ok(async move { screen.screenshot().await })
        })
        .await
    }
}
