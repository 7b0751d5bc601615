//! A thread that waits for changes of nftables tables of the families that have one of ours. What
//! changed is not asked here; Docker's tables are of other families, and wake nobody.

use std::io;
use std::ops::ControlFlow;
use std::thread;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::netlink::{Messages, NetlinkError, RECEIVE_BYTES};

/// `enum nfnetlink_groups` (nfnetlink.h).
const NFNLGRP_NFTABLES: u32 = 7;
/// Of `struct nfgenmsg`, which begins with the family (netfilter.h): inet, arp and bridge, which have a
/// table of ours, and netdev, whose chains see what passes from port to port.
const FAMILIES: [u8; 4] = [1, 3, 5, 7];

/// Starts it; it ends when `changed` breaks. When this returns, whatever changes from now on is
/// noticed.
///
/// # Errors
/// The kernel refuses the subscription.
pub fn start(changed: impl Fn() -> ControlFlow<()> + Send + 'static) -> Result<(), NetlinkError> {
    let failed = |error: io::Error| {
        NetlinkError::new("cannot subscribe to changes of nftables tables", error)
    };
    let subscribe = || {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(NFNLGRP_NFTABLES)?;
        Ok(socket)
    };
    let socket = subscribe().map_err(failed)?;
    thread::Builder::new()
        .name("guard".to_owned())
        .spawn(move || follow(&socket, changed))
        .map_err(failed)?;
    Ok(())
}

fn follow(socket: &Socket, changed: impl Fn() -> ControlFlow<()>) {
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    loop {
        buffer.clear();
        let concerns_us = match socket.recv_from(&mut buffer, 0) {
            Ok((_, sender)) => sender.port_number() == 0 && may_concern_us(&buffer),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            // Notices were lost, and the socket goes on.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => true,
            Err(error) => {
                return log::error!("cannot watch the nftables tables any more: {error}");
            }
        };
        if concerns_us && changed().is_break() {
            return;
        }
    }
}

/// Whether one of the messages is about a family that has a table of ours, or cannot be read.
fn may_concern_us(datagram: &[u8]) -> bool {
    Messages(datagram).any(|message| {
        message.map_or(true, |message| {
            let family = message.payload().first();
            family.is_some_and(|family| FAMILIES.contains(family))
        })
    })
}
