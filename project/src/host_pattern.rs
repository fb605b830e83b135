//! Which hosts a run may reach, parsed once into something that can only be compared.
//!
//! Hosts are compared as the URL standard reads them, never as text: names become lower-case ASCII, and every way to
//! write an IPv4 address becomes the address. So a pattern and a URL that mean one host cannot differ by spelling.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::suggest::quoted;

/// A host, or a set of hosts, and a port: one entry of `run_message.sandbox.allowed_hosts`.
///
/// | text | allows |
/// |---|---|
/// | `example.com` | this host at its scheme's default port: 80 for http and ws, 443 for https and wss |
/// | `example.com:8080` | this host at this port |
/// | `example.com:*` | this host at any port |
/// | `*.example.com` | every sub-domain, however deep, but not `example.com` itself; ports as above |
/// | `127.0.0.1`, `[::1]:8000` | an address; ports as above |
/// | `*`, `*:8080` | any host at any port, any host at this port |
///
/// Only http, https, ws and wss URLs are ever allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostPattern {
    hosts: Hosts,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    Any,
    /// The sub-domains of this name.
    Under(String),
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Port {
    /// The default of the URL's scheme.
    OfScheme,
    Any,
    Exactly(u16),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostPatternError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl HostPattern {
    /// Whether a request to `url` is covered.
    pub fn allows(&self, url: &Url) -> bool {
        if !is_web(url) {
            return false;
        }
        let Some(host) = url.host() else { return false };
        let host_matches = match (&self.hosts, host) {
            (Hosts::Any, _) => true,
            (Hosts::Name(name), Host::Domain(domain)) => name == without_root(domain),
            (Hosts::Under(name), Host::Domain(domain)) => without_root(domain)
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            (Hosts::V4(address), Host::Ipv4(host)) => *address == host,
            (Hosts::V6(address), Host::Ipv6(host)) => *address == host,
            _ => false,
        };
        host_matches
            && match self.port {
                Port::Any => true,
                // A URL forgets a port that is its scheme's default.
                Port::OfScheme => url.port().is_none(),
                Port::Exactly(port) => url.port_or_known_default() == Some(port),
            }
    }

    /// The narrowest pattern that covers `url`: what to add for it to be allowed.
    pub fn for_url(url: &Url) -> Option<HostPattern> {
        let hosts = Hosts::of(url.host()?.to_owned())?;
        let port = match url.port() {
            None => Port::OfScheme,
            // No server is at port 0, and no pattern names it.
            Some(0) => return None,
            Some(port) => Port::Exactly(port),
        };
        let pattern = HostPattern { hosts, port };
        pattern.allows(url).then_some(pattern)
    }
}

/// Whether a URL's scheme is one of the four that can ever be allowed.
pub(crate) fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "ws" | "wss")
}

impl Hosts {
    fn of(host: Host<String>) -> Option<Hosts> {
        match host {
            Host::Domain(name) => {
                let name = without_root(&name);
                // The URL standard has names with nothing between dots; no server has one.
                name.split('.').all(|label| !label.is_empty()).then(|| Hosts::Name(name.to_owned()))
            }
            Host::Ipv4(address) => Some(Hosts::V4(address)),
            Host::Ipv6(address) => Some(Hosts::V6(address)),
        }
    }
}

