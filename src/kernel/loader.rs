//! Maps and bodies: adopted from pins where they fit, made anew beside the old ones where they do
//! not. Either way no packet meets a moment without them.

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{
    MapCore, MapFlags, MapHandle, MapType, OpenMap, OpenObject, ProgramMut, libbpf_sys,
};

use super::abi;
use super::accounts::Accounts;
use super::bytes::bytes_of;
use super::error::{Error, Result};
use super::flows;
use super::maps::{self, Maps};
use super::pins::{LAYOUT, Pins};
use super::settings::{self, KernelSettings, NETWORK_NODES};
use super::skeleton::{BridgewallSkel, BridgewallSkelBuilder, OpenBridgewallSkel};
use super::sys;
use super::xdp::Xdp;
use crate::fault;
use crate::state::actual::Active;

/// What was found when the kernel part was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing of ours: everything is new, and nothing is judged yet.
    Fresh,
    /// Maps that fit: the policy in them has been judging all the while.
    Adopted,
    /// Maps that do not fit: new ones were made, and interfaces move to them as they are attached
    /// again; until then the old ones judge. With the reason.
    Replaced(String),
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => f.write_str("started anew"),
            Self::Adopted => f.write_str("adopted what was pinned"),
            Self::Replaced(reason) => write!(f, "replaced what was pinned: {reason}"),
        }
    }
}

/// Maps and bodies, ready.
pub(super) struct Loaded {
    pub(super) maps: Maps,
    pub(super) accounts: Accounts,
    /// The program that removes what has expired.
    pub(super) sweep_body: OwnedFd,
    /// The program that uplinks may have before all others.
    pub(super) xdp: Xdp,
    /// The settings of the bodies, which templates may read too.
    pub(super) settings: MapHandle,
    /// Which layout the maps have.
    pub(super) layout: u32,
    /// Sets that interfaces may still use, oldest first.
    pub(super) predecessors: Vec<u32>,
    pub(super) adoption: Adoption,
    /// Instructions that the verifier looked at, by body.
    pub(super) verified: Vec<(&'static str, u32)>,
}

/// Opens the skeleton, with nothing loaded yet.
pub(super) fn open_skeleton(
    storage: &mut MaybeUninit<OpenObject>,
) -> Result<OpenBridgewallSkel<'_>> {
    BridgewallSkelBuilder::default()
        .open(storage)
        .map_err(|error| Error::bpf("open the programs", &error))
}

/// Adopts or makes the maps, and puts the bodies in their places.
pub(super) fn load(pins: &Pins, settings: &KernelSettings) -> Result<Loaded> {
    let mut storage = MaybeUninit::uninit();
    let mut skeleton = open_skeleton(&mut storage)?;
    let ours = configure(&mut skeleton, settings)?;

    let mut predecessors = pins.complete_sets()?;
    if let Some(newest) = predecessors.last() {
        take_size_of_networks(pins, *newest, &mut skeleton, settings)?;
    }
    let mut adoption = Adoption::Fresh;
    let mut adopted = None;
    if let Some(newest) = predecessors.last().copied() {
        match adopt(pins, newest, &skeleton, ours)? {
            Fit::Fits(maps) => {
                adoption = Adoption::Adopted;
                predecessors.pop();
                adopted = Some(*maps);
            }
            Fit::Differs(reason) => {
                share(pins, newest, &mut skeleton, ours)?;
                adoption = Adoption::Replaced(reason);
            }
        }
    }
    if let Some(maps) = &adopted {
        reuse(&mut skeleton, maps, |_| true)?;
    }

    step("load the programs")?;
    let skeleton = skeleton.load().map_err(|error| {
        Error::bpf("load the programs (see the log for the verifier's)", &error)
    })?;
    let maps = match adopted {
        Some(maps) => maps,
        None => {
            let set = predecessors.last().map_or(1, |last| last + 1);
            let maps = pin_new(pins, set, skeleton.object())?;
            if let Some(before) = predecessors.last() {
                carry_on(pins, *before, &maps, &Accounts::map(&maps.accounts)?, ours)?;
            }
            complete(pins, set, ours)?;
            maps
        }
    };
    let verified = place_bodies(&maps, &skeleton)?;
    let sweep_body = keep("sweep_body", &skeleton.progs.sweep_body)?;
    let xdp = Xdp::new(keep("uplink_xdp", &skeleton.progs.uplink_xdp)?, &maps)?;
    let settings = MapHandle::try_from(&*skeleton.maps.rodata)
        .map_err(|error| Error::bpf("keep the settings", &error))?;
    Ok(Loaded {
        accounts: Accounts::map(&maps.accounts)?,
        maps,
        sweep_body,
        xdp,
        settings,
        layout: ours,
        predecessors,
        adoption,
        verified,
    })
}

