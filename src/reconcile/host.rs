//! Observe: what is on this host now.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::settings;
use super::store::Store;
use super::trigger::{Bell, Trigger};
use crate::config::Config;
use crate::inventory::docker::{Docker, DockerState, DockerView};
use crate::inventory::endpoints::{DockerKnowledge, Ledger, Merged, Settings, merge};
use crate::inventory::netlink::{Link, watch};
use crate::inventory::observer::{Changes, Observer};
use crate::policy::model::Policy;

/// Name of the ledger in the [`Store`].
const LEDGER: &str = "endpoints";

/// How long the first start waits for Docker's first answer, so that running containers are known
/// when their traffic is first judged. Not long: at boot the engine may be waiting for us.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// The eyes of the one writer.
pub(super) struct Host {
    observer: Observer,
    docker: Option<Docker>,
    settings: Settings,
    ledger: Ledger,
}

impl Host {
    /// Begins to watch: everything that changes from now on rings the bell.
    pub fn watch(config: &Config, store: &Store, bell: &Bell) -> Result<Self> {
        let ring = |bell: Bell| {
            move |trigger| {
                if bell.ring(Trigger::Host(trigger)) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            }
        };
        watch::start(ring(bell.clone()))?;
        let docker = if config.docker.enabled {
            let docker = Docker::watch(&config.docker.socket, ring(bell.clone()))
                .context("start the thread that talks to Docker")?;
            Some(docker)
        } else {
            None
        };
        Ok(Self {
            observer: Observer::open()?,
            docker,
            settings: settings::inventory(config),
            ledger: ledger(store)?,
        })
    }

    /// Waits until Docker has answered once, or has shown that it does not.
    pub fn await_docker(&self) {
        let deadline = Instant::now() + FIRST_ANSWER;
        while let Some(state) = self.docker_state() {
            let settled = state.listed_at.is_some()
                || state.health.last_error.is_some()
                || !state.is_expected();
            if settled || Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next look is at this too.
    pub fn note(&mut self, changes: Changes) {
        self.observer.note(changes);
    }

    /// Looks. What is settled by it counts for the next look only after [`Host::settle`].
    pub fn look(&mut self, policy: &Policy) -> Result<Merged> {
        self.settings.policy_interfaces = policy
            .identities
            .iter()
            .filter_map(|identity| identity.selector.interface.clone())
            .collect();
        let state = self.docker_state();
        let nothing = DockerView::default();
        let docker = match &state {
            Some(state) => DockerKnowledge::from(state),
            None => DockerKnowledge {
                view: &nothing,
                listed_at: None,
                expected: false,
            },
        };
        let view = self
            .observer
            .collect(docker.view, &self.settings, &self.ledger)?;
        let merged = merge(view, docker, &self.settings, &self.ledger, Instant::now());
        if merged.wants_docker_list
            && let Some(docker) = &self.docker
        {
            docker.request_list();
        }
        Ok(merged)
    }

    /// The kernel holds what followed from this look: keep what it settled.
    pub fn settle(&mut self, ledger: Ledger, store: &Store) {
        if self.ledger == ledger {
            return;
        }
        let text = ledger.to_text().map_err(anyhow::Error::from);
        if let Err(error) = text.and_then(|text| store.save(LEDGER, &text)) {
            log::error!("{error:#}");
        }
        self.ledger = ledger;
    }

    /// What an interface was called at the last look.
    pub fn link_name(&self, ifindex: u32) -> Option<&str> {
        let link = self.links().iter().find(|link| link.ifindex == ifindex)?;
        Some(&link.name)
    }

    /// The interfaces at the last look.
    pub fn links(&self) -> &[Link] {
        &self.observer.view().links
    }

    /// The same, for whoever changes one.
    pub fn links_mut(&mut self) -> &mut [Link] {
        self.observer.links_mut()
    }

    /// What is known of Docker; `None` if nobody asks it.
    pub fn docker_state(&self) -> Option<DockerState> {
        self.docker.as_ref().map(Docker::state)
    }
}

/// The ledger of this boot; one that is damaged costs the numbers, not the start.
fn ledger(store: &Store) -> Result<Ledger> {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(BOOT_ID).with_context(|| format!("read {BOOT_ID}"))?;
    let text = match store.load::<String>(LEDGER) {
        Ok(text) => text,
        Err(error) => {
            log::error!("{error:#}; endpoints are identified anew");
            None
        }
    };
    Ok(match text {
        Some(text) => Ledger::restore(&text, &boot).unwrap_or_else(|error| {
            log::error!("{error}; endpoints are identified anew");
            Ledger::new(&boot)
        }),
        None => Ledger::new(&boot),
    })
}
