//! Policies and inventories by hand, with names instead of indices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bridgewall::compile::compile;
use bridgewall::compile::compiled::{Compiled, Judgement};
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::inventory::model::{Attributes, Endpoint, Inventory, MacAddress, Owner};
use bridgewall::policy::model::{
    Action, Defaults, Identity, IdentityId, LabelOperator, LabelRequirement, Location, Mode,
    Network, NetworkId, Peer, Policy, PolicyTest, Rule, Selector, Side, TestPeer,
};
use bridgewall::policy::traffic::{self, Interval, Traffic, protocol};
use bridgewall::state::numbers::{EndpointNumber, IdentityNumber};
use bridgewall::state::steps::{Step, Verdict};

/// A policy under construction. Identities and networks first, rules after them.
#[derive(Clone)]
pub struct Builder {
    pub policy: Policy,
}

pub fn place(line: usize) -> Location {
    Location {
        file: Arc::new(PathBuf::from("policy.toml")),
        line,
        column: 1,
    }
}

/// Default deny in both directions, nothing else: the strictest ground.
pub fn closed() -> Builder {
    with_defaults(Defaults {
        ingress: Action::Deny,
        egress: Action::Deny,
        unidentified: Action::Deny,
        host_ingress: Action::Deny,
        host_egress: Action::Deny,
        mode: Mode::Enforce,
    })
}

pub fn with_defaults(defaults: Defaults) -> Builder {
    Builder {
        policy: Policy {
            defaults,
            identities: Vec::new(),
            networks: Vec::new(),
            rules: Vec::new(),
            tests: Vec::new(),
            files: Vec::new(),
        },
    }
}

impl Builder {
    /// An identity of all containers with the label `NAME`.
    pub fn identity(self, name: &str) -> Self {
        self.identity_with(name, |_| {})
    }

    pub fn identity_with(mut self, name: &str, change: impl FnOnce(&mut Identity)) -> Self {
        let selector = Selector {
            labels: vec![LabelRequirement {
                key: name.to_owned(),
                operator: LabelOperator::Exists,
            }],
            ..Selector::default()
        };
        let mut identity = Identity {
            name: name.to_owned(),
            selector,
            ingress: None,
            egress: None,
            mode: None,
            location: place(100 + self.policy.identities.len()),
        };
        change(&mut identity);
        assert!(
            self.policy
                .identities
                .last()
                .is_none_or(|last| last.name < identity.name)
        );
        self.policy.identities.push(identity);
        self
    }

    pub fn network(mut self, name: &str, cidrs: &[&str], except: &[&str]) -> Self {
        let parse = |list: &[&str]| {
            let mut list: Vec<ipnet::IpNet> =
                list.iter().map(|cidr| cidr.parse().unwrap()).collect();
            list.sort_unstable();
            list.dedup();
            list
        };
        assert!(
            self.policy
                .networks
                .last()
                .is_none_or(|last| *last.name < *name)
        );
        self.policy.networks.push(Network {
            name: name.to_owned(),
            cidrs: parse(cidrs),
            except: parse(except),
            location: place(200 + self.policy.networks.len()),
        });
        self
    }

    pub fn allow(self, from: &str, to: &str, traffic: Traffic) -> Self {
        self.rule(Action::Allow, from, to, traffic, |_| {})
    }

    pub fn deny(self, from: &str, to: &str, traffic: Traffic) -> Self {
        self.rule(Action::Deny, from, to, traffic, |_| {})
    }

    /// `from` and `to` are lists with commas.
    pub fn rule(
        mut self,
        action: Action,
        from: &str,
        to: &str,
        traffic: Traffic,
        change: impl FnOnce(&mut Rule),
    ) -> Self {
        let peers = |list: &str| list.split(',').map(|one| self.peer(one)).collect();
        let mut rule = Rule {
            action,
            name: None,
            from: peers(from),
            to: peers(to),
            traffic,
            side: None,
            log: false,
            location: place(1 + self.policy.rules.len()),
        };
        change(&mut rule);
        self.policy.rules.push(rule);
        self
    }

    pub fn test(mut self, from: &str, to: &str, traffic: Traffic, expect: Action) -> Self {
        let peer = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => TestPeer::Address(address),
            Err(_) => TestPeer::Peer(self.peer(text)),
        };
        let test = PolicyTest {
            from: peer(from),
            to: peer(to),
            traffic,
            expect,
            location: place(300 + self.policy.tests.len()),
        };
        self.policy.tests.push(test);
        self
    }

    pub fn peer(&self, name: &str) -> Peer {
        let name = name.trim();
        let identities = &self.policy.identities;
        let networks = &self.policy.networks;
        match name {
            "any" => Peer::Any,
            "host" => Peer::Host,
            "containers" => Peer::Containers,
            "world" => Peer::World,
            "lan" => Peer::Lan,
            "internet" => Peer::Internet,
            "same-project" => Peer::SameProject,
            _ if name.contains('/') => Peer::Cidr(name.parse().unwrap()),
            _ => match identities.iter().position(|one| one.name == name) {
                Some(index) => Peer::Identity(IdentityId(index)),
                None => Peer::Network(NetworkId(
                    networks.iter().position(|one| one.name == name).unwrap(),
                )),
            },
        }
    }

    pub fn on(self, inventory: Inventory) -> World {
        let compiled = compile(
            &self.policy,
            &inventory,
            &mut Numbering::default(),
            &Limits::default(),
        )
        .unwrap();
        World {
            policy: self.policy,
            inventory,
            compiled,
        }
    }
}

