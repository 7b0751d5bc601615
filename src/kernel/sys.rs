//! The bpf system calls that libbpf-rs has no safe form of, in a safe form: descriptors in, values
//! out, errors as the kernel's.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{MapCore as _, MapHandle};

use super::bytes::Plain;
use crate::fault;

/// Which way packets go, seen from the host-side interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    /// What the endpoint sends.
    Ingress,
    /// What the endpoint receives.
    Egress,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn tcx(self) -> raw::bpf_attach_type {
        match self {
            Self::Ingress => raw::BPF_TCX_INGRESS,
            Self::Egress => raw::BPF_TCX_EGRESS,
        }
    }

    const fn clsact(self) -> raw::bpf_tc_attach_point {
        match self {
            Self::Ingress => raw::BPF_TC_INGRESS,
            Self::Egress => raw::BPF_TC_EGRESS,
        }
    }
}

/// libbpf returns a descriptor or `-errno`.
pub(super) fn descriptor(returned: c_int) -> io::Result<OwnedFd> {
    if returned < 0 {
        return Err(io::Error::from_raw_os_error(-returned));
    }
    // SAFETY: a descriptor that a bpf call has just returned belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(returned) })
}

/// libbpf returns 0 or `-errno`.
fn done(returned: c_int) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::from_raw_os_error(-returned))
    } else {
        Ok(())
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path with a NUL byte"))
}

fn index(ifindex: u32) -> io::Result<c_int> {
    c_int::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(nix::libc::ENODEV))
}

/// Pins an object where nothing is yet.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    fault::step("pin an object")?;
    let path = c_path(path)?;
    // SAFETY: the path is a C string that outlives the call.
    done(unsafe { raw::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) })
}

/// Opens a pinned object, of whatever kind.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    fault::step("open a pin")?;
    let path = c_path(path)?;
    // SAFETY: the path is a C string that outlives the call.
    descriptor(unsafe { raw::bpf_obj_get(path.as_ptr()) })
}

/// What the kernel says of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    pub(super) id: u32,
    /// A digest of its instructions, without the values of its read-only data.
    pub(super) tag: [u8; 8],
    /// The maps it uses.
    pub(super) maps: Vec<u32>,
    /// How many instructions the verifier looked at.
    pub(super) verified_instructions: u32,
}

/// What the kernel says of a program.
pub(super) fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    fault::step("ask about a program")?;
    // More maps than we have; the kernel says how many there are.
    let mut maps = vec![0_u32; 64];
    let mut info = raw::bpf_prog_info {
        nr_map_ids: 64,
        map_ids: maps.as_mut_ptr() as u64,
        ..Default::default()
    };
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` and `size` are valid for writes of that size, and `map_ids` for as many words as
    // `nr_map_ids` says.
    done(unsafe { raw::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut size) })?;
    maps.truncate(info.nr_map_ids as usize);
    Ok(ProgramInfo {
        id: info.id,
        tag: info.tag,
        maps,
        verified_instructions: info.verified_insns,
    })
}

/// Runs a program that user space may run, once; the context is what it reads and writes. Returns what
/// it returned.
pub(super) fn run_with_context<T: Plain>(
    program: BorrowedFd<'_>,
    context: &mut T,
) -> io::Result<u32> {
    // SAFETY: a C struct of integers and pointers: all zeroes is a value.
    let mut options: raw::bpf_test_run_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.ctx_in = std::ptr::from_mut(context).cast::<c_void>();
    options.ctx_size_in = size_of::<T>() as u32;
    // SAFETY: `options` and what it points to outlive the call; the kernel writes back as many bytes as
    // it read, and `Plain` promises that any bytes are a value.
    done(unsafe { raw::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) })?;
    Ok(options.retval)
}

/// What the kernel says of a tcx link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkInfo {
    pub(super) program: u32,
    /// 0: the interface is gone, and the link with it.
    pub(super) ifindex: u32,
}

/// What the kernel says of a tcx link; `None` for another kind of link.
pub(super) fn tcx_link_info(link: BorrowedFd<'_>) -> io::Result<Option<LinkInfo>> {
    fault::step("ask about a link")?;
    let mut info = raw::bpf_link_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` and `size` are valid for writes of that size.
    done(unsafe { raw::bpf_link_get_info_by_fd(link.as_raw_fd(), &mut info, &mut size) })?;
    if info.type_ != raw::BPF_LINK_TYPE_TCX {
        return Ok(None);
    }
    Ok(Some(LinkInfo {
        program: info.prog_id,
        // SAFETY: the kernel fills this member for the type that it gave, just checked.
        ifindex: unsafe { info.__bindgen_anon_1.tcx.ifindex },
    }))
}

