//! What the tests say and ask: rules, selectors, and what became of a frame.

pub use bridgewall::kernel::abi::drop_reason as Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Egress = 0,
    Ingress = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allow = 0,
    Audit = 1,
    Drop = 2,
    Deny = 3,
}

/// One entry of a policy: from one selector to another, both included.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub first: u32,
    pub last: u32,
    pub verdict: Verdict,
    pub number: u32,
    pub log: bool,
}

pub fn rule(verdict: Verdict, number: u32, first: u32, last: u32) -> Rule {
    Rule {
        first,
        last,
        verdict,
        number,
        log: false,
    }
}

pub fn allow(number: u32, selector: u32) -> Rule {
    rule(Verdict::Allow, number, selector, selector)
}

pub fn allow_all(number: u32) -> Rule {
    rule(Verdict::Allow, number, 0, 0xff_ffff)
}

pub fn port(protocol: u8, port: u16) -> u32 {
    u32::from(protocol) << 16 | u32::from(port)
}

pub fn icmp_selector(protocol: u8, kind: u8, code: u8) -> u32 {
    port(protocol, u16::from(kind) << 8 | u16::from(code))
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed {
        mark: u32,
    },
    /// Past the bridge.
    Led,
    Dropped(Reason),
}

impl Outcome {
    #[track_caller]
    pub fn passes(self, what: &str) {
        assert!(matches!(self, Outcome::Passed { .. }), "{what}: {self:?}");
    }

    #[track_caller]
    pub fn passes_marked(self, mark: u32, what: &str) {
        assert_eq!(self, Outcome::Passed { mark }, "{what}");
    }

    #[track_caller]
    pub fn drops(self, reason: Reason, what: &str) {
        assert_eq!(self, Outcome::Dropped(reason), "{what}");
    }
}
