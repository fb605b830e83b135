//! What goes through an agent's proxy is passed on as it comes: however large it is, the agent keeps little of it.

use std::sync::{Arc, OnceLock};

use armada_tests::command::{Running, written};
use armada_tests::processes::descendants;
use armada_tests::site::Site;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

const MIB: u64 = 1 << 20;
/// What is downloaded, and how much more memory that may ever take than a small download.
const LARGE: u64 = 1_024 * MIB;
const MORE: u64 = 128 * MIB;

/// A page reads all of an answer and keeps none of it; then the site looks at the agent.
const SCRIPT: &str = r#"
READ = """async path => {
    const reader = (await fetch(path)).body.getReader()
    let bytes = 0
    for (;;) {
        const {done, value} = await reader.read()
        if (done) return bytes
        bytes += value.length
    }
}"""


async def ctx_script(job_ctx, agent_ctx):
    site, told = job_ctx.job_message["site"], []
    async with await agent_ctx.browser.new_context(ignore_https_errors=True) as context:
        page = await context.new_page()
        await page.goto(f"{site}/plain.html")
        for size in job_ctx.job_message["sizes"]:
            read = await page.evaluate(READ, f"/zeros/{size}")
            peak = await page.evaluate("async () => Number(await (await fetch('/peak')).text())")
            told.append([read, peak])
    return told
"#;

/// `/zeros/N`: so many zeros, made as they are asked for.
async fn zeros(Path(bytes): Path<u64>) -> impl IntoResponse {
    static PIECE: [u8; 64 * 1_024] = [0; 64 * 1_024];
    let pieces = futures::stream::iter((0..bytes / PIECE.len() as u64).map(|_| Ok::<_, std::io::Error>(&PIECE[..])));
    let body = Body::from_stream(futures::StreamExt::map(pieces, |piece| piece.map(Bytes::from_static)));
    ([(header::CONTENT_TYPE, "application/octet-stream")], body)
}

/// The most memory that the agent of a run has ever had, in bytes.
fn peak(run: u32) -> u64 {
    let agents = descendants(run).into_iter().filter(|process| process.is_agent());
    let peaks = agents.map(|agent| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    });
    peaks.sum()
}

#[test]
fn a_large_download_takes_no_more_memory_than_a_small_one() {
    let run = Arc::new(OnceLock::new());
    let known = run.clone();
    let routes = Router::new().route("/zeros/{bytes}", get(zeros)).route(
        "/peak",
        get(move || {
            let known = known.clone();
            async move { known.get().copied().map_or_else(String::new, |run| peak(run).to_string()) }
        }),
    );
    let site = Site::serve_with_unknown_certificate(routes);
    let template = json!({
        "run_message": {"sandbox": {
            "capabilities": ["browser"],
            "allowed_hosts": [site.host()],
            "limits": {"seconds_per_call": 600, "seconds_per_job": 900},
        }},
        "default_job_message": {"site": site.url(), "sizes": [MIB, LARGE]},
    });
    let folder = written(&[("ctx_script.py", SCRIPT), ("config/config_template.json", &template.to_string())]);
    let running = Running::start_at(folder.path(), &[]);
    run.set(running.id()).unwrap();
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.results);
    let told: Vec<(u64, u64)> = serde_json::from_value(ended.results[0]["result"].clone()).unwrap();
    let [(small, before), (large, after)] = told[..] else { panic!("{told:?}") };
    assert_eq!((small, large), (MIB, LARGE));
    assert!(before > 0 && after - before < MORE, "from {} MiB to {} MiB", before / MIB, after / MIB);
}
