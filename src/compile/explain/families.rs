//! Which IP families somebody has addresses of.

use ipnet::IpNet;

use crate::policy::traffic::{Interval, Selector, Traffic, protocol};

/// IP families: between IPv4 addresses there is no ICMPv6, and the other way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Families {
    ipv4: bool,
    ipv6: bool,
}

impl Families {
    pub(super) const BOTH: Self = Self {
        ipv4: true,
        ipv6: true,
    };

    pub(super) fn of(prefix: &IpNet) -> Self {
        Self {
            ipv4: matches!(prefix, IpNet::V4(_)),
            ipv6: matches!(prefix, IpNet::V6(_)),
        }
    }

    pub(super) fn both(self, other: Self) -> Self {
        Self {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }

    pub(super) fn either(self, other: Self) -> Self {
        Self {
            ipv4: self.ipv4 || other.ipv4,
            ipv6: self.ipv6 || other.ipv6,
        }
    }

    /// What of some traffic can occur in these families.
    pub(super) fn part_of(self, traffic: &Traffic) -> Vec<Interval> {
        if self == Self::default() {
            return Vec::new();
        }
        let mut intervals = traffic.intervals().to_vec();
        if !self.ipv4 {
            intervals = without(&intervals, Interval::protocol(protocol::ICMP));
        }
        if !self.ipv6 {
            intervals = without(&intervals, Interval::protocol(protocol::ICMPV6));
        }
        intervals
    }
}

fn without(intervals: &[Interval], hole: Interval) -> Vec<Interval> {
    let before = Selector::from_raw(hole.first().raw().wrapping_sub(1));
    let after = Selector::from_raw(hole.last().raw() + 1);
    let mut left = Vec::new();
    for interval in intervals {
        if let Some(before) = before {
            left.extend(Interval::new(interval.first(), interval.last().min(before)));
        }
        if let Some(after) = after {
            left.extend(Interval::new(interval.first().max(after), interval.last()));
        }
    }
    left
}
