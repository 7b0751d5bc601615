//! SIGHUP, SIGINT and SIGTERM as values.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGHUP: read the policy again.
    Reload,
    /// SIGINT or SIGTERM: end, and leave enforcement as it is.
    Terminate,
}

/// Calls `on_signal` for every signal, from a thread of its own, for as long as the process lives.
///
/// # Errors
/// A handler could not be installed.
pub fn watch(on_signal: impl Fn(SignalRequest) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                on_signal(if signal == SIGHUP {
                    SignalRequest::Reload
                } else {
                    SignalRequest::Terminate
                });
            }
        })?;
    Ok(())
}
