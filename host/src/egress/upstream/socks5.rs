//! The client's side of SOCKS5 (RFC 1928), with user and password (RFC 1929).
//!
//! Written out, since the answers come from servers that are anyone's: those of published clients panic, or wait for
//! ever, at an answer that they do not know.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Target, ThroughError, broken};
use crate::egress::connection::{Connection, Stream};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
/// The version of the exchange of user and password.
const SUBVERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy let us in.
pub(super) async fn enter<S: Stream>(mut proxy: S, credentials: Option<(&str, &str)>) -> Result<S, ThroughError> {
    let refused = || ThroughError::Proxy("it does not accept the credentials of the inventory".to_owned());
    let methods: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    send(&mut proxy, methods).await?;
    match (read(&mut proxy).await?, credentials) {
        ([VERSION, NO_AUTHENTICATION], _) => Ok(proxy),
        ([VERSION, USER_AND_PASSWORD], Some((user, password))) => {
            let mut message = vec![SUBVERSION];
            for text in [user, password] {
                message.push(u8::try_from(text.len()).map_err(|_| refused())?);
                message.extend_from_slice(text.as_bytes());
            }
            send(&mut proxy, &message).await?;
            let [_, status] = read(&mut proxy).await?;
            if status == 0 { Ok(proxy) } else { Err(refused()) }
        }
        ([VERSION, _], _) => Err(refused()),
        _ => Err(nonsense()),
    }
}

/// Has it connect to a target.
pub(super) async fn connect<S: Stream + 'static>(mut proxy: S, target: &Target) -> Result<Connection, ThroughError> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Address(SocketAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.ip().octets());
            address.port()
        }
        Target::Name(name, port) => {
            let length = u8::try_from(name.len());
            let length = length.map_err(|_| ThroughError::Target("the name is too long".to_owned()))?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(name.as_bytes());
            *port
        }
    };
    request.extend_from_slice(&port.to_be_bytes());
    send(&mut proxy, &request).await?;
    let [version, status, _, kind] = read(&mut proxy).await?;
    if version != VERSION {
        return Err(nonsense());
    }
    if status != 0 {
        return Err(ThroughError::Target(reason(status)));
    }
    // The address that it connected from, which tells nothing.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<_, 1>(&mut proxy).await?[0]),
        _ => return Err(nonsense()),
    };
    let mut rest = vec![0; length + 2];
    proxy.read_exact(&mut rest).await.map_err(|error| broken(&error))?;
    Ok(Connection::new(proxy))
}

/// What a status means.
fn reason(status: u8) -> String {
    match status {
        1 => "it fails".to_owned(),
        2 => "it does not allow the connection".to_owned(),
        3 => "the network is unreachable from there".to_owned(),
        4 => "the host is unreachable from there".to_owned(),
        5 => "connection refused".to_owned(),
        6 => "no answer in time".to_owned(),
        8 => "it does not know such addresses".to_owned(),
        other => format!("it answers with the status {other}"),
    }
}

fn nonsense() -> ThroughError {
    ThroughError::Proxy("its answer is no SOCKS5".to_owned())
}

async fn send<S: Stream>(proxy: &mut S, bytes: &[u8]) -> Result<(), ThroughError> {
    let sent: io::Result<()> = async {
        proxy.write_all(bytes).await?;
        proxy.flush().await
    }
    .await;
    sent.map_err(|error| broken(&error))
}

async fn read<S: Stream, const N: usize>(proxy: &mut S) -> Result<[u8; N], ThroughError> {
    let mut bytes = [0; N];
    proxy.read_exact(&mut bytes).await.map_err(|error| broken(&error))?;
    Ok(bytes)
}
