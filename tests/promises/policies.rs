//! Two policies that allow disjoint sets, made so that any mixture of them shows.
//!
//! | path | what differs | a mixture allows |
//! |---|---|---|
//! | web to db | which of two identities web has; the rules of both | port 2 or 3 |
//! | db to web | the egress rules and the ingress rules | port 2 or 3 |
//! | outside to db | which of two networks the outside is in; the rules of both | port 2 or 3 |
//!
//! The first allows port 1, the second port 4, both allow the sentinel's, and neither 2 or 3.

use std::collections::BTreeSet;

use crate::matrix::{Lane, SENTINEL, lanes_to};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Allows port 1.
    A,
    /// Allows port 4.
    B,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The lanes that it lets through.
    pub fn allows(self) -> BTreeSet<Lane> {
        lanes_to(&[self.port()])
    }

    fn port(self) -> u16 {
        match self {
            Self::A => 1,
            Self::B => 4,
        }
    }

    /// The file.
    pub fn text(self) -> String {
        // Whoever is "first" may use A's port in A, and 3 in B; "second" 2 in A, and B's in B.
        let (web, spare, first, second) = match self {
            Self::A => ("first", "second", 1, 2),
            Self::B => ("second", "first", 3, 4),
        };
        let (in_first, in_second, egress, ingress) = match self {
            Self::A => (
                "192.0.2.2/32\", \"2001:db8:1::2/128",
                "198.51.100.0/24",
                [1, 2],
                [1, 3],
            ),
            Self::B => (
                "198.51.100.0/24",
                "192.0.2.2/32\", \"2001:db8:1::2/128",
                [4, 3],
                [4, 2],
            ),
        };
        let both = |ports: [u16; 2]| ports.map(|p| format!("\"{p}\", \"{p}/udp\"")).join(", ");
        let one = |port: u16| format!("\"{port}\", \"{port}/udp\"");
        format!(
            r#"
            [defaults]
            ingress = "deny"
            egress = "deny"
            [identities.{web}]
            interface = "web"
            [identities.{spare}]
            interface = "spare"
            [identities.db]
            interface = "db"
            [networks.one]
            cidrs = ["{in_first}"]
            [networks.two]
            cidrs = ["{in_second}"]
            [[allow]]
            from = ["first", "one"]
            to = "db"
            ports = [{}]
            [[allow]]
            from = ["second", "two"]
            to = "db"
            ports = [{}]
            [[allow]]
            side = "egress"
            from = "db"
            to = ["first", "second"]
            ports = [{}]
            [[allow]]
            side = "ingress"
            from = "db"
            to = ["first", "second"]
            ports = [{}]
            [[allow]]
            from = "any"
            to = "any"
            ports = [{}]
            "#,
            one(first),
            one(second),
            both(egress),
            both(ingress),
            one(SENTINEL),
        )
    }
}
