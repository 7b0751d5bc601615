//! The host that all rows of one attachment share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::case::{Expect, Row, Shot};
use crate::cast::{Bystander, ENDPOINTS, Host, Mallory, Outside, PEERS, Peer, Stranger, Victim};
use crate::common::craft::{self, Ipv4, ethernet};
use crate::common::daemon::{Attach, Daemon};
use crate::common::frame::Mac;
use crate::common::sandbox::{BRIDGE, Sandbox, mac_text};
use crate::counters::Counters;
use crate::wire::Port;

/// What everybody may send to everybody: behind each frame goes one of these. It takes the same way,
/// on the same CPU, so when it has arrived, what was sent before has arrived or never will.
const SENTINEL: u16 = 9;

/// How many of a row's failures are shown.
const SHOWN: usize = 5;

/// How long a sentinel is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing that is dropped is dropped for want of a rule, unless the row is about that: these are open.
const POLICY: &str = r#"
    [defaults]
    ingress = "deny"
    egress  = "allow"

    [identities.mallory]
    interface = "mallory"
    egress    = "deny"

    [identities.victim]
    interface = "victim"

    [identities.bystander]
    interface = "bystander"

    [[allow]]
    name  = "sentinel"
    from  = "any"
    to    = "any"
    ports = ["9/udp"]

    [[allow]]
    name  = "open"
    from  = "any"
    to    = ["victim", "bystander"]
    ports = ["53/udp", "67-68/udp", "546-547/udp", "80/tcp", "7/sctp"]
    icmp  = ["echo-request"]

    [[allow]]
    name  = "outwards"
    from  = "mallory"
    to    = ["world", "host"]
    ports = ["53/udp", "80/tcp"]
    icmp  = ["echo-request"]

    [[deny]]
    name  = "never to the host"
    from  = "mallory"
    to    = "host"
    ports = ["69/udp"]
    side  = "ingress"
"#;

/// A host, its daemon, and who is on it.
pub struct Scene {
    counters: Counters,
    /// The endpoints' numbers, in the order of [`ENDPOINTS`].
    numbers: Vec<u32>,
    ports: BTreeMap<Peer, Port>,
    /// For rows: ports and identifications that none had before.
    next: u16,
    sentinels: u32,
    rows: usize,
    frames: usize,
    // Last: everything else goes before its host.
    _daemon: Daemon,
    _sandbox: Sandbox,
}

impl Scene {
    /// Builds it.
    pub fn new(attach: Attach) -> Self {
        let mut sandbox = Sandbox::new(&["mallory", "victim", "bystander"]);
        let configuration = sandbox.configuration();
        sandbox.add("stranger");
        prepare(&sandbox);
        let daemon = Daemon::start(
            sandbox.place(),
            attach,
            &configuration,
            POLICY,
            ENDPOINTS.len() as u64,
        );
        let ports = PEERS.map(|peer| {
            let port = match peer {
                Host => Port::open(&sandbox.host().namespace, BRIDGE),
                Outside => Port::open(&sandbox.outside().namespace, "eth0"),
                Stranger => Port::open(&sandbox.container("stranger").namespace, "eth0"),
                Mallory | Victim | Bystander => {
                    let name = ENDPOINTS.iter().find(|(other, _)| *other == peer);
                    let (_, name) = name.expect("one of the endpoints");
                    let node = sandbox.container(name);
                    assert_eq!((node.mac, node.ipv4), (peer.mac(), peer.v4()));
                    Port::open(&node.namespace, "eth0")
                }
            };
            (peer, port)
        });
        Self {
            counters: Counters::open(&sandbox.place().pins()),
            numbers: numbers(&daemon),
            ports: ports.into(),
            next: 2000,
            sentinels: 0,
            rows: 0,
            frames: 0,
            _daemon: daemon,
            _sandbox: sandbox,
        }
    }

