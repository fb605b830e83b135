//! From a selector to the element: through frames, with patience.
//!
//! The looking and waiting is done by the page engine in slices of half a second, so that most waits cost one round
//! trip; this side follows the selector through frames, starts again after navigations, and turns what was seen into an
//! error that says it.

use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::dom::DescribeNodeParams;
use chromiumoxide_cdp::cdp::js_protocol::runtime::{CallFunctionOnParams, ExecutionContextId, ReleaseObjectParams};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::cdp::{CdpError, decode};
use super::frames::FrameId;
use super::page::Page;
use super::script::{ENGINE_NAME, Evaluated};
use super::selector::{Part, Selector};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;

/// How long a page is left to look by itself before it is asked again.
const SLICE: Duration = Duration::from_millis(500);
/// How long to wait before looking again when the page could not.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a selector's last path is looked up.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) frame: FrameId,
    /// Where the frame's viewport begins in the page's.
    pub(super) x: f64,
    pub(super) y: f64,
}

/// What is wanted of a selector.
enum Wanted {
    /// Do this with the one element.
    Do(Value),
    /// Take the one element.
    Take,
    /// See the selector in this state.
    Wait(wit::SelectorState),
}

impl Wanted {
    /// Whether it is enough that there is no element.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Wait(wit::SelectorState::Detached | wit::SelectorState::Hidden))
    }
}

fn state_name(state: wit::SelectorState) -> &'static str {
    match state {
        wit::SelectorState::Attached => "attached",
        wit::SelectorState::Detached => "detached",
        wit::SelectorState::Visible => "visible",
        wit::SelectorState::Hidden => "hidden",
    }
}

/// What was found, as JSON, and where.
type Found = (Option<Box<RawValue>>, Option<Place>);

/// What came of taking an element.
enum Taken {
    /// It: the browser's name for it, as JSON.
    Element(Box<RawValue>),
    Answer(Answer),
}

/// What came of one look.
enum Look<T> {
    Found(T),
    /// Not yet, and why if there is more to say than that there is no match.
    NotYet(Option<String>),
}

/// What the page engine answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "present")]
    ok: Option<Box<RawValue>>,
    many: Option<Vec<String>>,
    #[serde(default)]
    count: usize,
    wait: Option<String>,
    fail: Option<String>,
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    attempt: u32,
}

/// A value that is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Parses a selector for a script.
pub(super) fn parse(selector: &str) -> Result<Selector, Error> {
    Selector::parse(selector).map_err(|error| Error::Invalid(error.to_string()))
}

fn parts(path: &[Part]) -> Result<Value, Error> {
    serde_json::to_value(path).map_err(|error| Error::Other(error.to_string()))
}

/// The error of more matches than one.
fn many(selector: &Selector, shown: &[String], count: usize) -> Error {
    let mut message = format!("`{selector}` matches {count} elements; narrow it down, or say which with `>> nth=0`:");
    for (place, element) in shown.iter().enumerate() {
        message.push_str(&format!("\n  {place}: {element}"));
    }
    if count > shown.len() {
        message.push_str("\n  …");
    }
    Error::Invalid(message)
}

fn held_is_gone() -> Error {
    Error::Closed("the element is gone with its document; look it up again".to_owned())
}

impl Page {
    /// Does something with the one element that a selector finds, once that can be done: see `operations` in
    /// `page/acts.js`.
    pub(super) async fn with_element<T: DeserializeOwned>(
        &self,
        selector: &str,
        request: Value,
        deadline: Deadline,
    ) -> Result<(T, Place), Error> {
        match self.retry(&parse(selector)?, &Wanted::Do(request), deadline).await? {
            (Some(given), Some(place)) => Ok((decode(&given).map_err(|error| self.error(error))?, place)),
            _ => Err(Error::Other("the page gave nothing".to_owned())),
        }
    }

    /// The one element that a selector finds, kept in our world of its frame, to be released by the caller.
    pub(super) async fn one_element(&self, selector: &str, deadline: Deadline) -> Result<(FrameId, String), Error> {
        match self.retry(&parse(selector)?, &Wanted::Take, deadline).await? {
            (Some(object), Some(place)) => Ok((place.frame, decode(&object).map_err(|error| self.error(error))?)),
            _ => Err(Error::Other("the page gave nothing".to_owned())),
        }
    }

