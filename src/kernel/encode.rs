//! From the values of the state room to those of the contract, and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::abi;
use crate::inventory::model::MacAddress;
use crate::policy::model::Side;
use crate::policy::traffic::Selector;
use crate::state::actual::{KernelEndpoint, ListPlace, SubjectPlaces};
use crate::state::denial::Denial;
use crate::state::desired::{
    AddressKey, AddressOwner, EndpointRecord, ManagementKey, PublishedKey, PublishedTarget,
    SENDER_ADDRESSES_MAX, Sender, TemplateConstants,
};
use crate::state::diff::STEP_LIST_MAX;
use crate::state::networks::{LAST_NODE, ROOTS, ROOTS_IN_ROW, ROOTS_IPV6, ROOTS_IPV6_REST};
use crate::state::numbers::{EndpointNumber, IdentityNumber, PairKey, PeerKind, RuleNumber, Slot};
use crate::state::steps::{Step, StepList, Verdict};

// The pure rooms cannot see the generated types; here both are seen.
const _: () = {
    assert!(abi::limit::STEP_LIST_MAX.0 as usize == STEP_LIST_MAX);
    assert!(abi::limit::SENDER_ADDRESSES_MAX.0 as usize == SENDER_ADDRESSES_MAX);
    assert!(abi::limit::LOCAL_IDENTITY_MAX.0 == IdentityNumber::LAST_ENDPOINT.0);
    assert!(abi::limit::ENDPOINT_NUMBER_MAX.0 == EndpointNumber::LAST.0);
    assert!(abi::identity::IDENTITY_HOST.0 == IdentityNumber::HOST.0);
    assert!(abi::identity::IDENTITY_WORLD_BIT.0 == IdentityNumber::internet(0).0);
    assert!(
        abi::identity::IDENTITY_WORLD_BIT.0 | abi::identity::IDENTITY_LAN_BIT.0
            == IdentityNumber::lan(0).0
    );
    assert!(abi::verdict::VERDICT_ALLOW.0 == Verdict::Allow as u32);
    assert!(abi::verdict::VERDICT_AUDIT.0 == Verdict::Audit as u32);
    assert!(abi::verdict::VERDICT_DROP.0 == Verdict::Drop as u32);
    assert!(abi::verdict::VERDICT_DENY.0 == Verdict::Deny as u32);
    assert!(abi::side::SIDE_EGRESS.0 == Side::Egress as u32);
    assert!(abi::side::SIDE_INGRESS.0 == Side::Ingress as u32);
    assert!(abi::network_layout::ROOTS_IPV6.0 == ROOTS_IPV6);
    assert!(abi::network_layout::ROOTS_IPV6_REST.0 == ROOTS_IPV6_REST);
    assert!(abi::network_layout::ROOTS.0 == ROOTS);
    assert!(abi::network_layout::ROOTS_IN_ROW.0 == ROOTS_IN_ROW);
    assert!(abi::network_layout::REFERENCE_NODE.0 == LAST_NODE);
    assert!(abi::identity::IDENTITY_WORLD_NUMBER.0 == IdentityNumber::LAST_WORLD);
    assert!(abi::peer_kind::PEER_HOST.0 == PeerKind::Host as u32);
    assert!(abi::peer_kind::PEER_ENDPOINT.0 == PeerKind::Endpoint as u32);
    assert!(abi::peer_kind::PEER_LAN.0 == PeerKind::Lan as u32);
    assert!(abi::peer_kind::PEER_INTERNET.0 == PeerKind::Internet as u32);
};

pub(super) fn address(address: IpAddr) -> abi::address {
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    abi::address {
        word: words(octets),
    }
}

pub(super) fn ip(address: &abi::address) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(octets(address.word))).to_canonical()
}

fn words(octets: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|n| u32::from_ne_bytes(std::array::from_fn(|byte| octets[n * 4 + byte])))
}

fn octets(words: [u32; 4]) -> [u8; 16] {
    std::array::from_fn(|n| words[n / 4].to_ne_bytes()[n % 4])
}

