//! Faults for tests: the n-th step from now on fails, or is where the process dies.
//!
//! Whatever changes the kernel or the state directory says so here first, by [`step`]. In builds with
//! debug assertions the file that `BRIDGEWALL_FAULT` names may hold `fail 12` or `kill 12`: every step
//! counts it down, and the one that comes to 0 leaves its name there and fails with `EIO`, or ends the
//! process as `kill -9` does. In all other builds [`step`] is empty.

use std::io;

/// A step that the kernel or the disk will see is about to be made.
///
/// # Errors
/// This is the step that a test wants to fail.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn step(_: &'static str) -> io::Result<()> {
    Ok(())
}

/// A step that the kernel or the disk will see is about to be made.
///
/// # Errors
/// This is the step that a test wants to fail.
#[cfg(debug_assertions)]
pub(crate) fn step(what: &'static str) -> io::Result<()> {
    use std::sync::LazyLock;

    static ORDERS: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| std::env::var_os("BRIDGEWALL_FAULT").map(Into::into));
    let Some(path) = ORDERS.as_deref() else {
        return Ok(());
    };
    let Ok(order) = std::fs::read_to_string(path) else {
        return Ok(());
    };
    let Some((manner, left)) = order
        .split_once(' ')
        .and_then(|(manner, left)| Some((manner, left.trim().parse::<u32>().ok()?)))
    else {
        return Ok(());
    };
    if left > 1 {
        return std::fs::write(path, format!("{manner} {}", left - 1));
    }
    std::fs::write(path, what)?;
    if manner == "kill" {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
    Err(io::Error::from_raw_os_error(nix::libc::EIO))
}
