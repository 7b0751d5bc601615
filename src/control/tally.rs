//! What the control socket has refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the daemon started; shared by the control thread, which counts, and the one writer,
/// which tells.
#[derive(Debug, Default)]
pub struct Tally {
    clients: AtomicU64,
    requests: AtomicU64,
}

impl Tally {
    pub(super) fn refuse_client(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Clients that were turned away because there were too many.
    #[must_use]
    pub fn clients_refused(&self) -> u64 {
        self.clients.load(Ordering::Relaxed)
    }

    /// Requests that were malformed, too long, too slow, or not for who sent them.
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
