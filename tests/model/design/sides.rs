//! "A connection from P to Q is judged on two sides: P's egress and Q's ingress, each where it is an
//! endpoint (or the host). Each side: a matching `deny` drops; else a matching `allow` passes; else the
//! side's default."

use bridgewall::inventory::model::Attributes;

use super::peers::Party;
use super::policy::{Action, Identity, Mode, Policy, Rule, Side};
use super::traffic::Request;

/// In the order of strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Allow,
    /// Passes, and is reported as what would have been dropped.
    Audit,
    /// No rule speaks for it.
    Drop,
    /// A rule speaks against it.
    Deny,
}

/// What one side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion<'a> {
    pub verdict: Verdict,
    /// The rule that decides, unless it is the default.
    pub rule: Option<&'a str>,
    pub log: bool,
}

/// What both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement<'a> {
    /// `None`: the opener is outside this host.
    pub egress: Option<Opinion<'a>>,
    /// `None`: the target is outside this host.
    pub ingress: Option<Opinion<'a>>,
}

impl<'a> Judgement<'a> {
    /// The stricter one.
    pub fn verdict(&self) -> Verdict {
        let both = self.egress.iter().chain(&self.ingress);
        both.map(|side| side.verdict)
            .max()
            .unwrap_or(Verdict::Allow)
    }

    /// The side that is stricter; the opener's if they agree.
    pub fn decided_by(&self) -> Side {
        let verdict = |side: Option<Opinion<'_>>| side.map_or(Verdict::Allow, |side| side.verdict);
        if verdict(self.egress) >= verdict(self.ingress) {
            Side::Egress
        } else {
            Side::Ingress
        }
    }

    pub fn deciding(&self) -> Option<Opinion<'a>> {
        match self.decided_by() {
            Side::Egress => self.egress,
            Side::Ingress => self.ingress,
        }
    }

    pub fn log(&self) -> bool {
        self.egress.iter().chain(&self.ingress).any(|side| side.log)
    }
}

impl Policy {
    pub fn judge(&self, from: Party<'_>, to: Party<'_>, request: Request) -> Judgement<'_> {
        Judgement {
            egress: self.opinion(Side::Egress, from, to, request),
            ingress: self.opinion(Side::Ingress, from, to, request),
        }
    }

    pub fn opinion(
        &self,
        side: Side,
        from: Party<'_>,
        to: Party<'_>,
        request: Request,
    ) -> Option<Opinion<'_>> {
        let subject = match side {
            Side::Egress => from,
            Side::Ingress => to,
        };
        let (default, mode) = self.settings(subject, side)?;
        let first = |action| {
            let mut rules = self.rules.iter();
            rules.find(|rule| rule.action == action && self.speaks(rule, side, from, to, request))
        };
        let (verdict, rule) = match (first(Action::Deny), first(Action::Allow), default) {
            (Some(deny), _, _) => (Verdict::Deny, Some(deny)),
            (None, Some(allow), _) => (Verdict::Allow, Some(allow)),
            (None, None, Action::Allow) => (Verdict::Allow, None),
            (None, None, Action::Deny) => (Verdict::Drop, None),
        };
        // "A side in audit mode never drops for policy, and reports what it would have dropped."
        let verdict = match mode {
            Mode::Audit if verdict > Verdict::Audit => Verdict::Audit,
            _ => verdict,
        };
        Some(Opinion {
            verdict,
            rule: rule.map(|rule| rule.name.as_str()),
            log: rule.is_some_and(|rule| rule.log),
        })
    }

    /// "One rule speaks for both sides; `side = "egress"` or `"ingress"` restricts it to one."
    fn speaks(
        &self,
        rule: &Rule,
        side: Side,
        from: Party<'_>,
        to: Party<'_>,
        request: Request,
    ) -> bool {
        let listed = |kinds: &Vec<_>| {
            kinds
                .iter()
                .any(|kind: &super::traffic::Kind| kind.covers(request))
        };
        rule.side.is_none_or(|only| only == side)
            && rule.traffic.as_ref().is_none_or(listed)
            && rule.from.iter().any(|peer| self.means(peer, from, to))
            && rule.to.iter().any(|peer| self.means(peer, to, from))
    }

    /// What becomes of what no rule speaks of, and whether drops are carried out. `None`: the world
    /// has no side.
    fn settings(&self, subject: Party<'_>, side: Side) -> Option<(Action, Mode)> {
        let defaults = &self.defaults;
        let default = match side {
            Side::Egress => defaults.egress,
            Side::Ingress => defaults.ingress,
        };
        match subject {
            Party::World(_) => None,
            Party::Host => {
                let default = match side {
                    Side::Egress => defaults.host.egress,
                    Side::Ingress => defaults.host.ingress,
                };
                Some((default, defaults.mode))
            }
            Party::Endpoint(_, attributes) => {
                let mine = self.identities_of(attributes);
                if mine.is_empty() {
                    // "`unidentified = "allow"` leaves an unidentified endpoint's own two sides
                    // unjudged but for denies."
                    let default = match defaults.unidentified {
                        Action::Allow => Action::Allow,
                        Action::Deny => default,
                    };
                    return Some((default, defaults.mode));
                }
                // "An endpoint with several identities takes the strictest of their settings (deny
                // before allow, enforce before audit)."
                let own = |identity: &&Identity| match side {
                    Side::Egress => identity.egress.unwrap_or(default),
                    Side::Ingress => identity.ingress.unwrap_or(default),
                };
                let mode = |identity: &&Identity| identity.mode.unwrap_or(defaults.mode);
                Some((mine.iter().map(own).max()?, mine.iter().map(mode).max()?))
            }
        }
    }

    fn identities_of(&self, endpoint: &Attributes) -> Vec<&Identity> {
        let identities = self.identities.values();
        identities
            .filter(|identity| identity.includes(endpoint))
            .collect()
    }
}
