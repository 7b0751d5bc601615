//! The programs and their maps, loaded once and lent to one test after another: the verifier takes many
//! times as long over them as a test. Every test finds them as if they had just been loaded.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use bridgewall::kernel::abi;
use bridgewall::kernel::skeleton::{BridgewallSkel, BridgewallSkelBuilder, OpenBridgewallSkel};
use bridgewall::state::networks::Placed;
use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{MapCore, MapFlags, MapType, RingBufferBuilder};

use crate::contract::zero;
use crate::fixture::MARK_SHIFT;
use crate::node::ENDPOINTS;

/// The templates of one endpoint.
pub struct Template {
    pub skeleton: BridgewallSkel<'static>,
}

/// Bodies, maps, and the templates that were needed so far.
pub struct Loaded {
    pub skeleton: BridgewallSkel<'static>,
    /// By endpoint number.
    pub templates: [OnceLock<Template>; ENDPOINTS.len() + 1],
    /// What the networks' maps hold, by slot. They are never cleared: to fill them takes long, and each
    /// test changes them to what it wants.
    pub networks: Mutex<[Placed; 2]>,
}

/// The maps that are described by [`Loaded::networks`].
const NETWORKS: [&str; 2] = ["network_roots", "network_nodes"];

// SAFETY: libbpf's objects belong to no thread, the skeleton owns its object and what points into it,
// and the mutex of `READY` hands it from one thread to the next as a whole.
unsafe impl Send for Loaded {}

/// What no test has at present.
static READY: Mutex<Vec<Loaded>> = Mutex::new(Vec::new());

fn ready() -> MutexGuard<'static, Vec<Loaded>> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a test has written into arrays; programs write into tables, accounts and counters alone.
#[derive(Default)]
pub struct Written {
    /// Names of maps, with keys.
    pub entries: BTreeSet<(String, Vec<u8>)>,
    /// Rules that were in a policy, which programs may have counted.
    pub rules: BTreeSet<u32>,
}

/// Loaded programs in the hands of one test.
pub struct Loan {
    /// `None` once it is given back.
    loaded: Option<Loaded>,
    /// Whether another test may have them afterwards.
    returns: bool,
    pub written: Mutex<Written>,
}

impl Loan {
    /// Those that nobody has, or new ones.
    pub fn take(load: impl FnOnce() -> BridgewallSkel<'static>) -> Self {
        let loaded = ready().pop();
        Self::of(loaded.unwrap_or_else(|| Loaded::new(load())), true)
    }

    /// Programs that are like no other test's.
    pub fn own(skeleton: BridgewallSkel<'static>) -> Self {
        Self::of(Loaded::new(skeleton), false)
    }

    fn of(loaded: Loaded, returns: bool) -> Self {
        Self {
            loaded: Some(loaded),
            returns,
            written: Mutex::default(),
        }
    }
}

