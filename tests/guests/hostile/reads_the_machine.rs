//! Tries to get at the machine: files, the environment, arguments, processes, threads, sockets, names.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    let said = |result: std::io::Result<()>| result.err().map_or("ok".to_owned(), |error| error.kind().to_string());
    Ok(json!({
        "read": said(std::fs::read("/etc/hostname").map(drop)),
        "write": said(std::fs::write("/tmp/armada-was-here", "x")),
        "list": said(std::fs::read_dir("/").map(drop)),
        "list_here": said(std::fs::read_dir(".").map(drop)),
        "environment": std::env::vars().count(),
        "arguments": std::env::args().count(),
        "input": said(std::io::read_to_string(std::io::stdin()).and_then(|text| {
            if text.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        })),
        "process": said(std::process::Command::new("true").status().map(drop)),
        "thread": said(std::thread::Builder::new().spawn(|| ()).map(drop)),
        "connect": said(TcpStream::connect("127.0.0.1:22").map(drop)),
        "listen": said(TcpListener::bind("127.0.0.1:0").map(drop)),
        "datagram": said(UdpSocket::bind("127.0.0.1:0").map(drop)),
        "name": said("localhost:80".to_socket_addrs().map(drop)),
    }))
}
