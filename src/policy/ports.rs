//! `ports`: TCP, UDP and SCTP destination ports.

use super::problem::{Refusal, did_you_mean, shown};
use super::traffic::{Interval, Selector, protocol};

const PROTOCOLS: [(&str, &[u8]); 4] = [
    ("tcp", &[protocol::TCP]),
    ("udp", &[protocol::UDP]),
    ("sctp", &[protocol::SCTP]),
    ("*", &[protocol::TCP, protocol::UDP, protocol::SCTP]),
];

/// `80/tcp`, `443` (TCP), `8000-8100/udp`, `53/*` (TCP, UDP and SCTP), `*/tcp`.
pub(super) fn parse(text: &str) -> Result<Vec<Interval>, Refusal> {
    let (ports, name) = text.split_once('/').unwrap_or((text, "tcp"));
    let Some((_, protocols)) = PROTOCOLS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown_protocol(text, ports, name));
    };
    if ports == "*" {
        return Ok(protocols.iter().map(|p| Interval::protocol(*p)).collect());
    }
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (number(text, first)?, number(text, last)?),
        None => {
            let port = number(text, ports)?;
            (port, port)
        }
    };
    if first > last {
        return Err(Refusal::new(
            format!("the range {} is the wrong way round", shown(text)),
            "ends before it begins",
            format!("write \"{last}-{first}/{name}\""),
        ));
    }
    if first == 0 {
        let instead = match last {
            0 => format!("\"*/{name}\" for all ports"),
            u16::MAX => format!("\"*/{name}\""),
            last => format!("\"1-{last}/{name}\""),
        };
        return Err(Refusal::new(
            "port 0 is no port that anything can listen on",
            "port 0",
            format!("write {instead}"),
        ));
    }
    let interval = |p: &u8| Interval::new(Selector::port(*p, first), Selector::port(*p, last));
    Ok(protocols.iter().filter_map(interval).collect())
}

fn number(text: &str, port: &str) -> Result<u16, Refusal> {
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return port.parse().map_err(|_| {
            Refusal::new(
                format!("{} is beyond the last port", shown(text)),
                "more than 65535",
                "write a port from 1 to 65535",
            )
        });
    }
    Err(Refusal::new(
        format!("{} is not a port", shown(text)),
        "not a number",
        "write \"80/tcp\", \"8000-8100/udp\", \"53/*\" (TCP, UDP and SCTP) or \"*/tcp\" (all ports)",
    ))
}

fn unknown_protocol(text: &str, ports: &str, name: &str) -> Refusal {
    let known = PROTOCOLS.iter().map(|(known, _)| *known);
    let lower = name.trim().to_ascii_lowercase();
    let ports = ports.trim();
    let help = if PROTOCOLS.iter().any(|(known, _)| *known == lower) {
        format!("write \"{ports}/{lower}\"")
    } else if PROTOCOLS.iter().any(|(known, _)| *known == ports) {
        format!("the port stands first: write \"{}/{ports}\"", name.trim())
    } else {
        did_you_mean(&lower, known, || {
            "write tcp, udp, sctp or * behind the `/`; protocols without ports stand in `protocols`"
                .to_owned()
        })
    };
    let message = format!("{} has no protocol with ports", shown(text));
    Refusal::new(message, format!("{} has no ports", shown(name)), help)
}
