//! Why a packet was dropped, in words. The reasons are the kernel side's (`enum drop_reason` of
//! `abi.h`); a reason without words here, or in another order, does not compile.

use std::fmt;

use crate::kernel::abi::drop_reason;

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(usize);

struct Words {
    symbol: &'static str,
    number: u32,
    text: &'static str,
    remedy: &'static str,
}

const COUNT: usize = drop_reason::DROP_REASONS.0 as usize;

/// The line that a reason is announced with, and what to do about it.
macro_rules! words {
    ($($symbol:ident: $text:literal, $remedy:literal;)*) => {
        [$(Words {
            symbol: stringify!($symbol),
            number: drop_reason::$symbol.0,
            text: $text,
            remedy: $remedy,
        },)*]
    };
}

const WORDS: [Words; COUNT] = in_order(words! {
    DROP_NONE: "not dropped",
        "";
    DROP_POLICY_DEFAULT: "no rule allows it",
        "if it should pass, add an [[allow]] rule for it and check with `bridgewall explain`";
    DROP_POLICY_DENY: "a rule denies it",
        "a deny beats every allow: narrow the rule that is named, or remove it";
    DROP_ENDPOINT_UNNAMED: "nobody has said yet whose interface this is",
        "wait for Docker to name the container; if it lasts, see the docker line of `bridgewall status`";
    DROP_ENDPOINT_UNKNOWN: "the endpoint has no record",
        "the interface is being removed; if it lasts, see `bridgewall status`";
    DROP_IDENTITY_MISSING: "an address or identity is in no table",
        "the inventory is being written; if it lasts, see `bridgewall status`";
    DROP_BODY_MISSING: "the judging program is not in place",
        "start the daemon: it loads the programs anew";
    DROP_PULL_FAILED: "the headers could not be made readable",
        "the kernel is short of memory, or the frame is damaged";
    DROP_TRUNCATED: "the packet is shorter than its headers say",
        "a damaged or forged packet; look at the sender";
    DROP_ETHERTYPE: "neither IPv4, IPv6 nor ARP",
        "other protocols do not pass a watched interface";
    DROP_VLAN: "VLAN-tagged",
        "tagged frames do not pass a watched interface: use a network for each VLAN";
    DROP_SOURCE_MAC: "the sender's MAC address is not its own",
        "a container may send from its own address only; nested bridges need networks of their own";
    DROP_SOURCE_IPV4: "the sender's IPv4 address is not its own",
        "a container may send from its own addresses only: give it the address through Docker";
    DROP_SOURCE_IPV6: "the sender's IPv6 address is not its own",
        "a container may send from its own addresses only: give it the address through Docker";
    DROP_SOURCE_UNPROVEN: "the source address belongs to a container, which did not send it",
        "forged, or routed back in from outside: look for a host that uses the container's address";
    DROP_ARP: "ARP that is malformed or speaks for somebody else",
        "a container may announce its own addresses only";
    DROP_NEIGHBOUR_DISCOVERY: "neighbour discovery that is malformed or speaks for somebody else",
        "a container may announce its own addresses only";
    DROP_ROUTER_ADVERTISEMENT: "a router advertisement or redirect from a container",
        "containers are no routers";
    DROP_IPV4_HEADER: "malformed IPv4 header",
        "a damaged or forged packet; look at the sender";
    DROP_IPV4_SOURCE_ROUTE: "IPv4 source routing",
        "source routes go around the policy and never pass";
    DROP_IPV6_HEADER: "malformed IPv6 header",
        "a damaged or forged packet; look at the sender";
    DROP_IPV6_EXTENSION: "an IPv6 extension header that is unknown, misplaced or banned",
        "what cannot be read cannot be judged";
    DROP_ADDRESS: "an address that must not be on the wire",
        "loopback, mapped and similar addresses never leave a host: look at the sender";
    DROP_FRAGMENT: "a fragment that overlaps, is too small or too far out",
        "a forged packet; look at the sender";
    DROP_FRAGMENT_UNKNOWN: "a fragment whose first part was not seen",
        "fragments arrived out of order or the first was dropped: see the events before this one";
    DROP_L4_HEADER: "malformed transport header",
        "a damaged or forged packet; look at the sender";
    DROP_TCP_FLAGS: "TCP flags that no connection has",
        "a port scan or a forged packet; look at the sender";
    DROP_NO_FLOW: "belongs to a TCP connection that is not known",
        "the connection ended, was revoked or timed out: the program has to connect again";
    DROP_ICMP_FAMILY: "ICMP in IPv6, or ICMPv6 in IPv4",
        "a forged packet; look at the sender";
    DROP_ICMP_ERROR: "an ICMP error about an error, or with a malformed quotation",
        "a forged packet; look at the sender";
    DROP_MARK: "marked as judged for another receiver",
        "something else on this host uses the same bits of the packet mark: see mark_shift";
    DROP_NOT_ADDRESSED: "flooded by the bridge, meant for another one's MAC address",
        "none needed: the bridge has not learned yet where the receiver is";
    DROP_FLOW_TABLE_FULL: "no room for a new connection",
        "raise limits.flows in bridgewall.toml, or look for a flood: `bridgewall list flows`";
    DROP_FLOW_INSERT: "the kernel refused the new connection's entry",
        "transient under load; if it lasts, the kernel is short of memory";
    DROP_DHCP_SERVER: "a DHCP server's message from a container",
        "containers hand out no addresses";
    DROP_MULTICAST_QUERY: "a multicast query from a container",
        "containers are no multicast routers";
    DROP_FLOW_QUOTA: "the endpoint has as many connections as it may",
        "look for a flood: `bridgewall list flows`; else raise flows_per_endpoint in bridgewall.toml";
    DROP_CHECKSUM_OFFLOAD: "asks for a checksum to be written over its own headers",
        "a forged packet; look at the sender";
});

