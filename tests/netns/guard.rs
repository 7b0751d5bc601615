//! Nothing passes where nothing is armed: containers whose first act is to send.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::utsname::uname;

use crate::common::daemon::{Attach, Daemon};
use crate::common::frame::{self, Mac, UDP, Witness};
use crate::common::namespace::Namespace;
use crate::common::probe::{self, Outcome};
use crate::common::sandbox::{BRIDGE, Node, Sandbox, mac_text};
use crate::common::{BRIEFLY, eventually, eventually_equals};

/// To this port newcomers send, and nobody else.
const FROM_NEWCOMER: u16 = 4610;
/// To this port everybody sends to newcomers.
const TO_NEWCOMER: u16 = 4611;
/// How many rounds are sent after the bridge forwards.
const ROUNDS: u64 = 25;
const INTERVAL: Duration = Duration::from_micros(200);
const EVERYBODY: Mac = [0xff; 6];
/// What goes to it is not bridged, but handed to the host by the port itself (IEEE 802.1Q, 8.6.3).
const LINK_GROUP: Mac = [0x01, 0x80, 0xc2, 0, 0, 0x0e];

/// `armed` may talk to everybody; newcomers to nobody. So whatever comes from one, or to one, is a leak,
/// also after the daemon has armed it.
const POLICY: &str = r#"
    [defaults]
    ingress = "deny"
    egress = "deny"
    unidentified = "deny"

    [defaults.host]
    ingress = "allow"
    egress = "allow"

    [identities.armed]
    interface = "vetharmed"

    [[allow]]
    from = "armed"
    to = "any"
    side = "egress"

    [[allow]]
    from = "any"
    to = "armed"
    side = "ingress"
"#;

/// How many times two containers are started; BRIDGEWALL_TEST_STARTS=1000 for a long run.
fn starts() -> u16 {
    std::env::var("BRIDGEWALL_TEST_STARTS")
        .ok()
        .and_then(|starts| starts.parse().ok())
        .unwrap_or(4)
}

/// A host whose bridge is managed, with one container that is armed; and a neighbour that nobody arms
/// while no daemon runs.
struct Scene {
    sandbox: Sandbox,
    host: UdpSocket,
    heard: usize,
    witnesses: BTreeMap<&'static str, Witness>,
}

fn configuration(sandbox: &Sandbox) -> String {
    sandbox.configuration().replace(
        "managed = []",
        "managed = [\"br0\"]\nexcluded = [\"free0\"]",
    )
}

impl Scene {
    fn new() -> Self {
        Self::of(Sandbox::new(&["vetharmed"]))
    }

    fn of(sandbox: Sandbox) -> Self {
        let inside = &sandbox.host().namespace;
        let host = inside.inside(|| UdpSocket::bind(("0.0.0.0", FROM_NEWCOMER)));
        let host = host.expect("bind a socket of the host");
        host.set_nonblocking(true)
            .expect("a socket that does not block");
        let witnesses = [
            (
                "to an armed one",
                &sandbox.container("vetharmed").namespace,
                "eth0",
            ),
            ("to the host", inside, BRIDGE),
            ("to the outside", &sandbox.outside().namespace, "eth0"),
        ]
        .map(|(path, namespace, interface)| (path, Witness::at(namespace, interface)));
        Self {
            host,
            heard: 0,
            witnesses: witnesses.into(),
            sandbox,
        }
    }

    fn daemon(&self, attach: Attach) -> Daemon {
        let configuration = configuration(&self.sandbox);
        Daemon::start(self.sandbox.place(), attach, &configuration, POLICY, 1)
    }

