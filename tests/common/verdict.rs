//! One connection attempt, seen from everywhere: by who makes it, by who receives it, by the daemon's
//! counters, and by its events.

use std::net::IpAddr;

use serde_json::Value;

use super::daemon::{Daemon, Monitor};
use super::frame::{self, Witness};
use super::probe::{self, Outcome};
use super::sandbox::Node;
use super::service::Service;
use super::{BRIEFLY, PATIENCE, eventually};

/// What is attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// A connection to a port, where somebody listens.
    Tcp(u16),
    /// The same, to a server that is there already, and may be the silent kind.
    Connect(u16),
    /// A datagram to a port, where somebody listens.
    Udp(u16),
    /// An echo request, of the family's own kind.
    Ping,
    /// Any ICMP message, by type and code: of IPv4.
    Icmp4(u8, u8),
    /// Any ICMPv6 message, by type and code.
    Icmp6(u8, u8),
}

/// Why it is dropped, as counters and events name it.
pub mod why {
    /// No rule allows it.
    pub const DEFAULT: &str = "policy-default";
    /// A rule denies it.
    pub const DENIED: &str = "policy-deny";
}

/// Asks both families, unless it is told otherwise, and all the witnesses there are.
pub struct Verdicts<'a> {
    daemon: &'a Daemon,
    monitor: Monitor,
}

impl<'a> Verdicts<'a> {
    /// Of this daemon.
    #[track_caller]
    pub fn of(daemon: &'a Daemon) -> Self {
        Self {
            monitor: daemon.monitor(),
            daemon,
        }
    }

    /// The events so far, and those to come.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// It is answered, and arrived once for each family.
    #[track_caller]
    pub fn allowed(&self, from: &Node, to: &Node, traffic: Traffic) {
        for (source, target) in pairs(from, to, traffic) {
            let mut witness = Witness::at(&to.namespace, to.interface);
            let (outcome, heard) = attempt(from, to, target, traffic, PATIENCE);
            if let Some(outcome) = outcome {
                assert_eq!(
                    outcome,
                    Outcome::Answered,
                    "{traffic:?} from {source} to {target}"
                );
            }
            if let Some(heard) = heard {
                assert_eq!(
                    heard, 1,
                    "{traffic:?} from {source} to {target} arrives once"
                );
            }
            eventually(
                &format!("{traffic:?} from {source} arrives at {target}"),
                || (arrivals(&mut witness, traffic, source, target) > 0).then_some(()),
            );
        }
    }

    /// It is answered only because of audit mode, and an event says so.
    #[track_caller]
    pub fn audited(&self, from: &Node, to: &Node, traffic: Traffic) {
        self.allowed(from, to, traffic);
        for (source, target) in pairs(from, to, traffic) {
            self.monitor.expect(
                &format!("{traffic:?} from {source} to {target} would have been dropped"),
                |event| event["verdict"] == "audit" && is_about(event, source, target, traffic),
            );
        }
    }

    /// Nothing answers, nothing arrives, the counter of the reason rises, and an event names both ends
    /// and the reason.
    #[track_caller]
    pub fn dropped(&self, from: &Node, to: &Node, traffic: Traffic, reason: &str) {
        for (source, target) in pairs(from, to, traffic) {
            let mut witness = Witness::at(&to.namespace, to.interface);
            let before = self.daemon.drops(reason);
            let (outcome, heard) = attempt(from, to, target, traffic, BRIEFLY);
            if let Some(outcome) = outcome {
                assert_eq!(
                    outcome,
                    Outcome::Silence,
                    "{traffic:?} from {source} to {target}"
                );
            }
            assert_eq!(
                heard.unwrap_or(0),
                0,
                "{traffic:?} from {source} to {target} is heard"
            );
            eventually(
                &format!("{reason} is counted for {traffic:?} from {source} to {target}"),
                || (self.daemon.drops(reason) > before).then_some(()),
            );
            assert_eq!(
                arrivals(&mut witness, traffic, source, target),
                0,
                "{traffic:?} from {source} arrives at {target}"
            );
            self.monitor.expect(
                &format!("{traffic:?} from {source} to {target} was dropped for {reason}"),
                |event| event["reason"] == reason && is_about(event, source, target, traffic),
            );
        }
    }
}

