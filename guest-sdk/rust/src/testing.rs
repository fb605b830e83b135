//! The project's own tests, behind [`tests!`](crate::tests): what they are given, and how one of them is run.
//!
//! Each test is a job of its own, in an instance of its own: a panic, or an exhausted limit, ends that one only. Which
//! tests there are stands in a section of the component, so that it is known before anything runs.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use serde_json::json;

use crate::__bindings::armada::types::types as wit;
use crate::browser::{Browser, BrowserContext, Page};
use crate::context::{Agent, AgentContext, Job, JobContext};
use crate::error::{Failure, Result};
use crate::message::Message;

/// The key of a job message under which the test is named.
const TEST: &str = "armada_test";

/// Something that tests are given: a parameter of the type `&Page` is a fresh page. A project's own contexts are
/// fixtures, too; a type of your own becomes one with this trait.
///
/// ```no_run
/// use armada::browser::Page;
/// use armada::{Fixture, Messages, Result};
///
/// struct Shop {
///     page: Page,
/// }
///
/// impl Fixture for Shop {
///     async fn set_up(messages: &Messages) -> Result<Self> {
///         let page = Page::set_up(messages).await?;
///         page.set_content("<h1>Shop</h1>").await?;
///         Ok(Self { page })
///     }
/// }
/// ```
#[allow(async_fn_in_trait, reason = "a component has one thread; its futures need not be Send")]
pub trait Fixture: Sized {
    /// Called before the test.
    async fn set_up(messages: &Messages) -> Result<Self>;

    /// Called after the test, unless that panicked. When both fail, the test's failure counts.
    async fn tear_down(self) -> Result<()> {
        Ok(())
    }
}

/// What a project's contexts are opened with when a test asks for them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Messages {
    /// The merged configuration of the first agent.
    pub agent: Message,
    /// The merged configuration of the first job.
    pub job: Message,
}

impl Fixture for Browser {
    async fn set_up(_: &Messages) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Fixture for BrowserContext {
    async fn set_up(_: &Messages) -> Result<Self> {
        Ok(Browser::default().current_context().await?)
    }
}

impl Fixture for Page {
    async fn set_up(_: &Messages) -> Result<Self> {
        Ok(Browser::default().new_page().await?)
    }
}

impl Fixture for Agent {
    async fn set_up(messages: &Messages) -> Result<Self> {
        Self::open(messages.agent.clone()).await
    }

    async fn tear_down(self) -> Result<()> {
        AgentContext::close(self).await
    }
}

impl Fixture for Job {
    async fn set_up(messages: &Messages) -> Result<Self> {
        Self::open(messages.job.clone()).await
    }

    async fn tear_down(self) -> Result<()> {
        JobContext::close(self).await
    }
}

/// A parameter of a test: a reference to a fixture.
pub trait Parameter<'a> {
    /// The fixture.
    type Fixture: Fixture + 'a;

    /// The parameter's value.
    fn of(fixture: &'a mut Self::Fixture) -> Self;
}

impl<'a, T: Fixture> Parameter<'a> for &'a T {
    type Fixture = T;

    fn of(fixture: &'a mut T) -> Self {
        fixture
    }
}

impl<'a, T: Fixture> Parameter<'a> for &'a mut T {
    type Fixture = T;

    fn of(fixture: &'a mut T) -> Self {
        fixture
    }
}

/// What a test returns: nothing, or a result.
pub trait Outcome {
    /// The result.
    fn result(self) -> Result<()>;
}

