//! Proxies that behave, and others that do not.

use armada_protocol::inventory::Resolve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

const TARGET: Target = Target::Address(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)), 443));
const CREDENTIALS: Option<(&str, &str)> = Some(("user", "hush"));

/// The other end of a proxy that has read this much and said this, in turns.
fn proxy(turns: Vec<(usize, Vec<u8>)>) -> (DuplexStream, tokio::task::JoinHandle<Vec<u8>>) {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let heard = tokio::spawn(async move {
        let mut all = Vec::new();
        for (count, said) in turns {
            let mut bytes = vec![0; count];
            if far.read_exact(&mut bytes).await.is_err() {
                break;
            }
            all.extend(bytes);
            if far.write_all(&said).await.is_err() {
                break;
            }
        }
        all
    });
    (near, heard)
}

#[tokio::test]
async fn an_http_proxy_is_asked_with_credentials_and_what_follows_its_answer_is_the_targets() {
    let request =
        "CONNECT 8.8.8.8:443 HTTP/1.1\r\nHost: 8.8.8.8:443\r\nProxy-Authorization: Basic dXNlcjpodXNo\r\n\r\n";
    let (near, heard) = proxy(vec![(request.len(), b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello".to_vec())]);
    let mut connection = http::connect(near, CREDENTIALS, &TARGET).await.unwrap();
    let mut greeting = [0; 5];
    connection.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello");
    assert_eq!(String::from_utf8(heard.await.unwrap()).unwrap(), request);
}

#[tokio::test]
async fn what_an_http_proxy_answers_is_its_own_fault_or_the_targets() {
    let asked = async |answer: &[u8]| {
        let (near, _heard) = proxy(vec![(20, answer.to_vec())]);
        http::connect(near, CREDENTIALS, &TARGET).await.err().unwrap()
    };
    for (answer, told) in [
        (&b"HTTP/1.1 407 Who are you\r\n\r\n"[..], "credentials"),
        (b"", "hangs up"),
        (b"HTTP/1.1 200 OK\r\nX: ", "hangs up"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP"),
        (b"\xff\xff\xff\n", "no HTTP"),
    ] {
        let ThroughError::Proxy(why) = asked(answer).await else { panic!("{answer:?}") };
        assert!(why.contains(told) && !why.contains("hush"), "{why}");
    }
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(5_000)].concat();
    assert!(matches!(asked(&endless).await, ThroughError::Proxy(_)));
    let refused = asked(b"HTTP/1.1 502 \xffno\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(refused, ThroughError::Target("it answers with the status 502".to_owned()));
}

#[tokio::test]
async fn a_socks_proxy_is_asked_with_credentials_for_an_address_or_a_name() {
    let entering = [(4, vec![5, 2]), (11, vec![1, 0])];
    let name = Target::Name("a.example".to_owned(), 80);
    for (target, request) in [
        (TARGET, vec![5, 1, 0, 1, 8, 8, 8, 8, 1, 187]),
        (Target::Address("[2001:db8::1]:80".parse().unwrap()), {
            let mut bytes = vec![5, 1, 0, 4, 0x20, 1, 0xd, 0xb8];
            bytes.extend([0; 11]);
            bytes.extend([1, 0, 80]);
            bytes
        }),
        (name, [&[5, 1, 0, 3, 9], &b"a.example"[..], &[0, 80]].concat()),
    ] {
        let mut turns = entering.to_vec();
        turns.push((request.len(), [&[5, 0, 0, 3, 1, b'x', 0, 0], &b"hello"[..]].concat()));
        let (near, heard) = proxy(turns);
        let entered = socks5::enter(near, CREDENTIALS).await.unwrap();
        let mut connection = socks5::connect(entered, &target).await.unwrap();
        let mut greeting = [0; 5];
        connection.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hello");
        assert_eq!(heard.await.unwrap(), [&[5, 2, 0, 2, 1, 4], &b"user"[..], &[4], b"hush", &request].concat());
    }
}

#[tokio::test]
async fn what_a_socks_proxy_answers_is_its_own_fault_or_the_targets() {
    let entered = async |turns: Vec<(usize, Vec<u8>)>| {
        let (near, _heard) = proxy(turns);
        match socks5::enter(near, CREDENTIALS).await {
            Ok(entered) => socks5::connect(entered, &TARGET).await.err(),
            Err(error) => Some(error),
        }
    };
    for (turns, told) in [
        (vec![(4, vec![5, 0xff])], "credentials"),
        (vec![(4, vec![5, 2]), (11, vec![1, 1])], "credentials"),
        (vec![(4, vec![4, 0])], "no SOCKS5"),
        (vec![(4, vec![5])], "breaks the connection off"),
        (vec![(4, vec![5, 0]), (10, vec![5, 0, 0, 9])], "no SOCKS5"),
        (vec![(4, vec![5, 0]), (10, vec![5, 0, 0, 1, 1])], "breaks the connection off"),
    ] {
        let Some(ThroughError::Proxy(why)) = entered(turns.clone()).await else { panic!("{turns:?}") };
        assert!(why.contains(told) && !why.contains("hush"), "{why}");
    }
    for status in 1..=255 {
        let answer = entered(vec![(4, vec![5, 0]), (10, vec![5, status, 0, 1])]).await;
        assert!(matches!(answer, Some(ThroughError::Target(_))), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_hangs_up_is_told_from_a_target_that_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = listener.local_addr().unwrap();
    let hanging_up = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let is_not_there = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [hangs_up, is_not_there] {
        for scheme in ["http", "https", "socks5"] {
            let leased = Leased::new(Upstream {
                name: "dead".to_owned(),
                url: format!("{scheme}://user:hush@{address}").try_into().unwrap(),
                location: String::new(),
                tags: Vec::new(),
                agents: None,
                resolve: Resolve::Agent,
                exit_addresses: Vec::new(),
            });
            let Err(ThroughError::Proxy(why)) = leased.connect(&TARGET).await else { panic!("{scheme}") };
            assert!(!why.contains("hush") && !why.contains("127.0.0.1"), "{why}");
        }
    }
    hanging_up.abort();
}
