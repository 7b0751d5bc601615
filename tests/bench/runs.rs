//! One program at work, by BPF_PROG_TEST_RUN: the very programs and maps of a running daemon. All is
//! warm, so this is what the instructions cost, not what memory does.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Options;
use crate::common::craft::{FAMILIES, Family};
use crate::cpu;
use crate::frames::{End, FIRST_PORT, datagrams};
use crate::lab::{Firewall, Lab, PORT, family_name, labs};
use crate::peers::{Peers, pinned, test_run};
use crate::report::Table;
use crate::rounds::{Candidate, compare};

/// Nobody allows it.
const CLOSED: u16 = 9;

/// New connections a round: all rounds of both families together must stay below the endpoint's room.
const NEW: u16 = 2_000;

/// Where `struct __sk_buff` has the mark.
const MARK: usize = 8;

const FIREWALLS: [Firewall; 2] = [
    Firewall::Bridgewall {
        entries: 10,
        fast_path: false,
    },
    Firewall::Bridgewall {
        entries: 100_000,
        fast_path: false,
    },
];

/// Established, new, and denied.
pub fn measure(options: &Options) -> Vec<Table> {
    cpu::pin();
    let labs = labs("runs", &FIREWALLS, options.beside.as_deref());
    let yardstick = Peers::load(1);
    FAMILIES
        .map(|family| one(options, &labs, &yardstick, family))
        .into()
}

fn one(options: &Options, labs: &[Lab], yardstick: &Peers, family: Family) -> Table {
    let repeat = options.amount(500_000);
    let bare = || {
        let frame = web_to_db(&labs[0], family, PORT);
        nanoseconds(yardstick.program("bare"), &frame, 0, repeat)
    };
    let mut candidates = vec![
        Candidate::new("bare program", bare),
        Candidate::new("bare program, again", bare),
    ];
    for lab in labs {
        let name = |what: &str| lab.name().replace("over the bridge", what);
        let frame = web_to_db(lab, family, PORT);
        let sent = program(lab, "web", "ingress");
        let mark = run(sent.as_fd(), &frame, 0, 1).1;
        let answer = datagrams(
            end(lab, "db", family),
            end(lab, "web", family),
            PORT,
            1,
            true,
        );
        run(program(lab, "db", "ingress").as_fd(), &answer.frame, 0, 1);

        let (program_, known) = (sent.try_clone().expect("duplicate"), frame.clone());
        let established = move || nanoseconds(program_.as_fd(), &known, 0, repeat);
        candidates.push(Candidate::new(name("established"), established).goal(2.0));

        let received = program(lab, "db", "egress");
        let judged = move || nanoseconds(received.as_fd(), &frame, mark, repeat);
        candidates.push(Candidate::new(name("received, judged before"), judged));

        let program_ = sent.try_clone().expect("duplicate");
        let closed = web_to_db(lab, family, CLOSED);
        let denied = move || nanoseconds(program_.as_fd(), &closed, 0, repeat);
        candidates.push(Candidate::new(name("new, denied"), denied));

        let mut first = 1024;
        let allowed = move || {
            first += NEW;
            renewed(lab, sent.as_fd(), family, first)
        };
        candidates.push(Candidate::new(name("new, allowed"), allowed));
    }
    let family = family_name(family);
    let title = format!("One program, BPF_PROG_TEST_RUN, {family}");
    let table = Table::new(format!("runs-{}", family.to_lowercase()), title, "ns a run");
    compare(table, options.rounds(), candidates)
}

/// Each run from another port, less what counting the port costs.
fn renewed(lab: &Lab, program: BorrowedFd<'_>, family: Family, first: u16) -> f64 {
    let mut plan = datagrams(
        end(lab, "web", family),
        end(lab, "db", family),
        PORT,
        NEW.into(),
        false,
    );
    plan.first_port = first.into();
    let cost = |subject| {
        lab.peers.set_plan(&plan);
        lab.peers.set_subject(subject);
        nanoseconds(lab.peers.program("vary"), &plan.frame, 0, NEW.into())
    };
    let bare = nanoseconds(lab.peers.program("bare"), &plan.frame, 0, NEW.into());
    let varied = cost(lab.peers.program("bare"));
    cost(program) - varied + bare
}

fn end(lab: &Lab, name: &str, family: Family) -> End {
    End::of(lab.node(name), family)
}

fn web_to_db(lab: &Lab, family: Family, port: u16) -> Vec<u8> {
    let plan = datagrams(
        end(lab, "web", family),
        end(lab, "db", family),
        port,
        1,
        false,
    );
    assert_eq!(plan.first_port, u32::from(FIRST_PORT));
    plan.frame
}

/// The daemon's own, of one direction of a container's interface.
fn program(lab: &Lab, name: &str, direction: &str) -> OwnedFd {
    let place = lab.sandbox.place().pins().join("programs");
    let prefix = format!("{}-{direction}", lab.port_of(name));
    let entries = fs::read_dir(&place).unwrap_or_else(|e| panic!("list {}: {e}", place.display()));
    let found = entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    pinned(&found.expect("the interface's program is pinned").path())
}

/// Gives nanoseconds a run, and the mark that the packet has afterwards.
fn run(program: BorrowedFd<'_>, frame: &[u8], mark: u32, repeat: u32) -> (f64, u32) {
    let mut context = [0; 192];
    context[MARK..MARK + 4].copy_from_slice(&mark.to_ne_bytes());
    let duration = test_run(program, frame, Some(&mut context), repeat, 0);
    let mark = context[MARK..MARK + 4].try_into().expect("4 bytes");
    (duration.as_nanos() as f64, u32::from_ne_bytes(mark))
}

fn nanoseconds(program: BorrowedFd<'_>, frame: &[u8], mark: u32, repeat: u32) -> f64 {
    run(program, frame, mark, repeat).0
}
