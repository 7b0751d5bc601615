//! One event as one line for people:
//!
//! ```text
//! 12:03:04.123 DROP  xwing (alliance) -> deathstar (empire) 80/tcp  ingress of deathstar: no rule allows it
//! ```

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event::{Decider, Event, Hook, Peer, Verdict};
use super::names::RuleName;
use crate::control::time::UnixTime;

/// How events are written.
#[derive(Debug, Clone)]
pub struct LineFormat {
    /// Whether to colour.
    pub color: bool,
    /// Whose time of day.
    pub zone: TimeZone,
}

impl LineFormat {
    /// An event in one line, without its end.
    #[must_use]
    pub fn line(&self, event: &Event) -> String {
        let (word, style) = match event.verdict {
            Verdict::Allow => ("ALLOW", AnsiColor::Green.on_default()),
            Verdict::Audit => ("AUDIT", AnsiColor::Yellow.on_default().bold()),
            Verdict::Drop => ("DROP", AnsiColor::Red.on_default().bold()),
            Verdict::Deny => ("DENY", AnsiColor::Red.on_default().bold()),
        };
        let mut line = String::with_capacity(160);
        self.paint(&mut line, Style::new().dimmed(), &self.clock(event.time));
        line.push(' ');
        self.paint(&mut line, style, &format!("{word:<5}"));
        let with_address = event.side.is_none();
        line.push(' ');
        self.peer(&mut line, &event.source, with_address);
        line.push_str(" -> ");
        self.peer(&mut line, &event.destination, with_address);
        if let Some(traffic) = traffic(event) {
            line.push(' ');
            line.push_str(&traffic);
        }
        line.push_str("  ");
        line.push_str(&decision(event));
        line
    }

    /// That events are missing here.
    #[must_use]
    pub fn lost(&self, count: u64) -> String {
        let mut line = String::new();
        let text = format!("... {count} events left out: they came faster than they were read");
        self.paint(&mut line, AnsiColor::Yellow.on_default(), &text);
        line
    }

    fn clock(&self, time: UnixTime) -> String {
        let since = time.since_epoch();
        let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
        Timestamp::from_nanosecond(nanoseconds).map_or_else(
            |_| time.to_string(),
            |timestamp| {
                let local = timestamp.to_zoned(self.zone.clone());
                local.strftime("%H:%M:%S%.3f").to_string()
            },
        )
    }

    fn peer(&self, line: &mut String, peer: &Peer, with_address: bool) {
        let address = peer.address.map(|address| address.to_string());
        let (who, where_) = match (&peer.name, address) {
            (Some(name), address) => (printable(name), address.filter(|_| with_address)),
            (None, Some(address)) => (Cow::Owned(address), None),
            (None, None) => (Cow::Borrowed("?"), None),
        };
        self.paint(line, Style::new().bold(), &who);
        if let Some(identity) = peer.identity.as_deref().filter(|&identity| identity != who) {
            line.push_str(" (");
            line.push_str(&printable(identity));
            line.push(')');
        }
        if let Some(address) = where_ {
            line.push(' ');
            line.push_str(&address);
        }
    }

    fn paint(&self, line: &mut String, style: Style, text: &str) {
        if self.color {
            // Writing to a string does not fail.
            let _ = write!(line, "{style}{text}{style:#}");
        } else {
            line.push_str(text);
        }
    }
}

fn traffic(event: &Event) -> Option<String> {
    let protocol = event.protocol.as_deref()?;
    Some(match (&event.icmp, event.destination.port) {
        (Some(icmp), _) => match &icmp.name {
            Some(name) if icmp.code == 0 => format!("{protocol} {name}"),
            Some(name) => format!("{protocol} {name} code {}", icmp.code),
            None => format!("{protocol} type {} code {}", icmp.number, icmp.code),
        },
        (None, Some(port)) => format!("{port}/{protocol}"),
        (None, None) if protocol.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("protocol {protocol}")
        }
        (None, None) => protocol.to_owned(),
    })
}

