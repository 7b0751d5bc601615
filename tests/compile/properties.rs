//! The compiled policy says what the oracle says, for policies and hosts that nobody thought of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::kinds::Kinds;
use bridgewall::compile::limits::{Limits, Needs};
use bridgewall::compile::membership::identities_of;
use bridgewall::compile::numbering::Numbering;
use bridgewall::compile::{compile, compile_again};
use bridgewall::inventory::model::{Attributes, Inventory};
use bridgewall::policy::model::{
    Action, Defaults, Identity, IdentityId, LabelOperator, LabelRequirement, Mode, Network,
    NetworkId, Pattern, Peer, Policy, Rule, Selector as EndpointSelector, Side,
};
use bridgewall::policy::traffic::{Interval, Selector, Traffic};
use bridgewall::state::numbers::IdentityNumber;
use bridgewall::state::steps::{Step, Verdict};
use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::build::{add, place};
use crate::oracle::{Opinion, Party, opinion};

const IDENTITIES: [&str; 4] = ["api", "db", "legacy", "web"];
const NETWORKS: [&str; 3] = ["blocklist", "office", "vpn"];
const KEYS: [&str; 2] = ["env", "role"];
const VALUES: [&str; 3] = ["a", "b", "c"];
const PROJECTS: [&str; 2] = ["shop", "blog"];

/// Few prefixes, nested many ways, and across the borders of the local ranges.
const PREFIXES: [&str; 22] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/7",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.0/25",
    "10.1.2.128/25",
    "10.1.2.3/32",
    "172.16.0.0/11",
    "203.0.113.0/24",
    "203.0.113.64/26",
    "203.0.113.66/32",
    "::/0",
    "::/1",
    "8000::/1",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::7/128",
    "fc00::/6",
    "fe80::/10",
];

fn prefix() -> impl Strategy<Value = IpNet> {
    select(PREFIXES.as_slice()).prop_map(|text| text.parse().unwrap())
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Allow), Just(Action::Deny)]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![1 => Just(Mode::Audit), 3 => Just(Mode::Enforce)]
}

fn requirement() -> impl Strategy<Value = LabelRequirement> {
    let values = || subsequence(VALUES.map(str::to_owned).to_vec(), 1..=2);
    let operator = prop_oneof![
        values().prop_map(LabelOperator::In),
        values().prop_map(LabelOperator::NotIn),
        Just(LabelOperator::Exists),
        Just(LabelOperator::Absent),
    ];
    (select(KEYS.as_slice()), operator).prop_map(|(key, operator)| LabelRequirement {
        key: key.to_owned(),
        operator,
    })
}

fn pattern(choices: &'static [&'static str]) -> impl Strategy<Value = Option<Pattern>> {
    option::weighted(
        0.15,
        select(choices).prop_map(|text| Pattern::new(text).unwrap()),
    )
}

fn endpoint_selector() -> impl Strategy<Value = EndpointSelector> {
    (
        vec(requirement(), 0..=2),
        pattern(&["c*", "c1", "?2"]),
        pattern(&["*", "reg/*", "nginx"]),
        pattern(&["*", "back*"]),
        pattern(&["shop", "*"]),
        pattern(&["veth*", "tap0"]),
    )
        .prop_map(
            |(labels, name, image, network, project, interface)| EndpointSelector {
                labels,
                name,
                image,
                network,
                project,
                interface,
            },
        )
}

fn identities() -> impl Strategy<Value = Vec<Identity>> {
    let settings = (
        option::of(action()),
        option::of(action()),
        option::weighted(0.3, mode()),
    );
    vec((endpoint_selector(), settings), IDENTITIES.len()).prop_map(|list| {
        let named = IDENTITIES.iter().zip(list).enumerate();
        named
            .map(
                |(index, (name, (selector, (ingress, egress, mode))))| Identity {
                    name: (*name).to_owned(),
                    selector,
                    ingress,
                    egress,
                    mode,
                    location: place(100 + index),
                },
            )
            .collect()
    })
}

