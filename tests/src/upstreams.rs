//! Upstream proxies, and a page that says who asks for it.
//!
//! Each proxy connects from a loopback address of its own, so that a page can tell which one a request has come
//! through, or that it has come through none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use armada_protocol::inventory::{Upstream, VerifyIp};
use armada_sites::upstream::{Carried, carry};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fast_socks5::Socks5Command;
use fast_socks5::server::Socks5ServerProtocol;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What the proxies want to be told.
pub const USER: &str = "agent";
/// The same; it must be found nowhere.
pub const PASSWORD: &str = "hush-hush";

/// What a proxy has done.
#[derive(Default)]
struct Counts {
    carried: AtomicUsize,
    refused: AtomicUsize,
}

/// A proxy on a free port of this machine, in a thread of its own. It ends with this.
pub struct UpstreamProxy {
    scheme: &'static str,
    address: SocketAddr,
    counts: Arc<Counts>,
    runtime: Arc<Mutex<Option<Runtime>>>,
    certificate: Option<String>,
}

impl UpstreamProxy {
    /// An HTTP proxy that connects from this address.
    pub fn http(from: &str) -> Self {
        Self::start("http", from, None)
    }

    /// A SOCKS5 proxy that connects from this address.
    pub fn socks5(from: &str) -> Self {
        Self::start("socks5", from, None)
    }

    /// An HTTP proxy in TLS that connects from this address. Its certificate is its own authority.
    pub fn https(from: &str) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let lines = BASE64_STANDARD.encode(own.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
        let key = own.signing_key.serialize_der().try_into().unwrap();
        let configuration =
            ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()));
        let configuration = configuration.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let configuration = configuration.with_single_cert(vec![own.cert.into()], key).unwrap();
        let mut proxy = Self::start("https", from, Some(TlsAcceptor::from(Arc::new(configuration))));
        proxy.certificate = Some(pem);
        proxy
    }

    fn start(scheme: &'static str, from: &str, tls: Option<TlsAcceptor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (from, counts): (IpAddr, _) = (from.parse().unwrap(), Arc::new(Counts::default()));
        let counted = counts.clone();
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (tls, counts) = (tls.clone(), counted.clone());
                tokio::spawn(async move {
                    // Whoever hangs up is told nothing.
                    let _ = match tls {
                        Some(tls) => match tls.accept(connection).await {
                            Ok(connection) => carry_http(connection, from, &counts).await,
                            Err(error) => Err(error),
                        },
                        None if scheme == "socks5" => carry_socks5(connection, from, &counts).await,
                        None => carry_http(connection, from, &counts).await,
                    };
                });
            }
        });
        Self { scheme, address, counts, runtime: Arc::new(Mutex::new(Some(runtime))), certificate: None }
    }

    /// Its entry in an inventory.
    pub fn entry(&self, name: &str, location: &str) -> Upstream {
        self.entry_with_password(name, location, PASSWORD)
    }

    /// The same with another password than the one it wants.
    pub fn entry_with_password(&self, name: &str, location: &str, password: &str) -> Upstream {
        Upstream {
            name: name.to_owned(),
            url: format!("{}://{USER}:{password}@{}", self.scheme, self.address).try_into().unwrap(),
            location: location.to_owned(),
            tags: Vec::new(),
            agents: None,
            resolve: Default::default(),
            exit_addresses: Vec::new(),
        }
    }

    /// How many connections it has carried.
    pub fn carried(&self) -> usize {
        self.counts.carried.load(Ordering::SeqCst)
    }

    /// How many connections did not have its credentials.
    pub fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// The authority of its certificate, as a PEM file has it.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap_or_default()
    }

    /// What ends it, with all its connections.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let runtime = self.runtime.clone();
        move || kill(&runtime)
    }
}

impl Drop for UpstreamProxy {
    fn drop(&mut self) {
        kill(&self.runtime);
    }
}

fn kill(runtime: &Mutex<Option<Runtime>>) {
    if let Some(runtime) = runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
        runtime.shutdown_background();
    }
}

/// Carries a connection that asks for it by `CONNECT`.
async fn carry_http(connection: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr, counts: &Counts) -> io::Result<()> {
    let connect = async |target: &str| connect(target, from).await;
    carry(connection, (USER, PASSWORD), connect, |carried| match carried {
        Carried::To(_) => drop(counts.carried.fetch_add(1, Ordering::SeqCst)),
        Carried::Refused => drop(counts.refused.fetch_add(1, Ordering::SeqCst)),
    })
    .await
}

/// Carries a connection that asks for it by SOCKS5.
async fn carry_socks5(connection: TcpStream, from: IpAddr, counts: &Counts) -> io::Result<()> {
    let is_known = |user: String, password: String| user == USER && password == PASSWORD;
    let Ok((entered, _)) = Socks5ServerProtocol::accept_password_auth(connection, is_known).await else {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    };
    let (reply, command, target) = entered.read_command().await.map_err(io::Error::other)?;
    assert_eq!(command, Socks5Command::TCPConnect);
    let (host, port) = target.into_string_and_port();
    let target = format!("{}:{port}", host.trim_matches(['[', ']']));
    let Ok(mut far) = connect(&target, from).await else {
        let refused = fast_socks5::ReplyError::HostUnreachable;
        return reply.reply_error(&refused).await.map_err(io::Error::other);
    };
    counts.carried.fetch_add(1, Ordering::SeqCst);
    let mut near = reply.reply_success(far.local_addr()?).await.map_err(io::Error::other)?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(|_| ())
}

async fn connect(target: &str, from: IpAddr) -> io::Result<TcpStream> {
    let mut addresses = tokio::net::lookup_host(target).await?.filter(SocketAddr::is_ipv4);
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(address).await
}

/// A page that says which address it is asked from. It ends with this.
pub struct AddressPage {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl AddressPage {
    /// Serves it on a free port of this machine.
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// The same, and whoever asks for a path has this called with it first.
    pub fn start_with(asked: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(asked);
        runtime.spawn(async move {
            while let Ok((connection, from)) = listener.accept().await {
                let asked = asked.clone();
                tokio::spawn(async move { answer(connection, from.ip(), &*asked).await });
            }
        });
        Self { address, runtime: Some(runtime) }
    }

    /// Where it is, under this host.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.address.port())
    }

    /// The same as where an operator has addresses looked up.
    pub fn verify_ip(&self) -> VerifyIp {
        VerifyIp { url: self.url("127.0.0.1").try_into().unwrap() }
    }
}

impl Drop for AddressPage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Answers the requests of a connection, which is kept open.
async fn answer(connection: TcpStream, from: IpAddr, asked: &(dyn Fn(&str) + Send + Sync)) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let mut request = String::new();
        if connection.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut line = request.clone();
        while !line.trim_end().is_empty() {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        asked(request.split(' ').nth(1).unwrap_or_default());
        let page = from.to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        connection.write_all(answer.as_bytes()).await?;
    }
}
