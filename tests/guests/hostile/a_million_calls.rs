//! Makes ten thousand calls at once, and gives how many were refused.

use std::time::Duration;

use armada::{Agent, ErrorKind, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    let mut calls: Vec<_> = (0..10_000).map(|_| Box::pin(armada::sleep(Duration::from_millis(50)))).collect();
    let (mut done, mut refused) = (0, 0);
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(Ok(())) => {
                done += 1;
                false
            }
            std::task::Poll::Ready(Err(error)) => {
                refused += u32::from(error.kind() == ErrorKind::Limit);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    Ok(json!({"done": done, "refused": refused}))
}
