//! The high form of a policy: validated, with every name resolved. What a [`Policy`] can express is
//! what the rest of the program has to deal with; nothing downstream checks it again.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::traffic::Traffic;

/// A complete, valid policy: what `policy.toml` and `policy.d/*.toml` say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What holds where nothing more specific is said.
    pub defaults: Defaults,
    /// In order of name; an [`IdentityId`] is an index here.
    pub identities: Vec<Identity>,
    /// In order of name; a [`NetworkId`] is an index here.
    pub networks: Vec<Network>,
    /// In the order of the files and of the rules in them.
    pub rules: Vec<Rule>,
    /// The statements that must hold before this policy may be taken.
    pub tests: Vec<PolicyTest>,
    /// All files that were read, network files included: what a change must be watched in.
    pub files: Vec<PathBuf>,
}

/// `[defaults]` and `[defaults.host]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// To an endpoint, when no rule speaks.
    pub ingress: Action,
    /// From an endpoint, when no rule speaks.
    pub egress: Action,
    /// Whether endpoints drop or only report.
    pub mode: Mode,
    /// Endpoints without any identity: `Allow` leaves their own two sides unjudged but for denies,
    /// `Deny` polices them by the defaults.
    pub unidentified: Action,
    /// To the host itself.
    pub host_ingress: Action,
    /// From the host itself.
    pub host_egress: Action,
}

impl Default for Defaults {
    /// What holds without `[defaults]`.
    fn default() -> Self {
        Self {
            ingress: Action::Deny,
            egress: Action::Allow,
            mode: Mode::Enforce,
            unidentified: Action::Allow,
            host_ingress: Action::Allow,
            host_egress: Action::Allow,
        }
    }
}

/// To let pass, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Let pass.
    Allow,
    /// Drop.
    Deny,
}

/// Whether a policy drop is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Report what would be dropped, and let it pass.
    Audit,
    /// Drop.
    Enforce,
}

/// The side of a connection that judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The opener's.
    Egress,
    /// The target's.
    Ingress,
}

/// Where a statement stands, for `explain`, events and messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file, as it was named when it was read.
    pub file: Arc<PathBuf>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// Index into [`Policy::identities`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(pub usize);

/// Index into [`Policy::networks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub usize);

/// `[identities.NAME]`: a set of endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The name that rules use.
    pub name: String,
    /// Which endpoints belong to it.
    pub selector: Selector,
    /// Overrides the default.
    pub ingress: Option<Action>,
    /// Overrides the default.
    pub egress: Option<Action>,
    /// Overrides the default.
    pub mode: Option<Mode>,
    /// Where it is defined.
    pub location: Location,
}

/// What an endpoint must be to belong to an identity: everything given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector {
    /// `labels` and `match`.
    pub labels: Vec<LabelRequirement>,
    /// Container name.
    pub name: Option<Pattern>,
    /// Image, as the container was started with it.
    pub image: Option<Pattern>,
    /// Docker network of the attachment.
    pub network: Option<Pattern>,
    /// Compose project.
    pub project: Option<Pattern>,
    /// Host-side interface, for endpoints that are not Docker's.
    pub interface: Option<Pattern>,
}

/// One condition on a container's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// What must hold for its value.
    pub operator: LabelOperator,
}

/// The operators of `match`; `labels = { key = "value" }` is `In` with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelOperator {
    /// Present, with one of these values.
    In(Vec<String>),
    /// Absent, or with none of these values.
    NotIn(Vec<String>),
    /// Present, with any value.
    Exists,
    /// Not present.
    Absent,
}

/// A shell-style glob over a whole string: `*`, `?`, `[...]`, `{a,b}`. `*` matches `/` as well, so
/// that `image = "registry.example/*"` covers what lies below.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: globset::GlobMatcher,
}

impl Pattern {
    /// Compiles a glob.
    ///
    /// # Errors
    /// The text is not a valid glob.
    pub fn new(text: &str) -> Result<Self, globset::Error> {
        let matcher = globset::GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()?
            .compile_matcher();
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }

    /// Whether the whole of `value` matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.matcher.is_match(value)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What everything begins with that it matches.
    #[must_use]
    pub fn beginning(&self) -> &str {
        let special = self.text.find(['*', '?', '[', ']', '{', '}', '\\', ',']);
        &self.text[..special.unwrap_or(self.text.len())]
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `[networks.NAME]`: a set of addresses outside this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The name that rules use.
    pub name: String,
    /// What belongs to it. Sorted, without duplicates, no host bits set.
    pub cidrs: Vec<IpNet>,
    /// What does not after all; each lies in one of `cidrs`.
    pub except: Vec<IpNet>,
    /// Where it is defined.
    pub location: Location,
}

impl Network {
    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&address))
            && !self.except.iter().any(|cidr| cidr.contains(&address))
    }
}

/// Who stands on one side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Everything.
    Any,
    /// The host's own processes.
    Host,
    /// Every endpoint, identified or not.
    Containers,
    /// Neither host nor endpoint.
    World,
    /// The part of the world in private, unique-local, link-local and carrier-grade ranges.
    Lan,
    /// The rest of the world.
    Internet,
    /// Endpoints of the same compose project as the other side.
    SameProject,
    /// The endpoints of an identity.
    Identity(IdentityId),
    /// The addresses of a network.
    Network(NetworkId),
    /// Inline addresses outside this host.
    Cidr(IpNet),
}

/// One `[[allow]]` or `[[deny]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which of the two.
    pub action: Action,
    /// Its `name`, if it has one.
    pub name: Option<String>,
    /// Who opens the connection. Never empty.
    pub from: Vec<Peer>,
    /// Who it is opened to. Never empty.
    pub to: Vec<Peer>,
    /// What it speaks of.
    pub traffic: Traffic,
    /// The only side it speaks on, or both.
    pub side: Option<Side>,
    /// Whether every new connection it decides is reported.
    pub log: bool,
    /// Where its `[[allow]]` or `[[deny]]` stands.
    pub location: Location,
}

/// One `[[test]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTest {
    /// Who opens the connection.
    pub from: TestPeer,
    /// Who it is opened to.
    pub to: TestPeer,
    /// What is asked for: every selector in it must come out as expected.
    pub traffic: Traffic,
    /// `Allow`, or `Deny` for "drop".
    pub expect: Action,
    /// Where it stands.
    pub location: Location,
}

/// Who is asked about in a test or by `explain`: a peer, or one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestPeer {
    /// An identity, entity, network or CIDR.
    Peer(Peer),
    /// One address of the world.
    Address(std::net::IpAddr),
}
