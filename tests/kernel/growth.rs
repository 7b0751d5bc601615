//! Lists that need more room than there is: the table of networks is replaced by a larger one.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Instant;

use bridgewall::config::Attach;
use bridgewall::kernel::{Adoption, Kernel};
use bridgewall::state::desired::Desired;
use bridgewall::state::diff::plan;
use bridgewall::state::networks::Networks;
use bridgewall::state::numbers::IdentityNumber;
use bridgewall::state::plan::Operation;
use bridgewall::state::steps::Verdict;
use ipnet::IpNet;
use libbpf_rs::{MapCore, MapHandle};

use crate::PATIENCE;
use crate::host::{Host, on_a_host};
use crate::states::{assert_reached, desired, reach};

const TABLE: &str = "maps-1/network_nodes";

fn open(host: &Host, blocks: u32) -> Kernel {
    let mut settings = host.settings(Attach::Auto);
    settings.limits.network_blocks = blocks;
    Kernel::open(settings).expect("open the kernel part")
}

/// The same, with so many single IPv6 addresses in a network, far from each other.
fn with_addresses(mut desired: Desired, count: u128) -> Desired {
    let network = |prefix: &str| prefix.parse::<IpNet>().expect("a prefix");
    let mut table = BTreeMap::from([
        (network("0.0.0.0/0"), IdentityNumber::internet(0)),
        (network("::/0"), IdentityNumber::internet(0)),
    ]);
    let step = u128::MAX / 8 / count;
    for number in 0..count {
        let address = Ipv6Addr::from((1 << 125) + number * step + 1);
        table.insert(
            IpNet::from(std::net::IpAddr::V6(address)),
            IdentityNumber::lan(1),
        );
    }
    desired.policy.networks = Arc::new(Networks::new(&table));
    desired
}

fn growths(kernel: &mut Kernel, desired: &Desired) -> usize {
    let plan = reach(kernel, desired);
    let grows = |operation: &&Operation| matches!(operation, Operation::GrowNetworks(_));
    plan.operations.iter().filter(grows).count()
}

#[test]
fn a_list_that_needs_more_room_gets_it_and_what_was_there_stays() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let small = desired(Verdict::Allow, &[veth]);
        let mut kernel = open(host, 1 << 20);
        assert_eq!(growths(&mut kernel, &small), 0);
        let pins = host.all_pins();
        let before = host.pinned(TABLE);
        let number = before.info().expect("ask").info.id;
        drop(before);

        let large = with_addresses(desired(Verdict::Allow, &[veth]), 60_000);
        assert_eq!(growths(&mut kernel, &large), 1);
        let room = host.pinned(TABLE).max_entries();
        assert!(room > 1 << 16, "{room}");
        assert_eq!(
            host.all_pins(),
            pins,
            "the same pins, and nothing beside them"
        );
        // Nobody holds on to the one before: its memory is free.
        let deadline = Instant::now() + PATIENCE;
        while MapHandle::from_map_id(number).is_ok() {
            assert!(Instant::now() < deadline, "the table before is in use");
            std::thread::yield_now();
        }
        // Others take its place without more room, and a new interface gets the same programs.
        let other = host.veth(102);
        let next = with_addresses(desired(Verdict::Drop, &[veth, other]), 60_001);
        let _ = growths(&mut kernel, &next);

        drop(kernel);
        let mut kernel = open(host, 1 << 20);
        assert_eq!(*kernel.adoption(), Adoption::Adopted);
        assert_reached(&mut kernel, &next);
    });
}

#[test]
fn no_table_grows_beyond_its_limit() {
    on_a_host(|host| {
        let mut kernel = open(host, 70_000);
        reach(&mut kernel, &desired(Verdict::Allow, &[]));
        let large = with_addresses(desired(Verdict::Allow, &[]), 60_000);
        let refusal = plan(kernel.observe().expect("observe"), &large).expect_err("no room");
        let text = refusal.to_string();
        for part in ["70000", "limits.network_blocks"] {
            assert!(text.contains(part), "{text}");
        }
        assert_reached(&mut kernel, &desired(Verdict::Allow, &[]));
    });
}

#[test]
fn a_table_that_is_larger_than_is_allowed_any_more_is_replaced() {
    on_a_host(|host| {
        let large = with_addresses(desired(Verdict::Allow, &[]), 60_000);
        reach(&mut open(host, 1 << 20), &large);
        let mut kernel = open(host, 1 << 16);
        assert!(matches!(kernel.adoption(), Adoption::Replaced(_)));
        reach(&mut kernel, &desired(Verdict::Allow, &[]));
        assert_eq!(host.pinned("maps-2/network_nodes").max_entries(), 1 << 16);
    });
}
