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

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(text: &str, protocol: u8, port: u16) -> bool {
        let intervals = parse(text).unwrap_or_default();
        let selector = Selector::port(protocol, port);
        intervals.iter().any(|interval| interval.contains(selector))
    }

    #[test]
    fn a_port_without_protocol_is_tcp_only() {
        assert!(covers("443", protocol::TCP, 443));
        assert!(!covers("443", protocol::UDP, 443));
        assert!(!covers("443", protocol::TCP, 442) && !covers("443", protocol::TCP, 444));
    }

    #[test]
    fn a_star_for_the_protocol_is_tcp_udp_and_sctp_and_nothing_else() {
        let found: Vec<u8> = (0..=u8::MAX).filter(|p| covers("53/*", *p, 53)).collect();
        assert_eq!(found, [protocol::TCP, protocol::UDP, protocol::SCTP]);
    }

    #[test]
    fn a_range_has_both_its_ends() {
        for port in [8000, 8050, 8100] {
            assert!(covers("8000-8100/udp", protocol::UDP, port));
        }
        for port in [7999, 8101] {
            assert!(!covers("8000-8100/udp", protocol::UDP, port));
        }
    }

    #[test]
    fn all_ports_is_the_whole_protocol() {
        assert_eq!(parse("*/tcp"), Ok(vec![Interval::protocol(protocol::TCP)]));
    }

    #[test]
    fn port_0_is_refused_in_every_form() {
        for text in ["0", "0/tcp", "0/*", "00/udp", "0-1/tcp", "0-65535/*"] {
            let refusal = parse(text).expect_err(text);
            assert!(refusal.message.starts_with("port 0"), "{text}: {refusal}");
        }
    }
}
