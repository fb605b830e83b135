//! The way out of an agent without an upstream proxy.

use armada::Result;
use guests::{Case, fails, same};

guests::cases![traffic_leaves_directly, there_is_nothing_to_change_or_verify];

async fn traffic_leaves_directly(case: Case<'_>) -> Result<()> {
    let status = case.agent.proxy.status()?;
    same!((status.enabled, status.upstream, status.location, status.exit_address), (false, None, None, None));
    Ok(())
}

async fn there_is_nothing_to_change_or_verify(case: Case<'_>) -> Result<()> {
    let proxy = &case.agent.proxy;
    fails!(proxy.change_upstream().location("DE").await, Invalid, "config_proxy.upstream_proxy_enabled");
    fails!(proxy.verify_ip().await, Invalid, "config_proxy.upstream_proxy_enabled");
    fails!(proxy.change_upstream().location("x".repeat(201)).await, Invalid, "at most 200 bytes");
    fails!(proxy.change_upstream().sticky("x".repeat(201)).await, Invalid, "at most 200 bytes");
    let tags = (0..21).fold(proxy.change_upstream(), |change, _| change.tag("x"));
    fails!(tags.await, Invalid, "at most 20 tags");
    Ok(())
}
