//! What becomes of requests, their bodies and answers.

use http::header::COOKIE;

use super::super::connection::Exchanges;
use super::super::exchange::{Origin, Unanswered};
use super::*;
use crate::capabilities::proxy::body::whole;

/// The key of the example in RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// More than what all buffers of this machine may hold on the way.
const BUFFERED: usize = 96 * 1024 * 1024;

#[tokio::test]
async fn servers_that_ask_for_the_devices_memory_are_told_that_of_the_device_that_is_shown() {
    let (rig, far) = (Rig::start().await, Far::start(None).await);
    let place = far.place("127.0.0.1");
    let hints = ["sec-ch-device-memory", "device-memory"];
    for asked_for in [&hints[..], &hints[..1], &hints[1..], &[]] {
        let mut request = get(&format!("http://{place}/"), &place);
        for name in asked_for {
            request.headers_mut().insert(*name, "32".parse().unwrap());
        }
        send_plain(&rig, request).await.unwrap();
        let arrived = far.arrived().pop().unwrap().headers;
        for name in hints {
            let expected = asked_for.contains(&name).then_some("4");
            assert_eq!(arrived.get(name).map(|value| value.to_str().unwrap()), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn requests_that_a_modifier_sends_elsewhere_get_there_and_leave_credentials_behind() {
    let (rig, strangers) = (Rig::start().await, World::new());
    let asked = Origin::of_url(&"https://shop.example/".parse().unwrap()).unwrap();
    let sent = async |scheme: &str, far: &Far| {
        let exchanges = Exchanges::anywhere(rig.proxy.shared.clone());
        let url = format!("{scheme}://{}/headers?moved", far.place("localhost")).parse().unwrap();
        let mut request = Request::get("/").header(HOST, "shop.example").body(whole(Bytes::new())).unwrap();
        request.headers_mut().insert(COOKIE, "id=7".parse().unwrap());
        let sent = within(exchanges.exchange_at(&url, &asked, request, None)).await?;
        Ok::<_, Unanswered>(within(sent.into_body().collect()).await.unwrap().to_bytes())
    };
    for (scheme, tls) in [("http", None), ("https", Some(rig.world.server(&[Http2, Http1])))] {
        let far = Far::start(tls).await;
        assert_eq!(sent(scheme, &far).await.unwrap(), "headers");
        let arrived = far.arrived().pop().unwrap();
        assert_eq!((arrived.version, arrived.target.as_str()), (Version::HTTP_11, "/headers?moved"));
        assert_eq!(arrived.headers[HOST], far.place("localhost").as_str());
        assert!(!arrived.headers.contains_key(COOKIE));
    }
    let unknown = Far::start(Some(strangers.server(&[Http1]))).await;
    let failed = sent("https", &unknown).await.unwrap_err().to_string();
    assert!(failed.contains("certificate"), "{failed}");
    assert!(unknown.arrived().is_empty());
}

/// Waits until a count stays what it is, and gives it.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = None;
    within(async {
        loop {
            let now = count.load(Ordering::SeqCst);
            if now > 0 && last == Some(now) {
                return now;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_in_the_clear_arrive_without_what_was_for_the_proxy() {
    let (rig, far) = (Rig::start().await, Far::start(None).await);
    let place = far.place("127.0.0.1");
    let mut request = get(&format!("http://{place}/headers?a=1"), &place);
    for (name, value) in
        [("proxy-authorization", "Basic eA=="), ("connection", "x-hop"), ("x-hop", "1"), ("X-End", "1")]
    {
        request.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let response = send_plain(&rig, request).await.unwrap();
    let headers = response.headers();
    assert!(headers.contains_key("x-own") && !headers.contains_key("x-hop") && !headers.contains_key("keep-alive"));
    assert!(!headers.contains_key("via"));
    assert_eq!(body(response).await, "headers");
    let arrived = far.arrived();
    assert_eq!((arrived.len(), arrived[0].target.as_str()), (1, "/headers?a=1"));
    assert_eq!(arrived[0].headers[HOST], place.as_str());
    assert!(arrived[0].headers.contains_key("x-end"));
    for gone in ["proxy-authorization", "connection", "x-hop", "via", "x-forwarded-for"] {
        assert!(!arrived[0].headers.contains_key(gone), "{gone} has arrived");
    }
    assert_eq!(rig.notices(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_go_by_at_the_pace_of_whoever_reads_them() {
    let rig = Rig::start().await;
    for protocol in [Http1, Http2] {
        let far = Far::start(Some(rig.world.server(&[protocol]))).await;
        let place = far.place("127.0.0.1");
        let target = |path: &str| match protocol {
            Http1 => path.to_owned(),
            Http2 => format!("https://{place}{path}"),
        };
        let request = |method: Method, path: &str, body| {
            let mut request = Request::new(body);
            (*request.method_mut(), *request.uri_mut()) = (method, target(path).parse().unwrap());
            if protocol == Http1 {
                request.headers_mut().insert(HOST, place.parse().unwrap());
            }
            request
        };
        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let response = send(protocol, stream, request(Method::GET, "/large", text(""))).await.unwrap();
        // Nobody reads yet: what has left the server fits in buffers.
        let made = settled(&far.carried).await;
        assert!(made < BUFFERED, "{protocol:?}: {made} bytes wait somewhere");
        let (mut read, mut coming) = (0, response.into_body());
        while let Some(frame) = within(coming.frame()).await {
            read += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(read, LARGE);

        let sent = Arc::new(AtomicUsize::new(0));
        let zeros = || Zeros { left: LARGE, made: sent.clone() }.boxed();
        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let unread = tokio::spawn(send(protocol, stream, request(Method::POST, "/never-read", zeros())));
        let made = settled(&sent).await;
        assert!(made < BUFFERED, "{protocol:?}: {made} bytes wait somewhere");
        unread.abort();

        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let response = send(protocol, stream, request(Method::POST, "/upload", zeros())).await.unwrap();
        assert_eq!(body(response).await, "taken");
        assert_eq!(far.carried.load(Ordering::SeqCst), LARGE);
    }
}

/// Asks for a WebSocket.
fn handshake(path: &str, place: &str) -> Request<AnyBody> {
    let mut request = get(path, place);
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.headers_mut().insert(SEC_WEBSOCKET_KEY, KEY.parse().unwrap());
    request
}

#[tokio::test]
async fn websockets_are_carried_once_both_sides_agree() {
    let rig = Rig::start().await;
    for tls in [false, true] {
        let far = Far::start(tls.then(|| rig.world.server(&[Http2, Http1]))).await;
        let place = far.place("localhost");
        let connected = async || -> Box<dyn Stream> {
            if tls {
                rig.tls("localhost", &far, &[Http1]).await.unwrap().1
            } else {
                // As Chromium does for ws: too.
                Box::new(rig.connect(&place).await.1)
            }
        };
        let mut response = send(Http1, connected().await, handshake("/echo", &place)).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], ACCEPT);
        let mut socket = TokioIo::new(within(hyper::upgrade::on(&mut response)).await.unwrap());
        socket.write_all(b"whatever").await.unwrap();
        let mut heard = [0; 8];
        within(socket.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"whatever");
        socket.shutdown().await.unwrap();
        assert_eq!(within(socket.read(&mut heard)).await.unwrap(), 0);

        // One who does not know what was asked speaks no WebSocket.
        assert!(send(Http1, connected().await, handshake("/no-websocket", &place)).await.is_err());
        let answer = send(Http1, connected().await, handshake("/", &place)).await.unwrap();
        assert_eq!((answer.status(), body(answer).await.as_str()), (StatusCode::OK, "hello"));
    }
}

#[tokio::test]
async fn requests_for_another_host_than_the_tunnels_are_refused() {
    let rig = Rig::start().await;
    let far = Far::start(Some(rig.world.server(&[Http2, Http1]))).await;
    let port = far.address.port();
    for other in [
        "example.com".to_owned(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("localhost:{port}"),
        format!("u@127.0.0.1:{port}"),
    ] {
        let (_, stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
        let answer = send(Http1, stream, get("/", &other)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{other}");
    }
    for uri in ["https://example.com/".to_owned(), format!("http://127.0.0.1:{port}/")] {
        let (protocol, stream) = rig.tls("127.0.0.1", &far, &[Http2]).await.unwrap();
        let answer = send(protocol, stream, Request::get(&uri).body(text("")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{uri}");
    }
    // The URL of a request to the proxy itself, and the host that it names, are the same, too.
    let plain = Far::start(None).await;
    let answer = send_plain(&rig, get(&format!("http://{}/", plain.place("127.0.0.1")), "example.com")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    assert!(far.arrived().is_empty() && plain.arrived().is_empty());
}
