//! ICMP errors: genuine where they quote a live connection of their receiver.

use crate::fixture::{Firewall, Reason, Side, allow, icmp_selector};
use crate::frame::{
    ACK, Ipv4, Ipv6, Payload, SYN, echo, frame, frame_v4, frame_v6, icmp, icmp_error,
    icmp_protocol, other, sctp, tcp, udp, unreachable,
};
use crate::node::{FAMILIES, Family, Node};

/// A asks B's port 53; nothing else is allowed between them.
fn asked(family: Family) -> (Firewall, Vec<u8>) {
    let firewall = Firewall::new();
    let rules = [allow(1, crate::fixture::port(17, 53))];
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
    let question = frame(family, Node::A, Node::B, &udp(5353, 53));
    firewall.from(Node::A, &question).passes("question");
    (firewall, question)
}

#[test]
fn every_error_about_a_live_connection_passes() {
    for family in FAMILIES {
        let kinds: &[u8] = match family {
            Family::V4 => &[3, 11, 12],
            Family::V6 => &[1, 2, 3, 4],
        };
        let (firewall, question) = asked(family);
        for &kind in kinds {
            for code in [0, 4] {
                let error = icmp_error(family, kind, code, &question);
                firewall
                    .from(Node::B, &frame(family, Node::B, Node::A, &error))
                    .passes_marked(Node::B.number(), &format!("{family:?} {kind}/{code}"));
                firewall
                    .to(
                        Node::A,
                        &frame(family, Node::B, Node::A, &error),
                        Node::B.number(),
                    )
                    .passes("and at the receiver");
            }
        }
        assert_eq!(firewall.new_flows().len(), 1, "errors open nothing");
    }
}

#[test]
fn error_is_about_exactly_the_live_connection() {
    for family in FAMILIES {
        let (firewall, _) = asked(family);
        for (what, quoted) in [
            ("another port", udp(5353, 54)),
            ("another source port", udp(5354, 53)),
            ("another protocol", tcp(5353, 53, SYN)),
            ("swapped ports", udp(53, 5353)),
        ] {
            let quoted = frame(family, Node::A, Node::B, &quoted);
            let error = unreachable(family, &quoted);
            firewall
                .from(Node::B, &frame(family, Node::B, Node::A, &error))
                .drops(Reason::DROP_POLICY_DEFAULT, &format!("{family:?} {what}"));
        }
    }
}

#[test]
fn errors_about_connections_of_every_protocol_pass() {
    for family in FAMILIES {
        let (request, _) = echo(family);
        for quoted in [
            tcp(40_000, 80, SYN),
            udp(1, 2),
            sctp(1, 2),
            icmp(family, request, 0, 9),
            other(47),
        ] {
            let firewall = Firewall::new();
            firewall.open_to(Node::B, Node::A);
            let packet = frame(family, Node::A, Node::B, &quoted);
            let error = frame(family, Node::B, Node::A, &unreachable(family, &packet));
            firewall
                .from(Node::B, &error)
                .drops(Reason::DROP_POLICY_DEFAULT, "before");
            firewall.from(Node::A, &packet).passes("the packet");
            firewall
                .from(Node::B, &error)
                .passes(&format!("{family:?} protocol {}", quoted.protocol));
        }
    }
}

#[test]
fn quote_may_be_cut_behind_eight_bytes() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let packet = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall.from(Node::A, &packet).passes("SYN");
        let header = match family {
            Family::V4 => 14 + 20,
            Family::V6 => 14 + 40,
        };
        let error = |length: usize| {
            let error = unreachable(family, &packet[..header + length]);
            firewall.from(Node::B, &frame(family, Node::B, Node::A, &error))
        };
        error(8).passes("eight bytes of TCP");
        error(7).drops(Reason::DROP_ICMP_ERROR, "seven bytes of TCP");
        error(0).drops(Reason::DROP_ICMP_ERROR, "no TCP");
    }
}

#[test]
fn forged_errors_are_dropped() {
    for family in FAMILIES {
        let (firewall, question) = asked(family);
        let forged = |what: &str, payload: &Payload| {
            firewall
                .from(Node::B, &frame(family, Node::B, Node::A, payload))
                .drops(Reason::DROP_ICMP_ERROR, &format!("{family:?} {what}"));
        };
        let answer = frame(family, Node::B, Node::A, &udp(53, 5353));
        forged(
            "about its sender's own packet",
            &unreachable(family, &answer),
        );
        let about_error = frame(family, Node::A, Node::B, &unreachable(family, &question));
        forged("about an error", &unreachable(family, &about_error));
        forged("without a quote", &unreachable(family, &question[..14]));
        let mut other_version = question.clone();
        other_version[14] ^= 0x20;
        forged("of another version", &unreachable(family, &other_version));
        let later = match family {
            Family::V4 => {
                let ip = Ipv4 {
                    offset: 8,
                    ..Ipv4::new(Node::A.v4(), Node::B.v4())
                };
                frame_v4(Node::A, Node::B, &ip, &udp(5353, 53))
            }
            Family::V6 => {
                let ip = Ipv6::new(Node::A.v6(), Node::B.v6()).fragment(1, 8, false);
                frame_v6(Node::A, Node::B, &ip, &udp(5353, 53))
            }
        };
        forged("about a later fragment", &unreachable(family, &later));
    }
}

