//! Components and agent records in a real Redis, also when it dies.

use std::time::Duration;

use armada_project::{Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides};
use armada_protocol::redis::{EXPIRY, RedisRunStore};
use armada_protocol::{AgentRecord, CompiledRef, ProtocolError, Registry as _, RunId, RunStore as _};
use armada_tests::servers::{Server, free_port, redis};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

fn record() -> AgentRecord {
    let folder = tempfile::tempdir().unwrap();
    let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()).unwrap();
    AgentRecord {
        message: serde_json::from_value(json!({"run_id": "r", "config_proxy": {"verify_ip": 0}})).unwrap(),
        component: ComponentRef::of(b"wasm"),
        grant: Grant::new(configuration.sandbox(), &Ceiling::none()),
        compiled: Some(CompiledRef { engine: "5e0f".to_owned(), signature: "51".to_owned() }),
    }
}

fn store_of(server: &Server) -> RedisRunStore {
    RedisRunStore::new(server.url(), EXPIRY).unwrap()
}

async fn raw<T: redis::FromRedisValue>(server: &Server, command: &[&str]) -> T {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn records_and_components_are_kept_for_a_while_and_read_as_they_were() {
    let server = tokio::task::spawn_blocking(redis).await.unwrap();
    let (store, run, other) = (store_of(&server), RunId::new(), RunId::new());
    store.check().await.unwrap();
    for (run, index) in [(run, 0), (run, 10), (other, 0)] {
        store.put_agent(run, index, record()).await.unwrap();
    }
    let read = store.agent(run, 10).await.unwrap();
    assert_eq!((read.message, read.component), (record().message, record().component));
    assert_eq!(read.compiled, record().compiled);

    let component: Vec<u8> = (0..20 << 20).map(|byte: u32| byte.to_le_bytes()[1]).collect();
    let digest = Digest::of(&component);
    store.put_component(run, digest, component.clone()).await.unwrap();
    assert!(store.component(digest).await.unwrap() == component);

    store.put_compiled(run, digest, "5e0f", b"code".to_vec()).await.unwrap();
    assert_eq!(store.compiled(digest, "5e0f").await.unwrap(), b"code".as_slice());
    let missing = store.compiled(digest, "other").await;
    assert!(matches!(missing, Err(ProtocolError::NotFound(_))), "{missing:?}");

    // Where programs for the predecessor look for it.
    let text: String = raw(&server, &["GET", &format!("{run}10")]).await;
    let message: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&message["run_id"], &message["config_proxy"]["verify_ip"]), (&json!("r"), &json!(0)));
    let component_key = format!("armada:component:{digest}");
    let compiled_key = format!("armada:compiled:{digest}:5e0f");
    for key in [&format!("{run}0"), &format!("armada:run:{run}"), &component_key, &compiled_key] {
        let seconds: i64 = raw(&server, &["TTL", key]).await;
        assert!((600_000..=604_800).contains(&seconds), "{key}: {seconds}");
    }

    store.delete(run).await.unwrap();
    for index in [0, 10] {
        let missing = store.agent(run, index).await.unwrap_err();
        assert!(matches!(&missing, ProtocolError::NotFound(what) if what.contains(&run.to_string())), "{missing:?}");
    }
    store.agent(other, 0).await.unwrap();
    let mut left: Vec<String> = raw(&server, &["KEYS", "*"]).await;
    left.sort();
    let mut expected = vec![format!("{other}0"), component_key, compiled_key, format!("armada:run:{other}")];
    expected.sort();
    assert_eq!(left, expected);
    store.delete(run).await.unwrap();
    assert!(matches!(store.component(Digest::of(b"")).await, Err(ProtocolError::NotFound(_))));
}

#[tokio::test]
async fn what_a_run_needs_is_kept_for_as_long_as_the_run_is() {
    let server = tokio::task::spawn_blocking(redis).await.unwrap();
    let (store, run, other, digest) = (store_of(&server), RunId::new(), RunId::new(), Digest::of(b"wasm"));
    for run in [run, other] {
        store.put_component(run, digest, b"wasm".to_vec()).await.unwrap();
        store.put_compiled(run, digest, "5e0f", b"code".to_vec()).await.unwrap();
        store.put_agent(run, 0, record()).await.unwrap();
    }
    let mut keys: Vec<String> = raw(&server, &["KEYS", "*"]).await;
    for key in &keys {
        raw::<()>(&server, &["EXPIRE", key, "1000"]).await;
    }
    store.keep(run).await.unwrap();
    keys.sort();
    assert_eq!(keys.len(), 6, "{keys:?}");
    for key in &keys {
        let seconds: i64 = raw(&server, &["TTL", key]).await;
        assert_eq!(seconds > 1000, !key.contains(&other.to_string()), "{key}: {seconds}");
    }
    store.delete(run).await.unwrap();
    assert!(matches!(store.agent(run, 0).await, Err(ProtocolError::NotFound(_))));
    assert_eq!(store.component(digest).await.unwrap(), b"wasm".as_slice(), "another run may need it");
    assert_eq!(store.compiled(digest, "5e0f").await.unwrap(), b"code".as_slice());
    // Of a run that it does not know, there is nothing to keep.
    store.keep(RunId::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_the_server_was_killed() {
    let mut server = tokio::task::spawn_blocking(redis).await.unwrap();
    let (store, run) = (store_of(&server), RunId::new());
    store.put_agent(run, 0, record()).await.unwrap();
    server.kill();
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    // Both are asked for while nobody is there to answer.
    let (read, put) = tokio::join!(store.agent(run, 0), store.put_agent(run, 1, record()));
    assert_eq!(read.unwrap().message, record().message);
    put.unwrap();
    store.agent(run, 1).await.unwrap();
    drop(server.await.unwrap());
}

#[tokio::test]
async fn who_is_away_or_does_not_let_in_is_told_without_the_password() {
    let server = tokio::task::spawn_blocking(redis).await.unwrap();
    let run = RunId::new();
    let refused = format!("redis://somebody:geheim@127.0.0.1:{}/0", server.port());
    let away = format!("redis://somebody:geheim@127.0.0.1:{}/0", free_port());
    for (url, is_away) in [(refused, false), (away, true)] {
        let patience = Duration::from_millis(300);
        let store = RedisRunStore::with_patience(&url, EXPIRY, patience).unwrap();
        for error in [store.check().await.unwrap_err(), store.agent(run, 0).await.unwrap_err()] {
            let text = error.to_string();
            assert_eq!(matches!(error, ProtocolError::Unavailable(_)), is_away, "{error:?}");
            assert!(text.contains("127.0.0.1:") && !text.contains("geheim"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_address_with_tls_is_spoken_to_in_tls() {
    armada_tests::choose_cryptography();
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("rediss://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let store = RedisRunStore::new(&url, EXPIRY).unwrap();
    let answering = async {
        let (mut taken, _) = listener.accept().await.unwrap();
        let mut begun = [0; 2];
        taken.read_exact(&mut begun).await.unwrap();
        begun
    };
    let (refused, begun) = tokio::join!(store.check(), answering);
    // A record of the handshake, and not a command.
    assert_eq!(begun, [0x16, 0x03]);
    assert!(matches!(refused, Err(ProtocolError::Unavailable(_))), "{refused:?}");
}
