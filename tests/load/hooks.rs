//! An interface to attach programs to, in a network namespace that only one thread is in.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{Program, ProgramType, TC_EGRESS, TC_INGRESS, TcHookBuilder};
use nix::sched::{CloneFlags, unshare};

/// The host's side of a veth pair, as a container has one.
pub struct Veth {
    index: i32,
    has_tcx: bool,
}

impl Veth {
    /// Takes the calling thread into a namespace of its own.
    pub fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("unshare a network namespace: these tests need root");
        let index = 101;
        run(&format!(
            "ip link add hook0 index {index} type veth peer name hook1"
        ));
        run("tc qdisc add dev hook0 clsact");
        Self {
            index,
            has_tcx: knows_tcx(index),
        }
    }

    /// Attaches a program by every mechanism that the kernel has, one after the other, and takes it off
    /// again.
    pub fn attach(&self, program: &Program<'_>) -> Result<(), String> {
        let kind = program.prog_type();
        assert_eq!(
            kind,
            ProgramType::SchedCls,
            "nobody says how it is attached"
        );
        // What an endpoint receives leaves the host.
        let is_egress = program.name().to_string_lossy().starts_with("to_");
        self.attach_clsact(program, is_egress)
            .map_err(|error| format!("attach by clsact: {error:#}"))?;
        if self.has_tcx {
            self.attach_tcx(program, is_egress)
                .map_err(|error| format!("attach by tcx: {error}"))?;
        }
        Ok(())
    }

    /// The same before all others, in the driver and behind it.
    pub fn attach_xdp(&self, program: &Program<'_>) -> Result<(), String> {
        for (mode, name) in [
            (raw::XDP_FLAGS_DRV_MODE, "in the driver"),
            (raw::XDP_FLAGS_SKB_MODE, "behind the driver"),
        ] {
            self.attach_link(program, raw::BPF_XDP, mode)
                .map_err(|error| format!("attach {name}: {error}"))?;
        }
        Ok(())
    }

    fn attach_clsact(&self, program: &Program<'_>, is_egress: bool) -> libbpf_rs::Result<()> {
        let mut hook = TcHookBuilder::new(program.as_fd())
            .ifindex(self.index)
            .handle(1)
            .priority(1)
            .hook(if is_egress { TC_EGRESS } else { TC_INGRESS });
        hook.attach()?;
        hook.detach()
    }

    fn attach_tcx(&self, program: &Program<'_>, is_egress: bool) -> io::Result<()> {
        let place = if is_egress {
            raw::BPF_TCX_EGRESS
        } else {
            raw::BPF_TCX_INGRESS
        };
        self.attach_link(program, place, 0)
    }

    fn attach_link(
        &self,
        program: &Program<'_>,
        place: raw::bpf_attach_type,
        flags: u32,
    ) -> io::Result<()> {
        // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
        let mut options: raw::bpf_link_create_opts = unsafe { zeroed() };
        options.sz = size_of_val(&options) as raw::size_t;
        options.flags = flags;
        // SAFETY: `options` outlives the call.
        let link = unsafe {
            raw::bpf_link_create(program.as_fd().as_raw_fd(), self.index, place, &options)
        };
        if link < 0 {
            return Err(io::Error::from_raw_os_error(-link));
        }
        // SAFETY: the call has just returned it, so that it belongs to nobody else. It takes the
        // program off when it is closed.
        drop(unsafe { OwnedFd::from_raw_fd(link) });
        Ok(())
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a name");
    let status = Command::new(program).args(words).status();
    let status = status.unwrap_or_else(|error| panic!("run {program}: {error}"));
    assert!(status.success(), "{command}: {status}");
}

fn knows_tcx(index: i32) -> bool {
    // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
    let mut options: raw::bpf_prog_query_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    // SAFETY: `options` outlives the call, and asks for no list.
    unsafe { raw::bpf_prog_query_opts(index, raw::BPF_TCX_INGRESS, &mut options) >= 0 }
}
