//! The world outside: from networks with exceptions, and inline CIDRs, to one longest-prefix table.
//!
//! All prefixes that anybody wrote form a forest: two prefixes are nested or apart, never half. What
//! is left of a prefix without those below it lies in the same networks everywhere. So one walk over
//! the sorted prefixes, with the way down to the current one on a stack, finds the set of every
//! region, and the table never has more entries than prefixes were written.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::policy::model::{NetworkId, Peer, Policy};

/// Both families' whole space.
pub(super) const DEFAULT_ROUTES: [IpNet; 2] =
    [v4([0, 0, 0, 0], 0), v6([0, 0, 0, 0, 0, 0, 0, 0], 0)];

/// What `lan` means: private, carrier-grade, link-local and unique-local ranges, and what routers
/// never forward at all. All else, other multicast included, is `internet`.
pub const LAN: [IpNet; 15] = [
    v4([10, 0, 0, 0], 8),                  // RFC 1918
    v4([172, 16, 0, 0], 12),               // RFC 1918
    v4([192, 168, 0, 0], 16),              // RFC 1918
    v4([100, 64, 0, 0], 10),               // RFC 6598, carrier-grade NAT
    v4([169, 254, 0, 0], 16),              // RFC 3927, link-local
    v4([0, 0, 0, 0], 8),                   // RFC 1122, this network
    v4([127, 0, 0, 0], 8),                 // RFC 1122, loopback
    v4([224, 0, 0, 0], 24),                // RFC 5771, multicast of the link
    v4([255, 255, 255, 255], 32),          // RFC 919, broadcast on the link
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),  // RFC 4193, unique local
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), // RFC 4291, link-local
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),     // RFC 4291, unspecified
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),     // RFC 4291, loopback
    v6([0xff01, 0, 0, 0, 0, 0, 0, 0], 16), // RFC 4291, multicast of the interface
    v6([0xff02, 0, 0, 0, 0, 0, 0, 0], 16), // RFC 4291, multicast of the link
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(a, b, c, d, e, f, g, h),
        length,
    ))
}

/// Where an address of the world lies: all that the policy can tell of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// In the local part of the world.
    pub lan: bool,
    /// The networks and inline CIDRs that contain it, in order.
    pub networks: Vec<Peer>,
}

/// The world by longest prefix.
#[derive(Debug)]
pub(super) struct World {
    /// In order; the number is an index into `regions`. Both default routes are in it. Each entry
    /// decides for at least one address, and differs from the entry that covers it.
    pub table: Vec<(IpNet, usize)>,
    /// All different regions.
    pub regions: Vec<Region>,
}

impl World {
    /// Divides the world by all networks and by the inline CIDRs of all rules.
    pub(super) fn new(policy: &Policy) -> Self {
        let members = members(policy);
        let mut prefixes = prefixes(policy, &members);
        prefixes.sort_unstable();
        let mut states = States::new();
        let nodes = walk(&prefixes, &mut states);
        drop(prefixes);
        emit(&nodes, &states, &members)
    }
}

/// Whether two policies say the same of the world: the same addresses are in the same networks and inline
/// CIDRs.
pub(super) fn divide_alike(one: &Policy, other: &Policy) -> bool {
    std::ptr::eq(one, other)
        || (one.networks.len() == other.networks.len()
            && one
                .networks
                .iter()
                .zip(&other.networks)
                .all(|(a, b)| a.cidrs == b.cidrs && a.except == b.except)
            && members(one) == members(other))
}

/// The addresses in a prefix; 0 for all IPv6, which is 2^128 and fits the wrapping sums below.
pub(super) fn size(prefix: &IpNet) -> u128 {
    let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
    1_u128.checked_shl(bits).unwrap_or(0)
}

/// Everything that can contain an address: the networks, then the CIDRs that rules name.
fn members(policy: &Policy) -> Vec<Peer> {
    let inline: BTreeSet<_> = policy
        .rules
        .iter()
        .flat_map(|rule| rule.from.iter().chain(&rule.to))
        .filter(|peer| matches!(peer, Peer::Cidr(_)))
        .collect();
    (0..policy.networks.len())
        .map(|index| Peer::Network(NetworkId(index)))
        .chain(inline.into_iter().cloned())
        .collect()
}

/// What a prefix says of the addresses in it: that they are in a member, or that they are not after
/// all. The member after the last stands for the local part of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Statement {
    member: u32,
    excluded: bool,
}

fn prefixes(policy: &Policy, members: &[Peer]) -> Vec<(IpNet, Option<Statement>)> {
    let mut prefixes: Vec<_> = DEFAULT_ROUTES.map(|prefix| (prefix, None)).into();
    let mut add = |cidrs: &[IpNet], member: usize, excluded| {
        // A policy with 2^32 networks does not fit into memory.
        let member = member as u32;
        let statement = Some(Statement { member, excluded });
        prefixes.extend(cidrs.iter().map(|cidr| (cidr.trunc(), statement)));
    };
    for (index, member) in members.iter().enumerate() {
        match member {
            Peer::Network(id) => {
                let network = &policy.networks[id.0];
                add(&network.cidrs, index, false);
                add(&network.except, index, true);
            }
            Peer::Cidr(cidr) => add(&[*cidr], index, false),
            _ => {}
        }
    }
    add(&LAN, members.len(), false);
    prefixes
}

