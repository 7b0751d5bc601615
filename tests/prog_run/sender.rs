//! The sender's template: nobody speaks for anybody else.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::fixture::{Body, Firewall, Reason, allow_all};
use crate::frame::{
    ICMPV6, Ipv4, Ipv6, Payload, SYN, ethernet, frame, frame_v4, frame_v6, tcp, udp, vlan_tagged,
};
use crate::node::{FAMILIES, Family, Node};

#[test]
fn only_the_own_mac_address_may_send() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    for family in FAMILIES {
        let mut spoofed = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall.from(Node::A, &spoofed).passes("own MAC");
        for byte in 6..12 {
            spoofed[byte] ^= 1;
            firewall
                .from(Node::A, &spoofed)
                .drops(Reason::DROP_SOURCE_MAC, &format!("byte {byte} differs"));
            spoofed[byte] ^= 1;
        }
    }
}

#[test]
fn only_own_addresses_may_send() {
    let firewall = Firewall::new();
    for node in [Node::B, Node::C, Node::Host, Node::World] {
        let v4 = Ipv4::new(node.v4(), Node::B.v4());
        firewall
            .from(Node::A, &frame_v4(Node::A, Node::B, &v4, &udp(1, 2)))
            .drops(Reason::DROP_SOURCE_IPV4, &format!("{node:?}'s IPv4"));
        let v6 = Ipv6::new(node.v6(), Node::B.v6());
        firewall
            .from(Node::A, &frame_v6(Node::A, Node::B, &v6, &udp(1, 2)))
            .drops(Reason::DROP_SOURCE_IPV6, &format!("{node:?}'s IPv6"));
    }
    let nobody = Ipv4::new(Ipv4Addr::UNSPECIFIED, Node::B.v4());
    firewall
        .from(Node::A, &frame_v4(Node::A, Node::B, &nobody, &udp(68, 67)))
        .drops(Reason::DROP_SOURCE_IPV4, "0.0.0.0");
    let nobody = Ipv6::new(Ipv6Addr::UNSPECIFIED, Node::B.v6());
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &nobody, &udp(1, 2)))
        .drops(Reason::DROP_SOURCE_IPV6, "::");
}

#[test]
fn every_one_of_several_own_addresses_may_send() {
    let mut firewall = Firewall::new();
    let mut constants = Firewall::constants(Node::A);
    constants.ipv4_count = 8;
    constants.ipv6_count = 8;
    for index in 0..8u8 {
        let v4 = Ipv4Addr::new(172, 17, 9, index + 1);
        constants.ipv4[usize::from(index)] = u32::from_ne_bytes(v4.octets());
        constants.ipv6[usize::from(index)] = crate::fixture::address(v6(index).into());
    }
    firewall.reload_template(Node::A, &constants);
    firewall.open_to(Node::Host, Node::A);
    for index in 0..9u8 {
        let ip4 = Ipv4::new(Ipv4Addr::new(172, 17, 9, index + 1), Node::Host.v4());
        let ip6 = Ipv6::new(v6(index), Node::Host.v6());
        let outcome4 = firewall.from(Node::A, &frame_v4(Node::A, Node::Host, &ip4, &udp(1, 2)));
        let outcome6 = firewall.from(Node::A, &frame_v6(Node::A, Node::Host, &ip6, &udp(1, 2)));
        if index < 8 {
            outcome4.passes(&format!("IPv4 address {index}"));
            outcome6.passes(&format!("IPv6 address {index}"));
        } else {
            outcome4.drops(Reason::DROP_SOURCE_IPV4, "one too many");
            outcome6.drops(Reason::DROP_SOURCE_IPV6, "one too many");
        }
    }

    fn v6(index: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x17, 0, 0, 9, 0, 0, u16::from(index) + 1)
    }
}

#[test]
fn link_local_address_follows_from_the_mac() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    let own = Ipv6::new(Node::A.link_local(), Node::B.link_local());
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &own, &udp(1, 2)))
        .passes_marked(crate::fixture::JUDGED | 2, "between link-local addresses");
    let spoofed = Ipv6::new(Node::B.link_local(), Node::B.v6());
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &spoofed, &udp(1, 2)))
        .drops(Reason::DROP_SOURCE_IPV6, "another's link-local address");
}

#[test]
fn vlan_tags_are_dropped() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    for family in FAMILIES {
        let plain = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        for (tag, what) in [(0x8100, "802.1Q"), (0x88a8, "802.1ad")] {
            let tagged = vlan_tagged(&plain, tag);
            firewall
                .from(Node::A, &tagged)
                .drops(Reason::DROP_VLAN, what);
            firewall
                .to(
                    Node::A,
                    &vlan_tagged(&frame(family, Node::B, Node::A, &udp(1, 2)), tag),
                    2,
                )
                .drops(Reason::DROP_VLAN, what);
        }
    }
}

