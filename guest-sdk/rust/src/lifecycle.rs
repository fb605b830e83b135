//! What the component exports, behind [`project!`](crate::project).

use std::cell::RefCell;
use std::io::Write as _;

use serde::Serialize;

use crate::__bindings::armada::types::types as wit;
use crate::context::{AgentContext, JobContext};
use crate::error::{Failure, Result};
use crate::message::Message;

/// Where a component keeps its agent context between calls. The host makes one call at a time, so the context is taken
/// out for a job and put back after it.
pub struct Slot<A>(RefCell<Option<A>>);

impl<A: AgentContext> Slot<A> {
    /// An empty slot.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens the agent context.
    pub async fn open_agent(&self, agent_message: String) -> Result<(), wit::Failure> {
        let agent = async { A::open(Message::from_json(&agent_message)?).await }.await.map_err(Failure::into_wit)?;
        self.0.replace(Some(agent));
        Ok(())
    }

    /// Takes the agent context out and opens a job context.
    pub async fn open_job<J: JobContext>(&self, job_message: String) -> Result<(A, J), wit::Failure> {
        let job = async { J::open(Message::from_json(&job_message)?).await }.await.map_err(Failure::into_wit)?;
        match self.0.take() {
            Some(agent) => Ok((agent, job)),
            None => Err(Failure::new("the agent context is not open").fatal().into_wit()),
        }
    }

