//! Packets from container to container, without sockets: injected where the host receives from the
//! one, swallowed where the other receives from the host.

use crate::Options;
use crate::common::craft::{FAMILIES, Family};
use crate::cpu::{self, Meter};
use crate::frames::{End, datagrams};
use crate::lab::{Firewall, Lab, PORT, family_name, labs};
use crate::report::Table;
use crate::rounds::{Candidate, compare};

const FIREWALLS: &[Firewall] = &[
    Firewall::Bridge,
    Firewall::Bridge,
    Firewall::BareTcx,
    Firewall::BareRedirect,
    Firewall::Bridgewall {
        entries: 10,
        fast_path: true,
    },
    Firewall::Bridgewall {
        entries: 100_000,
        fast_path: true,
    },
    Firewall::Bridgewall {
        entries: 10,
        fast_path: false,
    },
    Firewall::Bridgewall {
        entries: 100_000,
        fast_path: false,
    },
    Firewall::NftBridge,
    Firewall::BridgeNetfilter,
    Firewall::NftForward,
    Firewall::Iptables(10),
    Firewall::Iptables(100),
    Firewall::Iptables(1000),
];

/// For each family, one flow and many.
pub fn measure(options: &Options) -> Vec<Table> {
    cpu::pin();
    let labs = labs("live", FIREWALLS, options.beside.as_deref());
    for lab in &labs {
        for name in ["web", "db"] {
            lab.peers.sink_at(&lab.node(name).namespace, "eth0");
        }
    }
    let mut tables = Vec::new();
    for flows in [1, 32_000] {
        for family in FAMILIES {
            tables.push(one(options, &labs, family, flows));
        }
    }
    tables
}

fn one(options: &Options, labs: &[Lab], family: Family, flows: u32) -> Table {
    let packets = options.amount(200_000).max(flows);
    let meter = Meter::of_thread();
    let candidates = labs.iter().enumerate().map(|(index, lab)| {
        warm(lab, family, flows);
        let plan = plan(lab, family, flows, false);
        let (host, port) = (&lab.sandbox.host().namespace, lab.port_of("web"));
        let meter = &meter;
        let name = lab.name() + if index == 1 { ", again" } else { "" };
        Candidate::new(name, move || {
            lab.peers.set_plan(&plan);
            let before = lab.peers.arrived();
            let cost =
                host.inside(|| meter.per_packet(packets, || lab.peers.inject(port, packets)));
            let arrived = lab.peers.arrived() - before;
            // A neighbour message or two may pass as well, or be lost in a queue.
            assert!(
                arrived.abs_diff(packets.into()) < 64,
                "{}: {arrived} of {packets} packets arrived",
                lab.name()
            );
            cost
        })
        .goal(goal(lab.firewall, flows))
    });
    let many = if flows == 1 {
        "one flow".to_owned()
    } else {
        format!("{flows} flows")
    };
    let title = format!(
        "Container to container, live frames, {}, {many}",
        family_name(family)
    );
    let name = format!("live-{}-{flows}", family_name(family).to_lowercase());
    let table = Table::new(name, title, "ns of CPU a packet");
    compare(table, options.rounds(), candidates.collect())
}

fn goal(firewall: Firewall, flows: u32) -> Option<f64> {
    let Firewall::Bridgewall { fast_path, .. } = firewall else {
        return None;
    };
    Some(match (fast_path, flows) {
        (true, 1) => 0.55,
        (true, _) => 0.60,
        (false, 1) => 1.10,
        (false, _) => 1.20,
    })
}

fn plan(lab: &Lab, family: Family, flows: u32, answers: bool) -> crate::peers::Plan {
    let [web, db] = ["web", "db"].map(|name| End::of(lab.node(name), family));
    let (from, to) = if answers { (db, web) } else { (web, db) };
    datagrams(from, to, PORT, flows, answers)
}

/// Every flow has been answered before it is measured.
fn warm(lab: &Lab, family: Family, flows: u32) {
    for (from, answers) in [("web", false), ("db", true)] {
        lab.peers.set_plan(&plan(lab, family, flows, answers));
        let port = lab.port_of(from);
        let host = &lab.sandbox.host().namespace;
        host.inside(|| lab.peers.inject(port, flows));
    }
}
