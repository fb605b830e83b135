//! Launches as clients send them, and as nobody should: over HTTP, through the server's own stack.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use armada_project::{Bundle, BundleLimits, Component, Digest, Project};
use axum::extract::{Path as InPath, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::http::Problem;

const TEMPLATE: &str = r#"{"run_message": {"number_of_agents": 2, "sandbox": {"capabilities": ["monitoring"]}},
    "default_agent_message": {}, "default_job_message": {"url": "$env_URL"}}"#;
const LIMITS: BundleLimits = BundleLimits { component: 64 << 10, json: 16 << 10, csv: 32 << 10 };
const BOUNDARY: &str = "b0undary";

/// A component that uses the browser and monitoring.
fn component() -> Vec<u8> {
    let text = r#"(component
        (import "armada:browser/browser@0.1.0" (instance))
        (import "armada:monitoring/monitoring@0.1.0" (instance $i))
        (export "armada:project/lifecycle@0.1.0" (instance $i)))"#;
    wat::parse_str(text).unwrap()
}

fn digest() -> String {
    Digest::of(&component()).to_string()
}

/// A bundle of a project with this template.
fn bundle(template: &str) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("prices");
    fs::create_dir_all(folder.join("config")).unwrap();
    fs::write(folder.join("ctx_script.rs"), "").unwrap();
    fs::write(folder.join("config/config_template.json"), template).unwrap();
    fs::write(folder.join("config/config_distant.json"), r#"{"URL": "distant"}"#).unwrap();
    fs::write(folder.join("config/config_local.json"), r#"{"URL": "local"}"#).unwrap();
    let mut bytes = Vec::new();
    let component = Component::read(component()).unwrap();
    Bundle::write(&Project::open(&folder).unwrap(), &component, &mut bytes).unwrap();
    bytes
}

/// A server that receives launches and components, and nothing else.
struct Server {
    data: TempDir,
    address: std::net::SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn launched(State(data): State<Arc<PathBuf>>, request: Request) -> Result<Response, Problem> {
    let inputs = Inputs::receive(request, &data, &LIMITS).await?;
    let run = inputs.run();
    let capabilities = inputs.capabilities(&inputs.grant(&Ceiling::none()));
    let answer = serde_json::json!({"run_id": run, "capabilities": capabilities, "project": inputs.project()});
    inputs.keep()?;
    Ok(Json(answer).into_response())
}

async fn stored(
    State(data): State<Arc<PathBuf>>,
    InPath(digest): InPath<String>,
    request: Request,
) -> Result<Json<bool>, Problem> {
    let digest =
        digest.parse().map_err(|error: armada_project::InvalidDigest| Problem::bad_request(error.to_string()))?;
    let (_, is_new) = receive_component(request.into_body(), digest, &data, LIMITS.component).await?;
    Ok(Json(is_new))
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", post(launched)).route("/components/{digest}", put(stored));
        let router = routes.with_state(Arc::new(data.path().to_owned()));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { data, address, serving }
    }

    /// Sends a request as it is; gives the status and the body of the answer.
    async fn send(&self, head: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has refused it already does not read on.
        let (mut reading, mut writing) = stream.split();
        let mut answer = Vec::new();
        let reply = async {
            let _ = reading.read_to_end(&mut answer).await;
        };
        let _ = tokio::join!(writing.write_all(body), reply);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    async fn launch(&self, parts: &[(&str, &[u8])]) -> (u16, serde_json::Value) {
        self.send(&format!("POST / HTTP/1.1\r\n{}", form_type()), &form(parts)).await
    }

    /// Sends a launch that is refused with this status. Gives what is wrong, and sees to it that nothing is left of it.
    async fn refused(&self, status: u16, parts: &[(&str, &[u8])]) -> String {
        let (got, problem) = self.launch(parts).await;
        assert_eq!(got, status, "{problem}");
        assert_eq!(problem["status"], status);
        self.assert_empty();
        problem.to_string()
    }

    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, files),
                    false => files.push(path),
                }
            }
        }
        let mut files = Vec::new();
        walk(self.data.path(), &mut files);
        files
    }

    fn assert_empty(&self) {
        assert_eq!(self.files(), Vec::<PathBuf>::new());
        let uploads = self.data.path().join("uploads");
        assert!(!uploads.exists() || fs::read_dir(uploads).unwrap().next().is_none());
        assert!(!self.data.path().join("runs").exists());
    }
}

