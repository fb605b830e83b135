//! Who may use a proxy: the processes of one Chromium, and no other program of this machine.
//!
//! Chromium cannot be given a password for its proxy without a prompt, but the system knows whose a connection is: it
//! names the socket, and each process lists its sockets.

#[cfg(target_os = "linux")]
mod diag;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Pid;

/// Who may connect.
pub(crate) enum Peers {
    /// The processes of this group.
    Group(Group),
    /// Every program of this machine.
    #[cfg(test)]
    Anyone,
}

/// Who has connected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// One who may.
    Admitted,
    /// Another program.
    Stranger,
    /// Nobody any more: the connection was closed before it was looked at.
    Gone,
}

/// The processes of a group.
pub(crate) struct Group {
    id: i32,
    /// Who has connected last: it is mostly the same.
    last: AtomicI32,
}

impl Peers {
    /// The processes of this group.
    pub(crate) fn group(id: Pid) -> Self {
        Self::Group(Group { id: id.as_raw_nonzero().get(), last: AtomicI32::new(id.as_raw_nonzero().get()) })
    }

    /// Who has connected from there to here. It reads files of the system.
    pub(super) fn admit(&self, from: SocketAddr, here: SocketAddr) -> Peer {
        match self {
            // Other systems have no such files; there, every program of this machine may.
            Self::Group(_) if cfg!(not(target_os = "linux")) => Peer::Admitted,
            Self::Group(group) => group.admit(from, here),
            #[cfg(test)]
            Self::Anyone => Peer::Admitted,
        }
    }
}

impl Group {
    fn admit(&self, from: SocketAddr, here: SocketAddr) -> Peer {
        let Some(socket) = socket(from, here) else { return Peer::Gone };
        if self.holds(&format!("socket:[{socket}]")) { Peer::Admitted } else { Peer::Stranger }
    }

    /// Whether one of its processes has a file that is this.
    fn holds(&self, link: &str) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        if group_of(last) == Some(self.id) && holds(last, link) {
            return true;
        }
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let ids = processes.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok());
        let found = ids.filter(|id| group_of(*id) == Some(self.id)).find(|id| holds(*id, link));
        if let Some(id) = found {
            self.last.store(id, Ordering::Relaxed);
        }
        found.is_some()
    }
}

/// The socket (its inode) of the connection from there to here.
fn socket(from: SocketAddr, here: SocketAddr) -> Option<u32> {
    #[cfg(target_os = "linux")]
    if let Ok(socket) = diag::socket(from, here) {
        return socket;
    }
    listed(&fs::read_to_string("/proc/net/tcp").unwrap_or_default(), from, here)
}

/// The same, in a table as `/proc/net/tcp` has it.
fn listed(table: &str, from: SocketAddr, here: SocketAddr) -> Option<u32> {
    let (from, here) = (hexadecimal(from)?, hexadecimal(here)?);
    table.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let is_it = columns.nth(1)? == from && columns.next()? == here;
        columns.nth(6)?.parse().ok().filter(|socket| is_it && *socket != 0)
    })
}

/// An address as the table has it: in hexadecimal, in the order that the machine's numbers have.
fn hexadecimal(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

/// The group of a process.
fn group_of(process: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program is in parentheses, and may be anything.
    let (_, after_name) = status.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Whether a process has a file that is this.
fn holds(process: i32, link: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let mut files = files.flatten();
    files.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(link)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_group_are_admitted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let ours = std::net::TcpStream::connect(here).unwrap();
        let (_accepted, from) = listener.accept().unwrap();
        let own_group = Pid::from_raw(group_of(std::process::id().try_into().unwrap()).unwrap()).unwrap();
        assert_eq!(Peers::group(own_group).admit(from, here), Peer::Admitted);
        assert_eq!(Peers::group(Pid::INIT).admit(from, here), Peer::Stranger);
        let port = if from.port() == 1 { 2 } else { 1 };
        assert_eq!(Peers::group(own_group).admit(SocketAddr::new(from.ip(), port), here), Peer::Gone);
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(diag::socket(from, here).unwrap(), listed(&table, from, here));
        drop(ours);
        assert_eq!(diag::socket(from, here).unwrap(), None);
        assert_eq!(Peers::group(own_group).admit(from, here), Peer::Gone);
    }

    #[test]
    fn the_table_of_connections_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20\n";
        let (from, here) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(listed(table, from, here), Some(4711));
            assert_eq!(listed(table, here, from), None);
        }
    }
}
