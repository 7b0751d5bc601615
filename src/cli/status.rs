//! `status`: whether everything that should be enforced is.

use std::fmt::Write;

use anstyle::{AnsiColor, Style as Ansi};
use clap::Args;

use super::failure::unexpected;
use super::output::{Output, Style};
use super::text::{bytes, count, duration, number};
use super::{Answer, Failure, Global};
use crate::control::protocol::{Request, Response};
use crate::control::report::{
    DockerState, FlowStatus, GuardState, MapStatus, OpenedBy, StatusReport, TroubleStatus,
};
use crate::control::time::UnixTime;
use crate::observe::line::printable;

const EXAMPLES: &str = "\
Examples:
  bridgewall status                     exit code 0: healthy; 1: not, and why
  bridgewall status --json | jq .policy.generation";

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {}

impl Status {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let Response::Status(report) = global.ask(Request::Status)? else {
            return Err(unexpected());
        };
        if output.json {
            output.value(&report)?;
        } else {
            output.text(&render(&report, UnixTime::now(), output.style))?;
        }
        Ok(if report.healthy {
            Answer::Fine
        } else {
            Answer::No
        })
    }
}

/// Columns before a line's content.
const INDENT: usize = 12;

/// Maps that are less full than this are not worth a line.
const FULL_PERCENT: u64 = 50;

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, title: &str, content: &str) {
        let bold = self.ansi(Ansi::new().bold());
        let gap = if content.is_empty() {
            0
        } else {
            INDENT.saturating_sub(title.len())
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{bold}{title}{bold:#}{:gap$}{content}", "");
    }

    fn ansi(&self, style: Ansi) -> Ansi {
        if self.style.color { style } else { Ansi::new() }
    }

    fn painted(&self, style: Ansi, text: &str) -> String {
        let style = self.ansi(style);
        format!("{style}{text}{style:#}")
    }
}

fn render(report: &StatusReport, now: UnixTime, style: Style) -> String {
    let mut page = Page {
        text: String::new(),
        style,
    };
    let health = if report.healthy {
        page.painted(AnsiColor::Green.on_default().bold(), "healthy")
    } else {
        page.painted(AnsiColor::Red.on_default().bold(), "not healthy")
    };
    page.line(
        "bridgewall",
        &format!(
            "{health}, version {}, process {}, up {}",
            report.version,
            report.pid,
            duration(report.started_at.age(now))
        ),
    );
    for reason in &report.reasons {
        page.line(
            "",
            &page.painted(AnsiColor::Red.on_default(), &printable(reason)),
        );
    }
    policy(&mut page, report, now);
    endpoints(&mut page, report);
    page.line("attached by", &report.attach.mode);
    for fallback in &report.attach.fallbacks {
        page.line("", fallback);
    }
    guard(&mut page, report);
    bridges(&mut page, report);
    uplinks(&mut page, report);
    docker(&mut page, report);
    flows(&mut page, report);
    drops(&mut page, report);
    events(&mut page, report);
    troubles(&mut page, &report.troubles);
    memory(&mut page, &report.maps);
    page.text
}

fn uplinks(page: &mut Page, report: &StatusReport) {
    let mut title = "uplinks";
    if report.uplinks.is_empty() {
        let nowhere = "none: no default route, nor an interface that bridgewall.toml names";
        page.line(title, nowhere);
    }
    for uplink in &report.uplinks {
        let host = match (&uplink.attached, uplink.judges) {
            (Some(mode), _) => format!("the host's policy by {mode}"),
            (None, true) => page.painted(
                AnsiColor::Red.on_default(),
                "the host's policy is not enforced",
            ),
            (None, false) => "no policy for the host".to_owned(),
        };
        let why = uplink.xdp_reason.as_deref();
        let why = why.map_or_else(String::new, |why| format!(" ({})", printable(why)));
        let text = format!(
            "{}: {host}, XDP {}{why}",
            printable(&uplink.interface),
            uplink.xdp.name()
        );
        page.line(title, &text);
        title = "";
    }
    if !report.management.allowed.is_empty() {
        page.line("management", "always allowed:");
        for allowed in &report.management.allowed {
            page.line("", allowed);
        }
    }
}

fn policy(page: &mut Page, report: &StatusReport, now: UnixTime) {
    let policy = &report.policy;
    let committed = policy.committed_at.map_or_else(
        || "enforced since before the daemon started".to_owned(),
        |time| format!("enforced {} ago", duration(time.age(now))),
    );
    page.line(
        "policy",
        &format!(
            "revision {}, generation {}, {committed}",
            policy.revision, policy.generation
        ),
    );
    if let Some(trial) = report.trial {
        let left = duration(now.age(trial.ends_at));
        page.line(
            "",
            &format!(
                "waits for `bridgewall confirm {}`, {left} more",
                trial.revision
            ),
        );
    }
    page.line(
        "",
        &format!(
            "{}, {}, {}",
            count(policy.rules, "rule"),
            count(policy.identities, "identity"),
            count(policy.networks, "network")
        ),
    );
    for file in &policy.files {
        page.line("", &printable(&file.to_string_lossy()));
    }
    if let Some(error) = &policy.error {
        let red = AnsiColor::Red.on_default();
        page.line("", &page.painted(red, "the last change was refused:"));
        for line in error.lines() {
            page.line("", &printable(line));
        }
    }
}

fn endpoints(page: &mut Page, report: &StatusReport) {
    let counts = &report.endpoints;
    let mut text = format!("{} of {} armed", counts.armed, counts.total);
    if counts.armed < counts.total {
        text = page.painted(AnsiColor::Red.on_default(), &text);
    }
    if counts.unnamed > 0 {
        let unnamed = format!(", {} not named yet", counts.unnamed);
        text.push_str(&page.painted(AnsiColor::Yellow.on_default(), &unnamed));
    }
    page.line("endpoints", &text);
}

fn guard(page: &mut Page, report: &StatusReport) {
    let guard = &report.guard;
    let text = match guard.state {
        GuardState::Closed => "closed: nothing passes where nothing is armed".to_owned(),
        GuardState::Open => page.painted(AnsiColor::Red.on_default(), "open"),
        GuardState::Off => page.painted(AnsiColor::Yellow.on_default(), "off"),
    };
    page.line("guard", &text);
    if let Some(fallback) = &guard.fallback {
        page.line("", fallback);
    }
}

fn bridges(page: &mut Page, report: &StatusReport) {
    let mut label = "fast path";
    for bridge in &report.bridges {
        let name = printable(&bridge.name);
        let text = match &bridge.reason {
            None => format!("{name}: on"),
            Some(reason) => format!("{name}: off, because {}", printable(reason)),
        };
        page.line(label, &text);
        label = "";
    }
}

fn docker(page: &mut Page, report: &StatusReport) {
    let docker = &report.docker;
    let mut text = match docker.state {
        DockerState::Connected | DockerState::Off => docker.state.name().to_owned(),
        DockerState::Waiting | DockerState::Absent => {
            page.painted(AnsiColor::Yellow.on_default(), docker.state.name())
        }
    };
    if let Some(version) = &docker.version {
        let _ = write!(text, ", version {}", printable(version));
    }
    if let Some(error) = &docker.error {
        let _ = write!(text, ": {}", printable(error));
    }
    page.line("docker", &text);
}

fn flows(page: &mut Page, report: &StatusReport) {
    let FlowStatus {
        new,
        answered,
        crowded,
    } = &report.flows;
    page.line(
        "connections",
        &format!("{}, {} new", number(answered.held), number(new.held)),
    );
    for (room, kind) in [(answered, ""), (new, "new ")] {
        if room.refused > 0 {
            let refused = number(room.refused);
            let text = format!("{refused} packets of {kind}connections found no room");
            page.line("", &page.painted(AnsiColor::Red.on_default(), &text));
        }
    }
    for account in crowded {
        let by = match account.opened_by {
            OpenedBy::Itself => "opened by",
            OpenedBy::Others => "opened to",
        };
        let text = format!(
            "{} of {} {}connections {by} {}, {} packets refused",
            number(account.held),
            number(account.limit),
            if account.answered { "" } else { "new " },
            printable(&account.endpoint),
            number(account.refused)
        );
        page.line("", &page.painted(AnsiColor::Yellow.on_default(), &text));
    }
}

fn drops(page: &mut Page, report: &StatusReport) {
    let mut drops: Vec<_> = report.drops.iter().collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.packets));
    if drops.is_empty() {
        page.line("dropped", "nothing");
    }
    let width = drops.iter().map(|drop| number(drop.packets).len()).max();
    for (index, drop) in drops.iter().enumerate() {
        page.line(
            if index == 0 { "dropped" } else { "" },
            &format!(
                "{:>width$}  {} ({})",
                number(drop.packets),
                drop.text,
                drop.reason,
                width = width.unwrap_or_default()
            ),
        );
    }
}

