//! Traffic that rules change and that is recorded, without a network.

use armada_project::{Ceiling, Limits, RuleAction, RuleSettings, Sandbox};
use armada_protocol::RunId;
use async_compression::tokio::bufread::GzipEncoder;
use http::header::{AUTHORIZATION, COOKIE};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::*;

const URL: &str = "https://shop.example:443/search?q=a%20b&token=1";

impl Traffic {
    /// Traffic that nothing is done to.
    pub(crate) fn idle(grant: Arc<Grant>) -> Arc<Self> {
        Self::of(Vec::new(), 0, grant)
    }

    fn of(rules: Vec<RuleSettings>, record_har: u32, grant: Arc<Grant>) -> Arc<Self> {
        let (mut settings, _) = AgentSettings::from_message(&serde_json::Map::new()).unwrap();
        settings.traffic.rules = rules;
        settings.proxy.record_har = record_har;
        let monitoring = Arc::new(Monitoring::new(grant.clone(), std::env::temp_dir()));
        Arc::new(Self::with(&settings, grant, monitoring, Default::default()).unwrap())
    }
}

fn grant(change: impl FnOnce(&mut Limits)) -> Arc<Grant> {
    let mut limits = Limits::default();
    change(&mut limits);
    Arc::new(Grant::new(&Sandbox { limits, ..Sandbox::default() }, &Ceiling::none()))
}

/// Traffic of a job that is recorded with bodies.
fn recorded(rules: Vec<RuleSettings>, change: impl FnOnce(&mut Limits)) -> Arc<Traffic> {
    in_job(Traffic::of(rules, 2, grant(change)))
}

fn in_job(traffic: Arc<Traffic>) -> Arc<Traffic> {
    traffic.begin_job(Attempt { run: RunId::new(), job: uuid::Uuid::nil(), index: 0, number: 1, agent: 0 });
    traffic
}

fn post(body: &'static str) -> Request<Body> {
    let request = Request::post(URL).header(AUTHORIZATION, "Bearer x").header(COOKIE, "id=7").header("x-own", "1");
    request.body(whole(body.into())).unwrap()
}

