//! Addresses and prefixes, strictly as people should write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::problem::{Refusal, shown};

/// `203.0.113.0/24`, or a bare address for a prefix of one.
pub(super) fn parse(text: &str) -> Result<IpNet, Refusal> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(no_address(text, address));
    };
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => full,
        Some(length) => match decimal(length) {
            Some(length) if length <= u16::from(full) => length as u8,
            _ => return Err(bad_length(text, address, length, full)),
        },
    };
    let net = IpNet::new(address, length).map_err(|_| no_address(text, text))?;
    if let IpNet::V6(net) = net {
        refuse_mapped(text, net)?;
    }
    if net.trunc() != net {
        return Err(Refusal::new(
            format!("{} has bits set behind its prefix", shown(text)),
            "an address within a network",
            format!(
                "write \"{}\" for the network, or \"{}\" for the one address",
                net.trunc(),
                net.addr()
            ),
        ));
    }
    Ok(net)
}

/// Digits only: no sign, no blank.
fn decimal(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Whether a text can only be meant as an address: names have neither of these.
pub(super) fn is_meant(text: &str) -> bool {
    text.contains(['/', ':']) || !text.contains(|c: char| c.is_alphabetic())
}

fn no_address(text: &str, address: &str) -> Refusal {
    let help = if address.contains('%') {
        "leave out the `%` and what follows: rules know no interfaces".to_owned()
    } else if octets(address).is_some() {
        "write each part of an IPv4 address without leading zeros".to_owned()
    } else {
        "write an address such as \"203.0.113.7\" or a network such as \"203.0.113.0/24\" or \
         \"2001:db8::/32\""
            .to_owned()
    };
    let message = format!("{} is not an address", shown(text));
    Refusal::new(message, "neither IPv4 nor IPv6", help)
}

/// An IPv4 address but for leading zeros, which some programs read as octal.
fn octets(address: &str) -> Option<()> {
    let parts: Vec<_> = address.split('.').map(decimal).collect();
    (parts.len() == 4 && parts.iter().all(|part| part.is_some_and(|part| part < 256))).then_some(())
}

fn bad_length(text: &str, address: IpAddr, length: &str, full: u8) -> Refusal {
    let mask = length.parse::<Ipv4Addr>().ok();
    let prefix = mask.and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok());
    let help = match (address, prefix) {
        (IpAddr::V4(address), Some(prefix)) => {
            let net = Ipv4Net::new(address, prefix).map(|net| net.trunc());
            net.map_or_else(|error| error.to_string(), |net| format!("write \"{net}\""))
        }
        _ => format!("write a length from 0 to {full} behind the `/`"),
    };
    Refusal::new(
        format!("{} has no valid prefix length", shown(text)),
        format!("not a number from 0 to {full}"),
        help,
    )
}

/// `::ffff:0:0/96`: never on the wire, so a rule about them would silently do nothing.
fn refuse_mapped(text: &str, net: Ipv6Net) -> Result<(), Refusal> {
    let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
    let Ok(all) = Ipv6Net::new(mapped, 96) else {
        return Ok(());
    };
    if !all.contains(&net) {
        return Ok(());
    }
    let [.., a, b, c, d] = net.addr().octets();
    let inner = Ipv4Net::new(
        Ipv4Addr::new(a, b, c, d),
        net.prefix_len().saturating_sub(96),
    )
    .map(|net| net.trunc().to_string())
    .unwrap_or_default();
    Err(Refusal::new(
        format!("{} is an IPv4 address in the form of IPv6", shown(text)),
        "IPv4-mapped",
        format!("write \"{inner}\""),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_a_prefix_of_one() {
        assert_eq!(parse("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(parse("2001:db8::1").unwrap().to_string(), "2001:db8::1/128");
    }

    #[test]
    fn everything_is_a_network_of_length_0() {
        assert_eq!(parse("0.0.0.0/0").unwrap().prefix_len(), 0);
        assert_eq!(parse("::/0").unwrap().prefix_len(), 0);
    }

    #[test]
    fn host_bits_are_refused_with_the_network_that_was_meant() {
        assert!(
            parse("10.1.2.3/8")
                .unwrap_err()
                .help
                .contains("\"10.0.0.0/8\"")
        );
        assert!(
            parse("2001:db8::1/64")
                .unwrap_err()
                .help
                .contains("\"2001:db8::/64\"")
        );
    }

    #[test]
    fn mapped_addresses_are_refused_with_the_address_that_was_meant() {
        assert!(
            parse("::ffff:192.0.2.1")
                .unwrap_err()
                .help
                .contains("\"192.0.2.1/32\"")
        );
        assert!(
            parse("::ffff:10.0.0.0/104")
                .unwrap_err()
                .help
                .contains("\"10.0.0.0/8\"")
        );
        assert!(
            parse("::ffff:0:0/96")
                .unwrap_err()
                .help
                .contains("\"0.0.0.0/0\"")
        );
        assert!(parse("::/0").is_ok());
    }

    #[test]
    fn what_others_might_read_as_octal_is_refused() {
        for text in [
            "010.0.0.1",
            "10.0.0.08",
            "10.0.0.0/08x",
            "0x0a.0.0.1",
            "10.1",
            "167772161",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn netmasks_are_refused_with_the_prefix_that_was_meant() {
        let help = parse("10.1.0.0/255.255.0.0").unwrap_err().help;
        assert_eq!(help, "write \"10.1.0.0/16\"");
    }
}
