//! What every scope of a page sees of the device: page, frames, popup and workers, and what servers see of their requests.

use armada::browser::Page;
use armada::{Agent, Job, Result, Value, fingerprint, json};

/// Gathers everything where it is run, which may be a worker. `url` answers with the headers of its request.
const GATHER: &str = "async url => {
    const hints = navigator.userAgentData;
    const names = ['architecture', 'bitness', 'model', 'platformVersion', 'fullVersionList', 'uaFullVersion'];
    const high = hints ? await hints.getHighEntropyValues(names) : {};
    const format = Intl.DateTimeFormat().resolvedOptions();
    const headers = (await (await fetch(url)).json()).headers;
    const seen = {
        ...high, platformOfHints: high.platform, userAgent: navigator.userAgent, platform: navigator.platform,
        language: navigator.language, languages: [...navigator.languages], cores: navigator.hardwareConcurrency,
        memory: navigator.deviceMemory,
        timezone: format.timeZone, locale: format.locale, number: (1234.5).toLocaleString(),
        headerUserAgent: headers['user-agent'], headerLanguage: headers['accept-language'],
    };
    if (self.screen) {
        seen.screen = [screen.width, screen.height];
        seen.pixelRatio = devicePixelRatio;
        seen.touchPoints = navigator.maxTouchPoints;
        seen.dark = matchMedia('(prefers-color-scheme: dark)').matches;
        seen.coarse = matchMedia('(pointer: coarse)').matches;
        seen.hintUserAgent = headers['sec-ch-ua'];
        seen.hintPlatform = headers['sec-ch-ua-platform'];
        seen.hintMobile = headers['sec-ch-ua-mobile'];
        if (headers['sec-ch-device-memory']) seen.hintMemory = headers['sec-ch-device-memory'];
    }
    return seen;
}";

/// Gathers in a worker that this expression makes, by a port to it.
async fn in_worker(page: &Page, port: &str) -> Result<Value> {
    Ok(page
        .evaluate(format!(
            "async () => {{
                const port = await (async () => {{ {port} }})();
                const answer = new Promise(done => {{ (port.listen || port).onmessage = event => done(event.data) }});
                (port.send || port).postMessage({{ gather: {}, url: location.origin + '/echo' }});
                return await answer;
            }}",
            Value::from(GATHER)
        ))
        .await?)
}

async fn here(page: &Page) -> Result<Value> {
    Ok(page.evaluate(format!("() => ({GATHER})(location.origin + '/echo')")).await?)
}

async fn in_frame(page: &Page, url: &str) -> Result<Value> {
    page.evaluate::<()>(
        "url => new Promise(done => {
            const frame = Object.assign(document.createElement('iframe'), { src: url, onload: () => done(null) });
            document.body.append(frame);
        })",
    )
    .arg(url)
    .await?;
    Ok(page
        .evaluate(format!(
            "async () => {{
                const frames = document.querySelectorAll('iframe');
                const answer = new Promise(done => addEventListener('message', event => done(event.data), {{ once: true }}));
                frames[frames.length - 1].contentWindow.postMessage({}, '*');
                return await answer;
            }}",
            Value::from(GATHER)
        ))
        .await?)
}

pub async fn ctx_script(job: &Job, agent: &Agent) -> Result<Value> {
    let site = job.job_message["site"].as_str().unwrap_or_default().to_owned();
    let profile = match fingerprint::current().await {
        Ok(profile) => profile,
        Err(error) => {
            let opened = agent.browser.new_page().await;
            return Ok(json!({
                "kind": error.kind().name(), "said": error.to_string(),
                "browser": opened.map_or_else(|error| error.to_string(), |_| "opened".to_owned()),
            }));
        }
    };
    let page = agent.browser.new_page().await?;
    page.goto(format!("{site}/device.html")).await?;
    let mut scopes = Vec::new();
    scopes.push(("page", here(&page).await?));
    scopes.push(("frame", in_frame(&page, &format!("{site}/device.html")).await?));
    let other = site.replace("127.0.0.1", "localhost");
    scopes.push(("frame of another origin", in_frame(&page, &format!("{other}/device.html")).await?));
    let dedicated = "return new Worker('/device.js')";
    scopes.push(("dedicated worker", in_worker(&page, dedicated).await?));
    scopes.push(("worker of a worker", in_worker(&page, "return new Worker('/device.js?nested')").await?));
    let shared = "const { port } = new SharedWorker('/device.js'); port.start(); return port";
    scopes.push(("shared worker", in_worker(&page, shared).await?));
    let service = "const { installing } = await navigator.serviceWorker.register('/device.js');
                   await navigator.serviceWorker.ready;
                   return { send: installing, listen: navigator.serviceWorker }";
    scopes.push(("service worker", in_worker(&page, service).await?));
    page.evaluate::<()>("open('/device.html'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/device.html").await?;
    scopes.push(("popup", here(&popup).await?));
    popup.goto(format!("{site}/echo")).await?;
    let document: Value = popup.evaluate("JSON.parse(document.body.innerText).headers").await?;
    let viewport: Value = page.evaluate("[innerWidth, innerHeight]").await?;
    let brands = |brands: &[fingerprint::Brand]| {
        brands.iter().map(|one| json!({"brand": one.brand, "version": one.version})).collect::<Vec<_>>()
    };
    Ok(json!({
        "profiles": fingerprint::profiles()?,
        "profile": {
            "name": profile.name, "userAgent": profile.user_agent, "platform": profile.platform,
            "brands": brands(&profile.brands), "fullVersionList": brands(&profile.full_version_list),
            "hintPlatform": profile.hint_platform, "platformVersion": profile.platform_version,
            "architecture": profile.architecture, "bitness": profile.bitness, "model": profile.model,
            "mobile": profile.mobile, "languages": profile.languages, "timezone": profile.timezone,
            "screen": [profile.screen.width, profile.screen.height],
            "viewport": [profile.viewport.width, profile.viewport.height],
            "pixelRatio": profile.pixel_ratio, "touchPoints": profile.touch_points, "cores": profile.cores,
            "memory": profile.memory, "dark": profile.dark,
        },
        "scopes": scopes.into_iter().map(|(name, seen)| json!([name, seen])).collect::<Vec<_>>(),
        "document": document, "viewport": viewport,
        "product": agent.browser.launch().await?.product,
    }))
}

armada::project! { script: ctx_script }
