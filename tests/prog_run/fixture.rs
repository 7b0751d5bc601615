//! The real programs, loaded with maps of their own, and a small policy to fill them with.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::sync::Mutex;

use bridgewall::kernel::abi;
use bridgewall::kernel::skeleton::{BridgewallSkel, OpenBridgewallSkel};
use bridgewall::state::networks::{Networks, Placed};
use bridgewall::state::numbers::IdentityNumber;
use ipnet::IpNet;
use libbpf_rs::{MapCore, MapFlags, MapType, ProgramInput, ProgramMut, RingBufferBuilder};

use crate::contract::{bytes_of, from_bytes};
use crate::node::{ENDPOINTS, Family, HOST_IDENTITY, INTERNET, LAN, Node};
use crate::pool::{self, Loan, Template};

pub use crate::contract::address;
pub use crate::rules::{
    Outcome, Reason, Rule, Side, Verdict, allow, allow_all, icmp_selector, port, rule,
};
pub use abi::body as Body;

/// TC_ACT_UNSPEC and TC_ACT_SHOT.
pub const PASS: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;

pub const MARK_SHIFT: u32 = 16;
/// Bits of the mark that are not ours, and must stay as they are.
const FOREIGN_MARK: u32 = 0x0000_a55a;

pub const JUDGED: u32 = 0x8000;

/// A host with the nodes of [`Node`]. Egress is allowed, ingress to endpoints is not; the host
/// allows both.
pub struct Firewall {
    loan: Loan,
    /// By endpoint number: those with other constants than [`Self::constants`].
    templates: [Option<Template>; ENDPOINTS.len() + 1],
    state: Mutex<State>,
}

struct State {
    next_step: u32,
    generation: u64,
    slot: u8,
    /// By slot: what lies in the maps as trees.
    networks: [BTreeMap<IpNet, u32>; 2],
}

impl Firewall {
    pub fn new() -> Self {
        Self::on(Loan::take(|| {
            Self::load(|open| {
                open.progs.from_uplink_body.set_autoload(true);
                open.progs.to_uplink_body.set_autoload(true);
                open.progs.uplink_xdp.set_autoload(true);
            })
        }))
    }

