//! New connections: who may talk to whom.

use crate::fixture::{Firewall, JUDGED, Reason, Rule, Side, Verdict, allow, allow_all, port, rule};
use crate::frame::{GRE, SCTP, SYN, TCP, UDP, frame, other, sctp, tcp, udp};
use crate::node::{FAMILIES, INTERNET, Node};

#[test]
fn allowed_port_passes_and_its_neighbours_do_not() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(7, port(TCP, 80))]);
        for (destination, allowed) in [(79, false), (80, true), (81, false), (0, false)] {
            let syn = frame(family, Node::A, Node::B, &tcp(40_000, destination, SYN));
            let outcome = firewall.from(Node::A, &syn);
            let what = format!("{family:?} port {destination}");
            if allowed {
                outcome.passes_marked(JUDGED | Node::B.number(), &what);
            } else {
                outcome.drops(Reason::DROP_POLICY_DEFAULT, &what);
            }
        }
    }
}

#[test]
fn range_ends_where_it_says() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let range = rule(Verdict::Allow, 7, port(UDP, 8000), port(UDP, 8100));
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[range]);
        for (destination, allowed) in [
            (7999, false),
            (8000, true),
            (8050, true),
            (8100, true),
            (8101, false),
        ] {
            let packet = frame(family, Node::A, Node::B, &udp(1000, destination));
            let outcome = firewall.from(Node::A, &packet);
            if allowed {
                outcome.passes(&format!("port {destination}"));
            } else {
                outcome.drops(Reason::DROP_POLICY_DEFAULT, &format!("port {destination}"));
            }
        }
    }
}

#[test]
fn port_of_one_protocol_opens_no_other() {
    for family in FAMILIES {
        for allowed in [TCP, UDP, SCTP] {
            let firewall = Firewall::new();
            firewall.set_rules(
                Side::Ingress,
                Node::B,
                Node::A,
                &[allow(1, port(allowed, 53))],
            );
            for payload in [
                tcp(1000, 53, SYN),
                udp(1000, 53),
                sctp(1000, 53),
                other(GRE),
            ] {
                let what = format!("{} where {allowed} is allowed", payload.protocol);
                let outcome = firewall.from(Node::A, &frame(family, Node::A, Node::B, &payload));
                if payload.protocol == allowed {
                    outcome.passes(&what);
                } else {
                    outcome.drops(Reason::DROP_POLICY_DEFAULT, &what);
                }
            }
        }
    }
}

#[test]
fn protocol_without_ports_is_judged_by_its_number() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(1, port(GRE, 0))]);
        firewall
            .from(Node::A, &frame(family, Node::A, Node::B, &other(GRE)))
            .passes("GRE");
        for protocol in [46, 48, 50, 115] {
            firewall
                .from(Node::A, &frame(family, Node::A, Node::B, &other(protocol)))
                .drops(Reason::DROP_POLICY_DEFAULT, &format!("protocol {protocol}"));
        }
    }
}

#[test]
fn greater_verdict_of_both_sides_holds() {
    use Verdict::{Allow, Audit, Deny, Drop};
    for family in FAMILIES {
        for egress in [Allow, Audit, Drop, Deny] {
            for ingress in [Allow, Audit, Drop, Deny] {
                let firewall = Firewall::new();
                let all = |verdict, number| -> [Rule; 1] { [rule(verdict, number, 0, 0xff_ffff)] };
                firewall.set_rules(Side::Egress, Node::A, Node::B, &all(egress, 11));
                firewall.set_rules(Side::Ingress, Node::B, Node::A, &all(ingress, 12));
                let syn = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
                let outcome = firewall.from(Node::A, &syn);
                let what = format!("egress {egress:?}, ingress {ingress:?}");
                match (egress as u8).max(ingress as u8) {
                    0 | 1 => outcome.passes(&what),
                    2 => outcome.drops(Reason::DROP_POLICY_DEFAULT, &what),
                    _ => outcome.drops(Reason::DROP_POLICY_DENY, &what),
                }
                assert_eq!(firewall.rule_hits(11), 1, "{what}: the egress rule's hits");
                assert_eq!(firewall.rule_hits(12), 1, "{what}: the ingress rule's hits");

                let event = firewall.events().pop();
                let greater = (egress as u8).max(ingress as u8);
                if greater == 0 {
                    assert!(event.is_none(), "{what}: nothing to report");
                    continue;
                }
                let event = event.expect("an event");
                let side = u8::from((egress as u8) < (ingress as u8));
                assert_eq!(event.verdict, greater, "{what}");
                assert_eq!(event.side, side, "{what}: the side that decided");
                assert_eq!((event.egress_rule, event.ingress_rule), (11, 12), "{what}");
            }
        }
    }
}