/// Every reason at its own number; checked when this is compiled.
const fn in_order(words: [Words; COUNT]) -> [Words; COUNT] {
    let mut index = 0;
    while index < COUNT {
        assert!(
            words[index].number as usize == index,
            "the words must stand in the order of enum drop_reason"
        );
        index += 1;
    }
    words
}

impl Reason {
    /// From the kernel's number; `None` for "not dropped" and for numbers that no reason has.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        let index = usize::try_from(raw).ok()?;
        (1..COUNT).contains(&index).then_some(Self(index))
    }

    /// All of them, in the kernel's order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..COUNT).map(Self)
    }

    /// The kernel's number: the index in the map of counters.
    #[must_use]
    pub const fn raw(self) -> u32 {
        WORDS[self.0].number
    }

    /// For programs: `policy-default`.
    #[must_use]
    pub fn name(self) -> String {
        let symbol = WORDS[self.0].symbol;
        symbol
            .strip_prefix("DROP_")
            .unwrap_or(symbol)
            .to_ascii_lowercase()
            .replace('_', "-")
    }

    /// What it means, in a line.
    #[must_use]
    pub const fn text(self) -> &'static str {
        WORDS[self.0].text
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        WORDS[self.0].remedy
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_the_kernels_in_kebab_case() {
        let name = |reason: drop_reason| Reason::from_raw(reason.0).expect("a reason").name();
        assert_eq!(name(drop_reason::DROP_POLICY_DEFAULT), "policy-default");
        assert_eq!(name(drop_reason::DROP_SOURCE_IPV4), "source-ipv4");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let texts: BTreeSet<_> = Reason::all().map(Reason::text).collect();
        assert_eq!(texts.len(), Reason::all().count());
        for reason in Reason::all() {
            assert!(!reason.remedy().is_empty(), "{}", reason.name());
        }
    }

    #[test]
    fn no_drop_and_unknown_numbers_are_no_reasons() {
        assert_eq!(Reason::from_raw(0), None);
        assert_eq!(Reason::from_raw(drop_reason::DROP_REASONS.0), None);
        assert_eq!(Reason::from_raw(u32::MAX), None);
    }
}
