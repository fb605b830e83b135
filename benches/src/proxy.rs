//! The proxy of an agent's browser, which ends TLS on both sides: what a request costs on a connection that is kept,
//! what a new connection costs, and the memory of the process; against no proxy at all, against the library that such a
//! proxy is most simply made with, and against the program that most people take.
//!
//! One client and one server, the same for all of them, on this machine. Each proxy is a process of its own. Ours makes
//! a connection to the server for every one of its client's, and looks up whose that is; hudsucker keeps its
//! connections for all.

mod client;
mod server;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_host::measured::{InterceptingProxy, Runner};
use armada_project::{Ceiling, Grant, Sandbox};
use armada_tests::{guests, pypi, repository, target_folder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::client::Client;
use self::server::Server;
use crate::agent::proportional;
use crate::measure::Row;

/// The first argument of this program when it is our proxy.
pub(crate) const OURS: &str = "intercepting-proxy";

const MITMPROXY: &str = "mitmproxy==11.0.2";
const ROUNDS: usize = 7;
/// How many connections there are at once.
const CONNECTIONS: usize = 4;
/// How many requests each of them carries, where it is kept; and how many are made anew, each for one request.
const REQUESTS: usize = 250;
const ANEW: usize = 25;
/// How long a proxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way from the client to the server.
struct Way {
    name: &'static str,
    proxy: Option<Running>,
    kept: Vec<Duration>,
    anew: Vec<Duration>,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let client = Client::new(server.address)?;
    let way = |name, proxy| Way { name, proxy, kept: Vec::new(), anew: Vec::new() };
    let component = folder.path().join("traffic.wasm");
    std::fs::write(&component, guests::component("traffic"))?;
    let ours = |config: Value| Running::ours(&server, &component, &json!({"config_proxy": config}));
    // Ours are the first two.
    let mut ways = [
        way("ours", Some(ours(json!({}))?)),
        way("ours, with a modifier", Some(ours(json!({"modifiers": ["second"]}))?)),
        way("no proxy", None),
        way("hudsucker alone", Some(Running::hudsucker(&server)?)),
        way("mitmdump", Some(Running::mitmproxy(&server, folder.path())?)),
    ];
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let through = way.proxy.as_ref().map(|proxy| proxy.address);
            let time = |times, requests| {
                timed(&runtime, &client, through, times, requests).with_context(|| format!("by way of {}", way.name))
            };
            let (kept, anew) = (time(1, REQUESTS)?, time(ANEW, 1)?);
            // The first makes certificates and fills caches.
            if round > 0 {
                way.kept.push(kept);
                way.anew.push(anew);
            }
        }
    }
    let [ours, modified, peers @ ..] = &ways;
    let mut rows = Vec::new();
    for (what, of) in [
        ("proxy: request, connection kept", (|way| &way.kept) as fn(&Way) -> &Vec<Duration>),
        ("proxy: new TLS connection, a request", |way| &way.anew),
    ] {
        for peer in peers {
            let times = of(ours).iter().copied().zip(of(peer).iter().copied()).collect();
            rows.push(Row::new(what, peer.name, times, None));
        }
        let times = of(modified).iter().copied().zip(of(ours).iter().copied()).collect();
        rows.push(Row::new(format!("{what}, with a modifier"), ours.name, times, None));
    }
    let memory = |way: &Way| way.proxy.as_ref().map(|proxy| proportional(&[proxy.child.id()])).transpose();
    let our_memory = memory(ours)?.context("ours is a proxy")?;
    let modified_memory = memory(modified)?.context("ours is a proxy")?;
    rows.push(Row::bytes("proxy: memory after that, with a modifier", ours.name, (modified_memory, our_memory), None));
    for peer in peers {
        if let Some(memory) = memory(peer)? {
            rows.push(Row::bytes("proxy: memory after that", peer.name, (our_memory, memory), None));
        }
    }
    Ok(rows)
}

/// The time of one request, when every connection in turn is made so many times and carries so many requests.
fn timed(
    runtime: &Runtime,
    client: &Client,
    through: Option<SocketAddr>,
    times: usize,
    requests: usize,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    runtime.block_on(async {
        let one = || async {
            for _ in 0..times {
                client.request(through, requests).await?;
            }
            anyhow::Ok(())
        };
        futures::future::try_join_all((0..CONNECTIONS).map(|_| one())).await
    })?;
    let all = u32::try_from(CONNECTIONS * times * requests)?;
    Ok(started.elapsed() / all)
}

/// A proxy, which is gone with this.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// The proxy that agents have, configured by this agent message.
    fn ours(server: &Server, component: &Path, message: &Value) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(OURS).arg(&server.certificate).arg(component).arg(message.to_string());
        Self::telling_its_port(&mut command)
    }

    /// A proxy of hudsucker, which is compiled if it is not there.
    fn hudsucker(server: &Server) -> anyhow::Result<Self> {
        let target = target_folder().join("peers");
        eprintln!("compiling hudsucker, which may take some minutes");
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--locked", "--manifest-path"])
            .arg(repository().join("benches/peers/hudsucker/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()?;
        ensure!(built.success(), "hudsucker's peer did not compile");
        Self::telling_its_port(Command::new(target.join("release/hudsucker-peer")).arg(&server.certificate))
    }

    /// mitmproxy without its screens.
    fn mitmproxy(server: &Server, folder: &Path) -> anyhow::Result<Self> {
        let program = pypi::python_building(MITMPROXY, &["pyperclip"]).with_file_name("mitmdump");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let mut command = Command::new(program);
        command.args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port", &port.to_string()]);
        command.args(["--set", &option("confdir", folder.join("mitmproxy"))]);
        command.args(["--set", &option("ssl_verify_upstream_trusted_ca", server.certificate_as_text.clone())]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut running = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        let begun = Instant::now();
        while std::net::TcpStream::connect(running.address).is_err() {
            ensure!(running.child.try_wait()?.is_none(), "mitmdump has ended");
            ensure!(begun.elapsed() < PATIENCE, "mitmdump does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }

    fn telling_its_port(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut told = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut told)?;
        let port: u16 = told.trim().parse().context("the proxy did not say its port")?;
        Ok(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our proxy: `intercepting-proxy CERTIFICATE COMPONENT MESSAGE`. It ends when its standard input does.
pub(crate) fn run_ours(arguments: &[String]) -> anyhow::Result<()> {
    let [certificate, component, message] = arguments else {
        anyhow::bail!("{OURS} takes a certificate, a component and an agent message")
    };
    let (certificate, component) = (std::fs::read(certificate)?, std::fs::read(component)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let hosts = || "127.0.0.1:*".parse().map(|host| vec![host]);
    let sandbox = Sandbox { allowed_hosts: hosts()?, ..Sandbox::default() };
    let grant = Grant::new(&sandbox, &Ceiling { private_hosts: hosts()?, ..Ceiling::none() });
    let engine = armada_host::Sandbox::new()?;
    runtime.block_on(async {
        let runner = Runner::new(&engine, &component, grant, &serde_json::from_str(message)?)?;
        let proxy = InterceptingProxy::open(&runner, certificate).await.map_err(anyhow::Error::msg)?;
        println!("{}", proxy.address().port());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        proxy.close().await;
        Ok(())
    })
}
