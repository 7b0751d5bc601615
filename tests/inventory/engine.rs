//! A real Docker engine: an image, networks and containers of ours, and the whole way from its
//! events and the kernel's notices to the inventory.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bridgewall::inventory::Trigger;
use bridgewall::inventory::docker::{DEFAULT_SOCKET, Docker};
use bridgewall::inventory::endpoints::{DockerKnowledge, Ledger, Merged, Settings, merge};
use bridgewall::inventory::model::Endpoint;
use bridgewall::inventory::netlink::watch;
use bridgewall::inventory::observer::{Changes, Observer};
use bridgewall::policy::model::Pattern;
use bridgewall::state::numbers::EndpointNumber;

use crate::host::{Cleanup, PATIENCE, run, try_run};

/// Where the engine listens that the `docker` commands here speak to.
fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://")
        .unwrap_or(DEFAULT_SOCKET)
        .into()
}

const IMAGE: &str = "inv-busybox";

/// An image with nothing but busybox; gone with the last test that uses it.
pub struct Image;

impl Image {
    pub fn get() -> Arc<Self> {
        static SHARED: Mutex<Weak<Image>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = shared.upgrade() {
            return image;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("root/bin");
        fs::create_dir_all(&bin).expect("a folder");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox (package busybox-static)");
        for applet in ["sh", "ping", "sleep", "ip"] {
            symlink("busybox", bin.join(applet)).expect("a link");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        run(&format!(
            "tar -C {} -cf {} .",
            path("root"),
            path("image.tar")
        ));
        run(&format!("docker import {} {IMAGE}", path("image.tar")));
        let image = Arc::new(Self);
        *shared = Arc::downgrade(&image);
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        try_run(&format!("docker image rm {IMAGE}"));
    }
}

/// A Docker network of ours, with the containers on it.
pub struct Network {
    pub name: String,
    pub bridge: String,
    _cleanup: Cleanup,
    _image: Arc<Image>,
}

impl Network {
    pub fn new(name: &str) -> Self {
        let image = Image::get();
        let name = format!("inv-{name}");
        let cleanup = Cleanup::new(format!("docker network rm {name}"));
        let id = run(&format!("docker network create {name}"));
        Self {
            bridge: format!("br-{}", &id[..12]),
            name,
            _cleanup: cleanup,
            _image: image,
        }
    }

    pub fn gateway(&self) -> String {
        let format = "{{range.IPAM.Config}}{{.Gateway}}{{end}}";
        run(&format!("docker network inspect -f {format} {}", self.name))
    }
}

/// A container of ours.
pub struct Container {
    pub name: String,
    pub id: String,
    _cleanup: Cleanup,
}

impl Container {
    /// Created, and not started.
    pub fn create(name: &str, options: &str, command: &str) -> Self {
        let name = format!("inv-{name}");
        let cleanup = Cleanup::new(format!("docker rm -f {name}"));
        let id = run(&format!(
            "docker create --init --name {name} {options} {IMAGE} {command}"
        ));
        Self {
            name,
            id,
            _cleanup: cleanup,
        }
    }

    pub fn run(name: &str, options: &str) -> Self {
        let container = Self::create(name, options, "sleep 600");
        container.docker("start");
        container
    }

    /// `docker VERB NAME`.
    pub fn docker(&self, verb: &str) -> String {
        run(&format!("docker {verb} {}", self.name))
    }

    /// The addresses that Docker gave it.
    pub fn addresses(&self) -> Vec<String> {
        let format = "{{range.NetworkSettings.Networks}}{{.IPAddress}},{{end}}";
        let all = run(&format!("docker inspect -f {format} {}", self.name));
        all.split(',')
            .filter(|a| !a.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// What the daemon's loop would do with the inventory: look whenever something changed.
pub struct Loop {
    observer: Observer,
    docker: Docker,
    settings: Settings,
    pub ledger: Ledger,
    triggers: Receiver<Trigger>,
    changes: Changes,
}

impl Loop {
    /// For these bridges only: other tests run at the same time.
    pub fn new(networks: &[&Network]) -> Self {
        let pattern = |network: &&Network| Pattern::new(&network.bridge).expect("a pattern");
        Self::with(
            networks.iter().map(pattern).collect(),
            Ledger::new("a boot"),
        )
    }

    pub fn with(managed: Vec<Pattern>, ledger: Ledger) -> Self {
        let (sender, triggers) = mpsc::channel();
        watch::start(sink(sender.clone())).expect("netlink");
        let docker = Docker::watch(&socket(), sink(sender)).expect("a thread");
        Self {
            observer: Observer::open().expect("netlink"),
            docker,
            settings: Settings {
                managed,
                excluded: Vec::new(),
                uplinks: Vec::new(),
                plain: Vec::new(),
                policy_interfaces: Vec::new(),
                last_number: EndpointNumber(4095),
                grace: Duration::from_secs(2),
            },
            ledger,
            triggers,
            changes: Changes::default(),
        }
    }

    /// One pass.
    pub fn look(&mut self) -> Merged {
        let mut changes = std::mem::take(&mut self.changes);
        self.triggers
            .try_iter()
            .for_each(|trigger| changes.note(&trigger));
        self.observer.note(changes);
        let docker = self.docker.state();
        let host = self
            .observer
            .collect(&docker.view, &self.settings, &self.ledger)
            .expect("what the kernel shows");
        let merged = merge(
            host,
            DockerKnowledge::from(&docker),
            &self.settings,
            &self.ledger,
            Instant::now(),
        );
        self.ledger = merged.ledger.clone();
        if merged.wants_docker_list {
            self.docker.request_list();
        }
        merged
    }

    /// Passes, as triggers come, until one shows what is wanted.
    pub fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Merged) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let merged = self.look();
            if let Some(found) = wanted(&merged) {
                return found;
            }
            let now = Instant::now();
            assert!(now < deadline, "in vain: {what}: {merged:#?}");
            let next = merged
                .check_again_at
                .map_or(deadline, |at| at.min(deadline));
            let wait = next.saturating_duration_since(now);
            if let Ok(trigger) = self.triggers.recv_timeout(wait) {
                self.changes.note(&trigger);
            }
        }
    }

    /// Waits until Docker has been listed once.
    pub fn until_connected(&mut self) {
        let state = || self.docker.state().listed_at;
        let deadline = Instant::now() + PATIENCE;
        while state().is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            let trigger = self.triggers.recv_timeout(left);
            self.changes.note(&trigger.expect("Docker's first list"));
        }
    }

    /// Waits for a container's endpoint that has these addresses.
    pub fn until_named(&mut self, container: &Container) -> Endpoint {
        let addresses = container.addresses();
        self.until(&container.name, |merged| {
            endpoints_of(merged, &container.id)
                .into_iter()
                .find(|endpoint| {
                    let owner = endpoint.owner.as_ref();
                    owner.is_some_and(|owner| {
                        owner
                            .addresses
                            .iter()
                            .any(|a| addresses.contains(&a.to_string()))
                    })
                })
        })
    }
}

pub fn endpoints_of(merged: &Merged, id: &str) -> Vec<Endpoint> {
    let is_its = |endpoint: &&Endpoint| {
        let owner = endpoint.owner.as_ref();
        owner.is_some_and(|owner| owner.attributes.container.as_deref() == Some(id))
    };
    merged
        .inventory
        .endpoints
        .values()
        .filter(is_its)
        .cloned()
        .collect()
}

fn sink(sender: Sender<Trigger>) -> impl Fn(Trigger) -> ControlFlow<()> + Clone + Send + 'static {
    move |trigger| match sender.send(trigger) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
