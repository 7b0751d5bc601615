//! Interfaces, ours and those at the other ends of our veths.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};

use super::bridging::{
    self, BridgeSettings, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND, PortSettings,
};
use super::nsid::Nsid;
use crate::inventory::model::MacAddress;
use crate::netlink::{Netlink, NetlinkError, attributes, text, unsigned, word};

/// `struct ifinfomsg` (rtnetlink.h).
const HEADER_BYTES: usize = 16;
const HEADER_HARDWARE: usize = 2;
const HEADER_INDEX: usize = 4;
const HEADER_FLAGS: usize = 8;
const IFF_UP: u32 = 1;

/// Of `HEADER_HARDWARE` (if_arp.h).
const ARPHRD_ETHER: u16 = 1;

// if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
/// Any program, the driver's, the one behind it, the hardware's.
const IFLA_XDP_PROGRAMS: [u16; 4] = [4, 5, 6, 7];
/// Of `IFLA_XDP_ATTACHED`.
const XDP_ATTACHED_SKB: u8 = 2;
/// Of `IFLA_OPERSTATE`, RFC 2863: for interfaces that do not say, and for those that are up.
const OPERATIONAL: [u8; 2] = [0, 6];

/// An interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// What made it: `veth`, `bridge`, `tun`; `None` for hardware and the loopback interface.
    pub kind: Option<String>,
    /// The bridge (or bond) it is a port of.
    pub master: Option<u32>,
    /// The index of the interface it hangs on: a veth's other end, a VLAN's parent.
    pub peer: Option<u32>,
    /// The namespace that `peer` is in, where that is not this one.
    pub peer_namespace: Option<Nsid>,
    /// Its own MAC address.
    pub mac: Option<MacAddress>,
    /// Somebody switched it on.
    pub up: bool,
    /// It can carry packets: of a veth, both ends are up.
    pub operational: bool,
    /// Its group, a number that the administrator gives it; 0 unless somebody did.
    pub group: u32,
    /// What its packets wait in on their way out; `None`: they do not wait.
    pub queue: Option<String>,
    /// If it is a bridge.
    pub bridge: Option<BridgeSettings>,
    /// If it is a bridge's port.
    pub port: Option<PortSettings>,
    /// It carries Ethernet frames.
    pub ethernet: bool,
    /// The XDP program that it has.
    pub xdp: Option<LinkXdp>,
}

/// An XDP program on an interface, anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkXdp {
    /// The kernel's number of it.
    pub program: u32,
    /// It runs behind the driver, not in it.
    pub generic: bool,
}

impl Link {
    /// One of which only the index is known.
    #[cfg(test)]
    pub(crate) fn nameless(ifindex: u32) -> Self {
        Self {
            ifindex,
            name: String::new(),
            kind: None,
            master: None,
            peer: None,
            peer_namespace: None,
            mac: None,
            up: false,
            operational: false,
            group: 0,
            queue: None,
            bridge: None,
            port: None,
            ethernet: true,
            xdp: None,
        }
    }

    /// Whether it is a bridge.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }

    /// Whether it is one end of a veth pair.
    #[must_use]
    pub fn is_veth(&self) -> bool {
        self.kind.as_deref() == Some("veth")
    }

