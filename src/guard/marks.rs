//! Which interfaces get or lose the mark that says *armed*. Pure.

use crate::inventory::netlink::Link;

/// What has to change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// These get it.
    pub arm: Vec<u32>,
    /// These lose it.
    pub disarm: Vec<u32>,
}

impl Marks {
    /// From what is to what should be.
    pub fn plan(links: &[Link], group: u32, wanted: impl Fn(u32) -> bool) -> Self {
        let mut marks = Self::default();
        for link in links {
            match (link.group == group, wanted(link.ifindex)) {
                (false, true) => marks.arm.push(link.ifindex),
                (true, false) => marks.disarm.push(link.ifindex),
                _ => {}
            }
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, group: u32) -> Link {
        Link {
            group,
            ..Link::nameless(ifindex)
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_other_groups_stay() {
        let links = [link(1, 0), link(2, 7), link(3, 0), link(4, 7), link(5, 9)];
        let marks = Marks::plan(&links, 7, |ifindex| [1, 2].contains(&ifindex));
        assert_eq!((marks.arm, marks.disarm), (vec![1], vec![4]));
    }

    #[test]
    fn a_second_plan_finds_nothing_to_do() {
        let links = [link(1, 7), link(2, 0)];
        let marks = Marks::plan(&links, 7, |ifindex| ifindex == 1);
        assert_eq!(marks, Marks::default());
    }
}
