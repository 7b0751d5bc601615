//! Packets as parts of a conversation: most of them make sense where they stand, so that deep states are
//! reached; some do not.

use std::net::IpAddr;

use super::bytes::{Fragment, Packet, Payload};
use super::host::{GATEWAY_MAC, PLACES, Place, UPLINK};
use super::link;
use super::recipe::Recipe;
use crate::harness::kernel::TICK;
use crate::harness::trace::{Hex, Mark, Step};

/// Who speaks.
#[derive(Clone, Copy)]
enum Who {
    Endpoint(&'static Place),
    Host,
    World,
}

/// What was sent before.
#[derive(Clone)]
struct Said {
    from: Who,
    to: Who,
    packet: Packet,
}

#[derive(Default)]
pub struct Talk {
    said: Vec<Said>,
}

const HOST_V4: [&str; 3] = ["172.17.0.1", "172.18.0.1", "198.51.100.7"];
const HOST_V6: [&str; 3] = ["fd00:17::1", "fd00:18::1", "fe80::1"];
const WORLD_V4: [&str; 8] = [
    "203.0.113.9",
    "203.0.113.70",
    "203.0.112.1",
    "10.1.2.3",
    "192.168.77.5",
    "8.8.8.8",
    "100.64.0.1",
    "169.254.1.1",
];
const WORLD_V6: [&str; 5] = [
    "2001:db8:113::9",
    "2001:db8:1::5",
    "fd77::5",
    "2600::1",
    "fe80::9",
];
const GROUPS_V4: [&str; 5] = [
    "224.0.0.251",
    "255.255.255.255",
    "239.1.2.3",
    "224.0.0.1",
    "172.17.255.255",
];
const GROUPS_V6: [&str; 4] = ["ff02::fb", "ff05::2", "ff0e::1", "ff02::1"];
/// What must not be on a wire, and what is somebody else's.
const ODD_V4: [&str; 8] = [
    "127.0.0.1",
    "0.0.0.0",
    "240.0.0.1",
    "224.0.0.5",
    "255.255.255.255",
    "172.17.0.2",
    "172.18.0.18",
    "0.1.2.3",
];
const ODD_V6: [&str; 9] = [
    "::1",
    "::",
    "::ffff:10.0.0.1",
    "ff01::1",
    "ff00::1",
    "fd00:17::2",
    "::10.0.0.1",
    "fe80::1",
    "fec0::1",
];

const PORTS: [u16; 16] = [
    80, 443, 53, 8000, 8050, 8100, 8101, 79, 1, 0, 3868, 65535, 67, 547, 68, 546,
];
const CLIENT_PORTS: [u16; 6] = [40000, 40001, 80, 53, 67, 547];
const ICMP_TYPES_V4: [u8; 14] = [8, 0, 13, 14, 17, 18, 5, 3, 11, 12, 4, 9, 15, 255];
const ICMP_TYPES_V6: [u8; 14] = [128, 129, 1, 2, 3, 4, 130, 131, 133, 134, 135, 136, 137, 0];
const FLAGS: [u8; 20] = [
    0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x01, 0x00, 0x03, 0x29, 0x3f, 0x06, 0x30, 0x22, 0xc2,
    0x31, 0x20, 0x13, 0x0a,
];
/// What follows a SYN in an honest connection, and what ends it.
const ANSWERS: [u8; 6] = [0x12, 0x10, 0x18, 0x11, 0x14, 0x02];
const PROTOCOLS: [u8; 8] = [47, 50, 41, 4, 136, 59, 2, 255];

impl Talk {
    /// What a recipe says next.
    pub fn next(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        match recipe.below(29) {
            0..=6 => self.open(recipe),
            7..=12 => self.answer(recipe),
            13..=15 => self.again(recipe),
            16..=18 => self.error(recipe),
            19 => link::arp(recipe),
            20 => link::neighbour_discovery(recipe),
            21 => link::membership(recipe),
            22 => self.fragments(recipe),
            23 => self.extended(recipe),
            24..=26 => self.mutated(recipe),
            27 => self.reset(recipe),
            _ => link::noise(recipe),
        }
    }

