//! Search trees over ranges of addresses, in the form in which the kernel searches them: blocks of 64
//! bytes, a cache line each. `abi.h`, "Networks", has their layout.
//!
//! A tree is one piece: what refers to blocks of it does so by distance, so that it can lie anywhere.
//! The same ranges make the same tree, whatever was there before.

use std::sync::Arc;

/// One block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Node(pub [u64; WORDS]);

/// Words of a block.
pub const WORDS: usize = 8;
/// Where the depth of a tree stands in a reference to it, above its first block's number.
pub const DEPTH_SHIFT: u32 = 27;
/// Levels of inner blocks that a reference has room for.
pub const DEPTH_MAX: u32 = 14;
/// The greatest number of a block that a reference has room for.
pub const LAST_NODE: u32 = (1 << DEPTH_SHIFT) - 1;
/// What says that a reference is an identity already.
const IDENTITY: u32 = 1 << 31;

/// How wide a tree's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 15 bits: the rest of an IPv4 address below its root. 20 keys to a leaf.
    Narrow,
    /// 64 bits: half of an IPv6 address. 6 keys to a leaf.
    Wide,
}

impl Width {
    const fn leaf_keys(self) -> usize {
        match self {
            Self::Narrow => 20,
            Self::Wide => 6,
        }
    }

    const fn inner_keys(self) -> usize {
        match self {
            Self::Narrow => 28,
            Self::Wide => 7,
        }
    }

    /// Different values that a leaf has room for.
    const fn values(self) -> usize {
        match self {
            Self::Narrow => 4,
            Self::Wide => 3,
        }
    }

    /// The greatest key. As a block's key it stands for none: nothing lies beyond it.
    pub const fn last(self) -> u64 {
        match self {
            Self::Narrow => 0x7fff,
            Self::Wide => u64::MAX,
        }
    }
}

/// What is found for a range: an identity number, or the tree that the address's other half is
/// looked up in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Identity(u32),
    Tree(Tree),
}

/// A tree of at least one block, the first of which is its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Levels of inner blocks above the leaves.
    depth: u32,
    nodes: Arc<[Node]>,
}

/// A leaf before it is known where the trees that it refers to lie.
struct Leaf {
    /// The last key that it covers.
    last: u64,
    lasts: Vec<u64>,
    codes: Vec<u8>,
    values: Vec<Found>,
}

impl Tree {
    /// Makes a tree of ranges in order, each by its last key; the last range ends at the width's end.
    pub(super) fn new(width: Width, ranges: Vec<(u64, Found)>) -> Self {
        let leaves = leaves(width, ranges);
        // Last keys, from the leaves up to the one root.
        let mut levels: Vec<Vec<u64>> = vec![leaves.iter().map(|leaf| leaf.last).collect()];
        let fan_out = width.inner_keys() + 1;
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(fan_out);
            let above = above.map(|children| children[children.len() - 1]).collect();
            levels.push(above);
        }
        let depth = levels.len() - 1;
        let mut nodes = Vec::with_capacity(levels.iter().map(Vec::len).sum());
        for below in levels[..depth].iter().rev() {
            // The level below begins after this one.
            let start = nodes.len() + below.len().div_ceil(fan_out);
            for (index, children) in below.chunks(fan_out).enumerate() {
                let distance = start + index * fan_out - nodes.len();
                nodes.push(inner(width, children, distance as u64));
            }
        }
        let first_leaf = nodes.len();
        let mut behind = Vec::new();
        for (index, leaf) in leaves.iter().enumerate() {
            let position = first_leaf + index;
            let end = first_leaf + leaves.len();
            let values = leaf.values.iter().map(|value| match value {
                Found::Identity(number) => *number,
                Found::Tree(tree) => {
                    let distance = end + behind.len() - position;
                    behind.extend_from_slice(&tree.nodes);
                    tree.reference(distance as u32)
                }
            });
            nodes.push(pack(
                width,
                &leaf.lasts,
                &leaf.codes,
                &values.collect::<Vec<_>>(),
            ));
        }
        nodes.extend(behind);
        Self {
            depth: depth as u32,
            nodes: nodes.into(),
        }
    }

    /// Its blocks, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many levels of inner blocks it has.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// What refers to it when its first block is this one.
    #[must_use]
    pub const fn reference(&self, first: u32) -> u32 {
        (self.depth + 1) << DEPTH_SHIFT | first
    }

    /// What is found for a key, and in wide trees for the half of the address below it: the search
    /// that the kernel does.
    #[must_use]
    pub fn find(&self, width: Width, keys: [u64; 2]) -> Option<u32> {
        let mut position = 0;
        let mut depth = self.depth;
        for key in keys {
            for _ in 0..depth {
                let node = self.nodes.get(position)?;
                let rank = rank(width, node, width.inner_keys(), key);
                position += node.0[WORDS - 1] as usize + rank;
            }
            let leaf = self.nodes.get(position)?;
            let value = value(width, leaf, rank(width, leaf, width.leaf_keys(), key));
            if value & IDENTITY != 0 {
                return Some(value);
            }
            depth = (value >> DEPTH_SHIFT).checked_sub(1)?;
            position += (value & LAST_NODE) as usize;
        }
        None
    }

    /// The tree that a reference leads to, among all blocks there are; `None` if they make none.
    pub fn read(
        width: Width,
        reference: u32,
        node: &impl Fn(u32) -> Option<Node>,
    ) -> Option<(u32, Self)> {
        let (depth, first) = split(reference)?;
        let end = extent(width, first, depth, node, true)?;
        let nodes: Option<Vec<Node>> = (first..end).map(node).collect();
        let nodes = nodes?.into();
        Some((first, Self { depth, nodes }))
    }
}

