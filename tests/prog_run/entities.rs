//! Which entity the programs take an address for, at every boundary: with the world as the compiler
//! divides it, and a rule of its own for each kind of peer, that counts.

use std::net::IpAddr;

use bridgewall::compile::world::LAN as LOCAL_RANGES;
use bridgewall::kernel::abi;

use crate::boundaries::{GROUPS, MACHINES};
use crate::fixture::{Firewall, Reason, Side, Verdict, allow_all};
use crate::frame::{BROADCAST, frame_between, to_mac, udp};
use crate::node::{FAMILIES, HOST_IDENTITY, INTERNET, LAN, Node};

/// Addresses that must not be on a wire: nobody's, oneself's, and reserved ones.
const FORBIDDEN: [&str; 11] = [
    "0.0.0.0",
    "0.255.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "ff01::1",
];

/// What a peer is taken for, as the programs order kinds; the number of the rule that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host = 1,
    Endpoint = 2,
    Lan = 3,
    Internet = 4,
}

const KINDS: [Kind; 4] = [Kind::Host, Kind::Endpoint, Kind::Lan, Kind::Internet];

impl Kind {
    const fn outside(is_lan: bool) -> Self {
        if is_lan { Self::Lan } else { Self::Internet }
    }
}

/// A's egress has a rule for each kind of peer, and its ingress has another.
fn counting() -> Firewall {
    let firewall = Firewall::new();
    for (groups, length) in [("224.0.0.0", 4), ("ff00::", 8)] {
        firewall.set_network(0, groups.parse().expect("an address"), length, INTERNET);
    }
    for range in LOCAL_RANGES {
        firewall.set_network(0, range.network(), range.prefix_len(), LAN);
    }
    let lists = |first: u32| {
        KINDS.map(|kind| firewall.add_steps(Verdict::Drop, &[allow_all(first + kind as u32)]))
    };
    let record = abi::identity_record {
        generic: [lists(EGRESS), lists(INGRESS)],
    };
    firewall.set_identity(0, Node::A.identity(), &record);
    firewall
}

const EGRESS: u32 = 10;
const INGRESS: u32 = 20;

/// The kinds of peer that rules of one side have decided for, and how often.
fn decided(firewall: &Firewall, side: Side) -> Vec<(Kind, u64)> {
    let first = match side {
        Side::Egress => EGRESS,
        Side::Ingress => INGRESS,
    };
    let hits = KINDS.map(|kind| (kind, firewall.rule_hits(first + kind as u32)));
    hits.into_iter().filter(|(_, hits)| *hits > 0).collect()
}

fn of_same_family(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Node::A.v4().into(),
        IpAddr::V6(_) => Node::A.v6().into(),
    }
}

fn sent_to(address: IpAddr) -> Vec<u8> {
    let own = of_same_family(address);
    frame_between(Node::A, Node::World, own, address, &udp(1000, 4000))
}

fn received_from(address: IpAddr) -> Vec<u8> {
    let own = of_same_family(address);
    frame_between(Node::World, Node::A, address, own, &udp(1000, 4000))
}

#[test]
fn machine_outside_is_in_the_lan_or_on_the_internet() {
    for (text, is_lan) in MACHINES {
        let address = text.parse().expect("an address");
        let wanted = [(Kind::outside(is_lan), 1)];
        let firewall = counting();
        firewall.from(Node::A, &sent_to(address)).passes(text);
        assert_eq!(decided(&firewall, Side::Egress), wanted, "to {text}");
        let firewall = counting();
        let frame = received_from(address);
        firewall
            .to_through(Node::A, &frame, 0, 9)
            .passes(&format!("from {text}"));
        assert_eq!(decided(&firewall, Side::Ingress), wanted, "from {text}");
    }
}

#[test]
fn group_is_in_the_lan_if_it_stays_on_the_link() {
    for (text, is_lan) in GROUPS {
        let firewall = counting();
        let frame = to_mac(sent_to(text.parse().expect("an address")), BROADCAST);
        firewall.from(Node::A, &frame).passes(text);
        let wanted = [(Kind::outside(is_lan), 1)];
        assert_eq!(decided(&firewall, Side::Egress), wanted, "{text}");
        firewall
            .to_through(
                Node::A,
                &received_from(text.parse().expect("an address")),
                0,
                9,
            )
            .drops(
                Reason::DROP_ADDRESS,
                &format!("from {text}: nobody is many"),
            );
    }
}

#[test]
fn address_that_must_not_be_on_a_wire_is_in_no_entity() {
    for text in FORBIDDEN {
        let address: IpAddr = text.parse().expect("an address");
        let firewall = counting();
        firewall
            .from(Node::A, &sent_to(address))
            .drops(Reason::DROP_ADDRESS, &format!("to {text}"));
        firewall
            .to_through(Node::A, &received_from(address), 0, 9)
            .drops(Reason::DROP_ADDRESS, &format!("from {text}"));
        assert_eq!(decided(&firewall, Side::Egress), [], "{text}");
        assert_eq!(decided(&firewall, Side::Ingress), [], "{text}");
    }
}

#[test]
fn every_address_of_the_host_is_the_host_whatever_range_it_lies_in() {
    // On an uplink, in the LAN, on the internet, and at borders.
    for text in [
        "198.51.100.7",
        "192.168.1.1",
        "10.255.255.255",
        "172.18.0.1",
        "100.64.0.0",
        "169.254.1.1",
        "2001:db8:51::1",
        "fd00::1",
        "fc00::",
    ] {
        let address: IpAddr = text.parse().expect("an address");
        let firewall = counting();
        firewall.set_address(address, 0, Some(0));
        firewall.from(Node::A, &sent_to(address)).passes(text);
        assert_eq!(
            decided(&firewall, Side::Egress),
            [(Kind::Host, 1)],
            "{text}"
        );
        firewall
            .to(Node::A, &received_from(address), 0)
            .passes(&format!("from {text}"));
        assert_eq!(
            decided(&firewall, Side::Ingress),
            [(Kind::Host, 1)],
            "{text}"
        );
        // What came in by an interface is not the host, whatever it says.
        let firewall = counting();
        firewall.set_address(address, 0, Some(0));
        firewall
            .to_through(Node::A, &received_from(address), 0, 9)
            .drops(Reason::DROP_SOURCE_UNPROVEN, text);
    }
    assert_eq!(HOST_IDENTITY, Kind::Host as u32);
}

#[test]
fn endpoint_is_a_container_on_its_own_bridge_and_on_another() {
    for family in FAMILIES {
        for peer in [Node::B, Node::C] {
            let firewall = counting();
            firewall.open_to(peer, Node::A);
            let address = peer.address(family);
            firewall
                .from(Node::A, &sent_to(address))
                .passes(&format!("to {peer:?}"));
            let wanted = [(Kind::Endpoint, 1)];
            assert_eq!(decided(&firewall, Side::Egress), wanted, "to {peer:?}");
            let firewall = counting();
            firewall
                .to_through(Node::A, &received_from(address), peer.number(), 9)
                .passes(&format!("from {peer:?}"));
            assert_eq!(decided(&firewall, Side::Ingress), wanted, "from {peer:?}");
            firewall
                .to_through(Node::A, &received_from(address), 0, 9)
                .drops(Reason::DROP_SOURCE_UNPROVEN, "without its mark");
        }
    }
}
