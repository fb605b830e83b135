//! Every way out, to a server that may not be reached, from the script and from page code. The job message names the
//! server, and other ways of writing where it is.

use std::time::Duration;

use armada::Result;
use armada::browser::{LoadState, Page};
use guests::{Case, fails, same};

guests::cases![
    navigation,
    redirect,
    page_navigation,
    subresources,
    frames,
    fetch_and_xhr,
    fetch_by_redirect,
    web_socket,
    web_rtc,
    event_source,
    beacon,
    worker,
    service_worker,
    popup,
    form,
    hints,
    web_transport,
    other_names,
    other_schemes,
];

/// A URL of the server that is not allowed.
fn forbidden(case: &Case<'_>) -> String {
    case.job.job_message["forbidden"].as_str().unwrap_or_default().to_owned()
}

/// What would have to be changed for the server to be reached.
fn needed<'a>(case: &'a Case<'_>) -> &'a str {
    case.job.job_message["needed"].as_str().unwrap_or_default()
}

/// Opens a page and runs this function there with the forbidden URL; it gives what the page sees.
async fn seen(case: &Case<'_>, function: &str) -> Result<String> {
    let page = case.open("plain.html").await?;
    Ok(page.evaluate(function).arg(forbidden(case)).await?)
}

/// Gives requests that nobody waits for the time to arrive.
async fn settle(page: &Page) -> Result<()> {
    armada::sleep(Duration::from_millis(500)).await?;
    same!(page.is_closed(), false);
    Ok(())
}

async fn navigation(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.goto(forbidden(&case)).await, Denied, needed(&case));
    Ok(())
}

async fn redirect(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let url = case.url(&format!("redirect?to={}", forbidden(&case)));
    fails!(page.goto(url).await, Denied, "was blocked on the way");
    Ok(())
}

async fn page_navigation(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("url => { document.querySelector('a').href = url }").arg(forbidden(&case)).await?;
    page.click("a").await?;
    settle(&page).await
}

async fn subresources(case: Case<'_>) -> Result<()> {
    let function = "async url => {
        const add = (tag, attributes) => new Promise(done => {
            const element = Object.assign(document.createElement(tag), attributes);
            element.onload = () => done(`${tag} loaded`);
            element.onerror = () => done(`${tag} failed`);
            document.head.append(element);
        });
        const style = document.createElement('style');
        style.textContent = `@import '${url}import.css'; @font-face { font-family: own; src: url('${url}font') }
                             body { background: url('${url}background'); font-family: own }`;
        document.head.append(style);
        document.fonts.load('10px own').catch(() => {});
        const video = document.createElement('video');
        video.src = `${url}video`;
        document.body.append(video);
        return (await Promise.all([
            add('img', { src: `${url}img` }), add('script', { src: `${url}script` }),
            add('link', { rel: 'stylesheet', href: `${url}css` }),
            import(`${url}module`).catch(() => 'module failed'),
        ])).join(', ');
    }";
    same!(seen(&case, function).await?, "img failed, script failed, link failed, module failed");
    Ok(())
}

async fn frames(case: Case<'_>) -> Result<()> {
    let function = "url => new Promise(done => {
        const frame = document.createElement('iframe');
        frame.src = url;
        frame.onload = () => { try { done(frame.contentDocument ? 'readable' : 'blocked') } catch { done('blocked') } };
        document.body.append(frame);
    })";
    same!(seen(&case, function).await?, "blocked");
    Ok(())
}

async fn fetch_and_xhr(case: Case<'_>) -> Result<()> {
    let function = "async url => {
        const options = [{}, { mode: 'no-cors' }, { method: 'POST', body: 'x' }, { keepalive: true }];
        const tries = options.map(option => fetch(url, option).then(() => 'arrived', () => 'failed'));
        tries.push(new Promise(done => {
            const request = new XMLHttpRequest();
            request.onload = () => done('arrived');
            request.onerror = () => done('failed');
            request.open('GET', url);
            request.send();
        }));
        return (await Promise.all(tries)).join(' ');
    }";
    same!(seen(&case, function).await?, "failed failed failed failed failed");
    Ok(())
}

