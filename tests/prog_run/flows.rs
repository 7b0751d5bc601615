//! Connections: replies, promotion, expiry, and judging again when the policy has changed.

use crate::fixture::{Firewall, JUDGED, Reason, Side, Verdict, allow, allow_all, port, rule};
use crate::frame::{ACK, FIN, Payload, RST, SYN, TCP, UDP, frame, other, sctp, tcp, udp};
use crate::node::{FAMILIES, Family, Node};

/// A to B: port 80 of TCP and port 53 of UDP.
fn servers() -> Firewall {
    let firewall = Firewall::new();
    let rules = [allow(1, port(TCP, 80)), allow(2, port(UDP, 53))];
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
    firewall
}

fn ask(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::A, Node::B, payload)
}

fn answer(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::B, Node::A, payload)
}

fn connect(firewall: &Firewall, family: Family) {
    firewall
        .from(Node::A, &ask(family, &tcp(40_000, 80, SYN)))
        .passes_marked(JUDGED | 2, "SYN");
    firewall
        .from(Node::B, &answer(family, &tcp(80, 40_000, SYN | ACK)))
        .passes_marked(JUDGED | 1, "SYN, ACK");
    firewall
        .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
        .passes_marked(JUDGED | 2, "ACK");
}

#[test]
fn replies_pass_without_a_rule() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .drops(Reason::DROP_POLICY_DEFAULT, "answer to no question");
        firewall
            .from(Node::A, &ask(family, &udp(5353, 53)))
            .passes("question");
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .passes_marked(JUDGED | 1, "answer");
        firewall
            .from(Node::B, &answer(family, &udp(53, 5354)))
            .drops(Reason::DROP_POLICY_DEFAULT, "answer to another port");
    }
}

#[test]
fn protocols_without_ports_have_replies_too() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        for payload in [other(47), other(50)] {
            firewall
                .from(Node::B, &answer(family, &payload))
                .drops(Reason::DROP_POLICY_DEFAULT, "unasked");
            firewall
                .from(Node::A, &ask(family, &payload))
                .passes("opened");
            firewall
                .from(Node::B, &answer(family, &payload))
                .passes("answered");
        }
        firewall
            .from(Node::A, &ask(family, &sctp(7, 9)))
            .passes("SCTP");
        firewall
            .from(Node::B, &answer(family, &sctp(9, 7)))
            .passes("SCTP reply");
    }
}

#[test]
fn one_connection_is_one_entry() {
    for family in FAMILIES {
        let firewall = servers();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, SYN)))
            .passes("SYN");
        assert_eq!(firewall.new_flows().len(), 1, "a new connection");
        assert_eq!(firewall.flows().len(), 0, "that nobody has answered");
        let (_, flow) = firewall.new_flows()[0];
        assert_eq!((flow.opener, flow.target), (1, 2));
        assert_eq!(flow.selector, port(TCP, 80));

        connect(&firewall, family);
        assert_eq!(firewall.new_flows().len(), 0, "no longer new");
        assert_eq!(firewall.flows().len(), 1, "answered");
        let before = firewall.flows();
        for _ in 0..100 {
            firewall
                .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
                .passes("data");
            firewall
                .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
                .passes("data");
        }
        assert_eq!(firewall.flows().len(), 1);
        assert_eq!(firewall.new_flows().len(), 0);
        let step = firewall.flows()[0].1.last_seen - before[0].1.last_seen;
        assert!(
            step == 0 || step >= 1_000_000_000,
            "written after {step} ns, not at most once a second"
        );
        assert_eq!(firewall.rule_hits(1), 1, "judged once");
    }
}

#[test]
fn reset_is_no_reply_that_makes_a_connection() {
    for family in FAMILIES {
        let firewall = servers();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, SYN)))
            .passes("SYN");
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, RST | ACK)))
            .passes("connection refused");
        assert_eq!(firewall.flows().len(), 0);
        assert_eq!(firewall.new_flows().len(), 1);
    }
}