/// The programs with the tests' settings, and with what `configure` changes.
pub fn open(configure: impl FnOnce(&mut OpenBridgewallSkel<'static>)) -> BridgewallSkel<'static> {
    let storage = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = BridgewallSkelBuilder::default()
        .open(storage)
        .expect("open the skeleton");
    let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
    settings.mark_shift = MARK_SHIFT;
    // Whoever tries what uplinks have says so: the verifier takes its time over it.
    for mut program in open.open_object_mut().progs_mut() {
        if program.name().to_string_lossy().contains("uplink") {
            program.set_autoload(false);
        }
    }
    configure(&mut open);
    open.load().expect("load: these tests need root")
}

impl Loaded {
    fn new(skeleton: BridgewallSkel<'static>) -> Self {
        Self {
            skeleton,
            templates: Default::default(),
            networks: Mutex::default(),
        }
    }

    /// Templates for an endpoint with these constants, with the maps of the bodies.
    pub fn load_template(&self, constants: &abi::endpoint_constants) -> Template {
        let shared = self.skeleton.object();
        let skeleton = open(|open| {
            let wanted = [
                &mut open.progs.from_endpoint_body,
                &mut open.progs.to_endpoint_body,
                &mut open.progs.judge_sent_body,
                &mut open.progs.judge_received_body,
            ];
            for body in wanted {
                body.set_autoload(false);
            }
            open.progs.drop_body.set_autoload(false);
            open.progs.sweep_body.set_autoload(false);
            let data = open.maps.rodata_endpoint_data.as_mut().expect("constants");
            data.endpoint_constants = *constants;
            for mut map in open.open_object_mut().maps_mut() {
                // Constants are each one's own.
                if map.initial_value().is_some() {
                    continue;
                }
                let twin = shared.maps().find(|twin| twin.name() == map.name());
                let twin = twin.expect("the same object has the same maps");
                map.reuse_fd(twin.as_fd()).expect("share a map");
            }
        });
        Template { skeleton }
    }

    /// Takes back all that a test did.
    fn clear(&self, written: &Written) {
        for map in self.skeleton.object().maps() {
            let name = map.name().to_string_lossy().into_owned();
            match map.map_type() {
                _ if NETWORKS.contains(&name.as_str()) => {}
                MapType::Hash | MapType::LruHash | MapType::LpmTrie => empty(&map),
                // Programs write to these arrays, too.
                MapType::Array if ["accounts", "reopened"].contains(&name.as_str()) => {
                    zero_values(&map, 0..=ENDPOINTS.len() as u32);
                }
                MapType::Array if name == "recent" => zero(&map),
                MapType::Array if name == "sweeper" => zero_values(&map, [0]),
                MapType::Array => {
                    let zero = vec![0; map.value_size() as usize];
                    for (_, key) in written.entries.iter().filter(|(array, _)| *array == name) {
                        map.update(key, &zero, MapFlags::ANY)
                            .expect("clear an entry");
                    }
                }
                MapType::PercpuArray => match name.as_str() {
                    "rule_hits" => zero_counters(&map, written.rules.iter().copied()),
                    "endpoint_traffic" => zero_counters(&map, 0..=ENDPOINTS.len() as u32),
                    _ => zero_counters(&map, 0..map.max_entries()),
                },
                MapType::RingBuf => drain(&map),
                // The bodies are put into their places for every test.
                MapType::ProgArray => {}
                other => panic!("nobody has said how a map of type {other:?} is cleared: {name}"),
            }
        }
    }
}

impl Deref for Loan {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        self.loaded.as_ref().expect("it is given back at the end")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Who knows what a failed test has left behind.
        if !self.returns || thread::panicking() {
            return;
        }
        if let Some(loaded) = self.loaded.take() {
            loaded.clear(&self.written.lock().expect("no test has failed"));
            ready().push(loaded);
        }
    }
}

fn empty(map: &impl MapCore) {
    // All of them first: who deletes while he iterates starts anew each time.
    for key in map.keys().collect::<Vec<_>>() {
        map.delete(&key).expect("remove an entry");
    }
}

fn zero_values(map: &impl MapCore, indexes: impl IntoIterator<Item = u32>) {
    let zero = vec![0; map.value_size() as usize];
    for index in indexes {
        map.update(&index.to_ne_bytes(), &zero, MapFlags::ANY)
            .expect("clear an entry");
    }
}

fn zero_counters(map: &impl MapCore, indexes: impl IntoIterator<Item = u32>) {
    for index in indexes {
        let key = index.to_ne_bytes();
        let values = map
            .lookup_percpu(&key, MapFlags::ANY)
            .expect("read a counter");
        let Some(mut values) = values else { continue };
        values.iter_mut().for_each(|value| value.fill(0));
        map.update_percpu(&key, &values, MapFlags::ANY)
            .expect("clear a counter");
    }
}

fn drain(map: &dyn MapCore) {
    let mut builder = RingBufferBuilder::new();
    builder.add(map, |_| 0).expect("watch the ring buffer");
    let ring = builder.build().expect("open the ring buffer");
    ring.consume().expect("read the ring buffer");
}

/// Otherwise one test could lean on what another one did.
#[test]
fn what_a_test_did_is_not_there_for_the_next() {
    use crate::fixture::{Firewall, Side, allow_all};
    use crate::frame::*;
    use crate::node::{FAMILIES, Node};

    let firewall = Firewall::new();
    firewall.observe_allowed();
    firewall.open_to(Node::B, Node::A);
    firewall.switch_slot();
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow_all(17)]);
    for family in FAMILIES {
        let asked = frame(family, Node::A, Node::B, &udp(1, 2));
        let answered = frame(family, Node::B, Node::A, &udp(2, 1));
        firewall.from(Node::A, &asked).passes("allowed");
        firewall.from(Node::B, &answered).passes("answered");
        firewall.from(Node::A, &asked).passes("remembered");
        let refused = frame(family, Node::B, Node::C, &udp(1, 2));
        let _ = firewall.from(Node::B, &refused);
    }
    let loan = firewall.loan();
    let filled = [
        "flows",
        "recent",
        "accounts",
        "rule_hits",
        "drops",
        "endpoint_traffic",
        "steps",
    ];
    let dirty = contents(loan);
    for name in filled {
        assert!(dirty.contains(name), "{name} has something to clear");
    }
    loan.clear(&loan.written.lock().expect("nobody else has it"));
    assert_eq!(contents(loan), BTreeSet::new());
}

/// The maps in which anything is, but the programs and their constants.
fn contents(loaded: &Loaded) -> BTreeSet<String> {
    let is_filled = |map: &libbpf_rs::Map<'_>| match map.map_type() {
        MapType::ProgArray => false,
        MapType::RingBuf => false,
        MapType::PercpuArray => (0..map.max_entries()).any(|index| {
            let values = map.lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY);
            let values = values.expect("read").expect("an array has all its entries");
            values.iter().flatten().any(|byte| *byte != 0)
        }),
        MapType::Array => (0..map.max_entries()).any(|index| {
            let value = map.lookup(&index.to_ne_bytes(), MapFlags::ANY);
            let value = value.expect("read").expect("an array has all its entries");
            value.iter().any(|byte| *byte != 0)
        }),
        _ => map.keys().next().is_some(),
    };
    let object = loaded.skeleton.object();
    object
        .maps()
        .map(|map| (map.name().to_string_lossy().into_owned(), map))
        .filter(|(name, _)| !name.contains("rodata") && !NETWORKS.contains(&name.as_str()))
        .filter(|(_, map)| is_filled(map))
        .map(|(name, _)| name)
        .collect()
}
