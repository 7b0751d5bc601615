//! Deny lists as they are, and senders that are on them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Lengths that the lists have, longest first.
pub const LENGTHS_V4: [u8; 4] = [32, 24, 22, 20];
pub const LENGTHS_V6: [u8; 4] = [128, 64, 56, 48];

/// Different prefixes, none within another: mostly single addresses or links, all over the space.
pub fn list(family: Family, size: usize) -> Vec<IpNet> {
    let mut random = Random::new(0x5eed);
    let mut taken = BTreeSet::new();
    let mut prefixes = Vec::with_capacity(size);
    while prefixes.len() < size {
        let length = |lengths: [u8; 4], draw: u64| match draw % 100 {
            0..70 => lengths[0],
            70..95 => lengths[1],
            95..98 => lengths[2],
            _ => lengths[3],
        };
        let draw = random.next();
        // What is left of the address below the shortest length says which prefix lies there.
        let (prefix, block): (IpNet, u128) = match family {
            Family::V4 => {
                let bits = 0x0100_0000 + (draw >> 32) as u32 % 0xde00_0000;
                let length = length(LENGTHS_V4, draw);
                let net = Ipv4Net::new(Ipv4Addr::from_bits(bits), length).expect("a prefix");
                (net.trunc().into(), u128::from(bits >> 8))
            }
            Family::V6 => {
                // 30,000 allocations in the space that registries give out.
                let allocation = 0x2400_0000 + (draw >> 40) as u32 % 30_000 * 0x1357;
                let low = u128::from(random.next()) << 32;
                let bits = u128::from(allocation) << 96 | low;
                let length = length(LENGTHS_V6, draw);
                let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), length).expect("a prefix");
                (net.trunc().into(), bits >> 80)
            }
        };
        let alone = prefix.prefix_len() == 32 || prefix.prefix_len() == 128;
        let key = (block, alone.then_some(prefix));
        if taken.contains(&(block, None)) || !taken.insert(key) {
            continue;
        }
        prefixes.push(prefix);
    }
    prefixes
}

/// Addresses on a list, in no order.
pub fn senders(prefixes: &[IpNet], count: usize) -> Vec<IpAddr> {
    let mut random = Random::new(0xface);
    (0..count)
        .map(|_| {
            let prefix = prefixes[(random.next() % prefixes.len() as u64) as usize];
            match prefix {
                IpNet::V4(net) => {
                    let below = random.next() as u32 & net.hostmask().to_bits();
                    IpAddr::V4((net.network().to_bits() | below).into())
                }
                IpNet::V6(net) => {
                    let below = u128::from(random.next()) & net.hostmask().to_bits();
                    IpAddr::V6((net.network().to_bits() | below).into())
                }
            }
        })
        .collect()
}

/// Enough for a list and an order (xorshift64, Marsaglia 2003).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Fisher and Yates.
    pub fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}
