//! A veth pair, the frames that go through it, and who drops them.

use std::fs;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bridgewall::state::networks::{Change, Placed};
use ipnet::IpNet;
use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, Xdp, XdpFlags};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::networks;
use crate::prefixes::{LENGTHS_V4, LENGTHS_V6};

/// Blocks for search trees.
pub const ROOM: u32 = 1 << 20;
/// Bytes of a frame, as in lists.bpf.c.
const FRAME: usize = 64;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;
/// The maps of the packet path that are used here; the others are not made.
const MAPS: [&str; 11] = [
    "active",
    "network_roots",
    "network_nodes",
    "denials",
    "sources",
    "plan",
    "seen",
    "trie",
    "lengths",
    "ranges",
    "range_count",
];

/// How a sender is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    None,
    Trees,
    LpmTrie,
    HashLengths,
    Binary,
}

/// Who drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Bare,
    Search(Search),
    Nft,
}

impl Program {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bare => "nothing but XDP_DROP",
            Self::Search(Search::None) => "reads the sender and drops",
            Self::Search(Search::Trees) => "bridgewall's search trees",
            Self::Search(Search::LpmTrie) => "LPM trie",
            Self::Search(Search::HashLengths) => "a hash for each of four lengths",
            Self::Search(Search::Binary) => "binary search in sorted ranges",
            Self::Nft => "nft set at netdev ingress",
        }
    }

    fn function(&self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Search(Search::None) => "parsed",
            Self::Search(Search::Trees) => "trees",
            Self::Search(Search::LpmTrie) => "lpm_trie",
            Self::Search(Search::HashLengths) => "hash_lengths",
            Self::Search(Search::Binary) => "binary_search",
            Self::Nft => "pass",
        }
    }
}

/// Everything from here on happens in a network namespace that ends with this process.
pub fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace: this needs root");
    let mut set = CpuSet::new();
    set.set(last_cpu()).expect("a CPU number");
    sched_setaffinity(Pid::from_raw(0), &set).expect("stay on one CPU");
}

fn last_cpu() -> usize {
    std::thread::available_parallelism().map_or(0, |count| count.get() - 1)
}

pub fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap_or_default())
        .args(words)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{command}");
}

pub struct Lab {
    object: Object,
    /// Where the frames come out.
    receiver: i32,
}

