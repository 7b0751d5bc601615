//! The compiler alone, at sizes past one machine: how its time and memory grow with all of it, and what of
//! that a single change costs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::compile::{compile, compile_again};
use bridgewall::inventory::model::{Attributes, Endpoint, Inventory, MacAddress, Owner};
use bridgewall::policy::model::{
    Action, Defaults, Identity, IdentityId, LabelOperator, LabelRequirement, Location, Network,
    NetworkId, Peer, Policy, Rule, Selector,
};
use bridgewall::policy::traffic::{Interval, Selector as Port, Traffic};
use bridgewall::state::numbers::EndpointNumber;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::time::{ClockId, clock_gettime};

use crate::Options;
use crate::curve::Curves;
use crate::memory;
use crate::rounds::median_of;

/// The largest one. Of each endpoint there are so many prefixes, and of so many endpoints one identity.
const ENDPOINTS: u32 = 100_000;
const PREFIXES_OF_EACH: u32 = 10;
const ENDPOINTS_OF_EACH: u32 = 10;

/// So many sizes, each twice the one before.
const SIZES: u32 = 5;

/// All of it.
pub fn measure(options: &Options) -> Vec<Curves> {
    let largest = options.amount(ENDPOINTS);
    let sizes = (0..SIZES).rev().map(|halvings| largest >> halvings);
    let costs: Vec<_> = sizes
        .map(|endpoints| (f64::from(endpoints), Costs::of(endpoints, options.rounds())))
        .collect();
    let series = |of: fn(&Costs) -> f64| costs.iter().map(|(n, costs)| (*n, of(costs))).collect();
    let size = "endpoints (a tenth as many identities, ten times as many prefixes)";
    vec![
        Curves::new(
            "compile-time",
            "What the compiler does past one machine",
            size,
            "milliseconds of CPU",
            vec![
                ("all of it, from nothing", series(|costs| costs.all)),
                ("one rule more", series(|costs| costs.rule)),
                ("a container of a new kind", series(|costs| costs.kind)),
                (
                    "a container of a known kind",
                    series(|costs| costs.container),
                ),
            ],
        ),
        Curves::new(
            "compile-memory",
            "Memory that the compiler takes past one machine",
            size,
            "megabytes",
            vec![
                ("while it compiles, at most", series(|costs| costs.peak)),
                ("the compiled policy", series(|costs| costs.held)),
            ],
        ),
    ]
}

/// At one size.
struct Costs {
    all: f64,
    rule: f64,
    kind: f64,
    container: f64,
    held: f64,
    peak: f64,
}

impl Costs {
    fn of(endpoints: u32, rounds: usize) -> Self {
        let policy = policy(endpoints / ENDPOINTS_OF_EACH, endpoints * PREFIXES_OF_EACH);
        let inventory = inventory(endpoints);
        let mut numbering = Numbering::default();
        let ((compiled, held, peak), _) =
            timed(|| memory::taken_by(|| anew(&policy, &inventory, &mut numbering)));
        let before = Some((&policy, &compiled));
        let again = |policy: &Policy, inventory: &Inventory| {
            let mut numbering = numbering.clone();
            timed(|| compile_again(policy, before, inventory, &mut numbering, &UNLIMITED)).1
        };
        let edited = {
            let mut policy = policy.clone();
            let rule = rule(&policy, identity(0), identity(2), 9_999);
            policy.rules.push(rule);
            policy
        };
        let more = |identity| {
            let mut inventory = inventory.clone();
            add(&mut inventory, endpoints, identity);
            inventory
        };
        let (known, new) = (more(0), more(u32::MAX));
        let rounds = |cost: &mut dyn FnMut() -> Duration| {
            let costs = (0..rounds).map(|_| cost().as_secs_f64() * 1e3);
            median_of(costs.collect())
        };
        Self {
            all: rounds(&mut || timed(|| anew(&policy, &inventory, &mut Numbering::default())).1),
            rule: rounds(&mut || again(&edited, &inventory)),
            kind: rounds(&mut || again(&policy, &new)),
            container: rounds(&mut || {
                let (followed, time) = timed(|| compiled.follow(&policy, &inventory, &known));
                assert!(followed.is_some(), "its kind is known");
                time
            }),
            held: held as f64 / 1e6,
            peak: peak as f64 / 1e6,
        }
    }
}

/// More than any kernel could hold.
const UNLIMITED: Limits = Limits {
    steps: usize::MAX,
    pairs: usize::MAX,
    networks4: usize::MAX,
    networks6: usize::MAX,
    rules: 1 << 20,
    identities: usize::MAX,
    endpoints: usize::MAX,
    addresses: usize::MAX,
};

fn anew(policy: &Policy, inventory: &Inventory, numbering: &mut Numbering) -> Compiled {
    compile(policy, inventory, numbering, &UNLIMITED).expect("there are no limits")
}