    /// Waits until a selector is in this state.
    pub(crate) async fn wait_for_selector(
        &self,
        selector: &str,
        state: wit::SelectorState,
        options: wit::WaitOptions,
    ) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        self.retry(&parse(selector)?, &Wanted::Wait(state), deadline).await.map(drop)
    }

    /// Looks until what is wanted is there or the deadline passes.
    async fn retry(&self, selector: &Selector, wanted: &Wanted, deadline: Deadline) -> Result<Found, Error> {
        let mut seen = None;
        let mut attempt = 0;
        let looking = async {
            loop {
                match self.look(selector, wanted, deadline.remaining().min(SLICE), &mut attempt).await? {
                    Look::Found(found) => return Ok(Some(found)),
                    Look::NotYet(reason) => seen = reason,
                }
                if deadline.has_passed() {
                    return Ok(None);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        // The page's own slices end in time unless the page is busy: half a second of grace tells the two apart.
        match tokio::time::timeout(deadline.remaining() + SLICE, looking).await {
            Ok(Ok(Some(found))) => Ok(found),
            Ok(Ok(None)) => {
                let seen = seen.unwrap_or_else(|| "no element matches".to_owned());
                Err(deadline.passed(&format!("`{selector}`: {seen}")))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(deadline.passed(&format!("`{selector}`: the page does not respond"))),
        }
    }

    /// Looks once, for as long as a slice in the page. `attempt` counts the looks, in the page and here.
    async fn look(
        &self,
        selector: &Selector,
        wanted: &Wanted,
        slice: Duration,
        attempt: &mut u32,
    ) -> Result<Look<Found>, Error> {
        let place = match self.place(selector).await {
            Ok(Look::Found(place)) => place,
            // Without its frame or its document there is no element.
            Ok(Look::NotYet(_)) if wanted.is_absence() => return Ok(Look::Found((None, None))),
            Err(Error::Closed(_)) if wanted.is_absence() && !self.is_closed() => return Ok(Look::Found((None, None))),
            Ok(Look::NotYet(reason)) => return Ok(Look::NotYet(reason)),
            Err(error) => return Err(error),
        };
        let slice = Value::from(u64::try_from(slice.as_millis()).unwrap_or(u64::MAX));
        let path = parts(selector.last())?;
        let answer = match wanted {
            Wanted::Do(request) => {
                let mut request = request.clone();
                if let Some(request) = request.as_object_mut() {
                    request.insert("attempt".to_owned(), (*attempt).into());
                }
                self.ask(&place.frame, "run", vec![path, request, slice]).await
            }
            Wanted::Wait(state) => {
                self.ask(&place.frame, "waitFor", vec![path, state_name(*state).into(), slice]).await
            }
            Wanted::Take => match self.take(&place.frame, vec![path, json!({"op": "element"}), slice]).await {
                Ok(Taken::Element(object)) => return Ok(Look::Found((Some(object), Some(place)))),
                Ok(Taken::Answer(answer)) => Ok(answer),
                Err(error) => Err(error),
            },
        };
        match answer {
            Ok(answer) => {
                *attempt = answer.attempt.max(*attempt);
                Ok(self.judge(selector, answer)?.map(|given| (Some(given), Some(place))))
            }
            Err(error) => self.look_again(error),
        }
    }

    /// Takes an element rather than what is known of it, or learns why not.
    async fn take(&self, frame: &str, arguments: Vec<Value>) -> Result<Taken, CdpError> {
        let evaluated = self.ask_for(frame, "run.element", arguments, false).await?;
        let is_element = evaluated.result.subtype.as_deref() == Some("node");
        let object = evaluated.result.object_id.unwrap_or_default();
        if is_element {
            return Ok(Taken::Element(serde_json::value::to_raw_value(&object)?));
        }
        let mut call = CallFunctionOnParams::new("function () { return this; }");
        call.object_id = Some(object.clone().into());
        call.return_by_value = Some(true);
        let evaluated: Result<Evaluated, CdpError> = self.session.call_as(&call).await;
        self.session.tell(&ReleaseObjectParams::new(object));
        Ok(Taken::Answer(decode(evaluated?.result.value.as_deref().unwrap_or(RawValue::NULL))?))
    }

    /// What an answer of the page engine means.
    fn judge(&self, selector: &Selector, answer: Answer) -> Result<Look<Box<RawValue>>, Error> {
        if let Some(value) = answer.ok {
            return Ok(Look::Found(value));
        }
        if let Some(shown) = answer.many {
            return Err(many(selector, &shown, answer.count));
        }
        if let Some(message) = answer.fail {
            return Err(Error::Invalid(format!("`{selector}`: {message}")));
        }
        if answer.gone {
            return Err(held_is_gone());
        }
        Ok(Look::NotYet(answer.wait))
    }

    /// Whether an error only means that the document went away under the look.
    fn look_again<T>(&self, error: CdpError) -> Result<Look<T>, Error> {
        if error.is_gone() && !self.is_closed() {
            Ok(Look::NotYet(Some("the page went to another document".to_owned())))
        } else {
            Err(self.error(error))
        }
    }

    /// Follows a selector through its frames, as far as they are there now.
    async fn place(&self, selector: &Selector) -> Result<Look<Place>, Error> {
        let first = match selector.held() {
            Some(id) => {
                let state = self.state();
                let frame = state.elements.get(&id).filter(|frame| state.frames.get(frame).is_some());
                frame.cloned().ok_or_else(held_is_gone)?
            }
            None => self.state().frames.main_id().clone(),
        };
        let mut place = Place { frame: first, x: 0.0, y: 0.0 };
        if selector.held().is_some() && place.frame != *self.state().frames.main_id() {
            (place.x, place.y) = self.offset_of(&place.frame).await?;
        }
        for path in selector.frames() {
            match self.enter(&place, path, selector).await {
                Ok(Look::Found(inner)) => place = inner,
                Ok(Look::NotYet(reason)) => return Ok(Look::NotYet(reason)),
                Err(Entering::Error(error)) => return Err(error),
                Err(Entering::Cdp(error)) => return self.look_again(error),
            }
        }
        Ok(Look::Found(place))
    }

    /// Goes into the frame of the one `iframe` that a path finds.
    async fn enter(&self, place: &Place, path: &[Part], selector: &Selector) -> Result<Look<Place>, Entering> {
        let path = parts(path)?;
        let evaluated = self.ask_for(&place.frame, "elements.one", vec![path], false).await?;
        let Some(object) = evaluated.result.object_id.filter(|_| evaluated.result.subtype.as_deref() == Some("node"))
        else {
            let problem = evaluated.result.value.as_deref().map(RawValue::get).unwrap_or("0").to_owned();
            return match problem.as_str() {
                "0" => Ok(Look::NotYet(Some("the frame on the way is not there".to_owned()))),
                count => Err(Entering::Error(Error::Invalid(format!(
                    "a frame on the way in `{selector}` matches {count} elements; narrow it down"
                )))),
            };
        };
        let entered = self.enter_element(place, &object).await;
        self.session.tell(&ReleaseObjectParams::new(object));
        entered
    }

    async fn enter_element(&self, place: &Place, object: &str) -> Result<Look<Place>, Entering> {
        #[derive(Deserialize)]
        struct Described {
            node: Node,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Node {
            frame_id: Option<String>,
        }
        let describe = DescribeNodeParams { object_id: Some(object.to_owned().into()), ..Default::default() };
        let described: Described = self.session.call_as(&describe).await?;
        let Some(frame) = described.node.frame_id else {
            return Err(Entering::Error(Error::Invalid("`frame=` leads to an element that is no iframe".to_owned())));
        };
        if self.state().frames.get(&frame).is_none() {
            return Ok(Look::NotYet(Some("the frame on the way is not there".to_owned())));
        }
        let mut call = CallFunctionOnParams::new(
            "function () { \
               const outside = box => box.bottom < 0 || box.right < 0 || box.top > innerHeight || box.left > innerWidth; \
               if (outside(this.getBoundingClientRect())) this.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' }); \
               const box = this.getBoundingClientRect(), style = getComputedStyle(this); \
               return [box.x + this.clientLeft + parseFloat(style.paddingLeft), box.y + this.clientTop + parseFloat(style.paddingTop)]; \
             }",
        );
        call.object_id = Some(object.to_owned().into());
        call.return_by_value = Some(true);
        let evaluated: Evaluated = self.session.call_as(&call).await?;
        let (x, y): (f64, f64) = decode(evaluated.result.value.as_deref().unwrap_or(RawValue::NULL))?;
        Ok(Look::Found(Place { frame, x: place.x + x, y: place.y + y }))
    }

    /// Where a frame's viewport begins in the page's, as the frame's owner says.
    async fn offset_of(&self, frame: &str) -> Result<(f64, f64), Error> {
        use chromiumoxide_cdp::cdp::browser_protocol::dom::{GetBoxModelParams, GetFrameOwnerParams};
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Owner {
            backend_node_id: i64,
        }
        #[derive(Deserialize)]
        struct Boxes {
            model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            content: Vec<f64>,
        }
        let owner: Owner = self
            .session
            .call_as(&GetFrameOwnerParams::new(frame.to_owned()))
            .await
            .map_err(|error| self.error(error))?;
        let model = GetBoxModelParams {
            backend_node_id: Some(chromiumoxide_cdp::cdp::browser_protocol::dom::BackendNodeId::new(
                owner.backend_node_id,
            )),
            ..Default::default()
        };
        let boxes: Boxes = self.session.call_as(&model).await.map_err(|error| self.error(error))?;
        match boxes.model.content.as_slice() {
            [x, y, ..] => Ok((*x, *y)),
            _ => Err(Error::Other("the frame has no box".to_owned())),
        }
    }

    /// Where a selector's last path is looked up now, and the path; nothing if a frame on the way is not there.
    pub(super) async fn place_now(&self, selector: &str) -> Result<Option<(FrameId, Value)>, Error> {
        let selector = parse(selector)?;
        match self.place(&selector).await? {
            Look::Found(place) => Ok(Some((place.frame, parts(selector.last())?))),
            Look::NotYet(_) => Ok(None),
        }
    }

    /// Asks one of our functions about all that a selector finds now; gives the answer for nothing found when a frame
    /// on the way is not there.
    async fn ask_now<T: DeserializeOwned + Default>(
        &self,
        selector: &str,
        function: &str,
        mut args: Vec<Value>,
    ) -> Result<(T, Option<FrameId>), Error> {
        let Some((frame, path)) = self.place_now(selector).await? else { return Ok((T::default(), None)) };
        args.insert(0, path);
        match self.ask(&frame, function, args).await {
            Ok(answer) => Ok((answer, Some(frame))),
            // An exception of a query is the selector's: CSS or XPath that does not parse.
            Err(CdpError::Refused(message)) if message.contains("Gone") => Err(held_is_gone()),
            Err(CdpError::Refused(message)) if message.contains("Error: ") => {
                let line = message.lines().next().unwrap_or_default().to_owned();
                Err(Error::Invalid(format!("`{selector}`: {line}")))
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// How many elements match now.
    pub(crate) async fn count(&self, selector: &str) -> Result<u32, Error> {
        Ok(self.ask_now(selector, "count", Vec::new()).await?.0)
    }

    /// What an operation of the page engine gives for every element that matches now.
    pub(super) async fn read_all(&self, selector: &str, operation: &str) -> Result<Vec<String>, Error> {
        Ok(self.ask_now(selector, "all", vec![operation.into()]).await?.0)
    }

    /// Whether the one match is visible now.
    pub(super) async fn visible_now(&self, selector: &str) -> Result<bool, Error> {
        let (answer, frame): (Value, _) = self.ask_now(selector, "visibleNow", Vec::new()).await?;
        if frame.is_none() {
            return Ok(false);
        }
        let answer: Answer = serde_json::from_value(answer).map_err(|error| Error::Other(error.to_string()))?;
        match self.judge(&parse(selector)?, answer)? {
            Look::Found(visible) => decode(&visible).map_err(|error| self.error(error)),
            Look::NotYet(_) => Ok(false),
        }
    }

    /// Handles on all elements that match now: their numbers.
    pub(crate) async fn query_all(&self, selector: &str, most: u64) -> Result<Vec<u64>, Error> {
        let count = u64::from(self.count(selector).await?);
        if count > most {
            return Err(Error::Limit(format!(
                "{count} elements are more than {most} handles: raise run_message.sandbox.limits.handles"
            )));
        }
        // More may have come since: numbers are cheap, what is over is let go again.
        let first = self.number_elements(most);
        let (mut ids, frame): (Vec<u64>, _) = self.ask_now(selector, "hold", vec![first.into()]).await?;
        let Some(frame) = frame else { return Ok(Vec::new()) };
        for id in ids.split_off(ids.len().min(usize::try_from(most).unwrap_or(usize::MAX))) {
            self.begin_release(&frame, id);
        }
        self.change(|state| state.elements.extend(ids.iter().map(|id| (*id, frame.clone()))));
        Ok(ids)
    }

    /// Lets go of the element of a handle.
    pub(crate) fn release(&self, id: u64) {
        if let Some(frame) = self.change(|state| state.elements.remove(&id)) {
            self.begin_release(&frame, id);
        }
    }

    fn begin_release(&self, frame: &str, id: u64) {
        let world = self.state().frames.get(frame).and_then(|frame| frame.world(super::frames::World::Isolated));
        let Some(world) = world else { return };
        let mut call = CallFunctionOnParams::new(format!("function () {{ {ENGINE_NAME}?.release({id}); }}"));
        call.execution_context_id = Some(ExecutionContextId::new(world));
        self.session.tell(&call);
    }
}

/// Why a frame could not be entered.
enum Entering {
    Cdp(CdpError),
    Error(Error),
}

impl From<CdpError> for Entering {
    fn from(error: CdpError) -> Self {
        Self::Cdp(error)
    }
}

impl From<Error> for Entering {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl<T> Look<T> {
    fn map<U>(self, turn: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Found(found) => Look::Found(turn(found)),
            Self::NotYet(reason) => Look::NotYet(reason),
        }
    }
}
