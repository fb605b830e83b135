//! Has the host keep more and more for it, in every way that there is, and gives how often it was let and what was said.

use armada::browser::{Fulfillment, Header};
use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

/// How many bytes it wants kept each time.
const LARGE: usize = 100_000;

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let large = "x".repeat(LARGE);
    let page = agent.browser.new_page().await?;
    let mut routes = Vec::new();
    let route = loop {
        match page.route("**").fulfill(Fulfillment::text("text/plain", large.as_str())).await {
            Ok(route) => routes.push(route),
            Err(error) => break error,
        }
    };
    let count = routes.len();
    for route in routes {
        page.unroute(route).await?;
    }
    // There is room again now.
    let header = || vec![Header { name: "x-large".into(), value: large.clone() }];
    page.set_extra_headers(header()).await?;
    page.set_extra_headers(Vec::new()).await?;

    let mut contexts = Vec::new();
    let headers = loop {
        match agent.browser.new_context().extra_headers(header()).await {
            Ok(context) => contexts.push(context),
            Err(error) => break error,
        }
    };
    let with_headers = contexts.len();
    contexts.clear();

    let context = agent.browser.new_context().await?;
    let mut scripts = 0;
    let script = loop {
        match context.add_init_script(format!("'{large}'")).await {
            Ok(()) => scripts += 1,
            Err(error) => break error,
        }
    };
    let kinds = [&route, &headers, &script].map(|error| error.kind().name());
    Ok(json!({
        "routes": count, "contexts": with_headers, "scripts": scripts, "kinds": kinds, "said": script.message(),
    }))
}
