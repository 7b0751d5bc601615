//! From the rules that speak of one pair of peers to one list of steps.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::settings::Settings;
use crate::policy::model::{Action, Mode, Policy, Rule};
use crate::policy::traffic::Selector;
use crate::state::numbers::RuleNumber;
use crate::state::steps::{Step, StepList, Verdict};

/// What a list depends on beside its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ground {
    default: Action,
    mode: Mode,
}

impl From<Settings> for Ground {
    fn from(settings: Settings) -> Self {
        Self {
            default: settings.default,
            mode: settings.mode,
        }
    }
}

/// A list in [`ListStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ListId(usize);

/// Builds lists, each once: the same rules on the same ground are not swept again, and equal lists
/// are one allocation.
pub(super) struct ListStore<'a> {
    policy: &'a Policy,
    numbers: &'a [RuleNumber],
    built: Vec<Built>,
    by_rules: HashMap<(Option<ListId>, Ground, Vec<usize>), ListId>,
    by_content: BTreeSet<Arc<StepList>>,
    steps: usize,
}

struct Built {
    rules: Vec<usize>,
    list: Arc<StepList>,
}

impl<'a> ListStore<'a> {
    /// For rules with these numbers, by index.
    pub(super) fn new(policy: &'a Policy, numbers: &'a [RuleNumber]) -> Self {
        Self {
            policy,
            numbers,
            built: Vec::new(),
            by_rules: HashMap::new(),
            by_content: BTreeSet::new(),
            steps: 0,
        }
    }

    /// The list of `rules` (sorted indices) and of those that `base` was made of, if one is given.
    pub(super) fn list(
        &mut self,
        base: Option<ListId>,
        ground: Ground,
        rules: Vec<usize>,
    ) -> ListId {
        let key = (base, ground, rules);
        if let Some(&known) = self.by_rules.get(&key) {
            return known;
        }
        let mut all = key.2.clone();
        if let Some(base) = base {
            all.extend(&self.built[base.0].rules);
            all.sort_unstable();
            all.dedup();
        }
        let list = Arc::new(sweep(self.policy, self.numbers, ground, &all));
        let list = match self.by_content.get(&list) {
            Some(equal) => Arc::clone(equal),
            None => {
                self.steps += list.steps().len();
                self.by_content.insert(Arc::clone(&list));
                list
            }
        };
        let id = ListId(self.built.len());
        self.built.push(Built { rules: all, list });
        self.by_rules.insert(key, id);
        id
    }

    /// The list itself.
    pub(super) fn get(&self, id: ListId) -> &Arc<StepList> {
        &self.built[id.0].list
    }

    /// Steps in all different lists together.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}

/// Walks the line once, from border to border of the rules' intervals. Between two borders the same
/// rules speak everywhere: the first deny among them decides, else the first allow, else the ground.
fn sweep(policy: &Policy, numbers: &[RuleNumber], ground: Ground, rules: &[usize]) -> StepList {
    let mut borders = Vec::new();
    for &index in rules {
        for interval in policy.rules[index].traffic.intervals() {
            borders.push((interval.first(), index, true));
            if let Some(after) = Selector::from_raw(interval.last().raw() + 1) {
                borders.push((after, index, false));
            }
        }
    }
    borders.sort_unstable();

    let mut speaking = Speaking::default();
    let mut steps = Vec::new();
    let mut at = Selector::FIRST;
    for (border, index, begins) in borders {
        if border != at {
            steps.push(speaking.step(policy, numbers, ground, at));
            at = border;
        }
        let set = speaking.of(&policy.rules[index]);
        if begins {
            set.insert(index);
        } else {
            set.remove(&index);
        }
    }
    steps.push(speaking.step(policy, numbers, ground, at));
    StepList::new(steps)
}

/// The rules that speak at one point of the line, by index.
#[derive(Default)]
struct Speaking {
    denies: BTreeSet<usize>,
    allows: BTreeSet<usize>,
}

impl Speaking {
    fn of(&mut self, rule: &Rule) -> &mut BTreeSet<usize> {
        match rule.action {
            Action::Deny => &mut self.denies,
            Action::Allow => &mut self.allows,
        }
    }

    fn step(
        &self,
        policy: &Policy,
        numbers: &[RuleNumber],
        ground: Ground,
        from: Selector,
    ) -> Step {
        let decides = self.denies.first().or_else(|| self.allows.first());
        let verdict = match decides.map_or(ground.default, |&index| policy.rules[index].action) {
            Action::Allow => Verdict::Allow,
            Action::Deny if ground.mode == Mode::Audit => Verdict::Audit,
            Action::Deny if decides.is_some() => Verdict::Deny,
            Action::Deny => Verdict::Drop,
        };
        Step {
            from,
            verdict,
            rule: decides.map_or(RuleNumber::DEFAULT, |&index| numbers[index]),
            log: decides.is_some_and(|&index| policy.rules[index].log),
        }
    }
}
