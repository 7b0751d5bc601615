//! `icmp`: types and codes of ICMP and ICMPv6.

use super::icmp_types::{ICMPV4, ICMPV6, IcmpType};
use super::problem::{Refusal, did_you_mean, shown};
use super::traffic::{Interval, Selector, protocol};

/// One of the two protocols; their types have nothing in common but some names.
struct Family {
    prefix: &'static str,
    title: &'static str,
    protocol: u8,
    types: &'static [IcmpType],
}

const FAMILIES: [Family; 2] = [
    Family {
        prefix: "ipv4",
        title: "ICMP",
        protocol: protocol::ICMP,
        types: ICMPV4,
    },
    Family {
        prefix: "ipv6",
        title: "ICMPv6",
        protocol: protocol::ICMPV6,
        types: ICMPV6,
    },
];

impl Family {
    fn number(&self, name: &str) -> Option<u8> {
        self.types
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(number, _)| *number)
    }

    fn name(&self, number: u8) -> Option<&'static str> {
        let (_, names) = self.types.iter().find(|(known, _)| *known == number)?;
        names.first().copied()
    }

    /// All codes of a range of types.
    fn types(&self, first: u8, last: u8) -> Option<Interval> {
        Interval::new(
            Selector::icmp(self.protocol, first, 0),
            Selector::icmp(self.protocol, last, u8::MAX),
        )
    }
}

/// A name or `any`, of both families or, with `ipv4:` or `ipv6:`, of one; with a family also a type
/// (`ipv4:8`), a type and code (`ipv4:3/4`) or a range of types (`ipv4:13-18`).
pub(super) fn parse(text: &str) -> Result<Vec<Interval>, Refusal> {
    match text.split_once(':') {
        Some((prefix, body)) => match FAMILIES.iter().find(|family| family.prefix == prefix) {
            Some(family) => one_family(text, family, body).map(|interval| vec![interval]),
            None => Err(unknown_family(text, body)),
        },
        None => both_families(text),
    }
}

fn both_families(text: &str) -> Result<Vec<Interval>, Refusal> {
    if text == "any" {
        let all = FAMILIES.iter();
        return Ok(all
            .map(|family| Interval::protocol(family.protocol))
            .collect());
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bare_number(text));
    }
    let intervals: Vec<_> = FAMILIES
        .iter()
        .filter_map(|family| {
            let number = family.number(text)?;
            family.types(number, number)
        })
        .collect();
    if intervals.is_empty() {
        return Err(unknown_name(text, text, &FAMILIES.each_ref()));
    }
    Ok(intervals)
}

fn one_family(text: &str, family: &Family, body: &str) -> Result<Interval, Refusal> {
    if body == "any" {
        return Ok(Interval::protocol(family.protocol));
    }
    if let Some(number) = family.number(body) {
        return family
            .types(number, number)
            .ok_or_else(|| unknown_name(text, body, &[family]));
    }
    if !body.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(
            other_family(text, family, body).unwrap_or_else(|| unknown_name(text, body, &[family]))
        );
    }
    if let Some((icmp_type, code)) = body.split_once('/') {
        let selector = Selector::icmp(
            family.protocol,
            number(text, icmp_type)?,
            number(text, code)?,
        );
        return Interval::new(selector, selector).ok_or_else(|| not_understood(text));
    }
    let (first, last) = match body.split_once('-') {
        Some((first, last)) => (number(text, first)?, number(text, last)?),
        None => {
            let icmp_type = number(text, body)?;
            (icmp_type, icmp_type)
        }
    };
    family.types(first, last).ok_or_else(|| {
        Refusal::new(
            format!("the range {} is the wrong way round", shown(text)),
            "ends before it begins",
            format!("write \"{}:{last}-{first}\"", family.prefix),
        )
    })
}

fn number(text: &str, digits: &str) -> Result<u8, Refusal> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_understood(text));
    }
    digits.parse().map_err(|_| {
        Refusal::new(
            format!("{} is beyond the last type or code", shown(text)),
            "more than 255",
            "write types and codes from 0 to 255",
        )
    })
}

fn not_understood(text: &str) -> Refusal {
    Refusal::new(
        format!("{} is not an ICMP type", shown(text)),
        "neither a name nor a type",
        "write a name (\"echo-request\"), or with a family a type (\"ipv4:8\"), a type and code \
         (\"ipv4:3/4\") or a range of types (\"ipv4:13-18\")",
    )
}

/// The same number names quite different messages in the two families.
fn bare_number(text: &str) -> Refusal {
    let leading = text.split(['/', '-']).next().unwrap_or(text);
    let meaning = |family: &Family| {
        let name = leading.parse().ok().and_then(|number| family.name(number));
        let name = name.map_or(String::new(), |name| format!(" ({name})"));
        format!("\"{}:{text}\"{name}", family.prefix)
    };
    let [ipv4, ipv6] = FAMILIES.each_ref();
    Refusal::new(
        format!("{} means different things in IPv4 and IPv6", shown(text)),
        "of which family?",
        format!("write {} or {}", meaning(ipv4), meaning(ipv6)),
    )
}

