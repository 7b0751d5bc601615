//! An engine that misbehaves: closes, answers garbage, or without end, or what makes no sense. What
//! was known stays, the error is told, and a good answer is taken as soon as there is one.

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

use bridgewall::inventory::Trigger;
use bridgewall::inventory::docker::{Docker, DockerState};

use crate::host::PATIENCE;

type Answer = dyn FnMut(&str, &mut UnixStream) + Send;

/// A socket where whatever is set answers.
struct Engine {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    answer: Arc<Mutex<Box<Answer>>>,
}

impl Engine {
    /// Not listening yet.
    fn new(answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            socket: folder.path().join("docker.sock"),
            _folder: folder,
            answer: Arc::new(Mutex::new(Box::new(answer))),
        }
    }

    fn listening(answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) -> Self {
        let this = Self::new(answer);
        this.listen();
        this
    }

    fn listen(&self) {
        let listener = UnixListener::bind(&self.socket).expect("a socket");
        let answer = Arc::clone(&self.answer);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                    let request = lines.next().and_then(Result::ok).unwrap_or_default();
                    // The rest of the head, so that closing does not look like a reset.
                    while lines
                        .next()
                        .and_then(Result::ok)
                        .is_some_and(|l| !l.is_empty())
                    {}
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    (answer.lock().expect("a lock"))(&path, &mut stream);
                });
            }
        });
    }

    fn set(&self, answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) {
        *self.answer.lock().expect("a lock") = Box::new(answer);
    }

    fn watch(&self) -> Watched {
        watch(&self.socket)
    }
}

struct Watched {
    docker: Docker,
    triggers: Receiver<Trigger>,
}

fn watch(socket: &Path) -> Watched {
    let (sender, triggers) = mpsc::channel();
    let docker = Docker::watch(socket, move |trigger| match sender.send(trigger) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    Watched {
        docker: docker.expect("a thread"),
        triggers,
    }
}

impl Watched {
    fn until(&self, what: &str, wanted: impl Fn(&DockerState) -> bool) -> DockerState {
        loop {
            let state = self.docker.state();
            if wanted(&state) {
                return state;
            }
            if let Err(error) = self.triggers.recv_timeout(PATIENCE) {
                panic!("in vain: {what}: {error}: {:?}", self.docker.state());
            }
        }
    }

    fn until_error(&self, part: &str) -> DockerState {
        self.until(part, |state| {
            let error = state.health.last_error.as_deref();
            error.is_some_and(|error| error.contains(part))
        })
    }

    fn until_connected(&self) -> DockerState {
        self.until("a connection", |state| {
            state.health.connected_since.is_some()
        })
    }
}

fn json(stream: &mut UnixStream, body: &str) {
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

const NETWORK: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CONTAINER: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
const ENDPOINT: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

/// Answers like Docker: one network, one container that is being started, no events.
fn good(path: &str, stream: &mut UnixStream) {
    good_with_mac("02:42:ac:12:00:02", path, stream);
}

fn good_with_mac(mac: &str, path: &str, stream: &mut UnixStream) {
    let network = format!(
        r#"{{"Id":"{NETWORK}","Name":"net","Driver":"bridge","Options":null,
        "IPAM":{{"Config":[{{"Subnet":"172.18.0.0/16"}}]}},
        "Containers":{{"{CONTAINER}":{{"EndpointID":"{ENDPOINT}","MacAddress":"{mac}",
        "IPv4Address":"172.18.0.2/16","IPv6Address":""}}}}}}"#
    );
    let path = path.split('?').next().unwrap_or_default();
    match path.trim_start_matches("/v1.41") {
        "/version" => json(
            stream,
            r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12","Version":"20.10"}"#,
        ),
        "/networks" => json(stream, &format!("[{network}]")),
        "/containers/json" => json(
            stream,
            &format!(
                r#"[{{"Id":"{CONTAINER}","Names":["/web"],"Image":"busybox","Labels":null,
                "State":"created"}}]"#
            ),
        ),
        "/events" => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
            // Stays open until the other side closes.
            if let Ok(clone) = stream.try_clone() {
                thread::spawn(move || BufReader::new(clone).lines().next().is_none());
            }
        }
        _ => json(stream, &network),
    }
}