fn networks() -> impl Strategy<Value = Vec<Network>> {
    let one = (vec(prefix(), 1..=4), vec(prefix(), 0..=3)).prop_map(|(mut cidrs, except)| {
        cidrs.sort_unstable();
        cidrs.dedup();
        let except: BTreeSet<IpNet> = except
            .into_iter()
            .filter(|except| cidrs.iter().any(|cidr| cidr.contains(except)))
            .collect();
        (cidrs, except.into_iter().collect())
    });
    vec(one, NETWORKS.len()).prop_map(|list| {
        let named = NETWORKS.iter().zip(list).enumerate();
        named
            .map(|(index, (name, (cidrs, except)))| Network {
                name: (*name).to_owned(),
                cidrs,
                except,
                location: place(200 + index),
            })
            .collect()
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        1 => Just(Peer::Any),
        1 => Just(Peer::Host),
        1 => Just(Peer::Containers),
        1 => Just(Peer::World),
        1 => Just(Peer::Lan),
        1 => Just(Peer::Internet),
        1 => Just(Peer::SameProject),
        4 => (0..IDENTITIES.len()).prop_map(|index| Peer::Identity(IdentityId(index))),
        3 => (0..NETWORKS.len()).prop_map(|index| Peer::Network(NetworkId(index))),
        2 => prefix().prop_map(Peer::Cidr),
    ]
}

fn selector() -> impl Strategy<Value = Selector> {
    let protocols = select([0_u8, 1, 6, 17, 58, 255].as_slice());
    let values = prop_oneof![0_u16..5, 0x0800_u16..0x0803, Just(u16::MAX)];
    (protocols, values).prop_map(|(protocol, value)| Selector::port(protocol, value))
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let interval = (selector(), selector())
        .prop_map(|(one, other)| Interval::new(one.min(other), one.max(other)).unwrap());
    prop_oneof![
        1 => Just(Traffic::all()),
        3 => vec(interval, 1..=3).prop_map(|list| Traffic::new(list, "some".to_owned())),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let side = option::weighted(0.3, prop_oneof![Just(Side::Egress), Just(Side::Ingress)]);
    let peers = || vec(peer(), 1..=3);
    (
        (action(), peers(), peers(), traffic()),
        (side, any::<bool>()),
    )
        .prop_map(|((action, from, to, traffic), (side, log))| Rule {
            action,
            name: None,
            from,
            to,
            traffic,
            side,
            log,
            location: place(1),
        })
}

fn defaults() -> impl Strategy<Value = Defaults> {
    (action(), action(), mode(), action(), action(), action()).prop_map(
        |(ingress, egress, mode, unidentified, host_ingress, host_egress)| Defaults {
            ingress,
            egress,
            mode,
            unidentified,
            host_ingress,
            host_egress,
        },
    )
}

pub fn policy() -> impl Strategy<Value = Policy> {
    (defaults(), identities(), networks(), vec(rule(), 0..=8)).prop_map(
        |(defaults, identities, networks, mut rules)| {
            for (index, rule) in rules.iter_mut().enumerate() {
                rule.location = place(index + 1);
            }
            Policy {
                defaults,
                identities,
                networks,
                rules,
                tests: Vec::new(),
                files: Vec::new(),
            }
        },
    )
}

pub fn inventory() -> impl Strategy<Value = Inventory> {
    let text = |choices: &'static [&'static str]| {
        option::of(select(choices).prop_map(|text: &str| text.to_owned()))
    };
    let labels = btree_map(
        select(KEYS.as_slice()).prop_map(|key| key.to_owned()),
        select(VALUES.as_slice()).prop_map(|value| value.to_owned()),
        0..=2,
    );
    let attributes = (
        labels,
        text(&["nginx", "reg/app", "redis"]),
        text(&["backend", "front"]),
        text(&PROJECTS),
        any::<bool>(),
    );
    vec((attributes, any::<bool>()), 0..=5).prop_map(|list| {
        let mut inventory = Inventory::default();
        for (index, ((labels, image, network, project, tap), owned)) in list.into_iter().enumerate()
        {
            let interface = if tap { "tap0" } else { "veth7" }.to_owned();
            let number = add(
                &mut inventory,
                Attributes {
                    container: None,
                    name: format!("c{index}"),
                    image,
                    network,
                    project,
                    interface,
                    labels,
                },
            );
            if !owned && index % 3 == 0 {
                let endpoint = inventory.endpoints.get_mut(&number).unwrap();
                endpoint.owner = None;
            }
        }
        inventory
    })
}

/// Addresses at and around both ends of every prefix.
fn addresses() -> Vec<IpAddr> {
    let mut all = BTreeSet::new();
    for text in PREFIXES {
        match text.parse::<IpNet>().unwrap() {
            IpNet::V4(net) => {
                for edge in [net.network(), net.broadcast()] {
                    for bits in [
                        edge.to_bits().wrapping_sub(1),
                        edge.to_bits(),
                        edge.to_bits().wrapping_add(1),
                    ] {
                        all.insert(IpAddr::V4(Ipv4Addr::from_bits(bits)));
                    }
                }
            }
            IpNet::V6(net) => {
                for edge in [net.network(), net.broadcast()] {
                    for bits in [
                        edge.to_bits().wrapping_sub(1),
                        edge.to_bits(),
                        edge.to_bits().wrapping_add(1),
                    ] {
                        all.insert(IpAddr::V6(Ipv6Addr::from_bits(bits)));
                    }
                }
            }
        }
    }
    for text in [
        "100.64.0.0",
        "169.254.1.1",
        "224.0.0.251",
        "239.1.1.1",
        "127.0.0.1",
        "ff02::1",
    ] {
        all.insert(text.parse().unwrap());
    }
    all.into_iter().collect()
}

/// Where the verdict can change: at the borders of all rules' intervals, and beside them.
fn borders(policy: &Policy) -> Vec<Selector> {
    let intervals = policy
        .rules
        .iter()
        .flat_map(|rule| rule.traffic.intervals());
    let mut raw = BTreeSet::from([0, Selector::LAST.raw()]);
    for interval in intervals {
        for edge in [interval.first().raw(), interval.last().raw()] {
            raw.extend([edge.saturating_sub(1), edge, edge + 1]);
        }
    }
    raw.into_iter().filter_map(Selector::from_raw).collect()
}

fn said(compiled: &Compiled, step: Step) -> Opinion {
    Opinion {
        verdict: step.verdict,
        rule: compiled.rules.get(&step.rule).map(|info| info.index),
        log: step.log,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn compiled_policies_say_what_the_design_says(
        policy in policy(),
        inventory in inventory(),
        picks in vec(any::<Index>(), 12),
    ) {
        let mut numbering = Numbering::default();
        let compiled = compile(&policy, &inventory, &mut numbering, &Limits::default()).unwrap();
        let addresses = addresses();
        let mut parties = vec![(Party::Host, IdentityNumber::HOST)];
        for (number, endpoint) in &inventory.endpoints {
            match &endpoint.owner {
                Some(owner) => {
                    parties.push((Party::Endpoint(&owner.attributes), compiled.endpoints[number]));
                }
                None => prop_assert!(!compiled.endpoints.contains_key(number)),
            }
        }
        let local = parties.clone();
        for pick in &picks {
            let address = *pick.get(&addresses);
            parties.push((Party::World(address), compiled.network(address).unwrap()));
        }
        for selector in borders(&policy) {
            for &(one, one_number) in &local {
                for &(other, other_number) in &parties {
                    for ((opener, opener_number), (target, target_number)) in [
                        ((one, one_number), (other, other_number)),
                        ((other, other_number), (one, one_number)),
                    ] {
                        let judged = compiled.judge(opener_number, target_number, selector).unwrap();
                        let egress = opinion(&policy, opener, target, selector, Side::Egress);
                        let ingress = opinion(&policy, opener, target, selector, Side::Ingress);
                        let context = format!("{opener:?} -> {target:?} {selector:?}");
                        prop_assert_eq!(
                            judged.egress.map(|step| said(&compiled, step)), egress, "egress {}", context
                        );
                        prop_assert_eq!(
                            judged.ingress.map(|step| said(&compiled, step)), ingress, "ingress {}", context
                        );
                        let greater = egress.iter().chain(&ingress).map(|one| one.verdict).max();
                        prop_assert_eq!(Some(judged.verdict), greater);
                    }
                }
            }
        }
    }

    #[test]
    fn every_address_gets_the_networks_that_contain_it(policy in policy()) {
        let compiled =
            compile(&policy, &Inventory::default(), &mut Numbering::default(), &Limits::default())
                .unwrap();
        for address in addresses() {
            let number = compiled.network(address).unwrap();
            let mut expected: Vec<Peer> = (0..policy.networks.len())
                .filter(|&index| policy.networks[index].contains(address))
                .map(|index| Peer::Network(NetworkId(index)))
                .collect();
            let inline: BTreeSet<&Peer> = policy
                .rules
                .iter()
                .flat_map(|rule| rule.from.iter().chain(&rule.to))
                .filter(|peer| matches!(peer, Peer::Cidr(cidr) if cidr.contains(&address)))
                .collect();
            expected.extend(inline.into_iter().cloned());
            prop_assert_eq!(&compiled.identities[&number].networks, &expected, "{}", address);
        }
    }

    #[test]
    fn the_network_table_has_no_entry_too_many(policy in policy()) {
        let compiled =
            compile(&policy, &Inventory::default(), &mut Numbering::default(), &Limits::default())
                .unwrap();
        for (&prefix, &number) in compiled.networks.iter() {
            let covering = std::iter::successors(prefix.supernet(), IpNet::supernet)
                .find_map(|above| compiled.networks.get(&above));
            prop_assert_ne!(covering, Some(&number), "{} repeats what covers it", prefix);
            let halves = prefix.subnets(prefix.prefix_len() + 1);
            let shadowed = prefix.prefix_len() > 0 && halves.is_ok_and(|halves| {
                halves.into_iter().all(|half| compiled.networks.contains_key(&half))
            });
            prop_assert!(!shadowed, "{} decides for no address", prefix);
        }
        for family in ["0.0.0.0/0", "::/0"] {
            prop_assert!(compiled.networks.contains_key(&family.parse().unwrap()));
        }
    }

    #[test]
    fn the_numbers_in_a_prefix_are_those_of_its_addresses(policy in policy(), asked in prefix()) {
        let compiled =
            compile(&policy, &Inventory::default(), &mut Numbering::default(), &Limits::default())
                .unwrap();
        let said = compiled.numbers_in(asked);
        // The edges of all prefixes hit every region.
        let edges: BTreeSet<_> = compiled
            .networks
            .keys()
            .flat_map(edges)
            .chain(edges(&asked))
            .filter(|address| asked.contains(address))
            .inspect(|&address| {
                assert_eq!(compiled.trees().find(address), compiled.network(address));
            })
            .filter_map(|address| compiled.network(address))
            .collect();
        prop_assert_eq!(said, edges);
    }

    #[test]
    fn compiling_again_gives_the_same_value_and_the_same_numbers(
        policy in policy(),
        inventory in inventory(),
    ) {
        let limits = Limits::default();
        let mut numbering = Numbering::default();
        let first = compile(&policy, &inventory, &mut numbering, &limits).unwrap();
        let saved = serde_json::to_string(&numbering).unwrap();
        let mut restored: Numbering = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(&restored, &numbering);
        let second = compile(&policy, &inventory, &mut numbering, &limits).unwrap();
        let restarted = compile(&policy, &inventory, &mut restored, &limits).unwrap();
        prop_assert_eq!(&first, &second);
        let again = compile_again(&policy, Some((&policy, &first)), &inventory, &mut numbering, &limits);
        prop_assert_eq!(&first, &again.unwrap());
        prop_assert_eq!(&first, &restarted);
        let needs = Needs::of(&first, &inventory);
        prop_assert_eq!(needs.networks4 + needs.networks6, first.networks.len());
    }

    #[test]
    fn a_policy_after_another_one_compiles_to_what_it_would_alone(
        before in policy(),
        mut after in policy(),
        same_networks in any::<bool>(),
        inventory in inventory(),
    ) {
        if same_networks {
            after.networks.clone_from(&before.networks);
        }
        let limits = Limits::default();
        let mut numbering = Numbering::default();
        let first = compile(&before, &inventory, &mut numbering, &limits).unwrap();
        let mut alone = numbering.clone();
        let known = Some((&before, &first));
        let again = compile_again(&after, known, &inventory, &mut numbering, &limits).unwrap();
        prop_assert_eq!(again, compile(&after, &inventory, &mut alone, &limits).unwrap());
        prop_assert_eq!(numbering, alone);
    }

    #[test]
    fn looking_up_identities_finds_those_that_asking_all_of_them_does(
        policy in policy(),
        inventory in inventory(),
    ) {
        let kinds = Kinds::of(&policy);
        for owner in inventory.endpoints.values().filter_map(|endpoint| endpoint.owner.as_ref()) {
            let set = kinds.set_of(&policy, &owner.attributes);
            prop_assert_eq!(set.identities, identities_of(&policy, &owner.attributes));
        }
    }

    #[test]
    fn whoever_is_denied_by_the_sender_alone_is_denied_by_everybody(
        policy in policy(),
        inventory in inventory(),
    ) {
        let compiled =
            compile(&policy, &inventory, &mut Numbering::default(), &Limits::default()).unwrap();
        let all_deny = |side, subject, peer| {
            let list = compiled.list(side, subject, peer).unwrap();
            list.steps().iter().all(|step| step.verdict == Verdict::Deny)
        };
        for (&peer, denial) in &compiled.denials {
            prop_assert_eq!(
                policy.rules[compiled.rules[&denial.rule].index].action,
                Action::Deny
            );
            for &subject in compiled.subjects.keys() {
                prop_assert!(all_deny(Side::Ingress, subject, peer));
                prop_assert!(!denial.both_ways || all_deny(Side::Egress, subject, peer));
            }
        }
    }

    #[test]
    fn editing_one_rule_leaves_all_other_numbers_alone(
        policy in policy(),
        inventory in inventory(),
        edited in any::<Index>(),
        by in rule(),
    ) {
        prop_assume!(!policy.rules.is_empty());
        let limits = Limits::default();
        let mut numbering = Numbering::default();
        let before = compile(&policy, &inventory, &mut numbering, &limits).unwrap();
        let index = edited.index(policy.rules.len());
        let mut changed = policy.clone();
        changed.rules[index] = by;
        let after = compile(&changed, &inventory, &mut numbering, &limits).unwrap();
        let others = |compiled: &Compiled| -> BTreeMap<usize, u32> {
            let rules = compiled.rules.iter().filter(|(_, info)| info.index != index);
            rules.map(|(number, info)| (info.index, number.0)).collect()
        };
        // Rules that say the same share one count of repeats, so leave such policies out.
        let distinct: BTreeSet<_> = policy.rules.iter().chain(&changed.rules)
            .map(|rule| format!("{:?}", (rule.action, &rule.from, &rule.to, &rule.traffic, rule.side)))
            .collect();
        prop_assume!(distinct.len() == policy.rules.len() + 1);
        prop_assert_eq!(others(&before), others(&after));
        prop_assert_eq!(before.rules.len(), after.rules.len());
    }
}

fn edges(prefix: &IpNet) -> [IpAddr; 4] {
    let (first, last) = (prefix.network(), prefix.broadcast());
    [first, last, neighbour(first, -1), neighbour(last, 1)]
}

fn neighbour(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from_bits(address.to_bits().wrapping_add_signed(i32::from(by))).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits().wrapping_add_signed(i128::from(by))).into()
        }
    }
}