impl Outcome for () {
    fn result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Failure>> Outcome for Result<(), E> {
    fn result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test that can be run.
#[derive(Clone, Copy)]
pub struct Test {
    /// Its name, as the component lists it.
    pub id: &'static str,
    /// Its attributes, as they are written.
    pub attributes: &'static str,
    /// Runs it.
    pub run: fn(Messages) -> Running,
}

thread_local! {
    static TESTS: RefCell<Vec<&'static [Test]>> = const { RefCell::new(Vec::new()) };
}

/// Makes tests known. Called before anything else of the component.
pub fn register(tests: &'static [Test]) {
    TESTS.with_borrow_mut(|all| all.push(tests));
}

/// What a component does whose jobs are its tests.
pub struct Runner(RefCell<Message>);

impl Runner {
    /// One that has not been opened.
    pub fn new() -> Self {
        Self(RefCell::default())
    }

    /// Keeps the agent's message for tests that want a context.
    pub fn open_agent(&self, agent_message: String) -> Result<(), wit::Failure> {
        self.0.replace(Message::from_json(&agent_message).map_err(Failure::into_wit)?);
        Ok(())
    }

    /// Runs the test that the message names.
    pub async fn run_job(&self, job_message: String) -> Result<String, wit::Failure> {
        // Whatever a test returns, it is that test's failure and nothing else's.
        let failed = |failure: Failure| wit::Failure { kind: wit::FailureKind::Failed, ..failure.into_wit() };
        let mut job = Message::from_json(&job_message).map_err(failed)?;
        let test = job.remove(TEST).unwrap_or_default();
        let id = test["id"].as_str().unwrap_or_default().to_owned();
        let all = TESTS.with_borrow(|all| all.iter().flat_map(|some| some.iter()).copied().collect::<Vec<_>>());
        let Some(test) = all.into_iter().find(|test| test.id == id) else {
            return Err(failed(Failure::new(format!("the component has no test `{id}`"))));
        };
        let mut report = json!({"when": "call", "outcome": "passed"});
        match ignored(test.attributes) {
            Some(reason) => report = json!({"when": "setup", "outcome": "skipped", "message": reason}),
            None => {
                let messages = Messages { agent: self.0.borrow().clone(), job };
                (test.run)(messages).await.map_err(failed)?;
            }
        }
        Ok(json!({"reports": [report]}).to_string())
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a test with these attributes is left out, if it is: `ignore`, or `ignore = "the reason"`.
fn ignored(attributes: &str) -> Option<String> {
    attributes.lines().find_map(|attribute| {
        let rest = attribute.trim().strip_prefix("ignore")?.trim_start();
        match rest.strip_prefix('=') {
            Some(reason) => serde_json::from_str(reason.trim()).ok(),
            None => rest.is_empty().then(|| "ignored".to_owned()),
        }
    })
}

/// Writes tests of the project, which `armada test` runs in the sandbox, with real pages.
///
/// ```ignore
/// // tests/mod.rs
/// use armada::Result;
/// use armada::browser::Page;
///
/// use crate::ctx_script::read_headings;
///
/// armada::tests! {
///     async fn headings_are_read(page: &Page) -> Result {
///         page.set_content("<h1>Shoes</h1>").await?;
///         assert_eq!(read_headings(page).await?, ["Shoes"]);
///         Ok(())
///     }
///
///     #[ignore = "the site is being rebuilt"]
///     async fn prices_are_read(page: &Page, agent_ctx: &mut AgentContext) -> Result {
///         // and so on
///     }
/// }
/// ```
///
/// Parameters are [fixtures](crate::Fixture): `&Page` is a fresh page in the test's own browser context,
/// `&BrowserContext` that context, `&Browser` the browser; the project's own agent context and job context are opened
/// for the test with the messages of the first agent and the first job. A test fails when it panics or returns an
/// error. In lib.rs, `#[cfg(test)] mod tests;` makes the file part of the component when tests are run, and at no other
/// time.
#[macro_export]
macro_rules! tests {
    ($(
        $(#[$($attribute:tt)*])*
        async fn $name:ident($($parameter:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {
        $(
            async fn $name($($parameter: $type),*) $(-> $result)? $body
        )*

        const _: () = {
            use $crate::__private::testing::{Fixture as _, Outcome as _, Parameter, Test};

            #[allow(dead_code)]
            static TESTS: &[Test] = &[$(
                Test {
                    id: ::core::concat!(::core::file!(), "::", ::core::stringify!($name)),
                    attributes: ::core::concat!($(::core::stringify!($($attribute)*), "\n",)* ""),
                    run: |messages| ::std::boxed::Box::pin(async move {
                        let _ = &messages;
                        $(
                            #[allow(unused_mut)]
                            let mut $parameter =
                                <<$type as Parameter<'_>>::Fixture as $crate::Fixture>::set_up(&messages).await?;
                        )*
                        let result: $crate::Result<()> = $name($(<$type as Parameter<'_>>::of(&mut $parameter)),*).await.result();
                        $(
                            let result = result.and($parameter.tear_down().await);
                        )*
                        result
                    }),
                },
            )*];

            // Which tests there are, for whoever reads the component without running it.
            #[allow(dead_code)]
            const LISTED: &str = ::core::concat!($(
                "{\"id\":\"", ::core::file!(), "::", ::core::stringify!($name), "\"}\n",
            )*);

            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            #[unsafe(link_section = "armada:tests")]
            #[used]
            static LIST: [u8; LISTED.len()] = {
                let mut bytes = [0; LISTED.len()];
                let mut at = 0;
                while at < bytes.len() {
                    bytes[at] = LISTED.as_bytes()[at];
                    at += 1;
                }
                bytes
            };

            #[cfg(target_arch = "wasm32")]
            extern "C" fn register() {
                $crate::__private::testing::register(TESTS);
            }

            // What is called before anything else.
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            #[unsafe(link_section = ".init_array")]
            #[used]
            static REGISTER: extern "C" fn() = register;
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_left_out_when_it_says_so() {
        assert_eq!(ignored("doc = \"words\"\nignore\n"), Some("ignored".to_owned()));
        assert_eq!(ignored("ignore = \"the site is gone\"\n"), Some("the site is gone".to_owned()));
        assert_eq!(ignored("ignored_by_others\n"), None);
    }
}