pub(super) fn address_key(key: &AddressKey) -> abi::local_address_key {
    abi::local_address_key {
        address: address(key.address),
        zone: key.zone,
    }
}

pub(super) fn address_key_back(key: &abi::local_address_key) -> AddressKey {
    AddressKey {
        address: ip(&key.address),
        zone: key.zone,
    }
}

pub(super) fn owner(owner: AddressOwner) -> abi::local_address {
    abi::local_address {
        endpoint: match owner {
            AddressOwner::Host => 0,
            AddressOwner::Endpoint(number) => number.0,
        },
    }
}

pub(super) fn owner_back(owner: abi::local_address) -> AddressOwner {
    match owner.endpoint {
        0 => AddressOwner::Host,
        number => AddressOwner::Endpoint(EndpointNumber(number)),
    }
}

pub(super) fn published_key(key: &PublishedKey) -> abi::published_key {
    abi::published_key {
        address: address(key.address),
        port: key.port.to_be(),
        protocol: key.protocol,
        _pad: 0,
    }
}

pub(super) fn published_key_back(key: &abi::published_key) -> PublishedKey {
    PublishedKey {
        address: ip(&key.address),
        protocol: key.protocol,
        port: u16::from_be(key.port),
    }
}

pub(super) fn published(target: PublishedTarget) -> abi::published {
    abi::published {
        endpoint: target.endpoint.0,
        port: target.port.to_be(),
        _pad: 0,
    }
}

pub(super) fn published_back(target: abi::published) -> PublishedTarget {
    PublishedTarget {
        endpoint: EndpointNumber(target.endpoint),
        port: u16::from_be(target.port),
    }
}

pub(super) fn endpoint(endpoint: &KernelEndpoint) -> abi::endpoint {
    abi::endpoint {
        identity: endpoint.identity.map(|number| number.0),
        ifindex: endpoint.record.ifindex,
        bridge: endpoint.record.bridge.unwrap_or(0),
    }
}

/// `None`: not in use.
pub(super) fn endpoint_back(endpoint: &abi::endpoint) -> Option<KernelEndpoint> {
    (endpoint.ifindex != 0).then(|| KernelEndpoint {
        identity: endpoint.identity.map(IdentityNumber),
        record: EndpointRecord {
            ifindex: endpoint.ifindex,
            bridge: (endpoint.bridge != 0).then_some(endpoint.bridge),
        },
    })
}

pub(super) fn list(place: ListPlace) -> abi::step_list {
    abi::step_list {
        first: place.first,
        count: place.count,
    }
}

pub(super) fn place(list: abi::step_list) -> ListPlace {
    ListPlace {
        first: list.first,
        count: list.count,
    }
}

/// The key of a pair in one slot. Subjects are the host or endpoints, whose numbers fit.
pub(super) fn policy_key(slot: Slot, key: &PairKey) -> abi::policy_key {
    abi::policy_key {
        slot: slot.index() as u8,
        side: key.side as u8,
        subject: key.subject.0 as u16,
        peer: key.peer.0,
    }
}

/// `None`: no key of ours.
pub(super) fn policy_key_back(key: &abi::policy_key) -> Option<(Slot, PairKey)> {
    Some((
        slot_back(u32::from(key.slot))?,
        PairKey {
            side: side_back(key.side)?,
            subject: IdentityNumber(u32::from(key.subject)),
            peer: IdentityNumber(key.peer),
        },
    ))
}

pub(super) fn slot_back(number: u32) -> Option<Slot> {
    match number {
        0 => Some(Slot::A),
        1 => Some(Slot::B),
        _ => None,
    }
}

pub(super) fn side_back(number: u8) -> Option<Side> {
    [Side::Egress, Side::Ingress]
        .get(usize::from(number))
        .copied()
}

pub(super) fn verdict_back(number: u8) -> Option<Verdict> {
    [Verdict::Allow, Verdict::Audit, Verdict::Drop, Verdict::Deny]
        .get(usize::from(number))
        .copied()
}

