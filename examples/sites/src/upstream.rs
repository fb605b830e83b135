//! An upstream proxy for examples and tests: it carries connections of those who know its credentials (HTTP `CONNECT`,
//! RFC 9110, 9.3.6), and tells of each.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The user that [`serve`] wants to be told.
pub const USER: &str = "armada";
/// The same user's password.
pub const PASSWORD: &str = "around-the-corner";

/// How long the head of a request may be, in bytes.
const HEAD: u64 = 64 * 1024;

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It is carried to this host and port.
    To(String),
    /// It did not have the credentials.
    Refused,
}

/// Carries every connection of a listener, and tells what becomes of each.
pub async fn serve(listener: TcpListener, tell: impl Fn(Carried) + Clone + Send + Sync + 'static) -> io::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        let tell = tell.clone();
        // Whoever hangs up is told nothing.
        tokio::spawn(async move {
            carry(connection, (USER, PASSWORD), async |target| TcpStream::connect(target).await, tell).await
        });
    }
}

/// Carries a connection that asks for it and has these credentials.
pub async fn carry(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    (user, password): (&str, &str),
    connect: impl AsyncFnOnce(&str) -> io::Result<TcpStream>,
    tell: impl Fn(Carried),
) -> io::Result<()> {
    let mut near = BufReader::new(connection);
    let (mut request, mut is_known) = (String::new(), false);
    let mut head = (&mut near).take(HEAD);
    head.read_line(&mut request).await?;
    let expected = format!("Proxy-Authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    loop {
        let mut line = String::new();
        head.read_line(&mut line).await?;
        match line.trim_end() {
            "" => break,
            header => is_known |= header == expected,
        }
    }
    if !is_known {
        tell(Carried::Refused);
        return near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
    }
    let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let Ok(mut far) = connect(target).await else {
        return near.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await;
    };
    tell(Carried::To(target.to_owned()));
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await.map(|_| ())
}
