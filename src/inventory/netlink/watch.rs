//! Threads that wait for the kernel's notices and pass them on as triggers. What they say is only
//! "look again here"; what is there is then read anew.

use std::io::{self, IoSliceMut};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::thread;

use netlink_packet_core::DecodeError;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt, sockopt};

use super::nsid::Nsid;
use super::routes;
use crate::inventory::Trigger;
use crate::netlink::{Messages, NetlinkError, RECEIVE_BYTES, unsigned};

// rtnetlink.h
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_TC: u32 = 4;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_DELQDISC: u16 = 37;
const RTM_DELTFILTER: u16 = 45;
/// A bridge's own notices about its ports (`AF_BRIDGE`): the interface's own notice comes as well.
const FAMILY_BRIDGE: u8 = 7;
const IFINFOMSG_INDEX: usize = 4;
const IFADDRMSG_INDEX: usize = 4;
const TCMSG_INDEX: usize = 4;

const SOL_NETLINK: i32 = 270; // socket.h
const NETLINK_LISTEN_ALL_NSID: i32 = 8; // netlink.h

/// Room for several thousand notices: a host that starts hundreds of containers at once.
const HOST_BUFFER_BYTES: usize = 8 << 20;
const PEERS_BUFFER_BYTES: usize = 1 << 20;

/// Starts two threads: one watches this host's interfaces and addresses, the other those of the
/// namespaces that our interfaces lead to. They are apart so that containers, which may change their
/// own interfaces as fast as they like, can only ever overrun the latter.
///
/// When this returns, whatever changes from now on is noticed. A thread ends when `sink` breaks.
///
/// # Errors
/// The kernel refuses a subscription.
pub fn start<S>(sink: S) -> Result<(), NetlinkError>
where
    S: Fn(Trigger) -> ControlFlow<()> + Clone + Send + 'static,
{
    start_with_buffers(HOST_BUFFER_BYTES, PEERS_BUFFER_BYTES, sink)
}

/// As [`start`], with so many bytes for notices that wait to be read.
///
/// # Errors
/// The kernel refuses a subscription.
pub fn start_with_buffers<S>(host: usize, peers: usize, sink: S) -> Result<(), NetlinkError>
where
    S: Fn(Trigger) -> ControlFlow<()> + Clone + Send + 'static,
{
    let failed = |error| NetlinkError::new("cannot subscribe to changes of interfaces", error);
    let host = subscribe(host, false).map_err(failed)?;
    let peers = subscribe(peers, true).map_err(failed)?;
    let peers_sink = sink.clone();
    spawn("links", move || follow(&host, false, &sink)).map_err(failed)?;
    spawn("peers", move || follow(&peers, true, &peers_sink)).map_err(failed)?;
    Ok(())
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok(())
}

fn subscribe(buffer: usize, all_namespaces: bool) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // Beyond the limit for ordinary users; without the right to that, as much as the limit allows.
    if setsockopt(&socket, sockopt::RcvBufForce, &buffer).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &buffer)?;
    }
    if all_namespaces {
        socket.set_listen_all_namespaces(true)?;
    }
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
        socket.add_membership(group)?;
    }
    if !all_namespaces {
        for group in [RTNLGRP_TC, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE] {
            socket.add_membership(group)?;
        }
    }
    Ok(socket)
}

/// Passes on what comes, until the sink breaks or the socket fails for good.
fn follow(socket: &Socket, peers: bool, sink: &impl Fn(Trigger) -> ControlFlow<()>) {
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let flow = match receive(socket, &mut buffer) {
            Ok(Notice::Foreign) => ControlFlow::Continue(()),
            Ok(Notice::Host(length)) if !peers => host_triggers(&buffer[..length], sink),
            Ok(Notice::Host(_)) => ControlFlow::Continue(()),
            Ok(Notice::Namespace(namespace)) => sink(Trigger::Peer { namespace }),
            Err(Errno::EINTR) => ControlFlow::Continue(()),
            Err(error) => {
                // ENOBUFS: notices were lost, and the socket goes on. Anything else leaves us blind.
                let flow = sink(Trigger::Relist {
                    cause: format!("notices about interfaces were lost: {error}"),
                });
                if error == Errno::ENOBUFS {
                    flow
                } else {
                    log::error!("cannot watch the interfaces any more: {error}");
                    ControlFlow::Break(())
                }
            }
        };
        if flow.is_break() {
            return;
        }
    }
}

enum Notice {
    /// About this namespace; so many bytes.
    Host(usize),
    /// About another one.
    Namespace(Nsid),
    /// Not from the kernel.
    Foreign,
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> nix::Result<Notice> {
    let mut control = cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<NetlinkAddr>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    if message.address.is_none_or(|sender| sender.pid() != 0) {
        return Ok(Notice::Foreign);
    }
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Unknown(unknown) = control
            && unknown.cmsg_header.cmsg_level == SOL_NETLINK
            && unknown.cmsg_header.cmsg_type == NETLINK_LISTEN_ALL_NSID
            && let Some(number) = unknown.data_bytes.first_chunk()
        {
            return Ok(Notice::Namespace(Nsid(i32::from_ne_bytes(*number))));
        }
    }
    Ok(Notice::Host(message.bytes))
}

fn host_triggers(datagram: &[u8], sink: &impl Fn(Trigger) -> ControlFlow<()>) -> ControlFlow<()> {
    for message in Messages(datagram) {
        let trigger =
            message.and_then(|message| host_trigger(message.message_type(), message.payload()));
        match trigger {
            Ok(Some(trigger)) => sink(trigger)?,
            Ok(None) => {}
            Err(error) => sink(Trigger::Relist {
                cause: format!("a notice about an interface was not understood: {error}"),
            })?,
        }
    }
    ControlFlow::Continue(())
}

fn host_trigger(kind: u16, payload: &[u8]) -> Result<Option<Trigger>, DecodeError> {
    let trigger = match kind {
        RTM_NEWLINK | RTM_DELLINK if payload.first() == Some(&FAMILY_BRIDGE) => return Ok(None),
        RTM_NEWLINK => Trigger::LinkChanged {
            ifindex: unsigned(payload, IFINFOMSG_INDEX)?,
        },
        RTM_DELLINK => Trigger::LinkGone {
            ifindex: unsigned(payload, IFINFOMSG_INDEX)?,
        },
        RTM_NEWADDR | RTM_DELADDR => Trigger::HostAddresses {
            ifindex: unsigned(payload, IFADDRMSG_INDEX)?,
        },
        RTM_DELQDISC | RTM_DELTFILTER => Trigger::FiltersGone {
            ifindex: unsigned(payload, TCMSG_INDEX)?,
        },
        RTM_NEWROUTE | RTM_DELROUTE if routes::is_default(payload) => Trigger::DefaultRoute,
        _ => return Ok(None),
    };
    Ok(Some(trigger))
}