/// Where a subject's record is.
pub(super) fn identity_index(slot: Slot, number: IdentityNumber) -> u32 {
    slot.index() as u32 * (abi::limit::LOCAL_IDENTITY_MAX.0 + 1) + number.0
}

/// `None`: beyond both slots.
pub(super) fn identity_index_back(index: u32) -> Option<(Slot, IdentityNumber)> {
    let per_slot = abi::limit::LOCAL_IDENTITY_MAX.0 + 1;
    Some((
        slot_back(index / per_slot)?,
        IdentityNumber(index % per_slot),
    ))
}

pub(super) fn identity_record(places: Option<&SubjectPlaces>) -> abi::identity_record {
    let places = places.copied().unwrap_or_default();
    abi::identity_record {
        generic: places.map(|kinds| kinds.map(list)),
    }
}

/// `None`: not in use.
pub(super) fn identity_record_back(record: &abi::identity_record) -> Option<SubjectPlaces> {
    let places = record.generic.map(|kinds| kinds.map(place));
    places
        .iter()
        .flatten()
        .any(|place| *place != ListPlace::default())
        .then_some(places)
}

pub(super) fn step(step: &Step) -> abi::policy_step {
    abi::policy_step {
        from: step.from.raw(),
        rule: step.rule.0,
        verdict: step.verdict as u8,
        flags: if step.log {
            abi::step_flag::STEP_LOG.0 as u8
        } else {
            0
        },
        _pad: 0,
    }
}

/// The list that these steps are; `None` if they make no sense.
pub(super) fn list_back(steps: &[abi::policy_step]) -> Option<Arc<StepList>> {
    let steps: Vec<Step> = steps
        .iter()
        .map(|step| {
            Some(Step {
                from: Selector::from_raw(step.from)?,
                verdict: verdict_back(step.verdict)?,
                rule: RuleNumber(step.rule),
                log: u32::from(step.flags) & abi::step_flag::STEP_LOG.0 != 0,
            })
        })
        .collect::<Option<_>>()?;
    let begins = steps.first()?.from == Selector::FIRST;
    let sorted = steps.windows(2).all(|pair| pair[0].from < pair[1].from);
    let length = steps.len();
    if !begins || !sorted {
        return None;
    }
    let list = StepList::new(steps);
    // What this program writes has no equal neighbours; a list that does would not be found again.
    (list.steps().len() == length).then(|| Arc::new(list))
}

/// Where a row of roots is.
pub(super) const fn row_index(slot: Slot, row: u32) -> u32 {
    row << 1 | slot.index() as u32
}

/// The slot and the number of the first root of a row.
pub(super) const fn row_index_back(index: u32) -> (Slot, u32) {
    let slot = if index & 1 == 0 { Slot::A } else { Slot::B };
    (slot, (index >> 1) * ROOTS_IN_ROW)
}

/// Where what is denied to somebody of the world is; `None`: there is no room for such a number.
pub(super) fn denial_index(slot: Slot, number: IdentityNumber, entries: u32) -> Option<u32> {
    let lan = u32::from(number.kind() == PeerKind::Lan);
    let index = (number.0 & IdentityNumber::LAST_WORLD).checked_mul(4)?;
    Some(index | lan << 1 | slot.index() as u32).filter(|index| *index < entries)
}

/// The reverse.
pub(super) const fn denial_index_back(index: u32) -> (Slot, IdentityNumber) {
    let number = index >> 2;
    let slot = if index & 1 == 0 { Slot::A } else { Slot::B };
    if index & 2 == 0 {
        (slot, IdentityNumber::internet(number))
    } else {
        (slot, IdentityNumber::lan(number))
    }
}

pub(super) fn denial(denial: Option<Denial>) -> abi::denial {
    denial.map_or_else(abi::denial::default, |denial| abi::denial {
        rule: denial.rule.0,
        flags: if denial.both_ways {
            abi::denial_flag::DENIAL_BOTH_WAYS.0
        } else {
            0
        },
    })
}

