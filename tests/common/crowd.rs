//! A host with a crowd of containers, made quickly: a bridge in a network namespace, and a namespace
//! with a veth for each container. What daemons do with it is measured in CPU time of theirs.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use bridgewall::inventory::netlink::Link;
use bridgewall::netlink::Netlink;

use super::namespace::Namespace;
use super::place::Place;

/// The default of `guard.group`.
const GROUP: u32 = 46_109;

/// How long all this may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Containers of one identity have this many of one name's beginning.
pub const IDENTITIES: usize = 20;

/// What bridgewall.toml says of such a host.
pub const CONFIGURATION: &str = "[docker]\nenabled = false\n\n[bridges]\nmanaged = [\"br0\"]\n";

/// The host, and its containers in the order in which they were made.
pub struct Crowd {
    containers: Vec<Container>,
    place: Arc<Place>,
    made: usize,
}

struct Container {
    name: String,
    namespace: Namespace,
}

impl Crowd {
    /// One with so many containers.
    pub fn new(containers: usize) -> Self {
        let namespace = Namespace::create();
        namespace.ip(
            "link add br0 address 02:bb:00:00:00:00 type bridge mcast_snooping 0
             addr add 10.77.0.1/16 dev br0
             link set br0 up",
        );
        let mut crowd = Self {
            containers: Vec::new(),
            place: Arc::new(Place::new(namespace)),
            made: 0,
        };
        crowd.add(containers);
        crowd
    }

    /// Where a daemon can run.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// So many more, connected with one `ip` each way.
    pub fn add(&mut self, count: usize) {
        let mut batch = String::new();
        let new: Vec<_> = (0..count).map(|_| self.make(&mut batch)).collect();
        self.place.namespace.ip(&batch);
        self.containers.extend(new);
    }

    fn make(&mut self, batch: &mut String) -> Container {
        self.made += 1;
        let n = self.made;
        let name = format!("i{}n{n}", n % IDENTITIES);
        let namespace = bare_namespace();
        let (high, low) = (n / 250, n % 250 + 2);
        let _ = write!(
            batch,
            "link add {name} type veth peer name eth0 address 02:42:0a:4d:{high:02x}:{low:02x} netns {}\n\
             link set {name} master br0 up\n",
            namespace.path().display(),
        );
        Container { name, namespace }
    }

    /// Gives each container its address.
    pub fn address(&self) {
        for (index, container) in self.containers.iter().enumerate() {
            let n = index + 1 + self.made - self.containers.len();
            let (high, low) = (n / 250, n % 250 + 2);
            container.namespace.ip(&format!(
                "addr add 10.77.{high}.{low}/16 dev eth0\nlink set eth0 up"
            ));
        }
    }

    /// Takes away the oldest ones.
    pub fn remove(&mut self, count: usize) {
        let mut batch = String::new();
        // A namespace takes its interface with it when it goes, so it goes later.
        let oldest: Vec<_> = self.containers.drain(..count).collect();
        for container in &oldest {
            let _ = writeln!(batch, "link del {}", container.name);
        }
        self.place.namespace.ip(&batch);
    }

    /// Waits until all of them carry the mark that says that they are armed.
    pub fn await_armed(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut netlink = self
            .place
            .namespace
            .inside(|| Netlink::open().expect("netlink"));
        let armed = |links: Vec<Link>| links.iter().filter(|link| link.group == GROUP).count();
        while armed(netlink.links().expect("links")) < self.containers.len() {
            assert!(Instant::now() < deadline, "not all are armed in time");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Without the settings that tests want: only a namespace.
fn bare_namespace() -> Namespace {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("unshare a network namespace");
            Namespace::current()
        });
        made.join().expect("a network namespace")
    })
}

/// A policy of so many rules between the identities of such a host.
pub fn policy(rules: usize) -> String {
    let mut text = String::from("[defaults]\ningress = \"deny\"\negress = \"allow\"\n");
    for identity in 0..IDENTITIES {
        let _ = write!(
            text,
            "\n[identities.id{identity}]\ninterface = \"i{identity}n*\"\n"
        );
    }
    for rule in 0..rules {
        let (from, to) = (rule % IDENTITIES, (rule / IDENTITIES) % IDENTITIES);
        let _ = write!(
            text,
            "\n[[allow]]\nfrom = \"id{from}\"\nto = \"id{to}\"\nports = [\"{}/tcp\"]\n",
            1024 + rule % 60_000
        );
    }
    text
}

/// CPU time that a process has used, all its threads together.
pub fn cpu_of(process: u32) -> Duration {
    let nanoseconds = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    Duration::from_nanos(tasks.flatten().filter_map(nanoseconds).sum())
}

/// Memory that a process holds, in bytes.
pub fn resident(process: u32) -> u64 {
    memory(process, "Rss:")
}

/// What of it is in no file: all but the program's own code and what else it has mapped.
pub fn anonymous(process: u32) -> u64 {
    memory(process, "Anonymous:")
}

fn memory(process: u32, kind: &str) -> u64 {
    let text =
        fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(kind));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes
        .and_then(|text| text.parse::<u64>().ok())
        .expect("a size")
        * 1024
}
