//! Network namespaces without a name: they are gone with the last process or descriptor that holds
//! them, so that not even a killed test leaves one behind.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace. Sockets made in it stay in it, whichever thread uses them later.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one, with its loopback up and IPv6 addresses usable at once (no duplicate detection).
    pub fn create() -> Self {
        let create = || {
            unshare(CloneFlags::CLONE_NEWNET)
                .expect("unshare a network namespace: these tests need root");
            Self::current()
        };
        let namespace = in_thread(create);
        for kind in ["all", "default"] {
            let conf = format!("net/ipv6/conf/{kind}");
            namespace.sysctl(&format!("{conf}/accept_dad"), "0");
            namespace.sysctl(&format!("{conf}/accept_ra"), "0");
            namespace.sysctl(&format!("net/ipv4/conf/{kind}/rp_filter"), "0");
        }
        namespace.ip("link set lo up");
        namespace
    }

    /// The one that this thread is in.
    pub fn current() -> Self {
        Self::at(Path::new("/proc/thread-self/ns/net"))
    }

    /// The one that a process is in, such as a container's.
    pub fn of_process(pid: u32) -> Self {
        Self::at(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The one that a file stands for.
    pub fn at(path: &Path) -> Self {
        let file =
            File::open(path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        Self { file }
    }

    /// Another handle for the same one.
    pub fn duplicate(&self) -> Self {
        Self {
            file: self.file.try_clone().expect("duplicate a descriptor"),
        }
    }

    /// Does something in it: sockets made and processes started there belong to it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
            work()
        })
    }

    /// Has this thread be in it from now on.
    pub fn enter(&self) {
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
    }

    /// Runs `ip` commands in it, one a line.
    #[track_caller]
    pub fn ip(&self, commands: &str) {
        self.feed("ip", &["-batch", "-"], commands);
    }

    /// Runs a command in it and gives what it wrote.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.feed(program, arguments, "")
    }

    #[track_caller]
    fn feed(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let output = self.inside(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            // A program that does not read its input is no error.
            let _ = child
                .stdin
                .take()
                .map(|mut stdin| stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        });
        let output = output.unwrap_or_else(|error| panic!("run {program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {}: {}\n{input}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sets a kernel parameter of it: `net/ipv4/ip_forward`.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        self.inside(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("write {value} to {path}: {error}"));
    }

    /// A path by which other processes can name it, for as long as this value lives.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// The index of one of its interfaces.
    #[track_caller]
    pub fn interface_index(&self, interface: &str) -> u32 {
        self.inside(|| nix::net::if_::if_nametoindex(interface))
            .unwrap_or_else(|error| panic!("no interface {interface}: {error}"))
    }
}

/// A thread of its own, because the namespace is the thread's; a panic in it is passed on.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
