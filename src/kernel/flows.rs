//! Connections as the kernel knows them: listed, carried over, and removed when they have expired.

use std::net::IpAddr;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use nix::time::{ClockId, clock_gettime};

use super::abi;
use super::bytes::bytes_of;
use super::encode::ip;
use super::error::{Error, Result};
use super::maps::{Maps, for_each};
use crate::config::Timeouts;
use crate::policy::traffic::{Selector, protocol};
use crate::state::numbers::EndpointNumber;

/// How long fragments are waited for: what reassembly on Linux waits (`ipfrag_time`).
const FRAGMENT_PATIENCE: Duration = Duration::from_secs(30);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    /// Only the opener has spoken.
    New,
    /// The other side has answered.
    Established,
    /// TCP: a FIN or RST was seen.
    Closing,
    /// A number that this version does not know.
    Unknown(u8),
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

/// Every connection, answered or not, at most `limit`.
pub(super) fn list(maps: &Maps, limit: usize) -> Result<Vec<Flow>> {
    let now = now()?;
    let mut flows = Vec::new();
    for map in [&maps.flows, &maps.new_flows] {
        for_each(map, |key: abi::flow_key, value: abi::flow| {
            if flows.len() < limit {
                flows.push(flow(&key, &value, now));
            }
        })?;
    }
    Ok(flows)
}

fn flow(key: &abi::flow_key, value: &abi::flow, now: u64) -> Flow {
    let flag = |flag: abi::flow_flag| u32::from(value.flags) & flag.0 != 0;
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
        state: match abi::flow_state(u32::from(value.state)) {
            abi::flow_state::FLOW_NEW => FlowState::New,
            abi::flow_state::FLOW_ESTABLISHED => FlowState::Established,
            abi::flow_state::FLOW_CLOSING => FlowState::Closing,
            _ => FlowState::Unknown(value.state),
        },
        generation: value.generation,
        idle: Duration::from_nanos(now.saturating_sub(value.last_seen)),
    }
}

/// How long a connection may be idle.
fn patience(timeouts: &Timeouts, protocol_number: u8, state: u8) -> Duration {
    let seconds = match (abi::flow_state(u32::from(state)), protocol_number) {
        (abi::flow_state::FLOW_NEW, _) => timeouts.new,
        (abi::flow_state::FLOW_CLOSING, _) => timeouts.closing,
        (_, protocol::TCP) => timeouts.tcp,
        (_, protocol::UDP) => timeouts.udp,
        (_, protocol::ICMP | protocol::ICMPV6) => timeouts.icmp,
        _ => timeouts.other,
    };
    Duration::from_secs(seconds.into())
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Connections, answered or not.
    pub flows: usize,
    /// Datagrams of which fragments were expected.
    pub fragments: usize,
}

/// Removes what has been idle for too long. A packet that comes at the same moment may lose its
/// entry, which it could have done a moment earlier as well.
pub(super) fn expire(maps: &Maps, timeouts: &Timeouts) -> Result<Expired> {
    let now = now()?;
    let idle = |seen: u64| Duration::from_nanos(now.saturating_sub(seen));
    let mut expired = Expired::default();
    for map in [&maps.flows, &maps.new_flows] {
        let mut old = Vec::new();
        for_each(map, |key: abi::flow_key, value: abi::flow| {
            if idle(value.last_seen) > patience(timeouts, key.protocol, value.state) {
                old.push(key);
            }
        })?;
        super::maps::remove(map, &old)?;
        expired.flows += old.len();
    }
    let mut old = Vec::new();
    for_each(
        &maps.fragments,
        |key: abi::fragment_key, value: abi::fragment| {
            if idle(value.seen) > FRAGMENT_PATIENCE {
                old.push(key);
            }
        },
    )?;
    super::maps::remove(&maps.fragments, &old)?;
    expired.fragments = old.len();
    Ok(expired)
}

/// Copies connections that `to` does not know yet, as far as there is room.
pub(super) fn copy(from: &MapHandle, to: &MapHandle) -> Result<()> {
    let mut left_behind = 0_usize;
    for_each(from, |key: abi::flow_key, value: abi::flow| {
        let copied = to.update(bytes_of(&key), bytes_of(&value), MapFlags::NO_EXIST);
        let known = |error: &libbpf_rs::Error| error.kind() == libbpf_rs::ErrorKind::AlreadyExists;
        if copied.is_err_and(|error| !known(&error)) {
            left_behind += 1;
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

        value.flags = abi::flow_flag::FLOW_OPENER_LOW.0 as u8;
        value.state = 9;
        let low_opens = flow(&key, &value, 0);
        assert_eq!(low_opens.opener.port, 80);
        assert_eq!(low_opens.state, FlowState::Unknown(9));
        assert_eq!(low_opens.idle, Duration::ZERO);
    }

    #[test]
    fn each_kind_of_connection_has_its_own_timeout() {
        let timeouts = Timeouts::default();
        let established = abi::flow_state::FLOW_ESTABLISHED.0 as u8;
        let closing = abi::flow_state::FLOW_CLOSING.0 as u8;
        let seconds = |protocol, state| patience(&timeouts, protocol, state).as_secs();
        assert_eq!(seconds(protocol::TCP, established), 21_600);
        assert_eq!(seconds(protocol::TCP, closing), 30);
        assert_eq!(seconds(protocol::TCP, 0), 30);
        assert_eq!(seconds(protocol::UDP, established), 180);
        assert_eq!(seconds(protocol::ICMPV6, established), 30);
        assert_eq!(seconds(47, established), 600);
    }
}
