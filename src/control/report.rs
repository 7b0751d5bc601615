//! What the daemon tells: the data behind `status` and `list`, as people's tables and programs' JSON
//! are both made from it. Field names are part of the user's interface.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::time::UnixTime;

/// `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// When the daemon started.
    pub started_at: UnixTime,
    /// Whether everything that should be enforced is.
    pub healthy: bool,
    /// Why it is not healthy, each with what to do about it. Empty if it is.
    pub reasons: Vec<String>,
    /// The policy that judges.
    pub policy: PolicyStatus,
    /// The endpoints, counted.
    pub endpoints: EndpointCounts,
    /// How the programs are attached.
    pub attach: AttachStatus,
    /// The Docker engine.
    pub docker: DockerStatus,
    /// What closes off endpoints that are not armed.
    pub guard: GuardStatus,
    /// The bridges that have endpoints.
    pub bridges: Vec<BridgeStatus>,
    /// The table of connections.
    #[serde(default)]
    pub flows: FlowStatus,
    /// The host's ways to the outside.
    #[serde(default)]
    pub uplinks: Vec<UplinkStatus>,
    /// Who may always get in to manage the host.
    #[serde(default)]
    pub management: ManagementStatus,
    /// A policy that waits for its confirmation.
    #[serde(default)]
    pub trial: Option<TrialStatus>,
    /// The kernel's maps.
    pub maps: Vec<MapStatus>,
    /// Packets dropped, by reason; reasons that never occurred are left out.
    pub drops: Vec<DropCount>,
    /// Events, and what became of those that nobody saw.
    pub events: EventStatus,
    /// What was refused, and what failed.
    pub troubles: TroubleStatus,
}

/// The policy that judges, and the last one that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Counts every accepted load, also one without effect.
    pub revision: u64,
    /// The number that the kernel knows the policy by.
    pub generation: u64,
    /// When this generation began to judge; nothing if that was before the daemon started.
    pub committed_at: Option<UnixTime>,
    /// The last refusal; nothing after a good load.
    pub error: Option<String>,
    /// The files it came from.
    pub files: Vec<PathBuf>,
    /// Number of rules.
    pub rules: usize,
    /// Number of identities.
    pub identities: usize,
    /// Number of networks.
    pub networks: usize,
}

/// The endpoints, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCounts {
    /// All of them.
    pub total: usize,
    /// Attached in both directions, and read back.
    pub armed: usize,
    /// Nobody has said yet whose interface it is; nothing passes there.
    pub unnamed: usize,
}

/// How the programs are attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachStatus {
    /// `tcx` or `clsact`.
    pub mode: String,
    /// What the kernel does not have, and what serves instead.
    pub fallbacks: Vec<String>,
}

/// A bridge that has endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// Its name.
    pub name: String,
    /// Whether packets between its endpoints go past it.
    pub fast_path: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// One of the host's ways to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Its interface.
    pub interface: String,
    /// Whether the policy has anything to say about the host's own connections there.
    pub judges: bool,
    /// How the programs that do so are attached; nothing: they are not.
    pub attached: Option<String>,
    /// Whether denied senders are dropped before the kernel makes packets of what they send.
    pub xdp: XdpState,
    /// Why it is so.
    pub xdp_reason: Option<String>,
}

/// Where an uplink's XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum XdpState {
    /// In the driver.
    Native,
    /// Behind the driver.
    Generic,
    /// Somebody else's runs in its place.
    Foreign,
    /// There is none.
    Off,
}

impl XdpState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Foreign => "foreign",
            Self::Off => "off",
        }
    }
}

/// Who may always get in to manage the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementStatus {
    /// Whether anybody may, whatever the policy says.
    pub enabled: bool,
    /// Who, as `192.0.2.7 to port 22/tcp`.
    pub allowed: Vec<String>,
}

/// A policy that waits for its confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrialStatus {
    /// Its revision.
    pub revision: u64,
    /// When the policy before it comes back.
    pub ends_at: UnixTime,
}

