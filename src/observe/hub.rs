//! Where events are handed out: from the one reader of the ring buffer to everybody who watches.
//! Handing out never waits: who reads too slowly misses events, and is told how many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::sync::broadcast;

use super::event::Event;
use super::names::Names;
use crate::control::time::UnixTime;
use crate::kernel::abi;

/// Events that a watcher may be behind.
const BACKLOG: usize = 1024;

/// Hands out events to everybody who watches.
#[derive(Debug)]
pub struct Hub {
    names: RwLock<Arc<Names>>,
    events: broadcast::Sender<Arc<Event>>,
    lost: AtomicU64,
}

/// What a watcher gets.
#[derive(Debug)]
pub enum Delivery {
    /// An event.
    Event(Arc<Event>),
    /// So many events are missing here, because the watcher was too slow.
    Lost(u64),
}

/// One who watches.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    events: broadcast::Receiver<Arc<Event>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::with_backlog(BACKLOG)
    }
}

impl Hub {
    /// With room for so many events (at least one) that a watcher may be behind.
    #[must_use]
    pub fn with_backlog(backlog: usize) -> Self {
        Self {
            names: RwLock::default(),
            events: broadcast::Sender::new(backlog.max(1)),
            lost: AtomicU64::new(0),
        }
    }

    /// Changes what events from now on call things.
    pub fn rename(&self, names: Names) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    /// What things are called.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands out an event of the kernel. Never waits; costs next to nothing while nobody watches.
    pub fn publish(&self, raw: &abi::event) {
        if self.watchers() > 0 {
            let time = wall_time(Duration::from_nanos(raw.time));
            self.hand_out(Event::new(raw, time, &self.names()));
        }
    }

    /// Hands out an event that is already in people's terms.
    pub fn hand_out(&self, event: Event) {
        // An error says that nobody watches any more, which is nobody's loss.
        let _ = self.events.send(Arc::new(event));
    }

    /// Begins to watch.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> Watcher {
        Watcher {
            hub: Arc::clone(self),
            events: self.events.subscribe(),
        }
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.events.receiver_count()
    }

    /// Events that watchers missed because they were too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Watcher {
    /// The next event, or the number of those that were missed before it; `None` when the hub ends.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.events.recv().await {
            Ok(event) => Some(Delivery::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                self.hub.lost.fetch_add(count, Ordering::Relaxed);
                Some(Delivery::Lost(count))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The time of day at which the monotonic clock showed `monotonic`.
fn wall_time(monotonic: Duration) -> UnixTime {
    let now = UnixTime::now();
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(clock) => now.before(Duration::from(clock).saturating_sub(monotonic)),
        Err(_) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::samples;

    #[tokio::test]
    async fn a_slow_watcher_misses_the_oldest_events_and_is_told_how_many() {
        let hub = Arc::new(Hub::with_backlog(2));
        let mut watcher = hub.watch();
        for generation in 1..=5 {
            let mut event = samples::drop();
            event.generation = generation;
            hub.hand_out(event);
        }
        assert!(matches!(watcher.next().await, Some(Delivery::Lost(3))));
        for generation in 4..=5 {
            match watcher.next().await {
                Some(Delivery::Event(event)) => assert_eq!(event.generation, generation),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(hub.lost(), 3);
    }

    #[test]
    fn a_watcher_that_left_is_not_counted() {
        let hub = Arc::new(Hub::default());
        let watcher = hub.watch();
        assert_eq!(hub.watchers(), 1);
        drop(watcher);
        assert_eq!(hub.watchers(), 0);
        hub.hand_out(samples::drop());
    }

    #[test]
    fn an_event_of_just_now_is_dated_just_now() {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("clock");
        let age = wall_time(Duration::from(monotonic)).age(UnixTime::now());
        assert!(age < Duration::from_secs(5), "{age:?}");
    }
}
