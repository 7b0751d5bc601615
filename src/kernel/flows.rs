//! Connections as the kernel knows them: listed, carried over, and removed when they have expired.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use nix::time::{ClockId, clock_gettime};

use super::abi;
use super::accounts::Accounts;
use super::bytes::bytes_of;
use super::encode::ip;
use super::error::{Error, Result};
use super::maps::{Maps, for_each};
use super::sys;
use crate::config::Timeouts;
use crate::policy::traffic::{Selector, protocol};
use crate::state::numbers::EndpointNumber;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    /// Only one side has shown that it wants it.
    New,
    /// The other side has answered.
    Established,
    /// TCP: there was a RST, or both FINs.
    Closing,
}

impl FlowState {
    fn of(status: u32) -> Self {
        let any = |flags: &[abi::flow_flag]| flags.iter().any(|flag| status & flag.0 != 0);
        let reset = any(&[
            abi::flow_flag::FLOW_RESET_OPENER,
            abi::flow_flag::FLOW_RESET_TARGET,
        ]);
        let closed =
            any(&[abi::flow_flag::FLOW_FIN_OPENER]) && any(&[abi::flow_flag::FLOW_FIN_TARGET]);
        if reset || closed {
            Self::Closing
        } else if any(&[abi::flow_flag::FLOW_ANSWERED]) {
            Self::Established
        } else {
            Self::New
        }
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowEnd {
    /// Its address.
    pub address: IpAddr,
    /// Its port; for ICMP the identifier of the echo; 0 where there is none.
    pub port: u16,
    /// The endpoint, if it is one.
    pub endpoint: Option<EndpointNumber>,
    /// Whether it is the host itself.
    pub host: bool,
}

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Who opened it.
    pub opener: FlowEnd,
    /// To whom.
    pub target: FlowEnd,
    /// IP protocol number.
    pub protocol: u8,
    /// What was asked for; `None` for a number that is none.
    pub selector: Option<Selector>,
    /// How far it has come.
    pub state: FlowState,
    /// The generation that judged it last.
    pub generation: u64,
    /// How long nothing was seen of it; exact to about a second.
    pub idle: Duration,
}

/// Nanoseconds of the clock that the programs use (`bpf_ktime_get_coarse_ns`).
fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_err(|errno| Error::io("read the clock", &errno.into()))?;
    Ok(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Every connection that lives, at most `limit`.
pub(super) fn list(maps: &Maps, timeouts: &Timeouts, limit: usize) -> Result<Vec<Flow>> {
    let now = now()?;
    let mut flows = Vec::new();
    for_each(&maps.flows, |key: abi::flow_key, value: abi::flow| {
        if flows.len() < limit && is_alive(&key, &value) {
            let flow = flow(&key, &value, now);
            if flow.idle <= patience(timeouts, flow.protocol, flow.state) {
                flows.push(flow);
            }
        }
    })?;
    Ok(flows)
}

/// Whether an entry is one still, to packets that find it.
fn is_alive(key: &abi::flow_key, value: &abi::flow) -> bool {
    value.status & abi::flow_flag::FLOW_CLAIMED.0 == 0
        && (value.generation != 0 || key.protocol == protocol::TCP)
}

fn flow(key: &abi::flow_key, value: &abi::flow, now: u64) -> Flow {
    let flag = |flag: abi::flow_flag| value.status & flag.0 != 0;
    let low = (ip(&key.low), u16::from_be(key.low_port));
    let high = (ip(&key.high), u16::from_be(key.high_port));
    let (opener, target) = if flag(abi::flow_flag::FLOW_OPENER_LOW) {
        (low, high)
    } else {
        (high, low)
    };
    let end = |(address, port), endpoint: u32, host| FlowEnd {
        address,
        port,
        endpoint: (endpoint != 0).then_some(EndpointNumber(endpoint)),
        host,
    };
    Flow {
        opener: end(opener, value.opener, flag(abi::flow_flag::FLOW_OPENER_HOST)),
        target: end(target, value.target, flag(abi::flow_flag::FLOW_TARGET_HOST)),
        protocol: key.protocol,
        selector: Selector::from_raw(value.selector),
        state: FlowState::of(value.status),
        generation: value.generation,
        idle: Duration::from_nanos(now.saturating_sub(value.last_seen)),
    }
}

/// How long a connection may be idle: `flow_timeout` of expiry.h.
fn patience(timeouts: &Timeouts, protocol_number: u8, state: FlowState) -> Duration {
    let seconds = match (state, protocol_number) {
        (FlowState::Closing, _) => timeouts.tcp_closing,
        (FlowState::New, protocol::TCP) => timeouts.tcp_new,
        (FlowState::Established, protocol::TCP) => timeouts.tcp,
        (FlowState::New, protocol::UDP) => timeouts.udp_new,
        (FlowState::Established, protocol::UDP) => timeouts.udp,
        (_, protocol::ICMP | protocol::ICMPV6) => timeouts.icmp,
        _ => timeouts.other,
    };
    Duration::from_secs(seconds.into())
}

/// What a search for expired connections has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Connections that were removed.
    pub removed: u32,
    /// Connections that are left.
    pub left: u32,
    /// When the next of them expires if it stays idle.
    pub next: Option<Duration>,
}

/// Has the kernel remove what has been idle for too long; `None` if a packet has it do so just now.
pub(super) fn expire(sweep_body: BorrowedFd<'_>) -> Result<Option<Expired>> {
    let mut sweep = abi::sweep {
        now: now()?,
        ..Default::default()
    };
    let done = sys::run_with_context(sweep_body, &mut sweep)
        .map_err(|error| Error::io("remove expired connections", &error))?;
    Ok((done != 0).then(|| Expired {
        removed: sweep.removed,
        left: sweep.left,
        next: (sweep.next != 0).then(|| Duration::from_nanos(sweep.next.saturating_sub(sweep.now))),
    }))
}

/// Copies connections that `to` does not know yet, as far as there is room.
pub(super) fn copy(from: &MapHandle, to: &Maps, accounts: &Accounts) -> Result<()> {
    let mut left_behind = 0_usize;
    for_each(from, |key: abi::flow_key, value: abi::flow| {
        if !is_alive(&key, &value) {
            return;
        }
        let copied = to
            .flows
            .update(bytes_of(&key), bytes_of(&value), MapFlags::NO_EXIST);
        match copied {
            Ok(()) => accounts.charge(value.status),
            Err(error) if error.kind() == libbpf_rs::ErrorKind::AlreadyExists => {}
            Err(_) => left_behind += 1,
        }
    })?;
    if left_behind > 0 {
        log::warn!("{left_behind} connections found no room in the new, smaller table");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::encode::address;

    #[test]
    fn the_opener_is_told_from_the_target_whichever_address_is_lower() {
        let key = abi::flow_key {
            low: address("10.0.0.1".parse().unwrap()),
            high: address("10.0.0.2".parse().unwrap()),
            low_port: 80_u16.to_be(),
            high_port: 40_000_u16.to_be(),
            protocol: protocol::TCP,
            ..Default::default()
        };
        let mut value = abi::flow {
            opener: 7,
            selector: 0x06_0050,
            last_seen: 1_000_000_000,
            ..Default::default()
        };
        let high_opens = flow(&key, &value, 3_000_000_000);
        assert_eq!(high_opens.opener.port, 40_000);
        assert_eq!(high_opens.opener.endpoint, Some(EndpointNumber(7)));
        assert_eq!(
            high_opens.target.address,
            "10.0.0.1".parse::<IpAddr>().unwrap()
        );
        assert_eq!(high_opens.selector, Some(Selector::port(protocol::TCP, 80)));
        assert_eq!(high_opens.idle, Duration::from_secs(2));

        value.status = abi::flow_flag::FLOW_OPENER_LOW.0;
        let low_opens = flow(&key, &value, 0);
        assert_eq!(low_opens.opener.port, 80);
        assert_eq!(low_opens.state, FlowState::New);
        assert_eq!(low_opens.idle, Duration::ZERO);
    }

    #[test]
    fn how_far_a_connection_has_come_follows_from_what_was_seen() {
        use abi::flow_flag as Flag;
        let of = |flags: &[Flag]| FlowState::of(flags.iter().fold(0, |all, flag| all | flag.0));
        let answered = Flag::FLOW_ANSWERED;
        assert_eq!(of(&[]), FlowState::New);
        assert_eq!(of(&[Flag::FLOW_REPLIED]), FlowState::New);
        assert_eq!(of(&[answered]), FlowState::Established);
        assert_eq!(
            of(&[answered, Flag::FLOW_FIN_OPENER]),
            FlowState::Established
        );
        assert_eq!(
            of(&[answered, Flag::FLOW_FIN_OPENER, Flag::FLOW_FIN_TARGET]),
            FlowState::Closing
        );
        assert_eq!(of(&[answered, Flag::FLOW_RESET_TARGET]), FlowState::Closing);
        assert_eq!(of(&[Flag::FLOW_RESET_OPENER]), FlowState::Closing);
    }

    #[test]
    fn each_kind_of_connection_has_its_own_timeout() {
        let timeouts = Timeouts::default();
        let seconds = |protocol, state| patience(&timeouts, protocol, state).as_secs();
        assert_eq!(seconds(protocol::TCP, FlowState::New), 60);
        assert_eq!(seconds(protocol::TCP, FlowState::Established), 432_000);
        assert_eq!(seconds(protocol::TCP, FlowState::Closing), 30);
        assert_eq!(seconds(protocol::UDP, FlowState::New), 30);
        assert_eq!(seconds(protocol::UDP, FlowState::Established), 180);
        assert_eq!(seconds(protocol::ICMPV6, FlowState::Established), 30);
        assert_eq!(seconds(47, FlowState::Established), 600);
    }
}
