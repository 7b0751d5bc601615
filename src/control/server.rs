//! The daemon's end of the control socket: a thread of its own, which hands requests to the one
//! writer and carries its answers back. No client can hold up another one, or the daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::connection;
use super::house::{House, Limits};
use super::protocol::Response;
use super::request::{Deliver, Verb};
use super::service;
use super::socket::{self, SocketError};
use super::tally::Tally;
use crate::observe::hub::Hub;

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
                let house = Rc::new(House::new(limits, hub, tally, deliver));
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
