//! The world outside as the kernel searches it: roots, by the upper bits of an address, and below
//! those that have more than one answer, trees.

mod place;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

pub use self::place::{Change, NoRoom, Placed, PlacedRoot};
use self::tree::Found;
pub use self::tree::{DEPTH_SHIFT, LAST_NODE, Node, Tree, Width};
use super::numbers::IdentityNumber;

/// The first root of 2000::/3 (`ROOTS_IPV6` in `abi.h`); before it are those of IPv4.
pub const ROOTS_IPV6: u32 = 1 << 17;
/// The first root of the rest of IPv6.
pub const ROOTS_IPV6_REST: u32 = ROOTS_IPV6 + (1 << 17);
/// How many roots there are.
pub const ROOTS: u32 = ROOTS_IPV6_REST + 8;
/// How many roots lie in one row of the kernel's table.
pub const ROOTS_IN_ROW: u32 = 16;

/// Bits of an IPv4 address below its root.
const IPV4_BITS: u32 = 15;
/// The same of an IPv6 address in 2000::/3, and outside of it.
const IPV6_BITS: u32 = 108;
const REST_BITS: u32 = 125;

/// What one root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// All addresses below it have this number; [`IdentityNumber::NONE`]: no address is below it.
    Identity(IdentityNumber),
    /// They differ.
    Tree(Tree),
}

/// The world outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// In order; each holds up to the next one.
    roots: Vec<(u32, Root)>,
}

impl Networks {
    /// From a table by longest prefix, in which both families' default routes are.
    #[must_use]
    pub fn new(table: &BTreeMap<IpNet, IdentityNumber>) -> Self {
        let mut builder = Builder::default();
        let mut around: Vec<(u128, IdentityNumber)> = Vec::new();
        let mut family = None;
        for (prefix, &number) in table {
            let (width, first, last) = bounds(prefix);
            if family != Some(width) {
                while let Some((last, number)) = around.pop() {
                    builder.add(last, number);
                }
                builder.finish();
                builder = builder.of(width);
                family = Some(width);
            }
            while let Some((last, number)) = around.pop_if(|(last, _)| *last < first) {
                builder.add(last, number);
            }
            if let Some((_, number)) = around.last()
                && builder.next.is_some_and(|next| first > next)
            {
                builder.add(first - 1, *number);
            }
            around.push((last, number));
        }
        while let Some((last, number)) = around.pop() {
            builder.add(last, number);
        }
        builder.finish();
        // Roots came in the order of addresses, where those of 2000::/3 are between two others.
        builder.roots.sort_by_key(|(root, _)| *root);
        builder
            .roots
            .dedup_by(|root, before| root.1 == before.1 && matches!(root.1, Root::Identity(_)));
        Self {
            roots: builder.roots,
        }
    }

    /// The number of an address, found as the kernel finds it.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<IdentityNumber> {
        let (root, width, keys) = locate(address);
        let after = self.roots.partition_point(|(first, _)| *first <= root);
        match &self.roots[..after].last()?.1 {
            Root::Identity(number) => {
                Some(*number).filter(|number| *number != IdentityNumber::NONE)
            }
            Root::Tree(tree) => tree.find(width, keys).map(IdentityNumber),
        }
    }

    /// Every root that differs from the one before it, in order.
    pub fn roots(&self) -> impl Iterator<Item = (u32, &Root)> {
        self.roots.iter().map(|(root, what)| (*root, what))
    }

    /// How many blocks of 64 bytes its trees take.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.roots
            .iter()
            .map(|(_, root)| match root {
                Root::Identity(_) => 0,
                Root::Tree(tree) => tree.nodes().len(),
            })
            .sum()
    }
}

/// A prefix's first and last address, as numbers in its family.
fn bounds(prefix: &IpNet) -> (Width, u128, u128) {
    match prefix {
        IpNet::V4(prefix) => (
            Width::Narrow,
            u128::from(prefix.network().to_bits()),
            u128::from(prefix.broadcast().to_bits()),
        ),
        IpNet::V6(prefix) => (
            Width::Wide,
            prefix.network().to_bits(),
            prefix.broadcast().to_bits(),
        ),
    }
}

/// The root of an address, and what is looked up below it.
fn locate(address: IpAddr) -> (u32, Width, [u64; 2]) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let key = u64::from(bits) & Width::Narrow.last();
            (bits >> IPV4_BITS, Width::Narrow, [key, 0])
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (ipv6_root(bits).0, Width::Wide, halves(bits))
        }
    }
}

/// The root of an IPv6 address, and how many bits are below it.
const fn ipv6_root(bits: u128) -> (u32, u32) {
    if bits >> REST_BITS == 1 {
        let within = (bits >> IPV6_BITS) as u32 & (ROOTS_IPV6 - 1);
        (ROOTS_IPV6 + within, IPV6_BITS)
    } else {
        (ROOTS_IPV6_REST + (bits >> REST_BITS) as u32, REST_BITS)
    }
}

const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// The width of the trees below a root.
#[must_use]
pub const fn width(root: u32) -> Width {
    if root < ROOTS_IPV6 {
        Width::Narrow
    } else {
        Width::Wide
    }
}

