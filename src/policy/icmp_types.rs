//! The types of ICMP and ICMPv6 by name: the registries "ICMP Type Numbers" and "ICMPv6 type Numbers"
//! of <https://www.iana.org/assignments/icmp-parameters> and <https://www.iana.org/assignments/icmpv6-parameters>,
//! in kebab case, deprecated types included, unassigned, reserved and experimental ones not.

use super::traffic::protocol;

/// A type's number and its names, the one to show first. Further names are those that differ between
/// the two registries (IPv4's "Echo" is IPv6's "Echo Request"), so that one name covers both families.
pub(super) type IcmpType = (u8, &'static [&'static str]);

/// RFC 792 and later.
pub(super) const ICMPV4: &[IcmpType] = &[
    (0, &["echo-reply"]),
    (3, &["destination-unreachable"]),
    (4, &["source-quench"]),
    (5, &["redirect", "redirect-message"]),
    (6, &["alternate-host-address"]),
    (8, &["echo-request", "echo"]),
    (9, &["router-advertisement"]),
    (10, &["router-solicitation"]),
    (11, &["time-exceeded"]),
    (12, &["parameter-problem"]),
    (13, &["timestamp"]),
    (14, &["timestamp-reply"]),
    (15, &["information-request"]),
    (16, &["information-reply"]),
    (17, &["address-mask-request"]),
    (18, &["address-mask-reply"]),
    (30, &["traceroute"]),
    (31, &["datagram-conversion-error"]),
    (32, &["mobile-host-redirect"]),
    (33, &["ipv6-where-are-you"]),
    (34, &["ipv6-i-am-here"]),
    (35, &["mobile-registration-request"]),
    (36, &["mobile-registration-reply"]),
    (37, &["domain-name-request"]),
    (38, &["domain-name-reply"]),
    (39, &["skip"]),
    (40, &["photuris"]),
    (41, &["experimental-mobility-protocols"]),
    (42, &["extended-echo-request"]),
    (43, &["extended-echo-reply"]),
];

/// RFC 4443 and later.
pub(super) const ICMPV6: &[IcmpType] = &[
    (1, &["destination-unreachable"]),
    (2, &["packet-too-big"]),
    (3, &["time-exceeded"]),
    (4, &["parameter-problem"]),
    (128, &["echo-request", "echo"]),
    (129, &["echo-reply"]),
    (130, &["multicast-listener-query"]),
    (131, &["multicast-listener-report"]),
    (132, &["multicast-listener-done"]),
    (133, &["router-solicitation"]),
    (134, &["router-advertisement"]),
    (135, &["neighbor-solicitation"]),
    (136, &["neighbor-advertisement"]),
    (137, &["redirect-message", "redirect"]),
    (138, &["router-renumbering"]),
    (139, &["icmp-node-information-query"]),
    (140, &["icmp-node-information-response"]),
    (
        141,
        &[
            "inverse-neighbor-discovery-solicitation-message",
            "inverse-neighbor-discovery-solicitation",
        ],
    ),
    (
        142,
        &[
            "inverse-neighbor-discovery-advertisement-message",
            "inverse-neighbor-discovery-advertisement",
        ],
    ),
    (
        143,
        &[
            "version-2-multicast-listener-report",
            "multicast-listener-report-v2",
        ],
    ),
    (
        144,
        &[
            "home-agent-address-discovery-request-message",
            "home-agent-address-discovery-request",
        ],
    ),
    (
        145,
        &[
            "home-agent-address-discovery-reply-message",
            "home-agent-address-discovery-reply",
        ],
    ),
    (146, &["mobile-prefix-solicitation"]),
    (147, &["mobile-prefix-advertisement"]),
    (
        148,
        &[
            "certification-path-solicitation-message",
            "certification-path-solicitation",
        ],
    ),
    (
        149,
        &[
            "certification-path-advertisement-message",
            "certification-path-advertisement",
        ],
    ),
    (150, &["experimental-mobility-protocols"]),
    (151, &["multicast-router-advertisement"]),
    (152, &["multicast-router-solicitation"]),
    (153, &["multicast-router-termination"]),
    (154, &["fmipv6-messages"]),
    (155, &["rpl-control-message"]),
    (156, &["ilnpv6-locator-update-message"]),
    (
        157,
        &[
            "duplicate-address-request",
            "duplicate-address-request-code-suffix",
        ],
    ),
    (
        158,
        &[
            "duplicate-address-confirmation",
            "duplicate-address-confirmation-code-suffix",
        ],
    ),
    (159, &["mpl-control-message"]),
    (160, &["extended-echo-request"]),
    (161, &["extended-echo-reply"]),
];

/// What a type of ICMP or ICMPv6 (`protocol` says which) is called.
#[must_use]
pub fn icmp_type_name(protocol: u8, number: u8) -> Option<&'static str> {
    let types = match protocol {
        protocol::ICMP => ICMPV4,
        protocol::ICMPV6 => ICMPV6,
        _ => return None,
    };
    let (_, names) = types.iter().find(|(known, _)| *known == number)?;
    names.first().copied()
}