/// Levels of inner blocks, and the first block.
fn split(reference: u32) -> Option<(u32, u32)> {
    let depth = (reference >> DEPTH_SHIFT).checked_sub(1)?;
    (depth < DEPTH_MAX).then_some((depth, reference & LAST_NODE))
}

/// After the last block of a tree: that of its last leaf, or of the last tree behind that.
fn extent(
    width: Width,
    first: u32,
    depth: u32,
    node: &impl Fn(u32) -> Option<Node>,
    outer: bool,
) -> Option<u32> {
    // A level's blocks are side by side, and so are all their children.
    let (mut from, mut count) = (first, 1_u32);
    for _ in 0..depth {
        let begins = from.checked_add(u32::try_from(node(from)?.0[WORDS - 1]).ok()?)?;
        let last = from.checked_add(count - 1)?;
        let block = node(last)?;
        let children = used(width, &block, width.inner_keys()) as u32 + 1;
        let ends = u64::from(last) + block.0[WORDS - 1] + u64::from(children);
        count = u32::try_from(ends).ok()?.checked_sub(begins)?;
        if begins <= last || count == 0 || ends > u64::from(LAST_NODE) {
            return None;
        }
        from = begins;
    }
    let end = from.checked_add(count)?;
    if width == Width::Narrow || !outer {
        return Some(end);
    }
    let mut last = end;
    for leaf in from..end {
        let block = node(leaf)?;
        for code in 0..width.values() as u32 {
            let value = word32(&block, 12 + code as usize);
            if value & IDENTITY == 0 && value != 0 {
                let (depth, distance) = split(value)?;
                let begins = leaf.checked_add(distance)?;
                last = last.max(extent(width, begins, depth, node, false)?);
            }
        }
    }
    Some(last)
}

/// Ranges to leaves, each as full as its keys and values allow.
fn leaves(width: Width, ranges: Vec<(u64, Found)>) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for (last, found) in ranges {
        let fits = |leaf: &Leaf| {
            leaf.codes.len() <= width.leaf_keys()
                && (leaf.values.contains(&found) || leaf.values.len() < width.values())
        };
        if !leaves.last().is_some_and(fits) {
            leaves.push(Leaf {
                last,
                lasts: Vec::new(),
                codes: Vec::new(),
                values: Vec::new(),
            });
        }
        let Some(leaf) = leaves.last_mut() else {
            continue;
        };
        if !leaf.codes.is_empty() {
            leaf.lasts.push(leaf.last);
        }
        leaf.last = last;
        let code = leaf.values.iter().position(|value| *value == found);
        leaf.codes.push(code.unwrap_or(leaf.values.len()) as u8);
        if code.is_none() {
            leaf.values.push(found);
        }
    }
    leaves
}

/// The last key of every child but the last.
fn inner(width: Width, children: &[u64], distance: u64) -> Node {
    let keys = &children[..children.len() - 1];
    let mut node = keys_of(width, keys, width.inner_keys());
    node.0[WORDS - 1] = distance;
    node
}

fn pack(width: Width, lasts: &[u64], codes: &[u8], values: &[u32]) -> Node {
    let mut node = keys_of(width, lasts, width.leaf_keys());
    let codes = codes
        .iter()
        .rev()
        .fold(0, |all, &code| all << 2 | u64::from(code));
    let mut set = |index: usize, value: u32| {
        node.0[index / 2] |= u64::from(value) << (index % 2 * 32);
    };
    for (index, &value) in values.iter().enumerate() {
        set(12 + index, value);
    }
    match width {
        Width::Narrow => node.0[5] = codes,
        Width::Wide => set(15, codes as u32),
    }
    node
}

/// A block with these keys, and for want of more the greatest one.
fn keys_of(width: Width, keys: &[u64], room: usize) -> Node {
    let mut node = Node::default();
    for index in 0..room {
        let key = keys.get(index).copied().unwrap_or(width.last());
        match width {
            Width::Narrow => node.0[index / 4] |= key << (index % 4 * 16),
            Width::Wide => node.0[index] = key,
        }
    }
    node
}

fn key(width: Width, node: &Node, index: usize) -> u64 {
    match width {
        Width::Narrow => node.0[index / 4] >> (index % 4 * 16) & 0xffff,
        Width::Wide => node.0[index],
    }
}

/// How many of a block's keys lie before this one.
fn rank(width: Width, node: &Node, keys: usize, wanted: u64) -> usize {
    (0..keys)
        .filter(|&index| key(width, node, index) < wanted)
        .count()
}

/// How many of a block's keys stand for one.
fn used(width: Width, node: &Node, keys: usize) -> usize {
    rank(width, node, keys, width.last())
}

fn value(width: Width, leaf: &Node, rank: usize) -> u32 {
    let codes = match width {
        Width::Narrow => leaf.0[5],
        Width::Wide => u64::from(word32(leaf, 15)),
    };
    word32(leaf, 12 + (codes >> (2 * rank) & 3) as usize)
}

/// One of the 16 halves of a block's words.
fn word32(node: &Node, index: usize) -> u32 {
    (node.0[index / 2] >> (index % 2 * 32)) as u32
}
