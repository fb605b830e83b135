//! Upstream proxies, as an operator's file names them.
//!
//! What is read here is what agents get: an address that can be dialled, credentials that are shown nowhere, and what
//! is known of where the proxy's traffic comes out.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

/// How long user and password of a proxy may be, in bytes (RFC 1929).
const MAX_CREDENTIAL: usize = 255;

/// A proxy that the traffic of an agent may leave by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name in events and messages.
    pub name: String,
    /// `http://`, `https://` or `socks5://`, with user and password where it wants them.
    pub url: UpstreamUrl,
    /// Where its traffic comes out, as `config_proxy.proxy_location` names places: such as `DE`.
    #[serde(default)]
    pub location: String,
    /// What else can be asked for, such as `residential`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How many agents may use it at once; any number when not given.
    #[serde(default)]
    pub agents: Option<u32>,
    /// Who resolves the names of hosts.
    #[serde(default)]
    pub resolve: Resolve,
    /// The addresses that its traffic comes out at, where that is known: such as `203.0.113.9` or `198.51.100.0/24`.
    #[serde(default)]
    pub exit_addresses: Vec<AddressRange>,
}

/// Who resolves the names of hosts that are reached through an upstream proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolve {
    /// The agent does, and the proxy is given an address that is known to be public.
    #[default]
    Agent,
    /// The proxy does: its operator sees to it that no name leads into its own network.
    Proxy,
}

/// The address of an upstream proxy, with its credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UpstreamUrl {
    url: Url,
    credentials: Option<(String, String)>,
}

impl UpstreamUrl {
    /// Its scheme: `http`, `https` or `socks5`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The proxy's host, by name or address, without brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The proxy's port.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(1080)
    }

    /// User and password, if it has them.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl From<UpstreamUrl> for String {
    fn from(UpstreamUrl { url, .. }: UpstreamUrl) -> String {
        url.into()
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = String;

    fn try_from(text: String) -> Result<UpstreamUrl, String> {
        let expected = "expected a URL such as http://user:password@proxy.example:3128, https://… or socks5://…";
        // What is wrong with it is not shown: it may be the password.
        let url = Url::parse(&text).map_err(|error| format!("this is no URL ({error}): {expected}"))?;
        if !matches!(url.scheme(), "http" | "https" | "socks5") || url.host_str().is_none_or(str::is_empty) {
            return Err(format!("this is no URL of a proxy: {expected}"));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((decoded(user)?, decoded(password.unwrap_or_default())?)),
        };
        let is_short = |text: &str| text.len() <= MAX_CREDENTIAL;
        if credentials.as_ref().is_some_and(|(user, password)| !is_short(user) || !is_short(password)) {
            return Err(format!("user and password have at most {MAX_CREDENTIAL} bytes each"));
        }
        // A colon ends the user (RFC 7617), and a line end would end the header.
        let is_clear = |text: &str| !text.contains(|c: char| c.is_control());
        if credentials
            .as_ref()
            .is_some_and(|(user, password)| user.contains(':') || !is_clear(user) || !is_clear(password))
        {
            return Err("a user has no colon, and neither user nor password has control characters".to_owned());
        }
        Ok(UpstreamUrl { url, credentials })
    }
}

/// A part of a URL with its percent signs decoded.
fn decoded(part: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.ok_or("a % in user or password is written %25")?);
        rest = after.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "user and password are text in UTF-8".to_owned())
}

/// Addresses that begin alike: one, or a network such as `198.51.100.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AddressRange {
    first: IpAddr,
    /// The bits that are fixed.
    bits: u8,
}

impl AddressRange {
    /// Whether an address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differs = |one: u128, other: u128, width: u8| {
            let free = u32::from(width.saturating_sub(self.bits));
            (one ^ other).checked_shr(free).unwrap_or_default() != 0
        };
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => !differs(first.to_bits().into(), address.to_bits().into(), 32),
            (IpAddr::V6(first), IpAddr::V6(address)) => !differs(first.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<AddressRange, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let wrong = || format!("{text:?} is no address: expected one such as 203.0.113.9 or 198.51.100.0/24");
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits <= width { Ok(AddressRange { first, bits }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;

    fn try_from(text: String) -> Result<AddressRange, String> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(AddressRange { first, bits }: AddressRange) -> String {
        format!("{first}/{bits}")
    }
}

/// Where an agent asks for the address that it is seen at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyIp {
    /// A page that answers with the address of whoever asks: as text, or as JSON with a member `ip`.
    pub url: VerifyUrl,
}

/// An `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VerifyUrl(Url);

impl VerifyUrl {
    /// The URL, which has a host.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for VerifyUrl {
    type Error = String;

    fn try_from(text: String) -> Result<VerifyUrl, String> {
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(VerifyUrl(url)),
            _ => Err("expected a URL such as https://ip.example/".to_owned()),
        }
    }
}

impl From<VerifyUrl> for String {
    fn from(VerifyUrl(url): VerifyUrl) -> String {
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<UpstreamUrl, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn the_address_of_a_proxy_is_read_in_parts() {
        for (text, scheme, host, port) in [
            ("http://proxy.example", "http", "proxy.example", 80),
            ("https://proxy.example:8443", "https", "proxy.example", 8443),
            ("socks5://[::1]", "socks5", "::1", 1080),
        ] {
            let read = url(text).unwrap();
            assert_eq!((read.scheme(), read.host(), read.port(), read.credentials()), (scheme, host, port, None));
        }
        let read = url("socks5://us%40er:p%3Aa%2Fss@proxy.example:1").unwrap();
        assert_eq!(read.credentials(), Some(("us@er", "p:a/ss")));
        assert_eq!(url("http://user@proxy.example").unwrap().credentials(), Some(("user", "")));
    }

    #[test]
    fn what_no_proxy_can_take_is_refused_and_not_shown() {
        let long = "hush".repeat(64);
        for text in [
            "ftp://hush@x".to_owned(),
            "socks5://user:hush%0d@x".to_owned(),
            "http://hush%3Ahush:hush@x".to_owned(),
            "http://user:hush%f@x".to_owned(),
            "http://user:hush%ff@x".to_owned(),
            format!("socks5://user:{long}@x"),
        ] {
            assert!(!url(&text).unwrap_err().contains("hush"), "{text}");
        }
    }

    #[test]
    fn ranges_of_addresses_are_read_and_contain_what_they_should() {
        let contains =
            |range: &str, address: &str| range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap());
        assert!(contains("203.0.113.9", "203.0.113.9") && !contains("203.0.113.9", "203.0.113.8"));
        assert!(contains("198.51.100.0/24", "198.51.100.77") && !contains("198.51.100.0/24", "198.51.101.0"));
        assert!(contains("203.0.113.9", "::ffff:203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(
            contains("2001:db8::/32", "2001:db8:1::") && contains("::/0", "1::") && contains("0.0.0.0/0", "1.2.3.4")
        );
        for wrong in ["", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "example.com"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }
}