    /// What arrived from newcomers anywhere, by path.
    fn arrived(&mut self) -> BTreeMap<&'static str, usize> {
        let mut arrived: BTreeMap<_, _> = self
            .witnesses
            .iter_mut()
            .map(|(path, witness)| (*path, witness.for_port(UDP, FROM_NEWCOMER)))
            .collect();
        let mut buffer = [0; 64];
        self.heard += std::iter::from_fn(|| self.host.recv(&mut buffer).ok()).count();
        arrived.insert("to a process of the host", self.heard);
        arrived
    }

    /// A container starts, and so does a neighbour that is not armed either: both send to everybody
    /// from the moment they have an interface, and everybody sends to them. Gives what got through.
    fn start(&mut self, number: u16) -> BTreeMap<&'static str, usize> {
        let newcomers = [0, 1].map(|which| Newcomer::new(&self.sandbox, number * 2 + which, None));
        self.start_these(newcomers)
    }

    fn start_these(&mut self, [one, other]: [Newcomer; 2]) -> BTreeMap<&'static str, usize> {
        let before = self.arrived();
        let mut seen = [&one, &other].map(|newcomer| Witness::at(&newcomer.node.namespace, "eth0"));
        let stop = AtomicBool::new(false);
        let rounds = AtomicU64::new(0);
        thread::scope(|scope| {
            let _stop = SetAtEnd(&stop);
            for (from, to) in [(&one, &other), (&other, &one)] {
                let frames = from.frames(&self.sandbox, to);
                let (stop, rounds) = (&stop, &rounds);
                scope.spawn(move || send_all(&from.node.namespace, &frames, stop, rounds));
            }
            let host = self.sandbox.host();
            let armed = self.sandbox.container("vetharmed");
            for sender in [host, self.sandbox.outside(), armed] {
                let targets = [&one, &other].map(|newcomer| newcomer.node.ipv4);
                let stop = &stop;
                scope.spawn(move || send_to(sender, targets, stop));
            }
            for newcomer in [&one, &other] {
                newcomer.connect(&self.sandbox);
            }
            let from = rounds.load(Ordering::SeqCst);
            eventually("the newcomers have sent enough", || {
                (rounds.load(Ordering::SeqCst) > from + 2 * ROUNDS).then_some(())
            });
        });
        let mut got: BTreeMap<_, _> = self
            .arrived()
            .into_iter()
            .map(|(path, count)| (path, count - before[path]))
            .collect();
        let [between, to] = [FROM_NEWCOMER, TO_NEWCOMER].map(|port| {
            seen.iter_mut()
                .map(|witness| witness.for_port(UDP, port))
                .sum()
        });
        got.insert("between two that are not armed", between);
        got.insert("to one that is not armed", to);
        got.retain(|_, count| *count > 0);
        for newcomer in [one, other] {
            newcomer.remove(&self.sandbox);
        }
        got
    }

    #[track_caller]
    fn assert_nothing_leaks(&mut self, number: u16) {
        let leaked = self.start(number);
        assert!(leaked.is_empty(), "start {number} leaked: {leaked:?}");
    }
}

/// Threads that wait for a word must hear it, also when this one panics.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A container that is about to start.
struct Newcomer {
    name: String,
    node: Node,
}

impl Newcomer {
    /// `place`: the name and the index of its interface on the host.
    fn new(sandbox: &Sandbox, number: u16, place: Option<(&str, u32)>) -> Self {
        let [high, low] = (100 + number % 10_000).to_be_bytes();
        let node = Node {
            namespace: Namespace::create(),
            // Not within the bridge's network but for the last byte: nobody else's, whatever number.
            ipv4: Ipv4Addr::new(10, 77, 0, 100 + (number % 100) as u8),
            ipv6: "fd77::100".parse().expect("an address"),
            mac: [0x02, 0x42, 10, 78, high, low],
            interface: "eth0",
        };
        let (name, index) = match place {
            Some((name, index)) => (name.to_owned(), format!("index {index}")),
            None => (format!("veth{number:07}"), String::new()),
        };
        let mac = mac_text(node.mac);
        sandbox.host().namespace.ip(&format!(
            "link add {name} {index} type veth peer name eth0 address {mac} netns {}
             neigh replace {} lladdr {mac} dev {BRIDGE} nud permanent",
            node.namespace.path().display(),
            node.ipv4,
        ));
        node.namespace.ip(&format!(
            "addr add {}/24 dev eth0\nlink set eth0 up",
            node.ipv4
        ));
        let armed = &sandbox.container("vetharmed").namespace;
        armed.ip(&format!(
            "neigh replace {} lladdr {mac} dev eth0 nud permanent",
            node.ipv4
        ));
        Self { name, node }
    }

