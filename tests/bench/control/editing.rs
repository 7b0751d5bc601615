//! An edit of the policy, from the file's new name until it judges, by the clock; beside what others take for
//! as many entries, all anew and one more.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::goals::Goals;
use super::libnftables::Library;
use super::passes::Passes;
use super::{CONTAINERS, RULES, microseconds, milliseconds, named, until_judged};
use crate::Options;
use crate::common::crowd::{CONFIGURATION, Crowd, IDENTITIES, policy};
use crate::common::daemon::{Attach, Daemon};
use crate::common::namespace::Namespace;
use crate::report::Table;
use crate::rounds::{Candidate, compare, median_of};

/// What the larger host's policy has.
const ENTRIES: usize = 100_000;

/// Milliseconds of the kernel's work for one rule.
const ONE_RULE: f64 = 1.0;

pub fn measure(options: &Options, goals: &mut Goals) -> Vec<Table> {
    let many = options.amount(ENTRIES as u32) as usize;
    let sizes = [
        (RULES, policy(RULES), "rules", 20.0),
        (many, policy_of_entries(many), "entries", 300.0),
    ];
    let one = |(count, policy, what, goal): (usize, String, &str, f64)| {
        let host = Host::new(options, count, &policy);
        let table = host.beside_others(options, count, what);
        let name = format!("an edit at {count} {what} and {CONTAINERS} endpoints");
        goals.at_most(&name, table.rows[0].value, goal, "ms");
        let name = format!("one rule at {count} {what}, the kernel's work");
        goals.at_most(&name, host.applying(options), ONE_RULE, "ms");
        table
    };
    sizes.map(one).into()
}

/// A daemon that enforces, and what its policy file says but for the rules that come.
struct Host {
    crowd: Crowd,
    daemon: Daemon,
    process: u32,
    policy: String,
}

impl Host {
    fn new(options: &Options, count: usize, policy: &str) -> Self {
        let containers = options.amount(CONTAINERS);
        let name = format!("edit-{count}");
        let crowd = named(&name, || Crowd::new(containers as usize));
        let configuration = format!("{CONFIGURATION}\n[limits]\npolicy_entries = 400000\n");
        let daemon = named(&name, || {
            let containers = containers.into();
            Daemon::start(
                crowd.place(),
                Attach::Auto,
                &configuration,
                policy,
                containers,
            )
        });
        Self {
            process: daemon.pid().expect("it runs"),
            policy: policy.to_owned(),
            crowd,
            daemon,
        }
    }

    /// With a rule that was not there; until it judges.
    fn edit(&self, number: u16) -> Duration {
        let text = format!(
            "{}\n[[allow]]\nfrom = \"id1\"\nto = \"id2\"\nports = [\"{number}/udp\"]\n",
            self.policy
        );
        until_judged(&self.daemon, self.process, || {
            self.daemon.replace_policy(&text)
        })
    }

    /// Milliseconds that the kernel's maps took to be written.
    fn applying(&self, options: &Options) -> f64 {
        let mut passes = Passes::of(&self.daemon);
        let numbers = 10_000..10_000 + options.rounds() as u16;
        let times = numbers.map(|number| {
            passes.skip();
            self.edit(number);
            passes.part("apply") / 1e3
        });
        median_of(times.collect())
    }

    fn beside_others(&self, options: &Options, count: usize, what: &str) -> Table {
        let name = format!("control-edit-{count}");
        let title = format!("One more beside {count} {what}, until it judges");
        let table = Table::new(name, title, "milliseconds");
        let others = Others::new(&self.crowd.place().namespace, count);
        let mut edits = 0;
        let mut candidates = vec![Candidate::new("bridgewall", move || {
            edits += 1;
            milliseconds(self.edit(edits))
        })];
        candidates.extend(others.candidates());
        compare(table, options.rounds(), candidates)
    }
}

/// Other firewalls with as many entries, in the same namespace.
struct Others<'a> {
    namespace: &'a Namespace,
    count: usize,
}

