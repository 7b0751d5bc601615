//! What a connection asks for, as one number on one line, and what a rule speaks of, as a set of
//! intervals on it. The layout of the line is the kernel's: see `abi.h`, "Policy".

use std::fmt;

/// IP protocol numbers (IANA) that have a meaning of their own here.
pub mod protocol {
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;
}

/// What one new connection asks for: IP protocol, and the destination port or the ICMP type and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(u32);

impl Selector {
    /// The first selector of all.
    pub const FIRST: Self = Self(0);
    /// The last selector of all.
    pub const LAST: Self = Self(0x00ff_ffff);

    /// A TCP, UDP or SCTP destination port.
    #[must_use]
    pub const fn port(protocol: u8, port: u16) -> Self {
        Self((protocol as u32) << 16 | port as u32)
    }

    /// An ICMP or ICMPv6 type and code; `protocol` says which.
    #[must_use]
    pub const fn icmp(protocol: u8, icmp_type: u8, code: u8) -> Self {
        Self((protocol as u32) << 16 | (icmp_type as u32) << 8 | code as u32)
    }

    /// A protocol without ports.
    #[must_use]
    pub const fn protocol(protocol: u8) -> Self {
        Self((protocol as u32) << 16)
    }

    /// From the kernel's number; `None` beyond the line's end.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        if raw <= Self::LAST.0 {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// The kernel's number.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The IP protocol.
    #[must_use]
    pub const fn ip_protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The destination port; for ICMP, type and code.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0 as u16
    }
}

/// An unbroken part of the line, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    first: Selector,
    last: Selector,
}

impl Interval {
    /// The whole line.
    pub const ALL: Self = Self {
        first: Selector::FIRST,
        last: Selector::LAST,
    };

    /// From `first` to `last`, both included; `None` if they are the wrong way round.
    #[must_use]
    pub fn new(first: Selector, last: Selector) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Everything of one IP protocol.
    #[must_use]
    pub const fn protocol(protocol: u8) -> Self {
        Self {
            first: Selector::port(protocol, 0),
            last: Selector::port(protocol, u16::MAX),
        }
    }

    /// The first selector in it.
    #[must_use]
    pub const fn first(self) -> Selector {
        self.first
    }

    /// The last selector in it.
    #[must_use]
    pub const fn last(self) -> Selector {
        self.last
    }

    /// Whether a selector lies in it.
    #[must_use]
    pub fn contains(self, selector: Selector) -> bool {
        self.first <= selector && selector <= self.last
    }
}

/// What a rule speaks of: `ports`, `icmp` and `protocols` together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Traffic {
    intervals: Vec<Interval>,
    text: String,
}

impl Traffic {
    /// All traffic: a rule with none of the three keys.
    #[must_use]
    pub fn all() -> Self {
        Self {
            intervals: vec![Interval::ALL],
            text: "all".to_owned(),
        }
    }

    /// The union of intervals, with the text that a person wrote for it (`80/tcp, echo-request`).
    #[must_use]
    pub fn new(mut intervals: Vec<Interval>, text: String) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for interval in intervals {
            match merged.last_mut() {
                // Adjacent ones join too, so that equal sets are equal values.
                Some(last) if interval.first.0 <= last.last.0.saturating_add(1) => {
                    last.last = last.last.max(interval.last);
                }
                _ => merged.push(interval),
            }
        }
        Self {
            intervals: merged,
            text,
        }
    }

    /// Sorted, disjoint, not adjacent.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Whether it covers a selector.
    #[must_use]
    pub fn contains(&self, selector: Selector) -> bool {
        self.intervals
            .iter()
            .any(|interval| interval.contains(selector))
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
