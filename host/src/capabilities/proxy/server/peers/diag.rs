//! Asks the system about one connection (`sock_diag(7)`): the table of all takes milliseconds to read where there is
//! room for many, however few there are.

use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

/// How long an answer may be, in bytes; it is a tenth of that.
const ANSWER: usize = 1_024;
/// No more is known of the connection than where it leads.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// The socket (its inode) of the connection from there to here, if it is still open. Fails where the system cannot be
/// asked.
pub(super) fn socket(from: SocketAddr, here: SocketAddr) -> io::Result<Option<u32>> {
    let request = InetRequest {
        family: AF_INET,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: from.port(),
            destination_port: here.port(),
            source_address: from.ip(),
            destination_address: here.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let system = Socket::new(NETLINK_SOCK_DIAG)?;
    // The answer is there when the request has been sent.
    system.set_non_blocking(true)?;
    system.connect(&netlink_sys::SocketAddr::new(0, 0))?;
    system.send(&bytes, 0)?;
    let mut answer = [0; ANSWER];
    let length = system.recv(&mut answer.as_mut_slice(), 0)?;
    let answer = answer.get(..length).unwrap_or_default();
    match NetlinkMessage::<SockDiagMessage>::deserialize(answer).map_err(io::Error::other)?.payload {
        // One that its process has closed has no inode any more.
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
            Ok(Some(response.header.inode).filter(|inode| *inode != 0))
        }
        NetlinkPayload::Error(error) if error.to_io().kind() == io::ErrorKind::NotFound => Ok(None),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the system answers something else")),
    }
}