    /// As Docker does: a port of the bridge first, then up. Waits until the bridge forwards.
    fn connect(&self, sandbox: &Sandbox) {
        let host = &sandbox.host().namespace;
        host.ip(&format!(
            "link set {0} master {BRIDGE}\nlink set {0} up",
            self.name
        ));
        eventually("the bridge forwards", || {
            let port = host.run("bridge", &["link", "show", "dev", &self.name]);
            port.contains("state forwarding").then_some(())
        });
    }

    fn remove(self, sandbox: &Sandbox) {
        sandbox
            .host()
            .namespace
            .ip(&format!("link del {}", self.name));
    }

    /// One frame for each path; the payload has room for a number.
    fn frames(&self, sandbox: &Sandbox, other: &Self) -> Vec<Vec<u8>> {
        let gateway = sandbox.bridge_node();
        let armed = sandbox.container("vetharmed");
        let outside = sandbox.outside().ipv4;
        [
            (EVERYBODY, Ipv4Addr::BROADCAST),
            (gateway.mac, gateway.ipv4),
            (LINK_GROUP, gateway.ipv4),
            (gateway.mac, outside),
            (armed.mac, armed.ipv4),
            (other.node.mac, other.node.ipv4),
        ]
        .map(|(mac, address)| {
            frame::udp(
                (self.node.mac, mac),
                (self.node.ipv4.into(), address.into()),
                (FROM_NEWCOMER, FROM_NEWCOMER),
                &[0; 8],
            )
        })
        .into()
    }
}

/// Sends until it is told to stop. An interface that is not up yet is tried again.
fn send_all(from: &Namespace, frames: &[Vec<u8>], stop: &AtomicBool, rounds: &AtomicU64) {
    let socket = frame::sender(from, "eth0");
    while !stop.load(Ordering::SeqCst) {
        for frame in frames {
            let _ = socket.send(frame);
        }
        rounds.fetch_add(1, Ordering::SeqCst);
        // The pace of the traffic, not a wait for anything.
        thread::sleep(INTERVAL);
    }
}

fn send_to(from: &Node, targets: [Ipv4Addr; 2], stop: &AtomicBool) {
    let socket = from.namespace.inside(|| UdpSocket::bind("0.0.0.0:0"));
    let socket = socket.expect("bind a socket");
    while !stop.load(Ordering::SeqCst) {
        for target in targets {
            let _ = socket.send_to(b"for a newcomer", (target, TO_NEWCOMER));
        }
        thread::sleep(INTERVAL);
    }
}

/// Without it the tests below would prove nothing.
#[test]
fn without_a_guard_every_path_is_open() {
    let mut scene = Scene::new();
    let open = scene.start(0);
    let paths: Vec<_> = open.keys().copied().collect();
    assert_eq!(
        paths,
        [
            "between two that are not armed",
            "to a process of the host",
            "to an armed one",
            "to one that is not armed",
            "to the host",
            "to the outside",
        ],
        "{open:?}"
    );
}

