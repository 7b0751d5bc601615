//! What the kernel says of every program: each one, in every shape that its constants can take, loads
//! within its budget and is attached, a template to an interface and a body to its place in the table of
//! bodies. Needs root.
//!
//! Two variables serve `scripts/kernel-matrix`: `BRIDGEWALL_OBJECTS` names a folder of objects, one a
//! compiler (`clang-16.o`), to be measured in place of this build's own; `BRIDGEWALL_MEASURED` names a
//! file for what was measured, one line a program (see [`Measured::line`]).

use std::ffi::{CStr, c_void};
use std::io::Write;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use bridgewall::kernel::abi;
use libbpf_rs::{
    AsRawLibbpf, MapCore, MapFlags, Object, ObjectBuilder, OpenObject, Program, ProgramType,
};
use nix::time::{ClockId, clock_gettime};

use hooks::Veth;

mod hooks;
mod stack;

/// Every body stays below this many verified instructions; the kernel's own limit is a million.
const BODY_BUDGET: u32 = 100_000;

/// Every template does: one is verified for each interface.
const TEMPLATE_BUDGET: u32 = 2_000;

/// The verifier's log shall hold its statistics, nothing else (`BPF_LOG_STATS`,
/// include/linux/bpf_verifier.h).
const LOG_STATISTICS: u32 = 4;

/// It shall hold what the verifier walked through until it refused (`BPF_LOG_LEVEL1`).
const LOG_PATHS: u32 = 1;

/// Room for the longest log; what is not written costs no memory.
const LOG_BYTES: usize = 32 << 20;

#[test]
fn every_program_loads_in_every_shape_within_its_budget_and_is_attached() {
    let mut complaints = Vec::new();
    let mut lines = String::new();
    let veth = Veth::new();
    for (compiler, path) in objects() {
        let bytes =
            fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let maps = Maps::create(&bytes);
        let programs = program_names(&bytes);
        for kind in [Kind::Template, Kind::Body] {
            assert!(
                programs.iter().any(|name| Kind::of(name) == kind),
                "{compiler}: no {kind:?} among {programs:?}"
            );
        }
        for name in programs {
            match measure(&bytes, &maps, &veth, &name) {
                Ok(measured) => {
                    lines += &measured.line(&compiler, &name);
                    let budget = Kind::of(&name).budget();
                    if measured.instructions > budget {
                        complaints.push(format!(
                            "{compiler}: {name}: {} verified instructions, the budget is {budget} ({})",
                            measured.instructions, measured.shape
                        ));
                    }
                }
                Err(complaint) => complaints.push(format!("{compiler}: {complaint}")),
            }
        }
    }
    report(&lines);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What decides a program's budget and its shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Template,
    Body,
}

impl Kind {
    /// Bodies say so in their name, and the XDP program, which all uplinks share, is as good as one.
    /// Anything else is held to the tighter budget.
    fn of(program: &str) -> Self {
        if program.ends_with("_body") || program.ends_with("_xdp") {
            Self::Body
        } else {
            Self::Template
        }
    }

    fn budget(self) -> u32 {
        match self {
            Self::Template => TEMPLATE_BUDGET,
            Self::Body => BODY_BUDGET,
        }
    }
}

/// Constants that make the verifier see a different program.
struct Shape {
    mark_shift: u32,
    endpoint: abi::endpoint_constants,
}

impl Shape {
    /// All of a kind: each switch on and off, each list empty and full.
    fn all(kind: Kind) -> Vec<Self> {
        let endpoints = match kind {
            Kind::Template => every_endpoint(),
            Kind::Body => vec![abi::endpoint_constants::default()],
        };
        let with_marks = |endpoint| {
            [0, 16].map(|mark_shift| Self {
                mark_shift,
                endpoint,
            })
        };
        endpoints.into_iter().flat_map(with_marks).collect()
    }

    fn describe(&self) -> String {
        let shift = format!("mark_shift {}", self.mark_shift);
        if self.endpoint.number == 0 {
            return shift;
        }
        let named = self.endpoint.flags & NAMED != 0;
        format!(
            "{shift}, {}, {} IPv4, {} IPv6",
            if named { "named" } else { "unnamed" },
            self.endpoint.ipv4_count,
            self.endpoint.ipv6_count
        )
    }