/// `None`: nothing is denied.
pub(super) fn denial_back(denial: abi::denial) -> Option<Denial> {
    (denial.rule != 0).then_some(Denial {
        rule: RuleNumber(denial.rule),
        both_ways: denial.flags & abi::denial_flag::DENIAL_BOTH_WAYS.0 != 0,
    })
}

pub(super) fn constants(constants: &TemplateConstants) -> abi::endpoint_constants {
    let mut raw = abi::endpoint_constants {
        number: constants.number.0,
        ..Default::default()
    };
    if constants.is_uplink() {
        raw.flags = abi::endpoint_flag::ENDPOINT_UPLINK.0;
    }
    let Some(sender) = &constants.sender else {
        return raw;
    };
    raw.flags = abi::endpoint_flag::ENDPOINT_NAMED.0;
    raw.mac = sender.mac.0;
    for (slot, address) in raw.ipv4.iter_mut().zip(&sender.ipv4) {
        *slot = u32::from_ne_bytes(address.octets());
        raw.ipv4_count += 1;
    }
    for (slot, &ipv6) in raw.ipv6.iter_mut().zip(&sender.ipv6) {
        *slot = address(IpAddr::V6(ipv6));
        raw.ipv6_count += 1;
    }
    raw
}

/// Bits of a management key before its address: the port's, and its padding's.
const PORT_BITS: u32 = 32;
/// Bits that an IPv4 address has before it as an IPv6 address.
const MAPPED_BITS: u32 = 96;

pub(super) fn management_key(key: &ManagementKey) -> abi::management_key {
    let length = u32::from(key.network.prefix_len());
    abi::management_key {
        prefix_length: PORT_BITS
            + match key.network {
                IpNet::V4(_) => MAPPED_BITS + length,
                IpNet::V6(_) => length,
            },
        port: key.port.to_be(),
        _pad: 0,
        address: address(key.network.network()),
    }
}

/// `None`: no key of ours.
pub(super) fn management_key_back(raw: &abi::management_key) -> Option<ManagementKey> {
    let bits = raw.prefix_length.checked_sub(PORT_BITS)?;
    let address = Ipv6Addr::from(octets(raw.address.word));
    let network = match address.to_ipv4_mapped() {
        Some(ipv4) if bits >= MAPPED_BITS => {
            let length = u8::try_from(bits - MAPPED_BITS).ok()?;
            IpNet::V4(Ipv4Net::new(ipv4, length).ok()?)
        }
        _ => IpNet::V6(Ipv6Net::new(address, u8::try_from(bits).ok()?).ok()?),
    };
    Some(ManagementKey {
        network,
        port: u16::from_be(raw.port),
    })
}

