//! The way out: the upstream proxy that pages and requests leave through.
//!
//! Whether there is one is said by `config_proxy` in the agent's configuration; the operator, who lends it, alone knows
//! its address and credentials.
//!
//! ```no_run
//! # use armada::{Agent, Job, Result};
//! # async fn f(job_ctx: &Job, agent_ctx: &Agent) -> Result<()> {
//! let country: String = job_ctx.job_message.field("country")?;
//! let now = agent_ctx.proxy.change_upstream().location(country).tag("residential").await?;
//! job_ctx.monitoring_client.record_success_event(format!("leaves from {:?}", now.location))?;
//! # Ok(())
//! # }
//! ```
//!
//! The browser's traffic goes through a proxy of the host first, where a script can watch it:
//!
//! ```no_run
//! # use armada::{Agent, Result};
//! # async fn f(agent_ctx: &Agent) -> Result<()> {
//! let watch = agent_ctx.proxy.watch_with_bodies("**/api/prices")?;
//! let page = agent_ctx.browser.new_page().await?;
//! page.goto("https://shop.example/").await?;
//! let prices: Vec<f64> = watch.next().await?.response_json()?;
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::__bindings::armada::proxy::proxy as wit;
pub use crate::__bindings::armada::proxy::proxy::{Exchange, Header, ProxyStatus};
use crate::__bindings::armada::types::types::Error as WitError;
use crate::error::Error;
use crate::operation::Operation;
use crate::tasks::milliseconds;

/// The agent's way out.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Proxy {}

/// Which upstream proxy is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct UpstreamOptions {
    /// Where traffic is to come out; the location of `config_proxy` where there is none, anywhere where it is empty.
    pub location: Option<String>,
    /// What the proxy must be tagged with.
    pub tags: Vec<String>,
    /// The same text gets the same proxy, as long as there is one.
    pub sticky: Option<String>,
}

impl Proxy {
    /// Where traffic leaves now.
    #[track_caller]
    pub fn status(&self) -> Result<ProxyStatus, Error> {
        let at = Location::caller();
        wit::status().map_err(|error| Error::from_wit(error, at))
    }

    /// Watches requests of the browser whose URL matches a pattern, as those of
    /// [`Page::route`](crate::browser::Page::route) are.
    #[track_caller]
    pub fn watch(&self, pattern: impl AsRef<str>) -> Result<Watch, Error> {
        Watch::new(pattern.as_ref(), false, Location::caller())
    }

    /// The same, with the bodies of requests and responses.
    #[track_caller]
    pub fn watch_with_bodies(&self, pattern: impl AsRef<str>) -> Result<Watch, Error> {
        Watch::new(pattern.as_ref(), true, Location::caller())
    }

    /// Leases another upstream proxy: in a job for this job, in the agent context for all jobs to come. Connections
    /// through the one before are cut.
    ///
    /// Fails with [`ErrorKind::NotFound`](crate::ErrorKind) when the operator has none like it.
    #[track_caller]
    pub fn change_upstream(&self) -> Operation<UpstreamOptions, ProxyStatus> {
        Operation::new(UpstreamOptions::default(), |wanted: UpstreamOptions| {
            wit::change_upstream(wanted.location, wanted.tags, wanted.sticky)
        })
    }

    /// Looks up the address that traffic comes out at, and makes sure that it is the proxy's.
    #[track_caller]
    pub fn verify_ip(&self) -> Operation<(), String> {
        Operation::new((), |()| wit::verify_ip())
    }
}

impl<T: 'static> Operation<UpstreamOptions, T> {
    /// Where traffic is to come out; anywhere where it is empty.
    pub fn location(self, location: impl Into<String>) -> Self {
        self.with(|wanted| wanted.location = Some(location.into()))
    }

    /// What the proxy must be tagged with, among others.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|wanted| wanted.tags.push(tag.into()))
    }

    /// The same text gets the same proxy, in other runs, too, as long as there is one.
    pub fn sticky(self, text: impl Into<String>) -> Self {
        self.with(|wanted| wanted.sticky = Some(text.into()))
    }
}

/// What goes through, from the watch's making on. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    handle: Rc<wit::Watch>,
}

impl Exchange {
    /// The value of a header of the request.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        header(&self.request_headers, name)
    }

    /// The value of a header of the response.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        header(&self.response_headers, name)
    }

    /// The body of the response as text, if it was watched. Bytes that are no UTF-8 are replaced.
    pub fn response_text(&self) -> Option<Cow<'_, str>> {
        self.response_body.as_deref().map(String::from_utf8_lossy)
    }

    /// The body of the response, read as JSON.
    #[track_caller]
    pub fn response_json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let at = Location::caller();
        let Some(body) = &self.response_body else {
            let told = "there is no body to read: bodies are watched with `watch_with_bodies` only, up to the limit \
                        `traffic_body_bytes`";
            return Err(Error::from_wit(WitError::Invalid(told.to_owned()), at));
        };
        serde_json::from_slice(body).map_err(|error| {
            let told = format!("the response of {} is not the expected JSON: {error}", self.url);
            Error::from_wit(WitError::Other(told), at)
        })
    }
}

fn header<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    header.map(|header| header.value.as_str())
}

/// How long to wait for the next exchange.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NextOptions {
    /// As long as a call may take where there is none.
    pub timeout: Option<Duration>,
}

impl Watch {
    fn new(pattern: &str, bodies: bool, at: &'static Location<'static>) -> Result<Self, Error> {
        let handle = wit::watch_traffic(pattern, bodies).map_err(|error| Error::from_wit(error, at))?;
        Ok(Self { handle: Rc::new(handle) })
    }

    /// The next exchange that is over; waits for one if need be.
    ///
    /// Fails with [`ErrorKind::Limit`](crate::ErrorKind) once if more went through than the limit `bytes_kept` allows
    /// to be kept.
    #[track_caller]
    pub fn next(&self) -> Operation<NextOptions, Exchange> {
        let handle = self.handle.clone();
        Operation::new(NextOptions::default(), move |options: NextOptions| async move {
            handle.next(options.timeout.map(milliseconds)).await
        })
    }
}

impl<T: 'static> Operation<NextOptions, T> {
    /// How long to wait at most.
    pub fn timeout(self, time: Duration) -> Self {
        self.with(|options| options.timeout = Some(time))
    }
}
