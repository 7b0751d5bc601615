//! What a bridge and its ports are told to do with the frames between them, beyond passing them on.

use netlink_packet_core::{DecodeError, NlasIterator};

use crate::netlink::text;

// Within IFLA_LINKINFO (if_link.h).
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_INFO_SLAVE_KIND: u16 = 4;
pub(super) const IFLA_INFO_SLAVE_DATA: u16 = 5;

// Of a bridge, in IFLA_INFO_DATA; each a byte.
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_BR_NF_CALL_IPTABLES: u16 = 36;
const IFLA_BR_NF_CALL_IP6TABLES: u16 = 37;

// Of a bridge's port, in IFLA_INFO_SLAVE_DATA; each a byte.
const IFLA_BRPORT_STATE: u16 = 1;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_VLAN_TUNNEL: u16 = 29;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_BRPORT_LOCKED: u16 = 39;

// if_bridge.h
const STATE_DISABLED: u8 = 0;
const STATE_FORWARDING: u8 = 3;

/// Of a bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgeSettings {
    /// It tells VLANs apart.
    pub vlan_filtering: bool,
    /// Its frames are shown to iptables or ip6tables.
    pub shown_to_iptables: bool,
}

/// Of a bridge's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortSettings {
    /// Frames go in and out.
    pub forwards: bool,
    /// A setting that keeps some frames from some ports.
    pub restriction: Option<&'static str>,
}

impl BridgeSettings {
    pub(super) fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let mut settings = Self::default();
        for (kind, value) in bytes(data)? {
            match kind {
                IFLA_BR_VLAN_FILTERING => settings.vlan_filtering = value != 0,
                IFLA_BR_NF_CALL_IPTABLES | IFLA_BR_NF_CALL_IP6TABLES => {
                    settings.shown_to_iptables |= value != 0;
                }
                _ => {}
            }
        }
        Ok(settings)
    }
}

impl PortSettings {
    pub(super) fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let mut settings = Self::default();
        for (kind, value) in bytes(data)? {
            let restriction = match (kind, value) {
                (IFLA_BRPORT_STATE, state) => {
                    settings.forwards = state == STATE_FORWARDING;
                    let waits = ![STATE_DISABLED, STATE_FORWARDING].contains(&state);
                    waits.then_some("is kept from forwarding by the spanning tree protocol")
                }
                (IFLA_BRPORT_LEARNING, 0) => Some("learns no addresses"),
                (IFLA_BRPORT_UNICAST_FLOOD, 0) => Some("is not flooded"),
                (IFLA_BRPORT_VLAN_TUNNEL, 1..) => Some("maps VLANs to tunnels"),
                (IFLA_BRPORT_ISOLATED, 1..) => Some("is isolated"),
                (IFLA_BRPORT_LOCKED, 1..) => Some("is locked"),
                _ => None,
            };
            settings.restriction = settings.restriction.or(restriction);
        }
        Ok(settings)
    }
}

/// Attributes that are a byte each; all others are left out.
fn bytes(data: &[u8]) -> Result<Vec<(u16, u8)>, DecodeError> {
    let mut all = Vec::new();
    for attribute in NlasIterator::new(data) {
        let attribute = attribute?;
        if let [value] = attribute.value() {
            all.push((attribute.kind(), *value));
        }
    }
    Ok(all)
}

/// Whether an interface's own queueing discipline does nothing.
pub(super) fn queues(discipline: &[u8]) -> Option<String> {
    let name = text(discipline);
    (name != "noqueue").then_some(name)
}