/// `example.com.` is `example.com`, said with the root of the name system.
fn without_root(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<HostPattern, HostPatternError> {
        let error = |message: String, help: Option<String>| Err(HostPatternError { message, help });
        if text.is_empty() {
            return error("a host must not be empty".to_owned(), Some("`*` stands for any host".to_owned()));
        }
        if text.contains(['/', '\\', '?', '#', '@', '%']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let instead = instead_of(text).map(|instead| format!("write `{instead}`"));
            return error(format!("{} is not a host: only a name or address, and a port", quoted(text)), instead);
        }
        let (host, port) = split_port(text)?;
        let port = match port {
            None if host == "*" => Port::Any,
            None => Port::OfScheme,
            Some("*") => Port::Any,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Port::Exactly(port),
                _ => {
                    let help = "a port is a number from 1 to 65,535, or `*` for any".to_owned();
                    return error(format!("{} is not a port", quoted(digits)), Some(help));
                }
            },
        };
        let hosts = match host.strip_prefix("*.") {
            _ if host == "*" => Some(Hosts::Any),
            None => parse_host(host),
            Some(rest) => match parse_host(rest) {
                Some(Hosts::Name(name)) => Some(Hosts::Under(name)),
                _ => None,
            },
        };
        match hosts {
            Some(hosts) => Ok(HostPattern { hosts, port }),
            None if host.contains('*') => error(
                format!("{} is not a host pattern", quoted(text)),
                Some("`*` stands alone for any host, or in front of a name as in `*.example.com`".to_owned()),
            ),
            None => error(format!("{} is not a host name or address", quoted(host)), None),
        }
    }
}

fn parse_host(host: &str) -> Option<Hosts> {
    // The URL standard lets `*` be part of a name, which nobody's name is.
    if host.contains('*') {
        return None;
    }
    Host::parse(host).ok().and_then(Hosts::of)
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), HostPatternError> {
    if let Some((address, rest)) = text.split_once(']') {
        let host = text.get(..address.len() + 1).unwrap_or(text);
        return match (rest.is_empty(), rest.strip_prefix(':')) {
            (true, _) => Ok((host, None)),
            (false, Some(port)) => Ok((host, Some(port))),
            (false, None) => Err(HostPatternError {
                message: format!("{} is not a host", quoted(text)),
                help: Some("an IPv6 address and a port are written as in `[::1]:8000`".to_owned()),
            }),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, port)) if port.contains(':') => Err(HostPatternError {
            message: format!("{} is not a host and a port", quoted(text)),
            help: text
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| format!("write an IPv6 address in brackets: `[{address}]`")),
        }),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// What somebody meant who wrote a URL, or a host with a path.
