//! What may be connected to, and the one way of connecting.
//!
//! A request is known by its URL, and is decided before it is made. A connection is known by host and port, and is
//! decided here when it is dialled: the grant allows the host, the name is resolved once, every address that it has is
//! public (or the operator has named the host as a private one), and the connection goes to one of the addresses that
//! were looked at. So no name can mean one thing when it is checked and another when it is used.
//!
//! Which way it goes there is not the script's business: directly, or through an upstream proxy, which is then given
//! the address that was looked at.

mod address;
mod connection;
mod trust;
pub(crate) mod upstream;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::Grant;
use armada_protocol::inventory::Resolve;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use url::Url;

use self::address::not_public;
pub(crate) use self::connection::Connection;
pub(crate) use self::trust::{Trust, TrustError, secure_http1};
use self::upstream::{Exit, Leased, Target, ThroughError};
use crate::contract::Error;

/// How long a connection may take to be made, its name to be resolved and another proxy to be leased included.
const CONNECTING: Duration = Duration::from_secs(60);
/// How long one of several addresses may take before the next is tried.
const ONE_ADDRESS: Duration = Duration::from_secs(10);
/// How long a connection is silent before the other side is asked whether it is there, and how often it is then: one
/// that has gone without a word is not waited for.
const SILENT: Duration = Duration::from_secs(60);
const ASKED_AGAIN: Duration = Duration::from_secs(15);
/// How many addresses of one name are tried.
const ADDRESSES: usize = 8;
/// How many proxies are tried when they fail.
const PROXIES: usize = 3;
/// How many hosts are remembered that could not be spoken with.
const FAILURES: usize = 100;

/// Which hosts may be reached.
pub(crate) struct Egress {
    grant: Arc<Grant>,
    exit: Arc<dyn Exit>,
    /// Why hosts could not be spoken with, by host and port, the newest last.
    failures: Mutex<VecDeque<(String, Error)>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// It is not allowed; in words.
    Refused(String),
    /// It could not be made.
    Failed(io::Error),
}

impl Egress {
    /// What this grant allows, directly.
    #[cfg(test)]
    pub(crate) fn new(grant: Arc<Grant>) -> Self {
        Self::through(grant, Arc::new(upstream::Direct))
    }

    /// What this grant allows, this way.
    pub(crate) fn through(grant: Arc<Grant>, exit: Arc<dyn Exit>) -> Self {
        Self { grant, exit, failures: Mutex::default() }
    }

    /// Parses a URL to go to.
    pub(crate) fn parse(&self, text: &str) -> Result<Url, Error> {
        let url = read_url(text)?;
        if url.as_str() == "about:blank" {
            return Ok(url);
        }
        if matches!(url.scheme(), "ws" | "wss") {
            return Err(Error::Denied(format!("{url} is no page: pages have the scheme `http` or `https`")));
        }
        self.allow(&url)?;
        Ok(url)
    }

    /// Lets a URL through that may be requested.
    pub(crate) fn allow(&self, url: &Url) -> Result<(), Error> {
        self.grant.check_url(url).map_err(|denied| Error::Denied(denied.to_string()))
    }

    /// Why a request may not be made, if it may not.
    pub(crate) fn refusal(&self, url: &str) -> Option<String> {
        let reason = match Url::parse(url) {
            Ok(parsed) => self.grant.check_url(&parsed).err()?.to_string(),
            Err(error) => error.to_string(),
        };
        Some(format!("blocked a request to {}: {reason}", shortened(url)))
    }