/// `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReport {
    /// The policy's revision: what `confirm` can be told.
    pub revision: u64,
    /// The number that the kernel knows it by.
    pub generation: u64,
    /// How long it is in force unless it is confirmed.
    pub seconds: u32,
    /// Rules that it has and the policy before has not.
    pub added: Vec<String>,
    /// Rules that the policy before has and it has not.
    pub removed: Vec<String>,
}

/// `confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReport {
    /// The revision that is in force now.
    pub revision: u64,
    /// Whether it is the one that was waiting.
    pub kept: bool,
    /// Where that stands, if not where the policy always stands.
    pub file: Option<PathBuf>,
}

/// What closes off endpoints that are not armed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// Whether it does.
    pub state: GuardState,
    /// What the kernel does not have, and what serves instead.
    pub fallback: Option<String>,
}

/// Whether endpoints that are not armed are closed off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardState {
    /// They are.
    Closed,
    /// They should be, and are not.
    Open,
    /// Switched off in the configuration: they are not.
    Off,
}

impl GuardState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Off => "off",
        }
    }
}

/// The Docker engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerStatus {
    /// How the daemon and the engine stand to each other.
    pub state: DockerState,
    /// The engine's version, once it was told.
    pub version: Option<String>,
    /// Why there is no connection.
    pub error: Option<String>,
}

/// How the daemon and the Docker engine stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DockerState {
    /// Events arrive.
    Connected,
    /// Was connected, or could be: tried again and again.
    Waiting,
    /// There is no socket: no engine on this host.
    Absent,
    /// Switched off in the configuration.
    Off,
}

impl DockerState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Absent => "absent",
            Self::Off => "off",
        }
    }
}

/// One map of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapStatus {
    /// Its name.
    pub name: String,
    /// Entries in use, where that can be counted.
    pub entries: Option<u64>,
    /// Entries it has room for.
    pub capacity: u64,
    /// Bytes of kernel memory.
    pub bytes: u64,
    /// Bytes of kernel memory when it is full: the limits of the configuration decide that.
    #[serde(default)]
    pub bytes_at_most: u64,
}

/// The table of connections: full means that new ones are refused, never that one is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// Connections that nobody has answered yet.
    pub new: FlowRoom,
    /// Connections that were answered.
    pub answered: FlowRoom,
    /// Endpoints that have used up most of their room, or were refused some.
    pub crowded: Vec<CrowdedAccount>,
}

/// Room for one kind of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRoom {
    /// That there are. Expired ones count until somebody needs their room, or a minute has passed.
    pub held: u64,
    /// As many as there may be.
    pub limit: u64,
    /// As many as one endpoint may have opened, and others to it.
    pub limit_per_endpoint: u64,
    /// Packets that were refused because there was no room for anybody.
    pub refused: u64,
}

/// An endpoint that has used up most of its room for connections, or was refused some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdedAccount {
    /// The endpoint's name, or its interface's.
    pub endpoint: String,
    /// Who opened them.
    pub opened_by: OpenedBy,
    /// Whether they were answered.
    pub answered: bool,
    /// That it has.
    pub held: u64,
    /// As many as it may have.
    pub limit: u64,
    /// Packets that were refused for that.
    pub refused: u64,
}

/// Who opened connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// The endpoint itself.
    Itself,
    /// The host, or somebody outside.
    Others,
}

/// Packets dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// Its name: `policy-default`.
    pub reason: String,
    /// What it means, in a line.
    pub text: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, with Ethernet headers.
    pub bytes: u64,
}

/// Events, and what became of those that nobody saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStatus {
    /// Clients that watch events now.
    pub monitors: usize,
    /// Not told, because the ring buffer was full.
    pub lost_full: u64,
    /// Not told, because the endpoint had used up its budget for that reason.
    pub lost_limited: u64,
    /// Not told to a client that was too slow.
    pub lost_slow: u64,
}