/// Sizes and settings; the templates stay out. Returns the layout that the programs are made for.
fn configure(skeleton: &mut OpenBridgewallSkel<'_>, settings: &KernelSettings) -> Result<u32> {
    let cpus = libbpf_rs::num_possible_cpus()
        .map_err(|error| Error::bpf("count the CPUs that there may be", &error))?;
    for mut map in skeleton.open_object_mut().maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(entries) = settings.entries(&name, cpus) {
            map.set_max_entries(entries)
                .map_err(|error| Error::bpf(format!("set the size of map {name}"), &error))?;
        }
    }
    skeleton
        .maps
        .rodata_endpoint
        .set_autocreate(false)
        .map_err(|error| Error::bpf("leave out the templates' constants", &error))?;
    skeleton.progs.from_endpoint.set_autoload(false);
    skeleton.progs.to_endpoint.set_autoload(false);
    skeleton.progs.from_uplink.set_autoload(false);
    skeleton.progs.to_uplink.set_autoload(false);
    let data = skeleton
        .maps
        .rodata_data
        .as_deref_mut()
        .ok_or_else(|| Error::found("write the settings", "they are not mapped"))?;
    let timeouts = &settings.timeouts;
    let limits = &settings.limits;
    data.settings = abi::settings {
        mark_shift: settings.mark_shift.bits(),
        recent_bits: settings::recent_bits(cpus),
        event_burst: settings.event_burst,
        timeout_tcp_new: timeouts.tcp_new,
        timeout_tcp: timeouts.tcp,
        timeout_tcp_closing: timeouts.tcp_closing,
        timeout_udp_new: timeouts.udp_new,
        timeout_udp: timeouts.udp,
        timeout_icmp: timeouts.icmp,
        timeout_other: timeouts.other,
        flows: by_stage(limits.new_flows, limits.flows),
        flows_of_endpoint: by_stage(limits.new_flows_per_endpoint, limits.flows_per_endpoint),
    };
    Ok(data.layout_version)
}

/// In the order of `enum flow_stage`.
const fn by_stage(new: u32, answered: u32) -> [u32; abi::flow_stage::STAGES.0 as usize] {
    let mut values = [0; abi::flow_stage::STAGES.0 as usize];
    values[abi::flow_stage::STAGE_NEW.0 as usize] = new;
    values[abi::flow_stage::STAGE_ANSWERED.0 as usize] = answered;
    values
}

/// Has the programs use maps that are open already.
fn reuse(
    skeleton: &mut OpenBridgewallSkel<'_>,
    maps: &Maps,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    for mut map in skeleton.open_object_mut().maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let known = maps
            .all()
            .find(|(known, _)| *known == name && wanted(known));
        if let Some((_, open)) = known {
            map.reuse_fd(open.as_fd())
                .map_err(|error| Error::bpf(format!("adopt map {name}"), &error))?;
        }
    }
    Ok(())
}

/// The networks' table has grown with what was needed: it is adopted as large as it is, if that is
/// still allowed.
fn take_size_of_networks(
    pins: &Pins,
    set: u32,
    skeleton: &mut OpenBridgewallSkel<'_>,
    settings: &KernelSettings,
) -> Result<()> {
    let wanted = &mut skeleton.maps.network_nodes;
    if !pins.map(set, NETWORK_NODES).exists() {
        return Ok(());
    }
    let size = open_map(pins, set, NETWORK_NODES)?.max_entries();
    if size > wanted.max_entries() && size <= settings.limits.network_blocks {
        wanted
            .set_max_entries(size)
            .map_err(|error| Error::bpf("set the size of the networks' table", &error))?;
    }
    Ok(())
}

