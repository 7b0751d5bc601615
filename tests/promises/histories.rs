//! Whatever happened, and whatever was told of it, the kernel then holds what a fresh start builds.
//!
//! Histories are random: containers come and go, also under names, indexes and addresses of others,
//! networks are joined and left, the engine stops, with its containers or without them, the daemon is
//! killed or does not look for a while, events are told once, twice, or lost. A history that fails is
//! shown with its number; `BRIDGEWALL_HISTORY` repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::Signal;

use crate::common::daemon::{Attach, Daemon};
use crate::common::eventually_equals;
use crate::common::fake_docker::Fate;
use crate::common::kernel_state::KernelState;
use crate::docker_host::{DockerHost, NETWORKS, Plug};
use crate::{Random, dose};

const POLICY: &str = r#"
    [defaults]
    ingress = "deny"
    egress = "deny"
    unidentified = "deny"

    [identities.web]
    labels = { role = "web" }
    [identities.db]
    labels = { role = "db" }
    [identities.job]
    labels = { role = "job" }
    [networks.office]
    cidrs = ["198.51.100.0/24"]

    [[allow]]
    from = ["web", "office"]
    to = "db"
    ports = ["3306", "3306/udp"]
    [[allow]]
    from = "db"
    to = "job"
    icmp = ["any"]
"#;

const ROLES: [&str; 3] = ["web", "db", "job"];
/// How many containers, interfaces and addresses there are to choose from.
const CONTAINERS: u64 = 4;
const PLACES: u64 = 9;
/// How much happens in one history.
const STEPS: usize = 14;

struct World {
    host: DockerHost,
    daemon: Daemon,
    runs: bool,
    frozen: bool,
    engine: bool,
    random: Random,
    history: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the history\n{}\n----", self.history.join("\n"));
        }
    }
}

