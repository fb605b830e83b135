//! JavaScript in a page: the author's, in the page's own world, and ours (the page engine, in `page/`), in an isolated
//! one.

use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::dom::{BackendNodeId, DescribeNodeParams, ResolveNodeParams};
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    AddScriptToEvaluateOnNewDocumentParams, CreateIsolatedWorldParams,
};
use chromiumoxide_cdp::cdp::js_protocol::runtime::{
    CallArgument, CallFunctionOnParams, EvaluateParams, ExecutionContextId, ReleaseObjectParams,
    TerminateExecutionParams,
};
use chromiumoxide_types::Command;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cdp::{CdpError, Session, decode, replace_lone_surrogates};
use super::frames::{World, WorldId};
use super::page::{Page, WORLD};
use crate::contract::Error;
use crate::contract::browser as wit;

/// The page engine: put into the isolated world of each frame that is looked into, as an expression that gives our
/// functions.
///
/// It finds elements, waits until they are ready, and reads them. In its world it shares the document with the page's
/// own scripts, but no JavaScript object, so a page can neither see it nor break it. The host parses selectors and
/// passes them as parts; everything there answers with plain JSON. The files follow one another as one script.
const ENGINE: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("page/states.js"),
    include_str!("page/roles.js"),
    include_str!("page/selectors.js"),
    include_str!("page/acts.js"),
    include_str!("page/guard.js"),
    include_str!("page/run.js"),
    "})()"
);
/// The name that our functions have in that world.
pub(super) const ENGINE_NAME: &str = "globalThis.armada";

/// How often to look at a condition where the script does not say: the contract's default.
const POLLING_MS: u32 = 100;

/// How long a page may take to respond before the script that was given up is ended.
const RESPONDING: Duration = Duration::from_millis(500);

/// What a script gave: a value, or an exception.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Evaluated {
    pub(super) result: RemoteObject,
    exception_details: Option<Thrown>,
}

/// A value of JavaScript, or a reference to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoteObject {
    #[serde(rename = "type", default)]
    kind: String,
    pub(super) subtype: Option<String>,
    pub(super) value: Option<Box<RawValue>>,
    pub(super) object_id: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Thrown {
    text: String,
    exception: Option<RemoteObject>,
}

impl Thrown {
    /// The message and stack as the page would show them, without the frames of our wrapper.
    fn describe(self) -> String {
        let exception = self.exception.and_then(|exception| match (exception.description, exception.value) {
            (Some(description), _) => Some(description),
            (None, Some(value)) => Some(format!("thrown: {}", value.get())),
            (None, None) => None,
        });
        exception.unwrap_or(self.text)
    }

    /// Whether nothing has run, as the whole is no expression. What an expression throws, a `SyntaxError` of
    /// `JSON.parse` too, rejects the promise of our wrapper, and its text says so.
    fn is_no_expression(&self) -> bool {
        let description = self.exception.as_ref().and_then(|exception| exception.description.as_deref());
        self.text == "Uncaught" && description.is_some_and(|description| description.starts_with("SyntaxError"))
    }
}

/// Gives what a JavaScript value is as JSON text, whatever it is.
const TO_JSON: &str = "const json = JSON.stringify(value, (_, part) => typeof part === 'bigint' ? null : part); \
     return json === undefined ? 'null' : json;";

impl Page {
    /// Runs an expression, statements or a function in the page's own world; gives JSON.
    pub(crate) async fn evaluate(&self, expression: &str, arg: Option<&str>) -> Result<String, Error> {
        let arg = argument_expression(arg)?;
        // Almost everything is an expression, and takes one round trip this way. Statements are a syntax error here.
        let wrapped = format!(
            "(async () => {{ const given = ({expression}\n);\n\
             const value = typeof given === 'function' ? await given({arg}) : await given; {TO_JSON} }})()"
        );
        let mut evaluate = EvaluateParams::new(wrapped);
        evaluate.await_promise = Some(true);
        evaluate.return_by_value = Some(true);
        evaluate.user_gesture = Some(true);
        let evaluated = self.run(&evaluate).await?;
        match evaluated.exception_details {
            None => self.json_text(evaluated.result),
            Some(thrown) if thrown.is_no_expression() => self.evaluate_statements(expression, &arg).await,
            Some(thrown) => Err(Error::Other(thrown.describe())),
        }
    }

