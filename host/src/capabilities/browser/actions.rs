//! Acts: what a script does to an element, by the mouse where a person would use the mouse.
//!
//! An act waits for the element, does it, and returns when the navigation that it has set off, if any, has committed.
//! Between the wait and the click a page may move; a guard in the page swallows a click that would hit something else,
//! and the act starts again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::input::{
    DispatchDragEventParams, DispatchDragEventType, DispatchMouseEventParams, DispatchMouseEventType, DragData,
    MouseButton, SetInterceptDragsParams,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cdp::decode;
use super::locate::Place;
use super::page::Page;
use crate::capabilities::secrets::ForPages;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;

/// How many moves a drag is made of; pages that follow the mouse want to see it come.
const DRAG_STEPS: u32 = 5;
/// How long to wait for the browser to say that a press and a move have begun a native drag.
const NATIVE_DRAG: Duration = Duration::from_millis(100);
/// How many clicks count together.
const MAX_CLICKS: u32 = 3;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

impl Point {
    fn in_page(self, place: &Place) -> Self {
        Self { x: self.x + place.x, y: self.y + place.y }
    }
}

/// What the mouse does at a point.
struct Pointing<'a> {
    options: &'a wit::ClickOptions,
    /// How many clicks; none to only move there.
    clicks: u32,
}

fn button(button: wit::MouseButton) -> MouseButton {
    match button {
        wit::MouseButton::Left => MouseButton::Left,
        wit::MouseButton::Middle => MouseButton::Middle,
        wit::MouseButton::Right => MouseButton::Right,
    }
}

/// The bit of a button among those that are down.
fn bit(button: wit::MouseButton) -> i64 {
    match button {
        wit::MouseButton::Left => 1,
        wit::MouseButton::Right => 2,
        wit::MouseButton::Middle => 4,
    }
}

/// The bits of modifier keys in the protocol.
pub(super) fn modifier_bits(modifiers: wit::Modifiers) -> i64 {
    [(wit::Modifiers::ALT, 1), (wit::Modifiers::CONTROL, 2), (wit::Modifiers::META, 4), (wit::Modifiers::SHIFT, 8)]
        .into_iter()
        .filter(|(modifier, _)| modifiers.contains(*modifier))
        .map(|(_, bit)| bit)
        .sum()
}

impl Page {
    /// Clicks an element.
    pub(crate) async fn click(&self, selector: &str, options: wit::ClickOptions) -> Result<(), Error> {
        let clicks = options.count.unwrap_or(1);
        if !(1..=MAX_CLICKS).contains(&clicks) {
            return Err(Error::Invalid(format!("a click has a count of 1 to {MAX_CLICKS}")));
        }
        self.point_at(selector, &Pointing { options: &options, clicks }).await
    }

    /// Clicks an element twice, as one double click.
    pub(crate) async fn double_click(&self, selector: &str, options: wit::ClickOptions) -> Result<(), Error> {
        self.point_at(selector, &Pointing { options: &options, clicks: 2 }).await
    }

    /// Moves the mouse over an element.
    pub(crate) async fn hover(&self, selector: &str, options: wit::ClickOptions) -> Result<(), Error> {
        self.point_at(selector, &Pointing { options: &options, clicks: 0 }).await
    }

    async fn point_at(&self, selector: &str, pointing: &Pointing<'_>) -> Result<(), Error> {
        let deadline = self.action_deadline(pointing.options.timeout_ms);
        self.point_within(selector, pointing, deadline).await
    }

    /// Points at an element, again and again until the mouse has hit it and nothing else.
    async fn point_within(&self, selector: &str, pointing: &Pointing<'_>, deadline: Deadline) -> Result<(), Error> {
        let options = pointing.options;
        let needs: &[&str] = if pointing.clicks > 0 { &["visible", "enabled"] } else { &["visible"] };
        let position = options.position.map(|point| json!({"x": point.x, "y": point.y}));
        let request =
            json!({"op": "point", "needs": needs, "position": position, "force": options.force.unwrap_or(false)});
        let waiting = || format!("the mouse to be free for `{selector}`");
        let _input = deadline.bound(waiting, async { Ok(self.input.lock().await) }).await?;
        loop {
            let (point, place): (Point, Place) = self.with_element(selector, request.clone(), deadline).await?;
            let point = point.in_page(&place);
            self.before_act();
            if !options.trial.unwrap_or(false) {
                let act = self.press_at(point, pointing);
                deadline.bound(|| format!("the page to take the click on `{selector}`"), act).await?;
            }
            // When the document is gone already, the click has done its work.
            let missed = self.ask::<Option<String>>(&place.frame, "unguard", Vec::new()).await.unwrap_or(None);
            let Some(missed) = missed else { break };
            if deadline.has_passed() {
                return Err(deadline.passed(&format!("`{selector}`: {missed} covers it")));
            }
        }
        self.after_act(deadline).await
    }