    fn open(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let said = opening(recipe);
        self.say(said, recipe)
    }

    fn earlier(&self, recipe: &mut Recipe<'_>) -> Said {
        // Lately said things are more likely to be alive.
        let back = match recipe.one_in(4) {
            false => recipe.below(6),
            true => recipe.below(self.said.len()),
        };
        match self.said.len().checked_sub(1 + back) {
            Some(index) => self.said[index].clone(),
            None => opening(recipe),
        }
    }

    fn answer(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let Said { from, to, packet } = self.earlier(recipe);
        let flags = if recipe.one_in(6) {
            recipe.pick(&FLAGS)
        } else {
            recipe.pick(&ANSWERS)
        };
        let packet = Packet {
            source: packet.destination,
            destination: packet.source,
            payload: packet.payload.answer(packet.is_v6(), flags),
            ..packet
        };
        self.say(
            Said {
                from: to,
                to: from,
                packet,
            },
            recipe,
        )
    }

    fn again(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let mut said = self.earlier(recipe);
        match &mut said.packet.payload {
            Payload::Tcp(.., flags) if !recipe.one_in(4) => *flags = recipe.pick(&ANSWERS),
            Payload::Tcp(.., flags) => *flags = recipe.pick(&FLAGS),
            Payload::Icmp(_, code, ..) => *code = recipe.pick(&[0, 1, 4]),
            _ => {}
        }
        self.say(said, recipe)
    }

    /// A TCP connection is reset from one end, and some time later one of the ends has not noticed.
    fn reset(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let said = self.earlier(recipe);
        let Payload::Tcp(source, destination, _) = said.packet.payload else {
            return self.say(said, recipe);
        };
        let segment = |flags, back| {
            let there = Packet {
                payload: Payload::Tcp(source, destination, flags),
                ..said.packet.clone()
            };
            let answer = Packet {
                source: there.destination,
                destination: there.source,
                payload: there.payload.answer(there.is_v6(), flags),
                ..there.clone()
            };
            let (from, to, packet) = match back {
                true => (said.to, said.from, answer),
                false => (said.from, said.to, there),
            };
            Said { from, to, packet }
        };
        let mut all = steps(&segment(0x04, recipe.one_in(2)), recipe);
        for _ in 0..=recipe.below(3) {
            if recipe.one_in(2) {
                all.push(Step::Wait(TICK * (1 + recipe.below(2) as u64)));
            }
            let flags = recipe.pick(&[0x10, 0x10, 0x18, 0x11, 0x02, 0x04]);
            all.extend(steps(&segment(flags, recipe.one_in(2)), recipe));
        }
        all
    }

    /// An error about something that was said, from the other end, a router, or anybody.
    fn error(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let said = self.earlier(recipe);
        let v6 = said.packet.is_v6();
        let quoted = match recipe.one_in(8) {
            false => said.packet.clone(),
            true => {
                // The connection's other direction, or a forgery.
                let mut forged = said.packet.clone();
                std::mem::swap(&mut forged.source, &mut forged.destination);
                if recipe.one_in(2) {
                    forged.payload = forged.payload.answer(v6, 0x10);
                }
                forged
            }
        };
        let mut bytes = quoted.bytes();
        let keep = match recipe.one_in(3) {
            false => bytes.len(),
            true => recipe.below(bytes.len() + 1),
        };
        bytes.truncate(keep);
        if recipe.one_in(10) {
            mutate(&mut bytes, recipe);
        }
        let kinds: &[(u8, u8)] = if v6 {
            &[(2, 0), (1, 4), (3, 0), (4, 1), (1, 0)]
        } else {
            &[(3, 4), (3, 3), (11, 0), (12, 0), (3, 1)]
        };
        let padding = match recipe.one_in(12) {
            false => Vec::new(),
            true => bytes.split_off(recipe.below(bytes.len() + 1)),
        };
        let (kind, code) = recipe.pick(kinds);
        let (from, source) = match recipe.below(4) {
            0 => (said.to, said.packet.destination),
            1 => (Who::World, outside(recipe, v6)),
            2 => (Who::Host, of_host(recipe, v6)),
            _ => someone(recipe, v6),
        };
        let (to, destination) = match recipe.below(16) {
            0 | 1 => someone(recipe, v6),
            2 => (someone(recipe, v6).0, said.packet.source), // to the wrong one
            _ => (said.from, said.packet.source),
        };
        let packet = Packet {
            source,
            destination,
            payload: Payload::Icmp(kind, code, 0, bytes),
            padding,
            ..plain(source, destination)
        };
        self.say(Said { from, to, packet }, recipe)
    }

