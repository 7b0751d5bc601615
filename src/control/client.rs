//! The command line's end of the control socket.

use std::io::{self, BufRead, BufReader, ErrorKind as IoKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Call, ErrorReport, RESPONSE_LIMIT, Request, Response, Streamed};

/// How long the daemon may take for one answer. Longer than the server waits for the reconciler, so
/// that it is the server who says what is the matter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why the daemon could not be asked, or what it says instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no daemon answers at {}: start it with `systemctl start bridgewall`, or name its socket with --socket",
        .0.display()
    )]
    NoDaemon(PathBuf),
    /// The socket's permissions say no.
    #[error("{} is for root and the group `bridgewall`: use sudo, or join the group", .0.display())]
    Forbidden(PathBuf),
    /// The connection broke.
    #[error("talk to the daemon at {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon ended while it was asked.
    #[error("the daemon at {} closed the connection without an answer: see `journalctl -u bridgewall`", .0.display())]
    Closed(PathBuf),
    /// The answer makes no sense.
    #[error(
        "the daemon at {} answers in a form that this command does not understand ({problem}): \
         after an upgrade, restart it with `systemctl restart bridgewall`",
        path.display()
    )]
    Unintelligible {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The daemon says no.
    #[error("{}", .0.message)]
    Answer(ErrorReport),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there, or not to us.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            IoKind::NotFound | IoKind::ConnectionRefused => ClientError::NoDaemon(path.to_owned()),
            IoKind::PermissionDenied => ClientError::Forbidden(path.to_owned()),
            _ => ClientError::Io {
                path: path.to_owned(),
                source,
            },
        })?;
        let client = Self {
            stream: BufReader::new(stream),
            path: path.to_owned(),
        };
        client.set_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(client)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The connection breaks, or the daemon says no.
    pub fn ask(&mut self, request: Request) -> Result<Response, ClientError> {
        let mut line =
            serde_json::to_vec(&Call::new(request)).map_err(|error| self.unintelligible(&error))?;
        line.push(b'\n');
        if let Err(source) = self.stream.get_mut().write_all(&line) {
            // A server that refuses a client says why before it hangs up.
            return match self.answer() {
                Err(ClientError::Answer(report)) => Err(ClientError::Answer(report)),
                _ => Err(self.io(source)),
            };
        }
        self.answer()
    }

    fn answer(&mut self) -> Result<Response, ClientError> {
        let line = self
            .line()?
            .ok_or_else(|| ClientError::Closed(self.path.clone()))?;
        match serde_json::from_slice(&line) {
            Ok(Response::Error(report)) => Err(ClientError::Answer(report)),
            Ok(response) => Ok(response),
            Err(error) => Err(self.unintelligible(&error)),
        }
    }

    /// After [`Response::Watching`]: the next line of the stream, for as long as that takes; `None`
    /// when the daemon ends.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn streamed(&mut self) -> Result<Option<Streamed>, ClientError> {
        self.set_timeout(None)?;
        match self.line()? {
            None => Ok(None),
            Some(line) => serde_json::from_slice(&line)
                .map(Some)
                .map_err(|error| self.unintelligible(&error)),
        }
    }

    /// After [`Response::Stopping`]: waits until the daemon has ended.
    ///
    /// # Errors
    /// It has not within `limit`.
    pub fn wait_for_end(mut self, limit: Duration) -> Result<(), ClientError> {
        self.set_timeout(Some(limit))?;
        match self.line() {
            Err(ClientError::Io { source, .. }) if source.kind() == IoKind::ConnectionReset => {
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// A second handle on the connection, with which another thread can end it.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn handle(&self) -> Result<UnixStream, ClientError> {
        self.stream
            .get_ref()
            .try_clone()
            .map_err(|error| self.io(error))
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.stream
            .get_ref()
            .set_read_timeout(timeout)
            .map_err(|error| self.io(error))
    }

    /// One line, without its end; `None` at the end of the stream.
    fn line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(RESPONSE_LIMIT as u64);
        limited
            .read_until(b'\n', &mut line)
            .map_err(|source| match source.kind() {
                IoKind::WouldBlock => ClientError::Io {
                    path: self.path.clone(),
                    source: io::Error::new(IoKind::TimedOut, "no answer in time"),
                },
                _ => ClientError::Io {
                    path: self.path.clone(),
                    source,
                },
            })?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) if line.len() + 1 >= RESPONSE_LIMIT => {
                Err(self.unintelligible(&"the answer does not end"))
            }
            // The daemon was ended in the middle of a line.
            Some(_) => Ok(None),
        }
    }

    fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn unintelligible(&self, problem: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unintelligible {
            path: self.path.clone(),
            problem: problem.to_string(),
        }
    }
}