#[test]
fn an_absent_engine_is_waited_for() {
    let engine = Engine::new(good);
    let watched = engine.watch();
    let state = watched.until_error("cannot connect");
    assert!(!state.is_expected());
    engine.listen();
    let state = watched.until_connected();
    assert!(state.is_expected());
    assert_eq!(state.health.last_error, None);
    assert_eq!(
        state.health.engine.as_deref(),
        Some("20.10, interface 1.41")
    );
    let [attachment] = &state.view.attachments[..] else {
        panic!("{:?}", state.view);
    };
    assert_eq!(attachment.container.name, "web");
    assert_eq!(attachment.bridge, "br-aaaaaaaaaaaa");
    assert!(!attachment.running);
}

#[test]
fn an_engine_that_closes_or_answers_garbage_is_tried_again() {
    let engine = Engine::listening(|_, _| {});
    let watched = engine.watch();
    watched.until_error("GET /version");
    engine.set(|_, stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    });
    watched.until_error("invalid HTTP version");
    engine.set(|_, stream| json(stream, "[1, 2"));
    watched.until_error("not an answer that Docker gives");
    engine.set(good);
    watched.until_connected();
}

#[test]
fn an_engine_that_is_too_old_is_told_apart() {
    let engine = Engine::listening(|_, stream| {
        json(stream, r#"{"ApiVersion":"1.40","MinAPIVersion":"1.12"}"#);
    });
    let state = engine.watch().until_error("Docker 20.10");
    assert!(state.health.connected_since.is_none());
}

#[test]
fn a_refusal_is_told_without_control_characters() {
    let engine = Engine::listening(|_, stream| {
        let body = r#"{"message":"no\u001b[31m\nway"}"#;
        let _ = write!(
            stream,
            "HTTP/1.1 500 Oops\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    });
    engine.watch().until_error("no [31m way");
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let engine = Engine::listening(|_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
        let part = vec![b' '; 1 << 20];
        while stream.write_all(&part).is_ok() {}
    });
    engine.watch().until_error("longer than 33554432 bytes");
}

#[test]
fn an_event_without_end_ends_the_connection_and_not_what_is_known() {
    let engine = Engine::listening(|path, stream| {
        if !path.contains("/events") {
            return good(path, stream);
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
        let mut stream = stream.try_clone().expect("a stream");
        thread::spawn(move || {
            let part = vec![b'x'; 1 << 16];
            while stream.write_all(&part).is_ok() {}
        });
    });
    let watched = engine.watch();
    let state = watched.until_error("longer than 1048576 bytes");
    assert_eq!(state.view.attachments.len(), 1);
    assert!(state.health.connected_since.is_none());
    engine.set(good);
    watched.until_connected();
}

#[test]
fn a_stream_of_events_that_ends_is_taken_up_where_it_ended() {
    let (sender, asked) = mpsc::channel();
    let engine = Engine::listening(move |path, stream| {
        if !path.contains("/events") {
            return good(path, stream);
        }
        let first = !path.contains("since");
        let _ = sender.send(path.to_owned());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
        if first {
            let _ = writeln!(
                stream,
                r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{CONTAINER}"}},"timeNano":1700000000123456789}}"#
            );
        } else {
            std::mem::forget(stream.try_clone());
        }
    });
    let watched = engine.watch();
    let first = asked.recv_timeout(PATIENCE).expect("a first question");
    assert!(!first.contains("since"), "{first}");
    let second = asked.recv_timeout(PATIENCE).expect("a second question");
    assert!(second.contains("since=1700000000.123456789"), "{second}");
    let state = watched.until_connected();
    assert_eq!(state.view.attachments.len(), 1, "listed again");
}

#[test]
fn what_makes_no_sense_is_left_out_and_told() {
    let engine = Engine::listening(|path, stream| good_with_mac("01:00:5e:00:00:01", path, stream));
    let state = engine.watch().until_connected();
    assert_eq!(state.view.attachments, []);
    let [warning] = &state.view.warnings[..] else {
        panic!("{:?}", state.view.warnings);
    };
    assert!(
        warning.contains("web") && warning.contains("01:00:5e:00:00:01"),
        "{warning}"
    );
}

#[test]
fn nothing_is_left_running_when_the_watch_is_dropped() {
    let engine = Engine::listening(good);
    let watched = engine.watch();
    watched.until_connected();
    let Watched { docker, triggers } = watched;
    drop(docker);
    let left: Vec<_> = triggers.iter().collect(); // ends, as the sender is gone with its thread
    assert!(left.iter().all(|trigger| *trigger == Trigger::Docker));
}