    /// Runs statements, of which the last one's value counts; it may be a function.
    async fn evaluate_statements(&self, statements: &str, arg: &str) -> Result<String, Error> {
        let mut evaluate = EvaluateParams::new(statements);
        evaluate.await_promise = Some(true);
        evaluate.user_gesture = Some(true);
        evaluate.repl_mode = Some(true);
        let evaluated = self.run(&evaluate).await?;
        if let Some(thrown) = evaluated.exception_details {
            return Err(Error::Other(thrown.describe()));
        }
        let Some(object) = evaluated.result.object_id else {
            // A primitive came by value.
            return Ok(evaluated.result.value.map_or_else(|| "null".to_owned(), |value| repaired(value.get())));
        };
        let function = format!(
            "async function () {{ const value = typeof this === 'function' ? await this({arg}) : this; {TO_JSON} }}"
        );
        let given = self.call_on(&object, function).await;
        self.session.tell(&ReleaseObjectParams::new(object));
        given
    }

    /// Calls a function in the page's own world with the one element that a selector finds.
    pub(crate) async fn evaluate_on(
        &self,
        selector: &str,
        function: &str,
        arg: Option<&str>,
        options: wit::WaitOptions,
    ) -> Result<String, Error> {
        let arg = argument_expression(arg)?;
        let deadline = self.action_deadline(options.timeout_ms);
        let (frame, element) = self.one_element(selector, deadline).await?;
        let call = async {
            let describe = DescribeNodeParams { object_id: Some(element.clone().into()), ..Default::default() };
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Described {
                node: DescribedNode,
            }
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct DescribedNode {
                backend_node_id: i64,
            }
            let described: Described = self.session.call_as(&describe).await.map_err(|error| self.error(error))?;
            let resolve = ResolveNodeParams {
                backend_node_id: Some(BackendNodeId::new(described.node.backend_node_id)),
                execution_context_id: Some(ExecutionContextId::new(self.world(&frame, World::Main).await?)),
                ..Default::default()
            };
            #[derive(Deserialize)]
            struct Resolved {
                object: RemoteObject,
            }
            let resolved: Resolved = self.session.call_as(&resolve).await.map_err(|error| self.error(error))?;
            let object = resolved.object.object_id.unwrap_or_default();
            let function = format!(
                "async function () {{ const given = ({function}\n);\n\
                 const value = typeof given === 'function' ? await given(this, {arg}) : await given; {TO_JSON} }}"
            );
            let given = self.call_on(&object, function).await;
            self.session.tell(&ReleaseObjectParams::new(object));
            given
        };
        let given = deadline.bound(|| format!("the function on `{selector}` to return"), call).await;
        self.session.tell(&ReleaseObjectParams::new(element));
        given
    }

    /// Calls a function in the page's own world with the array of all elements that a selector finds now.
    pub(crate) async fn evaluate_all(
        &self,
        selector: &str,
        function: &str,
        arg: Option<&str>,
    ) -> Result<String, Error> {
        let json = arg;
        let arg = argument_expression(json)?;
        let Some((frame, parts)) = self.place_now(selector).await? else {
            // No such frame: no elements.
            return self.evaluate(&format!("async (arg) => ({function}\n)([], arg)"), json).await;
        };
        // Elements cannot be handed from one world to the other together, so our functions come along, unseen: as a
        // value inside this call.
        let function = format!(
            "async function (parts) {{ const elements = ({ENGINE}).elements(parts); const given = ({function}\n);\n\
             const value = typeof given === 'function' ? await given(elements, {arg}) : await given; {TO_JSON} }}"
        );
        let world = self.world(&frame, World::Main).await?;
        let given = self.call_in(world, function, vec![parts]).await?;
        self.json_text(given)
    }