/// The addresses of both ends in each family that the traffic exists in.
fn pairs(from: &Node, to: &Node, traffic: Traffic) -> Vec<(IpAddr, IpAddr)> {
    from.addresses()
        .into_iter()
        .zip(to.addresses())
        .filter(|(source, _)| match traffic {
            Traffic::Icmp4(..) => source.is_ipv4(),
            Traffic::Icmp6(..) => source.is_ipv6(),
            _ => true,
        })
        .collect()
}

/// What came of it for its sender, and how often a listener heard of it; nothing for what nobody
/// answers or listens to.
fn attempt(
    from: &Node,
    to: &Node,
    target: IpAddr,
    traffic: Traffic,
    patience: std::time::Duration,
) -> (Option<Outcome>, Option<u64>) {
    match traffic {
        Traffic::Tcp(port) => {
            let service = Service::tcp(&to.namespace, port, "hello");
            let outcome = probe::tcp_within(&from.namespace, (target, port).into(), patience);
            (Some(outcome), Some(service.heard()))
        }
        Traffic::Connect(port) => {
            let outcome = probe::connect_within(&from.namespace, (target, port).into(), patience);
            (Some(outcome), None)
        }
        Traffic::Udp(port) => {
            let service = Service::udp(&to.namespace, port);
            let outcome = probe::udp_within(&from.namespace, (target, port).into(), patience);
            (Some(outcome), Some(service.heard()))
        }
        Traffic::Ping => (
            Some(probe::ping_within(&from.namespace, target, patience)),
            None,
        ),
        Traffic::Icmp4(icmp_type, code) | Traffic::Icmp6(icmp_type, code) => {
            probe::send_icmp(&from.namespace, target, icmp_type, code);
            (None, None)
        }
    }
}

/// How many packets of it have come to the receiver's interface.
fn arrivals(witness: &mut Witness, traffic: Traffic, source: IpAddr, target: IpAddr) -> usize {
    let (protocol, selector) = selector(traffic, target);
    witness.count(|packet| {
        packet.source == source
            && packet.destination == target
            && packet.protocol == protocol
            && packet.selector == selector
    })
}

fn is_about(event: &Value, source: IpAddr, target: IpAddr, traffic: Traffic) -> bool {
    let (protocol, selector) = selector(traffic, target);
    let what = match protocol {
        frame::TCP => event["protocol"] == "tcp" && event["destination"]["port"] == selector,
        frame::UDP => event["protocol"] == "udp" && event["destination"]["port"] == selector,
        _ => event["icmp"]["type"] == selector >> 8 && event["icmp"]["code"] == (selector & 0xff),
    };
    what && event["source"]["address"] == source.to_string()
        && event["destination"]["address"] == target.to_string()
}

fn selector(traffic: Traffic, target: IpAddr) -> (u8, u16) {
    let icmp = |icmp_type: u8, code: u8| u16::from_be_bytes([icmp_type, code]);
    match traffic {
        Traffic::Tcp(port) | Traffic::Connect(port) => (frame::TCP, port),
        Traffic::Udp(port) => (frame::UDP, port),
        Traffic::Ping if target.is_ipv4() => (frame::ICMP, icmp(8, 0)),
        Traffic::Ping => (frame::ICMPV6, icmp(128, 0)),
        Traffic::Icmp4(icmp_type, code) => (frame::ICMP, icmp(icmp_type, code)),
        Traffic::Icmp6(icmp_type, code) => (frame::ICMPV6, icmp(icmp_type, code)),
    }
}
