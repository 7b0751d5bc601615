//! The frames that are injected.

use std::net::IpAddr;

use crate::common::craft::{Family, Ipv4, Ipv6, Payload, ethernet, udp_with};
use crate::common::frame::Mac;
use crate::common::sandbox::Node;
use crate::peers::{Plan, TEMPLATE};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// The first of the ports that flows are told apart by.
pub const FIRST_PORT: u16 = 20_000;

/// One end as a frame names it.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub mac: Mac,
    pub address: IpAddr,
}

impl End {
    pub fn of(node: &Node, family: Family) -> Self {
        let address = match family {
            Family::V4 => node.ipv4.into(),
            Family::V6 => node.ipv6.into(),
        };
        Self {
            mac: node.mac,
            address,
        }
    }
}

/// From one end to another.
pub fn frame(from: End, to: End, payload: &Payload) -> Vec<u8> {
    let (kind, packet) = match (from.address, to.address) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            (ETHERTYPE_IPV4, Ipv4::new(source, target).carry(payload))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            (ETHERTYPE_IPV6, Ipv6::new(source, target).carry(payload))
        }
        _ => unreachable!("one family a packet"),
    };
    ethernet(from.mac, to.mac, kind, &packet)
}

/// Datagrams of so many flows, from ports that are counted through to one port; or, as their answers,
/// the other way round.
pub fn datagrams(from: End, to: End, port: u16, flows: u32, answers: bool) -> Plan {
    let ports = if answers {
        (port, FIRST_PORT)
    } else {
        (FIRST_PORT, port)
    };
    // Frames of one size, whatever the family.
    let header = if from.address.is_ipv4() {
        14 + 20
    } else {
        14 + 40
    };
    let data = vec![0; TEMPLATE - header - 8];
    let frame = frame(from, to, &udp_with(ports.0, ports.1, &data));
    let counted = if answers { header + 2 } else { header };
    Plan {
        frame,
        port_offset: counted as u32,
        first_port: FIRST_PORT.into(),
        flows,
    }
}