impl World {
    fn new(attach: Attach, number: u64) -> Self {
        let host = DockerHost::new();
        Self {
            daemon: host.daemon(attach, POLICY),
            host,
            runs: true,
            frozen: false,
            engine: true,
            // An xorshift of 0 would stay 0.
            random: Random(0x9e37_79b9_7f4a_7c15 ^ (number + 1)),
            history: vec![format!("BRIDGEWALL_HISTORY={number}, by {attach:?}")],
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    /// A name, an index and an address that nobody has just now; somebody may have had them.
    fn plug(&mut self, network: usize) -> Plug {
        let plugs = || {
            let running = self
                .host
                .boxes
                .values()
                .filter(|container| container.runs());
            running.flat_map(|container| &container.plugs)
        };
        let interfaces: BTreeSet<_> = plugs().map(|(_, plug)| plug.interface.clone()).collect();
        let indexes: BTreeSet<_> = plugs().filter_map(|(_, plug)| plug.index).collect();
        let addresses: BTreeSet<_> = plugs()
            .filter(|(other, _)| **other == network)
            .map(|(_, plug)| plug.last)
            .collect();
        let mut free = |taken: &dyn Fn(u64) -> bool| {
            let start = self.random.below(PLACES);
            (0..PLACES)
                .map(|n| (start + n) % PLACES)
                .find(|n| !taken(*n))
                .expect("there are more places than containers can have")
        };
        let name = |n: u64| format!("veth{n}");
        let place = free(&|n| interfaces.contains(&name(n)));
        let index = |n: u64| 4000 + n as u32;
        // Names and indexes that were in use together are so again.
        let other = match indexes.contains(&index(place)) {
            true => free(&|n| indexes.contains(&index(n))),
            false => place,
        };
        let last = 20 + free(&|n| addresses.contains(&(20 + n as u8))) as u8;
        Plug {
            interface: name(place),
            index: Some(index(other)),
            last,
        }
    }

    fn start(&mut self, key: &str, fate: Fate) {
        let networks: Vec<usize> = self.host.boxes[key].plugs.keys().copied().collect();
        for network in networks {
            let plug = self.plug(network);
            let container = self.host.boxes.get_mut(key).expect("it was created");
            container.plugs.insert(network, plug);
        }
        // Placed one by one, each beside what runs; two of one container are told apart here.
        let plugs: Vec<Plug> = self.host.boxes[key].plugs.values().cloned().collect();
        if let [one, other] = &plugs[..]
            && (one.interface == other.interface || one.index == other.index)
        {
            return self.start(key, fate);
        }
        self.host.start(key, fate);
    }

    /// Something happens.
    fn step(&mut self) {
        let fate = [Fate::Told, Fate::Told, Fate::Twice, Fate::Lost][self.below(4)];
        let key = format!("c{}", self.below(CONTAINERS as usize));
        let what = match self.below(12) {
            0 if self.runs && !self.frozen => {
                self.daemon.kill();
                self.runs = false;
                "the daemon is killed".to_owned()
            }
            0 | 1 if !self.runs => {
                self.daemon.launch();
                self.runs = true;
                "the daemon starts".to_owned()
            }
            1 if !self.frozen => {
                self.daemon.signal(Signal::SIGSTOP);
                self.frozen = true;
                "the daemon does not look".to_owned()
            }
            0 | 1 => {
                self.thaw();
                "the daemon looks again".to_owned()
            }
            2 if self.engine => {
                let live = self.below(2) == 0;
                self.engine = false;
                self.host.engine.answer(false);
                if !live {
                    for key in self.running() {
                        self.host.stop(&key, Fate::Lost);
                    }
                }
                format!("the engine stops, its containers live on: {live}")
            }
            _ if !self.engine => {
                self.engine = true;
                self.host.engine.answer(true);
                "the engine starts".to_owned()
            }
            n => format!("{} ({fate:?})", self.of_container(n, &key, fate)),
        };
        self.history.push(what);
    }

    fn running(&self) -> Vec<String> {
        let running = self
            .host
            .boxes
            .iter()
            .filter(|(_, container)| container.runs());
        running.map(|(key, _)| key.clone()).collect()
    }

    /// Something happens to a container.
    fn of_container(&mut self, n: usize, key: &str, fate: Fate) -> String {
        let Some(container) = self.host.boxes.get(key) else {
            let role = ROLES[self.below(ROLES.len())];
            let network = self.below(NETWORKS.len());
            let plug = self.plug(network);
            self.host
                .create(key, role, BTreeMap::from([(network, plug)]), fate);
            self.start(key, fate);
            return format!("{role} {key} is run: {:?}", self.host.boxes[key].plugs);
        };
        let networks: Vec<usize> = container.plugs.keys().copied().collect();
        if !container.runs() {
            if n.is_multiple_of(2) {
                self.host.remove(key, fate);
                return format!("{key} is removed");
            }
            self.start(key, fate);
            return format!("{key} is started: {:?}", self.host.boxes[key].plugs);
        }
        match n {
            3 | 4 => {
                self.host.stop(key, fate);
                format!("{key} is stopped")
            }
            5 => {
                self.host.stop(key, fate);
                self.start(key, fate);
                format!("{key} is restarted: {:?}", self.host.boxes[key].plugs)
            }
            6 => {
                let plugs = container.plugs.clone();
                let role = ROLES[self.below(ROLES.len())];
                let left = self.host.end(key, fate);
                self.host.remove(key, fate);
                self.host.create(key, role, plugs, fate);
                self.host.start_after(&left.commands, key, fate);
                format!("another {key}, {role}, is in its place")
            }
            7 => {
                self.host.pause(key, fate);
                format!("{key} is {}", self.host.boxes[key].state)
            }
            8 => {
                let name = format!("{key}-{}", self.below(100));
                self.host.rename(key, name.clone(), fate);
                format!("{key} is called {name}")
            }
            _ if networks.len() == 2 => {
                let network = self.below(2);
                self.host.disconnect(key, network, fate);
                format!("{key} leaves {}", NETWORKS[network].name)
            }
            _ => {
                let network = (0..2).find(|n| !networks.contains(n)).unwrap_or(0);
                if networks.is_empty() || n > 9 {
                    let plug = self.plug(network);
                    self.host.connect(key, network, plug.clone(), fate);
                    format!("{key} joins {}: {plug:?}", NETWORKS[network].name)
                } else {
                    self.host.stop(key, fate);
                    self.host.remove(key, fate);
                    format!("{key} is stopped and removed")
                }
            }
        }
    }

    fn thaw(&mut self) {
        self.daemon.signal(Signal::SIGCONT);
        self.frozen = false;
    }

    /// Everybody works again, and what was lost has been noticed: the daemon knows everything.
    fn settle(&mut self) {
        if self.frozen {
            self.thaw();
        }
        if !self.runs {
            self.daemon.launch();
            self.runs = true;
        }
        self.engine = true;
        self.host.engine.answer(true);
        self.await_agreement();
    }

    fn await_agreement(&self) {
        eventually_equals(
            "all endpoints are known",
            &Some(self.host.expected()),
            || DockerHost::seen(&self.daemon),
        );
        eventually_equals("the daemon has no trouble", &true, || {
            self.daemon.status()["healthy"] == true
        });
    }

    fn assert_as_fresh(&mut self) {
        let place = std::sync::Arc::clone(self.host.sandbox.place());
        let grown = KernelState::left_by(&mut self.daemon, &place);
        self.daemon.launch();
        self.await_agreement();
        self.daemon.stop_and_detach();
        for entry in fs::read_dir(place.state()).expect("list").flatten() {
            fs::remove_file(entry.path()).expect("remove what was kept");
        }
        self.daemon.launch();
        self.await_agreement();
        let fresh = KernelState::left_by(&mut self.daemon, &place);
        pretty_assertions::assert_eq!(grown, fresh);
        self.daemon.launch();
    }
}

fn scenario(attach: Attach, first: u64) {
    let repeated = std::env::var("BRIDGEWALL_HISTORY").ok();
    let repeated = repeated.and_then(|number| number.parse::<u64>().ok());
    let numbers = match repeated {
        Some(number) => number..=number,
        None => first..=first + dose("HISTORIES", 3) as u64 - 1,
    };
    for number in numbers {
        let mut world = World::new(attach, number);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        world.assert_as_fresh();
    }
}

#[test]
fn after_any_history_the_kernel_holds_what_a_fresh_start_builds_tcx() {
    scenario(Attach::Tcx, 0);
}

#[test]
fn after_any_history_the_kernel_holds_what_a_fresh_start_builds_clsact() {
    scenario(Attach::Clsact, 1_000_000);
}
