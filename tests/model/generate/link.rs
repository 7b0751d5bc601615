//! What keeps a link running, said rightly and wrongly, and bytes that mean nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{Packet, Payload, ethernet};
use super::host::{GATEWAY_MAC, PLACES, Place};
use super::recipe::Recipe;
use super::talk::mutate;
use crate::harness::trace::{Hex, Mark, Step};

/// At the sender's hook; sometimes at a receiver's.
fn at_hooks(place: &Place, mut frame: Vec<u8>, recipe: &mut Recipe<'_>) -> Vec<Step> {
    if recipe.one_in(4) {
        mutate(&mut frame, recipe);
    }
    let mut steps = vec![Step::Send {
        endpoint: place.number,
        frame: Hex(frame.clone()),
    }];
    if recipe.one_in(2) {
        steps.push(Step::Receive {
            endpoint: PLACES[recipe.below(PLACES.len())].number,
            frame: Hex(frame),
            mark: if recipe.one_in(4) {
                Mark::Given(0)
            } else {
                Mark::Carried
            },
            ingress: place.ifindex(),
        });
    }
    steps
}

fn somebody(recipe: &mut Recipe<'_>) -> &'static Place {
    &PLACES[recipe.below(PLACES.len())]
}

fn v4(recipe: &mut Recipe<'_>, place: &Place) -> Ipv4Addr {
    match recipe.below(4) {
        0 => match place.address(false, 0) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        },
        1 => Ipv4Addr::UNSPECIFIED,
        2 => Ipv4Addr::new(172, 17, 0, 1),
        _ => Ipv4Addr::new(172, 17, 0, recipe.byte() % 8),
    }
}

fn v6(recipe: &mut Recipe<'_>, place: &Place) -> Ipv6Addr {
    match recipe.below(6) {
        0 => place.link_local(),
        1 | 2 => match place.address(true, 0) {
            Some(IpAddr::V6(address)) => address,
            _ => Ipv6Addr::UNSPECIFIED,
        },
        3 => Ipv6Addr::UNSPECIFIED,
        4 => PLACES[recipe.below(PLACES.len())].link_local(),
        _ => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    }
}

pub fn arp(recipe: &mut Recipe<'_>) -> Vec<Step> {
    let place = somebody(recipe);
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, recipe.pick(&[1, 2, 1, 3])];
    bytes.extend(if recipe.one_in(6) {
        GATEWAY_MAC
    } else {
        place.mac
    });
    bytes.extend(v4(recipe, place).octets());
    bytes.extend([0; 6]);
    bytes.extend(v4(recipe, place).octets());
    let frame = ethernet(place.mac, [0xff; 6], 0x0806, &bytes);
    at_hooks(place, frame, recipe)
}

pub fn neighbour_discovery(recipe: &mut Recipe<'_>) -> Vec<Step> {
    let place = somebody(recipe);
    let kind = recipe.pick(&[135, 136, 133, 134, 137]);
    let (source, target) = (v6(recipe, place), v6(recipe, place));
    let mut data = Vec::new();
    if matches!(kind, 135..=137) {
        data.extend(target.octets());
    }
    for _ in 0..recipe.below(4) {
        let length = recipe.pick(&[1, 1, 1, 0, 2]);
        data.extend([recipe.pick(&[1, 2, 14, 5]), length]);
        data.extend(if recipe.one_in(5) {
            GATEWAY_MAC
        } else {
            place.mac
        });
        data.extend(vec![0; usize::from(length).saturating_sub(1) * 8]);
    }
    let t = target.octets();
    let group = [
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, t[13], t[14], t[15],
    ];
    let destination = if recipe.one_in(3) {
        v6(recipe, place)
    } else {
        group.into()
    };
    let packet = Packet {
        source: source.into(),
        destination: destination.into(),
        hop_limit: if recipe.one_in(8) { 64 } else { 255 },
        options: Vec::new(),
        extensions: Vec::new(),
        fragment: None,
        payload: Payload::Icmp(kind, u8::from(recipe.one_in(12)), 0, data),
        padding: Vec::new(),
    };
    let frame = packet.frame(place.mac, [0x33, 0x33, 0xff, t[13], t[14], t[15]]);
    at_hooks(place, frame, recipe)
}

/// MLD behind its router alert, and IGMP.
pub fn membership(recipe: &mut Recipe<'_>) -> Vec<Step> {
    let place = somebody(recipe);
    let to = [0x33, 0x33, 0, 0, 0, 0x16];
    if recipe.one_in(2) {
        let kind = recipe.pick(&[0x16, 0x11, 0x12, 0x22, 0x17, 0x13]);
        let packet = Packet {
            source: v4(recipe, place).into(),
            destination: recipe
                .pick(&[Ipv4Addr::new(224, 0, 0, 22), Ipv4Addr::new(8, 8, 8, 8)])
                .into(),
            hop_limit: recipe.pick(&[1, 1, 64]),
            options: vec![148, 4, 0, 0],
            extensions: Vec::new(),
            fragment: None,
            payload: Payload::Other(2, vec![kind, 0, 0, 0, 0, 0, 0, 0]),
            padding: Vec::new(),
        };
        return at_hooks(
            place,
            packet.frame(place.mac, [1, 0, 0x5e, 0, 0, 22]),
            recipe,
        );
    }
    let kind = recipe.pick(&[143, 131, 130, 132, 128]);
    let alert = recipe.pick(&[[5, 2, 0, 0, 1, 0], [1, 0, 5, 2, 0, 0], [0; 6]]);
    let options = [vec![0], alert.to_vec()].concat();
    let packet = Packet {
        source: v6(recipe, place).into(),
        destination: v6(recipe, place).into(),
        hop_limit: recipe.pick(&[1, 1, 64]),
        options: Vec::new(),
        extensions: vec![(if recipe.one_in(8) { 60 } else { 0 }, options)],
        fragment: None,
        payload: Payload::Icmp(kind, 0, 0, vec![0; 16]),
        padding: Vec::new(),
    };
    at_hooks(place, packet.frame(place.mac, to), recipe)
}

/// Tags, other EtherTypes, and bytes that mean nothing.
pub fn noise(recipe: &mut Recipe<'_>) -> Vec<Step> {
    let place = somebody(recipe);
    let kind = recipe.pick(&[
        0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x88cc, 0x0004, 0x8847, 0x8864,
    ]);
    let length = recipe.below(120);
    let mut bytes = vec![if kind == 0x86dd { 0x60 } else { 0x45 }];
    let (seed, step) = (recipe.byte(), recipe.byte());
    bytes.extend((0..length).map(|at| seed.wrapping_mul(at as u8 ^ step).rotate_left(3)));
    if recipe.one_in(2) && bytes.len() > 40 {
        // Past the first two questions: length and sender.
        match (kind, place.address(kind == 0x86dd, 0)) {
            (0x0800, Some(IpAddr::V4(own))) => bytes[12..16].copy_from_slice(&own.octets()),
            (0x86dd, Some(IpAddr::V6(own))) => bytes[8..24].copy_from_slice(&own.octets()),
            _ => {}
        }
        let total = (bytes.len() - if kind == 0x86dd { 40 } else { 0 }) as u16;
        let at = if kind == 0x86dd { 4 } else { 2 };
        bytes[at..at + 2].copy_from_slice(&total.to_be_bytes());
    }
    let from = if recipe.one_in(8) {
        GATEWAY_MAC
    } else {
        place.mac
    };
    at_hooks(place, ethernet(from, GATEWAY_MAC, kind, &bytes), recipe)
}
