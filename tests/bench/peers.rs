//! The benchmark's own programs: how frames are injected and swallowed, and the least that a program
//! could do.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, Xdp, XdpFlags};

use crate::common::namespace::Namespace;

/// Bytes of a frame that the injector writes anew each time, as in peers.bpf.c.
pub const TEMPLATE: usize = 64;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;

/// What is injected: a frame, its source port counted through so many flows.
#[derive(Debug, Clone)]
pub struct Plan {
    pub frame: Vec<u8>,
    pub port_offset: u32,
    pub first_port: u32,
    pub flows: u32,
}

/// A loaded set of the benchmark's programs.
pub struct Peers {
    object: Object,
}

// SAFETY: libbpf's objects belong to no thread, and this one is reached through one owner only.
unsafe impl Send for Peers {}
// SAFETY: what is called through a shared reference are system calls on descriptors.
unsafe impl Sync for Peers {}

impl Peers {
    /// Loads them; `peer` is where the bare redirect leads.
    pub fn load(peer: u32) -> Self {
        let mut builder = ObjectBuilder::default();
        let mut open = builder
            .open_memory(object_code())
            .expect("open the benchmark's programs");
        for mut map in open.maps_mut() {
            if map.name().to_string_lossy().ends_with(".rodata") {
                map.set_initial_value(&peer.to_ne_bytes())
                    .expect("set a constant");
            }
        }
        Self {
            object: open.load().expect("load the benchmark's programs"),
        }
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> BorrowedFd<'_> {
        let mut programs = self.object.progs();
        let program = programs.find(|program| program.name() == name);
        let program = program.unwrap_or_else(|| panic!("no program {name}"));
        // SAFETY: the object, which is borrowed as long, keeps the descriptor open.
        unsafe { BorrowedFd::borrow_raw(program.as_fd().as_raw_fd()) }
    }

    fn write(&self, map: &str, value: &[u8]) {
        let mut maps = self.object.maps();
        let map = maps.find(|candidate| candidate.name() == map);
        map.expect("the map is there")
            .update(&0u32.to_ne_bytes(), value, MapFlags::ANY)
            .expect("write to the benchmark's map");
    }

    /// What is injected from now on.
    pub fn set_plan(&self, plan: &Plan) {
        let mut bytes = plan.frame.clone();
        bytes.resize(TEMPLATE, 0);
        for word in [plan.port_offset, plan.first_port, plan.flows, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        self.write("plan", &bytes);
    }

    /// What `vary` calls.
    pub fn set_subject(&self, program: BorrowedFd<'_>) {
        self.write("subject", &(program.as_raw_fd() as u32).to_ne_bytes());
    }

    /// Frames that have reached a sink so far.
    pub fn arrived(&self) -> u64 {
        let mut maps = self.object.maps();
        let map = maps.find(|map| map.name() == "arrived");
        map.expect("the map is there")
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .expect("read a counter")
            .expect("an array has all its entries")
            .iter()
            .map(|count| u64::from_ne_bytes(count[..8].try_into().expect("8 bytes")))
            .sum()
    }

    /// Swallows, and counts, what reaches an interface.
    pub fn sink_at(&self, namespace: &Namespace, interface: &str) {
        let index = namespace.interface_index(interface);
        let program = self.program("sink");
        namespace
            .inside(|| Xdp::new(program).attach(index as i32, XdpFlags::SKB_MODE))
            .unwrap_or_else(|error| panic!("attach a sink to {interface}: {error}"));
    }

    /// Frames by the plan, as if `interface` had received them. Called inside the interface's namespace.
    pub fn inject(&self, interface: u32, count: u32) {
        let mut context = xdp_context(TEMPLATE as u32, interface);
        test_run(
            self.program("inject"),
            &[0; TEMPLATE],
            Some(&mut context),
            count,
            LIVE_FRAMES,
        );
    }
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
fn xdp_context(length: u32, interface: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (word, value) in [(1, length), (3, interface)] {
        bytes[word * 4..][..4].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

/// Runs a program on data so many times, and gives how long one run took. The context is what the program
/// left of it afterwards.
pub fn test_run(
    program: BorrowedFd<'_>,
    data: &[u8],
    context: Option<&mut [u8]>,
    repeat: u32,
    flags: u32,
) -> Duration {
    // SAFETY: all fields of this C structure are integers and pointers, for which zero is a value.
    let mut options: libbpf_sys::bpf_test_run_opts = unsafe { MaybeUninit::zeroed().assume_init() };
    options.sz = size_of_val(&options) as _;
    options.data_in = data.as_ptr().cast();
    options.data_size_in = data.len() as u32;
    if let Some(context) = context {
        options.ctx_in = context.as_ptr().cast();
        options.ctx_size_in = context.len() as u32;
        if flags & LIVE_FRAMES == 0 {
            options.ctx_out = context.as_mut_ptr().cast();
            options.ctx_size_out = context.len() as u32;
        }
    }
    options.repeat = repeat as i32;
    options.flags = flags;
    // SAFETY: the descriptor is open, and the buffers are as long as it says and outlive the call.
    let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) };
    assert_eq!(result, 0, "run a program {repeat} times");
    Duration::from_nanos(options.duration.into())
}

/// A program that is pinned.
pub fn pinned(path: &Path) -> OwnedFd {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: the name ends with a zero byte.
    let descriptor = unsafe { libbpf_sys::bpf_obj_get(name.as_ptr()) };
    assert!(descriptor >= 0, "open {}", path.display());
    // SAFETY: it has just been opened, and belongs to nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Attaches a program before all others of an interface; until the end of the interface.
pub fn attach_tcx(program: BorrowedFd<'_>, interface: u32, kind: libbpf_sys::bpf_attach_type) {
    // SAFETY: without options, nothing but the numbers is read.
    let result = unsafe {
        libbpf_sys::bpf_prog_attach_opts(
            program.as_raw_fd(),
            interface as i32,
            kind,
            std::ptr::null(),
        )
    };
    assert_eq!(result, 0, "attach a program to interface {interface}");
}

/// The compiled programs, once for this run.
fn object_code() -> &'static [u8] {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    CODE.get_or_init(|| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let object = place.path().join("bridgewall.bpf.o");
        // The build script compiles what lies where it expects the packet path.
        let sources = place.path().join("src/bpf");
        std::fs::create_dir_all(&sources).expect("make a directory");
        std::fs::write(
            sources.join("bridgewall.bpf.c"),
            include_str!("peers.bpf.c"),
        )
        .expect("write a source");
        let status = Command::new(env!("BRIDGEWALL_BUILD_SCRIPT"))
            .current_dir(place.path())
            .env("OUT_DIR", place.path())
            .env("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH)
            .stdout(std::process::Stdio::null())
            .status()
            .expect("run the build script");
        assert!(status.success(), "the benchmark's programs do not compile");
        std::fs::read(object).expect("read the compiled programs")
    })
}
