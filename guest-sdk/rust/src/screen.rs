//! The screen that the agent's browser has its windows on.
//!
//! There is one when the agent's message says `"screen_visible": 1` in `config_fantomas.config_screen`.

use std::panic::Location;

use crate::__bindings::armada::screen::screen as wit;
pub use crate::__bindings::armada::screen::screen::ScreenSize;
use crate::error::Error;
use crate::operation::Operation;

/// The agent's screen: `agent_ctx.screen`. Its functions need the capability `screen`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Screen {}

impl Screen {
    /// How large it is, in pixels.
    #[track_caller]
    pub fn size(&self) -> Result<ScreenSize, Error> {
        let at = Location::caller();
        wit::size().map_err(|error| Error::from_wit(error, at))
    }

    /// A picture of the whole screen, as PNG: every window, with what the browser shows around its pages.
    #[track_caller]
    pub fn screenshot(&self) -> Operation<(), Vec<u8>> {
        Operation::new((), |()| wit::screenshot())
    }
}