impl Lab {
    /// A veth pair, and a list in everything that can be searched.
    pub fn new(prefixes: &[IpNet], senders: &[IpAddr]) -> Self {
        let _ = Command::new("ip")
            .args(["link", "del", "sender"])
            .stderr(Stdio::null())
            .status();
        run("ip link add sender type veth peer name receiver");
        run("ip link set sender up");
        run("ip link set receiver up");
        let index = |name: &str| nix::net::if_::if_nametoindex(name).expect("it was just made");
        let lab = Self {
            object: load(prefixes),
            receiver: index("receiver") as i32,
        };
        lab.plan(senders, index("sender"));
        let none = Placed::default();
        let change = Placed::change(&none, &none, &networks(prefixes), ROOM).expect("room");
        lab.write(&change);
        // Internet, number 1, slot 0: denied by rule 1.
        lab.update("denials", &4_u32.to_ne_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0]);
        lab.fill_trie(prefixes);
        lab.fill_lengths(prefixes);
        if has("nft") {
            lab.fill_nft(prefixes);
        }
        lab
    }

    fn map(&self, name: &str) -> libbpf_rs::Map<'_> {
        let mut maps = self.object.maps();
        let map = maps.find(|map| map.name() == name);
        map.unwrap_or_else(|| panic!("no map {name}"))
    }

    fn program(&self, name: &str) -> BorrowedFd<'_> {
        let mut programs = self.object.progs();
        let program = programs.find(|program| program.name() == name);
        let program = program.unwrap_or_else(|| panic!("no program {name}"));
        // SAFETY: the object, which is borrowed as long, keeps the descriptor open.
        unsafe { BorrowedFd::borrow_raw(program.as_fd().as_raw_fd()) }
    }

    fn update(&self, map: &str, key: &[u8], value: &[u8]) {
        self.map(map)
            .update(key, value, MapFlags::ANY)
            .unwrap_or_else(|error| panic!("write to {map}: {error}"));
    }

    /// Many entries with few calls.
    fn fill(&self, map: &str, keys: &[u8], values: &[u8]) {
        let map = self.map(map);
        let (key, value) = (map.key_size() as usize, map.value_size() as usize);
        for (keys, values) in keys.chunks(key * 4096).zip(values.chunks(value * 4096)) {
            let count = (keys.len() / key) as u32;
            map.update_batch(keys, values, count, MapFlags::ANY, MapFlags::ANY)
                .expect("fill a map");
        }
    }

    fn plan(&self, senders: &[IpAddr], sender: u32) {
        let is_ipv4 = senders[0].is_ipv4();
        let mut bytes = frame(is_ipv4);
        let family = if is_ipv4 { 4 } else { 6 };
        for word in [senders.len() as u32, 0, family, sender] {
            bytes.extend(word.to_ne_bytes());
        }
        self.update("plan", &0_u32.to_ne_bytes(), &bytes);
        let keys: Vec<u8> = (0..senders.len() as u32).flat_map(u32::to_ne_bytes).collect();
        let values: Vec<u8> = senders.iter().flat_map(|&ip| mapped(ip)).collect();
        self.fill("sources", &keys, &values);
    }

    /// Does a change in slot 0, as the daemon would.
    pub fn write(&self, change: &Change) {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (first, tree) in &change.trees {
            for (index, node) in (*first..).zip(tree.nodes()) {
                keys.extend(index.to_ne_bytes());
                values.extend(node.0.iter().flat_map(|word| word.to_ne_bytes()));
            }
        }
        self.fill("network_nodes", &keys, &values);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (row, references) in &change.rows {
            keys.extend((row << 1).to_ne_bytes());
            values.extend(references.iter().flat_map(|value| value.to_ne_bytes()));
        }
        self.fill("network_roots", &keys, &values);
    }

    /// How long it takes, and what it takes of the kernel's memory.
    pub fn fill_trie(&self, prefixes: &[IpNet]) -> (Duration, u64) {
        let keys: Vec<u8> = prefixes.iter().flat_map(trie_key).collect();
        let began = Instant::now();
        self.fill("trie", &keys, &vec![1; prefixes.len() * 4]);
        let taken = began.elapsed();
        let fd = self.map("trie").as_fd().as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("read");
        let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let memory = memory.and_then(|text| text.trim().parse().ok());
        (taken, memory.expect("a map has a size"))
    }

    fn fill_lengths(&self, prefixes: &[IpNet]) {
        let keys: Vec<u8> = prefixes.iter().flat_map(trie_key).collect();
        self.fill("lengths", &keys, &vec![1; prefixes.len() * 4]);
        if prefixes[0].addr().is_ipv6() {
            return;
        }
        let mut firsts = vec![0_u64];
        let mut sorted = prefixes.to_vec();
        sorted.sort_unstable();
        for prefix in sorted {
            if let IpNet::V4(net) = prefix {
                let first = u64::from(net.network().to_bits());
                // What adjoins goes on.
                if firsts.last() == Some(&first) && firsts.len() > 1 {
                    firsts.pop();
                } else {
                    firsts.push(first);
                }
                firsts.push(u64::from(net.broadcast().to_bits()) + 1);
            }
        }
        let keys: Vec<u8> = (0..firsts.len() as u32).flat_map(u32::to_ne_bytes).collect();
        let values: Vec<u8> = firsts.iter().flat_map(|first| first.to_ne_bytes()).collect();
        self.fill("ranges", &keys, &values);
        let count = (firsts.len() as u32).to_ne_bytes();
        self.update("range_count", &0_u32.to_ne_bytes(), &count);
    }

    /// How long it takes to load the list, and to take one element out again.
    pub fn fill_nft(&self, prefixes: &[IpNet]) -> (Duration, Duration) {
        let (kind, header) = match prefixes[0] {
            IpNet::V4(_) => ("ipv4_addr", "ip"),
            IpNet::V6(_) => ("ipv6_addr", "ip6"),
        };
        let elements: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        let ruleset = format!(
            "table netdev lists {{ }}\ndelete table netdev lists\n\
             table netdev lists {{ set list {{ type {kind}; flags interval; elements = {{ {} }} }}\n\
             chain in {{ type filter hook ingress device receiver priority 0; {header} saddr @list drop }} }}\n",
            elements.join(", ")
        );
        let taken = nft(&ruleset);
        let last = elements.last().expect("an element");
        let changed = nft(&format!("delete element netdev lists list {{ {last} }}\n"));
        nft(&format!("add element netdev lists list {{ {last} }}\n"));
        (taken, changed)
    }

    pub fn fill_ipset(&self, prefixes: &[IpNet]) -> Duration {
        let family = if prefixes[0].addr().is_ipv4() { "inet" } else { "inet6" };
        let mut text = format!("create list hash:net family {family} maxelem 2000000\n");
        for prefix in prefixes {
            text += &format!("add list {prefix}\n");
        }
        let taken = feed(Command::new("ipset").arg("restore"), &text);
        run("ipset destroy list");
        taken
    }

    /// Nanoseconds of CPU time that a frame takes, all of which are dropped.
    pub fn cost(&self, program: &Program, packets: u32) -> f64 {
        let xdp = Xdp::new(self.program(program.function()));
        xdp.attach(self.receiver, XdpFlags::DRV_MODE)
            .expect("attach natively");
        let before = self.seen();
        let began = used();
        self.inject(packets);
        let cost = (used() - began).as_secs_f64() * 1e9 / f64::from(packets);
        let [passed, dropped] = [0, 1].map(|n| self.seen()[n] - before[n]);
        if *program != Program::Nft {
            assert_eq!(passed, 0, "{}: {dropped} dropped", program.name());
            assert!(
                dropped.abs_diff(packets.into()) < 64,
                "{}: {dropped} of {packets} dropped",
                program.name()
            );
        }
        xdp.detach(self.receiver, XdpFlags::DRV_MODE)
            .expect("detach");
        cost
    }

    fn seen(&self) -> [u64; 2] {
        [0_u32, 1].map(|index| {
            self.map("seen")
                .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
                .expect("read a counter")
                .expect("an array has all its entries")
                .iter()
                .map(|value| u64::from_ne_bytes(value[..8].try_into().expect("8 bytes")))
                .sum()
        })
    }

    fn inject(&self, packets: u32) {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, ...
        let mut context = [0_u32; 6];
        context[1] = FRAME as u32;
        context[3] = self.receiver as u32;
        let data = [0_u8; FRAME];
        // SAFETY: all fields of this C structure are integers and pointers, for which zero is a value.
        let mut options: libbpf_sys::bpf_test_run_opts =
            unsafe { MaybeUninit::zeroed().assume_init() };
        options.sz = size_of_val(&options) as _;
        options.data_in = data.as_ptr().cast();
        options.data_size_in = FRAME as u32;
        options.ctx_in = context.as_ptr().cast();
        options.ctx_size_in = size_of_val(&context) as u32;
        options.repeat = packets as i32;
        options.flags = LIVE_FRAMES;
        options.batch_size = 64;
        let fd = self.program("inject").as_raw_fd();
        // SAFETY: the descriptor is open, and the buffers are as long as it says and outlive the call.
        let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(fd, &mut options) };
        assert_eq!(result, 0, "inject frames");
    }
}