    /// Looks at an expression or function again and again until it gives something that counts as true.
    pub(crate) async fn wait_for_function(
        &self,
        expression: &str,
        arg: Option<&str>,
        options: wit::FunctionOptions,
    ) -> Result<String, Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let polling = Duration::from_millis(options.polling_ms.unwrap_or(POLLING_MS).max(10).into());
        let look = async {
            loop {
                match self.evaluate(expression, arg).await {
                    // What JavaScript counts as false, as far as JSON can say it.
                    Ok(json) if matches!(json.as_str(), "null" | "false" | "0" | "-0" | "\"\"") => {}
                    // A navigation meanwhile: look at the new document.
                    Err(Error::Closed(reason)) => {
                        if self.is_closed() {
                            return Err(Error::Closed(reason));
                        }
                    }
                    other => return other,
                }
                tokio::time::sleep(polling).await;
            }
        };
        deadline.bound(|| "the function to give a value that counts as true".to_owned(), look).await
    }

    /// Reads something of the document, in our own world: a page cannot falsify it.
    pub(super) async fn read_document(&self, expression: &str) -> Result<String, Error> {
        let read = async {
            loop {
                let main = self.state().frames.main_id().clone();
                let world = self.world(&main, World::Isolated).await?;
                let mut evaluate = EvaluateParams::new(expression);
                evaluate.context_id = Some(ExecutionContextId::new(world));
                evaluate.return_by_value = Some(true);
                match self.session.call_as::<_, Evaluated>(&evaluate).await {
                    Ok(evaluated) => return self.string(&evaluated.result),
                    // The document went away under the look: look at the next.
                    Err(error) if error.is_gone() && !self.is_closed() => tokio::task::yield_now().await,
                    Err(error) => return Err(self.error(error)),
                }
            }
        };
        self.action_deadline(None).bound(|| "the page to respond".to_owned(), read).await
    }

    /// Runs a script in every document from the next navigation on.
    pub(crate) async fn add_init_script(&self, script: &str) -> Result<(), Error> {
        let command = AddScriptToEvaluateOnNewDocumentParams::new(script);
        self.session.call(command).await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Makes our world in the frames that were there before we asked for it.
    pub(super) async fn isolate_frames(&self) -> Result<(), CdpError> {
        let frames: Vec<String> = {
            let state = self.state();
            let without =
                |id: &&String| state.frames.get(id).is_some_and(|frame| frame.world(World::Isolated).is_none());
            state.frames.ids().filter(without).cloned().collect()
        };
        for frame in frames {
            let mut create = CreateIsolatedWorldParams::new(frame.clone());
            create.world_name = Some(WORLD.to_owned());
            match self.session.call(create).await {
                // Told by an event, too.
                Ok(_) => {}
                Err(error) if error.is_gone() || matches!(error, CdpError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The id of a world of a frame's document, once the document is there.
    pub(super) async fn world(&self, frame: &str, world: World) -> Result<WorldId, Error> {
        let gone = || Error::Closed("the frame is gone".to_owned());
        self.until(|state| match state.frames.get(frame) {
            Some(frame) => frame.world(world).map(Ok),
            None => Some(Err(gone())),
        })
        .await?
    }

    /// Calls one of our functions in a frame, by name, with these arguments.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        frame: &str,
        function: &str,
        args: Vec<Value>,
    ) -> Result<T, CdpError> {
        let evaluated = self.ask_for(frame, function, args, true).await?;
        let value = evaluated.result.value.as_deref().unwrap_or(RawValue::NULL);
        decode(value)
    }

    /// The same, giving what the function gives by value, or as a reference to it in the page. A name such as `run.ok`
    /// is of a property of what the function gives, if that has it.
    pub(super) async fn ask_for(
        &self,
        frame: &str,
        function: &str,
        args: Vec<Value>,
        by_value: bool,
    ) -> Result<Evaluated, CdpError> {
        let world = self
            .world(frame, World::Isolated)
            .await
            .map_err(|error| CdpError::Refused(format!("Target closed: {error}")))?;
        let install = if self.state().engines.insert(world) {
            let mut install = EvaluateParams::new(format!("{ENGINE_NAME} = {ENGINE}; undefined"));
            install.context_id = Some(ExecutionContextId::new(world));
            Some(self.session.begin(&install)?)
        } else {
            None
        };
        let declaration = match function.split_once('.') {
            // The property of what the function gives.
            Some((function, property)) => format!(
                "async function (...args) {{ const it = await {ENGINE_NAME}.{function}(...args); return it.{property} ?? it; }}"
            ),
            None => format!("function (...args) {{ return {ENGINE_NAME}.{function}(...args); }}"),
        };
        let mut call = CallFunctionOnParams::new(declaration);
        call.execution_context_id = Some(ExecutionContextId::new(world));
        call.arguments = Some(args.into_iter().map(argument).collect());
        call.await_promise = Some(true);
        call.return_by_value = Some(by_value);
        let called = self.session.begin(&call)?;
        if let Some(install) = install {
            install.wait().await?;
        }
        let evaluated: Evaluated = decode(&called.wait().await?)?;
        match evaluated.exception_details {
            Some(thrown) => Err(CdpError::Refused(thrown.describe())),
            None => Ok(evaluated),
        }
    }

    /// Calls a function of the author's on an object of the page; gives JSON.
    async fn call_on(&self, object: &str, function: String) -> Result<String, Error> {
        let mut call = CallFunctionOnParams::new(function);
        call.object_id = Some(object.to_owned().into());
        self.json_text(self.call(call).await?)
    }

    /// Calls a function of the author's in a world.
    async fn call_in(&self, world: WorldId, function: String, args: Vec<Value>) -> Result<RemoteObject, Error> {
        let mut call = CallFunctionOnParams::new(function);
        call.execution_context_id = Some(ExecutionContextId::new(world));
        call.arguments = Some(args.into_iter().map(argument).collect());
        self.call(call).await
    }

    /// Runs a script of the author's.
    async fn run<C: Command>(&self, command: &C) -> Result<Evaluated, Error> {
        let mut running = Running { session: Some(self.session.clone()) };
        let evaluated = self.session.call_as(command).await;
        running.session = None;
        evaluated.map_err(|error| self.error(error))
    }

    async fn call(&self, mut call: CallFunctionOnParams) -> Result<RemoteObject, Error> {
        call.await_promise = Some(true);
        call.return_by_value = Some(true);
        call.user_gesture = Some(true);
        let evaluated = self.run(&call).await?;
        match evaluated.exception_details {
            Some(thrown) => Err(Error::Other(thrown.describe())),
            None => Ok(evaluated.result),
        }
    }

    /// The JSON text that a wrapper of ours gave as a string.
    fn json_text(&self, object: RemoteObject) -> Result<String, Error> {
        Ok(repaired(&self.string(&object)?))
    }

    /// A string that a script gave.
    fn string(&self, object: &RemoteObject) -> Result<String, Error> {
        match (&object.value, object.kind.as_str()) {
            (Some(value), "string") => decode(value).map_err(|error| self.error(error)),
            _ => Err(Error::Other("the script gave nothing that JSON can say".to_owned())),
        }
    }
}

/// A script of the author's that runs. If it is given up, by time or by its caller, and still keeps the page from
/// responding, it is ended, so that the page can be used again.
struct Running {
    /// Nothing once it has ended.
    session: Option<Session>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            // Without a look first, what runs next would be ended: a script that only awaits something does not run.
            let look = session.call(EvaluateParams::new("0"));
            if tokio::time::timeout(RESPONDING, look).await.is_err() {
                session.tell(&TerminateExecutionParams::default());
            }
        });
    }
}

/// JSON without escapes that are no valid Unicode.
fn repaired(json: &str) -> String {
    replace_lone_surrogates(json).unwrap_or_else(|| json.to_owned())
}

/// An argument of a JavaScript function.
fn argument(value: Value) -> CallArgument {
    CallArgument { value: Some(value), ..Default::default() }
}

/// The argument as a JavaScript expression. It is parsed there: written as an object literal, a field `__proto__` would
/// be something else.
fn argument_expression(arg: Option<&str>) -> Result<String, Error> {
    let Some(arg) = arg else { return Ok("undefined".to_owned()) };
    match serde_json::from_str::<&RawValue>(arg) {
        Ok(_) => Ok(format!("JSON.parse({})", Value::from(arg))),
        Err(error) => Err(Error::Invalid(format!("the argument is not JSON: {error}"))),
    }
}
