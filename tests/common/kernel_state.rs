//! What the kernel holds on behalf of a daemon, in words that two daemons can be compared by: numbers
//! that are given anew by each are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use bridgewall::config::Config;
use bridgewall::control::client::Client;
use bridgewall::control::protocol::{Listing, Request, Response};
use bridgewall::inventory::model::MacAddress;
use bridgewall::kernel::{Kernel, KernelSettings};
use bridgewall::policy::Trust;
use bridgewall::state::actual::{Actual, Mechanism, SubjectPlaces};
use bridgewall::state::desired::{AddressKey, AddressOwner};
use bridgewall::state::networks::Networks;
use bridgewall::state::numbers::{EndpointNumber, IdentityNumber, PeerKind};
use bridgewall::state::steps::StepList;

use super::daemon::Daemon;
use super::place::Place;

type List = Option<Arc<StepList>>;

/// What the kernel holds.
#[derive(Debug, PartialEq)]
pub struct KernelState {
    /// By the interface's index: its bridge's index, and its identity.
    endpoints: BTreeMap<u32, (Option<u32>, String)>,
    /// Whose an address is: an interface's, or the host's.
    addresses: BTreeMap<AddressKey, Option<u32>>,
    /// By the interface's index: how, whether as it should be, for which endpoint, and who may send.
    attachments: BTreeMap<u32, (Mechanism, bool, Option<u32>, Option<String>)>,
    /// What identities do with kinds of peers.
    subjects: BTreeMap<String, Vec<List>>,
    /// What identities do with others.
    pairs: BTreeMap<(String, String, String), List>,
    /// Who is in the world outside, of every 2^16th part of it: where that begins.
    networks: Vec<(IpAddr, String)>,
    /// Paths below the folder of pins.
    pins: BTreeSet<String>,
    /// Interfaces that the guard knows as armed.
    armed: BTreeSet<String>,
}

impl KernelState {
    /// Kills the daemon, and reads everything back.
    #[track_caller]
    pub fn left_by(daemon: &mut Daemon, place: &Place) -> Self {
        let names = identities(daemon);
        daemon.kill();
        let config = place.directory().join("bridgewall.toml");
        let config = Config::load(Some(&config), Trust::Any).expect("a configuration");
        let pins = pins(&place.pins());
        let actual = place.namespace.inside(|| {
            let mut kernel = Kernel::open(KernelSettings::from(&config)).expect("what is pinned");
            kernel.observe().expect("what the kernel holds").clone()
        });
        let group = config.guard.group.to_string();
        let armed = place
            .namespace
            .run("ip", &["-brief", "link", "show", "group", &group]);
        let armed = armed.lines().filter_map(|line| line.split('@').next());
        Self::of(&actual, &names, pins, armed.map(str::to_owned).collect())
    }

    fn of(
        actual: &Actual,
        names: &BTreeMap<u32, String>,
        pins: BTreeSet<String>,
        armed: BTreeSet<String>,
    ) -> Self {
        let name = |number: IdentityNumber| {
            let known = names.get(&number.0).cloned();
            known.unwrap_or_else(|| format!("number {}", number.0))
        };
        let interface = |number: EndpointNumber| {
            let endpoint = actual.endpoints.get(&number);
            endpoint.map(|endpoint| endpoint.record.ifindex)
        };
        let list = |place| actual.lists.get(&place).cloned();
        let generic = |places: &SubjectPlaces| -> Vec<List> {
            places.iter().flatten().map(|place| list(*place)).collect()
        };
        let sender = |mac: MacAddress, addresses: String| format!("{mac} {addresses}");
        let judging = actual.judging();
        // What nobody is any more stays until the policy is compiled anew, and says nothing.
        let present: BTreeSet<IdentityNumber> = actual
            .endpoints
            .keys()
            .map(|number| actual.identity(*number))
            .collect();
        let counts = |number: IdentityNumber| {
            number.kind() != PeerKind::Endpoint || present.contains(&number)
        };
        Self {
            endpoints: actual
                .endpoints
                .iter()
                .map(|(number, endpoint)| {
                    let identity = name(actual.identity(*number));
                    (endpoint.record.ifindex, (endpoint.record.bridge, identity))
                })
                .collect(),
            addresses: actual
                .addresses
                .iter()
                .map(|(key, owner)| match owner {
                    AddressOwner::Host => (*key, None),
                    // One that is nobody's is not the host's either.
                    AddressOwner::Endpoint(number) => (*key, Some(interface(*number).unwrap_or(0))),
                })
                .collect(),
            attachments: actual
                .attachments
                .iter()
                .map(|(ifindex, attachment)| {
                    let constants = attachment.constants.as_ref();
                    let endpoint = constants.and_then(|constants| interface(constants.number));
                    let sender = constants.and_then(|constants| {
                        let known = constants.sender.as_ref()?;
                        let addresses = format!("{:?} {:?}", known.ipv4, known.ipv6);
                        Some(sender(known.mac, addresses))
                    });
                    let attached = (attachment.mechanism, attachment.sound, endpoint, sender);
                    (*ifindex, attached)
                })
                .collect(),
            subjects: judging
                .subjects
                .iter()
                .filter(|(number, _)| counts(**number))
                .map(|(number, places)| (name(*number), generic(places)))
                .collect(),
            pairs: judging
                .pairs
                .iter()
                .filter(|(key, _)| counts(key.subject) && counts(key.peer))
                .map(|(key, place)| {
                    let side = format!("{:?}", key.side);
                    ((side, name(key.subject), name(key.peer)), list(*place))
                })
                .collect(),
            networks: parts_of_the_world(&judging.networks.wanted(), name),
            pins,
            armed,
        }
    }
}

fn parts_of_the_world(
    networks: &Networks,
    name: impl Fn(IdentityNumber) -> String,
) -> Vec<(IpAddr, String)> {
    let ipv4 = (0..=u16::MAX).map(|part| Ipv4Addr::from(u32::from(part) << 16).into());
    let ipv6 = (0..=u16::MAX).map(|part| Ipv6Addr::from(u128::from(part) << 112).into());
    let mut parts: Vec<(IpAddr, String)> = ipv4
        .chain(ipv6)
        .map(|first: IpAddr| (first, networks.find(first).map_or_else(String::new, &name)))
        .collect();
    parts.dedup_by(|part, before| part.1 == before.1 && part.0.is_ipv4() == before.0.is_ipv4());
    parts
}

/// What a daemon calls the numbers of identities.
fn identities(daemon: &Daemon) -> BTreeMap<u32, String> {
    let mut client = Client::connect(&daemon.socket()).expect("the daemon runs");
    match client.ask(Request::List(Listing::Identities)) {
        Ok(Response::Identities(identities)) => identities
            .into_iter()
            .map(|identity| {
                (
                    identity.number,
                    format!("{} {}", identity.kind, identity.name),
                )
            })
            .collect(),
        other => panic!("a list of identities: {other:?}"),
    }
}

/// Every pin, by its path below the folder.
pub fn pins(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                let below = path.strip_prefix(root).expect("below");
                found.insert(below.display().to_string());
            }
        }
    }
    found
}
