//! What people ask about a policy, in rules, tests and on the command line, in the same words.

use super::model::{Policy, TestPeer};
use super::names::Names;
use super::problem::Refusal;
use super::reader::Item;
use super::traffic::{Interval, Traffic};
use super::{icmp, ports, protocols};

/// Which of the three keys a text stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ports`, `--port`.
    Port,
    /// `icmp`, `--icmp`.
    Icmp,
    /// `protocols`, `--protocol`.
    Protocol,
}

impl Kind {
    /// What one entry of the key means.
    ///
    /// # Errors
    /// The text means nothing there.
    pub fn parse(self, text: &str) -> Result<Traffic, Refusal> {
        let item = Item::Text(text.to_owned());
        self.item(&item)
            .map(|(intervals, text)| Traffic::new(intervals, text))
    }

    /// What an entry means, and how messages put it.
    pub(super) fn item(self, item: &Item) -> Result<(Vec<Interval>, String), Refusal> {
        let text = match (self, item) {
            (_, Item::Text(text)) | (Self::Protocol, Item::Number(text)) => text,
            (Self::Icmp, Item::Number(text)) => {
                // Refused with the reason that it has in quotes, too.
                icmp::parse(text)?;
                text
            }
            (Self::Port, Item::Number(text)) => {
                return Err(Refusal::new(
                    "a port is a string, not a number",
                    "no quotes",
                    format!("write \"{text}/tcp\" or \"{text}/udp\""),
                ));
            }
        };
        let intervals = match self {
            Self::Port => ports::parse(text)?,
            Self::Icmp => icmp::parse(text)?,
            Self::Protocol => protocols::parse(text)?,
        };
        let number = self == Self::Protocol && text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if number {
            format!("protocol {text}")
        } else {
            text.clone()
        };
        Ok((intervals, text))
    }
}

/// Whom a text means: an identity, entity, network or address.
///
/// # Errors
/// Nobody is called that.
pub fn peer(policy: &Policy, text: &str) -> Result<TestPeer, Refusal> {
    let names = Names::of(policy);
    let unknown = || Refusal::new(format!("nobody is called `{text}`"), "", "correct the name");
    names.test_peer(text)?.ok_or_else(unknown)
}