/// Loads the programs again with a larger table for networks, into which `fill` copies what is in the
/// one before, and puts the bodies in their places: whichever of them a packet meets meanwhile finds the
/// same. `began` is set as soon as some of them may use the new one.
pub(super) fn load_with_larger_networks(
    settings: &KernelSettings,
    maps: &Maps,
    blocks: u32,
    fill: impl FnOnce(&Maps) -> Result<()>,
    began: &mut bool,
) -> Result<(Maps, Xdp)> {
    let mut storage = MaybeUninit::uninit();
    let mut skeleton = open_skeleton(&mut storage)?;
    configure(&mut skeleton, settings)?;
    reuse(&mut skeleton, maps, |name| name != NETWORK_NODES)?;
    let size = |error| Error::bpf("set the size of the networks' table", &error);
    let table = &mut skeleton.maps.network_nodes;
    table.set_max_entries(blocks).map_err(size)?;
    step("load the programs again")?;
    let skeleton = skeleton.load().map_err(|error| {
        let what = format!("make room for {blocks} blocks of networks");
        Error::bpf(what, &error)
    })?;
    let table = MapHandle::try_from(&skeleton.maps.network_nodes)
        .map_err(|error| Error::bpf("keep the networks' table", &error))?;
    let larger = maps.with(NETWORK_NODES, &table)?;
    fill(&larger)?;
    *began = true;
    place_bodies(&larger, &skeleton)?;
    let xdp = Xdp::new(keep("uplink_xdp", &skeleton.progs.uplink_xdp)?, &larger)?;
    Ok((larger, xdp))
}

enum Fit {
    Fits(Box<Maps>),
    Differs(String),
}

/// Opens a pinned set, if it is as the programs want it.
fn adopt(pins: &Pins, set: u32, skeleton: &OpenBridgewallSkel<'_>, ours: u32) -> Result<Fit> {
    let found = layout(pins, set)?;
    if found != ours {
        return Ok(Fit::Differs(format!(
            "its layout is {found}, and ours {ours}"
        )));
    }
    for wanted in skeleton.open_object().maps() {
        let name = wanted.name().to_string_lossy().into_owned();
        if !Maps::NAMES.contains(&name.as_str()) {
            continue;
        }
        if let Some(reason) = misfit(pins, set, &name, &wanted)? {
            return Ok(Fit::Differs(reason));
        }
    }
    Maps::open(|name| open_map(pins, set, name)).map(|maps| Fit::Fits(Box::new(maps)))
}

/// What keeps a pinned map from being the one that the programs want.
fn misfit(pins: &Pins, set: u32, name: &str, wanted: &OpenMap<'_>) -> Result<Option<String>> {
    if !pins.map(set, name).exists() {
        return Ok(Some(format!("map {name} is missing")));
    }
    let info = open_map(pins, set, name)?
        .info()
        .map_err(|error| Error::bpf(format!("read what map {name} is"), &error))?
        .info;
    let is = (info.type_, info.key_size, info.value_size, info.map_flags);
    let should = (
        wanted.map_type() as u32,
        wanted.key_size(),
        wanted.value_size(),
        wanted.map_flags(),
    );
    if is != should {
        return Ok(Some(format!("map {name} is of another kind")));
    }
    if info.max_entries != wanted.max_entries() {
        return Ok(Some(format!(
            "map {name} has room for {}, and should for {}",
            info.max_entries,
            wanted.max_entries()
        )));
    }
    Ok(None)
}

/// Tables that a new set has in common with the set before, where they fit. While interfaces move from
/// one set to the other, and if the daemon dies meanwhile, both ends of a connection must know it: the
/// one who opens it may be on one set, and the one who answers on the other. What is counted goes with
/// what is counted there: all of a group, or none.
const SHARED: [&[&str]; 2] = [
    &["flows", "reopened", "accounts", "sweeper"],
    &["fragments"],
];

fn share(pins: &Pins, before: u32, skeleton: &mut OpenBridgewallSkel<'_>, ours: u32) -> Result<()> {
    if layout(pins, before)? != ours {
        return Ok(());
    }
    for group in SHARED {
        let mut fits = 0;
        for map in skeleton.open_object().maps() {
            let name = map.name().to_string_lossy();
            let is_shared = group.contains(&name.as_ref());
            fits += usize::from(is_shared && misfit(pins, before, &name, &map)?.is_none());
        }
        if fits < group.len() {
            continue;
        }
        for mut map in skeleton.open_object_mut().maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if group.contains(&name.as_str()) {
                map.reuse_fd(open_map(pins, before, &name)?.as_fd())
                    .map_err(|error| Error::bpf(format!("share map {name}"), &error))?;
            }
        }
    }
    Ok(())
}

fn open_map(pins: &Pins, set: u32, name: &str) -> Result<MapHandle> {
    step("open a pinned map")?;
    let path = pins.map(set, name);
    MapHandle::from_pinned_path(&path)
        .map_err(|error| Error::bpf(format!("open pin {}", path.display()), &error))
}

/// The layout that a complete set says it has.
fn layout(pins: &Pins, set: u32) -> Result<u32> {
    let record = open_map(pins, set, LAYOUT)?;
    Ok(maps::get(&record, &0_u32)?.unwrap_or(0))
}

