//! The kernel: the only room that touches libbpf, and the only one with `unsafe`.
//!
//! [`Kernel`] is the room's door for the one writer: open, observe, apply. [`KernelReader`] is that
//! for everybody who only looks: counters, connections, events.
//!
//! Everything is pinned (see `pins.rs`), so that the end of the daemon changes nothing: the next one
//! adopts it. What differs between interfaces is built into a small program for each (`template.rs`);
//! what is the same is loaded once and replaced by single stores (`loader.rs`).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Once};

use libbpf_rs::PrintLevel;

/// What the build generates from the packet path. Public for the tests that run it directly.
#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/bridgewall.skel.rs"));
}
pub use skeleton::types as abi;

mod accounts;
mod active;
mod apply;
mod attach;
mod bytes;
mod counters;
mod discipline;
mod encode;
mod error;
mod events;
mod flows;
mod growth;
mod heap;
mod instructions;
mod interfaces;
mod layout;
mod loader;
mod maps;
mod observe;
mod pins;
mod probe;
mod reader;
mod settings;
mod shortcuts;
mod sys;
mod template;
mod xdp;

pub use accounts::{EndpointFlows, FlowCounts, Held};
pub use counters::{Counter, EndpointTraffic, EventLosses};
pub use error::{Error, ErrorKind, Errors, Result};
pub use events::{EventReader, NoEvent, parse_event};
pub use flows::{Expired, Flow, FlowEnd, FlowState};
pub use heap::give_back_memory;
pub use loader::Adoption;
pub use maps::MapMemory;
pub use probe::Features;
pub use reader::KernelReader;
pub use settings::KernelSettings;
pub use shortcuts::{Shortcut, Shortcuts};

use crate::config::Attach;
use crate::fault;
use crate::state::actual::{Active, Actual, Mechanism};
use crate::state::desired::{PolicyImage, TemplateConstants};
use crate::state::plan::{Operation, Plan};
use accounts::Accounts;
use active::ActiveWord;
use loader::Loaded;
use maps::Maps;
use pins::Pins;
use sys::ReaderBarrier;
use template::{Mould, TemplateTags};
use xdp::Xdp;

