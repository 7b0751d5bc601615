//! Sizes that occur, and more.

use std::net::Ipv4Addr;

use bridgewall::compile::limits::Needs;
use bridgewall::policy::model::{Action, Peer};
use bridgewall::state::steps::Verdict;
use ipnet::{IpNet, Ipv4Net};

use crate::build::{HTTP, all, closed, containers, tcp};

#[test]
fn a_hundred_thousand_prefixes_and_a_thousand_rules_compile() {
    let mut builder = closed()
        .identity("db")
        .identity("web")
        .network("allowed", &["64.0.0.0/8"], &[])
        .network("blocklist", &[], &[]);
    // One /26 in each of 100,000 neighbouring /24s, some of them in `allowed` too.
    builder.policy.networks[1].cidrs = (0..100_000_u32)
        .map(|index| Ipv4Addr::from_bits(0x4000_0000 + index * 256))
        .map(|address| IpNet::V4(Ipv4Net::new(address, 26).unwrap()))
        .collect();
    let builder = builder.deny("blocklist", "any", all());
    let mut builder = (1..1000_u16).fold(builder, |builder, n| {
        builder.allow("web", "db", tcp(1000 + 2 * n))
    });
    for n in 0..100_u8 {
        builder = builder.rule(Action::Allow, "internet", "web", tcp(80), |rule| {
            let network = Ipv4Net::new(Ipv4Addr::new(203, 0, n, 0), 24).unwrap();
            rule.from = vec![Peer::Cidr(IpNet::V4(network))];
        });
    }
    let world = builder.on(containers(&[
        "web1: web",
        "db1: db",
        "both: web, db",
        "lone:",
    ]));
    let needs = Needs::of(&world.compiled, &world.inventory);
    assert!(needs.networks4 > 100_000, "{needs:?}");
    assert_eq!(needs.rules, 1100);
    assert_eq!(world.verdict("64.0.0.63", "web1", HTTP), Verdict::Deny);
    assert_eq!(world.verdict("64.0.0.64", "web1", HTTP), Verdict::Drop);
    assert_eq!(world.verdict("203.0.99.1", "web1", HTTP), Verdict::Allow);
}
