//! What a change costs: only what it changes. Plans are made and applied to a plain value.

use std::sync::Arc;

use bridgewall::compile::compile;
use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::inventory::model::{Inventory, MacAddress};
use bridgewall::state::actual::{Actual, Capacity, Mechanism};
use bridgewall::state::desired::{Desired, LiveInventory, PolicyImage};
use bridgewall::state::diff::plan;
use bridgewall::state::numbers::EndpointNumber;
use bridgewall::state::plan::Operation;

use crate::build::{Builder, closed, containers, tcp};

const ROOM: Capacity = Capacity {
    steps: 1 << 18,
    pairs: 1 << 17,
    network_nodes: 1 << 10,
    most_network_nodes: 1 << 10,
    management: 1 << 8,
    addresses: 1 << 14,
    published: 1 << 14,
    endpoints: 1 << 12,
    rules: 1 << 12,
};

/// A host of 200 containers of 40 identities, which all have something to say to each other.
struct Host {
    builder: Builder,
    inventory: Inventory,
    numbering: Numbering,
    compiled: Compiled,
    actual: Actual,
}

fn identity(n: usize) -> String {
    format!("i{:02}", n % 40)
}

impl Host {
    fn new() -> Self {
        Self::with(1_000)
    }

    /// With so many rules.
    fn with(rules: usize) -> Self {
        let builder = (0..40).fold(closed(), |builder, n| builder.identity(&identity(n)));
        let builder = (0..rules).fold(builder, |builder, n| {
            let port = 1_000 + n as u16;
            builder.allow(&identity(n), &identity(n / 40), tcp(port))
        });
        let lines: Vec<String> = (0..200).map(|n| format!("c{n}: {}", identity(n))).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut host = Self {
            builder,
            inventory: containers(&lines),
            numbering: Numbering::default(),
            compiled: Compiled::default(),
            actual: Actual::empty(ROOM, Mechanism::Clsact),
        };
        // Into one slot, and into the other.
        host.load(1);
        host.load(2);
        host
    }

    /// A policy that has been edited so many times, as the daemon loads it.
    fn load(&mut self, edits: u16) -> Vec<Operation> {
        let (web, db) = (identity(1), identity(2));
        let builder = self.builder.clone().allow(&web, &db, tcp(10_000 + edits));
        self.compiled = compile(
            &builder.policy,
            &self.inventory,
            &mut self.numbering,
            &Limits::default(),
        )
        .expect("it fits");
        self.apply()
    }

    fn apply(&mut self) -> Vec<Operation> {
        let desired = Desired {
            policy: PolicyImage::from(&self.compiled),
            live: LiveInventory::new(&self.inventory).0,
        };
        let operations = plan(&self.actual, &desired).expect("it fits").operations;
        for operation in &operations {
            self.actual.apply(operation);
        }
        self.actual.judging_policy = Some(desired.policy.clone());
        let again = plan(&self.actual, &desired).expect("it fits");
        assert!(again.is_empty(), "a second pass finds something: {again:?}");
        operations
    }

    /// One more container, of the first one's kind.
    fn start(&mut self) {
        let mut endpoint = self.inventory.endpoints[&EndpointNumber(1)].clone();
        endpoint.number = EndpointNumber(1_000);
        endpoint.interface = "veth1000".to_owned();
        endpoint.ifindex = 5_000;
        let owner = endpoint.owner.as_mut().expect("it is named");
        owner.mac = MacAddress([2, 0, 0, 0, 3, 0xe8]);
        owner.addresses = ["10.200.0.1".parse().expect("an address")].into();
        self.inventory.endpoints.insert(endpoint.number, endpoint);
    }
}

#[test]
fn one_more_rule_writes_only_its_own_entries_however_many_there_are() {
    for rules in [10, 1_000, 4_000] {
        let mut host = Host::with(rules);
        let operations = host.load(3);
        let (mut lists, mut entries) = (0, 0);
        for operation in &operations {
            match operation {
                Operation::WriteLists(written) => lists += written.len(),
                Operation::SetPairs(_, written) => entries += written.len(),
                Operation::RemovePairs(_, removed) => entries += removed.len(),
                Operation::AwaitReaders | Operation::Publish { .. } => {}
                other => panic!("an edit of one rule among {rules} needs no {other:?}"),
            }
        }
        // What web sends to db, and what db gets from web.
        assert_eq!((lists, entries), (1, 2), "{rules} rules: {operations:#?}");
    }
}

#[test]
fn one_more_container_of_a_known_kind_writes_its_own_records_and_compiles_nothing() {
    let mut host = Host::new();
    let before = host.inventory.clone();
    host.start();
    let policy = host.builder.policy.clone();
    let followed = host.compiled.follow(&policy, &before, &host.inventory);
    let followed = followed.expect("its kind is known");
    assert!(Arc::ptr_eq(&followed.pairs, &host.compiled.pairs));
    host.compiled = followed;
    let operations = host.apply();
    assert!(
        matches!(
            &operations[..],
            [
                Operation::SetEndpoints(records),
                Operation::SetAddresses(addresses),
                Operation::Publish { .. },
                Operation::Attach(5_000, _),
            ] if records.len() == 1 && addresses.len() == 2
        ),
        "{operations:#?}"
    );
}

#[test]
fn a_policy_that_follows_the_inventory_is_what_compiling_it_anew_gives() {
    let mut host = Host::new();
    let before = host.inventory.clone();
    host.start();
    let policy = host
        .builder
        .clone()
        .allow(&identity(1), &identity(2), tcp(10_002))
        .policy;
    let followed = host.compiled.follow(&policy, &before, &host.inventory);
    let mut numbering = host.numbering.clone();
    let anew = compile(&policy, &host.inventory, &mut numbering, &Limits::default());
    assert_eq!(followed, Some(anew.expect("it fits")));
}

#[test]
fn a_container_of_an_unknown_kind_has_the_policy_compiled() {
    let mut host = Host::new();
    let before = host.inventory.clone();
    host.start();
    let endpoint = host.inventory.endpoints.get_mut(&EndpointNumber(1_000));
    let owner = endpoint.and_then(|endpoint| endpoint.owner.as_mut());
    let labels = &mut owner.expect("it is named").attributes.labels;
    labels.insert(identity(7), String::new());
    let policy = host.builder.policy.clone();
    let followed = host.compiled.follow(&policy, &before, &host.inventory);
    assert_eq!(followed, None);
}