/// Has a request answered like this; gives what the browser gets.
async fn exchange(traffic: &Arc<Traffic>, response: Response<Body>) -> Bytes {
    let mut passage = traffic.passage(URL).unwrap();
    let Ok(Onward::Send(request, None)) = passage.request(post("sent")).await else { panic!("it is not sent") };
    request.into_body().collect().await.unwrap();
    let response = passage.response(response).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn document(traffic: &Traffic) -> Value {
    let Recorded { records, left_out, .. } = traffic.state().job.take().unwrap();
    let document = har::document(&records, left_out, traffic.recording.unwrap(), &traffic.from_records).await;
    serde_json::from_str(&document).unwrap()
}

#[test]
fn what_nobody_is_interested_in_goes_by() {
    let rule = RuleSettings { urls: vec!["https://other.example/**".parse().unwrap()], action: RuleAction::Block };
    let traffic = Traffic::of(vec![rule], 0, grant(|_| {}));
    assert!(traffic.passage(URL).is_none());
    assert!(traffic.passage("https://other.example:443/x").is_some());
    let watch = traffic.watch("https://shop.example/search*", false).unwrap();
    assert!(traffic.passage(URL).is_some());
    drop(watch);
    assert!(traffic.passage(URL).is_none());
}

#[tokio::test]
async fn a_recording_has_what_went_by_and_no_authorisation() {
    let traffic = recorded(Vec::new(), |_| {});
    let mut compressed = Vec::new();
    GzipEncoder::new(b"plain text".as_slice()).read_to_end(&mut compressed).await.unwrap();
    let response = Response::builder().header(CONTENT_ENCODING, "gzip").header("set-cookie", "id=8");
    let got = exchange(&traffic, response.body(whole(compressed.clone().into())).unwrap()).await;
    assert_eq!(got, compressed, "what is recorded goes by as it is");
    exchange(&traffic, Response::new(whole(vec![0xff, 0].into()))).await;
    let log = document(&traffic).await["log"].take();
    assert_eq!((&log["version"], log["entries"].as_array().unwrap().len()), (&"1.2".into(), 2));
    let entry = &log["entries"][0];
    assert_eq!(entry["request"]["url"], "https://shop.example/search?q=a%20b&token=1");
    assert_eq!(entry["request"]["queryString"][0]["value"], "a b");
    assert_eq!(entry["request"]["postData"]["text"], "sent");
    assert_eq!(entry["response"]["content"]["text"], "plain text");
    assert_eq!(log["entries"][1]["response"]["content"]["encoding"], "base64");
    let told = log.to_string();
    assert!(!told.contains("Bearer") && !told.contains("id=7") && !told.contains("id=8"), "{told}");
    let headers = entry["request"]["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!({"name": "x-own", "value": "1"})));
}

#[tokio::test]
async fn a_recording_has_bodies_only_where_they_are_asked_for() {
    let traffic = in_job(Traffic::of(Vec::new(), 1, grant(|_| {})));
    exchange(&traffic, Response::new(whole("plain text".into()))).await;
    let document = document(&traffic).await;
    let entry = &document["log"]["entries"][0];
    assert_eq!((&entry["request"]["bodySize"], &entry["response"]["content"]["size"]), (&4.into(), &10.into()));
    assert_eq!(document["log"]["comment"], "");
    let told = document.to_string();
    assert!(!told.contains("plain text") && !told.contains("\"sent\""), "{told}");
}

#[tokio::test]
async fn bodies_that_are_too_long_are_left_out_and_so_is_what_there_is_no_room_for() {
    let traffic = recorded(Vec::new(), |limits| {
        (limits.traffic_body_bytes, limits.artifact_bytes_per_job) = (1_000, 4_000);
    });
    for _ in 0..20 {
        exchange(&traffic, Response::new(whole(vec![b'x'; 1_001].into()))).await;
    }
    let document = document(&traffic).await;
    let entries = document["log"]["entries"].as_array().unwrap();
    assert!(!entries.is_empty() && entries.len() < 20);
    assert_eq!(entries[0]["response"]["content"], serde_json::json!({"size": 1_001, "mimeType": ""}));
    let comment = document["log"]["comment"].as_str().unwrap();
    assert!(comment.starts_with(&format!("{} exchanges more are not here", 20 - entries.len())), "{comment}");
    assert!(document.to_string().len() <= 4_000);
}

#[tokio::test]
async fn what_breaks_off_says_so_in_a_recording() {
    let traffic = recorded(vec![RuleSettings { urls: Vec::new(), action: RuleAction::Block }], |_| {});
    let mut blocked = traffic.passage(URL).unwrap();
    assert!(matches!(blocked.request(post("")).await, Err(Stopped::Asked(_))));
    drop(blocked);
    drop(traffic.passage(URL).unwrap());
    let entries = document(&traffic).await["log"]["entries"].take();
    assert_eq!(entries[0]["response"]["_error"], "config_proxy.rules[0] blocks it");
    assert_eq!(
        (&entries[0]["response"]["status"], &entries[1]["response"]["_error"]),
        (&0.into(), &"the request broke off".into())
    );
}

#[tokio::test]
async fn why_a_request_was_stopped_is_told_once_and_to_its_own_job() {
    let traffic = recorded(vec![RuleSettings { urls: Vec::new(), action: RuleAction::Block }], |_| {});
    let stop = async || assert!(traffic.passage(URL).unwrap().request(post("")).await.is_err());
    stop().await;
    assert_eq!(traffic.stop_of(&format!("{URL}#top")).unwrap(), "config_proxy.rules[0] blocks it");
    assert_eq!(traffic.stop_of(URL), None);
    stop().await;
    traffic.begin_job(Attempt { run: RunId::new(), job: uuid::Uuid::nil(), index: 1, number: 1, agent: 0 });
    assert_eq!(traffic.stop_of(URL), None);
}

#[tokio::test]
async fn a_watch_that_is_not_read_keeps_no_more_than_it_may() {
    let traffic = Traffic::of(Vec::new(), 0, grant(|limits| limits.bytes_kept = 10_000));
    let watch = traffic.watch("**", true).unwrap();
    for _ in 0..40 {
        exchange(&traffic, Response::new(whole(vec![b'x'; 500].into()))).await;
    }
    let mut seen = 0;
    let lost = loop {
        match watch.next(None).await {
            Ok(exchange) => {
                assert_eq!(exchange.response_body.map(|body| body.len()), Some(500));
                seen += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(&lost, Error::Limit(why) if why.starts_with(&format!("{} exchanges", 40 - seen))), "{lost:?}");
    exchange(&traffic, Response::new(whole("again".into()))).await;
    assert!(watch.next(None).await.is_ok(), "there is room again");
}

#[tokio::test]
async fn what_is_watched_has_room_of_its_own_beside_a_recording() {
    let traffic = recorded(Vec::new(), |limits| limits.bytes_kept = 10_000);
    let watch = traffic.watch("**", false).unwrap();
    for _ in 0..100 {
        exchange(&traffic, Response::new(whole(vec![b'x'; 500].into()))).await;
        watch.next(None).await.unwrap();
    }
    let document = document(&traffic).await;
    let entries = document["log"]["entries"].as_array().unwrap();
    assert!(entries.len() == 100 && entries.iter().all(|entry| entry["response"]["content"]["text"].is_string()));
    assert_eq!(document["log"]["comment"], "");
}

#[tokio::test]
async fn a_recording_counts_all_that_it_takes_and_says_which_bodies_it_lacks() {
    let traffic = recorded(Vec::new(), |limits| limits.artifact_bytes_per_job = 100_000);
    for _ in 0..40 {
        let mut response = Response::new(whole(vec![b'x'; 20_000].into()));
        for number in 0..100 {
            response
                .headers_mut()
                .insert(http::HeaderName::try_from(format!("x{number}")).unwrap(), "".parse().unwrap());
        }
        exchange(&traffic, response).await;
    }
    let kept = traffic.state().job.as_ref().unwrap().records.len();
    assert!(kept < 15, "{kept} exchanges of some 10 kB of headers each are kept in 100 kB");
    let document = document(&traffic).await;
    let comment = document["log"]["comment"].as_str().unwrap();
    assert!(comment.contains("exchanges more are not here") && comment.contains("bodies are not here"), "{comment}");
}
