//! The daemon's end of the control socket: a thread of its own, which hands requests to the one
//! writer and carries its answers back. No client can hold up another one, or the daemon.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use super::connection;
use super::protocol::{Apply, ErrorKind, Listing, Question, Response};
use super::service;
use super::socket::{self, SocketError};
use super::tally::Tally;
use crate::observe::hub::Hub;

/// What the server wants of the one writer.
#[derive(Debug)]
pub struct ControlRequest {
    /// What to do.
    pub verb: Verb,
    /// Where the answer goes. If nobody waits for it any more, sending fails, which is fine.
    pub reply: oneshot::Sender<Response>,
}

/// What the one writer is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Answer with [`Response::Status`].
    Status,
    /// Read the policy again; answer with [`Response::Reloaded`] or an error of kind
    /// [`ErrorKind::Refused`] when that is done.
    Reload,
    /// Take a policy for a while; answer with [`Response::Applied`] when it is in force.
    Apply(Apply),
    /// Keep it, or put the one before back; answer with [`Response::Confirmed`].
    Confirm {
        /// Its revision, if that is to be checked.
        revision: Option<u64>,
        /// Whether it is to stay.
        keep: bool,
    },
    /// Answer with the list.
    List(Listing),
    /// Answer with [`Response::Explained`].
    Explain(Question),
    /// Answer with [`Response::Examined`].
    Doctor,
    /// Report allowed new connections too, or no longer; answer with [`Response::Done`].
    ObserveAllowed(bool),
    /// Answer with [`Response::Done`]: the service manager wants to know that the writer is alive.
    Alive,
    /// End the daemon; detach first if asked to, and answer with [`Response::Stopping`] before it
    /// ends. The client waits until the process is gone.
    Stop {
        /// End enforcement too.
        detach: bool,
    },
}

/// Hands a request to the one writer; `false` if it takes no more.
pub type Deliver = Box<dyn Fn(ControlRequest) -> bool + Send>;

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

/// How long clients have to take the last answers when the daemon ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The thread cannot be started.
    #[error("start the control thread: {0}")]
    Thread(#[from] io::Error),
}

/// The running server. It ends, and its socket goes, when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Makes the socket, and answers on it.
    ///
    /// # Errors
    /// The socket cannot be made, or another daemon answers there.
    pub fn start(
        path: &Path,
        group: &str,
        limits: Limits,
        hub: Arc<Hub>,
        tally: Arc<Tally>,
        deliver: Deliver,
    ) -> Result<Self, ServerError> {
        let listener = socket::listen(path, group)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            UnixListener::from_std(listener)?
        };
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                let house = Rc::new(House {
                    limits,
                    hub,
                    tally,
                    deliver,
                    clients: Cell::new(0),
                    monitors: Cell::new(0),
                    want_allowed: Cell::new(0),
                    answers: Cell::new(0),
                    answered: Notify::new(),
                });
                LocalSet::new().block_on(&runtime, async {
                    tokio::select! {
                        () = accept(listener, Rc::clone(&house)) => {}
                        () = keep_alive(&house) => {}
                        _ = stopped => {}
                    }
                    house.finish_answers().await;
                });
            })?;
        Ok(Self {
            path: path.to_owned(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Before the connections close: whoever waits for the daemon's end then finds no socket.
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!("remove {}: {error}", self.path.display());
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its thread.
            let _ = thread.join();
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
    /// Until this is dropped, there is an answer to be written.
    pub fn answering(self: &Rc<Self>) -> Option<Seat> {
        self.seat(|house| &house.answers, usize::MAX)
    }

    /// Waits until all answers are written, but not for long: the daemon is ending.
    async fn finish_answers(&self) {
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

    fn client_seat(self: &Rc<Self>, root: bool) -> Option<Seat> {
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

/// Tells the service manager that the daemon is alive for as long as the one writer answers.
async fn keep_alive(house: &House) {
    let Some(interval) = service::watchdog_interval() else {
        return std::future::pending().await;
    };
    loop {
        match house.ask(Verb::Alive).await {
            Response::Error(report) => log::error!("no sign of life: {}", report.message),
            _ => service::alive(),
        }
        tokio::time::sleep(interval).await;
    }
}

async fn accept(listener: UnixListener, house: Rc<House>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => greet(stream, &house),
            Err(error) => {
                // Out of descriptors, most likely: others must close theirs first.
                log::warn!("accept a control client: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn greet(stream: UnixStream, house: &Rc<House>) {
    let peer = match stream.peer_cred() {
        Ok(peer) => peer,
        Err(error) => {
            log::warn!("read a control client's credentials: {error}");
            return;
        }
    };
    match house.client_seat(peer.uid() == 0) {
        Some(seat) => {
            let house = Rc::clone(house);
            tokio::task::spawn_local(async move {
                connection::serve(stream, peer, house).await;
                drop(seat);
            });
        }
        None => {
            house.tally.refuse_client();
            connection::turn_away(&stream);
        }
    }
}