/// Takes ranges in order and makes roots of them.
struct Builder {
    roots: Vec<(u32, Root)>,
    width: Width,
    /// The first address that nothing was said of; `None` after the last one.
    next: Option<u128>,
    /// What was said last and may go on.
    pending: Option<(u128, IdentityNumber)>,
    /// The first address that no root was made for.
    done: u128,
    /// Ranges below the root of `done`, by their last address.
    below: Vec<(u128, u32)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            width: Width::Narrow,
            next: Some(0),
            pending: None,
            done: 0,
            below: Vec::new(),
        }
    }
}

impl Builder {
    /// Goes on with another family.
    fn of(self, width: Width) -> Self {
        let mut next = Self {
            width,
            roots: self.roots,
            ..Self::default()
        };
        if width == Width::Wide {
            // The place of 2000::/3 among the roots of three bits.
            let gap = (ROOTS_IPV6_REST + 1, Root::Identity(IdentityNumber::NONE));
            next.roots.push(gap);
        }
        next
    }

    /// Everything from the last range to `last` has this number.
    fn add(&mut self, last: u128, number: IdentityNumber) {
        if self.next.is_none_or(|next| last < next) {
            return;
        }
        self.next = last.checked_add(1);
        match &mut self.pending {
            Some((end, known)) if *known == number => *end = last,
            pending => {
                let before = pending.replace((last, number));
                self.take(before);
            }
        }
    }

    fn finish(&mut self) {
        let last = self.pending.take();
        self.take(last);
    }

    fn take(&mut self, range: Option<(u128, IdentityNumber)>) {
        let Some((last, number)) = range else {
            return;
        };
        loop {
            let (root, bits) = match self.width {
                Width::Narrow => ((self.done >> IPV4_BITS) as u32, IPV4_BITS),
                Width::Wide => ipv6_root(self.done),
            };
            let end = self.done | ((1 << bits) - 1);
            if last < end {
                self.below.push((last, number.0));
                return;
            }
            let mut end = end;
            let what = if self.below.is_empty() {
                // All roots at once that lie within the range.
                let whole = (last.wrapping_add(1) >> bits << bits).wrapping_sub(1);
                end = end.max(whole.min(self.segment()));
                Root::Identity(number)
            } else {
                self.below.push((end, number.0));
                Root::Tree(self.tree())
            };
            let goes_on = self.roots.last().is_some_and(|(_, before)| *before == what);
            let begins = root == ROOTS_IPV6 || root >= ROOTS_IPV6_REST;
            if begins || !goes_on || matches!(what, Root::Tree(_)) {
                self.roots.push((root, what));
            }
            self.done = end.wrapping_add(1);
            if last == end {
                return;
            }
        }
    }

    /// The last address up to which roots are in order and equally large.
    const fn segment(&self) -> u128 {
        match self.width {
            Width::Narrow => u32::MAX as u128,
            Width::Wide => self.done | ((1 << REST_BITS) - 1),
        }
    }

    fn tree(&mut self) -> Tree {
        let ranges = std::mem::take(&mut self.below);
        match self.width {
            Width::Narrow => {
                let key = |last| last as u64 & Width::Narrow.last();
                let ranges = ranges.into_iter();
                let ranges = ranges.map(|(last, number)| (key(last), Found::Identity(number)));
                Tree::new(Width::Narrow, ranges.collect())
            }
            Width::Wide => Tree::new(Width::Wide, upper_half(self.done, ranges)),
        }
    }
}

/// Ranges of whole addresses as ranges of their upper halves; where a half does not say it all, with
/// a tree of the lower ones.
fn upper_half(first: u128, ranges: Vec<(u128, u32)>) -> Vec<(u64, Found)> {
    let mut upper: Vec<(u64, Found)> = Vec::new();
    let mut lower: Vec<(u64, Found)> = Vec::new();
    // The first upper half that is not settled.
    let mut next = halves(first)[0];
    let whole = |upper: &mut Vec<(u64, Found)>, last, number| {
        let found = Found::Identity(number);
        match upper.last_mut() {
            Some((end, known)) if *known == found => *end = last,
            _ => upper.push((last, found)),
        }
    };
    for (last, number) in ranges {
        let [high, low] = halves(last);
        if !lower.is_empty() && high > next {
            lower.push((u64::MAX, Found::Identity(number)));
            let tree = Tree::new(Width::Wide, std::mem::take(&mut lower));
            upper.push((next, Found::Tree(tree)));
            next += 1;
        }
        if !lower.is_empty() {
            lower.push((low, Found::Identity(number)));
            if low == u64::MAX {
                let tree = Tree::new(Width::Wide, std::mem::take(&mut lower));
                upper.push((next, Found::Tree(tree)));
                next = high.wrapping_add(1);
            }
            continue;
        }
        if low == u64::MAX {
            whole(&mut upper, high, number);
            next = high.wrapping_add(1);
            continue;
        }
        if high > next {
            whole(&mut upper, high - 1, number);
        }
        next = high;
        lower.push((low, Found::Identity(number)));
    }
    upper
}
