//! The real programs, with maps of their own, run by BPF_PROG_TEST_RUN. What became of a frame is read
//! from the ring buffer, which costs no system call; the counters are read once a case.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::mem::offset_of;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::rc::Rc;

use bridgewall::compile::compile;
use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::inventory::model::Inventory;
use bridgewall::kernel::abi;
use bridgewall::policy::model::Policy;
use bridgewall::state::actual::{Actual, Capacity, Mechanism};
use bridgewall::state::desired::{Desired, LiveInventory, PolicyImage, TemplateConstants};
use bridgewall::state::diff::plan;
use bridgewall::state::plan::Operation;
use libbpf_rs::{MapCore as _, Object, ObjectBuilder, OpenObject, ProgramInput, ProgramMut};
use libbpf_rs::{RingBuffer, RingBufferBuilder};

use super::maps::Maps;
use crate::contract::{address, bytes_of, from_bytes, zero};
use crate::design::Reason;
use crate::design::connections::Timeouts;

/// Far apart, so that no case is about a matter of seconds: time passes in steps of [`TICK`].
pub const TIMEOUTS: Timeouts = Timeouts {
    tcp_new: 150,
    tcp_closing: 250,
    icmp: 350,
    udp_new: 450,
    udp: 550,
    other: 750,
    tcp: 1050,
};

/// Seconds that pass at once.
pub const TICK: u64 = 100;

/// Endpoints' numbers in all cases are not greater.
const MOST_ENDPOINTS: u32 = 16;

const MARK_SHIFT: u32 = 16;
/// Bits of the mark that are not ours, and must stay as they are.
const FOREIGN_MARK: u32 = 0xa55a;

/// TC_ACT_UNSPEC and TC_ACT_SHOT.
const PASS: u32 = u32::MAX;
const SHOT: u32 = 2;

const BODIES: [(abi::body, &str); 5] = [
    (abi::body::BODY_FROM_ENDPOINT, "from_endpoint_body"),
    (abi::body::BODY_TO_ENDPOINT, "to_endpoint_body"),
    (abi::body::BODY_DROP, "drop_body"),
    (abi::body::BODY_JUDGE_SENT, "judge_sent_body"),
    (abi::body::BODY_JUDGE_RECEIVED, "judge_received_body"),
];
/// The daemon's: no packet gets there.
const SWEEP: &str = "sweep_body";
const TEMPLATES: [&str; 2] = ["from_endpoint", "to_endpoint"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    From = 0,
    To = 1,
}

/// What became of a frame.
#[derive(Debug, Clone)]
pub struct Run {
    /// The mark it goes on with; `None`: it was dropped.
    pub passed: Option<u16>,
    pub events: Vec<abi::event>,
}

/// Programs and maps, and what is in them.
pub struct Kernel {
    object: Vec<u8>,
    maps: Maps,
    templates: HashMap<Vec<u8>, Template>,
    /// By endpoint number: what is attached there.
    attached: BTreeMap<u32, Vec<u8>>,
    actual: Actual,
    numbering: Numbering,
    ring: RingBuffer<'static>,
    events: Rc<RefCell<Vec<abi::event>>>,
}

