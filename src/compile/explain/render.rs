//! Answers in plain text.

use std::fmt;

use super::{Answer, Between, Case, Explanation, Member, Statement, side_word, verdict_word};
use crate::policy::model::Side;
use crate::state::steps::Verdict;

/// How many of those who fare alike are named.
const SHOWN: usize = 6;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from, to, traffic, ..
        } = self;
        writeln!(f, "{from} -> {to}, {traffic}: {}", self.summary())?;
        for case in &self.cases {
            writeln!(f)?;
            if self.cases.len() > 1 || !case.is_about(from, to) {
                case.heading(f)?;
            }
            case.sides(f)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn summary(&self) -> &'static str {
        let passes = self
            .cases
            .iter()
            .filter(|case| case.verdict.passes())
            .count();
        let audits = |case: &Case| case.verdict == Verdict::Audit;
        if self.cases.is_empty() {
            "nothing to judge: no such traffic passes this host's interfaces"
        } else if passes == 0 {
            "dropped"
        } else if passes < self.cases.len() {
            "it depends"
        } else if self.cases.iter().all(audits) {
            "allowed, but only because of audit mode"
        } else if self.cases.iter().any(audits) {
            "allowed, some of it only because of audit mode"
        } else {
            "allowed"
        }
    }
}

impl Case {
    /// Whether it is plain from the question for whom it holds.
    fn is_about(&self, from: &str, to: &str) -> bool {
        let same = |between: &Between| between.from.name == from && between.to.name == to;
        self.between.iter().all(same)
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Allow => "allowed",
            Verdict::Audit => "allowed in audit mode",
            Verdict::Drop | Verdict::Deny => "dropped",
        };
        let between: Vec<_> = self.between.iter().take(SHOWN).map(pair).collect();
        write!(f, "  {word}: {}", between.join("; "))?;
        if let Some(more @ 1..) = self.between.len().checked_sub(SHOWN) {
            write!(f, "; and {more} more")?;
        }
        writeln!(f, " ({})", self.traffic.join(", "))
    }

    fn sides(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, answer) in [(Side::Egress, &self.egress), (Side::Ingress, &self.ingress)] {
            let word = side_word(side);
            match answer {
                None => writeln!(f, "  {word:<8} -      outside this host, not judged")?,
                Some(answer) => {
                    let verdict = verdict_word(answer.verdict);
                    writeln!(f, "  {word:<8} {verdict:<6} {answer}")?;
                }
            }
        }
        Ok(())
    }
}

fn pair(between: &Between) -> String {
    let member = |member: &Member| match member.hypothetical {
        true => format!("{} (none runs)", member.name),
        false => member.name.clone(),
    };
    format!("{} -> {}", member(&between.from), member(&between.to))
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rule, &self.default) {
            (Some(rule), _) => write!(f, "rule {rule}")?,
            (None, Some(default)) => write!(f, "no rule speaks; {default}")?,
            (None, None) => write!(f, "no rule speaks")?,
        }
        if let Some(audit) = &self.audit {
            write!(f, "; would be dropped but for {audit}")?;
        }
        if self.log {
            write!(f, "; logged")?;
        }
        Ok(())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            (Some(file), None) => write!(f, " ({file})"),
            (None, _) => Ok(()),
        }
    }
}
