//! What guests share.
//!
//! A guest of `browser/` is a list of cases: async functions that get a [`Case`] and end well or with a failure. Each is run
//! as a job of its own, named by the job message; a job without a name gives the list, so that the test need not repeat
//! it.

use armada::browser::{BrowserContext, Page};
use armada::{Agent, Job, Result};

/// What a case has to work with.
pub struct Case<'a> {
    /// The job.
    pub job: &'a Job,
    /// The agent.
    pub agent: &'a Agent,
    /// Where the test's pages are, such as `http://127.0.0.1:4711`.
    pub site: String,
}

impl Case<'_> {
    /// The URL of one of the test's pages.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.site)
    }

    /// The host and port of the test's pages under another name: another site to the browser.
    pub fn other_site(&self) -> String {
        self.site.replace("127.0.0.1", "localhost")
    }

    /// Opens a page of this HTML.
    pub async fn show(&self, html: &str) -> Result<Page> {
        let page = self.agent.browser.new_page().await?;
        page.set_content(html).await?;
        Ok(page)
    }

    /// Opens one of the test's pages.
    pub async fn open(&self, path: &str) -> Result<Page> {
        let page = self.agent.browser.new_page().await?;
        page.goto(self.url(path)).await?;
        Ok(page)
    }

    /// The job's browser context.
    pub async fn context(&self) -> Result<BrowserContext> {
        Ok(self.agent.browser.current_context().await?)
    }
}

/// Makes a project of these cases, and of modifiers if it has any.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)? $(; modifiers: $modifiers:tt)?) => {
        pub async fn ctx_script(job: &armada::Job, agent: &armada::Agent) -> armada::Result<armada::Value> {
            let case = $crate::Case {
                job,
                agent,
                site: job.job_message["site"].as_str().unwrap_or_default().to_owned(),
            };
            // Its own case, or one of a list for all jobs, by its place.
            let index = job.monitoring_client.current_job().map_or(0, |job| job.index as usize);
            let of_list = job.job_message["cases"][index].as_str();
            match job.job_message["case"].as_str().or(of_list) {
                $(Some(stringify!($name)) => {
                    $name(case).await?;
                    Ok(armada::json!("passed"))
                })*
                Some(other) => armada::bail!("there is no case `{other}`"),
                None => Ok(armada::json!([$(stringify!($name)),*])),
            }
        }

        armada::project! { script: ctx_script $(, modifiers: $modifiers)? }
    };
}

/// Fails unless both are equal.
#[macro_export]
macro_rules! same {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => {
                armada::ensure!(left == right, "{} is\n{left:?}\nand should be\n{right:?}", stringify!($left))
            }
        }
    };
}

/// Fails unless the call fails, with an error of this kind whose message contains this.
#[macro_export]
macro_rules! fails {
    ($call:expr, $kind:ident, $says:expr) => {
        match $call {
            Ok(given) => armada::bail!("{} should fail, and gave\n{given:?}", stringify!($call)),
            Err(error) => armada::ensure!(
                error.kind() == armada::ErrorKind::$kind && error.message().contains($says),
                "{} failed with\n{error:?}\nand should with {}, saying {:?}",
                stringify!($call),
                armada::ErrorKind::$kind.name(),
                $says
            ),
        }
    };
}

/// Makes a project of an attack: the first job makes it, and one whose message says `"honest": true` does nothing, so that
/// a test can see that the agent is as good as before.
#[macro_export]
macro_rules! hostile {
    ($attack:path) => {
        pub async fn ctx_script(job: &armada::Job, agent: &armada::Agent) -> armada::Result<armada::Value> {
            if job.job_message["honest"] == true {
                return Ok(armada::json!("honest"));
            }
            $attack(job, agent).await
        }

        armada::project! { script: ctx_script }
    };
}
