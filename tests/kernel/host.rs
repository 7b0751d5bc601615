//! A throwaway host: namespaces and a bpffs that only one test's thread is in.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use bridgewall::config::Attach;
use bridgewall::inventory::model::MacAddress;
use bridgewall::kernel::{Kernel, KernelSettings};
use libbpf_rs::MapHandle;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// A host of its own for one test: namespaces that only its thread is in.
pub struct Host {
    directory: tempfile::TempDir,
}

/// Runs a test on a host of its own.
pub fn on_a_host(test: impl FnOnce(&Host) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
            .expect("unshare namespaces: these tests need root");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("make mounts private");
        let host = Host {
            directory: tempfile::tempdir().expect("make a folder"),
        };
        mount(
            Some("bpf"),
            host.bpffs(),
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .expect("mount a bpffs");
        host.ip("link set lo up");
        test(&host);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Drop for Host {
    /// Also after a failure: the folder can be removed only when nothing is mounted there.
    fn drop(&mut self) {
        // A process that another test starts may hold on to it for a moment.
        umount2(self.bpffs(), MntFlags::MNT_DETACH).expect("unmount the bpffs");
    }
}

impl Host {
    pub fn bpffs(&self) -> &Path {
        self.directory.path()
    }

    pub fn pins(&self) -> PathBuf {
        self.bpffs().join("bridgewall")
    }

    pub fn settings(&self, attach: Attach) -> KernelSettings {
        let mut settings = KernelSettings {
            pin_directory: self.pins(),
            attach,
            ..KernelSettings::default()
        };
        settings.limits.endpoints = 63;
        settings.limits.steps = 1024;
        settings.limits.policy_entries = 1024;
        settings.limits.network_blocks = 1024;
        settings.limits.flows = 1024;
        settings.limits.new_flows = 1024;
        settings
    }

    pub fn open(&self, attach: Attach) -> Kernel {
        Kernel::open(self.settings(attach)).expect("open the kernel part")
    }

    pub fn ip(&self, arguments: &str) {
        ip(arguments);
    }

    /// A veth pair; the index of the end that programs go to.
    pub fn veth(&self, index: u32) -> u32 {
        self.ip(&format!(
            "link add bwk{index} index {index} type veth peer name bwp{index}"
        ));
        self.ip(&format!("link set bwk{index} up"));
        index
    }

    /// Puts the other end of a veth pair into a namespace of its own, with this MAC and IPv4 address,
    /// and gives this end another address of the same /24. What is done there is done by `act`, whose
    /// sockets stay there.
    pub fn in_peer<T: Send + 'static>(
        &self,
        index: u32,
        (mac, there, here): (MacAddress, Ipv4Addr, Ipv4Addr),
        act: impl FnOnce() -> T + Send + 'static,
    ) -> (File, T) {
        self.ip(&format!("addr add {here}/24 dev bwk{index}"));
        let (link, moved) = (format!("bwp{index}"), std::sync::mpsc::channel::<()>());
        let (told, created) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let link = link.clone();
            move || {
                unshare(CloneFlags::CLONE_NEWNET).expect("unshare a network namespace");
                let namespace = File::open("/proc/thread-self/ns/net").expect("open it");
                told.send(namespace.try_clone().expect("duplicate"))
                    .expect("tell");
                moved.1.recv().expect("the interface has come");
                ip(&format!("link set {link} address {mac}"));
                ip(&format!("addr add {there}/24 dev {link}"));
                ip(&format!("link set {link} up"));
                (namespace, act())
            }
        });
        let namespace = created.recv().expect("a namespace");
        let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        self.ip(&format!("link set {link} netns {path}"));
        moved.0.send(()).expect("tell");
        thread.join().expect("act in the namespace")
    }

    pub fn pinned(&self, path: &str) -> MapHandle {
        MapHandle::from_pinned_path(self.pins().join(path)).expect("open a pinned map")
    }

    /// What is pinned, by path below the folder of pins.
    pub fn all_pins(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.pins()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    let below = path.strip_prefix(self.pins()).expect("below");
                    found.insert(below.display().to_string());
                }
            }
        }
        found
    }

    pub fn interface_pins(&self) -> BTreeSet<String> {
        let mut pins = self.all_pins();
        pins.retain(|pin| !pin.starts_with("maps-"));
        pins
    }
}

/// Runs ip(8) in this thread's namespaces.
fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status()
        .expect("run ip");
    assert!(status.success(), "ip {arguments}");
}