/// Attaches a program by tcx, before all others that are there.
pub(super) fn attach_tcx(
    program: BorrowedFd<'_>,
    ifindex: u32,
    direction: Direction,
) -> io::Result<OwnedFd> {
    fault::step("attach by tcx")?;
    // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
    let mut options: raw::bpf_link_create_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.flags = raw::BPF_F_BEFORE;
    // SAFETY: `options` outlives the call.
    descriptor(unsafe {
        raw::bpf_link_create(
            program.as_raw_fd(),
            index(ifindex)?,
            direction.tcx(),
            &options,
        )
    })
}

/// What the kernel says of an XDP link; `None` for another kind of link.
pub(super) fn xdp_link_info(link: BorrowedFd<'_>) -> io::Result<Option<LinkInfo>> {
    fault::step("ask about a link")?;
    let mut info = raw::bpf_link_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: `info` and `size` are valid for writes of that size.
    done(unsafe { raw::bpf_link_get_info_by_fd(link.as_raw_fd(), &mut info, &mut size) })?;
    if info.type_ != raw::BPF_LINK_TYPE_XDP {
        return Ok(None);
    }
    Ok(Some(LinkInfo {
        program: info.prog_id,
        // SAFETY: the kernel fills this member for the type that it gave, just checked.
        ifindex: unsafe { info.__bindgen_anon_1.xdp.ifindex },
    }))
}

/// Attaches a program by XDP, in the driver or behind it. Where there is one already, the kernel
/// refuses.
pub(super) fn attach_xdp(
    program: BorrowedFd<'_>,
    ifindex: u32,
    generic: bool,
) -> io::Result<OwnedFd> {
    fault::step("attach by XDP")?;
    // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
    let mut options: raw::bpf_link_create_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.flags = if generic {
        raw::XDP_FLAGS_SKB_MODE
    } else {
        raw::XDP_FLAGS_DRV_MODE
    };
    // SAFETY: `options` outlives the call.
    descriptor(unsafe {
        raw::bpf_link_create(program.as_raw_fd(), index(ifindex)?, raw::BPF_XDP, &options)
    })
}

/// Puts another program in a link's place, without a moment in between.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    fault::step("update a link")?;
    // SAFETY: no options are allowed.
    done(unsafe { raw::bpf_link_update(link.as_raw_fd(), program.as_raw_fd(), std::ptr::null()) })
}

/// Takes a link off its interface, whoever still holds it.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    fault::step("detach a link")?;
    // SAFETY: only a descriptor is passed.
    done(unsafe { raw::bpf_link_detach(link.as_raw_fd()) })
}

/// The programs on an interface's tcx hook, in the order in which they run.
pub(super) fn query_tcx(ifindex: u32, direction: Direction) -> io::Result<Vec<u32>> {
    fault::step("list tcx programs")?;
    // The kernel's own limit for one hook (BPF_MPROG_MAX).
    let mut programs = vec![0_u32; 64];
    // SAFETY: a C struct of integers, pointers and unions of them: all zeroes is a value.
    let mut options: raw::bpf_prog_query_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.prog_ids = programs.as_mut_ptr();
    options.__bindgen_anon_1.count = 64;
    // SAFETY: `options` outlives the call, and `prog_ids` points to as many words as `count` says.
    done(unsafe { raw::bpf_prog_query_opts(index(ifindex)?, direction.tcx(), &mut options) })?;
    // SAFETY: both members of the union are the same integer.
    programs.truncate(unsafe { options.__bindgen_anon_1.count } as usize);
    Ok(programs)
}