    /// Reads the payload of `RTM_NEWLINK`.
    fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut link = Self {
            ifindex: unsigned(payload, HEADER_INDEX)?,
            name: String::new(),
            kind: None,
            master: None,
            peer: None,
            peer_namespace: None,
            mac: None,
            up: unsigned(payload, HEADER_FLAGS)? & IFF_UP != 0,
            operational: false,
            group: 0,
            queue: None,
            bridge: None,
            port: None,
            ethernet: hardware(payload)? == ARPHRD_ETHER,
            xdp: None,
        };
        for attribute in attributes(payload, HEADER_BYTES)? {
            let attribute = attribute?;
            let value = attribute.value();
            match attribute.kind() {
                IFLA_IFNAME => link.name = text(value),
                IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
                IFLA_MASTER => link.master = Some(unsigned(value, 0)?).filter(|index| *index != 0),
                IFLA_LINK => link.peer = Some(unsigned(value, 0)?).filter(|index| *index != 0),
                IFLA_LINK_NETNSID => link.peer_namespace = Nsid::parse(value)?,
                IFLA_OPERSTATE => {
                    link.operational = value.first().is_some_and(|s| OPERATIONAL.contains(s));
                }
                IFLA_GROUP => link.group = unsigned(value, 0)?,
                IFLA_QDISC => link.queue = bridging::queues(value),
                IFLA_XDP => link.xdp = xdp(value)?,
                IFLA_LINKINFO => link.parse_kind(value)?,
                _ => {}
            }
        }
        Ok(link)
    }

    /// Reads what only interfaces of this kind have.
    fn parse_kind(&mut self, information: &[u8]) -> Result<(), DecodeError> {
        let mut data = [[].as_slice(); 2];
        let mut port_of = None;
        let attributes: Vec<_> = NlasIterator::new(information).collect::<Result<_, _>>()?;
        for attribute in &attributes {
            match attribute.kind() {
                IFLA_INFO_KIND => self.kind = Some(text(attribute.value())),
                IFLA_INFO_DATA => data[0] = attribute.value(),
                IFLA_INFO_SLAVE_KIND => port_of = Some(text(attribute.value())),
                IFLA_INFO_SLAVE_DATA => data[1] = attribute.value(),
                _ => {}
            }
        }
        let [of_kind, of_port] = data;
        if self.is_bridge() {
            self.bridge = Some(BridgeSettings::parse(of_kind)?);
        }
        if port_of.as_deref() == Some("bridge") {
            self.port = Some(PortSettings::parse(of_port)?);
        }
        Ok(())
    }
}

fn hardware(payload: &[u8]) -> Result<u16, DecodeError> {
    let [a, b, ..] = word(payload, HEADER_HARDWARE)?;
    Ok(u16::from_ne_bytes([a, b]))
}

fn xdp(value: &[u8]) -> Result<Option<LinkXdp>, DecodeError> {
    let mut program = None;
    let mut generic = false;
    for attribute in NlasIterator::new(value) {
        let attribute = attribute?;
        match attribute.kind() {
            IFLA_XDP_ATTACHED => generic = attribute.value() == [XDP_ATTACHED_SKB],
            kind if IFLA_XDP_PROGRAMS.contains(&kind) => {
                program = program.or(Some(unsigned(attribute.value(), 0)?));
            }
            _ => {}
        }
    }
    let program = program.filter(|program| *program != 0);
    Ok(program.map(|program| LinkXdp { program, generic }))
}

/// What the other end of one of our interfaces says about itself, in its own namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its MAC address.
    pub mac: Option<MacAddress>,
    /// Its addresses, link-local ones included.
    pub addresses: BTreeSet<IpAddr>,
}

impl Netlink {
    /// All interfaces of this host.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let mut question = LinkMessage::default();
        question.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        self.dump(
            "cannot list the interfaces",
            &RouteNetlinkMessage::GetLink(question),
            |_, payload| Link::parse(payload).map(Some),
        )
    }

    /// One interface of this host; `None`: there is none of this index.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn link(&mut self, ifindex: u32) -> Result<Option<Link>, NetlinkError> {
        let mut question = LinkMessage::default();
        question.header.index = ifindex;
        question.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let answer = self.ask(
            &format!("cannot read interface {ifindex}"),
            &RouteNetlinkMessage::GetLink(question),
            |_, payload| Link::parse(payload),
        );
        match answer {
            Err(error) if error.errno() == Some(nix::libc::ENODEV) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// What the other end of `link` has for a MAC address and addresses. `None`: it has no other
    /// end in another namespace, or that went away in this moment.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn peer(&mut self, link: &Link) -> Result<Option<Peer>, NetlinkError> {
        let (Some(index), Some(namespace)) = (link.peer, link.peer_namespace) else {
            return Ok(None);
        };
        let peer = self.peer_link(link, index, namespace).and_then(|other| {
            let addresses = self.addresses_in(namespace, index)?;
            Ok(Peer {
                mac: other.mac,
                addresses,
            })
        });
        match peer {
            Ok(peer) => Ok(Some(peer)),
            // No such interface, or no such namespace any more.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(nix::libc::ENODEV | nix::libc::EINVAL | nix::libc::ENXIO)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn peer_link(
        &mut self,
        link: &Link,
        index: u32,
        namespace: Nsid,
    ) -> Result<Link, NetlinkError> {
        let mut question = LinkMessage::default();
        question.header.index = index;
        question.attributes = vec![
            LinkAttribute::IfNetnsId(namespace.0),
            LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        ];
        self.ask(
            &format!("cannot read the other end of {}", link.name),
            &RouteNetlinkMessage::GetLink(question),
            |_, payload| Link::parse(payload),
        )
    }
}
