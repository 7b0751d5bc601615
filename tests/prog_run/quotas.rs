//! Room for connections: what each endpoint may hold, what is refused, and what makes room again.

use crate::fixture::{Firewall, Reason, Side, allow_all};
use crate::frame::{ACK, FIN, RST, SYN, frame, icmp, other, tcp, udp};
use crate::node::{FAMILIES, Family, Node};

/// So many connections an endpoint may hold: new ones, answered ones.
const QUOTA: [u32; 2] = [8, 12];

/// Everybody may talk to everybody; room for little.
fn small() -> Firewall {
    let firewall = Firewall::with(|open| {
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.flows_of_endpoint = QUOTA;
        settings.flows = [100, 100];
    });
    for (subject, peer) in [
        (Node::A, Node::B),
        (Node::B, Node::A),
        (Node::A, Node::World),
        (Node::A, Node::Host),
    ] {
        firewall.set_rules(Side::Ingress, subject, peer, &[allow_all(1)]);
    }
    firewall
}

fn open(firewall: &Firewall, family: Family, from: Node, to: Node, port: u16) -> Vec<u8> {
    let question = frame(family, from, to, &udp(port, 53));
    firewall.from(from, &question).passes("question");
    question
}

fn connect(firewall: &Firewall, family: Family, from: Node, to: Node, port: u16) {
    open(firewall, family, from, to, port);
    firewall
        .from(to, &frame(family, to, from, &udp(53, port)))
        .passes("answer");
}

#[test]
fn an_endpoint_that_has_opened_all_it_may_is_refused_and_no_one_else() {
    for family in FAMILIES {
        let firewall = small();
        for port in 1..=8 {
            open(&firewall, family, Node::A, Node::B, port);
        }
        for port in 9..=20 {
            firewall
                .from(Node::A, &frame(family, Node::A, Node::B, &udp(port, 53)))
                .drops(Reason::DROP_FLOW_QUOTA, "one too many");
        }
        assert_eq!(firewall.accounts(1).held, [[8, 0], [0, 0]]);
        assert_eq!(firewall.accounts(1).refused, [[12, 0], [0, 0]]);
        connect(&firewall, family, Node::B, Node::A, 7);
        assert_eq!(firewall.accounts(2).refused, [[0, 0]; 2]);
        for port in 1..=8 {
            open(&firewall, family, Node::A, Node::B, port);
        }
        firewall.assert_counted();
    }
}

#[test]
fn answered_connections_have_a_quota_of_their_own() {
    for family in FAMILIES {
        let firewall = small();
        for port in 1..=12 {
            connect(&firewall, family, Node::A, Node::B, port);
        }
        open(&firewall, family, Node::A, Node::B, 13);
        firewall
            .from(Node::B, &frame(family, Node::B, Node::A, &udp(53, 13)))
            .drops(Reason::DROP_FLOW_QUOTA, "the thirteenth answer");
        assert_eq!(firewall.accounts(1).held, [[1, 12], [0, 0]]);
        assert_eq!(firewall.accounts(1).refused, [[0, 1], [0, 0]]);
        for port in 1..=12 {
            firewall
                .from(Node::B, &frame(family, Node::B, Node::A, &udp(53, port)))
                .passes("those that are live");
        }
        connect(&firewall, family, Node::B, Node::A, 7);
        firewall.assert_counted();
    }
}

#[test]
fn nobody_outside_keeps_an_endpoint_from_opening_connections() {
    for family in FAMILIES {
        for peer in [Node::World, Node::Host] {
            let firewall = small();
            for port in 1..=8 {
                firewall
                    .to(Node::A, &frame(family, peer, Node::A, &udp(port, 53)), 0)
                    .passes("question");
            }
            firewall
                .to(Node::A, &frame(family, peer, Node::A, &udp(9, 53)), 0)
                .drops(Reason::DROP_FLOW_QUOTA, "one too many");
            assert_eq!(firewall.accounts(1).held, [[0, 0], [8, 0]]);
            assert_eq!(firewall.accounts(1).refused, [[0, 0], [1, 0]]);
            open(&firewall, family, Node::A, Node::B, 1);
            firewall.assert_counted();
        }
    }
}

#[test]
fn the_whole_table_has_room_for_so_many_new_connections() {
    let firewall = Firewall::with(|open| {
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.flows = [3, 100];
    });
    firewall.open_to(Node::A, Node::B);
    firewall.open_to(Node::B, Node::A);
    open(&firewall, Family::V4, Node::A, Node::B, 1);
    open(&firewall, Family::V4, Node::A, Node::B, 2);
    open(&firewall, Family::V6, Node::B, Node::A, 3);
    firewall
        .from(Node::B, &frame(Family::V4, Node::B, Node::A, &udp(4, 53)))
        .drops(Reason::DROP_FLOW_TABLE_FULL, "the fourth");
    assert_eq!(firewall.accounts(0).refused, [[1, 0], [0, 0]]);
    assert_eq!(firewall.accounts(2).refused, [[0, 0]; 2], "not its fault");
    // What is answered has room of its own, and leaves room for another new one.
    firewall
        .from(Node::B, &frame(Family::V4, Node::B, Node::A, &udp(53, 1)))
        .passes("answer");
    open(&firewall, Family::V4, Node::B, Node::A, 4);
    firewall.assert_counted();
}

#[test]
fn where_little_room_is_left_packets_make_some_without_the_daemon() {
    for family in FAMILIES {
        let firewall = small();
        for port in 1..=6 {
            open(&firewall, family, Node::A, Node::B, port);
        }
        assert!(!firewall.was_swept(), "three quarters are not in use yet");
        // No timeout has passed, but nobody needs three seconds to answer.
        firewall.age_flows(3);
        open(&firewall, family, Node::A, Node::B, 7);
        assert!(firewall.was_swept());
        assert_eq!(firewall.new_flows().len(), 4, "half is free again");
        for port in 11..=14 {
            open(&firewall, family, Node::A, Node::B, port);
        }
        firewall.assert_counted();
    }
}

