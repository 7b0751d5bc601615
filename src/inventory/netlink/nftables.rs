//! Whose nftables chains see frames that pass from one port of a bridge to another.

use std::io;

use netlink_packet_core::{DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::netlink::{Messages, NetlinkError, RECEIVE_BYTES, attributes, text};

// nfnetlink.h, nf_tables.h
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_HOOK_DEVS: u16 = 4;
const NFTA_DEVICE_NAME: u16 = 1;

/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Families whose chains hang at what lies between two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// At bridges.
    Bridge,
    /// At single interfaces.
    Netdev,
}

impl Family {
    /// As in netfilter.h.
    const fn number(self) -> u8 {
        match self {
            Self::Bridge => 7,
            Self::Netdev => 5,
        }
    }

    /// As in nftables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

/// A chain that packets come to by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// Its family.
    pub family: Family,
    /// The table it is in.
    pub table: String,
    /// The interfaces it hangs at; none for a family that has no such thing.
    pub devices: Vec<String>,
}

/// All base chains of both families.
///
/// # Errors
/// The kernel does not tell, or in a form that is not understood.
pub fn base_chains() -> Result<Vec<BaseChain>, NetlinkError> {
    let mut all = Vec::new();
    for family in [Family::Bridge, Family::Netdev] {
        let failed = |error| NetlinkError::new("cannot list the nftables chains", error);
        all.extend(dump(family).map_err(failed)?);
    }
    Ok(all)
}

fn dump(family: Family) -> io::Result<Vec<BaseChain>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
    let mut question = Vec::with_capacity(HEADER + FAMILY_HEADER);
    question.extend(((HEADER + FAMILY_HEADER) as u32).to_ne_bytes());
    question.extend(kind.to_ne_bytes());
    question.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    question.extend([0; 8]); // sequence and port numbers: this socket asks once
    question.extend([family.number(), 0, 0, 0]);
    socket.send(&question, 0)?;

    let mut chains = Vec::new();
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    loop {
        buffer.clear();
        let (length, sender) = socket.recv_from(&mut buffer, nix::libc::MSG_TRUNC)?;
        if sender.port_number() != 0 {
            continue;
        }
        if length > buffer.len() {
            return Err(io::Error::other("an answer is longer than any should be"));
        }
        for message in Messages(&buffer) {
            let message = message.map_err(undecodable)?;
            if message.flags() & NLM_F_DUMP_INTR != 0 {
                return Err(io::Error::other("the tables keep changing"));
            }
            match message.message_type() {
                NLMSG_DONE => return Ok(chains),
                NLMSG_ERROR => {
                    let code = message.payload().first_chunk();
                    let code = code.map_or(0, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(-code));
                }
                kind if kind & 0xff == NFT_MSG_NEWCHAIN => {
                    let chain = parse(family, message.payload()).map_err(undecodable)?;
                    chains.extend(chain);
                }
                _ => {}
            }
        }
    }
}

fn undecodable(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// `None`: other chains lead to it, or none does.
fn parse(family: Family, payload: &[u8]) -> Result<Option<BaseChain>, DecodeError> {
    let mut table = String::new();
    let mut devices = None;
    for attribute in attributes(payload, FAMILY_HEADER)? {
        let attribute = attribute?;
        match attribute.kind() {
            NFTA_CHAIN_TABLE => table = text(attribute.value()),
            NFTA_CHAIN_HOOK => devices = Some(parse_devices(attribute.value())?),
            _ => {}
        }
    }
    Ok(devices.map(|devices| BaseChain {
        family,
        table,
        devices,
    }))
}

fn parse_devices(hook: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut devices = Vec::new();
    for attribute in NlasIterator::new(hook) {
        let attribute = attribute?;
        match attribute.kind() {
            NFTA_HOOK_DEV => devices.push(text(attribute.value())),
            NFTA_HOOK_DEVS => {
                for device in NlasIterator::new(attribute.value()) {
                    let device = device?;
                    if device.kind() == NFTA_DEVICE_NAME {
                        devices.push(text(device.value()));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(devices)
}
