//! Multicast and broadcast: the sender's hook judges its egress, each receiver's its ingress.

use std::net::IpAddr;

use crate::fixture::{Firewall, Reason, Side, Verdict, allow_all, rule};
use crate::frame::{BROADCAST, Payload, frame, frame_between, to_mac, udp};
use crate::node::{FAMILIES, Family, LAN, Node};

fn group(family: Family) -> (IpAddr, [u8; 6]) {
    match family {
        Family::V4 => (
            "224.0.0.251".parse().expect("address"),
            [0x01, 0, 0x5e, 0, 0, 0xfb],
        ),
        Family::V6 => (
            "ff02::fb".parse().expect("address"),
            [0x33, 0x33, 0, 0, 0, 0xfb],
        ),
    }
}

fn to_group(family: Family, payload: &Payload) -> Vec<u8> {
    let (address, mac) = group(family);
    let source = Node::A.address(family);
    to_mac(
        frame_between(Node::A, Node::B, source, address, payload),
        mac,
    )
}

#[test]
fn sender_needs_egress_to_the_groups_network_only() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let packet = to_group(family, &udp(5353, 5353));
        firewall
            .from(Node::A, &packet)
            .passes_marked(Node::A.number(), "egress is open");
        assert!(firewall.new_flows().is_empty(), "no connection");
        firewall.set_rules_in(
            0,
            Side::Egress,
            Node::A,
            LAN,
            &[rule(Verdict::Deny, 4, 0, 0xff_ffff)],
        );
        firewall
            .from(Node::A, &packet)
            .drops(Reason::DROP_POLICY_DENY, "egress to local networks denied");
    }
}

#[test]
fn each_receiver_judges_its_own_ingress() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let packet = to_group(family, &udp(5353, 5353));
        firewall
            .to(Node::B, &packet, Node::A.number())
            .drops(Reason::DROP_POLICY_DEFAULT, "B takes nothing from A");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow_all(1)]);
        firewall
            .to(Node::B, &packet, Node::A.number())
            .passes("B takes all from A");
        firewall
            .to(Node::B, &packet, 0)
            .drops(Reason::DROP_SOURCE_UNPROVEN, "without A's mark");
        assert!(firewall.new_flows().is_empty(), "no connection");
    }
}

#[test]
fn broadcast_is_told_by_its_mac_address() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let packet = to_mac(frame(family, Node::A, Node::B, &udp(1, 2)), BROADCAST);
        for to in [Node::B, Node::Host] {
            firewall
                .from(
                    Node::A,
                    &to_mac(frame(family, Node::A, to, &udp(1, 2)), BROADCAST),
                )
                .drops(Reason::DROP_ADDRESS, "a packet to one in a frame to many");
        }
        firewall
            .to(Node::C, &packet, Node::A.number())
            .drops(Reason::DROP_POLICY_DEFAULT, "C takes nothing from A");
    }
    let firewall = Firewall::new();
    let source = Node::A.address(Family::V4);
    for destination in ["255.255.255.255", "172.17.255.255"] {
        let destination = destination.parse().expect("address");
        let packet = frame_between(Node::A, Node::B, source, destination, &udp(1, 2));
        firewall
            .from(Node::A, &to_mac(packet, BROADCAST))
            .passes_marked(Node::A.number(), &format!("to {destination}"));
    }
    assert!(firewall.new_flows().is_empty(), "no connection");
}