/// A compiled policy with what it was compiled from.
pub struct World {
    pub policy: Policy,
    pub inventory: Inventory,
    pub compiled: Compiled,
}

impl World {
    /// `host`, a container's name, or an address of the world.
    pub fn number(&self, who: &str) -> IdentityNumber {
        if who == "host" {
            return IdentityNumber::HOST;
        }
        if let Ok(address) = who.parse() {
            return self.compiled.network(address).unwrap();
        }
        let (number, _) = self
            .inventory
            .endpoints
            .iter()
            .find(|(_, endpoint)| endpoint.owner.as_ref().unwrap().attributes.name == who)
            .unwrap_or_else(|| panic!("no container {who}"));
        self.compiled.endpoints[number]
    }

    pub fn judge(&self, from: &str, to: &str, selector: traffic::Selector) -> Judgement {
        self.compiled
            .judge(self.number(from), self.number(to), selector)
            .unwrap()
    }

    pub fn verdict(&self, from: &str, to: &str, selector: traffic::Selector) -> Verdict {
        self.judge(from, to, selector).verdict
    }

    pub fn egress(&self, from: &str, to: &str, selector: traffic::Selector) -> Step {
        self.judge(from, to, selector).egress.unwrap()
    }

    pub fn ingress(&self, from: &str, to: &str, selector: traffic::Selector) -> Step {
        self.judge(from, to, selector).ingress.unwrap()
    }

    /// The index of the rule that a step names.
    pub fn rule_of(&self, step: Step) -> Option<usize> {
        self.compiled.rules.get(&step.rule).map(|info| info.index)
    }
}

/// Containers from lines such as `web1: web, tier=front @shop`: name, labels, project.
pub fn containers(lines: &[&str]) -> Inventory {
    let mut inventory = Inventory::default();
    for (index, line) in lines.iter().enumerate() {
        let (name, rest) = line.split_once(':').unwrap_or((line, ""));
        let (labels, project) = match rest.split_once('@') {
            Some((labels, project)) => (labels, Some(project.trim().to_owned())),
            None => (rest, None),
        };
        let label = |text: &str| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text.to_owned(), String::new()),
        };
        let labels: BTreeMap<_, _> = labels
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(label)
            .collect();
        add(
            &mut inventory,
            Attributes {
                name: name.to_owned(),
                labels,
                project,
                interface: format!("veth{index}"),
                ..Attributes::default()
            },
        );
    }
    inventory
}

pub fn add(inventory: &mut Inventory, attributes: Attributes) -> EndpointNumber {
    let index = inventory.endpoints.len() as u32;
    let number = EndpointNumber(index + 1);
    let [_, _, high, low] = index.to_be_bytes();
    let owner = Owner {
        mac: MacAddress([2, 0x42, 0xac, 0x12, high, low]),
        addresses: BTreeSet::from([IpAddr::from([172, 18, high, low])]),
        attributes,
        published: BTreeSet::new(),
    };
    let endpoint = Endpoint {
        number,
        interface: format!("veth{index}"),
        ifindex: 10 + index,
        bridge: Some(5),
        owner: Some(owner),
    };
    inventory.endpoints.insert(number, endpoint);
    number
}

pub fn all() -> Traffic {
    Traffic::all()
}

pub fn tcp(port: u16) -> Traffic {
    ports(protocol::TCP, port, port)
}

pub fn ports(protocol: u8, first: u16, last: u16) -> Traffic {
    let first_selector = traffic::Selector::port(protocol, first);
    let last_selector = traffic::Selector::port(protocol, last);
    let text = if first == last {
        format!("{first}/{}", protocol_name(protocol))
    } else {
        format!("{first}-{last}/{}", protocol_name(protocol))
    };
    Traffic::new(
        vec![Interval::new(first_selector, last_selector).unwrap()],
        text,
    )
}

fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        _ => "sctp",
    }
}

/// Echo requests of both families, as `icmp = ["echo-request"]` asks for.
pub fn ping() -> Traffic {
    let of = |protocol, icmp_type| {
        Interval::new(
            traffic::Selector::icmp(protocol, icmp_type, 0),
            traffic::Selector::icmp(protocol, icmp_type, 255),
        )
        .unwrap()
    };
    Traffic::new(
        vec![of(protocol::ICMP, 8), of(protocol::ICMPV6, 128)],
        "echo-request".to_owned(),
    )
}

pub const HTTP: traffic::Selector = traffic::Selector::port(protocol::TCP, 80);
pub const HTTPS: traffic::Selector = traffic::Selector::port(protocol::TCP, 443);
pub const MYSQL: traffic::Selector = traffic::Selector::port(protocol::TCP, 3306);
pub const PING: traffic::Selector = traffic::Selector::icmp(protocol::ICMP, 8, 0);

pub fn side(side: Side) -> impl FnOnce(&mut Rule) {
    move |rule| rule.side = Some(side)
}