#[test]
fn what_only_belongs_to_a_connection_opens_none() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        for (flags, what) in [
            (SYN | ACK, "SYN, ACK"),
            (RST, "RST"),
            (RST | ACK, "RST, ACK"),
            (FIN | ACK, "FIN, ACK"),
        ] {
            firewall
                .from(Node::A, &ask(family, &tcp(40_000, 80, flags)))
                .drops(Reason::DROP_NO_FLOW, what);
        }
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .passes("in the middle of a connection that is older than the firewall");
    }
}

#[test]
fn connection_in_its_middle_is_judged_like_a_new_one() {
    for family in FAMILIES {
        let firewall = servers();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 81, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "port 81");
    }
}

#[test]
fn target_may_not_use_a_connection_to_open_its_own() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, SYN)))
            .drops(Reason::DROP_POLICY_DEFAULT, "SYN between the same ports");
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .passes("the connection itself lives on");
    }
}

#[test]
fn changed_policy_ends_what_it_does_not_allow() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(3, port(TCP, 443))]);
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .passes("before the new policy is published");
        firewall.next_generation();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "after");
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "the other direction");
    }
}

#[test]
fn revoked_connection_is_not_picked_up_the_other_way_round() {
    for family in FAMILIES {
        let firewall = servers();
        // A takes everything from B: as new connections B's segments would pass.
        firewall.open_to(Node::A, Node::B);
        connect(&firewall, family);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        firewall.next_generation();
        for _ in 0..2 {
            firewall
                .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
                .drops(Reason::DROP_POLICY_DEFAULT, "from the target");
            firewall
                .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
                .drops(Reason::DROP_POLICY_DEFAULT, "from the opener");
        }
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, SYN)))
            .passes("a connection of B's own");
    }
}

#[test]
fn revoked_connection_lives_again_when_it_is_allowed_again() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        firewall.next_generation();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "revoked");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(1, port(TCP, 80))]);
        firewall.next_generation();
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
            .passes("allowed again");
    }
}

#[test]
fn changed_policy_keeps_what_it_allows() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(9, port(TCP, 80))]);
        firewall.next_generation();
        // The target speaks first: its segment is judged as the opener's request.
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
            .passes_marked(JUDGED | 1, "reply under the new policy");
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .passes_marked(JUDGED | 2, "opener under the new policy");
        assert_eq!(firewall.flows()[0].1.generation, 2);
        assert_eq!(firewall.rule_hits(9), 0, "no new connection");
    }
}

#[test]
fn other_slot_judges_live_connections_again() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.switch_slot();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "slot 1 allows nothing");
    }
}

#[test]
fn changed_identity_is_judged_again() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.set_endpoint(Node::A, [Node::C.identity(); 2]);
        firewall.next_generation();
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "A is somebody else now");
    }
}

#[test]
fn address_carries_no_rights_to_its_next_owner() {
    for family in FAMILIES {
        let mut firewall = servers();
        connect(&firewall, family);
        // C gets A's address: another endpoint, on the same tuple.
        firewall.set_address(Node::A.address(family), 0, Some(Node::C.number()));
        let mut constants = Firewall::constants(Node::A);
        constants.number = Node::C.number();
        constants.mac = Node::C.mac();
        firewall.reload_template(Node::C, &constants);
        let mut frame = ask(family, &tcp(40_000, 80, ACK));
        frame[6..12].copy_from_slice(&Node::C.mac());
        firewall
            .from(Node::C, &frame)
            .drops(Reason::DROP_POLICY_DEFAULT, "in the same generation");
        firewall.next_generation();
        firewall
            .from(Node::C, &frame)
            .drops(Reason::DROP_POLICY_DEFAULT, "in the next one");
    }
}

#[test]
fn audit_mode_reports_live_connections_that_it_would_drop() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        let audit = rule(Verdict::Audit, 0, 0, 0xff_ffff);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[audit]);
        firewall.next_generation();
        firewall.events();
        for _ in 0..3 {
            firewall
                .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
                .passes("audited");
        }
        let events = firewall.events();
        assert_eq!(events.len(), 1, "once a generation");
        assert_eq!(events[0].verdict, Verdict::Audit as u8);
    }
}