    /// A packet in parts, in order or not, whole or not.
    fn fragments(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let whole = self.earlier(recipe);
        let id = u16::from(recipe.byte() % 4);
        let mut all = Vec::new();
        for part in 0..=recipe.below(4) {
            let mut said = whole.clone();
            let packet = &mut said.packet;
            let first = part == 0 && !recipe.one_in(4);
            let offset = match first {
                true => 0,
                false => recipe.pick(&[8, 16, 24, 1480, 65528, 65480, 40, 0]),
            };
            let more = !recipe.one_in(3);
            packet.fragment = Some(Fragment { id, offset, more });
            if first && more {
                pad(packet);
            } else if !first {
                let protocol = packet.payload.protocol(packet.is_v6());
                let length = recipe.pick(&[16, 8, 24, 7, 0, 48]);
                packet.payload = Payload::Other(protocol, vec![0x5a; length]);
            }
            all.extend(steps(&said, recipe));
        }
        all
    }

    /// With IPv4 options or IPv6 extension headers.
    fn extended(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let mut said = self.earlier(recipe);
        for _ in 0..=recipe.below(8) {
            let options: &[&[u8]] = &[
                &[1, 1, 1, 0],
                &[7, 3, 4, 0],
                &[131, 3, 4, 0],
                &[148, 4, 0, 0],
                &[68, 0, 0, 0],
                &[1, 137, 3, 4],
                &[1, 1, 1, 7],
                &[68, 9, 0, 0],
            ];
            let option = options[recipe.below(options.len())];
            if said.packet.options.len() < 40 {
                said.packet.options.extend(option);
            }
            let number = recipe.pick(&[60, 0, 43, 51, 44, 60, 135, 60]);
            let mut rest = vec![0; 7];
            if recipe.one_in(4) {
                rest[0] = recipe.byte() % 4;
                rest.extend(vec![
                    0;
                    usize::from(rest[0]) * if number == 51 { 4 } else { 8 }
                ]);
            }
            if number == 43 {
                rest[1] = recipe.pick(&[4, 0, 2]);
                rest[2] = u8::from(recipe.one_in(3));
            }
            if number == 51 {
                rest[0] = rest[0].max(1);
                rest.resize((usize::from(rest[0]) + 2) * 4 - 1, 0);
            }
            said.packet.extensions.push((number, rest));
        }
        if recipe.one_in(4) {
            said.packet.hop_limit = recipe.byte();
        }
        self.say(said, recipe)
    }

    fn mutated(&mut self, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let said = self.earlier(recipe);
        let mut steps = steps(&said, recipe);
        let change = recipe.clone();
        for step in &mut steps {
            if let Step::Send { frame, .. } | Step::Receive { frame, .. } = step {
                mutate(&mut frame.0, &mut change.clone());
            }
        }
        steps
    }

