//! A container that is gone leaves nothing to the next one: not by its address, its MAC address, the
//! name of its interface or its index, all of which the next one has, and not by its connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use nix::sys::signal::Signal;

use crate::common::craft::{self, ACK, PSH};
use crate::common::daemon::{Attach, Daemon};
use crate::common::fake_docker::Fate;
use crate::common::frame::{self, TCP, UDP, Witness};
use crate::common::namespace::Namespace;
use crate::common::{eventually, eventually_equals};
use crate::docker_host::{DockerHost, Plug};
use crate::dose;
use crate::matrix::SENTINEL;

/// Only `web` and `db` may talk, in both directions; everybody may be heard at the sentinel's port.
const POLICY: &str = r#"
    [defaults]
    ingress = "deny"
    egress = "deny"
    unidentified = "deny"

    [identities.web]
    labels = { role = "web" }
    [identities.db]
    labels = { role = "db" }
    [identities.stranger]
    labels = { role = "stranger" }

    [[allow]]
    from = "web"
    to = "db"
    ports = ["4611", "4611/udp"]
    [[allow]]
    from = "db"
    to = "web"
    ports = ["4612/udp"]
    [[allow]]
    from = "any"
    to = "any"
    ports = ["5/udp"]
"#;

/// What web, and whoever comes after it, sends from.
const FROM: u16 = 4610;
/// Where db listens.
const DB: u16 = 4611;
/// What db sends to by itself.
const TO: u16 = 4612;

/// How one container is exchanged for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// One thing after the other.
    Slowly,
    /// Without a moment in between.
    AtOnce,
    /// While the daemon does not look.
    Unseen,
    /// While no daemon runs.
    Dead,
}

impl Manner {
    fn of(cycle: usize) -> Self {
        match cycle % 20 {
            19 => Self::Dead,
            n if n % 3 == 0 => Self::Slowly,
            n if n % 3 == 1 => Self::AtOnce,
            _ => Self::Unseen,
        }
    }
}

/// What db has, and what it has heard.
struct Db {
    sockets: Vec<UdpSocket>,
    sentinels: UdpSocket,
    witness: Witness,
    /// Cycles of which something came to [`DB`], and to the sentinel's port.
    heard: BTreeSet<u64>,
    alive: BTreeSet<u64>,
}

fn socket(namespace: &Namespace, port: u16) -> UdpSocket {
    let socket = namespace.inside(|| UdpSocket::bind(("::", port)));
    let socket = socket.expect("bind a socket");
    socket.set_nonblocking(true).expect("do not block");
    socket
}

fn messages(socket: &UdpSocket) -> Vec<u64> {
    let mut bytes = [0; 8];
    std::iter::from_fn(|| {
        socket
            .recv(&mut bytes)
            .ok()
            .map(|_| u64::from_be_bytes(bytes))
    })
    .collect()
}

impl Db {
    fn new(host: &DockerHost) -> Self {
        let namespace = host.boxes["db"].namespace.as_ref().expect("it runs");
        Self {
            sockets: [DB, TO].map(|port| socket(namespace, port)).into(),
            sentinels: socket(namespace, SENTINEL),
            witness: Witness::at(namespace, "eth0"),
            heard: BTreeSet::new(),
            alive: BTreeSet::new(),
        }
    }

    fn listen(&mut self) {
        for socket in &self.sockets {
            self.heard.extend(messages(socket));
        }
        self.alive.extend(messages(&self.sentinels));
    }

    /// Answers in the flows of the one at that place, and speaks to it.
    fn speak(&self, to: &Plug) {
        for address in to.addresses(0) {
            for port in [FROM, TO] {
                // Refused, when the other one is gone.
                let _ = self.sockets[0].send_to(b"from db!", (address, port));
            }
        }
    }

    fn segments(&mut self) -> usize {
        self.witness.for_port(TCP, DB)
    }
}

struct Scene {
    host: DockerHost,
    daemon: Daemon,
    db: Db,
    /// Where all but db are.
    place: Plug,
    cycle: u64,
}

impl Scene {
    fn new(attach: Attach) -> Self {
        let mut host = DockerHost::new();
        let plug = |interface: &str, index, last| Plug {
            interface: interface.to_owned(),
            index: Some(index),
            last,
        };
        let at_db = BTreeMap::from([(0, plug("vethdb", 3000, 11))]);
        host.create("db", "db", at_db, Fate::Told);
        host.start("db", Fate::Told);
        Self {
            daemon: host.daemon(attach, POLICY),
            db: Db::new(&host),
            host,
            place: plug("vethx", 3001, 50),
            cycle: 0,
        }
    }

    /// In the place of whoever was there.
    fn exchange(&mut self, old: Option<&str>, new: &str, role: &str, manner: Manner, fate: Fate) {
        match manner {
            Manner::Unseen => self.daemon.signal(Signal::SIGSTOP),
            Manner::Dead => self.daemon.kill(),
            _ => {}
        }
        let mut before = String::new();
        let mut leaving = None;
        if let Some(old) = old {
            let left = self.host.end(old, fate);
            before.clone_from(&left.commands);
            leaving = Some(left);
            self.host.remove(old, fate);
        }
        if manner == Manner::Slowly {
            self.host.sandbox.host().namespace.ip(&before);
            before.clear();
        }
        let plugs = BTreeMap::from([(0, self.place.clone())]);
        self.host.create(new, role, plugs, fate);
        self.host.start_after(&before, new, fate);
        drop(leaving);
        match manner {
            Manner::Unseen => self.daemon.signal(Signal::SIGCONT),
            Manner::Dead => self.daemon.launch(),
            _ => {}
        }
    }

