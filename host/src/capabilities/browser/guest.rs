//! The browser's part of the contract, function by function.
//!
//! Nothing is decided here: each function says which call it is, finds what its handle stands for, and passes on.

use std::sync::Arc;

use armada_project::Capability;
use wasmtime::component::{Accessor, Resource};

use super::context::{Context, OwnedContext};
use super::downloads::Download;
use super::page::{OwnedPage, Page};
use super::requests::HeldRequest;
use crate::call::{Call, Host, Weigh, call, call_now};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::instance::{InstanceState, hand_out};
use crate::keep::Kept;

/// A script's handle on a browser context. Dropping one that the script has made closes it.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct ContextHandle {
    context: Arc<Context>,
    _owned: Option<OwnedContext>,
}

/// A script's handle on a page.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub type PageHandle = OwnedPage;

/// A script's handle on an element.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct ElementHandle {
    page: std::sync::Weak<Page>,
    id: u64,
}

impl Drop for ElementHandle {
    fn drop(&mut self) {
        if let Some(page) = self.page.upgrade() {
            page.release(self.id);
        }
    }
}

/// A script's handle on a download.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct DownloadHandle {
    download: Arc<Download>,
    context: Arc<Context>,
}

/// A script's handle on a request that is held for it.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct HeldRequestHandle {
    request: Kept<HeldRequest>,
    context: Arc<Context>,
}

type Guest = Accessor<InstanceState, Host>;
type Given<T> = Result<T, Error>;

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Browser, name)
}

/// Functions of a page that wait: `contract-name: rust_name(arguments) -> what = the call on the page`.
macro_rules! page_functions {
    ($($name:literal: $function:ident($($arg:ident: $type:ty),*) -> $given:ty = |$page:ident| $work:expr;)*) => {
        $(async fn $function(guest: &Guest, handle: Resource<PageHandle>, $($arg: $type),*) -> Given<$given> {
            call(guest, named($name), |state| {
                let $page = state.handle(&handle)?.get()?;
                Ok(async move { $work })
            })
            .await
        })*
    };
}

impl wit::Host for InstanceState {}

impl wit::HostWithStore<InstanceState> for Host {
    async fn launch(guest: &Guest) -> Given<wit::BrowserInfo> {
        call(guest, named("launch"), |state| {
            let browser = state.capabilities.browser.clone();
            Ok(async move { browser.info().await })
        })
        .await
    }

    async fn current_context(guest: &Guest) -> Given<Resource<ContextHandle>> {
        let context = call(guest, named("current-context"), |state| {
            let browser = state.capabilities.browser.clone();
            Ok(async move { browser.current_context().await })
        });
        hand_out(guest, ContextHandle { context: context.await?, _owned: None })
    }

    async fn new_context(guest: &Guest, options: wit::ContextOptions) -> Given<Resource<ContextHandle>> {
        let context = call(guest, named("new-context"), |state| {
            let browser = state.capabilities.browser.clone();
            Ok(async move { browser.new_context(options).await })
        });
        let owned = context.await?;
        hand_out(guest, ContextHandle { context: owned.get().clone(), _owned: Some(owned) })
    }
}

/// Functions of a context that wait.
macro_rules! context_functions {
    ($($name:literal: $function:ident($($arg:ident: $type:ty),*) -> $given:ty = |$context:ident| $work:expr;)*) => {
        $(async fn $function(guest: &Guest, handle: Resource<ContextHandle>, $($arg: $type),*) -> Given<$given> {
            call(guest, named($name), |state| {
                let $context = state.handle(&handle)?.context.clone();
                Ok(async move { $work })
            })
            .await
        })*
    };
}

