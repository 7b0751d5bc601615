//! Frames from one node to another.

use std::net::IpAddr;

pub use crate::craft::*;
use crate::node::Node;

/// An ordinary frame from one node to another.
pub fn frame(family: Family, from: Node, to: Node, payload: &Payload) -> Vec<u8> {
    match family {
        Family::V4 => frame_v4(from, to, &Ipv4::new(from.v4(), to.v4()), payload),
        Family::V6 => frame_v6(from, to, &Ipv6::new(from.v6(), to.v6()), payload),
    }
}

pub fn frame_v4(from: Node, to: Node, ip: &Ipv4, payload: &Payload) -> Vec<u8> {
    ethernet(from.mac(), to.mac(), 0x0800, &ip.carry(payload))
}

pub fn frame_v6(from: Node, to: Node, ip: &Ipv6, payload: &Payload) -> Vec<u8> {
    ethernet(from.mac(), to.mac(), 0x86dd, &ip.carry(payload))
}

/// A frame between any two addresses, with the nodes' MAC addresses.
pub fn frame_between(
    from: Node,
    to: Node,
    source: IpAddr,
    destination: IpAddr,
    payload: &Payload,
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame_v4(from, to, &Ipv4::new(source, destination), payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame_v6(from, to, &Ipv6::new(source, destination), payload)
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The same frame to another MAC address.
pub fn to_mac(mut frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}