/// CPU time of this thread, and of the kernel's thread for packets that were left over.
fn used() -> Duration {
    static LEFTOVER: OnceLock<String> = OnceLock::new();
    let path = LEFTOVER.get_or_init(|| {
        let wanted = format!("ksoftirqd/{}\n", last_cpu());
        let entries = fs::read_dir("/proc").expect("list processes").flatten();
        let is_it = |entry: &fs::DirEntry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == wanted)
        };
        let found = entries.into_iter().find(is_it);
        let found = found.expect("the kernel has a thread for packets");
        found.path().join("schedstat").display().to_string()
    });
    let own = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("read a clock");
    let kernel = fs::read_to_string(path).expect("read a thread's statistics");
    let kernel = kernel.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from(own) + Duration::from_nanos(kernel.expect("nanoseconds"))
}

fn nft(ruleset: &str) -> Duration {
    feed(Command::new("nft").args(["-f", "-"]), ruleset)
}

fn feed(command: &mut Command, text: &str) -> Duration {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::piped()).spawn().expect("start it");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("tell it");
    drop(input);
    assert!(child.wait().is_ok_and(|status| status.success()));
    began.elapsed()
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn trie_key(prefix: &IpNet) -> Vec<u8> {
    let above = if prefix.addr().is_ipv4() { 96 } else { 0 };
    let mut key = (above + u32::from(prefix.prefix_len())).to_ne_bytes().to_vec();
    key.extend(mapped(prefix.addr()));
    key
}

/// A TCP segment with SYN, from somebody.
fn frame(is_ipv4: bool) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if is_ipv4 {
        bytes.extend([8, 0, 0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        bytes.extend([0, 0, 0, 0, 192, 0, 2, 1]);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 10, 6, 64]);
        bytes.extend([0; 16]);
        bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    bytes.resize(FRAME, 0);
    bytes
}

fn load(prefixes: &[IpNet]) -> Object {
    let lengths = match prefixes[0] {
        IpNet::V4(_) => LENGTHS_V4.map(|length| 96 + u32::from(length)),
        IpNet::V6(_) => LENGTHS_V6.map(u32::from),
    };
    let mut builder = ObjectBuilder::default();
    let mut open = builder.open_memory(object_code()).expect("open the programs");
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name == "network_nodes" {
            map.set_max_entries(ROOM).expect("size");
        } else if name == ".rodata" {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_ne_bytes()).collect();
            let mut value = map.initial_value().expect("constants").to_vec();
            value[..bytes.len()].copy_from_slice(&bytes);
            map.set_initial_value(&value).expect("set constants");
        } else if !MAPS.contains(&name.as_str()) {
            map.set_autocreate(false).expect("leave a map out");
        }
    }
    open.load().expect("load the programs")
}

/// The compiled programs, once for this run.
fn object_code() -> &'static [u8] {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    CODE.get_or_init(|| {
        let place = tempfile::tempdir().expect("a temporary directory");
        // The build script compiles what lies where it expects the packet path.
        let sources = place.path().join("src/bpf");
        fs::create_dir_all(&sources).expect("make a directory");
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bpf");
        for header in fs::read_dir(ours).expect("list the headers").flatten() {
            fs::copy(header.path(), sources.join(header.file_name())).expect("copy a header");
        }
        let main = sources.join("bridgewall.bpf.c");
        fs::write(main, include_str!("lists.bpf.c")).expect("write a source");
        let status = Command::new(env!("BRIDGEWALL_BUILD_SCRIPT"))
            .current_dir(place.path())
            .env("OUT_DIR", place.path())
            .env("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .status()
            .expect("run the build script");
        assert!(status.success(), "the benchmark's programs do not compile");
        fs::read(place.path().join("bridgewall.bpf.o")).expect("read the programs")
    })
}
