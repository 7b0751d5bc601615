//! Programs of somebody else, and a look at interfaces that does not go through the code under test.

use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{Program, TC_EGRESS, TC_INGRESS, TcHookBuilder};
use std::os::fd::AsFd;

/// Which way packets go, seen from the interface.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// In.
    Ingress,
    /// Out.
    Egress,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// A program of somebody else, attached for as long as this lives.
pub struct Foreign {
    /// Its number.
    pub program: u32,
    _link: OwnedFd,
}

impl Foreign {
    /// Attaches one by tcx, before all others.
    pub fn attach_tcx(ifindex: u32, direction: Direction) -> Self {
        let program = harmless_program();
        // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
        let mut options: raw::bpf_link_create_opts = unsafe { zeroed() };
        options.sz = size_of_val(&options) as raw::size_t;
        options.flags = raw::BPF_F_BEFORE;
        // SAFETY: `options` outlives the call; the descriptor returned belongs to nobody else.
        let link = unsafe {
            let link = raw::bpf_link_create(
                program.as_raw_fd(),
                ifindex as i32,
                hook(direction),
                &options,
            );
            assert!(link >= 0, "attach a foreign program: {link}");
            OwnedFd::from_raw_fd(link)
        };
        Self {
            program: Program::id_from_fd(program.as_fd()).expect("a number"),
            _link: link,
        }
    }

    /// Attaches one as a filter, which lives as long as the interface.
    pub fn attach_filter(ifindex: u32, direction: Direction, priority: u32, handle: u32) {
        let program = harmless_program();
        let mut hook = TcHookBuilder::new(program.as_fd())
            .ifindex(ifindex as i32)
            .handle(handle)
            .priority(priority)
            .hook(match direction {
                Direction::Ingress => TC_INGRESS,
                Direction::Egress => TC_EGRESS,
            });
        hook.create().expect("make a clsact discipline");
        hook.attach().expect("attach a foreign filter");
    }
}

/// A program that says "next".
fn harmless_program() -> OwnedFd {
    let mut instructions = [raw::bpf_insn::default(); 2];
    instructions[0].code = 0xb7; // r0 = imm
    instructions[0].imm = -1; // TCX_NEXT
    instructions[1].code = 0x95; // exit
    // SAFETY: as many instructions as are said, C strings, no options; the descriptor returned belongs
    // to nobody else.
    unsafe {
        let program = raw::bpf_prog_load(
            raw::BPF_PROG_TYPE_SCHED_CLS,
            c"foreign".as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as raw::size_t,
            std::ptr::null_mut(),
        );
        assert!(program >= 0, "load a foreign program: {program}");
        OwnedFd::from_raw_fd(program)
    }
}

const fn hook(direction: Direction) -> raw::bpf_attach_type {
    match direction {
        Direction::Ingress => raw::BPF_TCX_INGRESS,
        Direction::Egress => raw::BPF_TCX_EGRESS,
    }
}

/// The programs on a tcx hook, in order.
pub fn tcx_programs(ifindex: u32, direction: Direction) -> Vec<u32> {
    tcx(ifindex, direction).0
}

/// The links on a tcx hook, in order.
pub fn tcx_links(ifindex: u32, direction: Direction) -> Vec<u32> {
    tcx(ifindex, direction).1
}

fn tcx(ifindex: u32, direction: Direction) -> (Vec<u32>, Vec<u32>) {
    let mut programs = vec![0; 64];
    let mut links = vec![0; 64];
    // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
    let mut options: raw::bpf_prog_query_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.prog_ids = programs.as_mut_ptr();
    options.link_ids = links.as_mut_ptr();
    options.__bindgen_anon_1.count = 64;
    // SAFETY: `options` outlives the call; both arrays have room for as many as it says, and the
    // union's members are the same integer.
    let count = unsafe {
        let returned = raw::bpf_prog_query_opts(ifindex as i32, hook(direction), &mut options);
        assert!(returned >= 0, "query tcx: {returned}");
        options.__bindgen_anon_1.count as usize
    };
    programs.truncate(count);
    links.truncate(count);
    (programs, links)
}

/// Makes a clsact discipline, as an administrator might.
pub fn make_discipline(ifindex: u32) {
    let status = Command::new("tc")
        .args(["qdisc", "add", "dev", &format!("bwk{ifindex}"), "clsact"])
        .status()
        .expect("run tc");
    assert!(status.success(), "make a clsact discipline: {status}");
}

/// Removes it with all filters, anybody's, as some network plugins do.
pub fn remove_discipline(ifindex: u32) {
    let status = Command::new("tc")
        .args(["qdisc", "del", "dev", &format!("bwk{ifindex}"), "clsact"])
        .status()
        .expect("run tc");
    assert!(status.success(), "remove a clsact discipline: {status}");
}

/// Whether an interface has a clsact discipline, as tc(8) sees it.
pub fn has_discipline(ifindex: u32) -> bool {
    let output = Command::new("tc")
        .args(["qdisc", "show", "dev", &format!("bwk{ifindex}")])
        .output()
        .expect("run tc");
    String::from_utf8_lossy(&output.stdout).contains(" clsact ")
}

/// How many filters an interface's clsact has, as tc(8) sees it.
pub fn filters(ifindex: u32, direction: Direction) -> usize {
    let output = Command::new("tc")
        .args(["filter", "show", "dev", &format!("bwk{ifindex}")])
        .arg(match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
        .output()
        .expect("run tc");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(" handle 0x"))
        .count()
}
