//! Operations on a page from a guest, against the same ones of chromiumoxide from native Rust, each with a Chromium of
//! its own on the same page.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use armada_protocol::Status;
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use chromiumoxide::{Browser, BrowserConfig};
use futures::StreamExt as _;
use serde_json::json;

use crate::component::built;
use crate::host_call::duration;
use crate::measure::Row;

const ROUNDS: usize = 10;
const TIMES: u32 = 300;
const OPERATIONS: [&str; 2] = ["evaluate", "text_content"];

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let site = Site::start();
    let url = format!("{}/plain.html", site.url());
    let component = built();
    let rounds = || (0..ROUNDS).flat_map(|_| OPERATIONS);
    let native = native(&url)?;
    let jobs = rounds().map(|operation| json!({"measure": operation, "times": TIMES, "url": url}));
    let finished = TestRun::of(component).jobs(jobs).finish();
    let mut rows = Vec::new();
    for (place, operation) in OPERATIONS.into_iter().enumerate() {
        let mut times = Vec::new();
        for (job, peer) in finished.jobs.iter().zip(&native).skip(place).step_by(OPERATIONS.len()) {
            anyhow::ensure!(job.status == Status::Success, "{operation}: {:?}", job.error);
            times.push((duration(job.result.as_ref().context("no result")?.get())?, *peer));
        }
        rows.push(Row::new(format!("page: {operation}"), "chromiumoxide, native", times, 1.1));
    }
    Ok(rows)
}

/// The times of chromiumoxide, for every operation of every round.
fn native(url: &str) -> anyhow::Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let profile = tempfile::tempdir()?;
        let configuration = BrowserConfig::builder()
            .no_sandbox()
            .user_data_dir(profile.path())
            .args(["--disable-background-networking", "--disable-component-update"])
            .build()
            .map_err(anyhow::Error::msg)?;
        let (mut browser, mut handler) = Browser::launch(configuration).await?;
        let handling = tokio::spawn(async move { while let Some(Ok(())) = handler.next().await {} });
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            for operation in OPERATIONS {
                let page = browser.new_page(url).await?;
                page.wait_for_navigation().await?;
                let started = Instant::now();
                for _ in 0..TIMES {
                    match operation {
                        "evaluate" => {
                            let sum: u32 = page.evaluate("1 + 1").await?.into_value()?;
                            anyhow::ensure!(sum == 2, "1 + 1 is {sum}");
                        }
                        _ => {
                            let text = page.find_element("h1").await?.string_property("textContent").await?;
                            anyhow::ensure!(text.as_deref() == Some("Plain"), "the heading is {text:?}");
                        }
                    }
                }
                times.push(started.elapsed() / TIMES);
                page.close().await?;
            }
        }
        browser.close().await?;
        browser.wait().await?;
        handling.await?;
        anyhow::Ok(times)
    })
}
