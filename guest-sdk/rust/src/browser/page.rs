//! Pages, and what they bring up: popups, downloads, elements.

use std::future::Future;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::*;
use crate::__bindings::armada::browser::browser as wit;
use crate::__bindings::armada::types::types::Error as WitError;
use crate::operation::Operation;

/// A page: a tab of the browser. It closes when the last clone, locator and handle of it is dropped.
#[derive(Clone, Debug)]
pub struct Page {
    pub(super) handle: Rc<wit::Page>,
}

impl From<wit::Page> for Page {
    fn from(handle: wit::Page) -> Self {
        Self { handle: Rc::new(handle) }
    }
}

/// Functions of the page itself: options, output, and the call.
macro_rules! page_functions {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty = $to:expr),*) -> $options:ty => $output:ty = |$page:ident, $o:ident| $call:expr;
    )*) => {
        impl Page {
            $($(#[$doc])* #[track_caller]
            pub fn $name(&self $(, $arg: $type)*) -> Operation<$options, $output> {
                let $page = self.handle.clone();
                #[allow(clippy::redundant_locals, reason = "most arguments are converted, some are taken as they are")]
                let ($($arg,)*) = ($($to,)*);
                Operation::new(<$options>::default(), move |$o| async move { $call })
            })*
        }
    };
}

page_functions! {
    /// Goes to a URL and gives the answer of the document's server: nothing for `about:blank` and for another place in
    /// the same document. An answer with an HTTP error status is an answer, not an error.
    fn goto(url: impl Into<String> = url.into()) -> NavigationOptions => Option<Response> =
        |page, options| page.goto(url, options).await;
    /// Loads the page again.
    fn reload() -> NavigationOptions => Option<Response> = |page, options| page.reload(options).await;
    /// Goes back in the page's history; gives nothing when there is nowhere to go.
    fn go_back() -> NavigationOptions => Option<Response> = |page, options| page.go_back(options).await;
    /// Goes forward in the page's history; gives nothing when there is nowhere to go.
    fn go_forward() -> NavigationOptions => Option<Response> = |page, options| page.go_forward(options).await;
    /// Waits until the page's URL matches this pattern: a glob such as `**/account`, or `re=` and a regular expression.
    fn wait_for_url(pattern: impl Into<String> = pattern.into()) -> NavigationOptions => () =
        |page, options| page.wait_for_url(pattern, options).await;
    /// Waits until the page's document has come so far, which it may already have.
    fn wait_for_load_state(state: LoadState = state) -> WaitOptions => () =
        |page, options| page.wait_for_load_state(state, options).await;
    /// The page's title.
    fn title() -> () => String = |page, _options| page.title().await;
    /// The page's HTML.
    fn content() -> () => String = |page, _options| page.content().await;
    /// Replaces the page's HTML.
    fn set_content(html: impl Into<String> = html.into()) -> NavigationOptions => () =
        |page, options| page.set_content(html, options).await;
    /// Types text key by key into the element that has the focus.
    fn keyboard_type(text: impl Into<String> = text.into()) -> TypeOptions => () =
        |page, options| page.type_(None, text, options).await;
    /// Presses a key or a combination, such as `Enter` or `Control+A`, in the element that has the focus.
    fn keyboard_press(key: impl Into<String> = key.into()) -> TypeOptions => () =
        |page, options| page.press(None, key, options).await;
    /// Does something with the mouse, where the last move left it.
    fn mouse(action: MouseAction = action) -> () => () = |page, _options| page.mouse(action).await;
    /// Runs this script in every document of this page before the page's own scripts, from the next navigation on.
    fn add_init_script(script: impl Into<String> = script.into()) -> () => () =
        |page, _options| page.add_init_script(script).await;
    /// Takes a picture of the viewport, or of the whole page.
    fn screenshot() -> ScreenshotOptions => Vec<u8> = |page, options| page.screenshot(options).await;
    /// Prints the page to PDF.
    fn pdf() -> PdfOptions => Vec<u8> = |page, options| page.pdf(options).await;
    /// Waits for a page that this page opens. Those opened since the last call are handed out first, so call it after
    /// the act that opens one.
    fn wait_for_popup() -> WaitOptions => Page = |page, options| page.wait_for_popup(options).await.map(Page::from);
    /// Waits for a download that this page starts. Those started since the last call are handed out first, so call it
    /// after the act that starts one.
    fn wait_for_download() -> WaitOptions => Download =
        |page, options| page.wait_for_download(options).await.map(|handle| Download { handle: Rc::new(handle) });
    /// Waits for the next request held by a route: see [`Route::hold`].
    fn next_request() -> WaitOptions => HeldRequest =
        |page, options| page.next_request(options).await.map(HeldRequest::from);
    /// Sets the headers added to every request of this page.
    fn set_extra_headers(headers: Vec<Header> = headers) -> () => () =
        |page, _options| page.set_extra_headers(headers).await;
    /// Sets the viewport.
    fn set_viewport(viewport: Viewport = viewport) -> () => () = |page, _options| page.set_viewport(viewport).await;
    /// Sets how the page sees the device.
    fn emulate_media() -> MediaOptions => () = |page, options| page.emulate_media(options).await;
    /// Brings the page to the front.
    fn bring_to_front() -> () => () = |page, _options| page.bring_to_front().await;
    /// Closes the page.
    fn close() -> () => () = |page, _options| page.close().await;
}