fn unknown_family(text: &str, body: &str) -> Refusal {
    Refusal::new(
        format!("{} names no family", shown(text)),
        "neither ipv4 nor ipv6",
        format!("write \"ipv4:{body}\" or \"ipv6:{body}\""),
    )
}

/// A name that only the other family has.
fn other_family(text: &str, family: &Family, name: &str) -> Option<Refusal> {
    let other = FAMILIES
        .iter()
        .find(|other| other.prefix != family.prefix)?;
    other.number(name)?;
    Some(Refusal::new(
        format!("{} is no {} type", shown(name), family.title),
        format!("only {} has it", other.title),
        format!(
            "write \"{}:{name}\" instead of {}",
            other.prefix,
            shown(text)
        ),
    ))
}

fn unknown_name(text: &str, name: &str, families: &[&Family]) -> Refusal {
    let help = if name == "ping" {
        "write \"echo-request\": that is what ping sends".to_owned()
    } else if let Some(help) = name_with_code(name, families) {
        help
    } else {
        let names = families
            .iter()
            .flat_map(|family| family.types)
            .flat_map(|(_, names)| names.iter().copied());
        did_you_mean(&name.to_ascii_lowercase(), names, || {
            not_understood(text).help
        })
    };
    let message = format!("{} is not an ICMP type", shown(text));
    Refusal::new(message, "no such name", help)
}

/// `destination-unreachable/4`: codes go with numbers only.
fn name_with_code(text: &str, families: &[&Family]) -> Option<String> {
    let (name, code) = text.split_once('/')?;
    let forms: Vec<_> = families
        .iter()
        .filter_map(|family| Some((family, family.number(name)?)))
        .map(|(family, number)| format!("\"{}:{number}/{code}\"", family.prefix))
        .collect();
    (!forms.is_empty()).then(|| {
        format!(
            "a code follows a type's number: write {}",
            forms.join(" or ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(text: &str, protocol: u8, icmp_type: u8, code: u8) -> bool {
        let intervals = parse(text).unwrap_or_default();
        let selector = Selector::icmp(protocol, icmp_type, code);
        intervals.iter().any(|interval| interval.contains(selector))
    }

    #[test]
    fn echo_reply_is_type_0_and_no_wildcard() {
        for text in ["echo-reply", "ipv4:echo-reply", "ipv4:0"] {
            for icmp_type in 0..=u8::MAX {
                let expected = icmp_type == 0;
                assert_eq!(
                    covers(text, protocol::ICMP, icmp_type, 0),
                    expected,
                    "{text}"
                );
            }
        }
        assert!(covers("echo-reply", protocol::ICMPV6, 129, 0));
    }

    #[test]
    fn a_type_covers_all_its_codes_and_a_code_only_itself() {
        assert!(covers("ipv4:3", protocol::ICMP, 3, 0) && covers("ipv4:3", protocol::ICMP, 3, 255));
        assert!(covers("ipv4:3/4", protocol::ICMP, 3, 4));
        assert!(
            !covers("ipv4:3/4", protocol::ICMP, 3, 3) && !covers("ipv4:3/4", protocol::ICMP, 3, 5)
        );
    }

    #[test]
    fn a_name_covers_the_families_that_have_it() {
        let both = parse("destination-unreachable").unwrap();
        assert_eq!(both.len(), 2);
        assert!(covers("destination-unreachable", protocol::ICMP, 3, 1));
        assert!(covers("destination-unreachable", protocol::ICMPV6, 1, 1));
        assert_eq!(parse("packet-too-big"), parse("ipv6:2"));
        assert_eq!(parse("source-quench"), parse("ipv4:4"));
    }

    #[test]
    fn a_family_restricts_a_name_to_itself() {
        assert!(covers("ipv6:echo-request", protocol::ICMPV6, 128, 0));
        assert!(!covers("ipv6:echo-request", protocol::ICMP, 8, 0));
        assert!(!covers("ipv4:any", protocol::ICMPV6, 1, 0));
    }

    #[test]
    fn every_name_of_the_registries_is_kebab_case_and_means_one_type() {
        for family in &FAMILIES {
            let mut numbers = std::collections::BTreeSet::new();
            let mut all = std::collections::BTreeSet::new();
            for (number, names) in family.types {
                assert!(numbers.insert(number), "{number} is there twice");
                assert_eq!(family.name(*number), names.first().copied());
                for name in *names {
                    assert!(all.insert(name), "{name} is there twice");
                    let kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                    assert!(name.bytes().all(kebab) && name.starts_with(char::is_alphabetic));
                    let interval = parse(&format!("{}:{name}", family.prefix)).unwrap();
                    assert_eq!(
                        interval,
                        parse(&format!("{}:{number}", family.prefix)).unwrap()
                    );
                }
            }
        }
    }
}
