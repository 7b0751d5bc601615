//! The one writer: everything that changes the kernel happens here, one thing after the other.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::host::Host;
use super::management::{self, Connection};
use super::pass::Pass;
use super::policies::{Candidate, Policies, PolicyRefused, Rejection, last_good};
use super::shortcuts::FastPaths;
use super::store::Store;
use super::trial::{self, Trial};
use super::trigger::{Batch, Bell, Trigger};
use super::uplinks::UplinkPlan;
use crate::compile::compiled::Compiled;
use crate::compile::numbering::Numbering;
use crate::config::Config;
use crate::control::house;
use crate::control::lock::DaemonLock;
use crate::control::protocol::{ErrorKind, Response};
use crate::control::report::{ReloadReport, StopReport};
use crate::control::request::{ControlRequest, Verb};
use crate::control::server::Server;
use crate::control::service;
use crate::control::tally::Tally;
use crate::control::time::UnixTime;
use crate::guard::{self, Guard};
use crate::inventory::endpoints::Remark;
use crate::inventory::model::Inventory;
use crate::kernel::{Kernel, KernelReader, KernelSettings, give_back_memory};
use crate::observe::hub::Hub;
use crate::observe::names::Names;
use crate::policy::model::Policy;
use crate::state::desired::ManagementKey;
use crate::watch::files::FileWatch;
use crate::watch::signals;

/// Name of the numbers in the [`Store`].
const NUMBERING: &str = "numbers";

/// Name of the time of the last commit in the [`Store`].
const COMMITTED: &str = "committed-at";

/// Connections that have expired are removed when the next of those that are known does so, but not
/// more and not less often than this. (What has expired is as good as gone anyway; where room is short,
/// the programs remove it themselves.)
const EXPIRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// After a failure, how long until the next try; twice as long each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How long the reader of the events waits after it has failed.
const EVENT_PAUSE: Duration = Duration::from_millis(500);

/// Runs the daemon until it is told to end.
///
/// # Errors
/// It cannot start: nothing was opened by the attempt. [`PolicyRefused`] if that is because of the
/// policy files.
pub fn run(config: Config, lock: DaemonLock) -> Result<()> {
    let (sender, triggers) = mpsc::channel();
    let bell = Bell(sender);
    let mut daemon = Daemon::start(config, &bell)?;
    let server = daemon.listen(&bell)?;
    daemon.ready();
    let detach = daemon.serve(&triggers);
    // Whoever asked for the end waits for the socket to go: that is the last thing.
    let result = daemon.end(detach);
    drop(server);
    drop(lock);
    result
}

/// Everything that the one writer knows.
pub(super) struct Daemon {
    pub config: Config,
    pub store: Store,
    pub policies: Policies,
    pub host: Host,
    pub kernel: Kernel,
    pub guard: Guard,
    pub fast_paths: FastPaths,
    pub reader: KernelReader,
    pub hub: Arc<Hub>,
    pub tally: Arc<Tally>,
    pub numbering: Numbering,
    pub inventory: Inventory,
    pub compiled: Compiled,
    /// What it was compiled from.
    pub compiled_of: Option<Arc<Policy>>,
    pub remarks: Vec<Remark>,
    /// What went wrong at the last pass; empty when the kernel holds what it should.
    pub failures: Vec<String>,
    /// How often the kernel did not take what it should.
    pub kernel_failures: u64,
    pub started_at: UnixTime,
    pub committed_at: Option<UnixTime>,
    /// Interfaces that went since the last look.
    pub gone: BTreeSet<u32>,
    /// Who may always get in.
    pub managers: BTreeSet<ManagementKey>,
    pub uplinks: UplinkPlan,
    pub uplink_warnings: Vec<String>,
    /// A policy that waits for its confirmation.
    pub trial: Option<Trial>,
    files: FileWatch,
    retry: Option<(Instant, Duration)>,
    look_again_at: Option<Instant>,
    expire_at: Instant,
}

/// How the daemon is to end.
enum End {
    /// Enforcement goes on.
    Leave,
    /// Enforcement ends, and this one is told.
    Detach(ControlRequest),
}

