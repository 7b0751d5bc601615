//! Other firewalls on the same host come, go and reload: what bridgewall drops stays dropped, whatever
//! they do to their rules and to its guard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::firewall;
use crate::common::docker::Engine;
use crate::common::frame::Witness;
use crate::common::namespace::Namespace;
use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::{PATIENCE, eventually};

const PUBLISHED: u16 = 18080;

const POLICY: &str = r#"
[identities.web]
labels = { role = "web" }

[identities.friend]
labels = { role = "friend" }

[[allow]]
from  = ["198.51.100.2/32", "2001:db8:51::2/128", "friend"]
to    = "web"
ports = ["80/tcp"]
"#;

/// Datagrams and connection attempts, without a pause, to where nobody may send them.
struct Intruder {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Intruder {
    fn start(from: &Namespace, targets: Vec<SocketAddr>) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&sent));
        let from = from.duplicate();
        let thread = thread::spawn(move || {
            from.inside(|| {
                while !stopping.load(Ordering::SeqCst) {
                    for target in &targets {
                        knock(*target);
                        counting.fetch_add(1, Ordering::SeqCst);
                    }
                    thread::sleep(Duration::from_millis(1));
                }
            });
        });
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// Waits until it has tried again, a few times.
    fn tries_again(&self) {
        let before = self.sent.load(Ordering::SeqCst);
        eventually("the intruder tries again", || {
            (self.sent.load(Ordering::SeqCst) > before + 20).then_some(())
        });
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One SYN; what comes of it is for the receiver's witness to say.
fn knock(target: SocketAddr) {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("do not wait");
    // It is under way, or refused: both are fine.
    let _ = socket.connect(&target.into());
}

/// The packet filters' rules, put back at the end, for the engine's other tests.
pub(super) struct Rules<'a> {
    host: &'a Namespace,
    saved: Vec<(&'static str, String)>,
}

impl<'a> Rules<'a> {
    pub(super) fn save(host: &'a Namespace) -> Self {
        let save = |program| (program, host.run(program, &[]));
        Self {
            host,
            saved: ["iptables-save", "ip6tables-save"].map(save).into(),
        }
    }

    fn put_back(&self) {
        for (program, rules) in &self.saved {
            let folder = tempfile::tempdir().expect("make a folder");
            let file = folder.path().join("rules");
            std::fs::write(&file, rules).expect("write the rules");
            let program = program.replace("-save", "-restore");
            self.host.run(&program, &[&file.to_string_lossy()]);
        }
    }
}

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        self.put_back();
    }
}

fn shell(host: &Namespace, script: &str) {
    host.run("sh", &["-ec", script]);
}

fn has_the_guard(host: &Namespace) -> bool {
    host.run("nft", &["list", "tables"])
        .contains("table bridge bridgewall")
}

#[test]
fn nothing_leaks_while_other_firewalls_reload() {
    let mut engine = Engine::take();
    let [first, second] = [1, 2].map(|number| engine.network(number));
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(PUBLISHED, 80)
        .start(first);
    let near = engine.container("near").start(first);
    let far = engine.container("far").start(second);
    let friend = engine
        .container("friend")
        .label("role", "friend")
        .start(first);
    let service = Service::tcp(web.namespace(), 80, "hello");
    let outside = engine.outside().namespace.duplicate();
    let stranger = engine.neighbour("bwtestoffice", [203, 0, 113], "2001:db8:1::");
    let host = engine.place().namespace.duplicate();
    let rules = Rules::save(&host);
    let mut daemon = firewall(&engine, POLICY, 4);

    let published: Vec<SocketAddr> = ["198.51.100.1", "2001:db8:51::1"]
        .map(|address| (address.parse::<IpAddr>().expect("an address"), PUBLISHED).into())
        .into();
    let targets = [&published[..], &web.sockets(80)].concat();
    let mut witness = Witness::at(web.namespace(), "eth0");
    let intruders = [&stranger.namespace, near.namespace(), far.namespace()]
        .map(|from| Intruder::start(from, targets.clone()));
    let client = |to: SocketAddr| {
        let outcome = probe::tcp_within(&outside, to, PATIENCE);
        assert_eq!(outcome, Outcome::Answered, "to {to}");
    };

    // What users and their tools do, from what hardly matters to what takes all away.
    let reloads = [
        "iptables -F DOCKER-USER; ip6tables -F DOCKER-USER || true",
        "for t in iptables ip6tables; do $t-save -t nat | $t-restore; done",
        "iptables -N ufw-user-input; iptables -A FORWARD -j ufw-user-input; iptables -F ufw-user-input",
        "nft 'table inet foreign { chain c { type filter hook forward priority 0; }; }'; nft flush table inet foreign; nft delete table inet foreign",
        "nft 'table bridge foreign { chain c { type filter hook forward priority 0; }; }'; nft delete table bridge foreign",
    ];
    for reload in reloads {
        shell(&host, reload);
        for intruder in &intruders {
            intruder.tries_again();
        }
        for to in &published {
            client(*to);
        }
    }
    // Without any rule of anybody: forwarding is open, ports are published by processes at most, and
    // the guard is put back.
    for wipe in [
        "iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT; iptables -F; ip6tables -F",
        "nft flush ruleset",
    ] {
        shell(&host, wipe);
        for intruder in &intruders {
            intruder.tries_again();
        }
        assert_eq!(unanswered(&web, friend.namespace()), [], "friend is let in");
        eventually("the guard is there", || has_the_guard(&host).then_some(()));
        rules.put_back();
    }
    // And the same while nobody puts anything back.
    daemon.kill();
    shell(&host, "nft flush ruleset");
    for intruder in &intruders {
        intruder.tries_again();
    }
    daemon.launch();
    daemon.await_endpoints(4);
    eventually("the guard is there", || has_the_guard(&host).then_some(()));
    drop(intruders);

    let forbidden: Vec<IpAddr> = [&stranger, &near.node, &far.node]
        .iter()
        .flat_map(|node| node.addresses())
        .collect();
    let leaked =
        witness.count(|packet| forbidden.contains(&packet.source) && packet.selector == 80);
    assert_eq!(leaked, 0, "packets of strangers have arrived");
    let as_host = witness.count(|packet| {
        let gateways: [IpAddr; 2] = [Ipv4Addr::new(10, 88, 1, 1).into(), first.gateway()[1]];
        gateways.contains(&packet.source) && packet.selector == 80
    });
    assert_eq!(as_host, 0, "nobody has arrived in the host's name");
    assert!(service.heard() > 0);
}

/// The addresses of the web server that are not answered.
fn unanswered(web: &crate::common::docker::Container, friend: &Namespace) -> Vec<SocketAddr> {
    let sockets = web.sockets(80).into_iter();
    sockets
        .filter(|to| probe::tcp_within(friend, *to, PATIENCE) != Outcome::Answered)
        .collect()
}
