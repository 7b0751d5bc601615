//! HTTP/1.1 over the engine's Unix socket, one connection a request. Every answer has a longest
//! length and a longest time.
//!
//! hyper alone, and answers read with serde, rather than a client library for Docker: those take
//! closed enumerations for what newer engines extend, set no bound to what they read, and cannot
//! negotiate down to engines that refuse the question itself when it is asked in too new a version.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::answers::{ErrorAnswer, Event, VersionAnswer};

/// Longest answer. A thousand containers with a hundred labels each stay below it.
const ANSWER_BYTES: usize = 32 << 20;
/// Longest event: all labels of one container are in it.
const EVENT_BYTES: usize = 1 << 20;
/// How long an answer may take that waits for nothing but the engine.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The version of the interface that is asked for where the engine speaks it: the oldest one that
/// the newest engines still accept, so that answers look the same everywhere.
const PREFERRED: ApiVersion = ApiVersion(1, 44);
/// The oldest one that says all we need: Docker 20.10.
const OLDEST: ApiVersion = ApiVersion(1, 41);

/// Only what concerns us: `{"type":["container","network"]}`.
const EVENT_FILTER: &str = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";

/// Why the engine's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nobody listens.
    #[error("cannot connect to {}: {source}", socket.display())]
    Connect {
        /// The socket's path.
        socket: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// What came is not HTTP, or ended too early.
    #[error("{what}: {source}")]
    Http {
        /// The request.
        what: String,
        /// What was wrong.
        source: hyper::Error,
    },
    /// The engine refused.
    #[error("{what}: {status}: {message}")]
    Refused {
        /// The request.
        what: String,
        /// Its status.
        status: StatusCode,
        /// Its explanation.
        message: String,
    },
    /// The answer is not what the interface's description says.
    #[error("{what}: not an answer that Docker gives: {source}")]
    Odd {
        /// The request.
        what: String,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// The answer is longer than any should be.
    #[error("{what}: the answer is longer than {limit} bytes")]
    TooLong {
        /// The request.
        what: String,
        /// The longest that is read.
        limit: usize,
    },
    /// No answer in time.
    #[error("{what}: no answer within {} s", patience.as_secs())]
    Late {
        /// The request.
        what: String,
        /// How long it could have taken.
        patience: Duration,
    },
    /// The stream of events ended: the engine stops, or restarts.
    #[error("the engine closed the stream of events")]
    Ended,
    /// The engine is older than any we know to talk to.
    #[error(
        "the engine offers the versions {oldest} to {newest} of its interface; \
         {OLDEST} (Docker 20.10) or newer is needed"
    )]
    Version {
        /// Of the engine.
        oldest: ApiVersion,
        /// Of the engine.
        newest: ApiVersion,
    },
}

impl DockerError {
    /// Whether there is no socket at all.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A version of the engine's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u16, pub u16);

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }

    /// The one to speak with an engine that speaks `oldest` to `newest`.
    fn choose(oldest: Self, newest: Self) -> Result<Self, DockerError> {
        let chosen = PREFERRED.max(oldest).min(newest);
        if chosen < OLDEST {
            return Err(DockerError::Version { oldest, newest });
        }
        Ok(chosen)
    }
}

/// An engine whose version is agreed on.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    socket: PathBuf,
    prefix: String,
    /// For people: `20.10.24, interface 1.41`.
    pub description: String,
}

impl Engine {
    /// Asks for the engine's version and agrees on one.
    pub async fn connect(socket: &Path) -> Result<Self, DockerError> {
        let mut engine = Self {
            socket: socket.to_owned(),
            prefix: String::new(),
            description: String::new(),
        };
        let answer: VersionAnswer = engine.get("/version").await?;
        // An engine that does not say what it speaks is taken for the oldest one.
        let version = |text: Option<&str>| text.and_then(ApiVersion::parse);
        let newest = version(answer.api_version.as_deref()).unwrap_or(ApiVersion(1, 0));
        let oldest = version(answer.min_api_version.as_deref()).unwrap_or(ApiVersion(1, 0));
        let chosen = ApiVersion::choose(oldest, newest)?;
        engine.prefix = format!("/v{chosen}");
        engine.description = format!(
            "{}, interface {chosen}",
            printable(answer.version.as_deref().unwrap_or("unknown"))
        );
        Ok(engine)
    }

