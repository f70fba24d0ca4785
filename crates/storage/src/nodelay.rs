//! Turns Nagle's algorithm off on connections to PostgreSQL.
//!
//! sqlx 0.9.0 forgets to (0.8 did not, and its main branch does again): every message that takes more than one packet then
//! waits 40 ms for the acknowledgement of the packet before. sqlx does not hand out its sockets, so they are found
//! among the descriptors of this process, on Linux. Delete this file with the first sqlx that sets TCP_NODELAY itself.

use rustix::fd::OwnedFd;
use rustix::io::Result;
use rustix::net::{SocketAddrAny, getpeername, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Turns it off on every TCP connection of this process to a server's `port`. Where the kernel refuses, connections work as
/// before, with the delay.
pub(crate) fn set(port: u16) {
    let Ok(process) = pidfd_open(getpid(), PidfdFlags::empty()) else { return };
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    for number in descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        // A duplicate: options belong to the socket, and closing it leaves the original open.
        if let Ok(duplicate) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            // Most descriptors are no sockets.
            let _ = set_one(&duplicate, port);
        }
    }
}

fn set_one(socket: &OwnedFd, port: u16) -> Result<()> {
    let peer = getpeername(socket)?.and_then(|peer: SocketAddrAny| std::net::SocketAddr::try_from(peer).ok());
    if peer.is_some_and(|peer| peer.port() == port) {
        sockopt::set_tcp_nodelay(socket, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_connections_to_the_port_are_changed() {
        let (ours, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let connect = |to: &TcpListener| TcpStream::connect(to.local_addr().unwrap()).unwrap();
        let (changed, same) = (connect(&ours), connect(&other));
        set(ours.local_addr().unwrap().port());
        assert!(changed.nodelay().unwrap());
        assert!(!same.nodelay().unwrap());
    }
}
