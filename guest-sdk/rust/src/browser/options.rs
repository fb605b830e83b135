//! What can be set on a call before it is awaited.

use std::time::Duration;

use serde::Serialize;

use super::*;
use crate::operation::Operation;
use crate::tasks::milliseconds;

/// The options of a call that runs JavaScript: the argument, and those of the call itself.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions<O = ()> {
    pub(crate) arg: Option<Result<String, String>>,
    pub(crate) call: O,
}

/// Options of which nothing is set.
macro_rules! unset {
    ($($options:ident { $($field:ident),* })*) => {
        $(impl Default for $options {
            fn default() -> Self {
                Self { $($field: None),* }
            }
        })*
    };
}

unset! {
    ActionOptions { timeout_ms, force }
    ClickOptions { timeout_ms, button, count, hold_ms, modifiers, position, force, trial }
    ContextOptions {
        viewport, user_agent, locale, timezone, color_scheme, extra_headers, storage_state, ignore_https_errors
    }
    FunctionOptions { timeout_ms, polling_ms }
    MediaOptions { media, color_scheme, reduced_motion }
    NavigationOptions { timeout_ms, wait_until, referer }
    PdfOptions {
        timeout_ms, landscape, print_background, scale, paper_width, paper_height, margin, page_ranges,
        prefer_css_page_size
    }
    RequestOverrides { url, method, headers, body }
    ScreenshotOptions { timeout_ms, selector, full_page, clip, format, quality, omit_background }
    TypeOptions { timeout_ms, delay_ms }
    WaitOptions { timeout_ms }
}

