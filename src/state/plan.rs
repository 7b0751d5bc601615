//! What to do to the kernel, in order: plain values, each of which can be done or not be done.

use std::fmt;
use std::sync::Arc;

use super::actual::{KernelEndpoint, ListPlace, SubjectPlaces};
use super::denial::Denial;
use super::desired::{
    AddressKey, AddressOwner, Attachment, ManagementKey, PublishedKey, PublishedTarget,
    XdpAttachment,
};
use super::networks::Change;
use super::numbers::{EndpointNumber, IdentityNumber, PairKey, Slot};
use super::steps::StepList;

/// Operations in the order in which they must be done. Doing only the first few leaves the kernel in
/// a state that is safe, and from which a new plan leads on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub operations: Vec<Operation>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// One step of a plan. What each means is written down in [`super::actual::Actual::apply`].
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// These addresses belong to nobody any more.
    RemoveAddresses(Vec<AddressKey>),
    /// These records, whole.
    SetEndpoints(Vec<(EndpointNumber, KernelEndpoint)>),
    /// These addresses have these owners.
    SetAddresses(Vec<(AddressKey, AddressOwner)>),
    /// Nothing of an endpoint's is behind these ports of the host any more.
    RemovePublished(Vec<PublishedKey>),
    /// These ports of the host lead to these endpoints.
    SetPublished(Vec<(PublishedKey, PublishedTarget)>),
    /// Wait until no packet is still judged by the slot that does not judge.
    AwaitReaders,
    /// Write lists of steps where no slot refers to.
    WriteLists(Vec<(ListPlace, Arc<StepList>)>),
    /// Remove entries of one slot.
    RemovePairs(Slot, Vec<PairKey>),
    /// Enter or replace entries of one slot.
    SetPairs(Slot, Vec<(PairKey, ListPlace)>),
    /// Replace subjects of one slot; `None` removes one.
    SetSubjects(Slot, Vec<(IdentityNumber, Option<SubjectPlaces>)>),
    /// Make room for so many blocks of trees; those that are there stay where they are.
    GrowNetworks(u32),
    /// Write trees where no slot refers to, and then the roots of one slot.
    ChangeNetworks(Slot, Change),
    /// Replace what one slot denies by the sender alone; `None` removes it.
    SetDenials(Slot, Vec<(IdentityNumber, Option<Denial>)>),
    /// From now on this slot judges, and everything judged before is judged again.
    Publish {
        /// One more than the last.
        generation: u64,
        /// The one that judges.
        slot: Slot,
    },
    /// This interface has programs with these constants, first in order, in both directions.
    Attach(u32, Attachment),
    /// This interface has no programs of ours any more, or is gone itself.
    Detach(u32),
    /// This uplink has our XDP program.
    AttachXdp(u32, XdpAttachment),
    /// This interface has no XDP program of ours any more, or is gone itself.
    DetachXdp(u32),
    /// These may always reach the host.
    SetManagement(Vec<ManagementKey>),
    /// These may no longer.
    RemoveManagement(Vec<ManagementKey>),
    /// These numbers are not in use any more.
    ClearEndpoints(Vec<EndpointNumber>),
}

/// One of the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Lists of steps.
    Steps,
    /// Policy entries.
    Pairs,
    /// Blocks of the networks' search trees.
    NetworkNodes,
    /// Addresses of endpoints and of the host.
    Addresses,
    /// Published ports.
    Published,
    /// Endpoint numbers.
    Endpoints,
    /// Rule numbers.
    Rules,
    /// Who may always reach the host.
    Management,
    /// Identity numbers of endpoints.
    Identities,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steps => "policy steps",
            Self::Pairs => "policy entries",
            Self::NetworkNodes => "blocks of networks' search trees",
            Self::Addresses => "addresses of this host",
            Self::Published => "published ports",
            Self::Endpoints => "endpoints",
            Self::Rules => "rules",
            Self::Management => "addresses that may always manage the host",
            Self::Identities => "identity numbers",
        })
    }
}

/// Why there can be no plan. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It needs more room than a table has, counting what the judging policy takes beside it.
    #[error("it needs room for {needed} {table}, and the kernel's table has {available}{}", remedy(*.table))]
    DoesNotFit {
        /// Which table.
        table: Table,
        /// How many entries it would have.
        needed: usize,
        /// How many entries it has room for.
        available: usize,
    },
    /// One list of steps is longer than the kernel can search.
    #[error(
        "one subject's policy towards one peer has {length} steps, and at most {maximum} can be \
         searched: write fewer, wider port ranges"
    )]
    ListTooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        maximum: usize,
    },
}

/// What the user can do about a table that is too small. Those of a policy hold two policies, the
/// judging one and its successor.
fn remedy(table: Table) -> &'static str {
    match table {
        Table::Identities => ": let fewer identities overlap",
        Table::Steps => ": raise limits.steps in bridgewall.toml",
        Table::Pairs => ": raise limits.policy_entries in bridgewall.toml",
        Table::NetworkNodes => ": raise limits.network_blocks in bridgewall.toml",
        Table::Addresses => ": raise limits.addresses in bridgewall.toml",
        Table::Published => ": raise limits.published_ports in bridgewall.toml",
        Table::Endpoints => ": raise limits.endpoints in bridgewall.toml",
        Table::Rules => ": raise limits.rules in bridgewall.toml",
        Table::Management => ": let management.allow in bridgewall.toml have fewer, wider entries",
    }
}