#[test]
fn what_is_answered_and_used_is_never_removed_for_want_of_room() {
    let firewall = small();
    for port in 1..=12 {
        connect(&firewall, Family::V4, Node::A, Node::B, port);
    }
    firewall.age_flows(100);
    open(&firewall, Family::V4, Node::A, Node::B, 13);
    firewall
        .from(Node::B, &frame(Family::V4, Node::B, Node::A, &udp(53, 13)))
        .drops(Reason::DROP_FLOW_QUOTA, "no room");
    assert!(firewall.was_swept());
    assert_eq!(firewall.flows().len(), 12);
}

#[test]
fn connections_that_are_over_make_room_soon_where_it_is_short() {
    let firewall = small();
    for port in 1..=12 {
        let segment = |flags| frame(Family::V4, Node::A, Node::B, &tcp(port, 80, flags));
        let reply = |flags| frame(Family::V4, Node::B, Node::A, &tcp(80, port, flags));
        firewall.from(Node::A, &segment(SYN)).passes("SYN");
        firewall.from(Node::B, &reply(SYN | ACK)).passes("SYN, ACK");
        firewall.from(Node::A, &segment(ACK)).passes("ACK");
        firewall.from(Node::A, &segment(FIN | ACK)).passes("FIN");
        firewall.from(Node::B, &reply(FIN | ACK)).passes("FIN");
    }
    firewall.age_flows(3);
    firewall.was_swept();
    connect_tcp(&firewall, 13, Reason::DROP_FLOW_QUOTA);
    assert!(firewall.was_swept(), "by the packet that found no room");
    connect_tcp(&firewall, 13, Reason::DROP_NONE);
    firewall.assert_counted();
}

/// Opens one; its last segment is dropped for this reason.
fn connect_tcp(firewall: &Firewall, port: u16, reason: Reason) {
    let segment = |flags| frame(Family::V4, Node::A, Node::B, &tcp(port, 80, flags));
    let reply = frame(Family::V4, Node::B, Node::A, &tcp(80, port, SYN | ACK));
    firewall.from(Node::A, &segment(SYN)).passes("SYN");
    firewall.from(Node::B, &reply).passes("SYN, ACK");
    let last = firewall.from(Node::A, &segment(ACK));
    match reason {
        Reason::DROP_NONE => last.passes("ACK"),
        _ => last.drops(reason, "ACK"),
    }
}

#[test]
fn sweeping_removes_what_has_expired_and_says_when_the_next_does() {
    for family in FAMILIES {
        let firewall = small();
        connect(&firewall, family, Node::A, Node::B, 1);
        open(&firewall, family, Node::A, Node::B, 2);
        firewall.age_flows(31);
        open(&firewall, family, Node::B, Node::A, 3);
        let sweep = firewall.sweep();
        assert_eq!((sweep.removed, sweep.left), (1, 2));
        let seconds = (sweep.next - sweep.now).div_ceil(1_000_000_000);
        assert_eq!(seconds, 30, "the new one is the next");
        firewall.assert_counted();

        firewall.age_flows(181);
        let sweep = firewall.sweep();
        assert_eq!((sweep.removed, sweep.left, sweep.next), (2, 0, 0));
        assert_eq!(firewall.entries_of_flows().len(), 0);
        firewall.assert_counted();
    }
}

#[test]
fn an_endpoint_that_is_gone_leaves_nothing_for_the_next_of_its_number_to_pay() {
    for family in FAMILIES {
        let firewall = small();
        connect(&firewall, family, Node::A, Node::B, 1);
        connect(&firewall, family, Node::B, Node::A, 2);
        open(&firewall, family, Node::A, Node::World, 3);
        firewall.set_endpoint(Node::B, [0; 2]);
        let sweep = firewall.sweep();
        assert_eq!((sweep.removed, sweep.left), (2, 1));
        assert_eq!(firewall.accounts(2).held, [[0; 2]; 2]);
        firewall.assert_counted();
    }
}

#[test]
fn whatever_becomes_of_connections_the_counters_say_what_is_there() {
    for family in FAMILIES {
        let firewall = small();
        let echo = if family == Family::V4 {
            (8, 0)
        } else {
            (128, 129)
        };
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for step in 0..3_000 {
            let port = 1 + next(6) as u16;
            let (from, to) = [(Node::A, Node::B), (Node::B, Node::A)][next(2) as usize];
            let asks = from == Node::A;
            let (source, destination) = if asks { (port, 80) } else { (80, port) };
            let flags = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK][next(6) as usize];
            let payload = match next(5) {
                0 | 1 => tcp(source, destination, flags),
                2 => udp(source, destination),
                3 => icmp(family, if asks { echo.0 } else { echo.1 }, 0, port),
                _ => other(47),
            };
            // What becomes of it is for other tests to say.
            let _ = firewall.from(from, &frame(family, from, to, &payload));
            match next(40) {
                0 => firewall.age_flows(1 + next(40)),
                1 => drop(firewall.sweep()),
                2 => firewall.next_generation(),
                3 => {
                    firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
                    firewall.next_generation();
                }
                4 => {
                    firewall.open_to(Node::B, Node::A);
                    firewall.next_generation();
                }
                _ => {}
            }
            if step % 50 == 0 {
                firewall.assert_counted();
            }
        }
        firewall.assert_counted();
        firewall.age_flows(1_000_000);
        firewall.sweep();
        assert_eq!(firewall.entries_of_flows().len(), 0);
        firewall.assert_counted();
    }
}