/// Who decided, and by what.
fn decision(event: &Event) -> String {
    let would = if event.verdict == Verdict::Audit {
        "would drop: "
    } else {
        ""
    };
    match (event.verdict, event.side) {
        (Verdict::Allow, _) => allowed(event),
        (_, Some(side)) => {
            let (side, owner) = match side {
                Decider::Egress => ("egress", &event.source),
                Decider::Ingress => ("ingress", &event.destination),
            };
            let owner = called(owner);
            match &event.rule {
                Some(rule) => format!("{would}{side} of {owner}: denied by {}", shown(rule)),
                None => format!("{would}{side} of {owner}: {}", event.text),
            }
        }
        (_, None) => {
            let place = match (event.hook, &event.endpoint) {
                (Hook::FromEndpoint, Some(endpoint)) => format!("from {}: ", printable(endpoint)),
                (Hook::ToEndpoint, Some(endpoint)) => format!("to {}: ", printable(endpoint)),
                (Hook::FromUplink | Hook::UplinkXdp, _) => "from an uplink: ".to_owned(),
                (Hook::ToUplink, _) => "to an uplink: ".to_owned(),
                (_, None) => String::new(),
            };
            format!("{would}{place}{}", event.text)
        }
    }
}

fn allowed(event: &Event) -> String {
    match (&event.egress_rule, &event.ingress_rule) {
        (None, None) => "allowed by default".to_owned(),
        (Some(rule), None) | (None, Some(rule)) => format!("allowed by {}", shown(rule)),
        (Some(egress), Some(ingress)) if egress == ingress => {
            format!("allowed by {}", shown(egress))
        }
        (Some(egress), Some(ingress)) => {
            format!("allowed by {}, {}", shown(egress), shown(ingress))
        }
    }
}

fn called(peer: &Peer) -> Cow<'_, str> {
    match (&peer.name, peer.address) {
        (Some(name), _) => printable(name),
        (None, Some(address)) => Cow::Owned(address.to_string()),
        (None, None) => Cow::Borrowed("?"),
    }
}

fn shown(rule: &RuleName) -> String {
    format!("{} ({})", printable(&rule.name), printable(&rule.place()))
}

/// Without control characters: what a container or a file is called must not move the cursor.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::observe::event::samples;

    fn plain(event: &Event) -> String {
        LineFormat {
            color: false,
            zone: TimeZone::UTC,
        }
        .line(event)
    }

    #[test]
    fn a_drop_says_who_what_and_why() {
        assert_eq!(
            plain(&samples::drop()),
            "12:03:04.123 DROP  xwing (alliance) -> deathstar (empire) 80/tcp  \
             ingress of deathstar: no rule allows it"
        );
    }

    #[test]
    fn a_deny_names_the_rule_and_its_line() {
        assert_eq!(
            plain(&samples::deny()),
            "12:03:04.123 DENY  xwing (alliance) -> deathstar (empire) 80/tcp  \
             ingress of deathstar: denied by no rebels (policy.toml:12)"
        );
    }

    #[test]
    fn audit_says_what_would_happen() {
        let event = Event {
            verdict: Verdict::Audit,
            ..samples::drop()
        };
        assert_eq!(
            plain(&event),
            "12:03:04.123 AUDIT xwing (alliance) -> deathstar (empire) 80/tcp  \
             would drop: ingress of deathstar: no rule allows it"
        );
    }

    #[test]
    fn an_allow_names_the_rule_or_the_default() {
        assert_eq!(
            plain(&samples::allow()),
            "12:03:04.123 ALLOW xwing (alliance) -> deathstar (empire) icmp echo-request  \
             allowed by no rebels (policy.toml:12)"
        );
        let event = Event {
            egress_rule: None,
            ingress_rule: None,
            ..samples::allow()
        };
        assert!(plain(&event).ends_with("  allowed by default"));
    }

    #[test]
    fn a_forged_packet_shows_the_forged_address() {
        assert_eq!(
            plain(&samples::spoofed()),
            "12:03:04.123 DROP  xwing (alliance) 10.9.9.9 -> 203.0.113.7 (internet) 80/tcp  \
             from xwing: the sender's IPv4 address is not its own"
        );
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        let mut event = samples::drop();
        event.source.name = Some("a\u{1b}[2Jb".into());
        let line = plain(&event);
        assert!(line.contains(r"a\u{1b}[2Jb"), "{line}");
        assert!(!line.contains('\u{1b}'));
    }

    #[test]
    fn colour_only_adds_escapes() {
        let format = LineFormat {
            color: true,
            zone: TimeZone::UTC,
        };
        let colored = format.line(&samples::drop());
        assert!(colored.contains("\u{1b}["));
        assert_eq!(anstream_strip(&colored), plain(&samples::drop()));
    }

    fn anstream_strip(text: &str) -> String {
        let mut plain = String::new();
        let mut parts = text.split('\u{1b}');
        plain.extend(parts.next());
        for part in parts {
            plain.extend(part.split_once('m').map(|(_, rest)| rest));
        }
        plain
    }
}