/// What was refused, and what failed, since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleStatus {
    /// Policies that were refused.
    pub policies_refused: u64,
    /// Changes that the kernel did not take, in whole or in part.
    pub kernel_failures: u64,
    /// Files that could not be written to the state directory.
    pub saves_failed: u64,
    /// Clients of the control socket that were turned away: there were too many.
    pub clients_refused: u64,
    /// Requests that were malformed, too long, too slow, or not for who sent them.
    pub requests_refused: u64,
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, with Ethernet headers.
    pub bytes: u64,
}

/// One of `list endpoints`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// The number that the kernel knows it by.
    pub number: u32,
    /// The container's name, or the interface's; nothing while unnamed.
    pub name: Option<String>,
    /// Docker's id of the container.
    pub container: Option<String>,
    /// The image, as the container was started with it.
    pub image: Option<String>,
    /// The compose project.
    pub project: Option<String>,
    /// The Docker network of this attachment.
    pub network: Option<String>,
    /// The host-side interface.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// The bridge it is a port of.
    pub bridge: Option<String>,
    /// The only MAC address it may send from.
    pub mac: Option<String>,
    /// The only addresses it may send from.
    pub addresses: Vec<IpAddr>,
    /// The identities it belongs to.
    pub identities: Vec<String>,
    /// The number that stands for just these identities; nothing while unnamed.
    pub identity: Option<u32>,
    /// Whether both directions are attached.
    pub armed: bool,
    /// What it sent.
    pub sent: Passage,
    /// What was sent to it.
    pub received: Passage,
}

/// What passed in one direction, and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Let through.
    pub passed: Counter,
    /// Dropped.
    pub dropped: Counter,
}

/// One of `list identities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityReport {
    /// The number that the kernel knows it by.
    pub number: u32,
    /// `db+web`, `host`, `unidentified`, `internet`, `office`.
    pub name: String,
    /// `host`, `endpoint`, `lan` or `internet`.
    pub kind: String,
    /// The identities of the policy that it stands for, all at once.
    pub identities: Vec<String>,
    /// The endpoints that have it, by name.
    pub endpoints: Vec<String>,
    /// The prefixes that have it; networks of the world only.
    pub prefixes: usize,
}

/// One of `list rules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The number that events and counters know it by; stable while its text is.
    pub number: u32,
    /// `allow` or `deny`.
    pub action: String,
    /// Its name, or a short form of what it says.
    pub name: String,
    /// The file it stands in.
    pub file: PathBuf,
    /// The line it begins on.
    pub line: usize,
    /// New connections that it decided, and their first packets' bytes.
    pub hits: Counter,
}

/// `list flows`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowsReport {
    /// All flows there are.
    pub total: usize,
    /// As many of them as were asked for, the most recently active first.
    pub flows: Vec<FlowReport>,
}

/// One of `list flows`: a connection that passes without another look at the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowReport {
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    pub protocol: String,
    /// Who opened it.
    pub opener: FlowEnd,
    /// Who it was opened to.
    pub target: FlowEnd,
    /// `new`, `established` or `closing`.
    pub state: String,
    /// The generation that judged it last.
    pub generation: u64,
    /// Seconds since its last packet.
    pub idle: u64,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// Its address.
    pub address: IpAddr,
    /// Its port, for protocols that have ports.
    pub port: Option<u16>,
    /// The endpoint's name, or `host`.
    pub name: Option<String>,
}

/// `reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The revision of the load.
    pub revision: u64,
    /// The generation that judges now.
    pub generation: u64,
    /// Whether anything in the kernel had to change.
    pub changed: bool,
    /// Number of rules.
    pub rules: usize,
    /// Number of identities.
    pub identities: usize,
}

/// `stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// Whether enforcement has ended too.
    pub detached: bool,
    /// What could not be removed.
    pub problems: Vec<String>,
}