impl Daemon {
    /// Reads the policy, looks at the host, and has the kernel enforce it.
    fn start(config: Config, bell: &Bell) -> Result<Self> {
        let store = Store::open(&config.state_directory)?;
        let (policies, candidate) = Policies::open(&config.policy, &store)?;
        let numbering = store.load(NUMBERING).unwrap_or_else(|error| {
            log::error!("{error:#}; numbers are given anew");
            None
        });
        let committed_at = store.load(COMMITTED).unwrap_or_else(|error| {
            log::warn!("{error:#}");
            None
        });
        let ring = bell.clone();
        signals::watch(move |request| {
            ring.ring(Trigger::Signal(request));
        })
        .context("install the signal handlers")?;
        let ring = bell.clone();
        let files = FileWatch::new(move || {
            ring.ring(Trigger::Files);
        })
        .context("watch the policy files")?;
        let host = Host::watch(&config, &store, bell)?;
        let kernel = Kernel::open(KernelSettings::from(&config))?;
        log::info!("{}", kernel.adoption());
        let ring = bell.clone();
        guard::watch::start(move || match ring.ring(Trigger::Guard) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })?;
        let guard = Guard::open(&config)?;
        host.await_docker();

        let mut daemon = Self {
            reader: kernel.reader(),
            store,
            policies,
            host,
            kernel,
            guard,
            fast_paths: FastPaths::new(config.bridges.fast_path)?,
            hub: Arc::default(),
            tally: Arc::default(),
            numbering: numbering.unwrap_or_default(),
            inventory: Inventory::default(),
            compiled: Compiled::default(),
            compiled_of: None,
            remarks: Vec::new(),
            failures: Vec::new(),
            kernel_failures: 0,
            started_at: UnixTime::now(),
            committed_at,
            gone: BTreeSet::new(),
            managers: BTreeSet::new(),
            uplinks: UplinkPlan::default(),
            uplink_warnings: Vec::new(),
            trial: None,
            files,
            retry: None,
            look_again_at: None,
            expire_at: Instant::now(),
            config,
        };
        daemon.watch_files();
        // What changed before the watch began.
        bell.ring(Trigger::Files);
        daemon.begin(candidate)?;
        daemon.read_events()?;
        Ok(daemon)
    }

    /// The first policy: that of the files, or the last good one if those are refused only now.
    fn begin(&mut self, candidate: Candidate) -> Result<()> {
        let refusal = match self.take(candidate) {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        let Some(last_good) = last_good(&self.store)? else {
            bail!(PolicyRefused(refusal));
        };
        self.policies.refuse(&refusal);
        self.meet_managers(None);
        let pass = Pass::prepare(self, &last_good.policy).map_err(anyhow::Error::msg)?;
        self.enforce(pass, last_good)
    }

    /// Hands the kernel's events on, from a thread of its own, for as long as the process lives.
    fn read_events(&self) -> Result<()> {
        let hub = Arc::clone(&self.hub);
        let reader = self.reader.clone();
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                let events = match reader.events(move |event| hub.publish(event)) {
                    Ok(events) => events,
                    Err(error) => return log::error!("no events will be shown: {error}"),
                };
                // It would keep maps alive that are replaced.
                drop(reader);
                loop {
                    // It sleeps until there are some: an idle host pays nothing for it.
                    if let Err(error) = events.poll(Duration::MAX) {
                        log::error!("{error}");
                        thread::sleep(EVENT_PAUSE);
                    }
                }
            })
            .context("start the thread that reads events")?;
        Ok(())
    }

    fn listen(&self, bell: &Bell) -> Result<Server> {
        let ring = bell.clone();
        let control = &self.config.control;
        let server = Server::start(
            &control.socket,
            &control.group,
            house::Limits::default(),
            Arc::clone(&self.hub),
            Arc::clone(&self.tally),
            Box::new(move |request| ring.ring(Trigger::Control(request))),
        )?;
        Ok(server)
    }

    fn ready(&mut self) {
        let generation = self.generation();
        log::info!(
            "enforcing: {} endpoints, {} rules, generation {generation}",
            self.inventory.endpoints.len(),
            self.policies.current().rules.len(),
        );
        service::ready();
    }

    /// Takes triggers until one of them says that it is enough.
    fn serve(&mut self, triggers: &Receiver<Trigger>) -> End {
        loop {
            let mut batch = Batch::default();
            match triggers.recv_timeout(self.wait()) {
                Ok(trigger) => batch.add(trigger),
                Err(RecvTimeoutError::Timeout) => {}
                // Every watcher is gone: there is nothing left that could be noticed.
                Err(RecvTimeoutError::Disconnected) => batch.terminate = true,
            }
            triggers.try_iter().for_each(|trigger| batch.add(trigger));
            if let Some(end) = self.attend(batch) {
                return end;
            }
        }
    }

    /// How long there is nothing to do unless something happens.
    fn wait(&self) -> Duration {
        let retry = self.retry.map(|(at, _)| at);
        let trial = self.trial.as_ref().map(Trial::deadline);
        let next = [
            retry,
            self.look_again_at,
            self.fast_paths.review_at(),
            trial,
        ]
        .into_iter()
        .flatten()
        .fold(self.expire_at, Instant::min);
        next.saturating_duration_since(Instant::now())
    }

    fn attend(&mut self, batch: Batch) -> Option<End> {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let changed = batch.host.is_some();
        if let Some(changes) = batch.host {
            self.gone.extend(&changes.gone);
            if changes.is_everything() {
                self.kernel.doubt();
            }
            let kernel = &mut self.kernel;
            changes
                .filters
                .iter()
                .for_each(|ifindex| kernel.look_again(*ifindex));
            self.host.note(changes);
        }
        match &mut self.trial {
            // They are read when it is over.
            Some(trial) => trial.touched |= batch.files || batch.reload,
            None if batch.files || batch.reload => {
                // The outcome is in the log and in `status`.
                let _ = self.reload(batch.reload);
            }
            None => {}
        }
        if changed || due(self.retry.map(|(at, _)| at)) || due(self.look_again_at) {
            self.look();
        }
        if batch.guard {
            self.keep_guard();
        }
        if batch.guard || due(self.fast_paths.review_at()) {
            self.review_shortcuts();
        }
        if self.expire_at <= now {
            self.expire_at = now + self.expire();
            self.keep_order();
        }
        let mut end = None;
        // Who confirms at the last moment is heard before the time is up.
        for request in batch.requests {
            if let Some(last) = self.answer(request) {
                end = Some(last);
            }
        }
        if due(self.trial.as_ref().map(Trial::deadline)) {
            self.end_trial();
        }
        end.or_else(|| batch.terminate.then_some(End::Leave))
    }

    /// Removes connections that have expired. Returns when to do so again.
    fn expire(&self) -> Duration {
        let (shortest, longest) = EXPIRY;
        match self.kernel.expire() {
            Ok(Some(expired)) => expired.next.unwrap_or(longest).clamp(shortest, longest),
            Ok(None) => shortest,
            Err(error) => {
                log::warn!("{error}");
                longest
            }
        }
    }

    fn answer(&mut self, request: ControlRequest) -> Option<End> {
        if matches!(request.verb, Verb::Status | Verb::Doctor) {
            self.keep_order();
        }
        let response = match &request.verb {
            Verb::Reload if self.trial.is_some() => trial::occupied(),
            Verb::Reload => self.reload(true),
            Verb::Apply(apply) => self.apply(apply),
            Verb::Confirm { revision, keep } => self.confirm(*revision, *keep),
            Verb::Alive => Response::Done,
            Verb::ObserveAllowed(on) => match self.kernel.report_allowed(*on) {
                Ok(()) => Response::Done,
                Err(error) => Response::error(ErrorKind::Failed, error.to_string()),
            },
            Verb::Stop { detach: true } => return Some(End::Detach(request)),
            Verb::Stop { detach: false } => {
                let _ = request
                    .reply
                    .send(Response::Stopping(StopReport::default()));
                return Some(End::Leave);
            }
            Verb::Status => self.status(),
            Verb::List(listing) => self.list(*listing),
            Verb::Explain(question) => self.explain(question),
            Verb::Doctor => self.examine(),
        };
        // Whoever asked may have gone away.
        let _ = request.reply.send(response);
        None
    }

    /// Reads the policy files again, and takes the policy if all is well with it.
    pub(super) fn reload(&mut self, forced: bool) -> Response {
        let response = match self.policies.read(forced) {
            None => None,
            Some(Ok(candidate)) => Some(self.take(candidate)),
            Some(Err(refusal)) => Some(Err(refusal)),
        };
        self.watch_files();
        match response {
            None => Response::Reloaded(self.reloaded(false)),
            Some(Ok(changed)) => Response::Reloaded(self.reloaded(changed)),
            Some(Err(refusal)) => {
                self.policies.refuse(&refusal);
                refusal.answer()
            }
        }
    }

    /// Whether anything in the kernel had to change.
    fn take(&mut self, candidate: Candidate) -> Result<bool, Rejection> {
        let before = self.meet_managers(None);
        let taken = self.try_to_take(candidate);
        let changed = taken.inspect_err(|_| self.managers = before)?;
        let generation = self.generation();
        log::info!(
            "policy revision {} in force: {} rules, generation {generation}",
            self.policies.revision(),
            self.policies.current().rules.len(),
        );
        Ok(changed)
    }

    fn try_to_take(&mut self, candidate: Candidate) -> Result<bool, Rejection> {
        let pass = Pass::prepare(self, &candidate.policy).map_err(Rejection::Policy)?;
        pass.test(&candidate.policy).map_err(Rejection::Policy)?;
        let changed = pass.publishes();
        self.enforce(pass, candidate)
            .map_err(|error| Rejection::Policy(format!("{error:#}")))?;
        Ok(changed)
    }

    /// Whoever manages the host now may go on, whatever the next policy says. Returns who could until now.
    pub(super) fn meet_managers(&mut self, caller: Option<&Connection>) -> BTreeSet<ManagementKey> {
        let managers = management::find(&self.config.management, caller);
        std::mem::replace(&mut self.managers, managers)
    }

    fn enforce(&mut self, pass: Pass, candidate: Candidate) -> Result<()> {
        self.commit(pass)?;
        self.policies.accept(candidate, &self.store);
        self.name_everything();
        self.tell_service();
        give_back_memory();
        Ok(())
    }

    fn reloaded(&mut self, changed: bool) -> ReloadReport {
        let generation = self.generation();
        let policy = self.policies.current();
        ReloadReport {
            revision: self.policies.revision(),
            rules: policy.rules.len(),
            identities: policy.identities.len(),
            generation,
            changed,
        }
    }

    /// The host has changed, or may have: has the kernel hold what follows from it.
    pub(super) fn look(&mut self) {
        let policy = Arc::clone(self.policies.current());
        let done = Pass::prepare(self, &policy)
            .map_err(anyhow::Error::msg)
            .and_then(|pass| {
                let renumbered = pass.numbering.is_some();
                self.commit(pass).map(|()| renumbered)
            });
        match done {
            Ok(renumbered) => {
                if renumbered {
                    self.name_everything();
                }
                self.tell_service();
            }
            Err(error) => self.failed(vec![format!("{error:#}")]),
        }
    }

    /// Apply.
    ///
    /// What goes wrong with one interface is no error here, but is kept in mind and tried again.
    ///
    /// # Errors
    /// The policy could not be written. The one that judged before does so still.
    pub(super) fn commit(&mut self, mut pass: Pass) -> Result<()> {
        let publishes = pass.publishes();
        let mut failures = self.withdraw_shortcuts(&pass.inventory);
        failures.extend(self.disarm(&pass.inventory));
        pass.phases.done("disarm");
        let applied = if pass.plan.is_empty() {
            Ok(())
        } else {
            self.kernel.apply(&pass.plan)
        };
        pass.phases.done("apply");
        // Tables that have grown are others.
        self.reader = self.kernel.reader();
        self.kernel_failures += u64::from(applied.is_err());
        match applied {
            Ok(()) => {}
            // Published or not: that is what counts.
            Err(errors) if publishes && !self.has_published(&pass)? => return Err(errors.into()),
            Err(errors) => failures.extend(errors.iter().map(ToString::to_string)),
        }
        if failures.is_empty() {
            self.kernel.confirm(&pass.image());
        }
        failures.extend(self.arm(&pass.inventory)?);
        pass.phases.done("arm");
        failures.extend(self.give_shortcuts(&pass.inventory));
        pass.phases.done("shortcuts");
        if publishes {
            self.committed_at = Some(UnixTime::now());
            self.keep(COMMITTED, &self.committed_at);
            if let Some(numbering) = pass.numbering.take() {
                self.numbering = numbering;
                self.keep(NUMBERING, &self.numbering);
            }
        }
        if self.remarks != pass.remarks {
            for remark in pass
                .remarks
                .iter()
                .filter(|remark| !self.remarks.contains(remark))
            {
                if remark.is_trouble() {
                    log::warn!("{remark}");
                } else {
                    log::info!("{remark}");
                }
            }
            self.remarks = pass.remarks;
        }
        self.warn_of_uplinks(&pass.uplinks);
        self.uplinks = pass.uplinks;
        self.look_again_at = pass.check_again_at;
        let same_numbers = Arc::ptr_eq(&pass.compiled.identities, &self.compiled.identities);
        if same_numbers && pass.inventory != self.inventory {
            let names = self.hub.names().with_inventory(&pass.inventory);
            self.hub.rename(names);
        }
        self.host.settle(pass.ledger, &self.store);
        self.inventory = pass.inventory;
        self.compiled = pass.compiled;
        self.compiled_of = Some(pass.policy);
        pass.phases.done("keep");
        log::debug!("one pass: {}", pass.phases);
        if failures.is_empty() {
            self.failures.clear();
            self.retry = None;
        } else {
            self.failed(failures);
        }
        Ok(())
    }

    /// For the next start. That it failed is told, and changes nothing that is enforced.
    fn keep<T: Serialize>(&self, name: &str, value: &T) {
        if let Err(error) = self.store.save(name, value) {
            log::error!("{error:#}");
        }
    }

    fn has_published(&mut self, pass: &Pass) -> Result<bool> {
        let active = self.kernel.observe()?.active;
        Ok(pass.published() == Some(active.generation))
    }

    /// Something went wrong: it is told once, and tried again later.
    pub(super) fn failed(&mut self, failures: Vec<String>) {
        for failure in failures
            .iter()
            .filter(|failure| !self.failures.contains(failure))
        {
            log::error!("{failure}");
        }
        self.failures = failures;
        let (shortest, longest) = RETRY;
        let pause = self
            .retry
            .map_or(shortest, |(_, pause)| (pause * 2).min(longest));
        self.retry = Some((Instant::now() + pause, pause));
    }

    /// In the words of the inventory and the policy that judge now.
    pub(super) fn name_everything(&self) {
        let policy = self.policies.current();
        self.hub
            .rename(Names::new(&self.inventory, policy, &self.compiled));
    }

    pub(super) fn tell_service(&self) {
        service::status(&format!(
            "{} endpoints, {} rules, policy revision {}",
            self.inventory.endpoints.len(),
            self.policies.current().rules.len(),
            self.policies.revision(),
        ));
    }

    fn watch_files(&mut self) {
        if let Err(error) = self.files.set(&self.policies.watched()) {
            log::warn!("changes of some policy files will not be noticed: {error}");
        }
    }

    /// The generation that judges; 0 while it cannot be told.
    pub fn generation(&mut self) -> u64 {
        self.kernel
            .observe()
            .map_or(0, |actual| actual.active.generation)
    }

    fn end(mut self, end: End) -> Result<()> {
        service::stopping();
        let End::Detach(request) = end else {
            log::info!("the daemon ends; enforcement goes on");
            return Ok(());
        };
        let problems = self.guard.remove();
        let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        if let Err(errors) = self.kernel.detach_all() {
            problems.extend(errors.iter().map(ToString::to_string));
        }
        for problem in &problems {
            log::error!("{problem}");
        }
        log::info!("the daemon ends, and enforcement with it");
        let report = StopReport {
            detached: true,
            problems,
        };
        let _ = request.reply.send(Response::Stopping(report));
        Ok(())
    }
}
