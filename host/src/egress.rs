//! What may be connected to, and the one way of connecting.
//!
//! A request is known by its URL, and is decided before it is made. What a browser does beside requests (WebSockets,
//! WebRTC over TCP, connections made ahead of need) is known only by host and port, and is decided here when it is
//! dialled. Both ask the same grant.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armada_project::Grant;
use tokio::net::TcpStream;
use url::Url;

use crate::contract::Error;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(30);
/// How many connections that could not be made are remembered.
const FAILURES: usize = 100;

/// Which hosts may be reached.
pub(crate) struct Egress {
    grant: Arc<Grant>,
    /// Why connections could not be made, by host and port, the newest last.
    failures: Mutex<VecDeque<(String, String)>>,
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
    /// What this grant allows.
    pub(crate) fn new(grant: Arc<Grant>) -> Self {
        Self { grant, failures: Mutex::default() }
    }

    /// Parses a URL to go to.
    pub(crate) fn parse(&self, text: &str) -> Result<Url, Error> {
        let url = Url::parse(text).map_err(|error| {
            Error::Invalid(format!("{text:?} is no URL ({error}); write it in full, such as `https://example.com/`"))
        })?;
        if url.as_str() != "about:blank" {
            self.allow(&url)?;
        }
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

    /// Connects to a host by name or address, if some request to it may be made.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let place = place(host, port);
        if let Some(refusal) = self.connection_refusal(&place) {
            return Err(DialError::Refused(refusal));
        }
        let connected = match tokio::time::timeout(CONNECTING, TcpStream::connect((host, port))).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        connected.map_err(|error| {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.retain(|(other, _)| *other != place);
            if failures.len() >= FAILURES {
                failures.pop_front();
            }
            failures.push_back((place, error.to_string()));
            DialError::Failed(error)
        })
    }

    /// Why the host of this URL could not be connected to when that was last tried in vain.
    pub(crate) fn failure(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let place = place(url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, reason) = failures.iter().find(|(other, _)| *other == place)?;
        Some(format!("could not connect to {place}: {reason}"))
    }

    /// Why a connection to `host:port` may not be made, if no request there may.
    fn connection_refusal(&self, place: &str) -> Option<String> {
        let check = |scheme: &str| match Url::parse(&format!("{scheme}://{place}/")) {
            Ok(url) => self.grant.check_url(&url).map_err(|denied| denied.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let reason = check("https").or_else(|_| check("http")).err()?;
        Some(format!("blocked a connection to {}: {reason}", shortened(place)))
    }
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
    use armada_project::{Ceiling, Limits, Sandbox};

    use super::*;

    fn egress(hosts: &[&str]) -> Egress {
        let allowed_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let sandbox = Sandbox { capabilities: Default::default(), allowed_hosts, limits: Limits::default() };
        Egress::new(Arc::new(Grant::new(&sandbox, &Ceiling::none())))
    }

    #[test]
    fn connections_are_made_to_hosts_and_ports_that_requests_may_go_to() {
        let allowed = |hosts: &[&str], place: &str| egress(hosts).connection_refusal(place).is_none();
        assert!(allowed(&["a.com"], "a.com:80") && allowed(&["a.com"], "a.com:443"));
        assert!(!allowed(&["a.com"], "a.com:8080") && !allowed(&["a.com"], "b.com:443"));
        assert!(allowed(&["*:8080"], "b.com:8080") && !allowed(&["*:8080"], "b.com:8081"));
        assert!(!allowed(&["*:8080"], "[::1]:8081") && allowed(&["*:8080"], "[::1]:8080"));
        assert!(allowed(&["*.a.com:*"], "x.a.com:9") && !allowed(&["*.a.com"], "x.a.com:9"));
        assert!(!allowed(&["*"], "a..b:80") && !allowed(&[], "a.com:80"));
        let refusal = egress(&[]).connection_refusal("127.0.0.1:9").unwrap();
        assert!(refusal.starts_with("blocked a connection to 127.0.0.1:9: ") && refusal.contains("\"127.0.0.1:9\""));
    }

    #[tokio::test]
    async fn what_could_not_be_connected_to_is_remembered() {
        let egress = egress(&["*"]);
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(egress.dial("127.0.0.1", unused.port()).await, Err(DialError::Failed(_))));
        let reason = egress.failure(&format!("http://{unused}/x")).unwrap();
        assert!(reason.contains("refused"), "{reason}");
        assert_eq!(egress.failure("http://127.0.0.1:1/"), None);
    }
}
