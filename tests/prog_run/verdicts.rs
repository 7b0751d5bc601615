//! New connections: who may talk to whom.

use crate::fixture::{Firewall, JUDGED, Reason, Side, allow, port};
use crate::frame::{SYN, TCP, frame, tcp};
use crate::node::{FAMILIES, Node};

#[test]
fn allowed_port_passes_and_its_neighbours_do_not() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(7, port(TCP, 80))]);
        for (destination, expected) in [(79, false), (80, true), (81, false)] {
            let outcome = firewall.from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, destination, SYN)),
            );
            let what = format!("{family:?} port {destination}");
            if expected {
                outcome.passes_marked(JUDGED | Node::B.number(), &what);
            } else {
                outcome.drops(Reason::DROP_POLICY_DEFAULT, &what);
            }
        }
    }
}
