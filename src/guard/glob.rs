//! Globs of interface names, as far as nftables can compare names: whole, or by their beginning.

use crate::policy::model::Pattern;

/// A comparison that nftables can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameMatch {
    /// What the name is, or begins with.
    text: String,
    /// Whether more may follow.
    open: bool,
    /// Whether it says just what the glob says. Otherwise it says more.
    pub exact: bool,
}

/// What may stand in a name between quotes of nftables without a meaning of its own. Interfaces can
/// have odder names (`dev_valid_name`); nobody's have.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.@+=#~".contains(c)
}

/// Whether a name can be written as it is.
pub(super) fn is_writable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_plain)
}

impl NameMatch {
    /// The closest comparison that covers every name that the glob matches.
    pub fn covering(glob: &Pattern) -> Self {
        let glob = glob.as_str();
        let text: String = glob.chars().take_while(|c| is_plain(*c)).collect();
        let rest = &glob[text.len()..];
        Self {
            open: !rest.is_empty(),
            exact: rest.is_empty() || rest == "*",
            text,
        }
    }

    /// Whether a name is covered.
    pub fn covers(&self, name: &str) -> bool {
        if self.open {
            name.starts_with(&self.text)
        } else {
            name == self.text
        }
    }

    /// As an expression on `key`, with a blank behind it; empty if every name is covered.
    pub fn expression(&self, key: &str) -> String {
        match (&*self.text, self.open) {
            ("", _) => String::new(),
            (text, true) => format!("{key} \"{text}*\" "),
            (text, false) => format!("{key} \"{text}\" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covering(glob: &str) -> NameMatch {
        NameMatch::covering(&Pattern::new(glob).expect("a glob"))
    }

    #[test]
    fn names_and_beginnings_are_compared_exactly_and_all_else_by_its_beginning() {
        for (glob, expression, exact) in [
            ("docker0", "iifname \"docker0\" ", true),
            ("veth*", "iifname \"veth*\" ", true),
            ("*", "", true),
            ("br-????????????", "iifname \"br-*\" ", false),
            ("tap[0-9]", "iifname \"tap*\" ", false),
            ("{a,b}", "", false),
            ("a\"; flush ruleset", "iifname \"a*\" ", false),
        ] {
            let found = covering(glob);
            assert_eq!(found.expression("iifname"), expression, "{glob}");
            assert_eq!(found.exact, exact, "{glob}");
        }
    }

    #[test]
    fn whatever_a_glob_matches_is_covered() {
        for (glob, name) in [
            ("br-????????????", "br-0123456789ab"),
            ("docker0", "docker0"),
            ("{a,b}*", "b7"),
        ] {
            assert!(covering(glob).covers(name), "{glob} {name}");
        }
        assert!(!covering("docker0").covers("docker01"));
    }
}