impl<'a> Others<'a> {
    /// All of them are there once, before anything is measured.
    fn new(namespace: &'a Namespace, count: usize) -> Self {
        let others = Self { namespace, count };
        others.feed("nft", &["-f", "-"], &nft_map(count));
        others.feed("ipset", &["restore"], &ip_set(count));
        others.feed("iptables-legacy-restore", &[], &iptables_rules(count));
        others
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let whole =
            |name: &str, program: &'static str, arguments: &'static [&str], input: String| {
                let name = format!("{name}, all anew");
                Candidate::new(name, move || self.feed(program, arguments, &input))
            };
        let mut candidates = vec![
            whole("nft -f", "nft", &["-f", "-"], nft_map(self.count)),
            whole("ipset restore", "ipset", &["restore"], ip_set(self.count)),
            whole(
                "iptables-restore",
                "iptables-legacy-restore",
                &[],
                iptables_rules(self.count),
            ),
        ];
        if let Some(mut library) = Library::open(self.namespace) {
            let mut port = 0;
            candidates.push(Candidate::new("libnftables, one element", move || {
                port += 1;
                let command = element("add", port);
                self.namespace.inside(|| {
                    let began = Instant::now();
                    library.run(&command);
                    let took = began.elapsed();
                    library.run(&element("delete", port));
                    milliseconds(took)
                })
            }));
        } else {
            eprintln!("no libnftables on this machine: not compared");
        }
        let mut port = 0;
        candidates.push(Candidate::new("nft, one element", move || {
            port += 1;
            let took = self.feed("nft", &["-f", "-"], &element("add", port));
            self.feed("nft", &["-f", "-"], &element("delete", port));
            took
        }));
        let mut port = 0;
        candidates.push(Candidate::new("ipset, one entry", move || {
            port += 1;
            let entry = format!("add bench 10.79.0.1,udp:{port}\n");
            self.feed("ipset", &["restore"], &entry)
        }));
        candidates.push(Candidate::new("iptables, one rule", move || {
            let rule = "*filter\n-A FORWARD -d 10.79.0.1 -j ACCEPT\nCOMMIT\n";
            self.feed("iptables-legacy-restore", &["--noflush"], rule)
        }));
        candidates
    }

    /// Milliseconds.
    fn feed(&self, program: &str, arguments: &[&str], input: &str) -> f64 {
        let began = Instant::now();
        self.namespace.inside(|| feed(program, arguments, input));
        microseconds(began.elapsed()) / 1e3
    }
}

fn feed(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("run {program}: {error}"));
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let status = child.wait().expect("wait for it");
    assert!(status.success(), "{program}: {status}");
}

/// Addresses and ports, all different.
fn entries(count: usize) -> impl Iterator<Item = (String, usize)> {
    (0..count).map(|entry| {
        let (high, low) = (entry / 250 % 250, entry % 250 + 2);
        (format!("10.77.{high}.{low}"), 1_024 + entry / 50_000)
    })
}

fn element(verb: &str, port: u16) -> String {
    format!("{verb} element inet bench m {{ 10.79.0.1 . {port} : accept }}")
}

fn nft_map(count: usize) -> String {
    let elements: Vec<_> = entries(count)
        .map(|(address, port)| format!("{address} . {port} : accept"))
        .collect();
    format!(
        "table inet bench\ndelete table inet bench\ntable inet bench {{\nmap m {{ type ipv4_addr . \
         inet_service : verdict; elements = {{ {} }} }}\nchain c {{ type filter hook forward priority \
         0; ip daddr . tcp dport vmap @m;\n}}\n}}\n",
        elements.join(", ")
    )
}

fn ip_set(count: usize) -> String {
    let add = |(address, port)| format!("add bench-new {address},tcp:{port}\n");
    let set = "hash:ip,port maxelem 1000000";
    format!("create -exist bench {set}\ncreate -exist bench-new {set}\nflush bench-new\n")
        + &entries(count).map(add).collect::<String>()
        + "swap bench bench-new\n"
}

fn iptables_rules(count: usize) -> String {
    let rule =
        |(address, port)| format!("-A FORWARD -d {address} -p tcp --dport {port} -j ACCEPT\n");
    "*filter\n".to_owned() + &entries(count).map(rule).collect::<String>() + "COMMIT\n"
}

/// A policy in which each of the crowd's identities has an entry for each of many networks.
fn policy_of_entries(entries: usize) -> String {
    let mut text = policy(0);
    let networks: Vec<_> = (0..entries / IDENTITIES).collect();
    for number in &networks {
        let (high, low) = (number / 250, number % 250);
        let _ = write!(
            text,
            "\n[networks.n{number}]\ncidrs = [\"100.64.{high}.{low}\"]\n"
        );
    }
    let identities: Vec<_> = (0..IDENTITIES).map(|n| format!("\"id{n}\"")).collect();
    // No list may be longer.
    for networks in networks.chunks(1_000) {
        let from: Vec<_> = networks.iter().map(|n| format!("\"n{n}\"")).collect();
        let _ = write!(
            text,
            "\n[[allow]]\nfrom = [{}]\nto = [{}]\nports = [\"443/tcp\"]\n",
            from.join(", "),
            identities.join(", ")
        );
    }
    text
}
