//! What the daemon's log says of its passes: where the time went.

use std::fs;
use std::path::PathBuf;

use crate::common::daemon::Daemon;

/// The log of a daemon, from some moment on.
pub struct Passes {
    log: PathBuf,
    from: usize,
}

impl Passes {
    /// From now on.
    pub fn of(daemon: &Daemon) -> Self {
        let mut passes = Self {
            log: daemon.log(),
            from: 0,
        };
        passes.skip();
        passes
    }

    /// Forgets those that were there until now.
    pub fn skip(&mut self) {
        self.from = self.text().len();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).expect("read the daemon's log")
    }

    /// Microseconds of all passes together, by their parts, in order.
    pub fn parts(&self) -> Vec<(String, f64)> {
        let text = self.text();
        let mut parts: Vec<(String, f64)> = Vec::new();
        let passes = text[self.from..].lines();
        let passes = passes.filter_map(|line| line.split_once("one pass: ")?.1.split_once(" us: "));
        for (_, pass) in passes {
            for part in pass.split(", ") {
                let Some((name, time)) = part.split_once(' ') else {
                    continue;
                };
                let time: f64 = time.parse().expect("microseconds");
                match parts.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += time,
                    None => parts.push((name.to_owned(), time)),
                }
            }
        }
        parts
    }

    /// Microseconds of one part.
    pub fn part(&self, name: &str) -> f64 {
        let parts = self.parts();
        let part = parts.iter().find(|(known, _)| known == name);
        part.map_or(0.0, |(_, time)| *time)
    }
}