#[test]
fn idle_connections_end() {
    for family in FAMILIES {
        let firewall = servers();
        firewall
            .from(Node::A, &ask(family, &udp(5353, 53)))
            .passes("question");
        firewall.age_flows(31);
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .drops(Reason::DROP_POLICY_DEFAULT, "answer after 31 seconds");

        firewall
            .from(Node::A, &ask(family, &udp(5353, 53)))
            .passes("question");
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .passes("answer");
        firewall.age_flows(179);
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .passes("after 179 seconds");
        firewall.age_flows(181);
        firewall
            .from(Node::B, &answer(family, &udp(53, 5353)))
            .drops(Reason::DROP_POLICY_DEFAULT, "after 181 seconds");
    }
}

#[test]
fn closed_connections_end_soon() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall.age_flows(3_600);
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, FIN | ACK)))
            .passes("FIN after an idle hour");
        firewall.age_flows(3_600);
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
            .passes("half closed, and an hour later");
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, FIN | ACK)))
            .passes("the other FIN");
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, ACK)))
            .passes("the last ACK");
        firewall.age_flows(31);
        firewall
            .from(Node::B, &answer(family, &tcp(80, 40_000, ACK)))
            .drops(Reason::DROP_POLICY_DEFAULT, "31 seconds later");
    }
}

#[test]
fn ports_may_be_used_again_after_a_close() {
    for family in FAMILIES {
        let firewall = servers();
        connect(&firewall, family);
        firewall
            .from(Node::A, &ask(family, &tcp(40_000, 80, RST)))
            .passes("RST");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(5, port(TCP, 80))]);
        connect(&firewall, family);
        assert_eq!(firewall.rule_hits(5), 1, "a connection of its own");
        assert_eq!(firewall.flows().len() + firewall.new_flows().len(), 1);
    }
}

#[test]
fn full_table_refuses_new_connections_and_loses_none() {
    for family in FAMILIES {
        let firewall = Firewall::with(|open| {
            let data = open.maps.rodata_data.as_mut().expect("settings");
            data.settings.flows = [1024, 2];
        });
        firewall.open_to(Node::B, Node::A);
        for port in [1, 2] {
            firewall
                .from(Node::A, &ask(family, &udp(port, 53)))
                .passes("question");
            firewall
                .from(Node::B, &answer(family, &udp(53, port)))
                .passes("answer");
        }
        firewall
            .from(Node::A, &ask(family, &udp(3, 53)))
            .passes("question");
        firewall
            .from(Node::B, &answer(family, &udp(53, 3)))
            .drops(Reason::DROP_FLOW_TABLE_FULL, "answer to the third");
        for port in [1, 2] {
            firewall
                .from(Node::B, &answer(family, &udp(53, port)))
                .passes("the others live");
        }
    }
}

#[test]
fn connections_with_the_host_and_the_world_have_replies() {
    for family in FAMILIES {
        for peer in [Node::Host, Node::World, Node::Lan] {
            let firewall = Firewall::new();
            firewall
                .from(
                    Node::A,
                    &frame(family, Node::A, peer, &tcp(40_000, 443, SYN)),
                )
                .passes_marked(Node::A.number(), "SYN");
            firewall
                .to(
                    Node::A,
                    &frame(family, peer, Node::A, &tcp(443, 40_000, SYN | ACK)),
                    0,
                )
                .passes(&format!("reply of {peer:?}"));
            firewall
                .to(
                    Node::A,
                    &frame(family, peer, Node::A, &tcp(443, 40_001, ACK)),
                    0,
                )
                .drops(Reason::DROP_POLICY_DEFAULT, "to another port");

            firewall.set_rules(Side::Ingress, Node::A, peer, &[allow_all(1)]);
            firewall
                .to(Node::A, &frame(family, peer, Node::A, &udp(7, 9)), 0)
                .passes(&format!("from {peer:?}"));
            firewall
                .from(Node::A, &frame(family, Node::A, peer, &udp(9, 7)))
                .passes_marked(Node::A.number(), &format!("reply to {peer:?}"));
        }
    }
}