fn events(page: &mut Page, report: &StatusReport) {
    let events = &report.events;
    let mut text = match events.monitors {
        0 => "nobody watches".to_owned(),
        watchers => format!("{} watching", count(watchers, "client")),
    };
    for (lost, why) in [
        (events.lost_full, "lost in a full buffer"),
        (events.lost_limited, "beyond the rate limit"),
        (events.lost_slow, "missed by slow clients"),
    ] {
        if lost > 0 {
            let _ = write!(text, ", {} {why}", number(lost));
        }
    }
    page.line("events", &text);
}

/// What went wrong since the daemon started; nothing if nothing did.
fn troubles(page: &mut Page, troubles: &TroubleStatus) {
    let text = [
        (
            troubles.policies_refused,
            "policy refused",
            "policies refused",
        ),
        (
            troubles.kernel_failures,
            "change that the kernel did not take",
            "changes that the kernel did not take",
        ),
        (troubles.saves_failed, "file not saved", "files not saved"),
        (
            troubles.clients_refused,
            "client turned away",
            "clients turned away",
        ),
        (troubles.requests_refused, "bad request", "bad requests"),
    ]
    .into_iter()
    .filter(|(times, ..)| *times > 0)
    .map(|(times, one, many)| format!("{} {}", number(times), if times == 1 { one } else { many }))
    .collect::<Vec<_>>()
    .join(", ");
    if !text.is_empty() {
        page.line("so far", &text);
    }
}

fn memory(page: &mut Page, maps: &[MapStatus]) {
    let total = maps.iter().map(|map| map.bytes).sum();
    let most = maps.iter().map(|map| map.bytes_at_most).sum();
    let text = format!(
        "{} in the kernel's maps, and never more than {}",
        bytes(total),
        bytes(most)
    );
    page.line("memory", &text);
    for map in maps {
        let Some(entries) = map.entries else { continue };
        let percent = entries.saturating_mul(100) / map.capacity.max(1);
        if percent >= FULL_PERCENT {
            let text = format!(
                "{} is {percent} % full: {} of {}",
                map.name,
                number(entries),
                number(map.capacity)
            );
            page.line("", &page.painted(AnsiColor::Yellow.on_default(), &text));
        }
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
