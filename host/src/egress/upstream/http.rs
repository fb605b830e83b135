//! `CONNECT` (RFC 9110, 9.3.6), with `Proxy-Authorization: Basic` (RFC 7617) where there are credentials.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{Target, ThroughError, broken};
use crate::egress::connection::{Connection, Stream};

/// How long the head of the answer may be, in bytes.
const HEAD: u64 = 16 * 1024;

/// Has the proxy connect to a target. What follows the head of its answer is the target's.
pub(super) async fn connect<S: Stream + 'static>(
    mut proxy: S,
    credentials: Option<(&str, &str)>,
    target: &Target,
) -> Result<Connection, ThroughError> {
    let authority = target.authority();
    let authorization = credentials.map(|(user, password)| {
        format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
    });
    let request = format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n",
        authorization.as_deref().unwrap_or_default()
    );
    proxy.write_all(request.as_bytes()).await.map_err(|error| broken(&error))?;
    proxy.flush().await.map_err(|error| broken(&error))?;
    let mut proxy = BufReader::new(proxy);
    match status(&mut proxy).await? {
        200..=299 => Ok(Connection::new(proxy)),
        401 | 407 => Err(ThroughError::Proxy("it does not accept the credentials of the inventory".to_owned())),
        status => Err(ThroughError::Target(format!("it answers with the status {status}"))),
    }
}

/// The status of the answer, whose head is read to its end.
async fn status<S: Stream>(proxy: &mut BufReader<S>) -> Result<u16, ThroughError> {
    let mut head = proxy.take(HEAD);
    let mut line = Vec::new();
    let mut status = None;
    loop {
        line.clear();
        head.read_until(b'\n', &mut line).await.map_err(|error| broken(&error))?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err(ThroughError::Proxy("it hangs up, or its answer is no HTTP".to_owned()));
        };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match status {
            None => status = Some(status_of(text).ok_or(ThroughError::Proxy("its answer is no HTTP".to_owned()))?),
            Some(status) if text.is_empty() => return Ok(status),
            Some(_) => {}
        }
    }
}

/// The status of a line such as `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let mut words = std::str::from_utf8(rest.get(..5)?).ok()?.split(' ');
    let (_minor, status) = (words.next()?, words.next()?);
    status.parse().ok().filter(|status| (200..600).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_and_nonsense_is_not() {
        assert_eq!(status_of(b"HTTP/1.1 200 Connection established"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 407"), Some(407));
        for nonsense in [&b""[..], b"HTTP/1.1", b"HTTP/1.1 2", b"HTTP/1.1 abc", b"SSH-2.0-x", b"HTTP/1.1 999 x"] {
            assert_eq!(status_of(nonsense), None);
        }
    }
}
