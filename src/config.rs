//! `bridgewall.toml`: how the daemon runs, as opposed to what it enforces. A missing file means the
//! defaults; `config/bridgewall.toml` documents every key.

mod read;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::inventory::model::MacAddress;
use crate::policy::model::Pattern;

mod limits;
mod uplinks;

use limits::within;
pub use limits::{Limits, Timeouts};
pub use read::ConfigError;
pub use uplinks::{Allowance, Management, Remote, Uplinks, Xdp};

/// Where the configuration is if nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/bridgewall/bridgewall.toml";

/// Everything about how the daemon runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The policy file; `policy.d` beside it belongs to it.
    #[serde(deserialize_with = "absolute")]
    pub policy: PathBuf,
    /// What has to outlive a boot: the last good policy.
    #[serde(deserialize_with = "absolute")]
    pub state_directory: PathBuf,
    /// Where maps and links are pinned; on a BPF file system.
    #[serde(deserialize_with = "absolute")]
    pub pin_directory: PathBuf,
    /// How programs are attached.
    pub attach: Attach,
    /// Which half of the packet mark is ours.
    pub mark_shift: MarkShift,
    /// The control socket.
    pub control: Control,
    /// The Docker engine.
    pub docker: Docker,
    /// The bridges whose ports are watched.
    pub bridges: Bridges,
    /// What closes off what is not armed.
    pub guard: Guard,
    /// Interfaces that are watched though they are not Docker's.
    #[serde(deserialize_with = "interfaces")]
    pub interfaces: Vec<Interface>,
    /// The host's ways to the outside.
    pub uplinks: Uplinks,
    /// Who may always get in to manage the host.
    pub management: Management,
    /// What there is room for.
    pub limits: Limits,
    /// When an idle connection is forgotten.
    pub timeouts: Timeouts,
    /// What is told.
    pub events: Events,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: "/etc/bridgewall/policy.toml".into(),
            state_directory: "/var/lib/bridgewall".into(),
            pin_directory: "/sys/fs/bpf/bridgewall".into(),
            attach: Attach::default(),
            mark_shift: MarkShift::default(),
            control: Control::default(),
            docker: Docker::default(),
            bridges: Bridges::default(),
            guard: Guard::default(),
            interfaces: Vec::new(),
            uplinks: Uplinks::default(),
            management: Management::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            events: Events::default(),
        }
    }
}

/// How programs are attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// What the kernel does best.
    #[default]
    Auto,
    /// tcx links (6.6 and newer).
    Tcx,
    /// clsact filters.
    Clsact,
}

/// Which half of the packet mark is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub enum MarkShift {
    /// Bits 0 to 15.
    Low,
    /// Bits 16 to 31.
    #[default]
    High,
}

impl MarkShift {
    /// The number of the first bit.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Low => 0,
            Self::High => 16,
        }
    }
}

impl TryFrom<i64> for MarkShift {
    type Error = &'static str;

    fn try_from(shift: i64) -> Result<Self, Self::Error> {
        match shift {
            0 => Ok(Self::Low),
            16 => Ok(Self::High),
            _ => Err("mark_shift is 0 (the low half of the mark) or 16 (the high half)"),
        }
    }
}

impl From<MarkShift> for u32 {
    fn from(shift: MarkShift) -> Self {
        shift.bits()
    }
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Its path.
    #[serde(deserialize_with = "absolute")]
    pub socket: PathBuf,
    /// Whose members may look, beside root.
    pub group: String,
}

/// Where the control socket is if nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/bridgewall/control.sock";

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: DEFAULT_SOCKET.into(),
            group: "bridgewall".to_owned(),
        }
    }
}

/// The Docker engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Docker {
    /// Whether to ask it at all.
    pub enabled: bool,
    /// The socket of its API.
    #[serde(deserialize_with = "absolute")]
    pub socket: PathBuf,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: "/var/run/docker.sock".into(),
        }
    }
}

/// The bridges whose ports are watched: `managed` but not `excluded`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bridges {
    /// Names, as globs.
    #[serde(deserialize_with = "patterns", serialize_with = "pattern_texts")]
    pub managed: Vec<Pattern>,
    /// Names, as globs.
    #[serde(deserialize_with = "patterns", serialize_with = "pattern_texts")]
    pub excluded: Vec<Pattern>,
    /// Whether packets may go past them.
    pub fast_path: FastPath,
}

