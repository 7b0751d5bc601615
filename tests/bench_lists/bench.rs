//! What a packet from a denied network costs at XDP, and how that grows with the deny list:
//! `scripts/bench-lists`. Needs root, and touches nothing but a network namespace of its own.
//!
//! Live frames go through a veth pair, from senders all over the list, into a native XDP program. All
//! candidates are measured in every round, in an order that changes, by CPU time; what counts are the
//! medians of the ratios within the rounds.

mod lab;
mod prefixes;

use std::collections::BTreeMap;
use std::time::Instant;

use bridgewall::state::networks::{Networks, Placed};
use bridgewall::state::numbers::IdentityNumber;
use ipnet::IpNet;

use lab::{Lab, Program, Search};
use prefixes::{Family, Random, list, senders};

const SIZES: [usize; 4] = [1, 1_000, 100_000, 1_000_000];
/// What was asked for, by size.
const GOALS: [f64; 4] = [1.15, 1.25, 1.5, 1.7];

struct Row {
    name: String,
    goal: Option<f64>,
    costs: Vec<f64>,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, packets) = if quick { (3, 100_000) } else { (9, 300_000) };
    lab::enter_namespace();
    for family in [Family::V4, Family::V6] {
        for (size, goal) in SIZES.into_iter().zip(GOALS) {
            measure(family, size, goal, rounds, packets);
        }
    }
    println!("\nTo load and to change a list of 1,000,000");
    for family in [Family::V4, Family::V6] {
        load(family);
    }
}

fn measure(family: Family, size: usize, goal: f64, rounds: usize, packets: u32) {
    let prefixes = list(family, size);
    let lab = Lab::new(&prefixes, &senders(&prefixes, 1 << 20));
    let mut rows: Vec<Row> = Vec::new();
    let mut programs = vec![
        (Program::Bare, None),
        (Program::Bare, None),
        (Program::Search(Search::None), None),
        (Program::Search(Search::Trees), Some(goal)),
        (Program::Search(Search::LpmTrie), None),
        (Program::Search(Search::HashLengths), None),
    ];
    if family == Family::V4 {
        programs.push((Program::Search(Search::Binary), None));
    }
    if lab::has("xdp-filter") {
        eprintln!("xdp-filter is installed, but has programs of its own: see docs/performance.md");
    }
    if lab::has("nft") {
        programs.push((Program::Nft, None));
    }
    for (index, (program, goal)) in programs.iter().enumerate() {
        let again = if index == 1 { ", again" } else { "" };
        rows.push(Row {
            name: program.name().to_owned() + again,
            goal: *goal,
            costs: Vec::new(),
        });
    }
    let mut random = Random::new(u64::from(std::process::id()) | 1);
    let mut order: Vec<usize> = (0..programs.len()).collect();
    for round in 0..=rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let cost = lab.cost(&programs[index].0, packets);
            // The first round warms everything up.
            if round > 0 {
                rows[index].costs.push(cost);
            }
        }
    }
    println!("\n{family}, {size} prefixes, dropped");
    let bare = rows[0].costs.clone();
    for row in &rows {
        let ratios = row.costs.iter().zip(&bare).map(|(cost, bare)| cost / bare);
        let goal = row.goal.map_or(String::new(), |goal| format!("  (goal {goal})"));
        println!(
            "  {:5.2}  {:6.0} ns  {}{goal}",
            median(ratios.collect()),
            median(row.costs.clone()),
            row.name
        );
    }
}

/// Time and memory of a list in our trees, in a trie and in a set of nftables.
fn load(family: Family) {
    let prefixes = list(family, 1_000_000);
    let began = Instant::now();
    let wanted = networks(&prefixes);
    let compiled = began.elapsed();
    let lab = Lab::new(&prefixes[..1], &senders(&prefixes[..1], 1));
    let none = Placed::default();
    let room = lab::ROOM;
    let began = Instant::now();
    let filled = Placed::change(&none, &none, &wanted, room).expect("there is room");
    lab.write(&filled);
    let written = began.elapsed();
    let bytes = wanted.nodes() * 64;
    println!(
        "  {family}: trees {bytes} bytes ({:.1} a prefix), made in {compiled:.0?}, written in {written:.0?}",
        bytes as f64 / 1e6
    );
    let mut changed = prefixes.clone();
    changed.truncate(prefixes.len() - 10);
    let began = Instant::now();
    let wanted = networks(&changed);
    let change = Placed::change(&filled.result, &filled.result, &wanted, room).expect("room");
    let planned = began.elapsed();
    let began = Instant::now();
    lab.write(&change);
    println!(
        "  {family}: 10 lines fewer: {} trees, {} rows; planned in {planned:.0?}, written in {:.0?}",
        change.trees.len(),
        change.rows.len(),
        began.elapsed()
    );
    let (taken, memory) = lab.fill_trie(&prefixes);
    println!("  {family}: LPM trie {memory} bytes, written in {taken:.0?}");
    if lab::has("nft") {
        let (taken, changed) = lab.fill_nft(&prefixes);
        println!("  {family}: nft -f {taken:.0?}, one element fewer {changed:.0?}");
    }
    if lab::has("ipset") {
        println!("  {family}: ipset restore {:.0?}", lab.fill_ipset(&prefixes));
    }
}

/// The world with this list in it.
pub fn networks(prefixes: &[IpNet]) -> Networks {
    let world = ["0.0.0.0/0", "::/0"].map(|text| (text.parse().expect("a prefix"), 0));
    let listed = prefixes.iter().map(|&prefix| (prefix, 1));
    let table: BTreeMap<IpNet, IdentityNumber> = world
        .into_iter()
        .chain(listed)
        .map(|(prefix, number)| (prefix, IdentityNumber::internet(number)))
        .collect();
    Networks::new(&table)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
