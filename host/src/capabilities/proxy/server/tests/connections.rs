//! What connections are made, what is spoken on them, and how they end.

use super::*;

#[tokio::test]
async fn both_sides_of_a_tunnel_speak_the_protocol_that_the_server_has_chosen() {
    let rig = Rig::start().await;
    for (offered, spoken, chosen) in [
        (&[Http2, Http1][..], &[Http2, Http1][..], Http2),
        (&[Http2, Http1], &[Http1], Http1),
        (&[Http1], &[Http2, Http1], Http1),
        (&[], &[Http2, Http1], Http1),
        (&[Http2, Http1], &[], Http1),
    ] {
        let far = Far::start(Some(rig.world.server(spoken))).await;
        // By address, too: the certificate names it as one.
        for host in ["127.0.0.1", "localhost"] {
            let (protocol, stream) = rig.tls(host, &far, offered).await.unwrap();
            assert_eq!(protocol, chosen);
            let place = far.place(host);
            let request = match protocol {
                Http1 => get("/x", &place),
                Http2 => Request::get(format!("https://{place}/x")).body(text("")).unwrap(),
            };
            assert_eq!(body(send(protocol, stream, request).await.unwrap()).await, "hello");
            let version = far.arrived().last().unwrap().version;
            assert_eq!(version, if chosen == Http2 { Version::HTTP_2 } else { Version::HTTP_11 });
        }
    }
    assert_eq!(rig.notices(), [""; 0]);
}

#[tokio::test]
async fn what_is_neither_http_nor_tls_goes_nowhere() {
    let rig = Rig::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    for bytes in [
        &b"\x00\x01\x00\x00\x21\x12\xa4\x42"[..],
        b"SSH-2.0-x\r\n",
        b"\x16no TLS",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"quit\r\n",
    ] {
        let (status, mut stream) = rig.connect(&place).await;
        assert_eq!(status, 200);
        let (mut far, _) = within(listener.accept()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut arrived = Vec::new();
        within(far.read_to_end(&mut arrived)).await.unwrap();
        assert_eq!(arrived, b"", "{bytes:?} has arrived");
    }
    assert!(rig.notices().iter().any(|notice| notice.contains("neither HTTP nor TLS") && notice.contains(&place)));
}

#[tokio::test]
async fn only_who_minds_no_certificate_reaches_a_server_whose_certificate_is_not_valid() {
    let rig = Rig::start().await;
    let far = Far::start(Some(World::new().server(&[Http2, Http1]))).await;
    let place = far.place("127.0.0.1");
    let refused = rig.tls("127.0.0.1", &far, &[Http2, Http1]).await.err().unwrap();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let known = rig.proxy.shared.egress.failure(&format!("https://{place}/")).unwrap();
    assert!(matches!(&known, Error::Unavailable(reason) if reason.contains("certificate is not valid")), "{known:?}");
    assert!(far.arrived().is_empty());

    // The browser's way of not minding.
    let client = Trust::new(provider(), Err(rustls::Error::General("not asked".to_owned()))).unwrap();
    let (_, stream) = rig.connect(&place).await;
    let stream = within(client.secure_unchecked(stream, "127.0.0.1", vec![Http1.name().to_vec()])).await.unwrap();
    let answer = send(Http1, stream, get("/", &place)).await.unwrap();
    assert_eq!(body(answer).await, "hello");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_connected_to() {
    let rig = Rig::allowing(&["localhost:*", "10.0.0.1"], &["localhost:*"]).await;
    let far = Far::start(None).await;
    let place = far.place("127.0.0.1");
    let (status, _) = rig.connect(&place).await;
    assert_eq!(status, 403);
    assert!(send_plain(&rig, get(&format!("http://{place}/x?secret"), &place)).await.is_err());
    assert_eq!(rig.connect("10.0.0.1:443").await.0, 403);
    assert!(send_plain(&rig, get("http://10.0.0.1/", "10.0.0.1")).await.is_err());
    for bad in ["ftp://localhost/", "https://localhost/"] {
        assert_eq!(send_plain(&rig, get(bad, "localhost")).await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(rig.connect("localhost").await.0, 400);
    let notices = rig.notices();
    assert_eq!(notices.len(), 4, "{notices:?}");
    assert!(
        notices[0].starts_with(&format!("blocked a connection to {place}: ")) && notices[0].contains("allowed_hosts")
    );
    assert!(notices[1].starts_with(&format!("blocked a request to http://{place}/x: ")), "{notices:?}");
    assert!(notices[2].contains("a private address") && notices[3].contains("--private-host"), "{notices:?}");
    assert!(far.arrived().is_empty());
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(rig.connect(&format!("localhost:{nobody}")).await.0, 502);
    // What Chromium asks nobody for is not told.
    assert!(send_plain(&rig, get("http://nowhere.invalid/", "nowhere.invalid")).await.is_err());
    assert_eq!(rig.notices().len(), 4);
}

#[tokio::test]
async fn a_connection_ends_with_its_server_and_with_the_proxy() {
    let rig = Rig::start().await;
    let far = Far::start(Some(rig.world.server(&[Http1]))).await;
    let (_, mut stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
    let request = format!("GET /last HTTP/1.1\r\nHost: {}\r\n\r\n", far.place("127.0.0.1"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The client has not asked for the end: the server has.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"last"), "{}", String::from_utf8_lossy(&answer));

    let (_, mut stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
    within(rig.proxy.close()).await;
    assert!(matches!(within(stream.read(&mut [0])).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(rig.proxy.address()).await.is_err());
}