/// What is in the kernel, and the right to change it. One process has it at a time.
#[derive(Debug)]
pub struct Kernel {
    settings: KernelSettings,
    pins: Pins,
    maps: Arc<Maps>,
    accounts: Arc<Accounts>,
    sweep_body: OwnedFd,
    xdp: Xdp,
    /// Why XDP programs do not run in the driver, or nowhere, by interface.
    xdp_obstacles: BTreeMap<u32, String>,
    body_settings: libbpf_rs::MapHandle,
    mould: Mould,
    /// Which layout the maps have.
    layout: u32,
    /// Sets of maps that interfaces may still use.
    predecessors: Vec<u32>,
    adoption: Adoption,
    verified: Vec<(&'static str, u32)>,
    features: Features,
    mechanism: Mechanism,
    tags: TemplateTags,
    active: ActiveWord,
    barrier: ReaderBarrier,
    /// Not all programs look for networks in the same table, which is so after a growth that failed.
    torn: bool,
    /// What the kernel holds, as long as that is certain.
    actual: Option<Actual>,
    /// Who may be reached past the bridge, as long as that is certain.
    shortcuts: Option<Shortcuts>,
}

impl Kernel {
    /// Loads everything, or adopts what is pinned. From here on, the program bodies are those of this
    /// build; interfaces get theirs by the plans that follow.
    ///
    /// # Errors
    /// The settings make no sense, the kernel refuses something, or another process has the right to
    /// change it. What judged before does so still.
    pub fn open(settings: KernelSettings) -> Result<Self> {
        log_what_libbpf_says();
        // Before anything is made.
        let features = Features::probe()?;
        if settings.attach == Attach::Tcx && !features.tcx {
            return Err(Error::found(
                "attach by tcx, as the configuration says",
                "this kernel has none (Linux 6.6 has); write auto or clsact",
            ));
        }
        let pins = Pins::create(&settings.pin_directory)?;
        let is_new = pins.complete_sets()?.is_empty() && pins.interfaces()?.is_empty();
        let Ready {
            loaded,
            mould,
            tags,
            active,
            barrier,
        } = match Ready::make(&pins, &settings) {
            Ok(ready) => ready,
            Err(error) => {
                // A kernel that refuses the programs keeps nothing of them.
                if is_new {
                    for left in pins.remove_all() {
                        log::warn!("{left}");
                    }
                }
                return Err(error);
            }
        };
        let Loaded {
            maps,
            accounts,
            sweep_body,
            xdp,
            settings: body_settings,
            layout,
            predecessors,
            adoption,
            verified,
        } = loaded;
        Ok(Self {
            mechanism: features.mechanism(settings.attach),
            maps: Arc::new(maps),
            accounts: Arc::new(accounts),
            sweep_body,
            xdp,
            xdp_obstacles: BTreeMap::new(),
            settings,
            pins,
            body_settings,
            mould,
            layout,
            predecessors,
            adoption,
            verified,
            features,
            tags,
            active,
            barrier,
            torn: false,
            actual: None,
            shortcuts: None,
        })
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn adoption(&self) -> &Adoption {
        &self.adoption
    }

    /// Whether a bpffs had to be mounted, because there was none.
    #[must_use]
    pub fn mounted_bpffs(&self) -> bool {
        self.pins.mounted
    }

    /// What this kernel can do.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Instructions that the verifier looked at, by program; of a template with all that it can have.
    #[must_use]
    pub fn verified_instructions(&self) -> &[(&'static str, u32)] {
        &self.verified
    }

    /// A way to look without changing anything, for other threads.
    #[must_use]
    pub fn reader(&self) -> KernelReader {
        KernelReader {
            maps: Arc::clone(&self.maps),
            accounts: Arc::clone(&self.accounts),
            timeouts: self.settings.timeouts,
        }
    }

    /// Why the XDP program of an interface does not run in its driver, or nowhere, if this process has
    /// tried.
    #[must_use]
    pub fn xdp_obstacle(&self, ifindex: u32) -> Option<&str> {
        self.xdp_obstacles.get(&ifindex).map(String::as_str)
    }

    /// What the kernel holds. It is read once, carried on with every plan, and read again after
    /// something went wrong. Pins of interfaces that are gone are removed on the way.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn observe(&mut self) -> Result<&Actual> {
        let actual = match self.actual.take() {
            Some(actual) => actual,
            None => self.read()?,
        };
        Ok(self.actual.insert(actual))
    }

    /// Reads what the kernel holds at the next [`Self::observe`], whatever is thought to be known.
    pub fn doubt(&mut self) {
        self.actual = None;
    }

    /// What [`Self::observe`] would say without reading anything, if that is certain.
    #[must_use]
    pub fn known(&self) -> Option<&Actual> {
        self.actual.as_ref()
    }

    fn read(&self) -> Result<Actual> {
        let most = self.settings.limits.network_blocks;
        let mut actual = observe::read(&self.maps, most, self.active.load(), self.mechanism)?;
        for ifindex in self.pins.interfaces()? {
            if let Some(attachment) = self.find(ifindex)? {
                actual.attachments.insert(ifindex, attachment);
            }
        }
        for ifindex in self.pins.xdp_interfaces()? {
            match self.xdp.find(&self.pins, ifindex)? {
                Some(attached) => {
                    actual.xdp.insert(ifindex, attached);
                }
                None => xdp::detach(&self.pins, ifindex)
                    .iter()
                    .for_each(|error| log::warn!("{error}")),
            }
        }
        Ok(actual)
    }

    /// Does what a plan says, in order. Interfaces are independent of each other: what goes wrong with
    /// one is reported, and the others are done. Anything else that goes wrong ends it.
    ///
    /// # Errors
    /// Everything that went wrong. What judges is then either as it was or as the plan wanted it; the
    /// next [`Self::observe`] says which, and a plan made from it leads on.
    pub fn apply(&mut self, plan: &Plan) -> std::result::Result<(), Errors> {
        let mut actual = match self.actual.take() {
            Some(actual) => actual,
            None => self.read()?,
        };
        let mut errors = Vec::new();
        let mut certain = true;
        let mut carried = self.predecessors.is_empty();
        for operation in &plan.operations {
            match operation {
                Operation::AttachXdp(ifindex, wanted) => {
                    match self.xdp.attach(&self.pins, *ifindex, wanted) {
                        Ok((attached, why)) => {
                            actual.xdp.insert(*ifindex, attached);
                            self.xdp_obstacles.remove(ifindex);
                            self.xdp_obstacles.extend(why.map(|why| (*ifindex, why)));
                        }
                        Err(error) => {
                            self.xdp_obstacles.insert(*ifindex, error.to_string());
                            errors.push(error);
                            certain = false;
                        }
                    }
                }
                Operation::DetachXdp(ifindex) => {
                    let failed = xdp::detach(&self.pins, *ifindex);
                    self.xdp_obstacles.remove(ifindex);
                    certain &= failed.is_empty();
                    errors.extend(failed);
                    actual.apply(operation);
                }
                Operation::GrowNetworks(blocks) => {
                    if let Err(error) = self.grow_networks(*blocks, &mut actual) {
                        errors.push(error);
                        return Errors::check(errors);
                    }
                    actual.apply(operation);
                }
                Operation::Attach(ifindex, _) | Operation::Detach(ifindex) => {
                    if !carried {
                        carried = true;
                        if let Err(error) = self.carry_flows() {
                            errors.push(error);
                            return Errors::check(errors);
                        }
                    }
                    let failed = match operation {
                        Operation::Attach(_, attachment) => {
                            match self.attach(*ifindex, attachment) {
                                Ok(mechanism) => {
                                    actual.apply(operation);
                                    if let Some(done) = actual.attachments.get_mut(ifindex) {
                                        done.mechanism = mechanism;
                                    }
                                    continue;
                                }
                                Err(error) => vec![error],
                            }
                        }
                        _ => attach::detach(&self.pins, *ifindex),
                    };
                    if failed.is_empty() {
                        actual.apply(operation);
                        continue;
                    }
                    errors.extend(failed);
                    match self.find(*ifindex) {
                        Ok(Some(attachment)) => actual.attachments.insert(*ifindex, attachment),
                        Ok(None) => actual.attachments.remove(ifindex),
                        Err(error) => {
                            errors.push(error);
                            certain = false;
                            None
                        }
                    };
                }
                _ => {
                    if let (Operation::ChangeNetworks(..), true) = (operation, self.torn) {
                        let blocks = actual.capacity.network_nodes;
                        if let Err(error) = self.grow_networks(blocks, &mut actual) {
                            errors.push(error);
                            return Errors::check(errors);
                        }
                    }
                    if let Err(error) = self.write(operation) {
                        errors.push(error);
                        return Errors::check(errors);
                    }
                    actual.apply(operation);
                }
            }
        }
        errors.extend(self.retire_predecessors(&actual).err());
        if certain {
            self.actual = Some(actual);
        }
        Errors::check(errors)
    }

    /// Does one operation in the maps.
    fn write(&mut self, operation: &Operation) -> Result<()> {
        let maps = &self.maps;
        match operation {
            Operation::RemoveAddresses(keys) => maps.remove_addresses(keys),
            Operation::SetEndpoints(entries) => maps.set_endpoints(entries),
            Operation::SetAddresses(entries) => maps.set_addresses(entries),
            Operation::RemovePublished(keys) => maps.remove_published(keys),
            Operation::SetPublished(entries) => maps.set_published(entries),
            Operation::AwaitReaders => self
                .barrier
                .wait()
                .map_err(|error| Error::io("wait for packets that the old policy judges", &error)),
            Operation::WriteLists(lists) => maps.write_lists(lists),
            Operation::RemovePairs(slot, keys) => maps.remove_pairs(*slot, keys),
            Operation::SetPairs(slot, entries) => maps.set_pairs(*slot, entries),
            Operation::SetSubjects(slot, entries) => maps.set_subjects(*slot, entries),
            Operation::ChangeNetworks(slot, change) => maps.change_networks(*slot, change),
            Operation::SetDenials(slot, entries) => maps.set_denials(*slot, entries),
            Operation::Publish { generation, slot } => {
                fault::step("publish").map_err(|error| Error::io("publish", &error))?;
                let replaces = self.active.load().slot != *slot;
                self.active.publish(Active {
                    generation: *generation,
                    slot: *slot,
                });
                if replaces {
                    self.barrier.begin();
                }
                Ok(())
            }
            Operation::ClearEndpoints(numbers) => {
                maps.clear_endpoints(numbers)?;
                // Whoever gets one of these numbers next begins with an account that is empty.
                self.expire().map(|_| ())
            }
            // Interfaces are not in the maps; `apply` sees to them.
            Operation::Attach(..)
            | Operation::Detach(_)
            | Operation::AttachXdp(..)
            | Operation::DetachXdp(_)
            | Operation::GrowNetworks(_) => Ok(()),
            Operation::SetManagement(keys) => maps.set_management(keys),
            Operation::RemoveManagement(keys) => maps.remove_management(keys),
        }
    }

    /// The policy that judges now has been compared with this one, or written from it.
    pub fn confirm(&mut self, policy: &PolicyImage) {
        if let Some(actual) = &mut self.actual {
            actual.judging_policy = Some(policy.clone());
        }
    }

    /// Takes over what the sets before have learned since.
    fn carry_flows(&self) -> Result<()> {
        self.predecessors.iter().try_for_each(|set| {
            loader::carry_flows(&self.pins, *set, &self.maps, &self.accounts, self.layout)
        })
    }

    /// Removes the sets before when no interface uses them any more.
    fn retire_predecessors(&mut self, actual: &Actual) -> Result<()> {
        let sound = actual.attachments.values().all(|attached| attached.sound)
            && actual.xdp.values().all(|attached| attached.sound);
        if sound {
            for set in std::mem::take(&mut self.predecessors) {
                self.pins.remove_set(set)?;
            }
        }
        Ok(())
    }

    /// Whether allowed new connections are reported too.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn report_allowed(&self, report: bool) -> Result<()> {
        let flags = if report {
            abi::observe_flag::OBSERVE_ALLOWED.0
        } else {
            0
        };
        maps::set(&self.maps.observe, &[(0_u32, flags)])
    }