/// Pins the maps of a loaded object as a set that is not complete yet.
fn pin_new(pins: &Pins, set: u32, object: &libbpf_rs::Object) -> Result<Maps> {
    pins.make_set(set)?;
    Maps::open(|name| {
        let map = object
            .maps()
            .find(|map| map.name() == name)
            .ok_or_else(|| Error::found(format!("find map {name}"), "the programs have none"))?;
        let path = pins.map(set, name);
        sys::pin(map.as_fd(), &path)
            .map_err(|error| Error::io(format!("pin {}", path.display()), &error))?;
        MapHandle::try_from(&map).map_err(|error| Error::bpf(format!("keep map {name}"), &error))
    })
}

/// Writes the record that says that a set is complete.
fn complete(pins: &Pins, set: u32, layout: u32) -> Result<()> {
    step("say that a set of maps is complete")?;
    let path = pins.map(set, LAYOUT);
    let what = || format!("pin {}", path.display());
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let mut record = MapHandle::create(MapType::Array, Some("bw_layout"), 4, 4, 1, &options)
        .map_err(|error| Error::bpf(what(), &error))?;
    maps::set(&record, &[(0_u32, layout)])?;
    step("pin the layout")?;
    record
        .pin(&path)
        .map_err(|error| Error::bpf(what(), &error))
}

/// Goes on where the set before was: with a later generation, so that everything is judged again, and
/// with its connections, as far as their layout is the same.
fn carry_on(pins: &Pins, before: u32, maps: &Maps, accounts: &Accounts, ours: u32) -> Result<()> {
    let active = open_map(pins, before, "active")?;
    let word: u64 = maps::get(&active, &0_u32)?.unwrap_or(0);
    let generation = Active::from_raw(word).generation;
    let word = Active {
        generation,
        ..Active::from_raw(0)
    }
    .raw();
    maps::set(&maps.active, &[(0_u32, word)])?;
    carry_flows(pins, before, maps, accounts, ours)
}

/// Copies connections that the new set does not know from a set before.
pub(super) fn carry_flows(
    pins: &Pins,
    before: u32,
    maps: &Maps,
    accounts: &Accounts,
    ours: u32,
) -> Result<()> {
    if layout(pins, before)? != ours {
        log::warn!(
            "the layout of the kernel's tables has changed: established connections are not carried \
             over, and end unless the policy allows them to begin"
        );
        return Ok(());
    }
    let from = open_map(pins, before, "flows")?;
    if maps::id(&from)? != maps::id(&maps.flows)? {
        flows::copy(&from, maps, accounts)?;
    }
    Ok(())
}

fn step(what: &'static str) -> Result<()> {
    fault::step(what).map_err(|error| Error::io(what, &error))
}

fn keep(name: &str, program: &ProgramMut<'_>) -> Result<OwnedFd> {
    let kept = program.as_fd().try_clone_to_owned();
    kept.map_err(|error| Error::io(format!("keep the program {name}"), &error))
}

/// Writes the bodies into the program table: each takes effect with one store.
fn place_bodies(maps: &Maps, skeleton: &BridgewallSkel<'_>) -> Result<Vec<(&'static str, u32)>> {
    let programs = &skeleton.progs;
    let bodies = [
        // First where others lead to.
        (
            abi::body::BODY_JUDGE_SENT,
            "judge_sent_body",
            &programs.judge_sent_body,
        ),
        (
            abi::body::BODY_JUDGE_RECEIVED,
            "judge_received_body",
            &programs.judge_received_body,
        ),
        (
            abi::body::BODY_FROM_ENDPOINT,
            "from_endpoint_body",
            &programs.from_endpoint_body,
        ),
        (
            abi::body::BODY_TO_ENDPOINT,
            "to_endpoint_body",
            &programs.to_endpoint_body,
        ),
        (abi::body::BODY_DROP, "drop_body", &programs.drop_body),
        (
            abi::body::BODY_FROM_UPLINK,
            "from_uplink_body",
            &programs.from_uplink_body,
        ),
        (
            abi::body::BODY_TO_UPLINK,
            "to_uplink_body",
            &programs.to_uplink_body,
        ),
    ];
    let mut verified = Vec::new();
    for (place, name, program) in bodies {
        step("put a body in its place")?;
        let value = program.as_fd().as_raw_fd();
        maps.bodies
            .update(bytes_of(&place.0), &value.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| Error::bpf(format!("put {name} in its place"), &error))?;
        let info = sys::program_info(program.as_fd())
            .map_err(|error| Error::io(format!("read about {name}"), &error))?;
        verified.push((name, info.verified_instructions));
    }
    Ok(verified)
}
