//! What the daemon tells the service manager. Without one, telling does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Everything that should be enforced is: containers may start.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon is ending.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The daemon is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often it wants to hear that the daemon is alive: in half the time it is given.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("tell the service manager: {error}");
    }
}
