//! Ways through the host: to the outside, masqueraded and not, and in to a published port.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use crate::Options;
use crate::common::craft::Family;
use crate::common::sandbox::BRIDGE;
use crate::common::service::Service;
use crate::cpu::{self, Meter};
use crate::frames::{End, FIRST_PORT, datagrams};
use crate::lab::{Firewall, Lab, PUBLISHED, labs};
use crate::peers::Plan;
use crate::report::Table;
use crate::rounds::{Candidate, compare};

const FIREWALLS: &[Firewall] = &[
    Firewall::Bridge,
    Firewall::Bridge,
    Firewall::Bridgewall {
        entries: 10,
        fast_path: true,
    },
    Firewall::Bridgewall {
        entries: 100_000,
        fast_path: true,
    },
];

/// One way through the host.
struct Way {
    name: &'static str,
    title: &'static str,
    /// Address translation, as a chain of nftables.
    translation: &'static str,
    inward: bool,
}

const WAYS: [Way; 4] = [
    Way {
        name: "out",
        title: "Container to the outside, routed",
        translation: "",
        inward: false,
    },
    Way {
        name: "masqueraded",
        title: "Container to the outside, masqueraded",
        translation: "chain out { type nat hook postrouting priority 100; oifname \"uplink\" masquerade }",
        inward: false,
    },
    Way {
        name: "in",
        title: "Outside to a container, routed",
        translation: "",
        inward: true,
    },
    Way {
        name: "published",
        title: "Outside to a published port",
        translation: "chain in { type nat hook prerouting priority -100; \
                      iifname \"uplink\" udp dport 8080 dnat to 10.77.0.11 }",
        inward: true,
    },
];

/// Each compared with itself without bridgewall.
pub fn measure(options: &Options) -> Vec<Table> {
    cpu::pin();
    WAYS.iter().map(|way| one(options, way)).collect()
}

fn one(options: &Options, way: &Way) -> Table {
    let labs = labs(&format!("ways-{}", way.name), FIREWALLS, None);
    let packets = options.amount(200_000);
    let meter = Meter::of_thread();
    let candidates = labs.iter().enumerate().map(|(index, lab)| {
        let (from, plan) = prepare(lab, way);
        let (host, meter) = (&lab.sandbox.host().namespace, &meter);
        let ours = matches!(lab.firewall, Firewall::Bridgewall { .. });
        let name = match (lab.firewall, index) {
            (Firewall::Bridgewall { entries, .. }, _) => format!("bridgewall, {entries} entries"),
            (_, 0) => "without".to_owned(),
            _ => "without, again".to_owned(),
        };
        Candidate::new(name, move || {
            lab.peers.set_plan(&plan);
            let before = lab.peers.arrived();
            let inject = || meter.per_packet(packets, || lab.peers.inject(from, packets));
            let cost = host.inside(inject);
            let arrived = lab.peers.arrived() - before;
            assert!(
                arrived.abs_diff(packets.into()) < 64,
                "{arrived} of {packets} arrived"
            );
            cost
        })
        .goal(ours.then_some(1.05))
    });
    let table = Table::new(
        format!("ways-{}", way.name),
        way.title,
        "ns of CPU a packet",
    );
    compare(table, options.rounds(), candidates.collect())
}

/// Has the flow come to be, by sockets, and gives where its frames are to be injected.
fn prepare(lab: &Lab, way: &Way) -> (u32, Plan) {
    let (host, outside, web) = (lab.sandbox.host(), lab.sandbox.outside(), lab.node("web"));
    if !way.translation.is_empty() {
        let table = format!("table ip bench {{ {} }}", way.translation);
        host.namespace.run("nft", &[&table]);
    }
    let (client, server, to) = match (way.inward, way.translation.is_empty()) {
        (false, _) => (web, outside, outside.ipv4),
        (true, true) => (outside, web, web.ipv4),
        (true, false) => (outside, web, host.ipv4),
    };
    let service = Service::udp(&server.namespace, PUBLISHED);
    ask(client, (to, PUBLISHED).into());
    drop(service);
    let interface = if way.inward { "uplink" } else { "web" };
    let router = if way.inward {
        host.mac
    } else {
        lab.sandbox.bridge_node().mac
    };
    let target = End {
        mac: router,
        address: to.into(),
    };
    let plan = datagrams(End::of(client, Family::V4), target, PUBLISHED, 1, false);
    lab.peers.sink_at(&server.namespace, server.interface);
    assert_eq!(lab.sandbox.bridge_node().interface, BRIDGE);
    (host.namespace.interface_index(interface), plan)
}

/// Sends from the port that is injected from, and waits for the answer.
fn ask(client: &crate::common::sandbox::Node, to: SocketAddr) {
    let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, FIRST_PORT));
    let socket = client.namespace.inside(bind).expect("bind a socket");
    socket
        .set_read_timeout(Some(crate::common::PATIENCE))
        .expect("set a timeout");
    socket.send_to(b"bridgewall", to).expect("send");
    socket.recv(&mut [0; 64]).expect("an answer");
}
