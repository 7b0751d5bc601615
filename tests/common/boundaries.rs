//! Where the entities `lan` and `internet` begin and end: of every range the first address and the last,
//! the one before and the one after.

/// An address outside, and whether it lies in the LAN; else on the internet.
pub type Outside = (&'static str, bool);

const LAN: bool = true;
const INTERNET: bool = false;

/// Addresses that one machine may have.
pub const MACHINES: [Outside; 30] = [
    // RFC 1918: 10.0.0.0/8
    ("9.255.255.255", INTERNET),
    ("10.0.0.0", LAN),
    ("10.255.255.255", LAN),
    ("11.0.0.0", INTERNET),
    // RFC 6598: 100.64.0.0/10
    ("100.63.255.255", INTERNET),
    ("100.64.0.0", LAN),
    ("100.127.255.255", LAN),
    ("100.128.0.0", INTERNET),
    // RFC 3927: 169.254.0.0/16
    ("169.253.255.255", INTERNET),
    ("169.254.0.0", LAN),
    ("169.254.255.255", LAN),
    ("169.255.0.0", INTERNET),
    // RFC 1918: 172.16.0.0/12
    ("172.15.255.255", INTERNET),
    ("172.16.0.0", LAN),
    ("172.31.255.255", LAN),
    ("172.32.0.0", INTERNET),
    // RFC 1918: 192.168.0.0/16
    ("192.167.255.255", INTERNET),
    ("192.168.0.0", LAN),
    ("192.168.255.255", LAN),
    ("192.169.0.0", INTERNET),
    // RFC 4193: fc00::/7
    ("fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", INTERNET),
    ("fc00::", LAN),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LAN),
    ("fe00::", INTERNET),
    // RFC 4291: fe80::/10
    ("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", INTERNET),
    ("fe80::", LAN),
    ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LAN),
    ("fec0::", INTERNET),
    // And what is nobody's border.
    ("8.8.8.8", INTERNET),
    ("2001:db8::1", INTERNET),
];

/// Addresses of many: what stays on a link is local.
pub const GROUPS: [Outside; 10] = [
    ("224.0.0.0", LAN),
    ("224.0.0.255", LAN),
    ("224.0.1.0", INTERNET),
    ("239.255.255.255", INTERNET),
    ("255.255.255.255", LAN),
    ("ff02::", LAN),
    ("ff02:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LAN),
    ("ff03::", INTERNET),
    ("ff05::2", INTERNET),
    ("ff0e::1", INTERNET),
];
