//! A place where a daemon can run: a network namespace that is the host, and directories of its own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::namespace::Namespace;

/// All places lie here unless `BRIDGEWALL_TEST_ROOT` says otherwise: it belongs to root and nobody else
/// can write in it or above it, as policy files demand.
const ROOT: &str = "/run/bridgewall-test";

/// A host for one daemon. Its directory is cleaned before, for what a killed test may have left, and
/// after.
pub struct Place {
    /// Where the daemon's network is.
    pub namespace: Namespace,
    tag: String,
    directory: PathBuf,
}

impl Place {
    /// One named after the running test, which owns `namespace`.
    pub fn new(namespace: Namespace) -> Self {
        let tag = tag();
        let directory = root().join(&tag);
        remove(&directory);
        let place = Self {
            namespace,
            tag,
            directory,
        };
        for path in [&place.bpffs(), &place.state()] {
            fs::create_dir_all(path).unwrap_or_else(|e| panic!("create {}: {e}", path.display()));
        }
        let bpffs = place.bpffs();
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .unwrap_or_else(|error| panic!("mount a bpffs on {}: {error}", bpffs.display()));
        place
    }

    /// Short, and the same for every run of this test in this worktree: good for names of things.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Where everything of this place lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A bpffs of its own.
    pub fn bpffs(&self) -> PathBuf {
        self.directory.join("bpf")
    }

    /// Where the daemon pins what shall outlive it.
    pub fn pins(&self) -> PathBuf {
        self.bpffs().join("bridgewall")
    }

    /// Where the daemon keeps its state.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

impl Place {
    /// The guard outlives a daemon that is killed, and this place may be the machine's own network.
    fn open_guard(&self) {
        for family in ["bridge", "inet", "arp"] {
            let script = format!("table {family} bridgewall; delete table {family} bridgewall");
            // Best effort: a test that has failed must still be able to say why.
            let _ = self
                .namespace
                .inside(|| Command::new("nft").arg(&script).output());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open_guard();
        remove(&self.directory);
        // The last one; it is not empty as long as there are others.
        let _ = fs::remove_dir(root());
    }
}

/// Where all places lie.
pub fn root() -> PathBuf {
    std::env::var_os("BRIDGEWALL_TEST_ROOT").map_or_else(|| ROOT.into(), PathBuf::from)
}

/// Removes a place's directory; unmounting its bpffs releases every program and link pinned there.
fn remove(directory: &Path) {
    // Neither needs to exist.
    let _ = umount2(&directory.join("bpf"), MntFlags::MNT_DETACH);
    let _ = fs::remove_dir_all(directory);
}

/// The running test's name, shortened, behind a number that tells apart equal beginnings and other
/// worktrees. Short enough for a socket's path (108 bytes).
fn tag() -> String {
    let thread = std::thread::current();
    let test = match thread.name() {
        Some("main") | None => std::env::var("NEXTEST_TEST_NAME")
            .expect("a sandbox is made on the test's own thread, which has the test's name"),
        Some(name) => name.to_owned(),
    };
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_MANIFEST_DIR"), &test).hash(&mut hasher);
    let name: String = test
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    format!("{:08x}-{name}", hasher.finish() as u32)
}