async fn fetch_by_redirect(case: Case<'_>) -> Result<()> {
    let function = "url => fetch(`/redirect?to=${url}`, { mode: 'no-cors' }).then(() => 'arrived', () => 'failed')";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn web_socket(case: Case<'_>) -> Result<()> {
    let function = "url => new Promise(done => {
        const socket = new WebSocket(url.replace('http', 'ws'));
        socket.onopen = () => done('opened');
        socket.onerror = () => done('failed');
    })";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn web_rtc(case: Case<'_>) -> Result<()> {
    // Whoever connects by TCP to a TURN server gathers a candidate there; all of them have been tried by then.
    let function = "url => new Promise(done => {
        const server = `turn:${new URL(url).host}?transport=`;
        const urls = [`${server}tcp`, `${server}udp`, server.replace('turn', 'stun').replace(/\\?.*/, '')];
        const iceServers = urls.map(urls => urls.startsWith('turn') ? { urls, username: 'u', credential: 'c' } : { urls });
        const connection = new RTCPeerConnection({ iceServers });
        let candidates = 0;
        connection.onicecandidate = ({ candidate }) => candidate && candidates++;
        connection.onicegatheringstatechange = () =>
            connection.iceGatheringState === 'complete' && done(`${candidates} candidates`);
        connection.createDataChannel('data');
        connection.createOffer().then(offer => connection.setLocalDescription(offer));
    })";
    same!(seen(&case, function).await?, "0 candidates");
    Ok(())
}

async fn event_source(case: Case<'_>) -> Result<()> {
    let function = "url => new Promise(done => {
        const source = new EventSource(url);
        source.onopen = () => done('opened');
        source.onerror = () => done('failed');
    })";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn beacon(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<bool>("url => navigator.sendBeacon(url, 'x')").arg(forbidden(&case)).await?;
    page.evaluate::<()>("url => { addEventListener('pagehide', () => navigator.sendBeacon(url, 'y')) }")
        .arg(forbidden(&case))
        .await?;
    page.goto(case.url("selectors.html")).wait_until(LoadState::Load).await?;
    settle(&page).await
}

async fn worker(case: Case<'_>) -> Result<()> {
    let function = "url => new Promise(done => {
        const code = `fetch('${url}').then(() => postMessage('arrived'), () => postMessage('failed'))`;
        new Worker(URL.createObjectURL(new Blob([code]))).onmessage = event => done(event.data);
    })";
    same!(seen(&case, function).await?, "failed");
    let function = "url => new Promise(done => {
        const code = `onconnect = ({ ports: [port] }) => {
            fetch('${url}').then(() => port.postMessage('arrived'), () => port.postMessage('failed'));
        }`;
        new SharedWorker(URL.createObjectURL(new Blob([code]))).port.onmessage = event => done(event.data);
    })";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn service_worker(case: Case<'_>) -> Result<()> {
    let function = "async url => {
        await navigator.serviceWorker.register('/service_worker.js');
        const { active } = await navigator.serviceWorker.ready;
        const heard = new Promise(done => {
            navigator.serviceWorker.onmessage = event => done(event.data);
        });
        active.postMessage(url);
        return heard;
    }";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn popup(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("url => { open(url) }").arg(forbidden(&case)).await?;
    let popup = page.wait_for_popup().await?;
    settle(&popup).await?;
    page.evaluate::<()>("url => { open(url, '_blank', 'noopener') }").arg(forbidden(&case)).await?;
    settle(&page).await
}

async fn form(case: Case<'_>) -> Result<()> {
    let page = case.show(&format!("<form method=post action='{}'><button>b</button></form>", forbidden(&case))).await?;
    page.click("button").await?;
    settle(&page).await
}

async fn hints(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let function = "url => {
        for (const rel of ['preconnect', 'dns-prefetch', 'prefetch', 'preload', 'modulepreload', 'prerender', 'icon', 'manifest']) {
            document.head.append(Object.assign(document.createElement('link'), { rel, href: url, as: 'script' }));
        }
        const rules = document.createElement('script');
        rules.type = 'speculationrules';
        rules.textContent = JSON.stringify({ prefetch: [{ urls: [url] }], prerender: [{ urls: [url] }] });
        document.head.append(rules);
        const ping = Object.assign(document.createElement('a'), { href: '#below', ping: url, textContent: 'ping', id: 'ping' });
        document.body.append(ping);
    }";
    page.evaluate::<()>(function).arg(forbidden(&case)).await?;
    page.click("#ping").await?;
    settle(&page).await
}

