//! Who is who: the one name space of identities and networks, and the peers that rules name from it.

use std::cell::Cell;

use super::cidr;
use super::limits;
use super::model::{IdentityId, NetworkId, Peer, Policy, TestPeer};
use super::problem::{Refusal, closest, shown};

const ENTITIES: [(&str, Peer); 7] = [
    ("any", Peer::Any),
    ("host", Peer::Host),
    ("containers", Peer::Containers),
    ("world", Peer::World),
    ("lan", Peer::Lan),
    ("internet", Peer::Internet),
    ("same-project", Peer::SameProject),
];

/// All names that peers may have. An [`IdentityId`] or [`NetworkId`] is a name's place in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    identities: Vec<String>,
    networks: Vec<String>,
    /// A file could not be read: a name that is not here may be in there.
    incomplete: bool,
    /// Looking for what may have been meant is slow; nobody reads more than this.
    suggestions: Cell<usize>,
}

impl Names {
    /// From names in any order, without duplicates.
    pub fn new(mut identities: Vec<String>, mut networks: Vec<String>, incomplete: bool) -> Self {
        identities.sort_unstable();
        networks.sort_unstable();
        Self {
            identities,
            networks,
            incomplete,
            suggestions: Cell::new(limits::DIAGNOSTICS),
        }
    }

    /// Those of a complete policy.
    pub fn of(policy: &Policy) -> Self {
        let identities = policy
            .identities
            .iter()
            .map(|identity| identity.name.clone());
        let networks = policy.networks.iter().map(|network| network.name.clone());
        Self::new(identities.collect(), networks.collect(), false)
    }

    /// Whom a text means, in `from` and `to` of a rule. `None`: perhaps somebody in a file that could
    /// not be read.
    pub fn peer(&self, text: &str) -> Result<Option<Peer>, Refusal> {
        if let Some((_, peer)) = ENTITIES.iter().find(|(name, _)| *name == text) {
            return Ok(Some(peer.clone()));
        }
        let find = |names: &[String]| names.binary_search_by(|name| name.as_str().cmp(text)).ok();
        if let Some(index) = find(&self.identities) {
            return Ok(Some(Peer::Identity(IdentityId(index))));
        }
        if let Some(index) = find(&self.networks) {
            return Ok(Some(Peer::Network(NetworkId(index))));
        }
        if !text.is_empty() && cidr::is_meant(text) {
            return cidr::parse(text).map(|net| Some(Peer::Cidr(net)));
        }
        if self.incomplete {
            return Ok(None);
        }
        Err(self.unknown(text))
    }

    /// Whom a text means, in `from` and `to` of a test.
    pub fn test_peer(&self, text: &str) -> Result<Option<TestPeer>, Refusal> {
        match self.peer(text)? {
            // A bare address is one address, not a network of one.
            Some(Peer::Cidr(net)) if !text.contains('/') => Ok(Some(TestPeer::Address(net.addr()))),
            peer => Ok(peer.map(TestPeer::Peer)),
        }
    }

    fn unknown(&self, text: &str) -> Refusal {
        let defined = self.identities.iter().chain(&self.networks);
        let all = || {
            ENTITIES
                .iter()
                .map(|(name, _)| *name)
                .chain(defined.map(String::as_str))
        };
        let left = self.suggestions.get();
        self.suggestions.set(left.saturating_sub(1));
        let help = match (left > 0).then(|| closest(text, all())).flatten() {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => {
                let name = if name_error(text).is_none() {
                    text
                } else {
                    "NAME"
                };
                format!(
                    "define [identities.{name}] or [networks.{name}], or write an address or one of \
                     any, host, containers, world, lan, internet, same-project"
                )
            }
        };
        let message = format!("nobody is called {}", shown(text));
        Refusal::new(message, "neither identity, network nor entity", help)
    }
}

/// Whether a name is fit for an identity or network.
pub(super) fn check(name: &str) -> Result<(), Refusal> {
    if ENTITIES.iter().any(|(entity, _)| *entity == name) {
        return Err(Refusal::new(
            format!("the name {} is taken", shown(name)),
            "stands for a built-in peer",
            "choose another name; any, host, containers, world, lan, internet and same-project are \
             reserved",
        ));
    }
    match name_error(name) {
        None => Ok(()),
        Some(label) => Err(Refusal::new(
            format!("{} cannot be a name", shown(name)),
            label,
            format!(
                "write a name of letters, digits, `-`, `_` and `.`, with at least one letter, \
                 of at most {} characters",
                limits::NAME_CHARACTERS
            ),
        )),
    }
}

fn name_error(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("empty")
    } else if name.len() > limits::NAME_CHARACTERS {
        Some("too long")
    } else if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        Some("holds a character that names cannot have")
    } else if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        Some("looks like a number or an address")
    } else {
        None
    }
}