/// Whether packets between two endpoints of a bridge may go past it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastPath {
    /// Where nothing that somebody configured would be skipped.
    #[default]
    Auto,
    /// Nowhere.
    Off,
}

impl Default for Bridges {
    fn default() -> Self {
        Self {
            // Docker calls its bridges `docker0`, and `br-` with twelve digits of the network's id.
            managed: ["docker0", "br-????????????"]
                .into_iter()
                .filter_map(|glob| Pattern::new(glob).ok())
                .collect(),
            excluded: Vec::new(),
            fast_path: FastPath::default(),
        }
    }
}

impl Bridges {
    /// Whether the ports of this bridge are watched.
    #[must_use]
    pub fn manages(&self, bridge: &str) -> bool {
        let named = |globs: &[Pattern]| globs.iter().any(|glob| glob.matches(bridge));
        named(&self.managed) && !named(&self.excluded)
    }
}

/// What closes off what is not armed, with or without a daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Whether there is one.
    pub enabled: bool,
    /// The group of interfaces that are armed.
    #[serde(deserialize_with = "within::<1, 2_147_483_647, _>")]
    pub group: u32,
    /// What ports of managed bridges are called, as globs, for kernels that cannot tell bridges.
    #[serde(deserialize_with = "patterns", serialize_with = "pattern_texts")]
    pub ports: Vec<Pattern>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            enabled: true,
            group: 46_109,
            ports: Pattern::new("veth*").into_iter().collect(),
        }
    }
}

/// An interface that is watched though it is not Docker's: a tap, an LXC container's veth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name on the host.
    #[serde(deserialize_with = "interface_name")]
    pub name: String,
    /// The only MAC address that may be sent from behind it.
    #[serde(deserialize_with = "mac_address", serialize_with = "mac_text")]
    pub mac: MacAddress,
    /// The only addresses that may be sent from behind it.
    #[serde(default, deserialize_with = "addresses")]
    pub addresses: BTreeSet<IpAddr>,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Events at once, and then a second, for each endpoint and reason.
    #[serde(deserialize_with = "within::<1, 100_000, _>")]
    pub burst: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self { burst: 10 }
    }
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(de::Error::custom("this path must begin with a slash"))
    }
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pattern>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|glob| Pattern::new(glob).map_err(de::Error::custom))
        .collect()
}

fn pattern_texts<S: Serializer>(patterns: &[Pattern], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter().map(Pattern::as_str))
}

/// As the kernel has it (`dev_valid_name`): 1 to 15 bytes, no slash, colon or space.
fn interface_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    if fits && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        Ok(name)
    } else {
        Err(de::Error::custom(
            "an interface's name has 1 to 15 bytes, without slash, colon or space",
        ))
    }
}

fn mac_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MacAddress, D::Error> {
    let address: MacAddress = String::deserialize(deserializer)?
        .parse()
        .map_err(de::Error::custom)?;
    if address.0[0] & 1 == 1 || address.0 == [0; 6] {
        return Err(de::Error::custom(
            "nobody can send from this address: it is a group's, or empty",
        ));
    }
    Ok(address)
}

fn mac_text<S: Serializer>(address: &MacAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

/// Addresses of one family that the programs can check a sender against.
const ADDRESSES_OF_A_FAMILY: usize = 8;

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<IpAddr>, D::Error> {
    let addresses = BTreeSet::<IpAddr>::deserialize(deserializer)?;
    let ipv4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    if ipv4.max(addresses.len() - ipv4) > ADDRESSES_OF_A_FAMILY {
        return Err(de::Error::custom(format!(
            "an interface can have {ADDRESSES_OF_A_FAMILY} addresses of each family"
        )));
    }
    Ok(addresses)
}

fn interfaces<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Interface>, D::Error> {
    let interfaces = Vec::<Interface>::deserialize(deserializer)?;
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for interface in &interfaces {
        if !names.insert(&interface.name) {
            let name = &interface.name;
            return Err(de::Error::custom(format!("`{name}` is listed twice")));
        }
        for address in &interface.addresses {
            if !addresses.insert(address) {
                return Err(de::Error::custom(format!(
                    "{address} belongs to two interfaces"
                )));
            }
        }
    }
    Ok(interfaces)
}

#[cfg(test)]
mod tests;
