//! Nothing is left behind: what a daemon and its pins hold stays level.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use libbpf_rs::query::{LinkInfoIter, ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapCore as _, MapHandle};

use crate::common::daemon::{Attach, Daemon};
use crate::common::eventually;
use crate::common::kernel_state::pins;
use crate::common::sandbox::Sandbox;
use crate::matrix::{Matrix, Watch, assert_all};
use crate::policies::Side;
use crate::{dose, enforce, roomy, sandbox};

/// Pages more that a process may have in memory without there being a leak: allocators keep some.
const SLACK_KIB: u64 = 8192;

/// What there is on behalf of one daemon.
#[derive(Debug, PartialEq)]
pub struct Holdings {
    /// Paths below the folder of pins.
    pub pins: BTreeSet<String>,
    /// Programs that use our maps, attached or not.
    programs: usize,
    /// Links of those programs.
    links: usize,
    /// The daemon's descriptors, by kind.
    descriptors: BTreeMap<String, usize>,
    /// Entries of the kernel's tables; without the connections, which come and go.
    entries: BTreeMap<String, u64>,
    /// Blocks of networks that the two slots refer to.
    blocks: u64,
    resident_kib: u64,
}

impl Holdings {
    /// When nothing is going on.
    #[track_caller]
    pub fn of(sandbox: &Sandbox, daemon: &Daemon) -> Self {
        // What a command line's connection holds goes a moment after its end.
        let mut holdings = Self::now(sandbox, daemon);
        for _ in 0..20 {
            let now = Self::now(sandbox, daemon);
            for (kind, count) in &mut holdings.descriptors {
                *count = (*count).min(now.descriptors.get(kind).copied().unwrap_or(0));
            }
            holdings.programs = holdings.programs.min(now.programs);
        }
        holdings
    }

    fn now(sandbox: &Sandbox, daemon: &Daemon) -> Self {
        let status = daemon.status();
        let pid = daemon.pid().expect("the daemon runs");
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("list")
            .flatten()
        {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let kind = target
                .to_string_lossy()
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            *descriptors.entry(kind).or_default() += 1;
        }
        let memory = fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
        let resident = memory.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let tables = ["policy", "identities", "addresses", "endpoints"];
        let maps = status["maps"].as_array().expect("status has maps");
        let blocks = maps.iter().find(|map| map["name"] == "network_nodes");
        let blocks = blocks.and_then(|map| map["entries"].as_u64());
        let pins = pins(&sandbox.place().pins());
        let (programs, links) = programs_and_links(&sandbox.place().pins());
        Self {
            pins,
            programs,
            links,
            descriptors,
            entries: maps
                .iter()
                .filter_map(|map| {
                    Some((map["name"].as_str()?.to_owned(), map["entries"].as_u64()?))
                })
                .filter(|(name, _)| tables.contains(&name.as_str()))
                .collect(),
            blocks: blocks.expect("status counts them"),
            resident_kib: resident.expect("a process has memory"),
        }
    }

    /// As it was, after much has happened.
    #[track_caller]
    pub fn assert_level(&self, later: &Self) {
        println!(
            "resident {} -> {} KiB; {} descriptors, {} pins, {} programs, {} links",
            self.resident_kib,
            later.resident_kib,
            later.descriptors.values().sum::<usize>(),
            later.pins.len(),
            later.programs,
            later.links
        );
        assert!(
            later.resident_kib <= self.resident_kib + SLACK_KIB,
            "memory grows: {} -> {} KiB",
            self.resident_kib,
            later.resident_kib
        );
        // What both slots have in common they share, and the slot that does not judge may be behind.
        assert!(
            later.blocks <= 2 * self.blocks,
            "blocks of networks are left: {} -> {}",
            self.blocks,
            later.blocks
        );
        let level = |holdings: &Self| {
            (
                holdings.pins.clone(),
                holdings.programs,
                holdings.links,
                holdings.descriptors.clone(),
                holdings.entries.clone(),
            )
        };
        pretty_assertions::assert_eq!(level(self), level(later));
    }
}

/// Programs that use one of the program tables that are pinned, and links of them.
fn programs_and_links(root: &Path) -> (usize, usize) {
    let tables: BTreeSet<u32> = pins(root)
        .iter()
        .filter(|pin| pin.ends_with("/bodies"))
        .map(|pin| {
            let table = MapHandle::from_pinned_path(root.join(pin)).expect("open a pin");
            table.info().expect("ask about a map").info.id
        })
        .collect();
    let with_maps = ProgInfoQueryOptions::default().include_map_ids(true);
    let programs: BTreeSet<u32> = ProgInfoIter::with_query_opts(with_maps)
        .filter(|program| program.map_ids.iter().any(|map| tables.contains(map)))
        .map(|program| program.id)
        .collect();
    let links = LinkInfoIter::default().filter(|link| programs.contains(&link.prog_id));
    (programs.len(), links.count())
}

fn churn(attach: Attach) {
    let mut sandbox = sandbox();
    let configuration = roomy(&sandbox.configuration_expecting("churn", 200));
    let daemon = Daemon::start(sandbox.place(), attach, &configuration, &Side::A.text(), 3);
    let watch = Watch::start(Matrix::of(&sandbox));
    let endpoints = |count: u64| {
        eventually(&format!("{count} endpoints are armed"), || {
            let status = daemon.status();
            let endpoints = &status["endpoints"];
            (endpoints["armed"] == count && endpoints["total"] == count).then_some(())
        });
    };
    let mut before = None;
    let churns = dose("CHURNS", 15);
    for number in 0..churns {
        sandbox.add_as("churn", 200);
        endpoints(4);
        sandbox.remove("churn");
        endpoints(3);
        if number == 4 {
            before = Some(Holdings::of(&sandbox, &daemon));
        }
    }
    let before = before.expect("more than four churns");
    before.assert_level(&Holdings::of(&sandbox, &daemon));
    let rounds = watch.finish();
    assert_all(&rounds, &Side::A.allows());
    println!(
        "{churns} churns by {attach:?}, {} rounds of packets: level",
        rounds.len()
    );
}

#[test]
fn containers_that_come_and_go_leave_nothing_tcx() {
    churn(Attach::Tcx);
}

#[test]
fn containers_that_come_and_go_leave_nothing_clsact() {
    churn(Attach::Clsact);
}

#[test]
fn reloads_without_effect_leave_nothing() {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let mut before = None;
    for number in 0..dose("RELOADS", 100) {
        let output = daemon.command(&["reload"]);
        assert!(output.status.success());
        if number == 9 {
            before = Some(Holdings::of(&sandbox, &daemon));
        }
    }
    before
        .expect("more than nine")
        .assert_level(&Holdings::of(&sandbox, &daemon));
}