#[test]
fn one_rule_that_speaks_for_both_sides_is_hit_once() {
    let firewall = Firewall::new();
    firewall.set_rules(Side::Egress, Node::A, Node::B, &[allow_all(5)]);
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow_all(5)]);
    let syn = frame(FAMILIES[0], Node::A, Node::B, &tcp(40_000, 80, SYN));
    firewall.from(Node::A, &syn).passes("SYN");
    firewall.from(Node::A, &syn).passes("the same again");
    assert_eq!(firewall.rule_hits(5), 1, "one connection");
}

#[test]
fn every_kind_of_peer_has_its_own_default() {
    for family in FAMILIES {
        for (peer, kind) in [
            (Node::Host, 0),
            (Node::B, 1),
            (Node::C, 1),
            (Node::Lan, 2),
            (Node::World, 3),
        ] {
            let firewall = Firewall::new();
            firewall.open_to(Node::B, Node::A);
            firewall.open_to(Node::C, Node::A);
            let (pass, block) = firewall.lists();
            let mut lists = bridgewall::kernel::abi::identity_record {
                generic: [[pass; 4]; 2],
            };
            lists.generic[Side::Egress as usize][kind] = block;
            firewall.set_identity(0, Node::A.identity(), &lists);
            for other in [Node::Host, Node::B, Node::C, Node::Lan, Node::World] {
                let same = other == peer
                    || matches!((peer, other), (Node::B | Node::C, Node::B | Node::C));
                let outcome = firewall.from(
                    Node::A,
                    &frame(family, Node::A, other, &tcp(40_000, 80, SYN)),
                );
                let what = format!("{other:?} where {peer:?}'s kind is refused");
                if same {
                    outcome.drops(Reason::DROP_POLICY_DEFAULT, &what);
                } else {
                    outcome.passes(&what);
                }
            }
        }
    }
}

#[test]
fn network_is_judged_by_its_longest_prefix() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let office = INTERNET | 7;
        let (network, host_bits) = match family {
            crate::node::Family::V4 => (24, 32),
            crate::node::Family::V6 => (48, 128),
        };
        firewall.set_network(0, Node::World.address(family), network, office);
        firewall.set_rules_in(
            0,
            Side::Egress,
            Node::A,
            office,
            &[rule(Verdict::Deny, 3, 0, 0xff_ffff)],
        );
        let syn = |port| frame(family, Node::A, Node::World, &tcp(port, 80, SYN));
        firewall
            .from(Node::A, &syn(1))
            .drops(Reason::DROP_POLICY_DENY, "in the network");
        firewall.set_network(0, Node::World.address(family), host_bits, INTERNET);
        firewall.from(Node::A, &syn(2)).passes("the exception");
    }
}

#[test]
fn long_list_of_steps_is_searched_to_both_ends() {
    let firewall = Firewall::new();
    let rules: Vec<_> = (0..5_000)
        .map(|index| allow(index % 4000, port(TCP, (index * 2 + 1) as u16)))
        .collect();
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
    for destination in [
        1, 2, 3, 4_999, 5_000, 5_001, 9_997, 9_998, 9_999, 10_000, 10_001,
    ] {
        let syn = frame(
            FAMILIES[0],
            Node::A,
            Node::B,
            &tcp(40_000, destination, SYN),
        );
        let outcome = firewall.from(Node::A, &syn);
        if destination % 2 == 1 && destination < 10_000 {
            outcome.passes(&format!("port {destination}"));
        } else {
            outcome.drops(Reason::DROP_POLICY_DEFAULT, &format!("port {destination}"));
        }
    }
}

#[test]
fn missing_record_drops() {
    for family in FAMILIES {
        let syn = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        let firewall = Firewall::new();
        firewall.set_identity(0, Node::B.identity(), &Default::default());
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_IDENTITY_MISSING, "no lists for the target");

        let firewall = Firewall::new();
        firewall.set_endpoint(Node::B, [0, 0]);
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_IDENTITY_MISSING, "no record for the target");
    }
    let firewall = Firewall::new();
    firewall.remove_default_route(0);
    firewall
        .from(
            Node::A,
            &frame(FAMILIES[0], Node::A, Node::World, &tcp(40_000, 80, SYN)),
        )
        .drops(Reason::DROP_IDENTITY_MISSING, "no network");
}

#[test]
fn peer_on_another_bridge_is_judged_for_both_sides_but_not_marked_so() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let syn = frame(family, Node::A, Node::C, &tcp(40_000, 80, SYN));
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_POLICY_DEFAULT, "C takes nothing from A");
        firewall.open_to(Node::C, Node::A);
        firewall
            .from(Node::A, &syn)
            .passes_marked(Node::A.number(), "C takes all from A");
        firewall
            .to(Node::C, &syn, Node::A.number())
            .passes("at the receiver");
        assert_eq!(firewall.rule_hits(1), 1, "judged once");
    }
}

#[test]
fn only_the_judging_slot_counts() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules_in(
            1,
            Side::Ingress,
            Node::B,
            Node::A.identity(),
            &[allow_all(1)],
        );
        let syn = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_POLICY_DEFAULT, "slot 0 judges");
        firewall.switch_slot();
        firewall.from(Node::A, &syn).passes("slot 1 judges");
    }
}