    /// Puts the agent context back, closes the job context, and gives the job's result.
    pub async fn close_job<J: JobContext, R: Serialize>(
        &self,
        agent: A,
        job: J,
        result: Result<R>,
    ) -> Result<String, wit::Failure> {
        self.0.replace(Some(agent));
        let closed = job.close().await;
        // What was printed without a line's end still waits in this program. That it cannot be printed is no failure.
        let _ = std::io::stdout().flush();
        let result = match (result, closed) {
            (Ok(value), Ok(())) => serde_json::to_string(&value).map_err(Failure::from),
            (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
        };
        result.map_err(Failure::into_wit)
    }

    /// Closes the agent context.
    pub async fn close_agent(&self) -> Result<(), wit::Failure> {
        match self.0.take() {
            Some(agent) => agent.close().await.map_err(Failure::into_wit),
            None => Ok(()),
        }
    }
}

/// What a modifier has decided.
pub fn given<V>(verdict: Result<V>) -> Result<V, wit::Failure> {
    // As at the end of a job, what was printed without a line's end goes out.
    let _ = std::io::stdout().flush();
    verdict.map_err(Failure::into_wit)
}

/// There is no modifier of this name, and nobody to look at what it was asked about.
pub fn no_modifier<V, M>(name: &str, _asked: M) -> Result<V, wit::Failure> {
    Err(Failure::new(format!("`armada::project!` names no modifier {name:?}: config_proxy.modifiers does")).into_wit())
}

impl<A: AgentContext> Default for Slot<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a component of this crate: names its script and, where it has them, its contexts.
///
/// ```ignore
/// mod ctx_agent_context;
/// mod ctx_job_context;
/// mod ctx_script;
///
/// armada::project! {
///     script: ctx_script::ctx_script,
///     agent_context: ctx_agent_context::AgentContext,
///     job_context: ctx_job_context::JobContext,
/// }
/// ```
///
/// The script is an `async fn ctx_script(job_ctx: &mut JobContext, agent_ctx: &mut AgentContext) -> armada::Result<T>`
/// (`&` will do, too), where `T` is anything that `serde` can write as JSON: it becomes the job's result. Without
/// contexts of its own, a project has [`Agent`](crate::Agent) and [`Job`](crate::Job). `modifiers: { "name": Type }`
/// comes last, if there are any: see [`modifiers`](crate::modifiers).
#[macro_export]
macro_rules! project {
    (script: $script:path $(, modifiers: $modifiers:tt)? $(,)?) => {
        $crate::project! { @lifecycle $script, $crate::Agent, $crate::Job $(, $modifiers)? }
    };
    (script: $script:path, agent_context: $agent:ty $(, modifiers: $modifiers:tt)? $(,)?) => {
        $crate::project! { @fixture AgentContext $agent, agent }
        $crate::project! { @lifecycle $script, $agent, $crate::Job $(, $modifiers)? }
    };
    (script: $script:path, job_context: $job:ty $(, modifiers: $modifiers:tt)? $(,)?) => {
        $crate::project! { @fixture JobContext $job, job }
        $crate::project! { @lifecycle $script, $crate::Agent, $job $(, $modifiers)? }
    };
    (script: $script:path, agent_context: $agent:ty, job_context: $job:ty $(, modifiers: $modifiers:tt)? $(,)?) => {
        $crate::project! { @fixture AgentContext $agent, agent }
        $crate::project! { @fixture JobContext $job, job }
        $crate::project! { @lifecycle $script, $agent, $job $(, $modifiers)? }
    };
    (@fixture $context:ident $type:ty, $message:ident) => {
        // Tests may ask for the project's own contexts.
        #[cfg(test)]
        impl $crate::Fixture for $type {
            async fn set_up(messages: &$crate::Messages) -> $crate::Result<Self> {
                <Self as $crate::$context>::open(::core::clone::Clone::clone(&messages.$message)).await
            }

            async fn tear_down(self) -> $crate::Result<()> {
                <Self as $crate::$context>::close(self).await
            }
        }
    };
    (@lifecycle $script:path, $agent:ty, $job:ty $(, { $($name:literal: $modifier:ty),* $(,)? })?) => {
        #[doc(hidden)]
        mod __armada {
            use super::*;

            ::std::thread_local! {
                static AGENT: &'static $crate::__private::Slot<$agent> =
                    ::std::boxed::Box::leak(::std::boxed::Box::new($crate::__private::Slot::new()));
                static TESTS: &'static $crate::__private::testing::Runner =
                    ::std::boxed::Box::leak(::std::boxed::Box::new($crate::__private::testing::Runner::new()));
            }

            // Whether this is the component of `armada test`, whose jobs are tests.
            const IS_TEST: bool = ::core::cfg!(test);

            struct Project;

            impl $crate::__private::Lifecycle for Project {
                async fn open_agent(message: ::std::string::String) -> ::core::result::Result<(), $crate::__private::Failure> {
                    if IS_TEST {
                        return TESTS.with(|tests| *tests).open_agent(message);
                    }
                    AGENT.with(|slot| *slot).open_agent(message).await
                }

                async fn run_job(message: ::std::string::String) -> ::core::result::Result<::std::string::String, $crate::__private::Failure> {
                    if IS_TEST {
                        return TESTS.with(|tests| *tests).run_job(message).await;
                    }
                    let slot = AGENT.with(|slot| *slot);
                    let (mut agent, mut job) = slot.open_job::<$job>(message).await?;
                    let result = $script(&mut job, &mut agent).await;
                    slot.close_job(agent, job, result).await
                }

                async fn close_agent() -> ::core::result::Result<(), $crate::__private::Failure> {
                    AGENT.with(|slot| *slot).close_agent().await
                }
            }

            impl $crate::__private::Modifiers for Project {
                async fn modify_request(
                    modifier: ::std::string::String,
                    request: $crate::__private::Request,
                ) -> ::core::result::Result<$crate::__private::RequestVerdict, $crate::__private::Failure> {
                    match modifier.as_str() {
                        $($($name => {
                            let verdict = <$modifier as $crate::modifiers::Modifier>::modify_request(request).await;
                            $crate::__private::given(verdict)
                        })*)?
                        _ => $crate::__private::no_modifier(&modifier, request),
                    }
                }

                async fn modify_response(
                    modifier: ::std::string::String,
                    request: $crate::__private::Request,
                    response: $crate::__private::Response,
                ) -> ::core::result::Result<$crate::__private::ResponseVerdict, $crate::__private::Failure> {
                    match modifier.as_str() {
                        $($($name => {
                            let verdict = <$modifier as $crate::modifiers::Modifier>::modify_response(&request, response).await;
                            $crate::__private::given(verdict)
                        })*)?
                        _ => $crate::__private::no_modifier(&modifier, (request, response)),
                    }
                }
            }

            $crate::__bindings::export!(Project with_types_in $crate::__bindings);
        }
    };
}