/// CPU time of this thread, which is all there is to compiling. What the work gives is dropped afterwards.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("read a clock");
        Duration::from(time)
    };
    let began = now();
    let result = work();
    (result, now() - began)
}

fn location() -> Location {
    Location {
        file: Arc::new(PathBuf::from("policy.toml")),
        line: 1,
        column: 1,
    }
}

fn identity(number: usize) -> Peer {
    Peer::Identity(IdentityId(number))
}

/// So that their order is that of their numbers.
fn identity_name(number: u32) -> String {
    format!("i{number:07}")
}

/// Each identity may talk to the next one and be talked to from an office; a list of prefixes is denied
/// everything.
fn policy(identities: u32, prefixes: u32) -> Policy {
    let network = |name: &str, cidrs| Network {
        name: name.to_owned(),
        cidrs,
        except: Vec::new(),
        location: location(),
    };
    let mut policy = Policy {
        defaults: Defaults::default(),
        identities: (0..identities).map(named_identity).collect(),
        networks: vec![
            network("blocklist", blocklist(prefixes)),
            network("office", vec!["203.0.113.0/24".parse().expect("a prefix")]),
        ],
        rules: Vec::new(),
        tests: Vec::new(),
        files: Vec::new(),
    };
    let count = identities as usize;
    for number in 0..count {
        let next = identity((number + 1) % count);
        let port = 1_024 + (number % 50_000) as u16;
        let among = rule(&policy, identity(number), next, port);
        let office = Peer::Network(NetworkId(1));
        let office = rule(&policy, office, identity(number), 443);
        policy.rules.extend([among, office]);
    }
    let mut deny = rule(&policy, Peer::Network(NetworkId(0)), Peer::Any, 1);
    deny.action = Action::Deny;
    deny.traffic = Traffic::all();
    policy.rules.push(deny);
    policy
}

fn named_identity(number: u32) -> Identity {
    Identity {
        name: identity_name(number),
        selector: Selector {
            labels: vec![LabelRequirement {
                key: "com.docker.compose.service".to_owned(),
                operator: LabelOperator::In(vec![identity_name(number)]),
            }],
            ..Selector::default()
        },
        ingress: None,
        egress: None,
        mode: None,
        location: location(),
    }
}

fn rule(policy: &Policy, from: Peer, to: Peer, port: u16) -> Rule {
    let port = Port::port(6, port);
    let port = Interval::new(port, port).expect("a port");
    Rule {
        action: Action::Allow,
        name: Some(format!("rule {}", policy.rules.len())),
        from: vec![from],
        to: vec![to],
        traffic: Traffic::new(vec![port], "a port".to_owned()),
        side: None,
        log: false,
        location: location(),
    }
}

/// Addresses and /64s, spread over all there is (by Knuth's multiplicative hash), sorted.
fn blocklist(prefixes: u32) -> Vec<IpNet> {
    let spread = |number: u32| number.wrapping_mul(2_654_435_761);
    let prefix = |number: u32| {
        let bits = spread(number);
        if number.is_multiple_of(2) {
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), 32))
        } else {
            let address = (1_u128 << 125) | (u128::from(bits) << 64);
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(address), 64))
        }
    };
    let mut prefixes: Vec<_> = (1..=prefixes).map(prefix).collect();
    prefixes.sort_unstable();
    prefixes
}

fn inventory(endpoints: u32) -> Inventory {
    let mut inventory = Inventory::default();
    for number in 0..endpoints {
        add(&mut inventory, number, number / ENDPOINTS_OF_EACH);
    }
    inventory
}

/// One endpoint more, of a service that an identity may ask for.
fn add(inventory: &mut Inventory, number: u32, service: u32) {
    let label = |key: &str, value: String| (key.to_owned(), value);
    let [_, high, middle, low] = number.to_be_bytes();
    let number = EndpointNumber(number + 1);
    let owner = Owner {
        mac: MacAddress([2, 0x42, 10, high, middle, low]),
        addresses: BTreeSet::from([Ipv4Addr::new(10, high, middle, low).into()]),
        attributes: Attributes {
            container: Some(format!("{:064x}", number.0)),
            name: format!("shop-{}-1", number.0),
            image: Some("registry.example/shop:1".to_owned()),
            network: Some("backend".to_owned()),
            project: Some("shop".to_owned()),
            interface: format!("veth{:x}", number.0),
            labels: BTreeMap::from([
                label("com.docker.compose.project", "shop".to_owned()),
                label("com.docker.compose.service", identity_name(service)),
            ]),
        },
        published: BTreeSet::new(),
    };
    let endpoint = Endpoint {
        number,
        interface: owner.attributes.interface.clone(),
        ifindex: 1_000 + number.0,
        bridge: Some(7),
        owner: Some(owner),
    };
    inventory.endpoints.insert(number, endpoint);
}