fn form_type() -> String {
    format!("content-type: multipart/form-data; boundary={BOUNDARY}")
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

const TUNE: (&str, &[u8]) = ("configtune", br#"{"URL": "http://a.example/"}"#);
const JOBS: (&str, &[u8]) = ("data_job", b"place\nhere\nthere\n");

#[tokio::test]
async fn a_launch_is_kept_as_files_and_read_again() {
    let server = Server::start().await;
    let component = component();
    let options = br#"{"project": "prices", "agents": 1}"#.as_slice();
    let parts = [
        ("configtemplate", TEMPLATE.as_bytes()),
        TUNE,
        JOBS,
        ("data_agent", b""),
        ("requirements_txt", b"\n"),
        ("component", &component),
        ("options", options),
    ];
    let (status, answer) = server.launch(&parts).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["project"], "prices");
    assert_eq!(answer["capabilities"][0]["granted"], false);
    assert!(answer["capabilities"][0]["message"].as_str().unwrap().contains(r#"add "browser" to run_message"#));
    assert_eq!(
        (&answer["capabilities"][1]["capability"], &answer["capabilities"][1]["granted"]),
        (&"monitoring".into(), &true.into())
    );

    let run: RunId = serde_json::from_value(answer["run_id"].clone()).unwrap();
    let inputs = Inputs::open(server.data.path(), run).unwrap();
    assert_eq!((inputs.run(), inputs.project()), (run, "prices"));
    let configuration = inputs.configuration();
    assert_eq!((configuration.number_of_agents(), configuration.number_of_jobs()), (1, 2));
    let job = configuration.job_message(1).unwrap();
    assert_eq!((&job["url"], &job["place"]), (&"http://a.example/".into(), &"there".into()));
    assert_eq!(inputs.component_bytes().await.unwrap(), component);
    assert_eq!(inputs.capabilities(&inputs.grant(&Ceiling::none())).len(), 2);

    let copy = inputs.copy().unwrap();
    let again = copy.run();
    assert_ne!(again, run);
    copy.keep().unwrap();
    // Whatever becomes of the first run, the other one has its own.
    fs::remove_dir_all(Inputs::folder(server.data.path(), run)).unwrap();
    let again = Inputs::open(server.data.path(), again).unwrap();
    assert_eq!(again.configuration().jobs().count(), 2);
    assert!(fs::read_dir(server.data.path().join("uploads")).unwrap().next().is_none());
}

#[tokio::test]
async fn what_was_received_and_not_kept_is_gone_and_so_is_what_a_killed_server_left() {
    let data = tempfile::tempdir().unwrap();
    let request = |body: Vec<u8>| {
        let request = Request::builder().header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
        request.body(body.into()).unwrap()
    };
    let component = component();
    let body = form(&[("configtemplate", TEMPLATE.as_bytes()), TUNE, ("component", &component)]);
    let inputs = Inputs::receive(request(body), data.path(), &LIMITS).await.unwrap();
    drop(inputs);
    assert!(fs::read_dir(data.path().join("uploads")).unwrap().next().is_none());
    fs::create_dir_all(data.path().join("uploads/left/config")).unwrap();
    sweep(data.path()).unwrap();
    sweep(data.path()).unwrap();
    assert!(!data.path().join("uploads").exists());
}

#[tokio::test]
async fn a_component_that_the_server_has_is_named_by_its_digest() {
    let server = Server::start().await;
    let (digest, component) = (digest(), component());
    let parts = [("configtemplate", TEMPLATE.as_bytes()), TUNE, ("component_digest", digest.as_bytes())];
    let said = server.refused(422, &parts).await;
    assert!(said.contains("does not have this component"), "{said}");
    let path = format!("PUT /components/{digest} HTTP/1.1\r\ncontent-type: application/wasm");
    assert_eq!(server.send(&path, &component).await, (200, true.into()));
    assert_eq!(server.send(&path, &component).await, (200, false.into()));
    let known = digest.parse().unwrap();
    assert_eq!(find_component(server.data.path(), known).unwrap(), Some(component.len() as u64));
    assert_eq!(find_component(server.data.path(), Digest::of(b"other")).unwrap(), None);
    assert_eq!(server.launch(&parts).await.0, 200);
}

#[tokio::test]
async fn a_component_that_is_not_what_it_is_called_is_not_taken() {
    let server = Server::start().await;
    let path = |digest: &str| format!("PUT /components/{digest} HTTP/1.1");
    let other = Digest::of(b"other").to_string();
    assert_eq!(server.send(&path(&other), &component()).await.0, 422);
    assert_eq!(server.send(&path("sha256:x"), &component()).await.0, 400);
    assert_eq!(server.send(&path(&Digest::of(b"\0asm").to_string()), b"\0asm").await.0, 422);
    assert_eq!(server.send(&path(&digest()), &vec![0; 65 << 10]).await.0, 413);
    server.assert_empty();
}

#[tokio::test]
async fn a_bundle_has_everything_and_the_mode_says_which_tune_file_holds() {
    let server = Server::start().await;
    let bundle = bundle(TEMPLATE);
    for (options, url) in [("", "distant"), (r#"{"mode": "local"}"#, "local")] {
        let (status, answer) = server.launch(&[("bundle", &bundle), ("options", options.as_bytes())]).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["project"], "prices");
        let run = serde_json::from_value(answer["run_id"].clone()).unwrap();
        let inputs = Inputs::open(server.data.path(), run).unwrap();
        assert_eq!(inputs.configuration().job_message(0).unwrap()["url"], url);
        let mut left: Vec<_> = fs::read_dir(Inputs::folder(server.data.path(), run))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["config", "options.json"]);
    }
    // One component, for both.
    assert_eq!(fs::read_dir(server.data.path().join("components")).unwrap().count(), 1);
}

#[tokio::test]
async fn every_mistake_is_told_at_once_with_its_place() {
    let server = Server::start().await;
    let template = TEMPLATE.replace(r#""number_of_agents": 2"#, r#""number_of_agents": 0"#);
    let said = server
        .refused(
            422,
            &[
                ("configtemplate", template.as_bytes()),
                ("data_job", b"a,b\n1\n"),
                ("requirements_txt", b"requests"),
                ("component", b"\0asm\x01\0\0\0"),
                ("options", br#"{"mode": "local", "colour": 1}"#),
            ],
        )
        .await;
    for wrong in [
        "compiled into the component",
        "core Wasm module",
        "`colour`",
        r#""file":"config/config_template.json","line":1"#,
        r#""file":"config/data_job.csv""#,
    ] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn parts_that_are_unknown_repeated_missing_or_too_many_are_named() {
    let server = Server::start().await;
    let (component, bundle, digest) = (component(), bundle(TEMPLATE), digest());
    let template = ("configtemplate", TEMPLATE.as_bytes());
    let program = ("component", component.as_slice());
    for (status, named, parts) in [
        (400, "\\\"code\\\"", vec![template, ("code", b"x"), program]),
        (400, "\\\"\\\"", vec![("", b"x")]),
        (400, "`configtemplate` is there twice", vec![template, template, program]),
        (400, "`data_job` is there twice", vec![("data_job", b""), ("data_job", b"")]),
        (422, "there is no component", vec![template, TUNE]),
        (422, "there is no configuration", vec![program]),
        (422, "`component_digest` too", vec![template, TUNE, program, ("component_digest", digest.as_bytes())]),
        (422, "there is a `bundle` too", vec![template, ("bundle", bundle.as_slice())]),
        (422, "component_digest", vec![template, TUNE, ("component_digest", b"sha256:1")]),
        (422, "there is no component", vec![]),
        (422, "there is nothing in it", vec![("bundle", b"")]),
        (422, "it does not begin as WebAssembly does", vec![template, TUNE, ("component", b"PNG")]),
        (422, "send config/config_distant.json as the part `configtune`", vec![template, program]),
        (422, "give it in `set` of the part `options`", vec![template, program, ("configtune", b"{}")]),
        (422, "is a name", vec![("bundle", bundle.as_slice()), ("options", br#"{"project": " "}"#)]),
        (422, "\"options\"", vec![("bundle", bundle.as_slice()), ("options", b"[")]),
        (422, "--agents", vec![("bundle", bundle.as_slice()), ("options", br#"{"agents": 0}"#)]),
    ] {
        let said = server.refused(status, &parts).await;
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[tokio::test]
async fn parts_that_are_too_large_are_refused_by_name() {
    let server = Server::start().await;
    let large = vec![b' '; 2 << 20];
    for part in [
        "configtemplate",
        "configtune",
        "data_job",
        "data_agent",
        "component",
        "bundle",
        "options",
        "component_digest",
        "requirements_txt",
    ] {
        let said = server.refused(413, &[(part, &large)]).await;
        assert!(said.contains(&format!("`{part}`")), "{said}");
    }
    // Within the limit of the whole, but not within its own.
    let said = server.refused(413, &[("bundle", &bundle(&" ".repeat(17 << 10)))]).await;
    assert!(said.contains("config_template.json of `bundle`"), "{said}");
}

#[tokio::test]
async fn what_is_no_component_of_a_project_is_refused() {
    let server = Server::start().await;
    let stranger = r#"(component (import "evil:door/shell@1.0.0" (instance $i))
        (export "armada:project/lifecycle@0.1.0" (instance $i)))"#;
    let stranger = wat::parse_str(stranger).unwrap();
    let whole = component();
    let cut = &whole[..whole.len() - 3];
    for (bytes, why) in [
        (b"\x7fELF\x02\x01\x01".as_slice(), "precompiled"),
        (b"\0asm\x01\0\0\0", "core Wasm module"),
        (b"\0asm\x0d\0\x01\0", "does not export"),
        (b"#!/bin/sh", "not a Wasm component"),
        (cut, "not a Wasm component"),
        (&stranger, "evil:door/shell@1.0.0"),
    ] {
        let said = server.refused(422, &[("configtemplate", TEMPLATE.as_bytes()), TUNE, ("component", bytes)]).await;
        assert!(said.contains(why), "{why}: {said}");
    }
    for (bytes, why) in [(b"PK\x03\x04".as_slice(), "not a bundle"), (&bundle(TEMPLATE)[..3000], "damaged")] {
        let said = server.refused(422, &[("bundle", bytes)]).await;
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_or_broken_is_a_mistake_of_the_client() {
    let server = Server::start().await;
    let whole = form(&[("configtemplate", TEMPLATE.as_bytes())]);
    let head = format!("POST / HTTP/1.1\r\n{}", form_type());
    for (status, head, body) in [
        (415, "POST / HTTP/1.1\r\ncontent-type: application/json", b"{}".as_slice()),
        (415, "POST / HTTP/1.1\r\ncontent-type: multipart/form-data", &whole),
        (400, &head, &whole[..whole.len() - 20]),
        (400, &head, b""),
        (400, &head, b"no parts at all"),
        // Neither a preamble nor a header without end is kept in memory.
        (400, &head, &vec![b'x'; 4 << 20]),
        (400, &head, &[format!("--{BOUNDARY}\r\nx: ").as_bytes(), &vec![b'x'; 4 << 20]].concat()),
    ] {
        let (got, problem) = server.send(head, body).await;
        assert_eq!(got, status, "{problem}");
        server.assert_empty();
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_goes_away() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = form(&[("configtemplate", TEMPLATE.as_bytes()), ("component", &[0; 60 << 10])]);
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{}\r\ncontent-length: {}\r\n\r\n", form_type(), body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..body.len() - 100]).await.unwrap();
    // It has begun before the client goes.
    until(|| server.files().iter().any(|file| file.ends_with("component"))).await;
    drop(stream);
    until(|| server.files().is_empty()).await;
    server.assert_empty();
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never was");
}

/// Lets it be long ago that somebody was told of any component.
fn age_components(data: &Path) {
    for file in fs::read_dir(data.join("components")).unwrap() {
        let file = fs::File::open(file.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
    }
}

#[tokio::test]
async fn a_component_stays_while_a_run_was_launched_with_it_or_somebody_may_launch_one() {
    let server = Server::start().await;
    let data = server.data.path();
    let put = format!("PUT /components/{} HTTP/1.1", digest());
    let has = || find_component(data, Digest::of(&component())).unwrap().is_some();
    assert_eq!(remove_unused_components(data).unwrap(), 0, "there is nothing yet");

    assert_eq!(server.send(&put, &component()).await, (200, true.into()));
    fs::write(data.join("components/notes.txt"), "of somebody").unwrap();
    assert_eq!(remove_unused_components(data).unwrap(), 0, "it was just sent");
    age_components(data);
    assert_eq!(server.send(&put, &component()).await, (200, false.into()));
    assert_eq!(remove_unused_components(data).unwrap(), 0, "it was sent again");
    age_components(data);
    assert!(has());
    assert_eq!(remove_unused_components(data).unwrap(), 0, "somebody has asked for it");
    age_components(data);
    assert_eq!(remove_unused_components(data).unwrap(), 1);
    assert!(!has());
    assert!(data.join("components/notes.txt").is_file());

    assert_eq!(server.send(&put, &component()).await, (200, true.into()));
    age_components(data);
    let digest = digest();
    let parts = [("configtemplate", TEMPLATE.as_bytes()), TUNE, ("component_digest", digest.as_bytes())];
    let (status, mistaken) = server.launch(&[("component_digest", digest.as_bytes())]).await;
    assert_eq!(status, 422, "{mistaken}");
    assert_eq!(remove_unused_components(data).unwrap(), 0, "a launch was tried with it");
    age_components(data);
    let (status, launched) = server.launch(&parts).await;
    assert_eq!(status, 200, "{launched}");
    age_components(data);
    assert_eq!(remove_unused_components(data).unwrap(), 0, "a run was launched with it");
    let run: RunId = launched["run_id"].as_str().unwrap().parse().unwrap();
    age_components(data);
    let again = Inputs::open(data, run).unwrap().copy().unwrap();
    fs::remove_dir_all(Inputs::folder(data, run)).unwrap();
    assert_eq!(remove_unused_components(data).unwrap(), 0, "another run is being launched with it");
    drop(again);
    age_components(data);
    assert_eq!(remove_unused_components(data).unwrap(), 1);
}
