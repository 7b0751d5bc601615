//! What the programs cost the verifier.

use std::os::fd::AsFd as _;

use libbpf_rs::Program;
use libbpf_rs::query::ProgInfoIter;

use crate::fixture::Firewall;
use crate::node::Node;

const BODY_BUDGET: u32 = 100_000;
const TEMPLATE_BUDGET: u32 = 2_000;

/// With all the addresses an endpoint may have: each costs the template a comparison.
#[test]
fn programs_stay_within_the_verifiers_budget() {
    let mut firewall = Firewall::new();
    let mut constants = Firewall::constants(Node::A);
    constants.ipv4_count = constants.ipv4.len() as u32;
    constants.ipv6_count = constants.ipv6.len() as u32;
    for index in 1..constants.ipv4.len() {
        constants.ipv4[index] = constants.ipv4[0] + index as u32;
        constants.ipv6[index].word[3] = index as u32;
    }
    firewall.reload_template(Node::A, &constants);
    for (name, program) in firewall.programs() {
        let id = Program::id_from_fd(program.as_fd()).expect("program id");
        let verified = ProgInfoIter::default()
            .find(|info| info.id == id)
            .expect("the program is loaded")
            .verified_insns;
        let budget = if name.ends_with("body") {
            BODY_BUDGET
        } else {
            TEMPLATE_BUDGET
        };
        println!("{name}: {verified} instructions verified, {budget} allowed");
        assert!(verified <= budget, "{name}: {verified} > {budget}");
    }
}
