//! The receiver's hook: marks, and who is taken for whom.

use crate::fixture::{Firewall, JUDGED, Reason, Side, Verdict, allow_all, rule};
use crate::frame::{ACK, SYN, frame, frame_between, tcp, to_mac, udp};
use crate::node::{FAMILIES, HOST_IDENTITY, Node};

#[test]
fn packet_judged_for_its_receiver_passes_unseen() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let packet = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .to(Node::B, &packet, JUDGED | Node::B.number())
            .passes("judged for B");
        for other in [0, 1, 3, 0x7fff] {
            firewall
                .to(Node::B, &packet, JUDGED | other)
                .drops(Reason::DROP_MARK, &format!("judged for {other}"));
        }
    }
}

#[test]
fn frame_for_another_mac_address_is_not_delivered() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let packet = frame(family, Node::Host, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .to(Node::A, &packet, 0)
            .drops(Reason::DROP_NOT_ADDRESSED, "flooded");
        assert!(firewall.events().is_empty(), "counted, but no event");
    }
}

#[test]
fn address_of_an_endpoint_needs_its_mark() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        firewall.open_to(Node::B, Node::C);
        let packet = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .to(Node::B, &packet, 0)
            .drops(Reason::DROP_SOURCE_UNPROVEN, "without any mark");
        firewall
            .to(Node::B, &packet, Node::C.number())
            .drops(Reason::DROP_SOURCE_UNPROVEN, "with C's mark");
        firewall
            .to(Node::B, &packet, Node::A.number())
            .passes("with its own");
    }
}

#[test]
fn live_connection_does_not_vouch_for_its_packets() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::C, Node::A);
        let packet = frame(family, Node::A, Node::C, &tcp(40_000, 80, SYN));
        firewall.from(Node::A, &packet).passes("SYN");
        firewall
            .to(Node::C, &packet, Node::A.number())
            .passes("SYN");
        let data = frame(family, Node::A, Node::C, &tcp(40_000, 80, ACK));
        firewall.to(Node::C, &data, 0).drops(
            Reason::DROP_SOURCE_UNPROVEN,
            "the same tuple, from elsewhere",
        );
        firewall
            .to(Node::C, &data, Node::A.number())
            .passes("from A");
    }
}

#[test]
fn host_address_is_the_host_only_where_the_packet_came_in_nowhere() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::A, Node::Host, &[allow_all(1)]);
        let packet = frame(family, Node::Host, Node::A, &tcp(40_000, 80, SYN));
        firewall
            .to_through(Node::A, &packet, 0, 77)
            .drops(Reason::DROP_SOURCE_UNPROVEN, "came in by an interface");
        firewall.to(Node::A, &packet, 0).passes("sent by the host");
    }
}

#[test]
fn hosts_egress_is_judged_too() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::A, Node::Host, &[allow_all(1)]);
        firewall.set_rules_in(
            0,
            Side::Egress,
            Node::Host,
            Node::A.identity(),
            &[rule(Verdict::Deny, 2, 0, 0xff_ffff)],
        );
        firewall
            .to(Node::A, &frame(family, Node::Host, Node::A, &udp(1, 2)), 0)
            .drops(Reason::DROP_POLICY_DENY, "the host may not");
    }
}

#[test]
fn masqueraded_endpoint_is_judged_as_itself() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        // C takes everything from the host, and nothing from A.
        firewall.set_rules(Side::Ingress, Node::C, Node::Host, &[allow_all(1)]);
        let packet = frame(family, Node::Host, Node::C, &tcp(40_000, 80, SYN));
        let from_a = Node::A.number();
        firewall.to_through(Node::C, &packet, from_a, 11).drops(
            Reason::DROP_POLICY_DEFAULT,
            "A behind the gateway's address",
        );

        firewall.set_rules(Side::Ingress, Node::C, Node::A, &[allow_all(2)]);
        firewall
            .to_through(Node::C, &packet, from_a, 11)
            .passes("C takes all from A now");
        let (_, flow) = firewall.new_flows()[0];
        assert_eq!((flow.opener, flow.target), (1, 3), "A to C");
        let reply = frame(family, Node::C, Node::Host, &tcp(80, 40_000, SYN | ACK));
        firewall
            .from(Node::C, &reply)
            .passes_marked(Node::C.number(), "reply to the gateway's address");

        firewall.next_generation();
        let data = frame(family, Node::Host, Node::C, &tcp(40_000, 80, ACK));
        firewall
            .to_through(Node::C, &data, from_a, 11)
            .passes("still A in the next generation");
        firewall.set_rules(Side::Ingress, Node::C, Node::A, &[]);
        firewall.next_generation();
        firewall
            .to_through(Node::C, &data, from_a, 11)
            .drops(Reason::DROP_POLICY_DEFAULT, "revoked as A");
    }
}

#[test]
fn new_owner_of_a_masqueraded_tuple_is_judged_anew() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::C, Node::A, &[allow_all(2)]);
        let packet = frame(family, Node::Host, Node::C, &udp(40_000, 53));
        firewall
            .to_through(Node::C, &packet, Node::A.number(), 11)
            .passes("A behind the gateway's address");
        firewall
            .to_through(Node::C, &packet, Node::B.number(), 12)
            .drops(Reason::DROP_POLICY_DEFAULT, "B behind the same");
        firewall
            .to(Node::C, &packet, 0)
            .drops(Reason::DROP_POLICY_DEFAULT, "the host itself");
        firewall
            .to_through(Node::C, &packet, Node::A.number(), 11)
            .passes("A again");
    }
}

#[test]
fn world_is_judged_by_its_address() {
    for family in FAMILIES {
        for peer in [Node::World, Node::Lan] {
            let firewall = Firewall::new();
            let packet = frame(family, peer, Node::A, &tcp(40_000, 80, SYN));
            firewall
                .to_through(Node::A, &packet, 0, 5)
                .drops(Reason::DROP_POLICY_DEFAULT, &format!("{peer:?}"));
            firewall.set_rules(Side::Ingress, Node::A, peer, &[allow_all(1)]);
            firewall
                .to_through(Node::A, &packet, 0, 5)
                .passes(&format!("{peer:?} with a rule"));
        }
    }
    assert_eq!(HOST_IDENTITY, 1);
}

#[test]
fn link_local_address_is_known_by_its_bridge() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    // On C's bridge the same address is nobody's: the world's local part.
    let source = Node::A.link_local().into();
    let destination = Node::C.link_local().into();
    let packet = frame_between(Node::A, Node::C, source, destination, &udp(1, 2));
    firewall.set_rules(Side::Ingress, Node::C, Node::Lan, &[allow_all(1)]);
    firewall
        .to(Node::C, &packet, 0)
        .passes("a stranger on the second bridge");
    let destination = Node::B.link_local().into();
    let packet = frame_between(Node::A, Node::B, source, destination, &udp(1, 2));
    firewall
        .to(Node::B, &to_mac(packet, Node::B.mac()), 0)
        .drops(Reason::DROP_SOURCE_UNPROVEN, "A's on the first bridge");
}