    /// With some settings or map sizes other than the defaults.
    pub fn with(configure: impl FnOnce(&mut OpenBridgewallSkel<'static>)) -> Self {
        Self::on(Loan::own(Self::load(configure)))
    }

    fn load(configure: impl FnOnce(&mut OpenBridgewallSkel<'static>)) -> BridgewallSkel<'static> {
        pool::open(|open| {
            open.progs.from_endpoint.set_autoload(false);
            open.progs.to_endpoint.set_autoload(false);
            // Much smaller than the default, which takes long to make.
            open.maps.flows.set_max_entries(1024).expect("size");
            configure(open);
        })
    }

    fn on(loan: Loan) -> Self {
        let firewall = Self {
            loan,
            templates: Default::default(),
            state: Mutex::new(State {
                next_step: 0,
                generation: 1,
                slot: 0,
                networks: Default::default(),
            }),
        };
        firewall.install_bodies();
        firewall.fill_inventory();
        firewall.fill_networks();
        firewall.default_policy();
        firewall.publish();
        firewall
    }

    pub fn constants(node: Node) -> abi::endpoint_constants {
        let mut constants = abi::endpoint_constants {
            number: node.number(),
            flags: abi::endpoint_flag::ENDPOINT_NAMED.0,
            mac: node.mac(),
            ipv4_count: 1,
            ipv6_count: 1,
            ..Default::default()
        };
        constants.ipv4[0] = u32::from_ne_bytes(node.v4().octets());
        constants.ipv6[0] = address(node.v6().into());
        constants
    }

    pub fn template(&self, node: Node) -> &BridgewallSkel<'static> {
        let number = node.number() as usize;
        let template = self.templates[number].as_ref().unwrap_or_else(|| {
            self.loan.templates[number]
                .get_or_init(|| self.loan.load_template(&Self::constants(node)))
        });
        &template.skeleton
    }

    /// The same endpoint with other constants.
    pub fn reload_template(&mut self, node: Node, constants: &abi::endpoint_constants) {
        self.templates[node.number() as usize] = Some(self.loan.load_template(constants));
    }

    fn install_bodies(&self) {
        let progs = &self.loan.skeleton.progs;
        for (slot, program) in [
            (Body::BODY_FROM_ENDPOINT, &progs.from_endpoint_body),
            (Body::BODY_TO_ENDPOINT, &progs.to_endpoint_body),
            (Body::BODY_DROP, &progs.drop_body),
            (Body::BODY_JUDGE_SENT, &progs.judge_sent_body),
            (Body::BODY_JUDGE_RECEIVED, &progs.judge_received_body),
        ] {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&program.as_fd());
            self.write(&self.loan.skeleton.maps.bodies, &slot.0, &(fd as u32));
        }
    }

    pub fn remove_body(&self, body: abi::body) {
        self.loan
            .skeleton
            .maps
            .bodies
            .delete(&body.0.to_ne_bytes())
            .expect("remove a body");
    }

    pub fn write<K: Copy, V: Copy>(&self, map: &impl MapCore, key: &K, value: &V) {
        map.update(bytes_of(key), bytes_of(value), MapFlags::ANY)
            .unwrap_or_else(|error| panic!("write {:?}: {error}", map.name()));
        if map.map_type() == MapType::Array {
            let name = map.name().to_string_lossy().into_owned();
            let mut written = self.loan.written.lock().unwrap();
            written.entries.insert((name, bytes_of(key).to_vec()));
        }
    }

    fn fill_inventory(&self) {
        for node in ENDPOINTS {
            self.set_endpoint(node, [node.identity(); 2]);
            for family in [Family::V4, Family::V6] {
                self.set_address(node.address(family), 0, Some(node.number()));
            }
            self.set_address(node.link_local().into(), node.bridge(), Some(node.number()));
        }
        for family in [Family::V4, Family::V6] {
            self.set_address(Node::Host.address(family), 0, Some(0));
        }
        self.set_address(Node::Host.link_local().into(), 100, Some(0));
    }

    pub fn set_endpoint(&self, node: Node, identity: [u32; 2]) {
        let record = abi::endpoint {
            identity,
            ifindex: node.ifindex(),
            bridge: node.bridge(),
        };
        self.write(&self.loan.skeleton.maps.endpoints, &node.number(), &record);
    }

    /// How it may be reached past its bridge.
    pub fn set_shortcut(&self, node: Node, shortcut: &abi::shortcut) {
        self.write(&self.loan.skeleton.maps.shortcuts, &node.number(), shortcut);
    }

    /// Whose an address is; 0 is the host, `None` nobody on this host.
    pub fn set_address(&self, ip: IpAddr, zone: u32, endpoint: Option<u32>) {
        let key = abi::local_address_key {
            address: address(ip),
            zone,
        };
        let map = &self.loan.skeleton.maps.addresses;
        match endpoint {
            Some(endpoint) => self.write(map, &key, &abi::local_address { endpoint }),
            None => map.delete(bytes_of(&key)).expect("remove an address"),
        }
    }

    fn fill_networks(&self) {
        let networks = [
            ("0.0.0.0/0", INTERNET),
            ("10.0.0.0/8", LAN),
            ("172.16.0.0/12", LAN),
            ("192.168.0.0/16", LAN),
            ("224.0.0.0/4", LAN),
            ("255.255.255.255/32", LAN),
            ("::/0", INTERNET),
            ("fc00::/7", LAN),
            ("fe80::/10", LAN),
            ("ff00::/8", LAN),
        ];
        let table: BTreeMap<IpNet, u32> = networks
            .into_iter()
            .map(|(prefix, identity)| (prefix.parse().expect("a prefix"), identity))
            .collect();
        for slot in 0..2 {
            self.set_networks(slot, table.clone());
        }
    }

    /// One prefix more, or another identity for it.
    pub fn set_network(&self, slot: u32, ip: IpAddr, length: u8, identity: u32) {
        let mut table = self.networks(slot);
        let prefix = IpNet::new(ip, length).expect("a prefix");
        table.insert(prefix.trunc(), identity);
        self.set_networks(slot, table);
    }

    /// Takes the network of all IPv4 addresses away, which is to say all that it says.
    pub fn remove_default_route(&self, slot: u32) {
        self.set_network(slot, Ipv4Addr::UNSPECIFIED.into(), 0, 0);
    }

    pub fn networks(&self, slot: u32) -> BTreeMap<IpNet, u32> {
        self.state.lock().unwrap().networks[slot as usize].clone()
    }

    /// The whole world of one slot.
    pub fn set_networks(&self, slot: u32, table: BTreeMap<IpNet, u32>) {
        let numbers = table.iter();
        let numbers = numbers.map(|(&prefix, &identity)| (prefix, IdentityNumber(identity)));
        let wanted = Networks::new(&numbers.collect());
        let maps = &self.loan.skeleton.maps;
        let mut placed = self.loan.networks.lock().unwrap();
        let [ours, other] = [slot, 1 - slot].map(|slot| &placed[slot as usize]);
        let room = maps.network_nodes.max_entries();
        let change = Placed::change(other, ours, &wanted, room).expect("there is room");
        // Not by `write`: they stay for the next test, which changes what it has to.
        let update = |map: &dyn MapCore, key: u32, value: &[u8]| {
            map.update(bytes_of(&key), value, MapFlags::ANY)
                .expect("write networks");
        };
        for (first, tree) in &change.trees {
            for (index, node) in (*first..).zip(tree.nodes()) {
                update(&maps.network_nodes, index, bytes_of(&node.0));
            }
        }
        for (row, references) in &change.rows {
            update(&maps.network_roots, row << 1 | slot, bytes_of(references));
        }
        placed[slot as usize] = change.result;
        self.state.lock().unwrap().networks[slot as usize] = table;
    }

    fn default_policy(&self) {
        for slot in 0..2 {
            let (pass, block) = self.lists();
            let host = abi::identity_record {
                generic: [[pass; 4], [pass; 4]],
            };
            let endpoint = abi::identity_record {
                generic: [[pass; 4], [block; 4]],
            };
            self.set_identity(slot, HOST_IDENTITY, &host);
            for node in ENDPOINTS {
                self.set_identity(slot, node.identity(), &endpoint);
            }
        }
    }

    /// Two lists for all traffic: one that passes, one that drops.
    pub fn lists(&self) -> (abi::step_list, abi::step_list) {
        (
            self.add_steps(Verdict::Allow, &[]),
            self.add_steps(Verdict::Drop, &[]),
        )
    }

    pub fn set_identity(&self, slot: u8, identity: u32, record: &abi::identity_record) {
        let index = u32::from(slot) * (abi::limit::LOCAL_IDENTITY_MAX.0 + 1) + identity;
        self.write(&self.loan.skeleton.maps.identities, &index, record);
    }

    /// Writes a list that does as `rules` say, which must be in order, and elsewhere as `default`.
    pub fn add_steps(&self, default: Verdict, rules: &[Rule]) -> abi::step_list {
        let step = |from, verdict: Verdict, rule, log| abi::policy_step {
            from,
            rule,
            verdict: verdict as u8,
            flags: u8::from(log),
            _pad: 0,
        };
        let mut steps = vec![step(0, default, 0, false)];
        for rule in rules {
            if steps.last().is_some_and(|last| last.from == rule.first) {
                steps.pop();
            }
            steps.push(step(rule.first, rule.verdict, rule.number, rule.log));
            steps.push(step(rule.last + 1, default, 0, false));
        }
        let numbers = steps.iter().map(|step| step.rule);
        self.loan.written.lock().unwrap().rules.extend(numbers);
        let mut state = self.state.lock().unwrap();
        let list = abi::step_list {
            first: state.next_step,
            count: steps.len() as u32,
        };
        for (index, step) in (list.first..).zip(&steps) {
            self.write(&self.loan.skeleton.maps.steps, &index, step);
        }
        state.next_step += list.count;
        list
    }

    /// What `subject` does with `peer` on its side, in the judging slot: as `rules` say, else drop
    /// on ingress and allow on egress.
    pub fn set_rules(&self, side: Side, subject: Node, peer: Node, rules: &[Rule]) {
        let slot = self.state.lock().unwrap().slot;
        self.set_rules_in(slot, side, subject, peer.identity(), rules);
    }

    pub fn set_rules_in(&self, slot: u8, side: Side, subject: Node, peer: u32, rules: &[Rule]) {
        let default = match side {
            Side::Egress => Verdict::Allow,
            Side::Ingress => Verdict::Drop,
        };
        let list = self.add_steps(default, rules);
        let key = abi::policy_key {
            slot,
            side: side as u8,
            subject: subject.identity() as u16,
            peer,
        };
        self.write(&self.loan.skeleton.maps.policy, &key, &list);
    }

    /// `subject` takes everything from `peer`.
    pub fn open_to(&self, subject: Node, peer: Node) {
        self.set_rules(Side::Ingress, subject, peer, &[allow_all(1)]);
    }

    fn publish(&self) {
        let state = self.state.lock().unwrap();
        let active = state.generation << 1 | u64::from(state.slot);
        self.write(&self.loan.skeleton.maps.active, &0u32, &active);
    }

    /// As after any change of policy or inventory: all flows are to be judged again.
    pub fn next_generation(&self) {
        self.state.lock().unwrap().generation += 1;
        self.publish();
    }

    /// As after a change of policy: the other slot judges.
    pub fn switch_slot(&self) {
        self.state.lock().unwrap().slot ^= 1;
        self.next_generation();
    }

    pub fn unpublish(&self) {
        self.write(&self.loan.skeleton.maps.active, &0u32, &0u64);
    }

    pub fn observe_allowed(&self) {
        let flags = abi::observe_flag::OBSERVE_ALLOWED.0;
        self.write(&self.loan.skeleton.maps.observe, &0u32, &flags);
    }

    /// What `node` sends.
    pub fn from(&self, node: Node, frame: &[u8]) -> Outcome {
        let template = self.template(node);
        self.run(&template.progs.from_endpoint, frame, 0, 0)
    }

    /// What reaches `node` with a mark.
    pub fn to(&self, node: Node, frame: &[u8], mark: u32) -> Outcome {
        self.to_through(node, frame, mark, 0)
    }

    /// What reaches `node` after it came in by an interface of the host.
    pub fn to_through(&self, node: Node, frame: &[u8], mark: u32, ingress_ifindex: u32) -> Outcome {
        let template = self.template(node);
        let program = &template.progs.to_endpoint;
        self.run(program, frame, mark, ingress_ifindex)
    }

    /// Whether the verdict is a drop that nothing counts.
    pub fn is_dropped_silently(&self, node: Node, frame: &[u8]) -> bool {
        let before = self.drops();
        let template = self.template(node);
        let output = template
            .progs
            .from_endpoint
            .test_run(ProgramInput {
                data_in: Some(frame),
                ..Default::default()
            })
            .expect("test run");
        output.return_value == SHOT && self.drops() == before
    }

    pub fn run(&self, program: &ProgramMut<'_>, frame: &[u8], mark: u32, ingress: u32) -> Outcome {
        let before = self.drops();
        let mut context = [0u8; size_of::<abi::__sk_buff>()];
        let mut context_out = context;
        let mut set = |offset: usize, value: u32| {
            context[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        };
        let mark_offset = offset_of!(abi::__sk_buff, mark);
        set(mark_offset, mark << MARK_SHIFT | FOREIGN_MARK);
        set(offset_of!(abi::__sk_buff, ingress_ifindex), ingress);
        let output = program
            .test_run(ProgramInput {
                context_in: Some(&mut context),
                context_out: Some(&mut context_out),
                data_in: Some(frame),
                ..Default::default()
            })
            .expect("test run");
        let verdict = output.return_value;
        let mark: u32 = from_bytes(&context_out[mark_offset..]);
        if verdict != REDIRECT {
            assert_eq!(mark & 0xffff, FOREIGN_MARK, "foreign bits of the mark");
        }

        let after = self.drops();
        let counted: Vec<u32> = (0..Reason::DROP_REASONS.0)
            .filter(|&reason| after[reason as usize] != before[reason as usize])
            .collect();
        match verdict {
            PASS => {
                assert_eq!(counted, [0u32; 0], "a packet that passes is no drop");
                Outcome::Passed {
                    mark: mark >> MARK_SHIFT,
                }
            }
            SHOT => {
                assert_eq!(counted.len(), 1, "one reason for each drop: {counted:?}");
                Outcome::Dropped(Reason(counted[0]))
            }
            REDIRECT => {
                assert_eq!(counted, [0u32; 0], "a packet that passes is no drop");
                assert_eq!(mark, 0, "no mark leaves the host's namespace");
                Outcome::Led
            }
            other => panic!("verdict {other}"),
        }
    }

    /// How often which reason was counted.
    pub fn counted_drops(&self) -> Vec<(Reason, u64)> {
        let reasons = (0..Reason::DROP_REASONS.0).map(Reason);
        reasons
            .zip(self.drops())
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn drops(&self) -> Vec<u64> {
        (0..Reason::DROP_REASONS.0)
            .map(|reason| self.sum(&self.loan.skeleton.maps.drops, reason).packets)
            .collect()
    }

    fn sum(&self, map: &impl MapCore, index: u32) -> abi::counter {
        let values = map
            .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
            .expect("read a counter")
            .expect("an array has all its entries");
        values.iter().fold(abi::counter::default(), |sum, value| {
            let counter: abi::counter = from_bytes(value);
            abi::counter {
                packets: sum.packets + counter.packets,
                bytes: sum.bytes + counter.bytes,
            }
        })
    }

    /// Connections that a rule has decided.
    pub fn rule_hits(&self, rule: u32) -> u64 {
        self.sum(&self.loan.skeleton.maps.rule_hits, rule).packets
    }

    /// Packets of one endpoint: passed from it, passed to it, dropped from it, dropped to it.
    pub fn traffic(&self, node: Node) -> [u64; 4] {
        let values = self
            .loan
            .skeleton
            .maps
            .endpoint_traffic
            .lookup_percpu(&node.number().to_ne_bytes(), MapFlags::ANY)
            .expect("read a counter")
            .expect("an array has all its entries");
        values.iter().fold([0; 4], |sum, value| {
            let counters: abi::endpoint_counters = from_bytes(value);
            [
                sum[0] + counters.passed[0].packets,
                sum[1] + counters.passed[1].packets,
                sum[2] + counters.dropped[0].packets,
                sum[3] + counters.dropped[1].packets,
            ]
        })
    }

    /// Events lost, by cause.
    pub fn losses(&self, cause: abi::event_loss) -> u64 {
        self.loan
            .skeleton
            .maps
            .event_losses
            .lookup_percpu(&cause.0.to_ne_bytes(), MapFlags::ANY)
            .expect("read a counter")
            .expect("an array has all its entries")
            .iter()
            .map(|value| from_bytes::<u64>(value))
            .sum()
    }

    /// As if all first fragments had come that long ago.
    pub fn age_fragments(&self, seconds: u64) {
        let map = &self.loan.skeleton.maps.fragments;
        for (key, mut set) in entries::<u32, abi::fragment_set>(map) {
            for fragment in &mut set.fragments {
                fragment.seen = fragment.seen.wrapping_sub(seconds * 1_000_000_000);
            }
            self.write(map, &key, &set);
        }
    }

    /// The events since the last call.
    pub fn events(&self) -> Vec<abi::event> {
        let mut events = Vec::new();
        {
            let mut builder = RingBufferBuilder::new();
            builder
                .add(&self.loan.skeleton.maps.events, |bytes| {
                    events.push(from_bytes(bytes));
                    0
                })
                .expect("watch the ring buffer");
            let ring = builder.build().expect("open the ring buffer");
            ring.consume().expect("read the ring buffer");
        }
        events
    }

    /// What the test borrows.
    pub fn loan(&self) -> &Loan {
        &self.loan
    }

    /// The programs, with their names.
    pub fn programs(&self) -> Vec<(&'static str, &ProgramMut<'static>)> {
        let bodies = &self.loan.skeleton.progs;
        let template = &self.template(Node::A).progs;
        vec![
            ("from_endpoint_body", &bodies.from_endpoint_body),
            ("to_endpoint_body", &bodies.to_endpoint_body),
            ("drop_body", &bodies.drop_body),
            ("judge_sent_body", &bodies.judge_sent_body),
            ("judge_received_body", &bodies.judge_received_body),
            ("from_endpoint", &template.from_endpoint),
            ("to_endpoint", &template.to_endpoint),
        ]
    }
}

pub fn entries<K: Copy, V: Copy>(map: &impl MapCore) -> Vec<(K, V)> {
    map.keys()
        .filter_map(|key| {
            let value = map.lookup(&key, MapFlags::ANY).expect("read an entry")?;
            Some((from_bytes(&key), from_bytes(&value)))
        })
        .collect()
}