fn instead_of(text: &str) -> Option<HostPattern> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    let url = url.ok()?;
    let wildcard = url.host_str()?.contains('*');
    if wildcard {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        return format!("{}{port}", url.host_str()?).parse().ok();
    }
    HostPattern::for_url(&url)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Under(name) => write!(f, "*.{name}")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::V4(address) => write!(f, "{address}")?,
            Hosts::V6(address) => write!(f, "[{address}]")?,
        }
        match (&self.hosts, self.port) {
            (Hosts::Any, Port::Any) | (_, Port::OfScheme) => Ok(()),
            (_, Port::Any) => f.write_str(":*"),
            (_, Port::Exactly(port)) => write!(f, ":{port}"),
        }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.to_string()
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<HostPattern, HostPatternError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().allows(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_name_is_allowed_at_the_default_port_of_its_scheme() {
        for url in ["http://example.com/", "https://example.com/a?b#c", "ws://example.com", "wss://EXAMPLE.com:443/"] {
            assert!(allows("example.com", url), "{url}");
        }
        for url in [
            "http://example.com:443/",
            "https://example.com:80/",
            "https://example.com:8443/",
            "https://www.example.com/",
            "https://example.com.evil.org/",
            "https://notexample.com/",
            "https://example.com@evil.org/",
            "https://evil.org/example.com",
            "https://evil.org#example.com",
            "ftp://example.com/",
            "file://example.com/etc/passwd",
            "data:text/html,example.com",
            "about:blank",
        ] {
            assert!(!allows("example.com", url), "{url}");
        }
    }

    #[test]
    fn ports_are_exact_or_any() {
        assert!(allows("example.com:8080", "http://example.com:8080/"));
        assert!(!allows("example.com:8080", "http://example.com/"));
        assert!(allows("example.com:443", "https://example.com/"));
        assert!(allows("example.com:443", "http://example.com:443/"));
        assert!(!allows("example.com:443", "http://example.com/"));
        assert!(allows("example.com:*", "http://example.com:1/"));
        assert!(allows("example.com:*", "http://example.com/"));
    }

    #[test]
    fn sub_domains_are_of_any_depth_and_not_the_domain_itself() {
        for (url, expected) in [
            ("https://a.example.com/", true),
            ("https://a.b.c.example.com/", true),
            ("https://a.example.com./", true),
            ("https://example.com/", false),
            ("https://aexample.com/", false),
            ("https://a.example.com:8443/", false),
            ("https://example.com.a/", false),
        ] {
            assert_eq!(allows("*.example.com", url), expected, "{url}");
        }
        assert!(allows("*.example.com:*", "http://a.example.com:99/"));
    }

    #[test]
    fn a_star_is_any_host_at_any_port() {
        assert!(allows("*", "http://10.0.0.1:99/"));
        assert!(allows("*", "https://[::1]/"));
        assert!(allows("*:8080", "http://x:8080/"));
        assert!(!allows("*:8080", "http://x/"));
        assert!(!allows("*", "file:///etc/hostname"));
        assert!(!allows("*", "javascript:alert(1)"));
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        for url in
            ["http://127.0.0.1:80/", "http://127.1/", "http://0x7f.1/", "http://2130706433/", "http://127.0.0.1./"]
        {
            assert!(allows("127.0.0.1", url), "{url}");
            assert!(!allows("127.0.0.2", url), "{url}");
            assert!(!allows("*.0.0.1.example", url), "{url}");
        }
        assert!(allows("[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000/"));
        assert!(!allows("[::1]:8000", "http://[::2]:8000/"));
        assert!(!allows("127.0.0.1", "http://[::ffff:127.0.0.1]/"));
    }

    #[test]
    fn a_pattern_has_one_text() {
        for (text, canonical) in [
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("Bücher.example:8080", "xn--bcher-kva.example:8080"),
            ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
            ("0x7f.1", "127.0.0.1"),
            ("[0:0::1]:80", "[::1]:80"),
            ("*:*", "*"),
            ("example.com:*", "example.com:*"),
            ("example.com:0080", "example.com:80"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn what_is_no_pattern_says_what_to_write() {
        for (text, help) in [
            ("", "`*` stands for any host"),
            ("https://example.com/path", "write `example.com`"),
            ("http://example.com:8080", "write `example.com:8080`"),
            ("example.com/path", "write `example.com`"),
            ("https://*.example.com", "write `*.example.com`"),
            ("user@example.com", "write `example.com`"),
            (" example.com", "write `example.com`"),
            ("::1", "write an IPv6 address in brackets: `[::1]`"),
            ("[::1]8000", "an IPv6 address and a port are written as in `[::1]:8000`"),
            ("example.com:http", "a port is a number from 1 to 65,535, or `*` for any"),
            ("example.com:", "a port is a number from 1 to 65,535, or `*` for any"),
            ("example.com:0", "a port is a number from 1 to 65,535, or `*` for any"),
            ("example.com:+80", "a port is a number from 1 to 65,535, or `*` for any"),
            ("*example.com", "`*` stands alone for any host, or in front of a name as in `*.example.com`"),
            ("a.*.com", "`*` stands alone for any host, or in front of a name as in `*.example.com`"),
            ("*.127.0.0.1", "`*` stands alone for any host, or in front of a name as in `*.example.com`"),
            ("*.", "`*` stands alone for any host, or in front of a name as in `*.example.com`"),
        ] {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert_eq!(error.help.as_deref(), Some(help), "{text}");
        }
        for text in [".", "..", "a..b", ".a", "[::1", "999.1.1.1", "ex<ample", "file:///etc", "data:text/html,x"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_pattern_for_a_url_allows_it() {
        for (url, pattern) in [
            ("https://Example.com/x", Some("example.com")),
            ("http://example.com:8080", Some("example.com:8080")),
            ("http://[::1]:8000", Some("[::1]:8000")),
            ("file:///etc/hostname", None),
            ("http://example.com:0/", None),
            ("http://a..b/", None),
            ("about:blank", None),
        ] {
            let found = HostPattern::for_url(&Url::parse(url).unwrap()).map(|pattern| pattern.to_string());
            assert_eq!(found.as_deref(), pattern, "{url}");
        }
    }
}