on_both_hooks! {
    fn nothing_leaks_while_the_daemon_runs(attach) {
        let mut scene = Scene::new();
        let mut daemon = scene.daemon(attach);
        for number in 0..starts() {
            scene.assert_nothing_leaks(number);
        }
        daemon.await_endpoints(1);
        assert_eq!(daemon.status()["guard"]["state"], "closed");
    }

    fn nothing_leaks_while_the_daemon_is_dead(attach) {
        let mut scene = Scene::new();
        let mut daemon = scene.daemon(attach);
        daemon.kill();
        for number in 0..starts() {
            scene.assert_nothing_leaks(number);
        }
        probe::assert_pings(&scene.sandbox.container("vetharmed").namespace, scene.sandbox.gateway()[0]);
        daemon.launch();
        daemon.await_endpoints(1);
    }

    fn nothing_leaks_while_the_daemon_is_restarted(attach) {
        let mut scene = Scene::new();
        let daemon = Mutex::new(scene.daemon(attach));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = SetAtEnd(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let mut daemon = daemon.lock().expect("nobody panics with it");
                    daemon.kill();
                    daemon.launch();
                    daemon.await_status();
                }
            });
            for number in 0..starts() {
                scene.assert_nothing_leaks(number);
            }
        });
        daemon.lock().expect("nobody panics with it").await_endpoints(1);
    }

    fn what_somebody_flushes_is_put_back_and_loudly(attach) {
        let mut scene = Scene::new();
        let daemon = scene.daemon(attach);
        let host = scene.sandbox.host().namespace.duplicate();
        for damage in ["flush ruleset", "flush chain bridge bridgewall sent", "delete table inet bridgewall"] {
            let tables = || host.run("nft", &["--stateless", "list", "ruleset"]);
            let before = tables();
            host.run("nft", &[damage]);
            eventually_equals("the guard is put back", &before, tables);
        }
        assert!(daemon.log_says("somebody has changed or removed the nftables tables"));
        scene.assert_nothing_leaks(0);
    }

    fn stop_detach_takes_the_guard_away(attach) {
        let mut scene = Scene::new();
        let mut daemon = scene.daemon(attach);
        daemon.stop_and_detach();
        let host = &scene.sandbox.host().namespace;
        assert_eq!(host.run("nft", &["list", "tables"]), "");
        assert_eq!(host.run("ip", &["link", "show", "group", "46109"]), "");
        assert_eq!(scene.start(0).len(), 6, "every path is open");
    }

    fn nothing_is_inherited_by_name_or_index(attach) {
        let mut scene = Scene::of(Sandbox::new(&["vetharmed", "vethspare"]));
        let configuration = configuration(&scene.sandbox);
        let policy = POLICY.replace("vetharmed", "veth{armed,spare}");
        let mut daemon = Daemon::start(scene.sandbox.place(), attach, &configuration, &policy, 2);
        let index = scene.sandbox.host().namespace.interface_index("vethspare");
        scene.sandbox.remove("vethspare");
        for number in 0..starts() {
            // The first time it takes the place of one that is armed and may talk to everybody, and
            // every time that of one that the daemon has just armed.
            if number + 1 == starts() {
                daemon.await_endpoints(1);
                scene.sandbox.add_as("vethspare", 12);
                daemon.await_endpoints(2);
                daemon.kill();
                scene.sandbox.remove("vethspare");
            }
            let place = Some(("vethspare", index));
            let newcomers = [place, None].map(|place| Newcomer::new(&scene.sandbox, number, place));
            let leaked = scene.start_these(newcomers);
            assert!(leaked.is_empty(), "start {number} leaked: {leaked:?}");
        }
    }

    fn a_port_whose_program_somebody_removed_sends_nothing(attach) {
        let sandbox = Sandbox::new(&["vetharmed"]);
        let configuration = configuration(&sandbox);
        let mut daemon = Daemon::start(sandbox.place(), attach, &configuration, POLICY, 1);
        let armed = sandbox.container("vetharmed");
        let gateway = sandbox.gateway()[0];
        probe::assert_pings(&armed.namespace, gateway);
        daemon.kill();
        let pins = sandbox.place().pins();
        std::fs::remove_dir_all(pins.join("links")).expect("links are pinned there");
        if attach == Attach::Clsact {
            let host = &sandbox.host().namespace;
            host.run("tc", &["qdisc", "del", "dev", "vetharmed", "clsact"]);
        }
        // A link goes a moment after its pin.
        eventually("nothing is sent any more", || {
            (probe::ping_within(&armed.namespace, gateway, BRIEFLY) == Outcome::Silence).then_some(())
        });
    }

    fn bridges_that_are_excluded_are_left_alone(attach) {
        let mut scene = Scene::new();
        let host = scene.sandbox.host().namespace.duplicate();
        host.ip("link add free0 type bridge\nlink set free0 up");
        let one = free(&host, 1);
        let mut daemon = scene.daemon(attach);
        let other = free(&host, 2);
        eventually("those of an excluded bridge talk to each other", || reaches(&one).then_some(()));
        daemon.kill();
        assert!(reaches(&one));
        drop(other);
        scene.assert_nothing_leaks(0);
    }
}

