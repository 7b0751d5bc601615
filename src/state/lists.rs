//! Where the lists of a new policy go in the kernel's `steps` array: where equal ones lie already,
//! else where nobody looks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::actual::{Actual, ListPlace};
use super::desired::PolicyImage;
use super::plan::{PlanError, Table};
use super::steps::StepList;

/// Where every list of a policy lies, or is going to.
#[derive(Debug, Default)]
pub(super) struct Placement {
    places: HashMap<Arc<StepList>, ListPlace>,
    /// Those that have to be written first, in order of place.
    pub(super) new: BTreeMap<ListPlace, Arc<StepList>>,
}

impl Placement {
    /// Finds a place for every list of a policy that is to go into the standby slot.
    ///
    /// A list that any slot refers to is not written over. If there is no room then, those that only
    /// the standby slot refers to are: nobody reads it any more when it is written to, and before it
    /// is published all of it refers to intact lists again.
    pub(super) fn find(actual: &Actual, policy: &PolicyImage) -> Result<Self, PlanError> {
        let judging: BTreeSet<ListPlace> = actual.judging().places().collect();
        let mut taken = judging.clone();
        taken.extend(actual.standby().places());
        Self::beside(actual, policy, taken).or_else(|_| Self::beside(actual, policy, judging))
    }

    /// Finds places that do not overlap those that are taken, unless by what they hold already.
    fn beside(
        actual: &Actual,
        policy: &PolicyImage,
        mut taken: BTreeSet<ListPlace>,
    ) -> Result<Self, PlanError> {
        let known: HashMap<&Arc<StepList>, ListPlace> = actual
            .lists
            .iter()
            .map(|(&place, list)| (list, place))
            .collect();
        let mut placement = Self::default();
        let mut homeless = Vec::new();
        for list in policy.lists() {
            if placement.places.contains_key(list) {
                continue;
            }
            let place = known.get(list).copied().unwrap_or_default();
            if place.count > 0 {
                taken.insert(place);
            } else {
                homeless.push(list);
            }
            placement.places.insert(Arc::clone(list), place);
        }
        let mut free = FreeSpace::new(actual.capacity.steps, &taken);
        for list in &homeless {
            let place = free
                .take(length(list))
                .ok_or_else(|| PlanError::DoesNotFit {
                    table: Table::Steps,
                    needed: taken
                        .iter()
                        .map(|place| place.count as usize)
                        .sum::<usize>()
                        + homeless
                            .iter()
                            .map(|list| list.steps().len())
                            .sum::<usize>(),
                    available: actual.capacity.steps as usize,
                })?;
            placement.places.insert(Arc::clone(list), place);
            placement.new.insert(place, Arc::clone(list));
        }
        Ok(placement)
    }

    /// Where a list of the policy is.
    pub(super) fn of(&self, list: &Arc<StepList>) -> ListPlace {
        self.places.get(list).copied().unwrap_or_default()
    }
}

/// How many steps a list has. The plan has checked that they are few enough for the kernel.
fn length(list: &StepList) -> u32 {
    u32::try_from(list.steps().len()).unwrap_or(u32::MAX)
}

/// The gaps between what is taken, first fit.
struct FreeSpace {
    /// First index and length, in order; no two adjacent.
    gaps: Vec<(u32, u32)>,
}

impl FreeSpace {
    fn new(capacity: u32, taken: &BTreeSet<ListPlace>) -> Self {
        let mut gaps = Vec::new();
        let mut next = 0;
        for place in taken {
            if place.first > next {
                gaps.push((next, place.first - next));
            }
            next = next.max(u32::try_from(place.end()).unwrap_or(u32::MAX));
        }
        if capacity > next {
            gaps.push((next, capacity - next));
        }
        Self { gaps }
    }

    fn take(&mut self, count: u32) -> Option<ListPlace> {
        let (first, length) = self.gaps.iter_mut().find(|(_, length)| *length >= count)?;
        let place = ListPlace {
            first: *first,
            count,
        };
        *first += count;
        *length -= count;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(taken: &[(u32, u32)]) -> BTreeSet<ListPlace> {
        taken
            .iter()
            .map(|&(first, count)| ListPlace { first, count })
            .collect()
    }

    #[test]
    fn the_first_gap_that_is_large_enough_is_taken() {
        let mut free = FreeSpace::new(20, &places(&[(2, 3), (10, 5)]));
        assert_eq!(free.take(4).map(|place| place.first), Some(5));
        assert_eq!(free.take(2).map(|place| place.first), Some(0));
        assert_eq!(free.take(5).map(|place| place.first), Some(15));
        assert_eq!(free.take(2), None);
        assert_eq!(free.take(1).map(|place| place.first), Some(9));
        assert_eq!(free.take(1), None);
    }

    #[test]
    fn neighbouring_gaps_are_one_gap_when_what_lay_between_is_free() {
        let mut free = FreeSpace::new(12, &places(&[(0, 4), (8, 4)]));
        assert_eq!(free.take(5), None);
        let mut free = FreeSpace::new(12, &places(&[(0, 4)]));
        assert_eq!(free.take(8).map(|place| place.first), Some(4));
    }

    #[test]
    fn overlapping_places_are_taken_once() {
        let mut free = FreeSpace::new(10, &places(&[(0, 8), (2, 2)]));
        assert_eq!(free.take(2).map(|place| place.first), Some(8));
        assert_eq!(free.take(1), None);
    }

    #[test]
    fn a_place_beyond_the_end_leaves_nothing_free_and_does_not_overflow() {
        let mut free = FreeSpace::new(10, &places(&[(0, u32::MAX), (u32::MAX, 9)]));
        assert_eq!(free.take(1), None);
    }
}