    fn say(&mut self, said: Said, recipe: &mut Recipe<'_>) -> Vec<Step> {
        let steps = steps(&said, recipe);
        self.said.push(said);
        steps
    }
}

/// A connection to be.
fn opening(recipe: &mut Recipe<'_>) -> Said {
    let v6 = recipe.one_in(2);
    let (from, source) = match recipe.below(6) {
        0..=3 => endpoint(recipe, v6),
        4 => (Who::World, outside(recipe, v6)),
        _ => (Who::Host, of_host(recipe, v6)),
    };
    let (to, destination) = match recipe.below(8) {
        0..=4 => endpoint(recipe, v6),
        5 => (Who::World, outside(recipe, v6)),
        6 => (Who::Host, of_host(recipe, v6)),
        _ => (Who::World, group(recipe, v6)),
    };
    let client = recipe.pick(&CLIENT_PORTS);
    let server = recipe.pick(&PORTS);
    let payload = match recipe.below(8) {
        0..=2 => Payload::Tcp(client, server, 0x02),
        3 => Payload::Udp(client, server),
        4 => {
            let types = if v6 { ICMP_TYPES_V6 } else { ICMP_TYPES_V4 };
            let kind = recipe.pick(&types);
            let code = recipe.pick(&[0, 0, 1, 4]);
            Payload::Icmp(kind, code, u16::from(recipe.byte() % 2), b"ping".to_vec())
        }
        5 => Payload::Sctp(client, server),
        6 => Payload::Tcp(client, server, recipe.pick(&FLAGS)),
        _ => {
            let protocol = recipe.pick(&PROTOCOLS);
            let kind = recipe.pick(&[0x16, 0x11, 0x12, 0x22, 0x17, 0x13]);
            Payload::Other(protocol, [vec![kind], vec![0; 15]].concat())
        }
    };
    let mut packet = Packet {
        payload,
        ..plain(source, destination)
    };
    if recipe.one_in(8) {
        packet.hop_limit = recipe.pick(&[1, 255, 0]);
    }
    if recipe.one_in(12) {
        let odd = odd(recipe, v6);
        *recipe.pick_mut(&mut packet.source, &mut packet.destination) = odd;
    }
    Said { from, to, packet }
}

impl Recipe<'_> {
    fn pick_mut<'t, T>(&mut self, one: &'t mut T, other: &'t mut T) -> &'t mut T {
        if self.one_in(2) { one } else { other }
    }
}

fn plain(source: IpAddr, destination: IpAddr) -> Packet {
    Packet {
        source,
        destination,
        hop_limit: 64,
        options: Vec::new(),
        extensions: Vec::new(),
        fragment: None,
        payload: Payload::Udp(0, 0),
        padding: Vec::new(),
    }
}

/// A whole number of eight bytes, as all fragments but the last must have.
fn pad(packet: &mut Packet) {
    if let Payload::Icmp(.., data) = &mut packet.payload {
        data.resize(data.len().next_multiple_of(8), 0);
    } else if let Payload::Tcp(source, destination, flags) = packet.payload {
        let mut bytes = Packet {
            payload: Payload::Tcp(source, destination, flags),
            ..packet.clone()
        }
        .bytes();
        let start = bytes.len() - 20;
        bytes.drain(..start);
        bytes.extend([0; 4]);
        packet.payload = Payload::Other(6, bytes);
    }
}

