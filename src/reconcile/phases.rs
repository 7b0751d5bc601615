//! How long the parts of one pass took, for the log and for measurements: where the time goes is asked
//! for again with every change of this program.

use std::fmt;
use std::time::{Duration, Instant};

/// A watch that is read after each part of the work.
#[derive(Debug)]
pub(super) struct Phases {
    began: Instant,
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// Begins now.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            parts: Vec::with_capacity(8),
        }
    }

    /// A part is done.
    pub fn done(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.last));
        self.last = now;
    }
}

/// In microseconds: `1200 us: look 300, compile 500`.
impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us:", (self.last - self.began).as_micros())?;
        for (index, (part, took)) in self.parts.iter().enumerate() {
            let between = if index == 0 { " " } else { ", " };
            write!(f, "{between}{part} {}", took.as_micros())?;
        }
        Ok(())
    }
}