async fn web_transport(case: Case<'_>) -> Result<()> {
    let function = "url => {
        const transport = new WebTransport(url.replace('http:', 'https:'));
        transport.closed.catch(() => {});
        return transport.ready.then(() => 'opened', () => 'failed');
    }";
    same!(seen(&case, function).await?, "failed");
    Ok(())
}

async fn other_names(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for name in case.job.job_message["other_names"].as_array().into_iter().flatten() {
        let url = name.as_str().unwrap_or_default();
        fails!(page.goto(url).await, Denied, needed(&case));
        fails!(page.goto(case.url(&format!("redirect?to={url}"))).await, Denied, needed(&case));
        let page = case.open("plain.html").await?;
        let function = "async url => {
            const socket = new Promise(done => {
                const socket = new WebSocket(url.replace('http', 'ws'));
                socket.onopen = () => done('opened');
                socket.onerror = () => done('failed');
            });
            const frame = document.createElement('iframe');
            frame.src = url;
            document.body.append(frame);
            const fetched = to => fetch(to, { mode: 'no-cors' }).then(() => 'arrived', () => 'failed');
            return `${await fetched(url)} ${await fetched(`/redirect?to=${url}`)} ${await socket}`;
        }";
        same!(page.evaluate::<String>(function).arg(url).await?, "failed failed failed");
        page.close().await?;
    }
    Ok(())
}

async fn other_schemes(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let place = forbidden(&case).replace("http://", "");
    let urls = [
        "file:///etc/hostname".to_owned(),
        "chrome://version/".to_owned(),
        "chrome-untrusted://terminal/".to_owned(),
        "devtools://devtools/bundled/inspector.html".to_owned(),
        "view-source:file:///etc/hostname".to_owned(),
        format!("view-source:{}", forbidden(&case)),
        format!("ftp://{place}"),
        format!("ws://{place}"),
        "data:text/html,<h1>data</h1>".to_owned(),
        "javascript:document.write('script')".to_owned(),
        "filesystem:http://127.0.0.1/temporary/x".to_owned(),
        "blob:http://127.0.0.1/x".to_owned(),
        "about:version".to_owned(),
    ];
    for url in &urls {
        let gone = page.goto(url).await;
        let kinds = [armada::ErrorKind::Denied, armada::ErrorKind::Invalid];
        armada::ensure!(gone.as_ref().is_err_and(|error| kinds.contains(&error.kind())), "{url}: {gone:?}");
        same!(page.url(), case.url("plain.html"));
    }
    let function = "async urls => {
        const read = [];
        for (const url of urls.filter(url => !/^(data|javascript|blob|ws):/.test(url))) {
            read.push(await fetch(url).then(answer => answer.text(), () => ''));
            const frame = Object.assign(document.createElement('iframe'), { src: url });
            const loaded = new Promise(done => { frame.onload = done; setTimeout(done, 300) });
            document.body.append(frame);
            await loaded;
            try { read.push(frame.contentDocument ? frame.contentDocument.body.textContent : '') } catch {}
            try { open(url) } catch {}
            try { new Worker(url) } catch {}
            navigator.serviceWorker.register(url).catch(() => {});
        }
        return read.join('');
    }";
    same!(page.evaluate::<String>(function).arg(&urls).await?, "");
    for url in urls.iter().filter(|url| !url.starts_with("javascript:")) {
        page.goto(case.url("plain.html")).await?;
        page.evaluate::<()>("url => { setTimeout(() => { location.href = url }) }").arg(url).await?;
        armada::sleep(Duration::from_millis(200)).await?;
        // Where it was, or what the browser shows instead of what it refuses.
        let at: String = page.evaluate("location.href").await?;
        let instead = [case.site.as_str(), "chrome-error:", "about:blank"];
        armada::ensure!(instead.iter().any(|place| at.starts_with(place)), "{url} has led to {at}");
    }
    settle(&page).await
}
