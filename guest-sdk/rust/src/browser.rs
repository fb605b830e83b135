//! A real Chromium, driven by the host.
//!
//! [`Browser`] opens [`Page`]s; a [`Locator`] finds elements of a page when it is used, waits for them, and acts on
//! them. Selectors are CSS, `text=`, `role=`, `xpath=`, `label=` and others, joined with ` >> `; a locator that needs
//! one element fails when two match. Every function that may take time returns an [`Operation`](crate::Operation): set
//! its options, then await it.
//!
//! ```no_run
//! # use armada::{Agent, Result, browser::Role};
//! # use std::time::Duration;
//! # async fn log_in(agent_ctx: &Agent) -> Result<()> {
//! let page = agent_ctx.browser.new_page().await?;
//! page.goto("https://example.com/login").await?;
//! page.get_by_label("Email").fill("ada@example.com").await?;
//! page.get_by_label("Password").fill("correct horse").await?;
//! page.get_by_role(Role::new("button").name("Log in")).click().timeout(Duration::from_secs(5)).await?;
//! page.wait_for_url("**/account").await?;
//! # Ok(())
//! # }
//! ```

mod context;
mod locator;
mod options;
mod page;
mod requests;

pub use crate::__bindings::armada::browser::browser::{
    ActionOptions, BrowserInfo, ClickOptions, ColorScheme, ContextOptions, Cookie, Dialog, DialogPolicy, ElementState,
    Frame, Fulfillment, FunctionOptions, Header, ImageFormat, LoadState, MediaOptions, Modifiers, MouseAction,
    MouseButton, NavigationOptions, PdfOptions, Point, Rect, Request, RequestOverrides, Response, SameSite,
    ScreenshotOptions, SelectBy, SelectorState, TypeOptions, UploadFile, Viewport, WaitOptions,
};
pub use context::{Browser, BrowserContext};
pub use locator::{Locator, Role};
pub use options::ScriptOptions;
pub use page::{Download, ElementHandle, Page};
pub use requests::{HeldRequest, Route};
