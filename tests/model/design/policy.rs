//! What a policy file says, as it is written. (That a bad one is refused is not the model's business:
//! it is only asked about policies that were taken.)

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Deserialize;

use super::traffic::{self, Kind};

/// "Without `[defaults]`: ingress deny, egress allow, enforce, unidentified allow, host allow both
/// ways."
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    #[serde(default)]
    pub defaults: Defaults,
    #[serde(default)]
    pub identities: BTreeMap<String, Identity>,
    #[serde(default)]
    pub networks: BTreeMap<String, Network>,
    #[serde(default)]
    allow: Vec<WrittenRule>,
    #[serde(default)]
    deny: Vec<WrittenRule>,
    /// Filled by [`Policy::read`].
    #[serde(skip)]
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Audit,
    Enforce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Egress,
    Ingress,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    pub ingress: Action,
    pub egress: Action,
    pub mode: Mode,
    pub unidentified: Action,
    pub host: HostDefaults,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            ingress: Action::Deny,
            egress: Action::Allow,
            mode: Mode::Enforce,
            unidentified: Action::Allow,
            host: HostDefaults::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostDefaults {
    pub ingress: Action,
    pub egress: Action,
}

impl Default for HostDefaults {
    fn default() -> Self {
        Self {
            ingress: Action::Allow,
            egress: Action::Allow,
        }
    }
}

/// "All given must hold."
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    pub labels: BTreeMap<String, String>,
    pub r#match: Vec<Condition>,
    pub name: Option<String>,
    pub image: Option<String>,
    pub network: Option<String>,
    pub project: Option<String>,
    pub interface: Option<String>,
    pub ingress: Option<Action>,
    pub egress: Option<Action>,
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Condition {
    In { key: String, values: Vec<String> },
    NotIn { key: String, values: Vec<String> },
    Exists { key: String },
    Absent { key: String },
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub cidrs: Vec<Cidr>,
    pub except: Vec<Cidr>,
}

/// "A bare address is a /32 or /128."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr(pub IpNet);

impl TryFrom<String> for Cidr {
    type Error = ipnet::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let net = text.parse();
        net.or_else(|error| {
            let address: Result<std::net::IpAddr, _> = text.parse();
            address.map(IpNet::from).map_err(|_| error)
        })
        .map(Self)
    }
}

/// One entry or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Entry {
    Number(u8),
    Text(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    from: OneOrMany<String>,
    to: OneOrMany<String>,
    ports: Option<OneOrMany<Entry>>,
    icmp: Option<OneOrMany<Entry>>,
    protocols: Option<OneOrMany<Entry>>,
    side: Option<Side>,
    #[serde(default)]
    log: bool,
}

/// One `[[allow]]` or `[[deny]]`.
#[derive(Debug, Clone)]
pub struct Rule {
    pub action: Action,
    /// The generated policies name each rule, so that the compiler's and the model's can be told
    /// to be the same.
    pub name: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// "A rule with none of `ports`, `icmp`, `protocols` matches all traffic between its peers."
    pub traffic: Option<Vec<Kind>>,
    pub side: Option<Side>,
    pub log: bool,
}

impl Policy {
    /// Reads a policy's text.
    pub fn read(text: &str) -> Self {
        let mut policy: Self =
            toml::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        let denies = std::mem::take(&mut policy.deny);
        let allows = std::mem::take(&mut policy.allow);
        let written = denies
            .into_iter()
            .map(|rule| (Action::Deny, rule))
            .chain(allows.into_iter().map(|rule| (Action::Allow, rule)));
        policy.rules = written.map(|(action, rule)| rule.read(action)).collect();
        // Of several that could decide, the first one in the file is named. That the file's order
        // is that of the names is up to who writes it.
        policy.rules.sort_by(|one, other| one.name.cmp(&other.name));
        policy
    }
}

impl WrittenRule {
    fn read(self, action: Action) -> Rule {
        let any = self.ports.is_some() || self.icmp.is_some() || self.protocols.is_some();
        let texts = |entries: Option<OneOrMany<Entry>>| {
            let entries = entries.map_or_else(Vec::new, OneOrMany::list);
            entries.into_iter().map(|entry| match entry {
                Entry::Number(number) => number.to_string(),
                Entry::Text(text) => text,
            })
        };
        let ports = texts(self.ports).flat_map(|text| traffic::port(&text));
        let icmp = texts(self.icmp).flat_map(|text| traffic::icmp(&text));
        let protocols = texts(self.protocols).flat_map(|text| traffic::protocol(&text));
        let kinds = ports.chain(icmp).chain(protocols).collect();
        Rule {
            action,
            name: self.name,
            from: self.from.list(),
            to: self.to.list(),
            traffic: any.then_some(kinds),
            side: self.side,
            log: self.log,
        }
    }
}