struct Template([ProgramMut<'static>; 2]);

impl Kernel {
    /// Loads an object as the build makes it.
    pub fn load(path: &Path) -> Self {
        let object = std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let bodies = leak(
            open(&object, &[&TEMPLATES[..], &[SWEEP]].concat())
                .load()
                .expect("load: this needs root"),
        );
        let maps = Maps::of(bodies);
        for program in bodies.progs_mut() {
            let name = program.name().to_string_lossy().into_owned();
            if let Some((place, _)) = BODIES.iter().find(|(_, body)| *body == name) {
                maps.set("bodies", &place.0, &program.as_fd().as_raw_fd());
            }
        }
        let events = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&events);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(maps.get("events"), move |bytes| {
                sink.borrow_mut().push(from_bytes(bytes));
                0
            })
            .expect("watch the ring buffer");
        let ring = builder.build().expect("open the ring buffer");
        let size = |map: &str| maps.get(map).max_entries();
        let capacity = Capacity {
            steps: size("steps"),
            pairs: size("policy"),
            network_nodes: size("network_nodes"),
            most_network_nodes: size("network_nodes"),
            addresses: size("addresses"),
            published: size("published"),
            endpoints: size("endpoints"),
            rules: size("rule_hits"),
            management: size("management"),
        };
        Self {
            object,
            templates: HashMap::new(),
            attached: BTreeMap::new(),
            actual: Actual::empty(capacity, Mechanism::Tcx),
            numbering: Numbering::default(),
            ring,
            events,
            maps,
        }
    }

    /// Before a new case: no connections, no numbers in use but those of the policy that still judges.
    pub fn begin(&mut self, observed: bool) {
        for table in ["flows", "fragments"] {
            self.maps.clear(table);
        }
        zero(self.maps.get("recent"));
        for endpoint in 0..=MOST_ENDPOINTS {
            let nothing = abi::flow_accounts::default();
            self.maps.set("accounts", &endpoint, &nothing);
        }
        let flags = if observed {
            abi::observe_flag::OBSERVE_ALLOWED.0
        } else {
            0
        };
        self.maps.set("observe", &0_u32, &flags);
        self.numbering = Numbering::default();
    }

    /// Compiles a policy, and does what the plan for it says.
    pub fn take(&mut self, policy: &Policy, inventory: &Inventory) -> Compiled {
        let limits = Limits::default();
        let compiled = compile(policy, inventory, &mut self.numbering, &limits).expect("it fits");
        let desired = Desired {
            policy: PolicyImage::from(&compiled),
            live: LiveInventory::new(inventory).0,
        };
        // A change of interfaces alone is still a change for what was judged.
        let plan = plan(&self.actual, &desired).expect("it fits");
        for operation in &plan.operations {
            match operation {
                Operation::Attach(_, attachment) => self.attach(&attachment.constants),
                Operation::Detach(ifindex) => {
                    let attached = self.actual.attachments.get(ifindex);
                    let constants = attached.and_then(|attached| attached.constants.as_ref());
                    if let Some(constants) = constants {
                        self.attached.remove(&constants.number.0);
                    }
                }
                _ => self.maps.apply(operation),
            }
            self.actual.apply(operation);
        }
        compiled
    }

    /// What judges now; it counts up with every change.
    pub fn generation(&self) -> u64 {
        self.actual.active.generation
    }

    fn attach(&mut self, constants: &TemplateConstants) {
        let constants = encode(constants);
        let key = bytes_of(&constants).to_vec();
        let (object, maps) = (&self.object, &self.maps);
        self.templates
            .entry(key.clone())
            .or_insert_with(|| load_template(object, maps, &constants));
        self.attached.insert(constants.number, key);
    }

    /// One frame, at one endpoint's hook.
    pub fn run(&self, hook: Hook, endpoint: u32, frame: &[u8], mark: u16, ingress: u32) -> Run {
        let template = &self.templates[&self.attached[&endpoint]];
        let mut context = [0u8; size_of::<abi::__sk_buff>()];
        let mut set = |offset: usize, value: u32| {
            context[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        };
        let mark_offset = offset_of!(abi::__sk_buff, mark);
        set(mark_offset, u32::from(mark) << MARK_SHIFT | FOREIGN_MARK);
        set(offset_of!(abi::__sk_buff, ingress_ifindex), ingress);
        let mut context_out = context;
        let verdict = template.0[hook as usize]
            .test_run(ProgramInput {
                context_in: Some(&mut context),
                context_out: Some(&mut context_out),
                data_in: Some(frame),
                ..Default::default()
            })
            .unwrap_or_else(|error| panic!("test run of {} bytes: {error}", frame.len()))
            .return_value;
        let mark: u32 = from_bytes(&context_out[mark_offset..]);
        assert_eq!(mark & 0xffff, FOREIGN_MARK, "foreign bits of the mark");
        let passed = match verdict {
            PASS => Some((mark >> MARK_SHIFT) as u16),
            SHOT => None,
            other => panic!("verdict {other}"),
        };
        self.ring.consume().expect("read the ring buffer");
        Run {
            passed,
            events: self.events.take(),
        }
    }

    /// Time passes: more than anything is remembered without its connection's entry.
    pub fn wait(&self, seconds: u64) {
        zero(self.maps.get("recent"));
        let earlier = |time: &mut u64| *time = time.wrapping_sub(seconds * 1_000_000_000);
        self.maps
            .change("flows", |flow: &mut abi::flow| earlier(&mut flow.last_seen));
        self.maps
            .change("fragments", |set: &mut abi::fragment_set| {
                set.fragments
                    .iter_mut()
                    .for_each(|first| earlier(&mut first.seen));
            });
    }

    /// Packets dropped, by reason.
    pub fn drops(&self) -> Vec<u64> {
        let reasons = 0..Reason::DROP_REASONS.0;
        reasons
            .map(|reason| self.maps.packets("drops", reason))
            .collect()
    }

    /// New connections that a rule decided.
    pub fn rule_hits(&self, rule: u32) -> u64 {
        self.maps.packets("rule_hits", rule)
    }
}

fn load_template(object: &[u8], maps: &Maps, constants: &abi::endpoint_constants) -> Template {
    let bodies = BODIES.map(|(_, name)| name);
    let mut open = open(object, &[&bodies[..], &[SWEEP]].concat());
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(shared) = maps.shared(&name) {
            map.reuse_fd(shared.as_fd()).expect("reuse a map");
        } else if name.ends_with(".rodata.endpoint") {
            let value = map.initial_value_mut().expect("constants");
            value[..size_of::<abi::endpoint_constants>()].copy_from_slice(bytes_of(constants));
        }
    }
    let mut programs = leak(open.load().expect("load a template")).progs_mut();
    Template(TEMPLATES.map(|name| {
        programs
            .find(|program| program.name() == name)
            .expect("in the order of the source")
    }))
}

/// Opens the object, with some of its programs left out.
fn open(object: &[u8], without: &[&str]) -> OpenObject {
    let mut open = ObjectBuilder::default()
        .open_memory(object)
        .expect("open the object");
    for mut program in open.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        // The model knows endpoints only.
        let left_out = without.contains(&name.as_str()) || name.contains("uplink");
        program.set_autoload(!left_out);
    }
    for mut map in open.maps_mut() {
        if map.name().to_string_lossy().ends_with(".rodata") {
            let value = map.initial_value_mut().expect("settings");
            let mut data: abi::rodata = from_bytes(value);
            let settings = &mut data.settings;
            settings.mark_shift = MARK_SHIFT;
            settings.event_burst = u32::MAX;
            settings.timeout_tcp_new = TIMEOUTS.tcp_new as u32;
            settings.timeout_tcp_closing = TIMEOUTS.tcp_closing as u32;
            settings.timeout_icmp = TIMEOUTS.icmp as u32;
            settings.timeout_udp_new = TIMEOUTS.udp_new as u32;
            settings.timeout_udp = TIMEOUTS.udp as u32;
            settings.timeout_other = TIMEOUTS.other as u32;
            settings.timeout_tcp = TIMEOUTS.tcp as u32;
            value[..size_of::<abi::rodata>()].copy_from_slice(bytes_of(&data));
        }
    }
    open
}

/// Programs live as long as the tests do.
fn leak(object: Object) -> &'static mut Object {
    Box::leak(Box::new(object))
}

fn encode(constants: &TemplateConstants) -> abi::endpoint_constants {
    let mut encoded = abi::endpoint_constants {
        number: constants.number.0,
        ..Default::default()
    };
    if let Some(sender) = &constants.sender {
        encoded.flags = abi::endpoint_flag::ENDPOINT_NAMED.0;
        encoded.mac = sender.mac.0;
        encoded.ipv4_count = sender.ipv4.len() as u32;
        encoded.ipv6_count = sender.ipv6.len() as u32;
        for (place, ip) in encoded.ipv4.iter_mut().zip(&sender.ipv4) {
            *place = u32::from_ne_bytes(ip.octets());
        }
        for (place, ip) in encoded.ipv6.iter_mut().zip(&sender.ipv6) {
            *place = address(IpAddr::V6(*ip));
        }
    }
    encoded
}
