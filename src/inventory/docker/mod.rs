//! Docker: who is behind which address. A thread of its own keeps a connection to the engine,
//! listens to its events, and holds what is known ready as a plain value.
//!
//! During `docker start` the engine holds the container's lock, and answers `GET /containers/{id}/json`
//! only when the container runs and has sent its first packets. The lists know more, and earlier: the
//! container with its labels from its creation on, and its MAC and addresses on a network as soon as
//! the network's `connect` event comes, long before the first packet. So everything that identifies a
//! container comes from the lists; the details are asked for on the side, to confirm.

mod answers;
#[cfg(fuzzing)]
mod fuzzing;
mod ports;
mod session;
mod table;
mod transport;
mod view;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

#[cfg(fuzzing)]
pub use fuzzing::view_of;
pub use transport::{ApiVersion, DockerError};
pub use view::{Attachment, Container, DockerNetwork, DockerView, Sandbox, Sharer, Unprotected};

use super::Trigger;

/// Where the engine listens if nothing else is said.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// What is known of Docker at one moment.
#[derive(Debug, Clone)]
pub struct DockerState {
    /// The last complete view; an empty one before the first. Kept while Docker is away.
    pub view: Arc<DockerView>,
    /// When the last complete list was asked for: what existed then is in the view.
    pub listed_at: Option<Instant>,
    /// Whether Docker answers.
    pub health: Health,
}

impl DockerState {
    fn new(socket: PathBuf) -> Self {
        Self {
            view: Arc::default(),
            listed_at: None,
            health: Health {
                socket,
                engine: None,
                connected_since: None,
                last_error: None,
            },
        }
    }

    /// Whether there is reason to think that Docker will come: it has answered, or its socket is there.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.listed_at.is_some() || self.health.socket.exists()
    }
}

/// Whether Docker answers, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The engine's socket.
    pub socket: PathBuf,
    /// Version of engine and interface, once it has answered.
    pub engine: Option<String>,
    /// Since when the present connection stands.
    pub connected_since: Option<SystemTime>,
    /// Why the last connection ended or could not be made.
    pub last_error: Option<String>,
}

/// Keeps in touch with Docker, until dropped.
#[derive(Debug)]
pub struct Docker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<DockerState>,
    list: Notify,
    stop: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, DockerState> {
        // Only whole values are put in, so one that a panic left behind is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Docker {
    /// Starts the thread. It never gives up: a Docker that is absent is waited for. `sink` is told of
    /// every change; when it breaks, the thread ends.
    ///
    /// # Errors
    /// The system gives no thread, or no event loop for it.
    pub fn watch<S>(socket: &Path, sink: S) -> io::Result<Self>
    where
        S: Fn(Trigger) -> ControlFlow<()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(DockerState::new(socket.to_owned())),
            list: Notify::new(),
            stop: Notify::new(),
        });
        let (socket, session_shared) = (socket.to_owned(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("docker".to_owned())
            .spawn(move || runtime.block_on(session::run(&socket, &session_shared, &sink)))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What is known now.
    #[must_use]
    pub fn state(&self) -> DockerState {
        self.shared.state().clone()
    }

    /// Asks for a complete list soon; [`Trigger::Docker`] tells when it is there.
    pub fn request_list(&self) {
        self.shared.list.notify_one();
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that talks to Docker had panicked");
        }
    }
}