    /// Connects to a host by name or address, if some request to it may be made and it is where requests may go.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<Connection, DialError> {
        let place = place(host, port);
        let dialled = match self.connection_refusal(&place) {
            Some(refusal) => Err(DialError::Refused(refusal)),
            None => match tokio::time::timeout(CONNECTING, self.resolve_and_connect(host, port, &place)).await {
                Ok(dialled) => dialled,
                Err(_) => Err(DialError::Failed(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))),
            },
        };
        match &dialled {
            Ok(_) => self.failures().retain(|(other, _)| *other != place),
            Err(DialError::Refused(refusal)) => self.remember(host, port, Error::Denied(refusal.clone())),
            Err(DialError::Failed(error)) => {
                let reason = format!("could not connect to {place}: {error}");
                self.remember(host, port, Error::Unavailable(reason));
            }
        }
        dialled
    }

    async fn resolve_and_connect(&self, host: &str, port: u16, place: &str) -> Result<Connection, DialError> {
        let way = self.exit.current().await.map_err(no_way)?;
        let literal = host.parse::<IpAddr>().ok();
        let names = way.as_ref().is_some_and(|leased| leased.upstream.resolve == Resolve::Proxy);
        let addresses = match literal {
            Some(address) => vec![SocketAddr::new(address, port)],
            None if names => Vec::new(),
            None => tokio::net::lookup_host((host, port)).await.map_err(DialError::Failed)?.collect(),
        };
        if !self.reaches_private(place)
            && let Some((address, is)) = addresses.iter().find_map(|to| Some((to.ip(), not_public(to.ip())?)))
        {
            return Err(DialError::Refused(private_refusal(place, address, is)));
        }
        let Some(leased) = way else {
            return connect_to(addresses).await.map(Connection::new).map_err(DialError::Failed);
        };
        let targets: Vec<Target> = match literal {
            None if names => vec![Target::Name(host.to_owned(), port)],
            _ => addresses.into_iter().take(ADDRESSES).map(Target::Address).collect(),
        };
        self.connect_through(leased, &targets).await
    }

    /// Connects to one of these through a proxy, or through another one where that fails.
    async fn connect_through(&self, mut leased: Arc<Leased>, targets: &[Target]) -> Result<Connection, DialError> {
        let mut failed = "the name has no address".to_owned();
        let mut proxies = 1;
        let mut untried = targets.iter();
        let mut next = untried.next();
        while let Some(target) = next {
            match leased.connect(target).await {
                Ok(connection) => return Ok(connection),
                Err(ThroughError::Target(why)) => {
                    failed = format!("the upstream proxy `{}` does not get there: {why}", leased.upstream.name);
                    next = untried.next();
                    if next.is_none() && proxies < PROXIES && leased.reaches_nothing() {
                        let why = format!("it reaches nothing: {why}");
                        leased = self.exit.clone().another(leased, why).await.map_err(no_way)?;
                        proxies += 1;
                        untried = targets.iter();
                        next = untried.next();
                    }
                }
                Err(ThroughError::Proxy(why)) if proxies < PROXIES => {
                    leased = self.exit.clone().another(leased, why).await.map_err(no_way)?;
                    proxies += 1;
                }
                Err(ThroughError::Proxy(why)) => {
                    failed = format!("the upstream proxy `{}` fails: {why}", leased.upstream.name);
                    next = None;
                }
            }
        }
        Err(DialError::Failed(io::Error::other(failed)))
    }

    /// Remembers why a host cannot be spoken with, for whoever asks by URL; until it is connected to again.
    pub(crate) fn remember(&self, host: &str, port: u16, reason: Error) {
        let place = place(host, port);
        let mut failures = self.failures();
        failures.retain(|(other, _)| *other != place);
        if failures.len() >= FAILURES {
            failures.pop_front();
        }
        failures.push_back((place, reason));
    }

    fn failures(&self) -> MutexGuard<'_, VecDeque<(String, Error)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the host of this URL could not be spoken with when that was last tried.
    pub(crate) fn failure(&self, url: &str) -> Option<Error> {
        let url = Url::parse(url).ok()?;
        let place = place(url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
        let failures = self.failures();
        let (_, reason) = failures.iter().find(|(other, _)| *other == place)?;
        Some(reason.clone())
    }

    /// Why a connection to `host:port` may not be made, if no request there may.
    fn connection_refusal(&self, place: &str) -> Option<String> {
        let check = |url: Result<Url, url::ParseError>| match url {
            Ok(url) => self.grant.check_url(&url).map_err(|denied| denied.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let [https, http] = urls(place).map(check);
        let reason = https.or(http).err()?;
        Some(format!("blocked a connection to {}: {reason}", shortened(place)))
    }

    /// Whether the operator lets `host:port` be at an address that is not public.
    fn reaches_private(&self, place: &str) -> bool {
        urls(place).iter().flatten().any(|url| self.grant.allows_private(url))
    }
}

/// Reads a URL, whatever it is of.
pub(crate) fn read_url(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| {
        Error::Invalid(format!("{text:?} is no URL ({error}); write it in full, such as `https://example.com/`"))
    })
}

/// Connects to what the operator has named: an upstream proxy, a page that tells addresses, a database.
pub(crate) async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    connect_to(tokio::net::lookup_host((host, port)).await?.collect()).await
}

/// Connects to one of the addresses of a host.
async fn connect_to(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.into_iter().take(ADDRESSES) {
        match tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => {
                // Small requests are answered by small answers; whoever waits for more to send waits in vain.
                let _ = connection.set_nodelay(true);
                let asking = TcpKeepalive::new().with_time(SILENT).with_interval(ASKED_AGAIN);
                let _ = SockRef::from(&connection).set_tcp_keepalive(&asking);
                return Ok(connection);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        }
    }
    Err(failed)
}

