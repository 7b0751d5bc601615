//! What all connections of clients share: places, and the way to the one writer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::protocol::{ErrorKind, Response};
use super::request::{ControlRequest, Deliver, Verb};
use super::tally::Tally;
use crate::observe::hub::Hub;

/// How long clients have to take the last answers when the daemon ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How much clients may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Clients at once. Root has [`Self::ROOT_RESERVE`] more places, so that others cannot lock it
    /// out.
    pub clients: usize,
    /// Clients of these that only watch.
    pub monitors: usize,
    /// Within this time a client must have sent its request.
    pub read_timeout: Duration,
    /// Within this time a client must have taken its answer.
    pub write_timeout: Duration,
    /// Within this time the one writer must have answered.
    pub reply_timeout: Duration,
}

impl Limits {
    /// Places that are kept for root.
    pub const ROOT_RESERVE: usize = 4;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 32,
            monitors: 16,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_secs(60),
        }
    }
}

/// What all connections share.
pub(super) struct House {
    pub limits: Limits,
    pub hub: Arc<Hub>,
    pub tally: Arc<Tally>,
    deliver: Deliver,
    clients: Cell<usize>,
    monitors: Cell<usize>,
    want_allowed: Cell<usize>,
    answers: Cell<usize>,
    answered: Notify,
}

/// A place that a client takes, until it is dropped.
pub(super) struct Seat {
    house: Rc<House>,
    count: fn(&House) -> &Cell<usize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let count = (self.count)(&self.house);
        count.set(count.get() - 1);
        self.house.answered.notify_one();
    }
}

impl House {
    pub fn new(limits: Limits, hub: Arc<Hub>, tally: Arc<Tally>, deliver: Deliver) -> Self {
        Self {
            limits,
            hub,
            tally,
            deliver,
            clients: Cell::new(0),
            monitors: Cell::new(0),
            want_allowed: Cell::new(0),
            answers: Cell::new(0),
            answered: Notify::new(),
        }
    }

    /// Until this is dropped, there is an answer to be written.
    pub fn answering(self: &Rc<Self>) -> Option<Seat> {
        self.seat(|house| &house.answers, usize::MAX)
    }

    /// Waits until all answers are written, but not for long: the daemon is ending.
    pub async fn finish_answers(&self) {
        let finish = async {
            while self.answers.get() > 0 {
                self.answered.notified().await;
            }
        };
        if tokio::time::timeout(LAST_ANSWERS, finish).await.is_err() {
            log::warn!("ended without {} answers", self.answers.get());
        }
    }

    fn seat(self: &Rc<Self>, count: fn(&House) -> &Cell<usize>, places: usize) -> Option<Seat> {
        let taken = count(self);
        (taken.get() < places).then(|| {
            taken.set(taken.get() + 1);
            Seat {
                house: Rc::clone(self),
                count,
            }
        })
    }

    /// A place among all, root or not.
    pub fn client_seat(self: &Rc<Self>, root: bool) -> Option<Seat> {
        let reserve = if root { Limits::ROOT_RESERVE } else { 0 };
        self.seat(|house| &house.clients, self.limits.clients + reserve)
    }

    /// A place among those who watch.
    pub fn monitor_seat(self: &Rc<Self>) -> Option<Seat> {
        self.seat(|house| &house.monitors, self.limits.monitors)
    }

    /// Asks the one writer.
    pub async fn ask(&self, verb: Verb) -> Response {
        let (reply, answer) = oneshot::channel();
        if !(self.deliver)(ControlRequest { verb, reply }) {
            return Response::error(ErrorKind::Busy, "the daemon is ending");
        }
        match tokio::time::timeout(self.limits.reply_timeout, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => Response::error(ErrorKind::Busy, "the daemon is ending"),
            Err(_) => Response::error(
                ErrorKind::Busy,
                format!(
                    "the daemon is still at work after {} seconds: ask again later, \
                     and see `journalctl -u bridgewall`",
                    self.limits.reply_timeout.as_secs()
                ),
            ),
        }
    }

    /// Has allowed connections reported for as long as the result lives.
    ///
    /// # Errors
    /// The one writer's answer, if it is an error.
    pub async fn observe_allowed(self: &Rc<Self>) -> Result<AllowedWanted, Response> {
        self.want_allowed.set(self.want_allowed.get() + 1);
        let wanted = AllowedWanted(Rc::clone(self));
        match self.ask(Verb::ObserveAllowed(true)).await {
            Response::Error(report) => Err(Response::Error(report)),
            _ => Ok(wanted),
        }
    }
}

/// Somebody wants to see allowed connections.
pub(super) struct AllowedWanted(Rc<House>);

impl Drop for AllowedWanted {
    fn drop(&mut self) {
        let wanted = self.0.want_allowed.get() - 1;
        self.0.want_allowed.set(wanted);
        if wanted == 0 {
            let (reply, _) = oneshot::channel();
            // If the daemon is ending, so is the report.
            let _ = (self.0.deliver)(ControlRequest {
                verb: Verb::ObserveAllowed(false),
                reply,
            });
        }
    }
}