impl wit::HostBrowserContext for InstanceState {
    fn set_default_timeouts(
        &mut self,
        handle: Resource<ContextHandle>,
        action_ms: Option<u32>,
        navigation_ms: Option<u32>,
    ) {
        // A handle that a guest holds is there, and the rest cannot fail.
        let _ = call_now(self, named("browser-context.set-default-timeouts"), |state| {
            state.handle(&handle)?.context.set_default_timeouts(action_ms, navigation_ms);
            Ok(())
        });
    }

    fn drop(&mut self, handle: Resource<ContextHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostBrowserContextWithStore<InstanceState> for Host {
    async fn new_page(guest: &Guest, handle: Resource<ContextHandle>) -> Given<Resource<PageHandle>> {
        let page = call(guest, named("browser-context.new-page"), |state| {
            let context = state.handle(&handle)?.context.clone();
            Ok(async move { context.new_page().await })
        });
        hand_out(guest, page.await?)
    }

    context_functions! {
        "browser-context.cookies": cookies(urls: Vec<String>) -> Vec<wit::Cookie> = |context| context.cookies(&urls).await;
        "browser-context.set-cookies": set_cookies(cookies: Vec<wit::Cookie>) -> () = |context| context.set_cookies(cookies).await;
        "browser-context.clear-cookies": clear_cookies() -> () = |context| context.clear_cookies().await;
        "browser-context.storage-state": storage_state() -> String = |context| context.storage_state().await;
        "browser-context.set-storage-state": set_storage_state(state: String) -> () = |context| context.set_storage_state(&state).await;
        "browser-context.set-extra-headers": set_extra_headers(headers: Vec<wit::Header>) -> () = |context| context.set_extra_headers(headers).await;
        "browser-context.add-init-script": add_init_script(script: String) -> () = |context| context.add_init_script(script);
        "browser-context.close": close() -> () = |context| context.close().await;
    }
}

impl wit::HostPage for InstanceState {
    fn url(&mut self, handle: Resource<PageHandle>) -> String {
        now(self, "page.url", &handle, |page| page.url())
    }

    fn set_dialog_policy(&mut self, handle: Resource<PageHandle>, policy: wit::DialogPolicy) {
        now(self, "page.set-dialog-policy", &handle, |page| page.set_dialog_policy(policy));
    }

    fn dialogs(&mut self, handle: Resource<PageHandle>) -> Vec<wit::Dialog> {
        now(self, "page.dialogs", &handle, |page| page.dialogs())
    }

    fn frames(&mut self, handle: Resource<PageHandle>) -> Vec<wit::Frame> {
        now(self, "page.frames", &handle, |page| page.frames())
    }

    fn is_closed(&mut self, handle: Resource<PageHandle>) -> bool {
        // A page that is not there any more is closed.
        !now(self, "page.is-closed", &handle, |page| !page.is_closed())
    }

    fn drop(&mut self, handle: Resource<PageHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

/// What a page says at once; the type's default once it is gone.
fn now<T: Default + Weigh>(
    state: &mut InstanceState,
    name: &'static str,
    handle: &Resource<PageHandle>,
    answer: impl FnOnce(&Page) -> T,
) -> T {
    call_now(state, named(name), |state| Ok(answer(&*state.handle(handle)?.get()?))).unwrap_or_default()
}

impl wit::HostPageWithStore<InstanceState> for Host {
    page_functions! {
        "page.goto": goto(url: String, options: wit::NavigationOptions) -> Option<wit::Response> = |page| page.goto(&url, options).await;
        "page.reload": reload(options: wit::NavigationOptions) -> Option<wit::Response> = |page| page.reload(options).await;
        "page.go-back": go_back(options: wit::NavigationOptions) -> Option<wit::Response> = |page| page.go_back(options).await;
        "page.go-forward": go_forward(options: wit::NavigationOptions) -> Option<wit::Response> = |page| page.go_forward(options).await;
        "page.wait-for-url": wait_for_url(pattern: String, options: wit::NavigationOptions) -> () = |page| page.wait_for_url(&pattern, options).await;
        "page.wait-for-load-state": wait_for_load_state(state: wit::LoadState, options: wit::WaitOptions) -> () = |page| page.wait_for_load_state(state, options).await;
        "page.title": title() -> String = |page| page.title().await;
        "page.content": content() -> String = |page| page.content().await;
        "page.set-content": set_content(html: String, options: wit::NavigationOptions) -> () = |page| page.set_content(&html, options).await;
        "page.click": click(selector: String, options: wit::ClickOptions) -> () = |page| page.click(&selector, options).await;
        "page.double-click": double_click(selector: String, options: wit::ClickOptions) -> () = |page| page.double_click(&selector, options).await;
        "page.hover": hover(selector: String, options: wit::ClickOptions) -> () = |page| page.hover(&selector, options).await;
        "page.drag": drag(source: String, target: String, options: wit::ActionOptions) -> () = |page| page.drag(&source, &target, options).await;
        "page.fill": fill(selector: String, value: String, options: wit::ActionOptions) -> () = |page| page.fill(&selector, &value, options).await;
        "page.type": type_(selector: Option<String>, text: String, options: wit::TypeOptions) -> () = |page| page.type_text(selector.as_deref(), &text, options).await;
        "page.press": press(selector: Option<String>, key: String, options: wit::TypeOptions) -> () = |page| page.press(selector.as_deref(), &key, options).await;
        "page.set-checked": set_checked(selector: String, checked: bool, options: wit::ActionOptions) -> () = |page| page.set_checked(&selector, checked, options).await;
        "page.select-option": select_option(selector: String, wanted: Vec<wit::SelectBy>, options: wit::ActionOptions) -> Vec<String> = |page| page.select_option(&selector, wanted, options).await;
        "page.upload": upload(selector: String, files: Vec<wit::UploadFile>, options: wit::ActionOptions) -> () = |page| page.upload(&selector, files, options).await;
        "page.focus": focus(selector: String, options: wit::WaitOptions) -> () = |page| page.focus(&selector, options).await;
        "page.scroll-into-view": scroll_into_view(selector: String, options: wit::WaitOptions) -> () = |page| page.scroll_into_view(&selector, options).await;
        "page.dispatch-event": dispatch_event(selector: String, event_type: String, init: Option<String>, options: wit::WaitOptions) -> () = |page| page.dispatch_event(&selector, &event_type, init.as_deref(), options).await;
        "page.mouse": mouse(action: wit::MouseAction) -> () = |page| page.mouse(action).await;
        "page.count": count(selector: String) -> u32 = |page| page.count(&selector).await;
        "page.text-content": text_content(selector: String, options: wit::WaitOptions) -> String = |page| page.text(&selector, "textContent", options).await;
        "page.inner-text": inner_text(selector: String, options: wit::WaitOptions) -> String = |page| page.text(&selector, "innerText", options).await;
        "page.all-inner-texts": all_inner_texts(selector: String) -> Vec<String> = |page| page.texts(&selector, "innerText").await;
        "page.all-text-contents": all_text_contents(selector: String) -> Vec<String> = |page| page.texts(&selector, "textContent").await;
        "page.inner-html": inner_html(selector: String, options: wit::WaitOptions) -> String = |page| page.text(&selector, "innerHtml", options).await;
        "page.input-value": input_value(selector: String, options: wit::WaitOptions) -> String = |page| page.text(&selector, "value", options).await;
        "page.get-attribute": get_attribute(selector: String, name: String, options: wit::WaitOptions) -> Option<String> = |page| page.attribute(&selector, &name, options).await;
        "page.attributes": attributes(selector: String, options: wit::WaitOptions) -> Vec<(String, String)> = |page| page.attributes(&selector, options).await;
        "page.bounding-box": bounding_box(selector: String, options: wit::WaitOptions) -> Option<wit::Rect> = |page| page.bounding_box(&selector, options).await;
        "page.is-state": is_state(selector: String, state: wit::ElementState, options: wit::WaitOptions) -> bool = |page| page.is_state(&selector, state, options).await;
        "page.wait-for-selector": wait_for_selector(selector: String, state: wit::SelectorState, options: wit::WaitOptions) -> () = |page| page.wait_for_selector(&selector, state, options).await;
        "page.evaluate": evaluate(expression: String, arg: Option<String>) -> String = |page| page.evaluate(&expression, arg.as_deref()).await;
        "page.evaluate-on": evaluate_on(selector: String, function: String, arg: Option<String>, options: wit::WaitOptions) -> String = |page| page.evaluate_on(&selector, &function, arg.as_deref(), options).await;
        "page.evaluate-all": evaluate_all(selector: String, function: String, arg: Option<String>) -> String = |page| page.evaluate_all(&selector, &function, arg.as_deref()).await;
        "page.wait-for-function": wait_for_function(expression: String, arg: Option<String>, options: wit::FunctionOptions) -> String = |page| page.wait_for_function(&expression, arg.as_deref(), options).await;
        "page.add-init-script": add_init_script(script: String) -> () = |page| page.add_init_script(&script).await;
        "page.screenshot": screenshot(options: wit::ScreenshotOptions) -> Vec<u8> = |page| page.screenshot(options).await;
        "page.pdf": pdf(options: wit::PdfOptions) -> Vec<u8> = |page| page.pdf(options).await;
        "page.route": route(pattern: String, action: wit::RouteAction) -> u32 = |page| page.route(&pattern, action);
        "page.unroute": unroute(route: u32) -> () = |page| page.unroute(route);
        "page.set-extra-headers": set_extra_headers(headers: Vec<wit::Header>) -> () = |page| page.set_extra_headers(headers).await;
        "page.set-viewport": set_viewport(viewport: wit::Viewport) -> () = |page| page.set_viewport(viewport).await;
        "page.emulate-media": emulate_media(options: wit::MediaOptions) -> () = |page| page.emulate_media(options).await;
        "page.bring-to-front": bring_to_front() -> () = |page| page.bring_to_front().await;
        "page.close": close() -> () = |page| page.close().await;
    }

    async fn fill_secret(
        guest: &Guest,
        handle: Resource<PageHandle>,
        selector: String,
        name: String,
        options: wit::ActionOptions,
    ) -> Given<()> {
        call(guest, Call::of(Capability::Secrets, "page.fill-secret"), |state| {
            let page = state.handle(&handle)?.get()?;
            let secret = state.capabilities.secrets.for_pages(&name)?;
            Ok(async move { page.fill_secret(&selector, &secret, options).await })
        })
        .await
    }

    async fn query_all(
        guest: &Guest,
        handle: Resource<PageHandle>,
        selector: String,
    ) -> Given<Vec<Resource<ElementHandle>>> {
        let (page, ids) = call(guest, named("page.query-all"), |state| {
            let page = state.handle(&handle)?.get()?;
            let most = state.capabilities.grant.limits().handles;
            Ok(async move {
                let ids = page.query_all(&selector, most).await?;
                Ok((page, ids))
            })
        })
        .await?;
        let page = Arc::downgrade(&page);
        // Those that cannot be handed out any more are let go with the rest.
        let elements: Vec<_> = ids.into_iter().map(|id| ElementHandle { page: page.clone(), id }).collect();
        elements.into_iter().map(|element| hand_out(guest, element)).collect()
    }

    async fn wait_for_popup(
        guest: &Guest,
        handle: Resource<PageHandle>,
        options: wit::WaitOptions,
    ) -> Given<Resource<PageHandle>> {
        let popup = call(guest, named("page.wait-for-popup"), |state| {
            let page = state.handle(&handle)?.get()?;
            Ok(async move { page.wait_for_popup(options).await })
        });
        hand_out(guest, OwnedPage::new(&popup.await?))
    }

    async fn wait_for_download(
        guest: &Guest,
        handle: Resource<PageHandle>,
        options: wit::WaitOptions,
    ) -> Given<Resource<DownloadHandle>> {
        let (download, context) = call(guest, named("page.wait-for-download"), |state| {
            let page = state.handle(&handle)?.get()?;
            Ok(async move { Ok((page.wait_for_download(options).await?, page.context.clone())) })
        })
        .await?;
        hand_out(guest, DownloadHandle { download, context })
    }

    async fn next_request(
        guest: &Guest,
        handle: Resource<PageHandle>,
        options: wit::WaitOptions,
    ) -> Given<Resource<HeldRequestHandle>> {
        let (request, context) = call(guest, named("page.next-request"), |state| {
            let page = state.handle(&handle)?.get()?;
            Ok(async move { Ok((page.next_request(options).await?, page.context.clone())) })
        })
        .await?;
        hand_out(guest, HeldRequestHandle { request, context })
    }
}

impl wit::HostElement for InstanceState {
    fn selector(&mut self, handle: Resource<ElementHandle>) -> String {
        let selector =
            call_now(self, named("element.selector"), |state| Ok(format!("element={}", state.handle(&handle)?.id)));
        selector.unwrap_or_default()
    }

    fn drop(&mut self, handle: Resource<ElementHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostDownload for InstanceState {
    fn url(&mut self, handle: Resource<DownloadHandle>) -> String {
        let url = call_now(self, named("download.url"), |state| Ok(state.handle(&handle)?.download.url().to_owned()));
        url.unwrap_or_default()
    }

    fn suggested_name(&mut self, handle: Resource<DownloadHandle>) -> String {
        let name = call_now(self, named("download.suggested-name"), |state| {
            Ok(state.handle(&handle)?.download.suggested_name().to_owned())
        });
        name.unwrap_or_default()
    }

    fn drop(&mut self, handle: Resource<DownloadHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostDownloadWithStore<InstanceState> for Host {
    async fn bytes(guest: &Guest, handle: Resource<DownloadHandle>, options: wit::WaitOptions) -> Given<Vec<u8>> {
        call(guest, named("download.bytes"), |state| {
            let handle = state.handle(&handle)?;
            let (download, deadline) = (handle.download.clone(), handle.context.action_deadline(options.timeout_ms));
            Ok(async move { download.bytes(deadline).await })
        })
        .await
    }
}

impl wit::HostHeldRequest for InstanceState {
    fn request(&mut self, handle: Resource<HeldRequestHandle>) -> wit::Request {
        let request = call_now(self, named("held-request.request"), |state| {
            let handle = state.handle(&handle)?;
            let mut request = handle.request.request();
            request.body = request.body.map(|body| handle.context.settings.veil.body(body));
            Ok(request)
        });
        request.unwrap_or_else(|_| wit::Request {
            url: String::new(),
            method: String::new(),
            headers: Vec::new(),
            body: None,
            resource_type: String::new(),
        })
    }

    fn drop(&mut self, handle: Resource<HeldRequestHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostHeldRequestWithStore<InstanceState> for Host {
    async fn resume(guest: &Guest, handle: Resource<HeldRequestHandle>, overrides: wit::RequestOverrides) -> Given<()> {
        call(guest, named("held-request.resume"), |state| {
            let handle = state.handle_mut(&handle)?;
            handle.request.resume(overrides, &handle.context.settings.egress)
        })
        .await
    }

    async fn fulfill(guest: &Guest, handle: Resource<HeldRequestHandle>, answer: wit::Fulfillment) -> Given<()> {
        call(guest, named("held-request.fulfill"), |state| state.handle_mut(&handle)?.request.fulfill(answer)).await
    }

    async fn abort(guest: &Guest, handle: Resource<HeldRequestHandle>) -> Given<()> {
        call(guest, named("held-request.abort"), |state| state.handle_mut(&handle)?.request.abort()).await
    }
}