fn parse(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn one_of<const V4: usize, const V6: usize>(
    recipe: &mut Recipe<'_>,
    v6: bool,
    four: &[&'static str; V4],
    six: &[&'static str; V6],
) -> IpAddr {
    parse(if v6 {
        recipe.pick(six)
    } else {
        recipe.pick(four)
    })
}

fn outside(recipe: &mut Recipe<'_>, v6: bool) -> IpAddr {
    one_of(recipe, v6, &WORLD_V4, &WORLD_V6)
}

fn of_host(recipe: &mut Recipe<'_>, v6: bool) -> IpAddr {
    one_of(recipe, v6, &HOST_V4, &HOST_V6)
}

fn group(recipe: &mut Recipe<'_>, v6: bool) -> IpAddr {
    one_of(recipe, v6, &GROUPS_V4, &GROUPS_V6)
}

fn odd(recipe: &mut Recipe<'_>, v6: bool) -> IpAddr {
    one_of(recipe, v6, &ODD_V4, &ODD_V6)
}

/// An endpoint, by one of its addresses; the first two are more often there than others.
fn endpoint(recipe: &mut Recipe<'_>, v6: bool) -> (Who, IpAddr) {
    let which = if recipe.one_in(2) {
        recipe.below(PLACES.len())
    } else {
        recipe.below(3)
    };
    let place = &PLACES[which];
    let link_local = v6 && recipe.one_in(8);
    let which = if recipe.one_in(8) {
        recipe.below(16)
    } else {
        0
    };
    let address = match place.address(v6, which) {
        Some(address) if !link_local => address,
        _ if v6 => place.link_local().into(),
        _ => parse("172.17.0.2"),
    };
    (Who::Endpoint(place), address)
}

fn someone(recipe: &mut Recipe<'_>, v6: bool) -> (Who, IpAddr) {
    match recipe.below(4) {
        0 | 1 => endpoint(recipe, v6),
        2 => (Who::Host, of_host(recipe, v6)),
        _ => (Who::World, outside(recipe, v6)),
    }
}

fn mac(who: Who) -> [u8; 6] {
    match who {
        Who::Endpoint(place) => place.mac,
        Who::Host | Who::World => GATEWAY_MAC,
    }
}

/// The MAC address that a packet goes to on its way out.
fn next_hop(said: &Said, on_one_bridge: bool) -> [u8; 6] {
    match said.packet.destination {
        IpAddr::V4(address) if address.is_multicast() => {
            let [_, b, c, d] = address.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V4(address) if address.octets()[3] == 255 => [0xff; 6],
        IpAddr::V6(address) if address.is_multicast() => {
            let octets = address.octets();
            [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
        }
        _ if on_one_bridge => mac(said.to),
        _ => GATEWAY_MAC,
    }
}

/// Through the sender's hook, where it has one, and the receiver's, where it has one.
fn steps(said: &Said, recipe: &mut Recipe<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let beside = match (said.from, said.to) {
        (Who::Endpoint(from), Who::Endpoint(to)) => from.is_beside(to),
        _ => false,
    };
    let mut packet = said.packet.clone();
    let mut mark = Mark::Given(0);
    let mut ingress = 0;
    match said.from {
        Who::Endpoint(place) => {
            let to = match recipe.one_in(40) {
                false => next_hop(said, beside),
                true => [0xff; 6],
            };
            let frame = packet.frame(place.mac, to);
            let endpoint = place.number;
            let frame = Hex(frame);
            steps.push(Step::Send { endpoint, frame });
            mark = Mark::Carried;
            ingress = place.ifindex();
        }
        Who::World => ingress = UPLINK,
        Who::Host if recipe.one_in(4) => {
            // An endpoint's answer through a published port, translated back; or a forgery.
            mark = Mark::Given(recipe.below(4) as u16);
            ingress = UPLINK;
        }
        Who::Host => {}
    }
    let receiver = match said.to {
        Who::Endpoint(place) => Some(place),
        // Groups reach everybody on the bridge.
        _ if recipe.one_in(6) => Some(&PLACES[recipe.below(PLACES.len())]),
        _ => None,
    };
    let Some(place) = receiver else {
        return steps;
    };
    if recipe.one_in(12) {
        // Masqueraded on its way.
        packet.source = of_host(recipe, packet.is_v6());
    }
    if recipe.one_in(20) {
        let number = recipe.below(10) as u16;
        mark = Mark::Given(number | if recipe.one_in(3) { 0x8000 } else { 0 });
    }
    if recipe.one_in(20) {
        ingress = recipe.pick(&[0, UPLINK]);
    }
    let to = match next_hop(said, true) {
        group if group[0] & 1 == 1 => group,
        _ if recipe.one_in(40) => GATEWAY_MAC,
        _ => place.mac,
    };
    let from = if beside { mac(said.from) } else { GATEWAY_MAC };
    steps.push(Step::Receive {
        endpoint: place.number,
        frame: Hex(packet.frame(from, to)),
        mark,
        ingress,
    });
    steps
}

/// Changes some bytes, or the length.
pub fn mutate(bytes: &mut Vec<u8>, recipe: &mut Recipe<'_>) {
    for _ in 0..=recipe.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = recipe.below(bytes.len());
        match recipe.below(4) {
            0 => bytes[at] ^= 1 << recipe.below(8),
            1 => bytes[at] = recipe.byte(),
            2 => bytes.truncate(at),
            _ => bytes.extend(vec![recipe.byte(); recipe.below(24)]),
        }
    }
}
