//! Which ports of the host lead to a container.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answers::PortAnswer;
use crate::inventory::model::PublishedPort;

/// What the list of containers says of one container's ports, as far as the host publishes them. What
/// makes no sense is left out: it stays what it looks like, a port of the host.
pub(super) fn published(answers: &[PortAnswer]) -> BTreeSet<PublishedPort> {
    answers.iter().flat_map(bindings).collect()
}

fn bindings(answer: &PortAnswer) -> Vec<PublishedPort> {
    let is_port = |port: &u16| *port != 0;
    let (Some(host_port), Some(port), Some(protocol)) = (
        answer.public_port.filter(is_port),
        answer.private_port.filter(is_port),
        protocol(answer.kind.as_deref().unwrap_or("tcp")),
    ) else {
        return Vec::new();
    };
    let addresses = match answer.ip.as_deref() {
        // Some engines leave out that it is all of them.
        None | Some("") => vec![
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
        Some(text) => text.parse().ok().into_iter().collect(),
    };
    let binding = |address: IpAddr| PublishedPort {
        address: address.to_canonical(),
        protocol,
        host_port,
        port,
    };
    addresses.into_iter().map(binding).collect()
}

/// The protocols that Docker publishes ports of, by their IANA numbers.
fn protocol(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let answers: Vec<PortAnswer> = serde_json::from_str(text).unwrap();
        published(&answers)
            .iter()
            .map(|port| {
                let PublishedPort {
                    address,
                    protocol,
                    host_port,
                    port,
                } = port;
                format!("{address} {protocol} {host_port} {port}")
            })
            .collect()
    }

    #[test]
    fn ports_are_published_at_all_addresses_or_at_one_of_either_family() {
        let answer = r#"[
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"IP":"127.0.0.1","PrivatePort":53,"PublicPort":5353,"Type":"udp"},
            {"IP":"2001:db8::1","PrivatePort":99,"PublicPort":9999,"Type":"sctp"}
        ]"#;
        assert_eq!(
            of(answer),
            [
                "0.0.0.0 6 8080 80",
                "127.0.0.1 17 5353 53",
                ":: 6 8080 80",
                "2001:db8::1 132 9999 99"
            ]
        );
    }

    #[test]
    fn what_is_not_published_or_makes_no_sense_is_left_out() {
        let answer = r#"[
            {"PrivatePort":80,"Type":"tcp"},
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":0,"Type":"tcp"},
            {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"icmp"},
            {"IP":"somewhere","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {}
        ]"#;
        assert!(of(answer).is_empty());
    }

    #[test]
    fn an_engine_that_names_no_address_means_all_of_them() {
        let answer = r#"[{"IP":"","PrivatePort":80,"PublicPort":8080}]"#;
        assert_eq!(of(answer), ["0.0.0.0 6 8080 80", ":: 6 8080 80"]);
    }
}
