//! Asks for contexts and pages by the thousand and waits for none, and gives how many it can have: before, after, and, as it
//! ends with another thousand, in the next job.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use armada::browser::BrowserContext;
use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let context = agent.browser.current_context().await?;
    let at_first = room(agent, &context).await;
    ask_and_leave(agent, &context).await?;
    let mut after = room(agent, &context).await;
    // What it has asked for is made before it is closed.
    for _ in 0..200 {
        if after == at_first {
            break;
        }
        armada::sleep(Duration::from_millis(50)).await?;
        after = room(agent, &context).await;
    }
    ask_and_leave(agent, &context).await?;
    Ok(json!({"at_first": at_first, "after": after}))
}

/// Has calls begin, and drops them.
async fn ask_and_leave(agent: &Agent, context: &BrowserContext) -> Result<()> {
    for round in 0..20 {
        for _ in 0..100 {
            begin(agent.browser.new_context()).await;
            begin(context.new_page()).await;
        }
        armada::sleep(Duration::from_millis(round)).await?;
    }
    Ok(())
}

/// Has a call begin, and drops it.
async fn begin<T>(call: impl Future<Output = T>) {
    let mut call = pin!(call);
    std::future::poll_fn(|task| Poll::Ready(drop(call.as_mut().poll(task)))).await;
}

/// How many contexts and pages it is allowed, and what is said of more.
async fn room(agent: &Agent, context: &BrowserContext) -> Value {
    let mut pages = Vec::new();
    let no_page = loop {
        match context.new_page().await {
            Ok(page) => pages.push(page),
            Err(error) => break error,
        }
    };
    let mut contexts = Vec::new();
    let no_context = loop {
        match agent.browser.new_context().await {
            Ok(context) => contexts.push(context),
            Err(error) => break error,
        }
    };
    let counts = (contexts.len(), pages.len());
    for page in pages {
        // Until it is closed, it counts.
        let _ = page.close().await;
    }
    json!({
        "contexts": counts.0, "pages": counts.1, "no_context": no_context.message(), "no_page": no_page.message(),
    })
}
