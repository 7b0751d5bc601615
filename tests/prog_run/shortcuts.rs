//! Packets that go past the bridge.

use bridgewall::kernel::abi;

use crate::fixture::{Firewall, JUDGED, Outcome, Reason};
use crate::frame::{ACK, FIN, SYN, frame, tcp, to_mac, udp};
use crate::node::{FAMILIES, Node};

/// Traffic of one endpoint: passed from it and to it.
fn passed(firewall: &Firewall, node: Node) -> [u64; 2] {
    let [from, to, ..] = firewall.traffic(node);
    [from, to]
}

fn shortcut(node: Node) -> abi::shortcut {
    abi::shortcut {
        ifindex: node.ifindex(),
        bridge: node.bridge(),
        mac: node.mac(),
        _pad: 0,
    }
}

#[test]
fn what_is_judged_for_both_sides_is_led_and_counted_for_both() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        for node in [Node::A, Node::B] {
            firewall.set_shortcut(node, &shortcut(node));
        }
        let asked = frame(family, Node::A, Node::B, &udp(4000, 53));
        let answered = frame(family, Node::B, Node::A, &udp(53, 4000));
        for (round, what) in ["new", "known", "known for longer"].into_iter().enumerate() {
            let count = round as u64 + 1;
            assert_eq!(firewall.from(Node::A, &asked), Outcome::Led, "{what}");
            assert_eq!(firewall.from(Node::B, &answered), Outcome::Led, "{what}");
            assert_eq!(passed(&firewall, Node::A), [count; 2], "{what}");
            assert_eq!(passed(&firewall, Node::B), [count; 2], "{what}");
        }
    }
}

#[test]
fn what_no_rule_allows_is_dropped_whatever_shortcuts_there_are() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_shortcut(Node::B, &shortcut(Node::B));
        let packet = frame(family, Node::A, Node::B, &tcp(4000, 80, SYN));
        firewall
            .from(Node::A, &packet)
            .drops(Reason::DROP_POLICY_DEFAULT, "no rule");
    }
}

#[test]
fn a_shortcut_leads_to_that_endpoint_alone_and_only_while_it_is_there() {
    for family in FAMILIES {
        let right = shortcut(Node::B);
        let other = |change: fn(&mut abi::shortcut)| {
            let mut shortcut = right;
            change(&mut shortcut);
            shortcut
        };
        for (what, wrong) in [
            ("none", abi::shortcut::default()),
            ("on another bridge", other(|s| s.bridge += 1)),
            ("another interface", other(|s| s.ifindex += 1)),
            ("another MAC address", other(|s| s.mac[5] ^= 1)),
        ] {
            let firewall = Firewall::new();
            firewall.open_to(Node::B, Node::A);
            firewall.set_shortcut(Node::B, &wrong);
            let packet = frame(family, Node::A, Node::B, &udp(4000, 53));
            firewall
                .from(Node::A, &packet)
                .passes_marked(JUDGED | Node::B.number(), what);
        }
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        firewall.set_shortcut(Node::B, &right);
        let packet = frame(family, Node::A, Node::B, &udp(4000, 53));
        assert_eq!(firewall.from(Node::A, &packet), Outcome::Led);
        let astray = to_mac(packet.clone(), Node::C.mac());
        firewall
            .from(Node::A, &astray)
            .passes_marked(JUDGED | Node::B.number(), "addressed to C");
        firewall.set_endpoint(Node::B, [0; 2]);
        firewall
            .from(Node::A, &packet)
            .passes_marked(JUDGED | Node::B.number(), "B is gone: its own hook drops");
    }
}

#[test]
fn the_end_of_a_known_connection_is_noted() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let there = |flags| frame(family, Node::A, Node::B, &tcp(4000, 80, flags));
        let back = |flags| frame(family, Node::B, Node::A, &tcp(80, 4000, flags));
        for (node, packet) in [
            (Node::A, there(SYN)),
            (Node::B, back(SYN | ACK)),
            (Node::A, there(ACK)),
            (Node::A, there(ACK)),
            (Node::A, there(FIN | ACK)),
            (Node::B, back(FIN | ACK)),
        ] {
            firewall.from(node, &packet).passes("a conversation");
        }
        // Closed: a SYN of the target is a connection of its own, which nobody allows.
        firewall
            .from(Node::B, &back(SYN))
            .drops(Reason::DROP_POLICY_DEFAULT, "the other way round");
    }
}

#[test]
fn a_known_connection_ends_with_the_policy_that_allowed_it() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let packet = frame(family, Node::A, Node::B, &udp(4000, 53));
        firewall.from(Node::A, &packet).passes("new");
        firewall.from(Node::A, &packet).passes("known");
        firewall.switch_slot();
        firewall.from(Node::A, &packet).drops(
            Reason::DROP_POLICY_DEFAULT,
            "the other policy has no such rule",
        );
    }
}
