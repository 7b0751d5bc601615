//! Where trees lie in the kernel: where equal ones lie already, else where nobody looks.

use std::collections::{BTreeMap, BTreeSet};

use super::{LAST_NODE, Networks, Node, ROOTS, ROOTS_IN_ROW, Root, Tree, width};
use crate::state::numbers::IdentityNumber;

/// One slot's roots as the kernel holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// In order; each holds up to the next one. Before the first, nothing is found.
    roots: Vec<PlacedRoot>,
}

/// One root and those after it that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRoot {
    /// Its number.
    pub number: u32,
    /// What it says. What makes no sense is an identity that nobody has.
    pub what: Root,
    /// The first block of its tree.
    pub first: u32,
}

impl PlacedRoot {
    /// What the kernel has in its row.
    fn reference(&self) -> u32 {
        match &self.what {
            Root::Identity(number) => number.0,
            Root::Tree(tree) => tree.reference(self.first),
        }
    }

    fn tree(&self) -> Option<(u32, &Tree)> {
        match &self.what {
            Root::Identity(_) => None,
            Root::Tree(tree) => Some((self.first, tree)),
        }
    }
}

/// What leads one slot from what it holds to what it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Trees to be written, by their first block.
    pub trees: Vec<(u32, Tree)>,
    /// Rows of the table of roots that then change, by number.
    pub rows: Vec<(u32, [u32; ROOTS_IN_ROW as usize])>,
    /// What the slot holds then.
    pub result: Placed,
}

/// There is no room for the trees beside those that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// How many blocks there would have to be.
    pub needed: usize,
}

impl Placed {
    /// What a slot holds, by its references in order and all blocks there are.
    #[must_use]
    pub fn read(references: &[u32], node: &impl Fn(u32) -> Option<Node>) -> Self {
        let mut roots: Vec<PlacedRoot> = Vec::new();
        for (number, &reference) in (0..ROOTS).zip(references) {
            let tree = Tree::read(width(number), reference, node);
            let (first, what) = match tree {
                Some((first, tree)) => (first, Root::Tree(tree)),
                None => (0, Root::Identity(IdentityNumber(reference))),
            };
            let goes_on = matches!(what, Root::Identity(_))
                && roots.last().is_some_and(|before| before.what == what);
            if !goes_on {
                roots.push(PlacedRoot {
                    number,
                    what,
                    first,
                });
            }
        }
        if roots.len() == 1 && references.iter().all(|&reference| reference == 0) {
            roots.clear();
        }
        Self { roots }
    }

    /// Whether this is what should be there.
    #[must_use]
    pub fn holds(&self, wanted: &Networks) -> bool {
        self.roots.len() == wanted.roots.len()
            && self
                .roots
                .iter()
                .zip(&wanted.roots)
                .all(|(ours, (number, what))| ours.number == *number && ours.what == *what)
    }

    /// How to make `standby` hold what is wanted, while `judging` stays as it is.
    ///
    /// Blocks that either refers to are not written over. If there is no room then, those that only
    /// the standby slot refers to are: nobody reads it any more when it is written to, and before it is
    /// published all of it refers to intact trees again.
    ///
    /// # Errors
    /// There is no room.
    pub fn change(
        judging: &Self,
        standby: &Self,
        wanted: &Networks,
        capacity: u32,
    ) -> Result<Change, NoRoom> {
        Self::beside(judging, standby, wanted, capacity, true)
            .or_else(|_| Self::beside(judging, standby, wanted, capacity, false))
    }