    /// Moves the mouse to a point and clicks there.
    async fn press_at(&self, point: Point, pointing: &Pointing<'_>) -> Result<(), Error> {
        let options = pointing.options;
        let modifiers = options.modifiers.map_or(0, modifier_bits);
        let pressed = options.button.unwrap_or(wit::MouseButton::Left);
        let mut answers = vec![self.begin_mouse(DispatchMouseEventType::MouseMoved, point, None, modifiers, 0)?];
        let hold = options.hold_ms.unwrap_or(0);
        for click in 1..=pointing.clicks {
            answers.push(self.begin_mouse(
                DispatchMouseEventType::MousePressed,
                point,
                Some(pressed),
                modifiers,
                click,
            )?);
            if hold > 0 {
                tokio::time::sleep(Duration::from_millis(hold.into())).await;
            }
            answers.push(self.begin_mouse(
                DispatchMouseEventType::MouseReleased,
                point,
                Some(pressed),
                modifiers,
                click,
            )?);
        }
        for answer in answers {
            match answer.wait().await {
                Ok(_) => {}
                // The page closed or went under the click: that is the click's doing.
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    if self.is_closed() {
                        return Ok(());
                    }
                    return Err(self.error(error));
                }
            }
        }
        Ok(())
    }

    fn begin_mouse(
        &self,
        kind: DispatchMouseEventType,
        point: Point,
        pressed: Option<wit::MouseButton>,
        modifiers: i64,
        clicks: u32,
    ) -> Result<super::cdp::Pending, Error> {
        let down = self.change(|state| {
            state.mouse = (point.x, point.y);
            match (&kind, pressed) {
                (DispatchMouseEventType::MousePressed, Some(button)) => state.buttons.push(button),
                (DispatchMouseEventType::MouseReleased, Some(button)) => state.buttons.retain(|other| *other != button),
                _ => {}
            }
            state.buttons.clone()
        });
        let mut event = DispatchMouseEventParams::new(kind, point.x, point.y);
        // A move while a button is down is a drag to the page.
        event.button = Some(pressed.or(down.first().copied()).map_or(MouseButton::None, button));
        event.buttons = Some(down.into_iter().map(bit).fold(0, |bits, bit| bits | bit));
        event.modifiers = Some(modifiers);
        event.click_count = Some(clicks.into());
        self.session.begin(&event).map_err(|error| self.error(error))
    }

    async fn mouse_event(
        &self,
        kind: DispatchMouseEventType,
        point: Point,
        pressed: Option<wit::MouseButton>,
    ) -> Result<(), Error> {
        let clicks = u32::from(pressed.is_some());
        self.begin_mouse(kind, point, pressed, 0, clicks)?.wait().await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Does something with the mouse where it is.
    pub(crate) async fn mouse(&self, action: wit::MouseAction) -> Result<(), Error> {
        let deadline = self.action_deadline(None);
        let (x, y) = self.state().mouse;
        let at = Point { x, y };
        let _input =
            deadline.bound(|| "the mouse to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        self.before_act();
        let act = async {
            match action {
                wit::MouseAction::Move(point) => {
                    self.mouse_event(DispatchMouseEventType::MouseMoved, Point { x: point.x, y: point.y }, None).await
                }
                wit::MouseAction::Down(button) => {
                    self.mouse_event(DispatchMouseEventType::MousePressed, at, Some(button)).await
                }
                wit::MouseAction::Up(button) => {
                    self.mouse_event(DispatchMouseEventType::MouseReleased, at, Some(button)).await
                }
                wit::MouseAction::Wheel(by) => {
                    let mut event = DispatchMouseEventParams::new(DispatchMouseEventType::MouseWheel, x, y);
                    event.delta_x = Some(by.x);
                    event.delta_y = Some(by.y);
                    self.session.call(event).await.map_err(|error| self.error(error))?;
                    Ok(())
                }
            }
        };
        deadline.bound(|| "the page to take the mouse".to_owned(), act).await?;
        self.after_act(deadline).await
    }

    /// Drags one element onto another: natively where the page has made the source draggable, with the mouse otherwise.
    pub(crate) async fn drag(&self, source: &str, target: &str, options: wit::ActionOptions) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let request = json!({"op": "point", "needs": ["visible"], "force": options.force.unwrap_or(false)});
        let _input =
            deadline.bound(|| "the mouse to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        let (from, from_place): (Point, Place) = self.with_element(source, request.clone(), deadline).await?;
        let _ = self.ask::<Option<String>>(&from_place.frame, "unguard", Vec::new()).await;
        self.before_act();
        let dragging = async {
            let from = from.in_page(&from_place);
            self.session.call(SetInterceptDragsParams::new(true)).await.map_err(|error| self.error(error))?;
            self.change(|state| state.drag = None);
            self.mouse_event(DispatchMouseEventType::MouseMoved, from, None).await?;
            self.mouse_event(DispatchMouseEventType::MousePressed, from, Some(wit::MouseButton::Left)).await?;
            // Not forced to be uncovered: while something is dragged, it may well cover the target.
            let uncovered = json!({"op": "point", "needs": ["visible"], "force": true});
            let (to, to_place): (Point, Place) = self.with_element(target, uncovered, deadline).await?;
            let to = to.in_page(&to_place);
            for step in 1..=DRAG_STEPS {
                let part = f64::from(step) / f64::from(DRAG_STEPS);
                let at = Point { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
                self.mouse_event(DispatchMouseEventType::MouseMoved, at, None).await?;
            }
            // How far the mouse must move to begin a native drag depends on what is dragged.
            let native = self.until(|state| state.drag.take());
            if let Ok(data) = tokio::time::timeout(NATIVE_DRAG, native).await {
                let data = data?;
                for kind in
                    [DispatchDragEventType::DragEnter, DispatchDragEventType::DragOver, DispatchDragEventType::Drop]
                {
                    let event = DispatchDragEventParams::new(kind, to.x, to.y, data.clone());
                    self.session.call(event).await.map_err(|error| self.error(error))?;
                }
            }
            self.mouse_event(DispatchMouseEventType::MouseReleased, to, Some(wit::MouseButton::Left)).await
        };
        let dragged = deadline.bound(|| format!("`{source}` to be dragged onto `{target}`"), dragging).await;
        self.session.tell(&SetInterceptDragsParams::new(false));
        self.change(|state| state.buttons.clear());
        dragged?;
        self.after_act(deadline).await
    }

    /// The browser says that a drag has begun, and of what.
    pub(super) fn drag_intercepted(&self, params: &serde_json::value::RawValue) -> Result<(), super::cdp::CdpError> {
        #[derive(Deserialize)]
        struct Intercepted {
            data: DragData,
        }
        let event: Intercepted = decode(params)?;
        self.change(|state| state.drag = Some(event.data));
        Ok(())
    }

    /// Replaces the value of an input, a text area or an editable element.
    pub(crate) async fn fill(&self, selector: &str, value: &str, options: wit::ActionOptions) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let request = json!({"op": "fill", "value": value, "force": options.force.unwrap_or(false)});
        let _input =
            deadline.bound(|| "the keyboard to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        self.before_act();
        let (next, _): (String, Place) = self.with_element(selector, request, deadline).await?;
        if next == "type" {
            // The old text is selected: typing over it is what a person does, with all the events that this brings.
            let typing =
                async { if value.is_empty() { self.press_key("Delete").await } else { self.insert_text(value).await } };
            deadline.bound(|| format!("the page to take the text for `{selector}`"), typing).await?;
        }
        self.after_act(deadline).await
    }

    /// Replaces the value of an input or a text area by a secret, if the frame is where the secret may go.
    pub(crate) async fn fill_secret(
        &self,
        selector: &str,
        secret: &ForPages,
        options: wit::ActionOptions,
    ) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let force = options.force.unwrap_or(false);
        let request = json!({"op": "fillSecret", "value": secret.value.0, "origins": secret.origins, "force": force});
        let _input =
            deadline.bound(|| "the keyboard to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        match self.act_on::<Option<String>>(selector, request, options.timeout_ms).await? {
            None => Ok(()),
            Some(origin) => Err(secret.refusal(&origin)),
        }
    }

    /// Checks or unchecks a check box or radio button.
    pub(crate) async fn set_checked(
        &self,
        selector: &str,
        checked: bool,
        options: wit::ActionOptions,
    ) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let is_checked = async || -> Result<bool, Error> {
            Ok(self.with_element::<bool>(selector, json!({"op": "checked"}), deadline).await?.0)
        };
        if is_checked().await? == checked {
            return Ok(());
        }
        let click = wit::ClickOptions {
            timeout_ms: None,
            button: None,
            count: None,
            hold_ms: None,
            modifiers: None,
            position: None,
            force: options.force,
            trial: None,
        };
        self.point_within(selector, &Pointing { options: &click, clicks: 1 }, deadline).await?;
        match is_checked().await {
            Ok(state) if state == checked => Ok(()),
            // The click has taken the page elsewhere; there is nothing left to compare.
            Err(Error::Closed(_)) => Ok(()),
            Ok(_) => Err(Error::Other(format!("clicking `{selector}` did not change whether it is checked"))),
            Err(error) => Err(error),
        }
    }

    /// Selects options of a `<select>`.
    pub(crate) async fn select_option(
        &self,
        selector: &str,
        wanted: Vec<wit::SelectBy>,
        options: wit::ActionOptions,
    ) -> Result<Vec<String>, Error> {
        let wanted: Vec<Value> = wanted
            .into_iter()
            .map(|option| match option {
                wit::SelectBy::ValueOrLabel(text) => json!({"by": "either", "value": text}),
                wit::SelectBy::Value(text) => json!({"by": "value", "value": text}),
                wit::SelectBy::Label(text) => json!({"by": "label", "value": text}),
                wit::SelectBy::Index(index) => json!({"by": "index", "value": index}),
            })
            .collect();
        let request = json!({"op": "select", "wanted": wanted, "force": options.force.unwrap_or(false)});
        self.act_on(selector, request, options.timeout_ms).await
    }

    /// Gives files to an `<input type=file>`.
    pub(crate) async fn upload(
        &self,
        selector: &str,
        files: Vec<wit::UploadFile>,
        options: wit::ActionOptions,
    ) -> Result<(), Error> {
        let files: Vec<Value> = files
            .into_iter()
            .map(|file| json!({"name": file.name, "type": file.media_type, "data": BASE64.encode(file.bytes)}))
            .collect();
        let request = json!({"op": "upload", "files": files, "force": options.force.unwrap_or(false)});
        self.act_on(selector, request, options.timeout_ms).await
    }

    /// Gives the focus to an element.
    pub(crate) async fn focus(&self, selector: &str, options: wit::WaitOptions) -> Result<(), Error> {
        self.act_on(selector, json!({"op": "focus"}), options.timeout_ms).await
    }

    /// Scrolls until an element is in view.
    pub(crate) async fn scroll_into_view(&self, selector: &str, options: wit::WaitOptions) -> Result<(), Error> {
        self.act_on::<Value>(selector, json!({"op": "scroll"}), options.timeout_ms).await.map(drop)
    }

    /// Sends a DOM event to an element.
    pub(crate) async fn dispatch_event(
        &self,
        selector: &str,
        event_type: &str,
        init: Option<&str>,
        options: wit::WaitOptions,
    ) -> Result<(), Error> {
        let init: Value = match init.map(serde_json::from_str) {
            None => json!({}),
            Some(Ok(init @ Value::Object(_))) => init,
            Some(_) => return Err(Error::Invalid("the event's `init` is no JSON object".to_owned())),
        };
        let request = json!({"op": "dispatch", "type": event_type, "init": init});
        self.act_on(selector, request, options.timeout_ms).await
    }

    /// An act that the page does by itself.
    async fn act_on<T: serde::de::DeserializeOwned>(
        &self,
        selector: &str,
        request: Value,
        timeout_ms: Option<u32>,
    ) -> Result<T, Error> {
        let deadline = self.action_deadline(timeout_ms);
        self.before_act();
        let (given, _) = self.with_element(selector, request, deadline).await?;
        self.after_act(deadline).await?;
        Ok(given)
    }
}