/// There has to be an upstream proxy, and is none.
fn no_way(why: String) -> DialError {
    DialError::Failed(io::Error::other(why))
}

/// What requests to `host:port` look like: a port that is a scheme's own goes without saying in its URLs.
fn urls(place: &str) -> [Result<Url, url::ParseError>; 2] {
    ["https", "http"].map(|scheme| Url::parse(&format!("{scheme}://{place}/")))
}

/// Says that a host is where requests may not go.
fn private_refusal(place: &str, address: IpAddr, is: &str) -> String {
    let place = shortened(place);
    let at = if place.contains(&address.to_string()) { String::new() } else { format!("{address}, ") };
    format!(
        "blocked a connection to {place}: it is at {at}{is}, not on the public internet; an operator can allow it with \
         --private-host {place}"
    )
}

/// `host:port`, as URLs have it.
fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A URL without what may be secret or endless: query and fragment.
fn shortened(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    url.get(..end).unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use armada_project::{Ceiling, Sandbox};

    use super::*;

    fn egress(hosts: &[&str], private: &[&str]) -> Egress {
        let allowed_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let sandbox = Sandbox { allowed_hosts, ..Sandbox::default() };
        let private_hosts = private.iter().map(|host| host.parse().unwrap()).collect();
        Egress::new(Arc::new(Grant::new(&sandbox, &Ceiling { private_hosts, ..Ceiling::none() })))
    }

    async fn dialled(egress: &Egress, host: &str, port: u16) -> String {
        match egress.dial(host, port).await {
            Ok(_) => "connected".to_owned(),
            Err(DialError::Refused(refusal)) => refusal,
            Err(DialError::Failed(error)) => format!("failed: {error}"),
        }
    }

    #[test]
    fn connections_are_made_to_hosts_and_ports_that_requests_may_go_to() {
        let allowed = |hosts: &[&str], place: &str| egress(hosts, &[]).connection_refusal(place).is_none();
        assert!(allowed(&["a.com"], "a.com:80") && allowed(&["a.com"], "a.com:443"));
        assert!(!allowed(&["a.com"], "a.com:8080") && !allowed(&["a.com"], "b.com:443"));
        assert!(allowed(&["*:8080"], "b.com:8080") && !allowed(&["*:8080"], "b.com:8081"));
        assert!(!allowed(&["*:8080"], "[::1]:8081") && allowed(&["*:8080"], "[::1]:8080"));
        assert!(allowed(&["*.a.com:*"], "x.a.com:9") && !allowed(&["*.a.com"], "x.a.com:9"));
        assert!(!allowed(&["*"], "a..b:80") && !allowed(&[], "a.com:80"));
        let refusal = egress(&[], &[]).connection_refusal("127.0.0.1:9").unwrap();
        assert!(refusal.starts_with("blocked a connection to 127.0.0.1:9: ") && refusal.contains("\"127.0.0.1:9\""));
    }

    #[tokio::test]
    async fn what_could_not_be_connected_to_is_remembered() {
        let egress = egress(&["*"], &["127.0.0.1:*"]);
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(egress.dial("127.0.0.1", unused.port()).await, Err(DialError::Failed(_))));
        let reason = egress.failure(&format!("http://{unused}/x")).unwrap();
        assert!(matches!(&reason, Error::Unavailable(reason) if reason.contains("refused")), "{reason:?}");
        assert!(egress.failure("http://127.0.0.1:1/").is_none());
        assert!(egress.dial("127.0.0.2", 1).await.is_err());
        assert!(matches!(egress.failure("http://127.0.0.2:1/"), Some(Error::Denied(_))));
    }
    #[tokio::test]
    async fn connections_go_to_the_public_internet_or_where_the_operator_says() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let everywhere = egress(&["*"], &[]);
        for host in ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00::1"] {
            let refusal = dialled(&everywhere, host, port).await;
            let advice = refusal.contains("an operator can allow it with --private-host ");
            assert!(refusal.starts_with("blocked a connection to ") && advice, "{host}: {refusal}");
        }
        assert!(dialled(&everywhere, "127.0.0.1", port).await.contains("a loopback address"));
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "something arrived");

        let by_address = egress(&["*"], &[&format!("127.0.0.1:{port}")]);
        assert_eq!(dialled(&by_address, "127.0.0.1", port).await, "connected");
        assert!(listener.accept().is_ok());
        // What is private goes by the name that was asked for, not by where the name leads.
        assert!(dialled(&by_address, "localhost", port).await.contains("--private-host localhost:"));
        let not_asked = egress(&[], &["*"]);
        assert!(dialled(&not_asked, "127.0.0.1", port).await.contains("allowed_hosts"));
    }
}