#[test]
fn only_ip_and_arp_may_be_sent() {
    let firewall = Firewall::new();
    for (kind, what) in [
        (0x0026, "802.3 length and LLC (STP)"),
        (0x88cc, "LLDP"),
        (0x8847, "MPLS"),
        (0x8864, "PPPoE"),
        (0x888e, "EAPOL"),
        (0x22f0, "AVTP"),
        (0xffff, "reserved"),
    ] {
        let frame = ethernet(Node::A.mac(), Node::B.mac(), kind, &[0; 46]);
        firewall
            .from(Node::A, &frame)
            .drops(Reason::DROP_ETHERTYPE, what);
        firewall
            .to(Node::B, &frame, Node::A.number())
            .drops(Reason::DROP_ETHERTYPE, what);
    }
}

#[test]
fn frames_too_short_for_any_header_are_dropped() {
    let firewall = Firewall::new();
    for length in [0, 19] {
        let frame = ethernet(Node::A.mac(), Node::B.mac(), 0x0806, &vec![0; length]);
        firewall
            .from(Node::A, &frame)
            .drops(Reason::DROP_TRUNCATED, &format!("{length} bytes"));
    }
}

#[test]
fn unnamed_endpoint_sends_and_receives_nothing() {
    let mut firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    let mut constants = Firewall::constants(Node::A);
    constants.flags = 0;
    firewall.reload_template(Node::A, &constants);
    for family in FAMILIES {
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN)),
            )
            .drops(Reason::DROP_ENDPOINT_UNNAMED, "from it");
        firewall
            .to(
                Node::A,
                &frame(family, Node::B, Node::A, &tcp(40_000, 80, SYN)),
                2,
            )
            .drops(Reason::DROP_ENDPOINT_UNNAMED, "to it");
    }
}

#[test]
fn endpoint_without_a_record_sends_and_receives_nothing() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_endpoint(Node::A, [0, 0]);
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN)),
            )
            .drops(Reason::DROP_ENDPOINT_UNKNOWN, "from it");
        firewall
            .to(
                Node::A,
                &frame(family, Node::Host, Node::A, &tcp(40_000, 80, SYN)),
                0,
            )
            .drops(Reason::DROP_ENDPOINT_UNKNOWN, "to it");
    }
}

#[test]
fn nothing_passes_before_a_policy_is_published() {
    let firewall = Firewall::new();
    firewall.unpublish();
    for family in FAMILIES {
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::World, &tcp(40_000, 80, SYN)),
            )
            .drops(Reason::DROP_ENDPOINT_UNKNOWN, "from it");
    }
}

#[test]
fn missing_body_drops() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.remove_body(Body::BODY_FROM_ENDPOINT);
        firewall.remove_body(Body::BODY_TO_ENDPOINT);
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::World, &tcp(40_000, 80, SYN)),
            )
            .drops(Reason::DROP_BODY_MISSING, "from an endpoint");
        firewall
            .to(
                Node::A,
                &frame(family, Node::Host, Node::A, &tcp(40_000, 80, SYN)),
                0,
            )
            .drops(Reason::DROP_BODY_MISSING, "to an endpoint");
        firewall.remove_body(Body::BODY_DROP);
        assert!(
            firewall.is_dropped_silently(
                Node::A,
                &frame(family, Node::A, Node::World, &tcp(40_000, 80, SYN))
            ),
            "not even a body to count it"
        );
    }
}

#[test]
fn endpoint_must_not_speak_as_a_dhcp_server() {
    let firewall = Firewall::new();
    firewall.set_rules(
        crate::fixture::Side::Ingress,
        Node::B,
        Node::A,
        &[allow_all(1)],
    );
    for (family, server, client) in [(Family::V4, 67, 68), (Family::V6, 547, 546)] {
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &udp(server, client)),
            )
            .drops(Reason::DROP_DHCP_SERVER, &format!("{family:?} server"));
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &udp(client, server)),
            )
            .passes(&format!("{family:?} client"));
    }
}

#[test]
fn neighbour_discovery_that_is_cut_off_is_dropped() {
    let firewall = Firewall::new();
    let mut bytes = vec![135, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(Node::B.v6().octets());
    bytes.extend([14, 2, 0, 0, 0, 0, 0, 0]); // an option of 16 bytes, of which 8 are there
    let ip = Ipv6 {
        hop_limit: 255,
        payload_length: Some(bytes.len() as u16 + 8),
        ..Ipv6::new(Node::A.v6(), Node::B.v6())
    };
    let payload = Payload {
        protocol: ICMPV6,
        bytes,
    };
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &ip, &payload))
        .drops(Reason::DROP_NEIGHBOUR_DISCOVERY, "half an option");
}
