//! A stand-in for the Docker engine that says what a test wants it to: of containers that the test
//! makes of namespaces, with names, networks and indexes of its choice, and of events that are told,
//! told twice, or lost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::frame::Mac;
use super::sandbox::mac_text;

/// A network, as the engine tells of it.
#[derive(Debug, Clone)]
pub struct FakeNetwork {
    /// Its name.
    pub name: &'static str,
    /// The bridge's name.
    pub bridge: &'static str,
    /// Its range of IPv4 addresses.
    pub subnet: &'static str,
}

/// A container, as the engine tells of it.
#[derive(Debug, Clone)]
pub struct FakeContainer {
    /// Its name, without a slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused` or `exited`.
    pub state: &'static str,
    /// A path of its network namespace, while it runs.
    pub sandbox: Option<PathBuf>,
    /// By network: what is assigned to it there, while it runs.
    pub attachments: BTreeMap<&'static str, FakeAttachment>,
}

/// What is assigned to a container on one network.
#[derive(Debug, Clone)]
pub struct FakeAttachment {
    /// The engine's id of it.
    pub id: String,
    /// The MAC address.
    pub mac: Mac,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is told.
    Told,
    /// It is told twice.
    Twice,
    /// It is lost, and the stream of events with it: so that it can be noticed.
    Lost,
}

/// The engine. It ends with the test.
pub struct FakeDocker {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    networks: BTreeMap<String, FakeNetwork>,
    containers: BTreeMap<String, FakeContainer>,
    subscribers: Vec<UnixStream>,
    /// Whether it answers.
    up: bool,
}

impl FakeDocker {
    /// Listens at a socket in this folder, and knows these networks.
    pub fn start(folder: &Path, networks: &[FakeNetwork]) -> Self {
        let this = Self {
            socket: folder.join("docker.sock"),
            state: Arc::default(),
        };
        {
            let mut state = this.state();
            state.up = true;
            for network in networks {
                state.networks.insert(id_of(network.name), network.clone());
            }
        }
        let listener = UnixListener::bind(&this.socket).expect("listen at a socket");
        let state = Arc::clone(&this.state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                thread::spawn(move || serve(stream, &state));
            }
        });
        this
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is of one whole value.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What bridgewall.toml says of it.
    pub fn configuration(&self) -> String {
        format!("[docker]\nsocket = \"{}\"\n", self.socket.display())
    }

    /// A container is as given from now on; `None`: there is none. By the name that it had at first.
    pub fn set(&self, key: &str, container: Option<FakeContainer>) {
        let mut state = self.state();
        match container {
            Some(container) => state.containers.insert(id_of(key), container),
            None => state.containers.remove(&id_of(key)),
        };
    }

    /// Tells, or does not tell, of something that happened to a container.
    pub fn container_event(&self, key: &str, action: &str, fate: Fate) {
        self.event("container", action, key, fate);
    }

    /// Tells, or does not tell, of something that happened on a network.
    pub fn network_event(&self, name: &str, action: &str, fate: Fate) {
        self.event("network", action, name, fate);
    }

    fn event(&self, kind: &str, action: &str, key: &str, fate: Fate) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let event = json!({
            "Type": kind,
            "Action": action,
            "Actor": { "ID": id_of(key) },
            "timeNano": now.unwrap_or(Duration::ZERO).as_nanos() as u64,
        });
        let mut state = self.state();
        let times = match fate {
            Fate::Told => 1,
            Fate::Twice => 2,
            Fate::Lost => return state.hang_up(),
        };
        for _ in 0..times {
            // As a whole: many small pieces would wait for a reader that a test has stopped.
            let line = format!("{event}\n");
            state
                .subscribers
                .retain_mut(|stream| stream.write_all(line.as_bytes()).is_ok());
        }
    }

    /// Nobody gets an answer from now on, or everybody does. All connections end.
    pub fn answer(&self, up: bool) {
        let mut state = self.state();
        state.up = up;
        state.hang_up();
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.answer(false);
    }
}

impl State {
    fn hang_up(&mut self) {
        for stream in self.subscribers.drain(..) {
            // Whoever has gone is not told that the stream has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// An id as the engine gives them: made of a name, and the same for the same name.
pub fn id_of(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(hex.len() <= 64, "{name} is too long a name");
    format!("{hex:0<64}")
}

fn serve(mut stream: UnixStream, state: &Mutex<State>) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(reading).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    // The rest of the head, so that closing does not look like a reset.
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let path = path.trim_start_matches("/v1.41");

    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.up {
        return;
    }
    if path == "/events" {
        if write!(stream, "HTTP/1.1 200 OK\r\n\r\n").is_ok() {
            state.subscribers.push(stream);
        }
        return;
    }
    let (status, body) = match state.answer(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", json!({ "message": "no such thing" })),
    };
    let body = body.to_string();
    // Whoever does not wait for the answer does not get it.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

impl State {
    fn answer(&self, path: &str) -> Option<Value> {
        let words: Vec<&str> = path.split('/').skip(1).collect();
        match words[..] {
            ["version"] => Some(json!({
                "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"
            })),
            ["networks"] => {
                let networks = self.networks.iter();
                Some(networks.map(|(id, network)| about(id, network)).collect())
            }
            ["networks", id] => {
                let network = self.networks.get(id)?;
                let mut answer = about(id, network);
                answer["Containers"] = self.members(network.name);
                Some(answer)
            }
            ["containers", "json"] => {
                let containers = self.containers.iter();
                Some(
                    containers
                        .map(|(id, container)| listed(id, container))
                        .collect(),
                )
            }
            ["containers", id, "json"] => {
                let container = self.containers.get(id)?;
                Some(json!({
                    "State": { "Pid": 0 },
                    "Config": { "Image": "busybox" },
                    "NetworkSettings": { "SandboxKey": container.sandbox },
                }))
            }
            _ => None,
        }
    }

    fn members(&self, network: &str) -> Value {
        let containers = self.containers.iter();
        let members = containers.filter_map(|(id, container)| {
            let attachment = container.attachments.get(network)?;
            let address = |ipv4: bool, length: u8| {
                let mut all = attachment.addresses.iter();
                let address = all.find(|address| address.is_ipv4() == ipv4);
                address.map_or_else(String::new, |address| format!("{address}/{length}"))
            };
            let member = json!({
                "EndpointID": id_of(&attachment.id),
                "MacAddress": mac_text(attachment.mac),
                "IPv4Address": address(true, 24),
                "IPv6Address": address(false, 64),
            });
            Some((id.clone(), member))
        });
        members.collect::<serde_json::Map<_, _>>().into()
    }
}

fn about(id: &str, network: &FakeNetwork) -> Value {
    json!({
        "Id": id,
        "Name": network.name,
        "Driver": "bridge",
        "Options": { "com.docker.network.bridge.name": network.bridge },
        "IPAM": { "Config": [{ "Subnet": network.subnet }] },
    })
}

fn listed(id: &str, container: &FakeContainer) -> Value {
    json!({
        "Id": id,
        "Names": [format!("/{}", container.name)],
        "Image": "busybox",
        "Labels": container.labels,
        "State": container.state,
    })
}
