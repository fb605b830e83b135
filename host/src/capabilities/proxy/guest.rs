//! The functions of the contract.

use std::sync::Arc;
use std::time::Duration;

use armada_project::Capability;
use armada_protocol::Wanted;
use wasmtime::component::{Accessor, Resource};

use super::traffic::Watch;
use crate::call::{Call, Host, Weigh, call, call_now};
use crate::contract::{Error, proxy as wit};
use crate::instance::InstanceState;

/// How long a location, tag or other text may be, in bytes.
const TEXT: usize = 200;
/// How many tags may be asked for.
const TAGS: usize = 20;

/// A script's handle on a watch. Dropping it ends the watch.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct WatchHandle(Arc<Watch>);

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Proxy, name)
}

impl wit::Host for InstanceState {
    fn status(&mut self) -> Result<wit::ProxyStatus, Error> {
        call_now(self, named("status"), |state| Ok(state.capabilities.proxy.status()))
    }

    fn watch_traffic(&mut self, pattern: String, bodies: bool) -> Result<Resource<WatchHandle>, Error> {
        let watch = call_now(self, named("watch-traffic"), |state| state.capabilities.traffic.watch(&pattern, bodies))?;
        self.hand_out(WatchHandle(watch))
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn change_upstream(
        accessor: &Accessor<InstanceState, Self>,
        location: Option<String>,
        tags: Vec<String>,
        sticky: Option<String>,
    ) -> Result<wit::ProxyStatus, Error> {
        call(accessor, named("change-upstream"), |state| {
            let texts = [&location, &sticky].into_iter().flatten().chain(&tags);
            if texts.into_iter().any(|text| text.len() > TEXT) || tags.len() > TAGS {
                return Err(Error::Invalid(format!(
                    "texts have at most {TEXT} bytes, and there are at most {TAGS} tags"
                )));
            }
            let (proxy, in_job) = (state.capabilities.proxy.clone(), state.capabilities.monitoring.is_in_job());
            let location = location.unwrap_or_else(|| proxy.location().to_owned());
            Ok(async move { proxy.change(Wanted { location, tags, sticky }, in_job).await })
        })
        .await
    }

    async fn verify_ip(accessor: &Accessor<InstanceState, Self>) -> Result<String, Error> {
        call(accessor, named("verify-ip"), |state| {
            let proxy = state.capabilities.proxy.clone();
            Ok(async move { proxy.verify_ip().await })
        })
        .await
    }
}

impl wit::HostWatch for InstanceState {
    fn drop(&mut self, handle: Resource<WatchHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostWatchWithStore<InstanceState> for Host {
    async fn next(
        accessor: &Accessor<InstanceState, Self>,
        handle: Resource<WatchHandle>,
        timeout_ms: Option<u32>,
    ) -> Result<wit::Exchange, Error> {
        call(accessor, named("watch.next"), |state| {
            let watch = state.handle(&handle)?.0.clone();
            let within = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
            Ok(async move { watch.next(within).await })
        })
        .await
    }
}

impl Weigh for wit::ProxyStatus {}
