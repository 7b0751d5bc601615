//! Things on this host that are gone when the test is.

use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command that must succeed, and returns what it prints.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a program");
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command whose failure does not matter.
pub fn try_run(command: &str) {
    let mut words = command.split_whitespace();
    if let Some(program) = words.next() {
        let _ = Command::new(program).args(words).output();
    }
}

/// Undoes something when it goes out of scope, and once before.
pub struct Cleanup(String);

impl Cleanup {
    pub fn new(command: impl Into<String>) -> Self {
        let this = Self(command.into());
        try_run(&this.0);
        this
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        try_run(&self.0);
    }
}

/// A network namespace of its own, named `inv-NAME`.
pub struct Namespace {
    pub name: String,
    _cleanup: Cleanup,
}

impl Namespace {
    pub fn new(name: &str) -> Self {
        let name = format!("inv-{name}");
        let cleanup = Cleanup::new(format!("ip netns del {name}"));
        run(&format!("ip netns add {name}"));
        Self {
            name,
            _cleanup: cleanup,
        }
    }

    pub fn path(&self) -> std::path::PathBuf {
        format!("/run/netns/{}", self.name).into()
    }

    pub fn ip(&self, arguments: &str) -> String {
        run(&format!("ip -n {} {arguments}", self.name))
    }
}

/// Waits for what `get` finds.
pub fn eventually<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Waits for a message that is wanted; others are left out.
pub fn receive<T: std::fmt::Debug>(
    what: &str,
    receiver: &Receiver<T>,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut others = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(message) if wanted(&message) => return message,
            Ok(other) => others.push(other),
            Err(error) => panic!("in vain: {what}: {error}; instead: {others:?}"),
        }
    }
}
