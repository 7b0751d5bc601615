//! A line that says what is being waited for: only after a second, and only on a terminal.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is done sooner is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows the line, if it comes to that, until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        if !io::stderr().is_terminal() {
            return Self {
                done: None,
                thread: None,
            };
        }
        let (done, is_done) = mpsc::channel::<()>();
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    let line = ProgressBar::new_spinner().with_message(what);
                    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                        line.set_style(style);
                    }
                    line.enable_steady_tick(Duration::from_millis(100));
                    // Ends when the sender is dropped.
                    let _ = is_done.recv();
                    line.finish_and_clear();
                }
            });
        Self {
            done: Some(done),
            // Without a thread there is just no line.
            thread: thread.ok(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // The line must be gone before the answer is written.
            let _ = thread.join();
        }
    }
}