#[test]
fn bystander_may_not_send_errors_about_others() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        // A talks to the world; B claims that this failed.
        let packet = frame(family, Node::A, Node::World, &tcp(40_000, 443, SYN));
        firewall.from(Node::A, &packet).passes("SYN");
        let error = frame(family, Node::B, Node::A, &unreachable(family, &packet));
        firewall
            .from(Node::B, &error)
            .drops(Reason::DROP_POLICY_DEFAULT, "from a bystander");
        let error = frame(family, Node::World, Node::A, &unreachable(family, &packet));
        firewall.to(Node::A, &error, 0).passes("from its target");
        let error = frame(family, Node::Lan, Node::A, &unreachable(family, &packet));
        firewall
            .to(Node::A, &error, 0)
            .passes("from a router on the way");
    }
}

#[test]
fn endpoint_may_say_that_it_cannot_take_a_packet() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(
            Side::Ingress,
            Node::A,
            Node::World,
            &[allow(1, crate::fixture::port(17, 53))],
        );
        // Errors are no part of what A may send by itself.
        let (pass, block) = firewall.lists();
        let lists = bridgewall::kernel::abi::identity_record {
            generic: [[block; 4], [block; 4]],
        };
        firewall.set_identity(0, Node::A.identity(), &lists);
        let question = frame(family, Node::World, Node::A, &udp(5353, 53));
        let error = frame(
            family,
            Node::A,
            Node::World,
            &unreachable(family, &question),
        );
        firewall
            .from(Node::A, &error)
            .drops(Reason::DROP_POLICY_DEFAULT, "about no connection");
        firewall.to(Node::A, &question, 0).passes("question");
        firewall.from(Node::A, &error).passes("about the question");
        assert_ne!(pass.first, block.first);
    }
}

#[test]
fn rule_for_an_error_type_allows_it_without_a_connection() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let (kind, code) = match family {
            Family::V4 => (3, 3),
            Family::V6 => (1, 4),
        };
        let rules = [allow(1, icmp_selector(icmp_protocol(family), kind, code))];
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
        let quoted = frame(family, Node::B, Node::A, &udp(1, 2));
        let send = |kind, code| {
            let error = icmp_error(family, kind, code, &quoted);
            firewall.from(Node::A, &frame(family, Node::A, Node::B, &error))
        };
        send(kind, code).passes("the allowed one");
        send(kind, code + 1).drops(Reason::DROP_POLICY_DEFAULT, "another code");
        send(kind + 10, code).drops(Reason::DROP_POLICY_DEFAULT, "another type");
    }
}

#[test]
fn errors_end_with_the_connection() {
    for family in FAMILIES {
        let (firewall, question) = asked(family);
        let error = frame(family, Node::B, Node::A, &unreachable(family, &question));
        firewall.from(Node::B, &error).passes("live");
        firewall.next_generation();
        firewall.from(Node::B, &error).passes("still allowed");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        firewall.next_generation();
        firewall
            .from(Node::B, &error)
            .drops(Reason::DROP_POLICY_DEFAULT, "revoked");

        let (firewall, question) = asked(family);
        let error = frame(family, Node::B, Node::A, &unreachable(family, &question));
        firewall.age_flows(31);
        firewall
            .from(Node::B, &error)
            .drops(Reason::DROP_POLICY_DEFAULT, "expired");
    }
}

#[test]
fn too_big_reaches_the_sender_though_ping_is_refused() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let packet = frame(family, Node::A, Node::World, &tcp(40_000, 443, ACK));
        firewall.from(Node::A, &packet).passes("data");
        let (kind, code) = match family {
            Family::V4 => (3, 4),
            Family::V6 => (2, 0),
        };
        let router = Node::Lan;
        let too_big = icmp_error(family, kind, code, &packet);
        firewall
            .to(Node::A, &frame(family, router, Node::A, &too_big), 0)
            .passes("too big");
        let ping = icmp(family, echo(family).0, 0, 1);
        firewall
            .to(Node::A, &frame(family, router, Node::A, &ping), 0)
            .drops(Reason::DROP_POLICY_DEFAULT, "ping");
    }
}

#[test]
fn quoted_extension_headers_are_walked() {
    let firewall = Firewall::new();
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let ip = Ipv6::new(Node::A.v6(), Node::World.v6()).with(60, &options);
    let packet = frame_v6(Node::A, Node::World, &ip, &udp(5353, 53));
    firewall.from(Node::A, &packet).passes("question");
    let error = unreachable(Family::V6, &packet);
    firewall
        .to(Node::A, &frame(Family::V6, Node::World, Node::A, &error), 0)
        .passes("error");
}