    /// One that may talk to db does, and is listened to: over UDP and TCP, in both families.
    fn web(&mut self, old: Option<&str>, manner: Manner, fate: Fate) -> String {
        self.cycle += 1;
        let name = format!("web{}", self.cycle);
        self.exchange(old, &name, "web", manner, fate);
        let namespace = self.host.boxes[&name].namespace.as_ref().expect("it runs");
        let sockets = [FROM, TO].map(|port| socket(namespace, port));
        let (mut answered, mut spoken) = (false, false);
        let db = &mut self.db;
        let cycle = self.cycle;
        eventually("web and db talk", || {
            for address in at_db() {
                let _ = sockets[0].send_to(&cycle.to_be_bytes(), (address, DB));
            }
            db.listen();
            db.speak(&self.place);
            answered |= !messages(&sockets[0]).is_empty();
            spoken |= !messages(&sockets[1]).is_empty();
            (answered && spoken && db.heard.contains(&cycle)).then_some(())
        });
        let segments = db.segments();
        eventually("web's segments reach db", || {
            send_segment(namespace, &self.place);
            (db.segments() > segments).then_some(())
        });
        name
    }

    /// One that may talk to nobody takes its place, and tries to.
    fn stranger(&mut self, web: &str, manner: Manner, fate: Fate) -> String {
        self.cycle += 1;
        let name = format!("stranger{}", self.cycle);
        let segments = self.db.segments();
        self.exchange(Some(web), &name, "stranger", manner, fate);
        let namespace = self.host.boxes[&name].namespace.as_ref().expect("it runs");
        let socket = socket(namespace, FROM);
        let mut witness = Witness::at(namespace, "eth0");
        let expected = self.host.expected();
        let (db, daemon) = (&mut self.db, &self.daemon);
        let cycle = self.cycle;
        let try_everything = |db: &mut Db| {
            send_segment(namespace, &self.place);
            for address in at_db() {
                for port in [DB, TO, SENTINEL] {
                    let _ = socket.send_to(&cycle.to_be_bytes(), (address, port));
                }
            }
            db.speak(&self.place);
            db.listen();
        };
        eventually_equals(&format!("{name} is known"), &Some(expected), || {
            try_everything(db);
            DockerHost::seen(daemon)
        });
        let mut rounds = 0;
        eventually("the stranger is heard where everybody is", || {
            try_everything(db);
            // What is sent before the sentinel that arrives last has arrived, or never does.
            rounds += u32::from(db.alive.remove(&cycle));
            (rounds > 2).then_some(())
        });
        let arrived = [FROM, TO].map(|port| witness.for_port(UDP, port));
        assert_eq!(
            arrived,
            [0, 0],
            "db's words reach {name}, {manner:?}, {fate:?}"
        );
        assert_eq!(
            db.segments(),
            segments,
            "{name} goes on with the connection of {web}, {manner:?}, {fate:?}"
        );
        name
    }
}

/// Where db is, in both families.
fn at_db() -> [std::net::IpAddr; 2] {
    let plug = Plug {
        interface: String::new(),
        index: None,
        last: 11,
    };
    plug.addresses(0)
}

/// The same segment of a TCP connection that has no beginning here.
fn send_segment(from: &Namespace, place: &Plug) {
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(target)) =
        (place.addresses(0)[0], at_db()[0])
    else {
        unreachable!("the first one is an IPv4 address")
    };
    let segment = craft::tcp(FROM, DB, ACK | PSH);
    let packet = craft::Ipv4::new(source, target).carry(&segment);
    let mac = |last| [0x02, 0x42, 10, 77, 0, last];
    let frame = craft::ethernet(mac(place.last), mac(11), 0x0800, &packet);
    // While the interface is not there or not up, nothing is sent.
    let _ = frame::sender(from, "eth0").send(&frame);
}

fn scenario(attach: Attach) {
    let mut scene = Scene::new(attach);
    let cycles = dose("INHERITANCES", 30);
    let mut strangers = BTreeSet::new();
    let mut last: Option<String> = None;
    for number in 0..cycles {
        let manner = Manner::of(number);
        // After a loss the daemon waits before it connects again, the longer the more there are.
        let fate = match number % 11 {
            4 => Fate::Lost,
            7 => Fate::Twice,
            _ => Fate::Told,
        };
        let web = scene.web(last.as_deref(), manner, fate);
        let stranger = scene.stranger(&web, manner, fate);
        strangers.insert(scene.cycle);
        last = Some(stranger);
    }
    scene.db.listen();
    let heard: Vec<_> = scene.db.heard.intersection(&strangers).collect();
    assert!(heard.is_empty(), "db has heard strangers {heard:?}");
    println!("{cycles} times by {attach:?} another one in the same place: nothing inherited");
}

#[test]
fn who_comes_after_an_allowed_one_in_its_place_inherits_nothing_tcx() {
    scenario(Attach::Tcx);
}

#[test]
fn who_comes_after_an_allowed_one_in_its_place_inherits_nothing_clsact() {
    scenario(Attach::Clsact);
}