    /// Removes connections that have been idle for too long, or whose endpoint is gone; `None` if
    /// packets have the kernel do so just now.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn expire(&self) -> Result<Option<Expired>> {
        if self.accounts.total().is_empty() {
            return Ok(Some(Expired::default()));
        }
        flows::expire(self.sweep_body.as_fd())
    }

    /// Who may be reached past the bridge.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn shortcuts(&mut self) -> Result<&mut Shortcuts> {
        let shortcuts = match self.shortcuts.take() {
            Some(shortcuts) => shortcuts,
            None => shortcuts::read(&self.maps)?,
        };
        Ok(self.shortcuts.insert(shortcuts))
    }

    /// From now on these may be reached past the bridge, and nobody else.
    ///
    /// # Errors
    /// The kernel refuses it: some may be reached so that should not.
    pub fn set_shortcuts(&mut self, wanted: Shortcuts) -> Result<()> {
        let there = std::mem::take(self.shortcuts()?);
        self.shortcuts = None;
        shortcuts::change(&self.maps, &there, &wanted)?;
        self.shortcuts = Some(wanted);
        Ok(())
    }

    /// Stops enforcing: removes every program, every pin and every map. Goes on past errors.
    ///
    /// # Errors
    /// Everything that could not be removed.
    pub fn detach_all(self) -> std::result::Result<(), Errors> {
        detach_pinned(self.pins)
    }
}

