//! The addresses of interfaces.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::DecodeError;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::nsid::Nsid;
use crate::netlink::{Netlink, NetlinkError, attributes, unsigned};

/// `struct ifaddrmsg` (if_addr.h).
const HEADER_BYTES: usize = 8;
const HEADER_PREFIX: usize = 1;
const HEADER_INDEX: usize = 4;

// if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// One address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The interface's index.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// How many leading bits all addresses of its network share.
    pub prefix_length: u8,
}

impl InterfaceAddress {
    /// Reads the payload of `RTM_NEWADDR`.
    fn parse(payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut address = None;
        let mut local = None;
        for attribute in attributes(payload, HEADER_BYTES)? {
            let attribute = attribute?;
            match attribute.kind() {
                IFA_ADDRESS => address = ip(attribute.value()),
                IFA_LOCAL => local = ip(attribute.value()),
                _ => {}
            }
        }
        let ifindex = unsigned(payload, HEADER_INDEX)?;
        let prefix_length = payload[HEADER_PREFIX];
        // On a point-to-point interface `IFA_ADDRESS` is the other end's.
        Ok(local.or(address).map(|address| Self {
            ifindex,
            address,
            prefix_length,
        }))
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

impl Netlink {
    /// All addresses of this host, of both families.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn addresses(&mut self) -> Result<Vec<InterfaceAddress>, NetlinkError> {
        self.dump(
            "cannot list the host's addresses",
            &RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            |_, payload| InterfaceAddress::parse(payload),
        )
    }

    /// The addresses of one interface of this host; one that is gone has none.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn addresses_of(&mut self, ifindex: u32) -> Result<Vec<InterfaceAddress>, NetlinkError> {
        let mut question = AddressMessage::default();
        question.header.index = ifindex;
        let all = self.dump(
            &format!("cannot list the addresses of interface {ifindex}"),
            &RouteNetlinkMessage::GetAddress(question),
            |_, payload| InterfaceAddress::parse(payload),
        );
        match all {
            Err(error) if error.errno() == Some(nix::libc::ENODEV) => Ok(Vec::new()),
            all => Ok(all?
                .into_iter()
                .filter(|address| address.ifindex == ifindex)
                .collect()),
        }
    }

    /// The addresses of one interface in another namespace.
    pub(super) fn addresses_in(
        &mut self,
        namespace: Nsid,
        ifindex: u32,
    ) -> Result<BTreeSet<IpAddr>, NetlinkError> {
        let mut question = AddressMessage::default();
        question.header.index = ifindex;
        question.attributes = vec![AddressAttribute::TargetNetNsId(namespace.0)];
        let all = self.dump(
            &format!("cannot list the addresses in the namespace {namespace}"),
            &RouteNetlinkMessage::GetAddress(question),
            |_, payload| InterfaceAddress::parse(payload),
        )?;
        Ok(all
            .into_iter()
            .filter(|address| address.ifindex == ifindex)
            .map(|address| address.address)
            .collect())
    }
}