    /// Sends a row's frames, one after the other, and says what was not as expected.
    pub fn play(&mut self, row: &Row) -> Result<(), String> {
        stay_on_one_cpu();
        let number = self.next;
        self.next = number
            .checked_add(row.width)
            .ok_or("there are more rows than numbers for them")?;
        let mut wrong = Vec::new();
        let shots = row.shots(number);
        if shots.is_empty() {
            return Err("the row has no frames".to_owned());
        }
        for (index, shot) in shots.iter().enumerate() {
            if let Err(difference) = self.fire(shot) {
                wrong.push(format!(
                    "frame {} ({:?}): {difference}",
                    index + 1,
                    shot.expect
                ));
            }
        }
        self.rows += 1;
        self.frames += shots.len();
        if wrong.is_empty() {
            Ok(())
        } else {
            let more = wrong.len().saturating_sub(SHOWN);
            wrong.truncate(SHOWN);
            if more > 0 {
                wrong.push(format!("and {more} frames more"));
            }
            Err(wrong.join("\n"))
        }
    }

    /// How much was done.
    pub fn summary(&self) -> String {
        format!("{} cases ran, {} frames were sent", self.rows, self.frames)
    }

    fn fire(&mut self, shot: &Shot) -> Result<(), String> {
        let receiver = &self.ports[&shot.to];
        while receiver.hear().is_some() {}
        let before = self.counters.read(&self.numbers);
        self.ports[&shot.from]
            .send(&shot.frame, shot.offload)
            .map_err(|error| format!("send {} bytes: {error}", shot.frame.len()))?;
        let arrived = self.await_sentinel(shot)?;
        let after = self.counters.read(&self.numbers);

        let drops = after.drops_since(&before);
        let (expected, gone): (&[&str], bool) = match &shot.expect {
            Expect::Pass => (&[], false),
            Expect::Drop(reason) => (std::slice::from_ref(reason), false),
            Expect::Gone => (&[], true),
            Expect::Unwanted => (&[], false),
        };
        let passes = shot.expect == Expect::Pass;
        if arrived.len() != usize::from(passes) || drops != expected {
            return Err(format!(
                "{} frames arrived, dropped for {drops:?}\n  sent    {}\n  arrived {}",
                arrived.len(),
                hex(&shot.frame),
                arrived
                    .iter()
                    .map(|frame| hex(frame))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        if passes && shot.is_bridged() && arrived[0] != shot.frame {
            return Err(format!(
                "it arrived as another\n  sent    {}\n  arrived {}",
                hex(&shot.frame),
                hex(&arrived[0])
            ));
        }
        // And the sentinel.
        let traffic = |peer: Peer| {
            let index = ENDPOINTS.iter().position(|(other, _)| *other == peer)?;
            Some((after.traffic[index], before.traffic[index]))
        };
        if let Some((after, before)) = traffic(shot.from) {
            let judged = after.sent - before.sent + after.sent_dropped - before.sent_dropped;
            if judged != 2 - u64::from(gone) {
                return Err(format!("the sender's hook counted {judged} frames"));
            }
        }
        if let Some((after, before)) = traffic(shot.to) {
            let (received, bytes) = (
                after.received - before.received,
                after.received_bytes - before.received_bytes,
            );
            let sizes: usize = arrived.iter().map(Vec::len).sum();
            let sentinel = self.sentinel(shot).len();
            if received != arrived.len() as u64 + 1 || bytes != (sizes + sentinel) as u64 {
                return Err(format!(
                    "the receiver's hook counted {received} frames of {bytes} bytes"
                ));
            }
        }
        Ok(())
    }

    /// Sends a sentinel after a frame and gives what arrived before it.
    fn await_sentinel(&mut self, shot: &Shot) -> Result<Vec<Vec<u8>>, String> {
        self.sentinels += 1;
        let sentinel = self.sentinel(shot);
        self.ports[&shot.from]
            .send(&sentinel, None)
            .map_err(|error| format!("send a sentinel: {error}"))?;
        let token = self.sentinels.to_be_bytes();
        let mut arrived = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ports[&shot.to].hear() {
                Some(frame) if is_sentinel(&frame, token) => return Ok(arrived),
                Some(frame) => arrived.push(frame),
                None if Instant::now() < deadline => std::thread::yield_now(),
                None => {
                    return Err(format!(
                        "the sentinel is lost; before it came {} frames",
                        arrived.len()
                    ));
                }
            }
        }
    }

    fn sentinel(&self, shot: &Shot) -> Vec<u8> {
        let payload = [&b"sentinel"[..], &self.sentinels.to_be_bytes()].concat();
        let (from, to) = (shot.from, shot.to);
        let packet = Ipv4::new(from.v4(), to.v4()).carry(&craft::udp_with(
            1000 + from as u16,
            SENTINEL,
            &payload,
        ));
        ethernet(from.mac(), from.next_hop(to), 0x0800, &packet)
    }
}

/// A frame's beginning, for people.
fn hex(frame: &[u8]) -> String {
    let shown = &frame[..frame.len().min(128)];
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if shown.len() < frame.len() {
        text += &format!("... ({} bytes)", frame.len());
    }
    text
}

fn is_sentinel(frame: &[u8], token: [u8; 4]) -> bool {
    frame.ends_with(&[&b"sentinel"[..], &token].concat())
}

/// Frames that one CPU sends wait in one queue, and so keep their order.
fn stay_on_one_cpu() {
    let mut cpus = CpuSet::new();
    let done = cpus
        .set(0)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus));
    done.expect("stay on one CPU");
}