/// As at boot: no daemon has run yet.
#[test]
fn the_verb_closes_off_what_no_daemon_has_armed_yet() {
    let mut scene = Scene::new();
    let place = std::sync::Arc::clone(scene.sandbox.place());
    let configuration = configuration(&scene.sandbox);
    Daemon::guard(&place, &configuration);
    for number in 0..starts() {
        scene.assert_nothing_leaks(number);
    }
    let mut daemon = scene.daemon(Attach::Auto);
    daemon.await_endpoints(1);
    probe::assert_pings(
        &scene.sandbox.container("vetharmed").namespace,
        scene.sandbox.gateway()[0],
    );
}

/// A port of the bridge that is excluded.
fn free(host: &Namespace, last: u8) -> Namespace {
    let namespace = Namespace::create();
    host.ip(&format!(
        "link add vethfree{last} type veth peer name eth0 netns {}
         link set vethfree{last} master free0
         link set vethfree{last} up",
        namespace.path().display()
    ));
    namespace.ip(&format!(
        "addr add 10.99.0.{last}/24 dev eth0\nlink set eth0 up"
    ));
    namespace
}

/// Whether the second one answers there.
fn reaches(one: &Namespace) -> bool {
    let target = Ipv4Addr::new(10, 99, 0, 2).into();
    probe::ping_within(one, target, BRIEFLY) == Outcome::Answered
}

/// Whether this kernel was built with what nftables tells bridges by, as far as its modules show.
fn kernel_tells_bridges() -> bool {
    fn has_module(folder: &Path) -> bool {
        let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("nft_meta_bridge.ko")
        })
    }
    let release = uname().expect("ask for the kernel's version");
    let modules = Path::new("/lib/modules").join(release.release());
    let builtin = std::fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
    has_module(&modules.join("kernel/net/bridge/netfilter")) || builtin.contains("nft_meta_bridge")
}

/// Elsewhere it has to wait for a daemon that knows whose it is.
#[test]
fn a_new_port_of_another_bridge_is_free_at_once_where_the_kernel_can_tell_bridges() {
    let mut scene = Scene::new();
    let place = std::sync::Arc::clone(scene.sandbox.place());
    Daemon::guard(&place, &configuration(&scene.sandbox));
    let host = scene.sandbox.host().namespace.duplicate();
    host.ip("link add free0 type bridge\nlink set free0 up");
    let (one, _other) = (free(&host, 1), free(&host, 2));
    let tables = host.run(
        "nft",
        &["--stateless", "list", "table", "bridge", "bridgewall"],
    );
    if kernel_tells_bridges() {
        assert!(tables.contains("meta ibrname"), "{tables}");
        eventually("those of an excluded bridge talk to each other", || {
            reaches(&one).then_some(())
        });
    } else {
        assert!(!tables.contains("meta ibrname"), "{tables}");
        assert!(!reaches(&one));
    }
    for number in 0..starts() {
        scene.assert_nothing_leaks(number);
    }
    let mut daemon = scene.daemon(Attach::Auto);
    daemon.await_endpoints(1);
    probe::assert_pings(
        &scene.sandbox.container("vetharmed").namespace,
        scene.sandbox.gateway()[0],
    );
    eventually("those of an excluded bridge talk to each other", || {
        reaches(&one).then_some(())
    });
    scene.assert_nothing_leaks(starts());
}

/// There is no policy to arm anything by, and Docker starts all the same.
#[test]
fn a_broken_policy_and_no_good_one_leave_everything_closed() {
    let mut scene = Scene::new();
    let place = std::sync::Arc::clone(scene.sandbox.place());
    Daemon::guard(&place, &configuration(&scene.sandbox));
    let mut daemon = Daemon::begin(&place, &configuration(&scene.sandbox), "nonsense = [");
    assert_eq!(daemon.await_end(), Some(2));
    assert!(daemon.log_says("there is no good policy to fall back on"));
    for number in 0..starts() {
        scene.assert_nothing_leaks(number);
    }
    let host = &scene.sandbox.host().namespace;
    assert_eq!(host.run("ip", &["link", "show", "group", "46109"]), "");
}