    /// Asks for what must be there.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DockerError> {
        self.get_patiently(path, PATIENCE).await
    }

    /// Asks for what must be there, and waits as long as is said.
    pub async fn get_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<T, DockerError> {
        let what = format!("GET {path}");
        within(patience, &what, async {
            let response = self.request(path, &what).await?;
            let body = collect(response.into_body(), &what, ANSWER_BYTES).await?;
            serde_json::from_slice(&body).map_err(|source| DockerError::Odd {
                what: what.clone(),
                source,
            })
        })
        .await
    }

    /// Asks for what may be gone.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, DockerError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(DockerError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Subscribes to events, those since a time (in nanoseconds of the engine's clock) included.
    pub async fn events(&self, since: Option<u64>) -> Result<Events, DockerError> {
        let mut path = format!("/events?filters={EVENT_FILTER}");
        if let Some(nanoseconds) = since {
            let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            path.push_str(&format!("&since={seconds}.{rest:09}"));
        }
        let what = "GET /events".to_owned();
        let response = within(PATIENCE, &what, self.request(&path, &what)).await?;
        Ok(Events {
            body: response.into_body(),
            buffer: Vec::new(),
            searched: 0,
        })
    }

    async fn request(&self, path: &str, what: &str) -> Result<Response<Incoming>, DockerError> {
        let http = |source| DockerError::Http {
            what: what.to_owned(),
            source,
        };
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|source| DockerError::Connect {
                    socket: self.socket.clone(),
                    source,
                })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(http)?;
        // Ends with the answer; its errors are seen there.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() =
            format!("{}{path}", self.prefix)
                .parse()
                .map_err(|_| DockerError::Refused {
                    what: what.to_owned(),
                    status: StatusCode::BAD_REQUEST,
                    message: "not a path".to_owned(),
                })?;
        request.headers_mut().insert(
            hyper::header::HOST,
            hyper::header::HeaderValue::from_static("docker"),
        );
        let response = sender.send_request(request).await.map_err(http)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = collect(response.into_body(), what, EVENT_BYTES).await?;
        let message = serde_json::from_slice::<ErrorAnswer>(&body)
            .ok()
            .and_then(|answer| answer.message)
            .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        Err(DockerError::Refused {
            what: what.to_owned(),
            status,
            message: printable(&message),
        })
    }
}

async fn within<T>(
    patience: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, DockerError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(DockerError::Late {
            what: what.to_owned(),
            patience,
        }),
    }
}

async fn collect(body: Incoming, what: &str, limit: usize) -> Result<Bytes, DockerError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(DockerError::TooLong {
            what: what.to_owned(),
            limit,
        }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(source) => DockerError::Http {
                what: what.to_owned(),
                source: *source,
            },
            Err(_) => DockerError::Ended,
        }),
    }
}

/// The first line's worth of a foreign text, without what would move a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

/// The engine's events, one JSON object a line.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
    /// So much of the buffer holds no end of line.
    searched: usize,
}

impl Events {
    /// Waits for the next one. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Result<Event, DockerError> {
        loop {
            if let Some(event) = self.ready()? {
                return Ok(event);
            }
            let what = "GET /events";
            let frame = self.body.frame().await.ok_or(DockerError::Ended)?;
            let frame = frame.map_err(|source| DockerError::Http {
                what: what.to_owned(),
                source,
            })?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }

    /// The next one, if it has come already.
    pub fn ready(&mut self) -> Result<Option<Event>, DockerError> {
        let what = "GET /events";
        loop {
            let end = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = self.buffer.len();
                if self.searched > EVENT_BYTES {
                    return Err(DockerError::TooLong {
                        what: what.to_owned(),
                        limit: EVENT_BYTES,
                    });
                }
                return Ok(None);
            };
            self.searched = 0;
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            if line.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(&line)
                .map(Some)
                .map_err(|source| DockerError::Odd {
                    what: what.to_owned(),
                    source,
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_one_that_both_sides_speak() {
        let choose = |oldest, newest| ApiVersion::choose(oldest, newest).ok();
        let docker_20_10 = choose(ApiVersion(1, 12), ApiVersion(1, 41));
        assert_eq!(docker_20_10, Some(ApiVersion(1, 41)));
        let docker_29 = choose(ApiVersion(1, 44), ApiVersion(1, 52));
        assert_eq!(docker_29, Some(ApiVersion(1, 44)));
        let far_future = choose(ApiVersion(1, 60), ApiVersion(1, 99));
        assert_eq!(far_future, Some(ApiVersion(1, 60)));
        let docker_19 = choose(ApiVersion(1, 12), ApiVersion(1, 40));
        assert_eq!(docker_19, None);
    }

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a [31mb c");
        assert_eq!(printable(&"x".repeat(1000)).len(), 300);
    }
}