/// What makes a [`Kernel`].
struct Ready {
    loaded: Loaded,
    mould: Mould,
    tags: TemplateTags,
    active: ActiveWord,
    barrier: ReaderBarrier,
}

impl Ready {
    fn make(pins: &Pins, settings: &KernelSettings) -> Result<Self> {
        let mut loaded = loader::load(pins, settings)?;
        // One template is built for nobody: an interface must not be the first to find out that this
        // kernel refuses it.
        let mould = Mould::make(&loaded.maps, &loaded.settings)?;
        let constants = template::fullest_constants();
        let template = mould.cast(&loaded.maps, &loaded.settings, &constants)?;
        let programs = template.info()?;
        let constants = TemplateConstants::UPLINK;
        let uplink = mould.cast(&loaded.maps, &loaded.settings, &constants)?;
        let uplink = uplink.info()?;
        let tags = TemplateTags::new(&programs, &uplink);
        loaded.verified.extend(
            template::ENDPOINT
                .into_iter()
                .chain(template::UPLINK)
                .zip(programs.iter().chain(&uplink))
                .map(|(name, program)| (name, program.verified_instructions)),
        );
        let active = ActiveWord::map(&loaded.maps.active)?;
        let barrier = ReaderBarrier::new()
            .map_err(|error| Error::io("make a map of maps, to wait for readers", &error))?;
        Ok(Self {
            loaded,
            mould,
            tags,
            active,
            barrier,
        })
    }
}

/// Stops enforcing where no daemon runs: removes every program, every pin and every map below this
/// folder. Goes on past errors. Nothing there is no error.
///
/// # Errors
/// Everything that could not be removed.
pub fn detach_all(pin_directory: &Path) -> std::result::Result<(), Errors> {
    log_what_libbpf_says();
    match Pins::find(pin_directory)? {
        Some(pins) => detach_pinned(pins),
        None => Ok(()),
    }
}

fn detach_pinned(pins: Pins) -> std::result::Result<(), Errors> {
    let mut errors = Vec::new();
    for ifindex in pins.xdp_interfaces()? {
        errors.extend(xdp::detach(&pins, ifindex));
    }
    for ifindex in pins.interfaces()? {
        errors.extend(attach::detach(&pins, ifindex));
    }
    // What is still attached needs its program table: without the pin it would drop everything.
    if errors.is_empty() {
        errors.extend(pins.remove_all());
    }
    Errors::check(errors)
}

/// What libbpf says goes where everything else is logged. It warns of what is looked for and not
/// found, too, and of constants that bodies have no use for: errors that matter come back as errors,
/// and the verifier's words are worth a warning.
fn log_what_libbpf_says() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Info, |level, text| {
            let text = text.trim_end();
            let harmless = ["Kernel error message", "failed to bind map"]
                .iter()
                .any(|known| text.contains(known));
            if level == PrintLevel::Warn && !harmless {
                log::warn!("{text}");
            } else {
                log::debug!("{text}");
            }
        })));
    });
}