    /// Writes the constants into an object that is not loaded yet.
    fn patch(&self, object: &mut OpenObject) {
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let Some(data) = map.initial_value_mut() else {
                continue;
            };
            if name == ".rodata.endpoint" {
                assert_eq!(data.len(), size_of::<abi::endpoint_constants>());
                // SAFETY: the section holds this one struct of plain numbers, as the length confirms.
                unsafe {
                    data.as_mut_ptr()
                        .cast::<abi::endpoint_constants>()
                        .write_unaligned(self.endpoint)
                };
            } else if name.ends_with(".rodata") {
                assert!(data.len() >= size_of::<abi::rodata>());
                let at = offset_of!(abi::rodata, settings.mark_shift);
                data[at..at + 4].copy_from_slice(&self.mark_shift.to_ne_bytes());
            }
        }
    }
}

const NAMED: u32 = abi::endpoint_flag::ENDPOINT_NAMED.0;

fn every_endpoint() -> Vec<abi::endpoint_constants> {
    let full = abi::endpoint_constants::default().ipv4.len() as u32;
    let mut endpoints = Vec::new();
    for flags in [0, NAMED] {
        for ipv4_count in [0, full] {
            for ipv6_count in [0, full] {
                let mut endpoint = abi::endpoint_constants {
                    number: 7,
                    flags,
                    mac: [0x02, 0x42, 10, 77, 0, 7],
                    ipv4_count,
                    ipv6_count,
                    ..Default::default()
                };
                for (n, address) in (0..ipv4_count).zip(&mut endpoint.ipv4) {
                    *address = (0x0a4d_0007 + n).to_be();
                }
                for (n, address) in (0..ipv6_count).zip(&mut endpoint.ipv6) {
                    address.word = [0xfd77_0000_u32.to_be(), 0, 0, (7 + n).to_be()];
                }
                endpoints.push(endpoint);
            }
        }
    }
    endpoints
}

/// The dearest shape of one program.
struct Measured {
    instructions: u32,
    /// Bytes, of the deepest chain of calls.
    stack: u32,
    /// Verification and translation to machine code.
    time: Duration,
    shape: String,
    shapes: usize,
}

impl Measured {
    /// Columns, separated by tabs: compiler, program, number of shapes, and of the dearest shape the
    /// verified instructions, stack, microseconds to load, description.
    fn line(&self, compiler: &str, program: &str) -> String {
        format!(
            "{compiler}\t{program}\t{}\t{}\t{}\t{}\t{}\n",
            self.shapes,
            self.instructions,
            self.stack,
            self.time.as_micros(),
            self.shape
        )
    }
}

/// Loads a program in all its shapes.
fn measure(object: &[u8], maps: &Maps, veth: &Veth, program: &str) -> Result<Measured, String> {
    let shapes = Shape::all(Kind::of(program));
    let mut dearest: Option<Measured> = None;
    for shape in &shapes {
        let mut measured = load(object, maps, veth, program, shape)
            .map_err(|error| format!("{program} ({}): {error}", shape.describe()))?;
        measured.shapes = shapes.len();
        if dearest
            .as_ref()
            .is_none_or(|d| d.instructions < measured.instructions)
        {
            dearest = Some(measured);
        }
    }
    Ok(dearest.expect("every kind has shapes"))
}

fn load(
    bytes: &[u8],
    maps: &Maps,
    veth: &Veth,
    program: &str,
    shape: &Shape,
) -> Result<Measured, String> {
    let attempt = Attempt::make(bytes, maps, program, shape, LOG_STATISTICS);
    let loaded = attempt.loaded.map_err(|error| {
        let again = Attempt::make(bytes, maps, program, shape, LOG_PATHS);
        format!("{error:#}\n{}", last_lines(&again.log, 60))
    })?;
    let program = loaded
        .progs()
        .find(|candidate| candidate.name() == program)
        .expect("it was loaded");
    let info = info(&program);
    match Kind::of(&program.name().to_string_lossy()) {
        Kind::Template => veth.attach(&program)?,
        // The daemon runs it: it is attached to nothing.
        Kind::Body if program.prog_type() == ProgramType::Syscall => {}
        Kind::Body if program.prog_type() == ProgramType::Xdp => veth.attach_xdp(&program)?,
        Kind::Body => maps.place(&program)?,
    }
    Ok(Measured {
        instructions: info.verified_insns,
        stack: stack::deepest(&attempt.log, program.insns()).ok_or_else(|| {
            format!(
                "no stack depth of this program in the log:\n{}",
                attempt.log
            )
        })?,
        time: attempt
            .end
            .saturating_sub(Duration::from_nanos(info.load_time)),
        shape: shape.describe(),
        shapes: 1,
    })
}

