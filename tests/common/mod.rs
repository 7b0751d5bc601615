//! The end-to-end harness: throwaway hosts and containers made of network namespaces, a real Docker
//! engine, the daemon, and probes with real packets. It needs root.
//!
//! - [`sandbox::Sandbox`] is a host with a bridge, containers on it, and an outside world.
//! - [`docker::Engine`] is a host with a real engine, and containers of it.
//! - [`fake_docker::FakeDocker`] says what a test wants an engine to say.
//! - [`daemon::Daemon`] is the built binary, run on either of them.
//! - [`crowd::Crowd`] is a host with many containers, made quickly.
//! - [`craft`] builds frames that no honest stack would send.
//! - [`probe`], [`service`], [`stream`] and [`frame`] send, serve and count packets.
//!
//! Nothing waits for a time to pass: probes wait for an answer, everything else for a condition
//! ([`eventually`]). An answer that should come is waited for with patience, one that should not come
//! only briefly, and then the receiver's own interface ([`frame::Witness`]) and the daemon's counters
//! are asked as well.
#![allow(dead_code, reason = "each test binary uses its part of the harness")]

pub mod craft;
pub mod crowd;
pub mod daemon;
pub mod docker;
pub mod fake_docker;
pub mod frame;
pub mod kernel_state;
pub mod namespace;
pub mod place;
pub mod probe;
pub mod sandbox;
pub mod service;
pub mod stream;
pub mod verdict;

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long something that should happen is waited for: much longer than it ever takes, also on a machine
/// that is emulated by a busy one.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The same, as many times as long as `BRIDGEWALL_TEST_PATIENCE` says: for long runs beside other work.
pub fn patience() -> Duration {
    static TIMES: LazyLock<u32> = LazyLock::new(|| {
        let times = std::env::var("BRIDGEWALL_TEST_PATIENCE").ok();
        times.and_then(|times| times.parse().ok()).unwrap_or(1)
    });
    PATIENCE * *TIMES
}

/// How long something that should not happen is waited for.
pub const BRIEFLY: Duration = Duration::from_millis(300);

/// Asks until there is an answer.
///
/// # Panics
/// There was none in [`patience`]; says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "not within {:?}: {what}",
            patience()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks until the answer is the expected one, and shows the last answer if it never is.
#[track_caller]
pub fn eventually_equals<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    mut ask: impl FnMut() -> T,
) {
    let deadline = Instant::now() + patience();
    loop {
        let answer = ask();
        if answer == *expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not within {:?}: {what}: expected {expected:?}, last was {answer:?}",
            patience()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