pub(super) fn constants_back(raw: &abi::endpoint_constants) -> TemplateConstants {
    let named = raw.flags & abi::endpoint_flag::ENDPOINT_NAMED.0 != 0;
    TemplateConstants {
        number: EndpointNumber(raw.number),
        sender: named.then(|| Sender {
            mac: MacAddress(raw.mac),
            ipv4: raw
                .ipv4
                .iter()
                .take(raw.ipv4_count as usize)
                .map(|word| Ipv4Addr::from(word.to_ne_bytes()))
                .collect(),
            ipv6: raw
                .ipv6
                .iter()
                .take(raw.ipv6_count as usize)
                .map(|address| Ipv6Addr::from(octets(address.word)))
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_network_order_and_ipv4_is_mapped() {
        let raw = address("192.0.2.1".parse().unwrap());
        assert_eq!(octets(raw.word)[10..], [0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(ip(&raw), "192.0.2.1".parse::<IpAddr>().unwrap());
        let raw = address("2001:db8::1".parse().unwrap());
        assert_eq!(octets(raw.word)[..4], [0x20, 1, 0xd, 0xb8]);
    }

    #[test]
    fn published_ports_survive_the_way_there_and_back_in_both_families() {
        for text in ["0.0.0.0", "192.0.2.7", "::", "2001:db8::1"] {
            let key = PublishedKey {
                address: text.parse().unwrap(),
                protocol: 17,
                port: 0x1234,
            };
            let raw = published_key(&key);
            assert_eq!(raw.port.to_ne_bytes(), [0x12, 0x34]);
            assert_eq!(published_key_back(&raw), key);
        }
        let target = PublishedTarget {
            endpoint: EndpointNumber(9),
            port: 80,
        };
        assert_eq!(published(target).port.to_ne_bytes(), [0, 80]);
        assert_eq!(published_back(published(target)), target);
    }

    #[test]
    fn denials_survive_the_way_there_and_back() {
        for number in [IdentityNumber::internet(7), IdentityNumber::lan(0)] {
            for slot in [Slot::A, Slot::B] {
                let index = denial_index(slot, number, 64).unwrap();
                assert_eq!(denial_index_back(index), (slot, number));
            }
        }
        assert_eq!(
            denial_index(Slot::A, IdentityNumber::internet(16), 64),
            None
        );
        let denied = Denial {
            rule: RuleNumber(3),
            both_ways: true,
        };
        assert_eq!(denial_back(denial(Some(denied))), Some(denied));
        assert_eq!(denial_back(denial(None)), None);
    }

    #[test]
    fn constants_survive_the_way_there_and_back() {
        let named = TemplateConstants {
            number: EndpointNumber(9),
            sender: Some(Sender {
                mac: MacAddress([2, 1, 2, 3, 4, 5]),
                ipv4: ["10.0.0.1", "10.0.0.2"]
                    .map(|text| text.parse().unwrap())
                    .into(),
                ipv6: ["fd00::1"].map(|text| text.parse().unwrap()).into(),
            }),
        };
        assert_eq!(constants_back(&constants(&named)), named);
        let unnamed = TemplateConstants {
            number: EndpointNumber(9),
            sender: None,
        };
        assert_eq!(constants(&unnamed).flags, 0);
        assert_eq!(constants_back(&constants(&unnamed)), unnamed);
    }

    #[test]
    fn an_uplink_s_constants_survive_the_way_there_and_back() {
        let raw = constants(&TemplateConstants::UPLINK);
        assert_eq!(raw.flags, abi::endpoint_flag::ENDPOINT_UPLINK.0);
        assert_eq!(constants_back(&raw), TemplateConstants::UPLINK);
    }

    #[test]
    fn managers_survive_the_way_there_and_back_in_both_families() {
        for text in [
            "0.0.0.0/0",
            "203.0.113.0/24",
            "192.0.2.7/32",
            "::/0",
            "2001:db8::7/128",
        ] {
            let network = text.parse().unwrap();
            let key = ManagementKey { network, port: 22 };
            assert_eq!(
                management_key_back(&management_key(&key)),
                Some(key),
                "{text}"
            );
        }
    }

    #[test]
    fn steps_that_make_no_sense_are_no_list() {
        let good = |from| abi::policy_step {
            from,
            rule: from,
            ..Default::default()
        };
        assert!(list_back(&[good(0), good(7)]).is_some());
        assert!(list_back(&[]).is_none());
        assert!(list_back(&[good(1)]).is_none());
        assert!(list_back(&[good(0), good(7), good(7)]).is_none());
        assert!(list_back(&[good(0), good(0x0100_0000)]).is_none());
        let unknown = abi::policy_step {
            verdict: 4,
            ..good(0)
        };
        assert!(list_back(&[unknown]).is_none());
    }

    #[test]
    fn indexes_of_identities_do_not_meet_between_slots() {
        let last = identity_index(Slot::A, IdentityNumber::LAST_ENDPOINT);
        assert_eq!(identity_index(Slot::B, IdentityNumber(0)), last + 1);
        assert_eq!(
            identity_index_back(last + 3),
            Some((Slot::B, IdentityNumber(2)))
        );
        assert_eq!(identity_index_back((last + 1) * 2), None);
    }
}