/// Makes everybody silent, so that whatever arrives was sent by a row: nobody has an address to answer
/// from, nobody looks for a neighbour, and the bridge knows where everybody is.
fn prepare(sandbox: &Sandbox) {
    for name in ["mallory", "victim", "bystander", "stranger"] {
        let namespace = &sandbox.container(name).namespace;
        namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1");
        namespace.ip("addr flush dev eth0\nlink set eth0 mtu 9000");
        let host = &sandbox.host().namespace;
        host.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
        host.ip(&format!("link set {name} mtu 9000"));
    }
    let outside = &sandbox.outside().namespace;
    outside.sysctl("net/ipv4/ip_forward", "0");
    outside.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1");
    outside.ip("addr flush dev eth0\nlink set eth0 mtu 9000");

    let host = &sandbox.host().namespace;
    // Where it is switched on, the bridge looks into IP headers and drops what it does not like. That
    // would hide what the firewall does about it.
    for family in ["ip", "ip6", "arp"] {
        let key = format!("net/bridge/bridge-nf-call-{family}tables");
        if Path::new("/proc/sys").join(&key).exists() {
            host.sysctl(&key, "0");
        }
    }
    // As on many a host: here the kernel writes checksums before it hands a frame over.
    host.run("ethtool", &["-K", "bystander", "tx", "off"]);
    // What it has to say to multicast routers it says at once, and not into somebody's row.
    host.sysctl(
        &format!("net/ipv6/conf/{BRIDGE}/mldv2_unsolicited_report_interval"),
        "1",
    );
    host.sysctl(&format!("net/ipv6/conf/{BRIDGE}/disable_ipv6"), "1");
    host.sysctl(&format!("net/ipv6/conf/{BRIDGE}/disable_ipv6"), "0");
    host.ip(&format!(
        "link set {BRIDGE} type bridge mcast_snooping 0
         link set {BRIDGE} mtu 9000
         link set uplink mtu 9000
         addr add {}/64 dev {BRIDGE} nodad",
        Host.v6()
    ));
    for (peer, device) in ENDPOINTS
        .into_iter()
        .chain([(Stranger, "stranger"), (Outside, "uplink")])
    {
        let bridged = peer != Outside;
        let mac = mac_text(peer.mac() as Mac);
        let link = if bridged { BRIDGE } else { device };
        host.ip(&format!(
            "neigh replace {} lladdr {mac} dev {link} nud permanent
             neigh replace {} lladdr {mac} dev {link} nud permanent",
            peer.v4(),
            peer.v6()
        ));
        if !bridged {
            continue;
        }
        // What is for everybody reaches the victim only: one receiver, one count.
        let flood = if peer == Victim { "on" } else { "off" };
        let run =
            |arguments: &str| host.run("bridge", &arguments.split_whitespace().collect::<Vec<_>>());
        run(&format!(
            "link set dev {device} learning off flood {flood} mcast_flood {flood} bcast_flood {flood}"
        ));
        run(&format!("fdb replace {mac} dev {device} master static"));
    }
}

/// The endpoints' numbers, as the daemon gave them.
fn numbers(daemon: &Daemon) -> Vec<u32> {
    let list = daemon.json(&["list", "endpoints"]);
    ENDPOINTS
        .iter()
        .map(|(_, name)| {
            let endpoints = list.as_array().expect("a list of endpoints");
            let endpoint = endpoints
                .iter()
                .find(|endpoint| endpoint["interface"] == *name)
                .unwrap_or_else(|| panic!("no endpoint {name}: {list:#}"));
            endpoint["number"].as_u64().expect("a number") as u32
        })
        .collect()
}