/// One distinct prefix of the forest, in order: parents before children.
struct Node {
    prefix: IpNet,
    parent: Option<u32>,
    state: u32,
    /// The prefixes below leave no address for which it would decide.
    covered: bool,
}

fn walk(prefixes: &[(IpNet, Option<Statement>)], states: &mut States) -> Vec<Node> {
    struct Open {
        node: u32,
        has_children: bool,
        below: u128,
    }
    fn close(nodes: &mut [Node], open: &Open) {
        let node = &mut nodes[open.node as usize];
        node.covered = open.has_children && open.below == size(&node.prefix);
    }

    let mut nodes: Vec<Node> = Vec::with_capacity(prefixes.len());
    let mut path: Vec<Open> = Vec::new();
    for equal in prefixes.chunk_by(|a, b| a.0 == b.0) {
        let prefix = equal[0].0;
        while let Some(open) =
            path.pop_if(|open| !nodes[open.node as usize].prefix.contains(&prefix))
        {
            close(&mut nodes, &open);
        }
        let mut state = States::EMPTY;
        if let Some(parent) = path.last_mut() {
            parent.has_children = true;
            parent.below = parent.below.wrapping_add(size(&prefix));
            state = nodes[parent.node as usize].state;
        }
        for statement in equal.iter().filter_map(|(_, statement)| *statement) {
            state = states.after(state, statement);
        }
        let parent = path.last().map(|open| open.node);
        path.push(Open {
            node: nodes.len() as u32,
            has_children: false,
            below: 0,
        });
        nodes.push(Node {
            prefix,
            parent,
            state,
            covered: false,
        });
    }
    while let Some(open) = path.pop() {
        close(&mut nodes, &open);
    }
    nodes
}

/// Leaves out what decides for no address and what says the same as the entry above it.
fn emit(nodes: &[Node], states: &States, members: &[Peer]) -> World {
    let mut world = World {
        table: Vec::new(),
        regions: Vec::new(),
    };
    let mut by_state: HashMap<u32, usize> = HashMap::new();
    let mut by_region: HashMap<Region, usize> = HashMap::new();
    let mut region_of = |state: u32, regions: &mut Vec<Region>| {
        *by_state.entry(state).or_insert_with(|| {
            let region = states.region(state, members);
            *by_region.entry(region).or_insert_with_key(|region| {
                regions.push(region.clone());
                regions.len() - 1
            })
        })
    };
    // What the table says at each node.
    let mut says: Vec<usize> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let above = node.parent.map(|parent| says[parent as usize]);
        let region = match above {
            Some(above) if node.covered => above,
            // A default route must be there even if others decide everywhere: it says what the
            // first of those says.
            None if node.covered => {
                let first = nodes[index..].iter().find(|node| !node.covered);
                region_of(first.unwrap_or(node).state, &mut world.regions)
            }
            _ => region_of(node.state, &mut world.regions),
        };
        if above != Some(region) {
            world.table.push((node.prefix, region));
        }
        says.push(region);
    }
    world
}

/// The sets of statements that hold somewhere, each once. A million prefixes of one blocklist are
/// two sets and one transition.
struct States {
    sets: Vec<Rc<[Statement]>>,
    ids: HashMap<Rc<[Statement]>, u32>,
    transitions: HashMap<(u32, Statement), u32>,
}

impl States {
    const EMPTY: u32 = 0;

    fn new() -> Self {
        let empty: Rc<[Statement]> = Rc::new([]);
        Self {
            sets: vec![Rc::clone(&empty)],
            ids: HashMap::from([(empty, Self::EMPTY)]),
            transitions: HashMap::new(),
        }
    }

    /// The set with one statement more.
    fn after(&mut self, state: u32, statement: Statement) -> u32 {
        if let Some(&known) = self.transitions.get(&(state, statement)) {
            return known;
        }
        let before = &self.sets[state as usize];
        let after: Rc<[Statement]> = match before.binary_search(&statement) {
            Ok(_) => Rc::clone(before),
            Err(place) => {
                let (left, right) = before.split_at(place);
                left.iter()
                    .chain([&statement])
                    .chain(right)
                    .copied()
                    .collect()
            }
        };
        let next = self.sets.len() as u32;
        let id = *self.ids.entry(Rc::clone(&after)).or_insert(next);
        if id == next {
            self.sets.push(after);
        }
        self.transitions.insert((state, statement), id);
        id
    }

    /// The members that contain what lies here: an exception beats inclusion, however deep either is.
    fn region(&self, state: u32, members: &[Peer]) -> Region {
        let mut region = Region {
            lan: false,
            networks: Vec::new(),
        };
        // Sorted by member, inclusion before exception.
        let set = &self.sets[state as usize];
        for of_member in set.chunk_by(|a, b| a.member == b.member) {
            if of_member.iter().any(|statement| statement.excluded) {
                continue;
            }
            match members.get(of_member[0].member as usize) {
                Some(member) => region.networks.push(member.clone()),
                None => region.lan = true,
            }
        }
        region
    }
}