/// One program, handed to the verifier.
struct Attempt {
    loaded: libbpf_rs::Result<Object>,
    log: String,
    /// When it was over.
    end: Duration,
}

impl Attempt {
    fn make(bytes: &[u8], maps: &Maps, program: &str, shape: &Shape, log_level: u32) -> Self {
        let mut object = open(bytes);
        shape.patch(&mut object);
        maps.share_with(&mut object);
        let mut log = vec![0_u8; LOG_BYTES];
        for mut candidate in object.progs_mut() {
            let wanted = candidate.name() == program;
            candidate.set_autoload(wanted);
            if wanted {
                candidate.set_log_level(log_level);
                let pointer = candidate.as_libbpf_object().as_ptr();
                // SAFETY: the program is not loaded yet, and the buffer outlives the load below.
                let code = unsafe {
                    libbpf_sys::bpf_program__set_log_buf(
                        pointer,
                        log.as_mut_ptr().cast(),
                        log.len() as u64,
                    )
                };
                assert_eq!(code, 0, "set the log buffer of {program}");
            }
        }
        let loaded = object.load();
        let end = uptime();
        let log = CStr::from_bytes_until_nul(&log).unwrap_or_default();
        Self {
            loaded,
            log: log.to_string_lossy().into_owned(),
            end,
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// What the kernel knows of a loaded program. Its `load_time` is when verification began.
fn info(program: &Program<'_>) -> libbpf_sys::bpf_prog_info {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: the kernel writes at most `length` bytes into `info`, a struct of plain numbers; the
    // descriptor is open.
    let code = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(
            program.as_fd().as_raw_fd(),
            (&raw mut info).cast::<c_void>(),
            &raw mut length,
        )
    };
    assert_eq!(code, 0, "ask for the program's info");
    info
}

/// The clock of `load_time`.
fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .expect("read the clock")
        .into()
}

/// The maps of an object, made once: they are the same for every program and shape.
struct Maps(Object);

impl Maps {
    fn create(bytes: &[u8]) -> Self {
        let mut object = open(bytes);
        for mut program in object.progs_mut() {
            program.set_autoload(false);
        }
        Self(
            object
                .load()
                .expect("create the maps: these tests need root"),
        )
    }

    /// Puts a body into the table that templates jump by, and takes it out again.
    fn place(&self, body: &Program<'_>) -> Result<(), String> {
        let table = self.0.maps().find(|map| map.name() == "bodies");
        let table = table.expect("there is a table of bodies");
        let (place, value) = (0_u32.to_ne_bytes(), body.as_fd().as_raw_fd().to_ne_bytes());
        table
            .update(&place, &value, MapFlags::ANY)
            .and_then(|()| table.delete(&place))
            .map_err(|error| format!("put it into its place: {error:#}"))
    }

    /// All but the constants, which every load has of its own.
    fn share_with(&self, object: &mut OpenObject) {
        for mut map in object.maps_mut() {
            if map.initial_value().is_some() {
                continue;
            }
            let shared = self.0.maps().find(|shared| shared.name() == map.name());
            let shared = shared.expect("the same object has the same maps");
            map.reuse_fd(shared.as_fd()).expect("share a map");
        }
    }
}

fn open(bytes: &[u8]) -> OpenObject {
    ObjectBuilder::default()
        .open_memory(bytes)
        .expect("open the object")
}

fn program_names(bytes: &[u8]) -> Vec<String> {
    let object = open(bytes);
    object
        .progs()
        .map(|program| program.name().to_string_lossy().into_owned())
        .collect()
}

/// What to measure: names of compilers and their objects.
fn objects() -> Vec<(String, PathBuf)> {
    let Some(folder) = env::var_os("BRIDGEWALL_OBJECTS") else {
        let own = Path::new(env!("OUT_DIR")).join("bridgewall.bpf.o");
        return vec![("this build".to_owned(), own)];
    };
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    let mut objects: Vec<_> = entries
        .map(|entry| entry.expect("read a folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .map(|path| {
            (
                path.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                path,
            )
        })
        .collect();
    objects.sort();
    assert!(!objects.is_empty(), "no objects in {}", folder.display());
    objects
}

fn report(lines: &str) {
    match env::var_os("BRIDGEWALL_MEASURED") {
        Some(path) => fs::write(&path, lines)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display())),
        None => {
            let _ = std::io::stdout().write_all(lines.as_bytes());
        }
    }
}