/// Where our filters stand among those of an interface's clsact: first of all preferences, at a
/// handle that nobody else is likely to use.
const FILTER_PRIORITY: u32 = 1;
const FILTER_HANDLE: u32 = 0xb41d;

fn hook(ifindex: u32, point: raw::bpf_tc_attach_point) -> io::Result<raw::bpf_tc_hook> {
    Ok(raw::bpf_tc_hook {
        sz: size_of::<raw::bpf_tc_hook>() as raw::size_t,
        ifindex: index(ifindex)?,
        attach_point: point,
        ..Default::default()
    })
}

fn filter() -> raw::bpf_tc_opts {
    raw::bpf_tc_opts {
        sz: size_of::<raw::bpf_tc_opts>() as raw::size_t,
        handle: FILTER_HANDLE,
        priority: FILTER_PRIORITY,
        ..Default::default()
    }
}

/// Gives an interface a clsact queueing discipline. `false`: it has one.
pub(super) fn create_clsact(ifindex: u32) -> io::Result<bool> {
    fault::step("make a clsact discipline")?;
    let mut hook = hook(ifindex, raw::BPF_TC_INGRESS | raw::BPF_TC_EGRESS)?;
    // SAFETY: `hook` outlives the call.
    match done(unsafe { raw::bpf_tc_hook_create(&mut hook) }) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        result => result.map(|()| true),
    }
}