impl Page {
    /// The page's URL now.
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// Whether the page is closed.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// The page's frames, the main frame first.
    pub fn frames(&self) -> Vec<Frame> {
        self.handle.frames()
    }

    /// Says what to do with dialogs from now on; they are dismissed unless something else was said.
    pub fn set_dialog_policy(&self, policy: DialogPolicy) {
        self.handle.set_dialog_policy(&policy);
    }

    /// The dialogs that this page has shown, oldest first.
    pub fn dialogs(&self) -> Vec<Dialog> {
        self.handle.dialogs()
    }

    /// Says what to do with the requests of this page whose URL matches this pattern: see [`Route`].
    pub fn route(&self, pattern: impl Into<String>) -> Route {
        Route::new(self.handle.clone(), pattern.into())
    }

    /// Waits until a selector is in this state.
    #[track_caller]
    pub fn wait_for_selector(&self, selector: impl AsRef<str>, state: SelectorState) -> Operation<WaitOptions, ()> {
        self.locator(selector).wait_for(state)
    }

    /// Drags one element onto another.
    #[track_caller]
    pub fn drag_and_drop(&self, source: impl AsRef<str>, target: impl AsRef<str>) -> Operation<ActionOptions, ()> {
        self.locator(source).drag_to(&self.locator(target))
    }

    /// Runs JavaScript in the page and gives its value: an expression, statements of which the last one's value counts,
    /// or a function, which is called with the argument where one is set.
    ///
    /// ```no_run
    /// # async fn f(page: armada::browser::Page) -> armada::Result<()> {
    /// let width: f64 = page.evaluate("innerWidth").await?;
    /// let sum: i64 = page.evaluate("([a, b]) => a + b").arg([1, 2]).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn evaluate<T: DeserializeOwned + 'static>(
        &self,
        expression: impl Into<String>,
    ) -> Operation<ScriptOptions, T> {
        let (page, expression) = (self.handle.clone(), expression.into());
        script(move |arg, ()| async move { page.evaluate(expression, arg).await }).map(value)
    }

    /// Waits until an expression or function gives a value that counts as true in JavaScript, and gives that value.
    #[track_caller]
    pub fn wait_for_function<T: DeserializeOwned + 'static>(
        &self,
        expression: impl Into<String>,
    ) -> Operation<ScriptOptions<FunctionOptions>, T> {
        let (page, expression) = (self.handle.clone(), expression.into());
        script(move |arg, options| async move { page.wait_for_function(expression, arg, options).await }).map(value)
    }
}

/// A call that runs JavaScript, its argument checked before it is made.
#[track_caller]
pub(super) fn script<O, F, T>(run: impl FnOnce(Option<String>, O) -> F + 'static) -> Operation<ScriptOptions<O>, T>
where
    O: Default + 'static,
    F: Future<Output = Result<T, WitError>> + 'static,
    T: 'static,
{
    Operation::new(ScriptOptions::default(), move |options: ScriptOptions<O>| async move {
        let arg = options.arg.transpose().map_err(WitError::Invalid)?;
        run(arg, options.call).await
    })
}

/// The value that JavaScript gave, as a `T`.
pub(super) fn value<T: DeserializeOwned>(json: String) -> Result<T, WitError> {
    serde_json::from_str(&json)
        .map_err(|error| WitError::Invalid(format!("the script's value is of another type: {error}")))
}

/// One very element of a document, rather than what a selector finds when it is used. It is gone with its document.
#[derive(Clone, Debug)]
pub struct ElementHandle {
    page: Page,
    handle: Rc<wit::Element>,
}

impl ElementHandle {
    pub(super) fn new(page: Rc<wit::Page>, handle: wit::Element) -> Self {
        Self { page: Page { handle: page }, handle: Rc::new(handle) }
    }

    /// A locator for this element, good for as long as this handle is kept.
    pub fn locator(&self) -> Locator {
        self.page.locator(self.handle.selector())
    }
}

/// A file that a page downloads.
#[derive(Clone, Debug)]
pub struct Download {
    handle: Rc<wit::Download>,
}

impl Download {
    /// The URL it comes from.
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// The name that the server suggests for it.
    pub fn suggested_filename(&self) -> String {
        self.handle.suggested_name()
    }

    /// Its content, once it is complete.
    #[track_caller]
    pub fn bytes(&self) -> Operation<WaitOptions, Vec<u8>> {
        let download = self.handle.clone();
        Operation::new(WaitOptions::default(), |options| async move { download.bytes(options).await })
    }
}
