//! The daemon on kernels that lack something. What is there is taken away from the process by a seccomp
//! filter, which answers as a kernel does that has never heard of it.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use libbpf_rs::libbpf_sys as raw;
use nix::errno::Errno;
use nix::libc;

use crate::PATIENCE;
use crate::host::{Host, on_a_host};

/// Wrong use is 2, a kernel that cannot be used is 3.
const UNUSABLE: i32 = 3;

#[test]
#[ignore = "it needs a kernel that is too old, such as 5.10: run by other tests, in scripts/kernel-matrix"]
fn a_kernel_that_is_too_old_is_named_and_nothing_is_left_behind() {
    on_a_host(|host| {
        assert_refused(host, None, &["helper bpf_loop (since Linux 5.17)", "6.1"]);
    });
}

#[test]
fn whatever_is_missing_is_named_with_the_version_that_has_it_and_nothing_is_left_behind() {
    let batches = Lack {
        command: Some(raw::BPF_MAP_LOOKUP_BATCH),
        answer: Errno::EINVAL,
    };
    on_a_host(move |host| {
        assert_refused(
            host,
            Some(batches),
            &["no batched reads of maps (since Linux 5.6)", "6.1"],
        );
    });
}

#[test]
fn a_kernel_without_bpf_is_named_and_nothing_is_left_behind() {
    let all = Lack {
        command: None,
        answer: Errno::ENOSYS,
    };
    on_a_host(move |host| {
        assert_refused(host, Some(all), &["no BPF (since Linux 3.18", "6.1"]);
    });
}

#[test]
fn a_missing_right_is_not_taken_for_a_missing_feature() {
    let forbidden = Lack {
        command: None,
        answer: Errno::EPERM,
    };
    on_a_host(move |host| {
        let said = assert_refused(host, Some(forbidden), &["needs root, or CAP_BPF"]);
        assert!(!said.contains("since Linux"), "{said}");
    });
}

/// What nobody knew to ask for.
#[test]
fn a_kernel_that_refuses_the_programs_keeps_no_pin() {
    let loading = Lack {
        command: Some(raw::BPF_PROG_LOAD),
        answer: Errno::EINVAL,
    };
    on_a_host(move |host| {
        let output = Place::new(host).daemon(Some(loading)).output();
        let Output { status, stderr, .. } = output.expect("start the daemon");
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(UNUSABLE), "{said}");
        assert!(said.contains("load the programs"), "{said}");
        assert!(!host.pins().exists(), "pins are left");
    });
}

#[test]
fn without_tcx_nothing_is_missing() {
    let query = Lack {
        command: Some(raw::BPF_PROG_QUERY),
        answer: Errno::EINVAL,
    };
    on_a_host(move |host| {
        let place = Place::new(host);
        let mut daemon = place.daemon(Some(query)).spawn().expect("start the daemon");
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            let output = place.bridgewall(&["status"]).output().expect("ask it");
            if output.status.code() != Some(UNUSABLE) {
                break String::from_utf8_lossy(&output.stdout).into_owned();
            }
            assert!(Instant::now() < deadline, "the daemon does not answer");
        };
        let stopped = place.bridgewall(&["stop", "--detach"]).output();
        assert!(stopped.expect("stop it").status.success());
        daemon.wait().expect("wait for it");
        let attached = status.lines().find(|line| line.starts_with("attached by"));
        let attached = attached.map(|line| line.trim_end().ends_with("clsact"));
        assert_eq!(attached, Some(true), "{status}");
    });
}

/// Starts the daemon, which has to give up and say these words. Gives all that it said.
#[track_caller]
fn assert_refused(host: &Host, lack: Option<Lack>, words: &[&str]) -> String {
    let place = Place::new(host);
    let before = place.contents();
    let Output { status, stderr, .. } = place.daemon(lack).output().expect("start the daemon");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(UNUSABLE), "{said}");
    for words in words {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
    assert_eq!(place.contents(), before, "files are left");
    assert!(!host.pins().exists(), "pins are left");
    said
}

/// Where a daemon has its files, as it demands: below folders that only root writes to.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(host: &Host) -> Self {
        let directory = tempfile::tempdir_in("/run").expect("make a folder");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let configuration = format!(
            "state_directory = {:?}\npin_directory = {:?}\n\
             [control]\nsocket = {:?}\ngroup = \"root\"\n\
             [docker]\nenabled = false\n[bridges]\nmanaged = []\n",
            path("state"),
            host.pins(),
            path("socket"),
        );
        fs::write(path("bridgewall.toml"), configuration).expect("write the configuration");
        fs::write(path("policy.toml"), "[defaults]\ningress = \"deny\"\n")
            .expect("write the policy");
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn bridgewall(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridgewall"));
        command
            .arg("--socket")
            .arg(self.path().join("socket"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn daemon(&self, lack: Option<Lack>) -> Command {
        let mut command = self.bridgewall(&["run", "--config"]);
        command
            .arg(self.path().join("bridgewall.toml"))
            .arg("--policy")
            .arg(self.path().join("policy.toml"));
        if let Some(lack) = lack {
            // SAFETY: between fork and exec it only makes a system call.
            unsafe { command.pre_exec(move || lack.impose()) };
        }
        command
    }

    /// All there is, by name.
    fn contents(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("list a folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string())
            .map(|name| name.expect("we gave it"))
            .collect();
        names.sort();
        names
    }
}

/// What bpf(2) shall answer.
#[derive(Clone, Copy)]
struct Lack {
    /// To this command; `None` for all.
    command: Option<raw::bpf_cmd>,
    answer: Errno,
}

impl Lack {
    /// On this process, and those that it starts.
    fn impose(self) -> io::Result<()> {
        // Offsets in struct seccomp_data (linux/seccomp.h): the call, and its first argument's lower
        // half.
        let (call, command) = (0, 16);
        let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
        let answer = |action| statement(libc::BPF_RET | libc::BPF_K, action);
        let unless_equal = |value, skip| libc::sock_filter {
            jf: skip,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
        };
        // Without a command to compare, none differs: skip nothing.
        let other_command = u8::from(self.command.is_some());
        let mut filter = [
            load(call),
            unless_equal(libc::SYS_bpf as u32, 3),
            load(command),
            unless_equal(self.command.unwrap_or_default(), other_command),
            answer(libc::SECCOMP_RET_ERRNO | self.answer as u32),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the program has as many statements as it says, and outlives the call.
        let code = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                std::ptr::from_ref(&program),
            )
        };
        Errno::result(code).map(drop).map_err(io::Error::from)
    }
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}