/// A setter for each option: `/// what it says` then `name(value: type) => field = expression`.
macro_rules! setters {
    ($($options:ty { $($(#[$doc:meta])* $name:ident($($value:ident: $type:ty)?) => $field:ident = $to:expr;)* })*) => {
        $(impl<T: 'static> Operation<$options, T> {
            $($(#[$doc])* pub fn $name(self $(, $value: $type)?) -> Self {
                self.with(|options| options.$field = Some($to))
            })*
        })*
    };
}

/// The time allowed, for every kind of call that has one.
macro_rules! timeouts {
    ($($options:ty),* $(,)?) => {
        $(setters! { $options {
            /// The time allowed for the call; the context's default where it is not set.
            timeout(time: Duration) => timeout_ms = milliseconds(time);
        } })*
    };
}

timeouts! {
    ActionOptions, ClickOptions, NavigationOptions, PdfOptions, ScreenshotOptions, TypeOptions, WaitOptions,
}

setters! {
    NavigationOptions {
        /// How far the navigation must have come: [`LoadState::Load`] where it is not set.
        wait_until(state: LoadState) => wait_until = state;
        /// The referrer to send; only for `goto`.
        referer(url: impl Into<String>) => referer = url.into();
    }
    ActionOptions {
        /// Acts without waiting for the element to be ready.
        force() => force = true;
    }
    ClickOptions {
        /// Which button of the mouse: the left one where it is not set.
        button(button: MouseButton) => button = button;
        /// How many clicks: 1 where it is not set.
        count(count: u32) => count = count;
        /// How long to hold the button down.
        hold(time: Duration) => hold_ms = milliseconds(time);
        /// Which keys to hold down meanwhile.
        modifiers(keys: Modifiers) => modifiers = keys;
        /// Where, from the top left corner of the element's box; its middle where it is not set.
        position(position: Point) => position = position;
        /// Clicks without waiting for the element to be ready.
        force() => force = true;
        /// Stops before the click itself, having waited until it could be done.
        trial() => trial = true;
    }
    TypeOptions {
        /// How long to wait between two keys.
        delay(time: Duration) => delay_ms = milliseconds(time);
    }
    ContextOptions {
        /// The viewport of its pages.
        viewport(viewport: Viewport) => viewport = viewport;
        /// The user agent of its pages.
        user_agent(text: impl Into<String>) => user_agent = text.into();
        /// The language that its pages see, such as `de-DE`.
        locale(language: impl Into<String>) => locale = language.into();
        /// The time zone that its pages see, such as `Europe/Berlin`.
        timezone(zone: impl Into<String>) => timezone = zone.into();
        /// The colour scheme that its pages see.
        color_scheme(scheme: ColorScheme) => color_scheme = scheme;
        /// Headers added to every request of its pages.
        extra_headers(headers: Vec<Header>) => extra_headers = headers;
        /// Cookies and local storage to begin with, as [`BrowserContext::storage_state`] gives them.
        storage_state(state: serde_json::Value) => storage_state = state.to_string();
        /// Accepts invalid TLS certificates.
        ignore_https_errors() => ignore_https_errors = true;
    }
    ScreenshotOptions {
        /// Takes the whole page rather than the viewport.
        full_page() => full_page = true;
        /// Takes this part only.
        clip(part: Rect) => clip = part;
        /// The format: PNG where it is not set.
        format(format: ImageFormat) => format = format;
        /// The quality, from 0 to 100; not for PNG.
        quality(quality: u32) => quality = quality;
        /// A page without a background is transparent rather than white; not for JPEG.
        omit_background() => omit_background = true;
    }
    PdfOptions {
        /// Prints in landscape.
        landscape() => landscape = true;
        /// Prints backgrounds.
        print_background() => print_background = true;
        /// The scale, from 0.1 to 2.
        scale(scale: f64) => scale = scale;
        /// The paper's width in inches.
        paper_width(inches: f64) => paper_width = inches;
        /// The paper's height in inches.
        paper_height(inches: f64) => paper_height = inches;
        /// The margin on each side in inches.
        margin(inches: f64) => margin = inches;
        /// Which pages, such as `1-3, 5`.
        page_ranges(ranges: impl Into<String>) => page_ranges = ranges.into();
        /// Prefers the page size that the document's CSS gives.
        prefer_css_page_size() => prefer_css_page_size = true;
    }
    MediaOptions {
        /// `screen` or `print`; empty for the browser's own.
        media(kind: impl Into<String>) => media = kind.into();
        /// The colour scheme.
        color_scheme(scheme: ColorScheme) => color_scheme = scheme;
        /// Whether the user prefers reduced motion.
        reduced_motion(reduced: bool) => reduced_motion = reduced;
    }
    RequestOverrides {
        /// Another URL, of an allowed host.
        url(url: impl Into<String>) => url = url.into();
        /// Another method.
        method(method: impl Into<String>) => method = method.into();
        /// Other headers: all of them.
        headers(headers: Vec<Header>) => headers = headers;
        /// Another body.
        body(body: impl Into<Vec<u8>>) => body = body.into();
    }
}

impl<O: 'static, T: 'static> Operation<ScriptOptions<O>, T> {
    /// The argument that the function is called with: anything that `serde` can write as JSON.
    pub fn arg(self, arg: impl Serialize) -> Self {
        let arg =
            serde_json::to_string(&arg).map_err(|error| format!("the argument cannot be written as JSON: {error}"));
        self.with(|options| options.arg = Some(arg))
    }
}

impl<T: 'static> Operation<ScriptOptions<WaitOptions>, T> {
    /// The time allowed for the call; the context's default where it is not set.
    pub fn timeout(self, time: Duration) -> Self {
        self.with(|options| options.call.timeout_ms = Some(milliseconds(time)))
    }
}

impl<T: 'static> Operation<ScriptOptions<FunctionOptions>, T> {
    /// The time allowed for the call; the context's default where it is not set.
    pub fn timeout(self, time: Duration) -> Self {
        self.with(|options| options.call.timeout_ms = Some(milliseconds(time)))
    }

    /// How often to look: every 100 ms where it is not set.
    pub fn polling(self, time: Duration) -> Self {
        self.with(|options| options.call.polling_ms = Some(milliseconds(time)))
    }
}
