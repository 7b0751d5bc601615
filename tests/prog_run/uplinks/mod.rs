//! The host's own policy on its ways to the outside: what arrives, what leaves, and what XDP drops before.

mod arriving;
mod leaving;
mod link;
mod xdp;

use std::net::Ipv6Addr;

use bridgewall::kernel::abi;
use libbpf_rs::ProgramInput;

use crate::contract::address;
use crate::fixture::{Firewall, Outcome, Reason, Rule, Side, Verdict};
use crate::frame::{Family, Ipv4, Ipv6, Payload, frame_v4, frame_v6};
use crate::node::{HOST_IDENTITY, Node};

/// Of `xdp_action` (bpf.h).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// A host that lets in what these rules allow the world, and else nothing; what it opens is allowed.
fn closed(rules: &[Rule]) -> Firewall {
    let firewall = Firewall::new();
    let (pass, block) = firewall.lists();
    let host = abi::identity_record {
        generic: [[pass; 4], [block; 4]],
    };
    firewall.set_identity(0, HOST_IDENTITY, &host);
    firewall.set_rules(Side::Ingress, Node::Host, Node::World, rules);
    firewall
}

/// A host that opens what these rules allow towards the world, and else nothing; the world may open
/// anything to it.
fn confined(rules: &[Rule]) -> Firewall {
    let firewall = Firewall::new();
    let (pass, block) = firewall.lists();
    let host = abi::identity_record {
        generic: [[block; 4], [pass; 4]],
    };
    firewall.set_identity(0, HOST_IDENTITY, &host);
    // Where nothing is said, `set_rules` allows the egress side.
    let list = firewall.add_steps(Verdict::Drop, rules);
    let key = abi::policy_key {
        slot: 0,
        side: Side::Egress as u8,
        subject: HOST_IDENTITY as u16,
        peer: Node::World.identity(),
    };
    firewall.write(&firewall.loan().skeleton.maps.policy, &key, &list);
    firewall
}

impl Firewall {
    /// What comes in at an uplink.
    pub fn arriving(&self, frame: &[u8]) -> Outcome {
        let body = &self.loan().skeleton.progs.from_uplink_body;
        self.run(body, frame, 0, 0)
    }

    /// What the host itself sends by an uplink.
    pub fn leaving(&self, frame: &[u8]) -> Outcome {
        self.leaving_from(frame, 0, 0)
    }

    /// What leaves by an uplink after it came in elsewhere, with an endpoint's mark or none.
    pub fn leaving_from(&self, frame: &[u8], mark: u32, ingress_ifindex: u32) -> Outcome {
        let body = &self.loan().skeleton.progs.to_uplink_body;
        self.run(body, frame, mark, ingress_ifindex)
    }

    /// What comes in at an uplink, in XDP's eyes.
    pub fn at_xdp(&self, frame: &[u8]) -> Outcome {
        let before = self.counted_drops();
        let program = &self.loan().skeleton.progs.uplink_xdp;
        let input = ProgramInput {
            data_in: Some(frame),
            ..Default::default()
        };
        let verdict = program.test_run(input).expect("test run").return_value;
        let after = self.counted_drops();
        let mut counted = after.iter().filter(|count| !before.contains(count));
        let reason = counted.next().map(|(reason, _)| *reason);
        assert!(counted.next().is_none(), "one reason for each drop");
        match (verdict, reason) {
            (XDP_PASS, None) => Outcome::Passed { mark: 0 },
            (XDP_DROP, Some(reason)) => Outcome::Dropped(reason),
            other => panic!("verdict and reason: {other:?}"),
        }
    }

    /// A rule denies everything to the world's senders; with `both_ways`, nobody may open anything to
    /// them either.
    fn condemn_the_world(&self, rule: u32, both_ways: bool) {
        let flags = u32::from(both_ways) * abi::denial_flag::DENIAL_BOTH_WAYS.0;
        let denial = abi::denial { rule, flags };
        let index = (Node::World.identity() & 0x3fff_ffff) << 2;
        self.write(&self.loan().skeleton.maps.denials, &index, &denial);
        self.loan().written.lock().unwrap().rules.insert(rule);
    }

    /// The world may always reach this port of the host.
    fn manage_at(&self, port: u16, from: Node, family: Family) {
        let from = from.address(family);
        let key = abi::management_key {
            prefix_length: 32 + 128,
            port: port.to_be(),
            _pad: 0,
            address: address(from),
        };
        let map = &self.loan().skeleton.maps.management;
        self.write(map, &key, &abi::management { allowed: 1 });
    }
}

/// One fragment from one to another.
fn fragment(
    (from, to): (Node, Node),
    family: Family,
    (offset, more): (u16, bool),
    payload: &Payload,
) -> Vec<u8> {
    match family {
        Family::V4 => {
            let ip = Ipv4 {
                offset,
                more_fragments: more,
                ..Ipv4::new(from.v4(), to.v4())
            };
            frame_v4(from, to, &ip, payload)
        }
        Family::V6 => {
            let ip = Ipv6::new(from.v6(), to.v6()).fragment(7, offset, more);
            frame_v6(from, to, &ip, payload)
        }
    }
}

/// Data without a header of its own.
fn data(protocol: u8, length: usize) -> Payload {
    Payload {
        protocol,
        bytes: vec![0; length],
    }
}

/// A router on the link.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What an empty policy says.
const REFUSED: Reason = Reason::DROP_POLICY_DEFAULT;
