//! The trees beside a naive longest-prefix search, and what a change of them costs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

type Table = BTreeMap<IpNet, IdentityNumber>;

const CAPACITY: u32 = 1 << 16;

fn table(prefixes: impl IntoIterator<Item = (IpNet, u32)>) -> Table {
    let defaults = ["0.0.0.0/0", "::/0"].map(|text| (text.parse().unwrap(), 0));
    defaults
        .into_iter()
        .chain(prefixes)
        .map(|(prefix, number)| (prefix.trunc(), IdentityNumber::internet(number)))
        .collect()
}

/// Looks at every prefix.
fn naive(table: &Table, address: IpAddr) -> Option<IdentityNumber> {
    table
        .iter()
        .filter(|(prefix, _)| prefix.contains(&address))
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .map(|(_, &number)| number)
}

/// The first and last address of every prefix, and those outside beside them.
fn borders(table: &Table) -> Vec<IpAddr> {
    let v4 = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
    let v6 = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits));
    let mut borders = Vec::new();
    for prefix in table.keys() {
        match prefix {
            IpNet::V4(prefix) => {
                let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
                let around = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                borders.extend(around.map(v4));
            }
            IpNet::V6(prefix) => {
                let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
                let around = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                borders.extend(around.map(v6));
            }
        }
    }
    // Mapped ones are IPv4.
    borders.retain(|address| address.to_canonical() == *address);
    borders
}

/// Prefixes that lie close together, so that they nest, touch and fill trees of several levels.
fn prefixes() -> impl Strategy<Value = Vec<(IpNet, u32)>> {
    let number = 0..6_u32;
    let v4 = (0..4_u32, any::<u16>(), 0..=32_u8).prop_map(|(high, low, length)| {
        let bits = 0x0afe_0000 + (high << 15 ^ u32::from(low));
        IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(bits), length).unwrap())
    });
    let starts = [
        0_u128,
        0x2001_0db8 << 96,
        0x2fff_ffff << 96,
        0xfe80 << 112,
        !0 << 64,
    ];
    let v6 = (
        prop::sample::select(starts.to_vec()),
        any::<u128>(),
        prop::sample::select(vec![16_u32, 60, 64, 68, 112, 120]),
        0..=128_u8,
    )
        .prop_map(|(start, low, keep, length)| {
            let bits = start ^ (low >> keep);
            IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(bits), length).unwrap())
        });
    prop::collection::vec((prop_oneof![v4, v6], number), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_border_is_found_as_a_naive_search_finds_it(prefixes in prefixes()) {
        let table = table(prefixes);
        let networks = Networks::new(&table);
        for address in borders(&table) {
            prop_assert_eq!(networks.find(address), naive(&table, address), "{}", address);
        }
    }

    #[test]
    fn what_was_written_is_read_back(prefixes in prefixes(), others in prefixes()) {
        let mut nodes = vec![Node::default(); CAPACITY as usize];
        let mut slots = [Placed::default(), Placed::default()];
        for (turn, prefixes) in [prefixes.clone(), others, prefixes].into_iter().enumerate() {
            let wanted = Networks::new(&table(prefixes));
            let [standby, judging] = [turn % 2, (turn + 1) % 2].map(|slot| &slots[slot]);
            let change = Placed::change(judging, standby, &wanted, CAPACITY).unwrap();
            let used: Vec<_> = judging.extents().collect();
            for (first, tree) in &change.trees {
                let end = first + tree.nodes().len() as u32;
                prop_assert!(used.iter().all(|&(begin, count)| end <= begin || begin + count <= *first));
                nodes[*first as usize..end as usize].copy_from_slice(tree.nodes());
            }
            prop_assert!(change.result.holds(&wanted));
            let mut references = standby.references();
            for (row, after) in &change.rows {
                let start = (row * ROOTS_IN_ROW) as usize;
                references[start..start + after.len()].copy_from_slice(after);
            }
            let node = |index: u32| nodes.get(index as usize).copied();
            prop_assert_eq!(&Placed::read(&references, &node), &change.result);
            slots[turn % 2] = change.result;
        }
    }
}

/// One address in each of many roots.
fn scattered(count: u32) -> Vec<(IpNet, u32)> {
    (0..count)
        .map(|n| {
            (
                IpNet::from(IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b9)))),
                1,
            )
        })
        .collect()
}

#[test]
fn a_change_writes_as_much_as_it_changes() {
    let mut prefixes = scattered(20_000);
    let before = Networks::new(&table(prefixes.clone()));
    let filled = Placed::change(&Placed::default(), &Placed::default(), &before, CAPACITY).unwrap();
    prefixes[7_000].1 = 2;
    prefixes.truncate(19_999);
    let after = Networks::new(&table(prefixes));
    let change = Placed::change(&filled.result, &filled.result, &after, CAPACITY).unwrap();
    assert!(change.trees.len() <= 2, "{} trees", change.trees.len());
    assert!(change.rows.len() <= 2, "{} rows", change.rows.len());
    let nothing = Placed::change(&change.result, &change.result, &after, CAPACITY).unwrap();
    assert!(nothing.trees.is_empty() && nothing.rows.is_empty());
}

#[test]
fn without_room_beside_both_slots_the_standby_slot_is_written_over() {
    let [one, two, three] = [1, 2, 3].map(|number| {
        let mut prefixes = scattered(100);
        prefixes.iter_mut().for_each(|(_, wanted)| *wanted = number);
        Networks::new(&table(prefixes))
    });
    let capacity = one.nodes() as u32 * 2;
    let none = Placed::default();
    let a = Placed::change(&none, &none, &one, capacity).unwrap().result;
    let b = Placed::change(&a, &none, &two, capacity).unwrap().result;
    let change = Placed::change(&b, &a, &three, capacity).unwrap();
    let judging: Vec<_> = b.extents().collect();
    for (first, tree) in change.trees {
        let end = first + tree.nodes().len() as u32;
        assert!(
            judging
                .iter()
                .all(|&(begin, count)| end <= begin || begin + count <= first)
        );
    }
    let refused = Placed::change(&a, &none, &two, capacity - 1).unwrap_err();
    assert_eq!(refused.needed, capacity as usize);
}

#[test]
fn sixteen_bits_of_single_addresses_fit_into_the_levels_that_the_kernel_walks() {
    // Each with another number than its neighbours: leaves as empty as can be.
    let prefixes = (0..1_u32 << 16).map(|n| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
        (IpNet::from(IpAddr::V4(address)), n % 7 + 1)
    });
    let table = table(prefixes);
    let networks = Networks::new(&table);
    for n in (0..1_u32 << 16).step_by(251) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
        assert_eq!(networks.find(address), table.get(&address.into()).copied());
    }
    for (_, root) in networks.roots() {
        if let Root::Tree(tree) = root {
            assert!(tree.depth() <= 3);
        }
    }
}

#[test]
fn references_that_lead_nowhere_are_no_trees() {
    let node = |_| Some(Node([u64::MAX; 8]));
    let none = |_| None;
    for reference in [1 << 27, 2 << 27, 15 << 27 | 9, (1 << 31) - 1] {
        assert!(Tree::read(Width::Narrow, reference, &none).is_none());
        let read = Tree::read(Width::Wide, reference, &node);
        assert!(read.is_none_or(|(_, tree)| tree.nodes().len() == 1));
    }
}
