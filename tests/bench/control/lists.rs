//! A deny list of a million prefixes in a file: until it judges, a line less, and what it takes all the while.

use std::fs;

use ipnet::IpNet;

use super::{milliseconds, named, plain, settle, until_judged};
use crate::Options;
use crate::common::crowd::{CONFIGURATION, Crowd, anonymous, resident};
use crate::common::daemon::{Attach, Daemon};
use crate::prefixes::{Family, list};
use crate::report::Table;

const PREFIXES: u32 = 1_000_000;

/// The file that the policy names.
const FILE: &str = "blocklist.txt";

const POLICY: &str = r#"
    [networks.blocklist]
    file = "blocklist.txt"

    [[deny]]
    from = "blocklist"
    to   = "any"
"#;

pub fn measure(options: &Options) -> Vec<Table> {
    let families = [Family::V4, Family::V6];
    families
        .into_iter()
        .flat_map(|family| of_family(options, family))
        .collect()
}

fn of_family(options: &Options, family: Family) -> [Table; 2] {
    let count = options.amount(PREFIXES) as usize;
    let crowd = named(&format!("list-{family}"), || Crowd::new(1));
    let file = crowd.place().directory().join(FILE);
    let beside = file.with_extension("new");
    let write = |prefixes: &[IpNet]| {
        let lines = prefixes.iter().map(|prefix| format!("{prefix}\n"));
        fs::write(&beside, lines.collect::<String>()).expect("write a list");
    };
    let put = || fs::rename(&beside, &file).expect("rename a list");
    write(&[]);
    put();
    let daemon = named(&format!("list-{family}"), || {
        Daemon::start(crowd.place(), Attach::Auto, CONFIGURATION, POLICY, 1)
    });
    let process = daemon.pid().expect("it runs");
    let before = Memory::of(&daemon, process);
    let prefixes = list(family, count);
    let taking = |prefixes| {
        write(prefixes);
        until_judged(&daemon, process, put)
    };
    let all = taking(&prefixes);
    let with = Memory::of(&daemon, process);
    let less = taking(&prefixes[1..]);
    let again = taking(&prefixes);
    let after = Memory::of(&daemon, process);

    let name = format!("lists-{}", family.to_string().to_lowercase());
    let times = Table::new(
        &name,
        format!("A deny list of {count} {family} prefixes in a file, until it judges"),
        "milliseconds",
    );
    let rows = [
        ("all of it, where there was none", all),
        ("a line less", less),
        ("a line more", again),
    ];
    let taken = Table::new(
        format!("{name}-memory"),
        format!("What such a list of {count} {family} prefixes takes"),
        "megabytes",
    );
    let memory = [
        ("the daemon, resident, without it", before.resident),
        ("the daemon, resident, with it", with.resident),
        ("the daemon, resident, after two changes", after.resident),
        ("of these, in no file", after.anonymous),
        ("the kernel's table of search trees", after.trees),
    ];
    [
        plain(times, &rows.map(|(name, time)| (name, milliseconds(time)))),
        plain(taken, &memory),
    ]
}

/// In megabytes.
struct Memory {
    resident: f64,
    anonymous: f64,
    trees: f64,
}

impl Memory {
    fn of(daemon: &Daemon, process: u32) -> Self {
        settle(process);
        let status = daemon.status();
        let maps = status["maps"].as_array().expect("status has maps");
        let trees = maps.iter().find(|map| map["name"] == "network_nodes");
        let trees = trees.and_then(|map| map["bytes"].as_f64());
        Self {
            resident: resident(process) as f64 / 1e6,
            anonymous: anonymous(process) as f64 / 1e6,
            trees: trees.expect("a table of trees") / 1e6,
        }
    }
}
