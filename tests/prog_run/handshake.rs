//! TCP connections: what makes one, what ends one, and what strangers can do about it.

use crate::fixture::{Firewall, Reason, Side, allow, port};
use crate::frame::{ACK, FIN, RST, SYN, TCP, frame, tcp};
use crate::node::{FAMILIES, Family, Node};

/// A takes port 80 from outside, and may itself open nothing there.
fn server() -> Firewall {
    let firewall = Firewall::new();
    firewall.set_rules(
        Side::Ingress,
        Node::A,
        Node::World,
        &[allow(1, port(TCP, 80))],
    );
    let (_, block) = firewall.lists();
    firewall.set_identity(
        0,
        Node::A.identity(),
        &bridgewall::kernel::abi::identity_record {
            generic: [[block; 4], [block; 4]],
        },
    );
    firewall
}

fn ask(family: Family, flags: u8) -> Vec<u8> {
    frame(family, Node::World, Node::A, &tcp(40_000, 80, flags))
}

fn answer(family: Family, flags: u8) -> Vec<u8> {
    frame(family, Node::A, Node::World, &tcp(80, 40_000, flags))
}

fn connect(firewall: &Firewall, family: Family) {
    firewall.to(Node::A, &ask(family, SYN), 0).passes("SYN");
    firewall
        .from(Node::A, &answer(family, SYN | ACK))
        .passes("SYN, ACK");
    firewall.to(Node::A, &ask(family, ACK), 0).passes("ACK");
}

#[test]
fn who_has_only_acknowledged_a_syn_has_no_connection_yet() {
    for family in FAMILIES {
        let firewall = server();
        firewall.to(Node::A, &ask(family, SYN), 0).passes("SYN");
        for _ in 0..3 {
            firewall
                .from(Node::A, &answer(family, SYN | ACK))
                .passes("SYN, ACK");
            firewall
                .to(Node::A, &ask(family, SYN), 0)
                .passes("SYN again");
        }
        assert_eq!(firewall.flows().len(), 0, "its opener may not exist");
        firewall.to(Node::A, &ask(family, ACK), 0).passes("ACK");
        assert_eq!(firewall.flows().len(), 1, "it does");
    }
}

#[test]
fn acknowledging_nothing_makes_no_connection() {
    for family in FAMILIES {
        let firewall = server();
        firewall.to(Node::A, &ask(family, SYN), 0).passes("SYN");
        for _ in 0..3 {
            firewall.to(Node::A, &ask(family, ACK), 0).passes("ACK");
        }
        assert_eq!(firewall.flows().len(), 0, "A has said nothing");
        firewall
            .from(Node::A, &answer(family, RST))
            .passes("A wants none");
        assert_eq!(firewall.flows().len(), 0);
    }
}

#[test]
fn a_connection_that_is_older_than_the_firewall_is_one_when_both_sides_speak() {
    for family in FAMILIES {
        let firewall = server();
        firewall.to(Node::A, &ask(family, ACK), 0).passes("ACK");
        assert_eq!(firewall.flows().len(), 0);
        firewall.from(Node::A, &answer(family, ACK)).passes("ACK");
        assert_eq!(firewall.flows().len(), 1);
    }
}

#[test]
fn a_handshake_that_stops_is_forgotten_after_a_minute() {
    for family in FAMILIES {
        let firewall = server();
        firewall.to(Node::A, &ask(family, SYN), 0).passes("SYN");
        firewall.age_flows(59);
        firewall
            .from(Node::A, &answer(family, SYN | ACK))
            .passes("after 59 seconds");
        firewall.age_flows(61);
        firewall
            .from(Node::A, &answer(family, SYN | ACK))
            .drops(Reason::DROP_NO_FLOW, "after 61 seconds");
    }
}

#[test]
fn an_idle_connection_lives_for_days() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        firewall.age_flows(431_999);
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("within five days");
        firewall.age_flows(432_001);
        firewall
            .from(Node::A, &answer(family, ACK))
            .drops(Reason::DROP_POLICY_DEFAULT, "later");
    }
}

#[test]
fn a_reset_by_a_stranger_ends_nothing_that_goes_on() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        // Somebody knows addresses and ports, but not the sequence number: A does not heed it.
        firewall
            .to(Node::A, &ask(family, RST), 0)
            .passes("forged RST");
        firewall.age_flows(2);
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("A goes on");
        firewall.age_flows(3_600);
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("after an idle hour");
    }
}

#[test]
fn what_was_on_its_way_when_a_reset_came_does_not_revive_a_connection() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        firewall.age_flows(10);
        firewall.to(Node::A, &ask(family, RST), 0).passes("RST");
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("sent before it came");
        firewall.age_flows(31);
        firewall
            .from(Node::A, &answer(family, ACK))
            .drops(Reason::DROP_POLICY_DEFAULT, "31 seconds later");
    }
}

#[test]
fn who_has_reset_a_connection_does_not_revive_it_by_speaking() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        firewall
            .from(Node::A, &answer(family, RST))
            .passes("A resets");
        firewall.age_flows(2);
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("and speaks");
        firewall.age_flows(31);
        firewall
            .from(Node::A, &answer(family, ACK))
            .drops(Reason::DROP_POLICY_DEFAULT, "31 seconds later");
    }
}

#[test]
fn a_forged_fin_does_not_close_for_the_other_side() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        for _ in 0..3 {
            firewall
                .to(Node::A, &ask(family, FIN | ACK), 0)
                .passes("forged FIN");
        }
        firewall.age_flows(3_600);
        firewall
            .from(Node::A, &answer(family, ACK))
            .passes("A has not closed its side");
    }
}

#[test]
fn what_begins_where_a_connection_has_just_ended_is_a_connection_of_its_own() {
    for family in FAMILIES {
        let firewall = server();
        connect(&firewall, family);
        for flags in [ACK, ACK, RST] {
            firewall.to(Node::A, &ask(family, flags), 0).passes("data");
        }
        firewall.to(Node::A, &ask(family, SYN), 0).passes("SYN");
        assert_eq!(firewall.flows().len(), 0, "nobody has answered it yet");
        firewall
            .from(Node::A, &answer(family, SYN | ACK))
            .passes("SYN, ACK");
        firewall.to(Node::A, &ask(family, ACK), 0).passes("ACK");
        assert_eq!(firewall.flows().len(), 1, "not taken for the one before");
    }
}