    fn beside(
        judging: &Self,
        standby: &Self,
        wanted: &Networks,
        capacity: u32,
        keep: bool,
    ) -> Result<Change, NoRoom> {
        let mut taken: BTreeSet<(u32, u32)> = judging.extents().collect();
        if keep {
            taken.extend(standby.extents());
        }
        let mut roots = Vec::with_capacity(wanted.roots.len());
        let mut homeless = Vec::new();
        for (number, what) in &wanted.roots {
            let known = [judging, standby]
                .into_iter()
                .find_map(|slot| slot.at(*number).filter(|root| root.what == *what));
            let tree = match what {
                Root::Identity(_) => None,
                Root::Tree(tree) => Some(tree),
            };
            match (known.and_then(PlacedRoot::tree), tree) {
                (Some((first, tree)), _) => {
                    taken.insert((first, tree.nodes().len() as u32));
                }
                (None, Some(tree)) => homeless.push((roots.len(), tree)),
                (None, None) => {}
            }
            roots.push(PlacedRoot {
                number: *number,
                // Shared with the one that is there, so that equal trees are in memory once.
                what: known.map_or_else(|| what.clone(), |root| root.what.clone()),
                first: known.map_or(0, |root| root.first),
            });
        }
        let mut free = FreeSpace::new(capacity, &taken);
        let mut trees = Vec::with_capacity(homeless.len());
        for (index, tree) in &homeless {
            let count = tree.nodes().len() as u32;
            let first = free.take(count).ok_or_else(|| NoRoom {
                needed: taken
                    .iter()
                    .map(|(_, count)| *count as usize)
                    .sum::<usize>()
                    + homeless
                        .iter()
                        .map(|(_, tree)| tree.nodes().len())
                        .sum::<usize>(),
            })?;
            roots[*index].first = first;
            trees.push((first, (*tree).clone()));
        }
        let result = Self { roots };
        Ok(Change {
            rows: rows(&standby.references(), &result.references()),
            trees,
            result,
        })
    }

    /// What is said of a root.
    fn at(&self, number: u32) -> Option<&PlacedRoot> {
        let after = self.roots.partition_point(|root| root.number <= number);
        self.roots[..after].last()
    }

    /// First block and number of blocks of every tree.
    pub(in crate::state) fn extents(&self) -> impl Iterator<Item = (u32, u32)> {
        self.roots
            .iter()
            .filter_map(PlacedRoot::tree)
            .map(|(first, tree)| (first, tree.nodes().len() as u32))
    }

    /// Every tree of several slots once, by its first block.
    #[must_use]
    pub fn trees(slots: [&Self; 2]) -> Vec<(u32, Tree)> {
        let trees = slots.into_iter().flat_map(|slot| &slot.roots);
        let trees = trees.filter_map(PlacedRoot::tree);
        let trees: BTreeMap<_, _> = trees.map(|(first, tree)| (first, tree.clone())).collect();
        trees.into_iter().collect()
    }

    /// Every root's reference.
    pub(super) fn references(&self) -> Vec<u32> {
        let mut references = vec![0; (ROOTS.div_ceil(ROOTS_IN_ROW) * ROOTS_IN_ROW) as usize];
        let ends = self.roots.iter().skip(1).map(|root| root.number);
        for (root, end) in self.roots.iter().zip(ends.chain([ROOTS])) {
            references[root.number as usize..end as usize].fill(root.reference());
        }
        references
    }

    /// What is wanted where nothing but this is.
    #[must_use]
    pub fn wanted(&self) -> Networks {
        let roots = self.roots.iter();
        Networks {
            roots: roots.map(|root| (root.number, root.what.clone())).collect(),
        }
    }

    /// How many blocks the trees of several slots take.
    #[must_use]
    pub fn blocks(slots: [&Self; 2]) -> usize {
        let extents: BTreeSet<_> = slots.iter().flat_map(|slot| slot.extents()).collect();
        extents.iter().map(|(_, count)| *count as usize).sum()
    }
}

/// The rows that differ.
fn rows(before: &[u32], after: &[u32]) -> Vec<(u32, [u32; ROOTS_IN_ROW as usize])> {
    let (before, _) = before.as_chunks();
    let (after, _) = after.as_chunks();
    (0..)
        .zip(before.iter().zip(after))
        .filter(|(_, (before, after))| before != after)
        .map(|(row, (_, after))| (row, *after))
        .collect()
}

/// The gaps between what is taken: the smallest one that is large enough, and of these the first.
struct FreeSpace {
    /// Length and first block.
    gaps: BTreeSet<(u32, u32)>,
}

impl FreeSpace {
    fn new(capacity: u32, taken: &BTreeSet<(u32, u32)>) -> Self {
        let mut gaps = BTreeSet::new();
        let mut next = 0;
        for &(first, count) in taken {
            if first > next {
                gaps.insert((first - next, next));
            }
            next = next.max(first.saturating_add(count));
        }
        let end = capacity.min(LAST_NODE);
        if end > next {
            gaps.insert((end - next, next));
        }
        Self { gaps }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let gap = *self.gaps.range((count, 0)..).next()?;
        self.gaps.remove(&gap);
        let (length, first) = gap;
        if length > count {
            self.gaps.insert((length - count, first + count));
        }
        Some(first)
    }
}