/// Takes an interface's clsact queueing discipline away, with all filters, whosever they are.
pub(super) fn destroy_clsact(ifindex: u32) -> io::Result<()> {
    fault::step("remove a clsact discipline")?;
    let mut hook = hook(ifindex, raw::BPF_TC_INGRESS | raw::BPF_TC_EGRESS)?;
    // SAFETY: `hook` outlives the call.
    match done(unsafe { raw::bpf_tc_hook_destroy(&mut hook) }) {
        // There is none: the interface's number is another one's now.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(nix::libc::ENOENT | nix::libc::EINVAL)
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Puts a program in our filter's place, without a moment in between if there is one already.
pub(super) fn attach_clsact(
    program: BorrowedFd<'_>,
    ifindex: u32,
    direction: Direction,
    replace: bool,
) -> io::Result<()> {
    fault::step("attach by clsact")?;
    let hook = hook(ifindex, direction.clsact())?;
    let mut filter = filter();
    filter.prog_fd = program.as_raw_fd();
    filter.flags = if replace { raw::BPF_TC_F_REPLACE } else { 0 };
    // SAFETY: both outlive the call.
    done(unsafe { raw::bpf_tc_attach(&hook, &mut filter) })
}

/// The program at our filter's place, if there is one, whosever it is.
pub(super) fn query_clsact(ifindex: u32, direction: Direction) -> io::Result<Option<u32>> {
    fault::step("ask about a filter")?;
    let hook = hook(ifindex, direction.clsact())?;
    let mut filter = filter();
    // SAFETY: both outlive the call.
    match done(unsafe { raw::bpf_tc_query(&hook, &mut filter) }) {
        Ok(()) => Ok(Some(filter.prog_id)),
        // Without the discipline the kernel says EINVAL, without the filter ENOENT.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(nix::libc::ENOENT | nix::libc::EINVAL)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Removes what is at our filter's place.
pub(super) fn detach_clsact(ifindex: u32, direction: Direction) -> io::Result<()> {
    fault::step("detach a filter")?;
    let hook = hook(ifindex, direction.clsact())?;
    let filter = filter();
    // SAFETY: both outlive the call.
    done(unsafe { raw::bpf_tc_detach(&hook, &filter) })
}

/// Room for where a batched reading has come to: hash maps use four bytes, other maps a key.
const BATCH_TOKEN: usize = 64;

/// A batched reading of a map that is not per CPU.
pub(super) struct BatchReader<'map> {
    map: &'map MapHandle,
    /// Where the next batch begins, as the kernel wants it.
    position: Option<[u8; BATCH_TOKEN]>,
    keys: Vec<u8>,
    values: Vec<u8>,
    room: u32,
    finished: bool,
}

impl<'map> BatchReader<'map> {
    /// More than any bucket of a map in good health holds.
    const ROOM: u32 = 2048;

    pub(super) fn new(map: &'map MapHandle) -> io::Result<Self> {
        if map.map_type().is_percpu() || map.key_size() as usize > BATCH_TOKEN {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        Ok(Self {
            map,
            position: None,
            keys: Vec::new(),
            values: Vec::new(),
            room: Self::ROOM,
            finished: false,
        })
    }

    /// Calls `each` with the keys and values of the next batch. Whether there was one.
    pub(super) fn next(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<bool> {
        if self.finished {
            return Ok(false);
        }
        let key_size = self.map.key_size() as usize;
        let value_size = self.map.value_size() as usize;
        let count = loop {
            self.keys.resize(self.room as usize * key_size, 0);
            self.values.resize(self.room as usize * value_size, 0);
            match self.read() {
                Ok(count) => break count as usize,
                // One bucket has more than there is room for; nothing was lost.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOSPC) => self.room *= 2,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let keys = self.keys.chunks_exact(key_size);
        let values = self.values.chunks_exact(value_size);
        for (key, value) in keys.zip(values).take(count) {
            each(key, value);
        }
        Ok(true)
    }

    fn read(&mut self) -> io::Result<u32> {
        fault::step("read a map")?;
        let mut count = self.room;
        let mut next = [0_u8; BATCH_TOKEN];
        let from = match &mut self.position {
            Some(token) => token.as_mut_ptr().cast(),
            None => std::ptr::null_mut::<c_void>(),
        };
        let options = raw::bpf_map_batch_opts {
            sz: size_of::<raw::bpf_map_batch_opts>() as raw::size_t,
            ..Default::default()
        };
        // SAFETY: keys and values have room for `count` entries of this map's sizes, which is not per
        // CPU; the tokens are at least as large as its keys, as was checked when this was made.
        let returned = unsafe {
            raw::bpf_map_lookup_batch(
                self.map.as_fd().as_raw_fd(),
                from,
                next.as_mut_ptr().cast(),
                self.keys.as_mut_ptr().cast(),
                self.values.as_mut_ptr().cast(),
                &mut count,
                &options,
            )
        };
        match done(returned) {
            Ok(()) => self.position = Some(next),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.finished = true,
            Err(error) => return Err(error),
        }
        Ok(count)
    }
}

/// Waits until no program that runs now runs any more.
#[derive(Debug)]
pub(super) struct ReaderBarrier {
    maps: Arc<BarrierMaps>,
    /// A wait that has begun.
    pending: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct BarrierMaps {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl ReaderBarrier {
    pub(super) fn new() -> io::Result<Self> {
        let inner = create_map(raw::BPF_MAP_TYPE_ARRAY, None, 0)?;
        let outer = create_map(raw::BPF_MAP_TYPE_ARRAY_OF_MAPS, Some(inner.as_fd()), 0)?;
        Ok(Self {
            maps: Arc::new(BarrierMaps { outer, inner }),
            pending: None,
        })
    }

    /// Begins to wait, from now on: whoever asks later finds it done, most of the time.
    pub(super) fn begin(&mut self) {
        let maps = Arc::clone(&self.maps);
        let thread = thread::Builder::new().name("readers".to_owned());
        // Without a thread, whoever asks waits.
        self.pending = thread.spawn(move || maps.wait()).ok();
    }

    /// Waits until what ran when this was asked, or when the last wait was begun, runs no more.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        fault::step("wait for readers")?;
        match self.pending.take().map(JoinHandle::join) {
            Some(Ok(Ok(()))) => Ok(()),
            _ => self.maps.wait(),
        }
    }
}

impl BarrierMaps {
    /// An update of a map of maps returns only when all programs that may have seen its old value have
    /// ended (`maybe_wait_bpf_programs` in kernel/bpf/syscall.c: it is promised to user space since
    /// Linux 5.0). membarrier(2) does the same, but not on kernels with `nohz_full`.
    fn wait(&self) -> io::Result<()> {
        let key = 0_u32;
        let value = self.inner.as_raw_fd();
        // SAFETY: key and value are the four bytes that such a map has.
        done(unsafe {
            raw::bpf_map_update_elem(
                self.outer.as_raw_fd(),
                std::ptr::from_ref(&key).cast(),
                std::ptr::from_ref(&value).cast(),
                0,
            )
        })
    }
}

/// Whether there are maps at all. Asked first, for the answer also tells whether we may make any.
pub(super) fn has_maps() -> io::Result<bool> {
    create_map(raw::BPF_MAP_TYPE_ARRAY, None, 0).map(|_| true)
}

/// Whether user space can map an array into its memory.
pub(super) fn has_mapped_arrays() -> io::Result<bool> {
    accepted(create_map(raw::BPF_MAP_TYPE_ARRAY, None, raw::BPF_F_MMAPABLE).map(drop))
}

/// Whether many entries of a map can be read at once.
pub(super) fn has_batched_reads() -> io::Result<bool> {
    let map = create_map(raw::BPF_MAP_TYPE_HASH, None, raw::BPF_F_NO_PREALLOC)?;
    let (mut next, mut keys, mut values, mut count) = ([0_u32; 1], [0_u32; 1], [0_u32; 1], 1);
    // SAFETY: keys and values have room for one entry of the map, as `count` says, and the token for
    // what a hash map puts there; no options are allowed.
    let returned = unsafe {
        raw::bpf_map_lookup_batch(
            map.as_raw_fd(),
            std::ptr::null_mut(),
            next.as_mut_ptr().cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &mut count,
            std::ptr::null(),
        )
    };
    match done(returned) {
        // An empty map has no first entry.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        other => accepted(other),
    }
}

/// Whether there are ring buffers.
pub(super) fn has_ring_buffers() -> io::Result<bool> {
    // SAFETY: no options are allowed.
    probed(unsafe { raw::libbpf_probe_bpf_map_type(raw::BPF_MAP_TYPE_RINGBUF, std::ptr::null()) })
}

/// Whether programs can ask for the coarse clock.
pub(super) fn has_coarse_clock() -> io::Result<bool> {
    has_helper(raw::BPF_FUNC_ktime_get_coarse_ns)
}

/// Whether programs can leave loops to the kernel.
pub(super) fn has_loops() -> io::Result<bool> {
    has_helper(raw::BPF_FUNC_loop)
}

fn has_helper(helper: raw::bpf_func_id) -> io::Result<bool> {
    // SAFETY: no options are allowed.
    probed(unsafe {
        raw::libbpf_probe_bpf_helper(raw::BPF_PROG_TYPE_SCHED_CLS, helper, std::ptr::null())
    })
}

/// libbpf's probes return 0, 1 or `-errno`.
fn probed(returned: c_int) -> io::Result<bool> {
    match returned {
        0 => Ok(false),
        1.. => Ok(true),
        _ => done(returned).map(|()| false),
    }
}

/// EINVAL is what a kernel says of what it does not know.
fn accepted(tried: io::Result<()>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error),
    }
}

/// A map of one entry: 32 bits, or another map.
fn create_map(
    kind: raw::bpf_map_type,
    inner: Option<BorrowedFd<'_>>,
    flags: u32,
) -> io::Result<OwnedFd> {
    fault::step("make a map")?;
    // SAFETY: a C struct of integers and pointers: all zeroes is a value.
    let mut options: raw::bpf_map_create_opts = unsafe { zeroed() };
    options.sz = size_of_val(&options) as raw::size_t;
    options.map_flags = flags;
    if let Some(inner) = inner {
        options.inner_map_fd = inner.as_raw_fd() as u32;
    }
    // SAFETY: the name is a C string, and `options` outlives the call.
    descriptor(unsafe { raw::bpf_map_create(kind, c"bw_small".as_ptr(), 4, 4, 1, &options) })
}
