//! What clients ask of the one writer, and its answer's way back.

use tokio::sync::oneshot;

use super::protocol::{Apply, Listing, Response};
use super::question::Question;

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
    /// [`super::protocol::ErrorKind::Refused`] when that is done.
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
