//! A whole case: policies, hosts, and what happens. Made and shrunk by proptest; what happens is one
//! value to it, with a way of its own to become smaller: fewer recipes, then plainer ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::TestRunner;

use super::host::host;
use super::policy::policy;
use super::recipe::{Bytes, LENGTH, Recipe};
use super::talk::Talk;
use crate::harness::kernel::TICK;
use crate::harness::trace::{Hex, Step, Trace};

/// Recipes in one case: about one and a half times as many packets.
const RECIPES: usize = 2000;

/// Cases, in full.
pub fn trace() -> impl Strategy<Value = Trace> {
    let policies = vec(policy(), 1..4);
    let hosts = vec(host(), 1..3);
    // What comes first is shrunk first: a short script makes all that follows quick.
    (Script, policies, hosts, proptest::bool::weighted(0.7)).prop_map(
        |(recipes, policies, hosts, observed)| {
            let steps = steps(&recipes, policies.len(), hosts.len());
            Trace {
                claim: String::new(),
                observed,
                policies,
                hosts,
                steps,
            }
        },
    )
}

/// Reads recipes, one after the other.
fn steps(recipes: &[Bytes], policies: usize, hosts: usize) -> Vec<Step> {
    let mut talk = Talk::default();
    let mut steps = Vec::new();
    for bytes in recipes {
        let mut recipe = Recipe::new(bytes);
        match recipe.below(1024) {
            1020.. => steps.push(Step::Policy(recipe.below(policies))),
            1018..1020 => steps.push(Step::Host(recipe.below(hosts))),
            1010..1018 => steps.push(Step::Wait(TICK * (1 + recipe.below(12) as u64))),
            _ => steps.extend(talk.next(&mut recipe)),
        }
    }
    for step in &mut steps {
        if let Step::Send {
            frame: Hex(frame), ..
        }
        | Step::Receive {
            frame: Hex(frame), ..
        } = step
        {
            make_runnable(frame);
        }
    }
    steps
}

/// BPF_PROG_TEST_RUN takes no frame that is shorter than the IP header that its EtherType announces, and
/// none that is longer than a page.
fn make_runnable(frame: &mut Vec<u8>) {
    frame.resize(frame.len().clamp(15, 2000), 0);
    let shortest = match frame[12..14] {
        [0x08, 0x00] => 34,
        [0x86, 0xdd] => 54,
        _ => 15,
    };
    frame.resize(frame.len().max(shortest), 0);
}

/// The recipes of one case.
#[derive(Debug)]
struct Script;

impl Strategy for Script {
    type Tree = ScriptTree;
    type Value = Vec<Bytes>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut recipes = vec![[0; LENGTH]; RECIPES];
        for recipe in &mut recipes {
            runner.rng().fill_bytes(recipe);
        }
        Ok(ScriptTree {
            chunk: recipes.len(),
            failing: recipes.clone(),
            recipes,
            position: 0,
        })
    }
}

/// Takes recipes away, in halves, quarters, and so on to single ones; then makes the choices in what is
/// left the plainest, from the last to the first.
struct ScriptTree {
    /// What is tried.
    recipes: Vec<Bytes>,
    /// What is known to show the failure.
    failing: Vec<Bytes>,
    /// How many to take at once; 0: choices are being made plainer.
    chunk: usize,
    /// Where the next change is to be made.
    position: usize,
}

impl ScriptTree {
    /// Makes the next change to what fails; returns whether there is one.
    fn propose(&mut self) -> bool {
        self.recipes.clone_from(&self.failing);
        while self.chunk > 0 {
            if self.position < self.recipes.len() {
                let end = (self.position + self.chunk).min(self.recipes.len());
                self.recipes.drain(self.position..end);
                return true;
            }
            self.chunk /= 2;
            self.position = 0;
        }
        while self.position < self.recipes.len() * LENGTH {
            let (recipe, choice) = (self.position / LENGTH, LENGTH - 1 - self.position % LENGTH);
            if self.recipes[recipe][choice] != 0 {
                self.recipes[recipe][choice] = 0;
                return true;
            }
            self.position += 1;
        }
        false
    }
}

impl ValueTree for ScriptTree {
    type Value = Vec<Bytes>;

    fn current(&self) -> Vec<Bytes> {
        self.recipes.clone()
    }

    /// What was tried fails too: go on from there.
    fn simplify(&mut self) -> bool {
        self.failing.clone_from(&self.recipes);
        self.propose()
    }

    /// What was tried does not fail: leave that as it was, and try the next.
    fn complicate(&mut self) -> bool {
        self.position += self.chunk.max(1);
        self.propose()
    }
}
