//! Small states to bring a kernel to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bridgewall::compile::compiled::Subject;
use bridgewall::inventory::model::MacAddress;
use bridgewall::kernel::Kernel;
use bridgewall::policy::traffic::Selector;
use bridgewall::state::denial::Denial;
use bridgewall::state::desired::{
    AddressKey, AddressOwner, Attachment, Desired, EndpointRecord, LiveInventory, PolicyImage,
    Sender, TemplateConstants,
};
use bridgewall::state::diff::plan;
use bridgewall::state::networks::Networks;
use bridgewall::state::numbers::{EndpointNumber, IdentityNumber, RuleNumber};
use bridgewall::state::plan::Plan;
use bridgewall::state::steps::{Step, StepList, Verdict};
use ipnet::IpNet;

fn everything(verdict: Verdict) -> Arc<StepList> {
    Arc::new(StepList::new(vec![Step {
        from: Selector::FIRST,
        verdict,
        rule: RuleNumber(7),
        log: false,
    }]))
}

/// Identity 2 and the host, who do the same with everybody; some networks.
fn policy(verdict: Verdict) -> PolicyImage {
    let list = everything(verdict);
    let subject = Subject {
        generic: std::array::from_fn(|_| std::array::from_fn(|_| Arc::clone(&list))),
    };
    let network = |prefix: &str, number| (prefix.parse::<IpNet>().expect("a prefix"), number);
    PolicyImage {
        subjects: BTreeMap::from([
            (IdentityNumber::HOST, subject.clone()),
            (IdentityNumber(2), subject),
        ]),
        pairs: BTreeMap::new(),
        networks: Arc::new(Networks::new(&BTreeMap::from([
            network("0.0.0.0/0", IdentityNumber::internet(0)),
            network("10.0.0.0/8", IdentityNumber::lan(0)),
            network("192.0.2.1/32", IdentityNumber::lan(1)),
            network("::/0", IdentityNumber::internet(0)),
        ]))),
        denials: BTreeMap::from([(
            IdentityNumber::lan(1),
            Denial {
                rule: RuleNumber(7),
                both_ways: true,
            },
        )]),
        endpoints: BTreeMap::new(),
    }
}

/// Whose interface it is.
pub fn number_of(ifindex: u32) -> EndpointNumber {
    EndpointNumber(ifindex - 100)
}

/// Endpoints behind these interfaces, all of identity 2.
pub fn desired(verdict: Verdict, interfaces: &[u32]) -> Desired {
    let mut policy = policy(verdict);
    let mut live = LiveInventory::default();
    for &ifindex in interfaces {
        let number = number_of(ifindex);
        let address = Ipv4Addr::new(10, 9, 0, number.0 as u8);
        policy.endpoints.insert(number, IdentityNumber(2));
        live.endpoints.insert(
            number,
            EndpointRecord {
                ifindex,
                bridge: None,
            },
        );
        live.addresses.insert(
            AddressKey::new(IpAddr::V4(address), ifindex),
            AddressOwner::Endpoint(number),
        );
        live.attachments.insert(
            ifindex,
            Attachment {
                interface: format!("bwk{ifindex}"),
                constants: TemplateConstants {
                    number,
                    sender: Some(Sender {
                        mac: MacAddress([2, 0, 0, 0, 0, number.0 as u8]),
                        ipv4: BTreeSet::from([address]),
                        ipv6: BTreeSet::from(["fd00::9".parse().expect("an address")]),
                    }),
                },
            },
        );
    }
    Desired { policy, live }
}

/// Brings the kernel to a state; panics if it takes more than one plan.
pub fn reach(kernel: &mut Kernel, desired: &Desired) -> Plan {
    let first = plan(kernel.observe().expect("observe"), desired).expect("it fits");
    kernel.apply(&first).expect("apply");
    assert_reached(kernel, desired);
    first
}

/// A second pass finds nothing, whether by what was carried on or by what is read.
pub fn assert_reached(kernel: &mut Kernel, desired: &Desired) {
    for _ in 0..2 {
        let again = plan(kernel.observe().expect("observe"), desired).expect("it fits");
        assert!(again.is_empty(), "there is more to do: {again:?}");
        kernel.doubt();
    }
}
