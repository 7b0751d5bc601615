//! One case in full, as a value and as a file: nothing in it depends on how it was made, so that what
//! was found stays found.

use std::net::IpAddr;

use bridgewall::inventory::model::{Endpoint, HostAddress, Inventory, Owner};
use bridgewall::state::numbers::EndpointNumber;
use serde::{Deserialize, Serialize};

/// What happens, in order. The first policy and the first host are there from the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// What it shows, for whoever reads it later.
    #[serde(default)]
    pub claim: String,
    /// Whether allowed connections are reported, too.
    pub observed: bool,
    pub policies: Vec<String>,
    pub hosts: Vec<Host>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// With the interface that each is on.
    pub addresses: Vec<(IpAddr, u32)>,
    pub endpoints: Vec<Interface>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interface {
    pub number: u32,
    pub ifindex: u32,
    pub bridge: Option<u32>,
    /// None: nobody has said whose it is.
    pub owner: Option<Owner>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Another policy, by its place in the list.
    Policy(usize),
    /// Another host, likewise.
    Host(usize),
    /// So many seconds pass.
    Wait(u64),
    Send {
        endpoint: u32,
        frame: Hex,
    },
    Receive {
        endpoint: u32,
        frame: Hex,
        mark: Mark,
        ingress: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    Given(u16),
    /// As the last sender's hook gave it. If it dropped the frame, nothing is received.
    Carried,
}

/// The bytes of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hex(pub Vec<u8>);

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let pairs = (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16));
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

impl Host {
    pub fn inventory(&self) -> Inventory {
        let endpoint = |interface: &Interface| Endpoint {
            number: EndpointNumber(interface.number),
            interface: interface.name(),
            ifindex: interface.ifindex,
            bridge: interface.bridge,
            owner: interface.owner.clone(),
        };
        let endpoints = self.endpoints.iter().map(endpoint);
        let address = |&(address, ifindex): &(IpAddr, u32)| HostAddress { address, ifindex };
        Inventory {
            endpoints: endpoints
                .map(|endpoint| (endpoint.number, endpoint))
                .collect(),
            host_addresses: self.addresses.iter().map(address).collect(),
        }
    }
}

impl Interface {
    pub fn name(&self) -> String {
        format!("veth{}", self.number)
    }
}

impl Trace {
    pub fn read(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As a file of `tests/model/found`.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("a trace is plain")
    }
}
