//! One frame at one hook: all of the model in its order.

use std::collections::HashMap;
use std::net::IpAddr;

use bridgewall::inventory::model::{Endpoint, Inventory};
use bridgewall::state::numbers::EndpointNumber;

use super::Reason;
use super::connections::{Connections, End, Opening, Timeouts, is_icmp_answer, is_syn, may_open};
use super::fragments::{Fragments, Keeper};
use super::frame::{self, ARP, Headers, Kind, check_addresses, is_link_local};
use super::link;
use super::neighbour;
use super::peers::Party;
use super::policy::{Policy, Side};
use super::sender::{self, Own};
use super::sides::{Judgement, Verdict};
use super::told::{Answer, Said, Spoken, passed, refused, spoken};
use super::traffic::{Request, SCTP, TCP, UDP};
use super::transport::{is_error, question};

mod errors;
mod upkeep;

use upkeep::Claims;

/// In the packet mark: judged on both sides, for the receiver whose number it carries.
pub const JUDGED: u16 = 0x8000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    From,
    To,
}

/// The host as the model knows it.
#[derive(Debug)]
pub struct Firewall {
    policy: Policy,
    inventory: Inventory,
    /// What each endpoint may send from, by its number; nothing until it is known whose it is.
    own: HashMap<u32, Own>,
    /// Whose address it is on this host: an endpoint's number, 0 for the host itself. Link-local ones
    /// belong to a link.
    owners: HashMap<(IpAddr, u32), u32>,
    /// Ports of the host that lead to an endpoint's: by address (the unspecified one: by any of its
    /// family), protocol and port.
    published: HashMap<(IpAddr, u8, u16), (u32, u16)>,
    /// Raised by each change of policy or inventory.
    generation: u64,
    /// In seconds.
    now: u64,
    /// Whether allowed new connections are reported, too.
    observed: bool,
    timeouts: Timeouts,
    connections: Connections,
    fragments: Fragments,
}

/// One packet at one hook, and what was said of it.
struct Case<'h> {
    hook: Hook,
    endpoint: u32,
    link: u32,
    /// As it arrives, and the interface it came in by.
    mark: u16,
    ingress: u32,
    headers: &'h Headers,
    said: Said,
}

impl Firewall {
    pub fn new(policy: Policy, inventory: Inventory, timeouts: Timeouts, observed: bool) -> Self {
        let mut firewall = Self {
            policy,
            inventory: Inventory::default(),
            own: HashMap::new(),
            owners: HashMap::new(),
            published: HashMap::new(),
            generation: 0,
            now: 0,
            observed,
            timeouts,
            connections: Connections::default(),
            fragments: Fragments::default(),
        };
        firewall.take_inventory(inventory, true);
        firewall
    }

    pub fn take_policy(&mut self, policy: Policy, judge_again: bool) {
        self.policy = policy;
        self.generation += u64::from(judge_again);
    }

    /// `judge_again`: something that connections were judged by is not as it was.
    pub fn take_inventory(&mut self, inventory: Inventory, judge_again: bool) {
        self.owners.clear();
        self.published.clear();
        self.own.clear();
        // "Whoever takes the host's address is not the host."
        for host in &inventory.host_addresses {
            self.owners.insert(home(host.address, host.ifindex), 0);
        }
        for (number, endpoint) in &inventory.endpoints {
            let Some(owner) = &endpoint.owner else {
                continue;
            };
            let own = Own::of(owner);
            for address in own.addresses() {
                let home = home(address, link_of(endpoint));
                self.owners.entry(home).or_insert(number.0);
            }
            self.own.insert(number.0, own);
            for port in &owner.published {
                let door = (port.address, port.protocol, port.host_port);
                self.published.entry(door).or_insert((number.0, port.port));
            }
        }
        self.inventory = inventory;
        self.generation += u64::from(judge_again);
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now += seconds;
    }

    /// What `endpoint` sends.
    pub fn sent(&mut self, endpoint: u32, frame: &[u8]) -> Answer {
        let link = link_of(&self.inventory.endpoints[&EndpointNumber(endpoint)]);
        if let Err(reason) = sender::check_sent(self.own.get(&endpoint), frame) {
            return refused(reason);
        }
        if frame::kind(frame) == ARP {
            return passed(endpoint as u16);
        }
        let kept = Keeper::Sender(endpoint);
        self.examine(frame, kept, |firewall, headers| {
            link::check_authority(headers)?;
            firewall.check_discovery(headers, link)?;
            if link::is_sent_upkeep(headers) {
                return Ok(passed(endpoint as u16));
            }
            check_addresses(headers)?;
            let case = Case {
                hook: Hook::From,
                endpoint,
                link,
                mark: 0,
                ingress: 0,
                headers,
                said: Said::default(),
            };
            Ok(firewall.answer(case, frame))
        })
    }

    /// What reaches `endpoint` with a mark, after it came in by an interface (0: by none).
    pub fn received(&mut self, endpoint: u32, frame: &[u8], mark: u16, ingress: u32) -> Answer {
        let link = link_of(&self.inventory.endpoints[&EndpointNumber(endpoint)]);
        if let Err(reason) = sender::check_received(self.own.get(&endpoint), frame) {
            return refused(reason);
        }
        if mark & JUDGED != 0 {
            let for_this_one = u32::from(mark & !JUDGED) == endpoint;
            return if for_this_one {
                passed(mark)
            } else {
                refused(Reason::DROP_MARK)
            };
        }
        let claims = Claims {
            link,
            mark,
            ingress,
        };
        if matches!(frame::read(frame), Ok(Kind::Arp)) {
            return match neighbour::arp_sender(frame) {
                Err(reason) => refused(reason),
                Ok(sender) if self.may_speak_for(&claims, sender.into()) => passed(mark),
                Ok(_) => refused(Reason::DROP_ARP),
            };
        }
        let kept = match mark {
            0 => Keeper::Receiver(endpoint),
            sender => Keeper::Sender(sender.into()),
        };
        self.examine(frame, kept, |firewall, headers| {
            let upkeep = link::is_received_upkeep(headers);
            if link::is_neighbour_discovery(headers) {
                if !upkeep {
                    return Err(Reason::DROP_NEIGHBOUR_DISCOVERY);
                }
                firewall.check_claims(&claims, headers, frame)?;
            }
            if upkeep {
                return Ok(passed(mark));
            }
            check_addresses(headers)?;
            let case = Case {
                hook: Hook::To,
                endpoint,
                link,
                mark,
                ingress,
                headers,
                said: Said::default(),
            };
            let answer = firewall.answer(case, frame);
            // Only a sender's hook marks.
            Ok(Answer {
                outcome: answer.outcome.map(|_| mark),
                ..answer
            })
        })
    }

    /// From the bytes to the headers, those of fragments included.
    fn examine(
        &mut self,
        frame: &[u8],
        kept: Keeper,
        judge: impl FnOnce(&mut Self, &Headers) -> Result<Answer, Reason>,
    ) -> Answer {
        let read = frame::read(frame).and_then(|kind| match kind {
            Kind::Arp => unreachable!("ARP was seen to before"),
            Kind::Packet(mut headers) => {
                self.fragments.follow(&mut headers, kept, self.now)?;
                Ok(headers)
            }
        });
        read.and_then(|headers| judge(self, &headers))
            .unwrap_or_else(refused)
    }

    fn answer(&mut self, mut case: Case<'_>, frame: &[u8]) -> Answer {
        let outcome = self.judge(&mut case, frame);
        case.said.answer(outcome, self.observed)
    }

    fn judge(&mut self, case: &mut Case<'_>, frame: &[u8]) -> Result<u16, Reason> {
        let headers = case.headers;
        let asks = question(headers).is_some();
        if is_error(headers) && self.quotes_live_flow(case, frame)? {
            return Ok(case.endpoint as u16);
        }
        // "The sender's hook asks the sender's egress, and the host's ingress; each receiver's hook
        // asks the receiver's ingress."
        if headers.group {
            let sides: &[Side] = match case.hook {
                Hook::From => &[Side::Egress, Side::Ingress],
                Hook::To => &[Side::Ingress],
            };
            return self.judge_alone(case, sides);
        }
        // What has no identifier belongs to no connection.
        if headers.is_icmp() && !asks {
            return self.judge_alone(case, &[Side::Egress, Side::Ingress]);
        }
        self.judge_connection(case)
    }

    fn judge_connection(&mut self, case: &mut Case<'_>) -> Result<u16, Reason> {
        let mut apart = is_icmp_answer(case.headers);
        match self.follow(case) {
            Following::Passed(mark) => return Ok(mark),
            Following::Refused(reason) => return Err(reason),
            Following::Apart => apart = true,
            Following::Absent => {}
        }
        if !may_open(case.headers) {
            return Err(Reason::DROP_NO_FLOW);
        }
        let (opening, mark) = self.judge_request(case, &[Side::Egress, Side::Ingress])?;
        if !apart {
            let time = (self.generation, self.now);
            self.connections
                .open(case.headers, case.link, opening, time);
        }
        case.said.event = true;
        Ok(mark)
    }

    /// What a live connection means for a packet that found it.
    fn follow(&mut self, case: &mut Case<'_>) -> Following {
        let headers = case.headers;
        let Some((found, replying)) = self.connections.find(headers, case.link) else {
            return Following::Absent;
        };
        let mut found = found.clone();
        if !case.is_party(&found.opening, replying)
            || found.has_expired(&self.timeouts, headers.protocol, self.now)
        {
            return Following::Absent;
        }
        if is_syn(headers) {
            if found.is_closing() || found.allowed_by.is_none() {
                return Following::Absent; // that one is over: this is another
            }
            if replying {
                return Following::Apart; // the target opens one of its own between the same ports
            }
        }
        // The same question with another code is another question.
        if !replying && headers.is_icmp() && headers.request() != found.opening.request {
            return Following::Apart;
        }
        // "A change of policy reaches live connections: one that is no longer allowed ends; one that
        // still is loses no packet."
        if found.allowed_by != Some(self.generation) {
            match self.judge_again(headers, case.link, &found.opening, replying) {
                Err(Changed::Parties) => return Following::Absent,
                Err(Changed::Reason(reason)) => {
                    case.said.replying = replying;
                    self.refuse(headers, case.link);
                    return Following::Refused(reason);
                }
                Ok(judged) => {
                    let verdict = judged.verdict;
                    case.said.replying = replying;
                    case.said.judged = Some(judged);
                    if let Err(reason) = by_policy(verdict) {
                        case.said.counted = true;
                        self.refuse(headers, case.link);
                        return Following::Refused(reason);
                    }
                    case.said.event = verdict == Verdict::Audit;
                }
            }
            found.allowed_by = Some(self.generation);
        }
        found.saw(headers, replying, self.now);
        let opening = &found.opening;
        let mark = match opening.same_bridge {
            true if replying => JUDGED | opening.opener.endpoint as u16,
            true => JUDGED | opening.target.endpoint as u16,
            false => case.endpoint as u16,
        };
        if let Some((connection, _)) = self.connections.find(headers, case.link) {
            *connection = found;
        }
        Following::Passed(mark)
    }

    /// "A refused TCP connection stays known as such: the other end's next segment must not pick it up
    /// the other way round."
    fn refuse(&mut self, headers: &Headers, link: u32) {
        if headers.protocol == TCP {
            if let Some((connection, _)) = self.connections.find(headers, link) {
                connection.allowed_by = None;
            }
        } else {
            self.connections.forget(headers, link);
        }
    }

    /// Is a connection still allowed to its opener, with what both ends are now? `headers` are those
    /// of any packet of it.
    fn judge_again(
        &self,
        headers: &Headers,
        link: u32,
        opening: &Opening,
        replying: bool,
    ) -> Result<Spoken, Changed> {
        let (from, to, port) = match replying {
            true => (headers.destination, headers.source, headers.source_port),
            false => (
                headers.source,
                headers.destination,
                headers.destination_port,
            ),
        };
        let from = self.still(from, link, &opening.opener)?;
        let door = (to, headers.protocol, port);
        let to = match self.behind(door, link, opening.opener.endpoint) {
            // "What leads elsewhere now is another connection."
            Some((number, port)) => {
                let now = (number, Request::Port(headers.protocol, port));
                if !opening.published || now != (opening.target.endpoint, opening.request) {
                    return Err(Changed::Parties);
                }
                self.endpoint(number).map_err(Changed::Reason)?
            }
            None if opening.published => return Err(Changed::Parties),
            None => self.still(to, link, &opening.target)?,
        };
        Ok(spoken(&self.policy.judge(from, to, opening.request)))
    }

    /// Whom a port of the host leads an endpoint to, and to which port there. "One address goes before
    /// all of them."
    fn behind(
        &self,
        (address, protocol, port): (IpAddr, u8, u16),
        link: u32,
        opener: u32,
    ) -> Option<(u32, u16)> {
        let of_host = self.owners.get(&home(address, link)) == Some(&0);
        if !of_host || opener == 0 || ![TCP, UDP, SCTP].contains(&protocol) {
            return None;
        }
        let any = match address {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let at = |address| self.published.get(&(address, protocol, port)).copied();
        at(address).or_else(|| at(any))
    }

    /// Who stands behind an address now, if that is still who the connection was judged by. A
    /// masqueraded endpoint's address is not its own.
    fn still(&self, address: IpAddr, link: u32, end: &End) -> Result<Party<'_>, Changed> {
        let party = self.who(address, link).map_err(Changed::Reason)?;
        if end.endpoint != 0 && party.endpoint() == 0 {
            return self.endpoint(end.endpoint).map_err(Changed::Reason);
        }
        if party.endpoint() != end.endpoint || party.is_host() != end.is_host {
            return Err(Changed::Parties);
        }
        Ok(party)
    }

    fn judge_alone(&mut self, case: &mut Case<'_>, sides: &[Side]) -> Result<u16, Reason> {
        let (_, mark) = self.judge_request(case, sides)?;
        case.said.event = true;
        Ok(mark)
    }

    /// The packet's own request, without regard to any connection.
    fn judge_request(&self, case: &mut Case<'_>, sides: &[Side]) -> Result<(Opening, u16), Reason> {
        let (from, mut to) = self.parties(case)?;
        let mut request = case.headers.request();
        // "What an endpoint sends to a published port is judged as what it becomes."
        let headers = case.headers;
        let door = (
            headers.destination,
            headers.protocol,
            headers.destination_port,
        );
        let sender = match case.hook {
            Hook::From => case.endpoint,
            Hook::To => 0,
        };
        let behind = self.behind(door, case.link, sender);
        if let Some((number, port)) = behind {
            to = self.endpoint(number)?;
            request = Request::Port(headers.protocol, port);
        }
        // "The host listens too, and has no hook of its own."
        let mut listener = to;
        if case.hook == Hook::From && case.headers.group {
            if !matches!(to, Party::World(_)) {
                return Err(Reason::DROP_ADDRESS); // "to one address in a frame to many"
            }
            listener = Party::Host;
        }
        let opinion = |side, to| {
            sides
                .contains(&side)
                .then(|| self.policy.opinion(side, from, to, request))
                .flatten()
        };
        let judged = spoken(&Judgement {
            egress: opinion(Side::Egress, to),
            ingress: opinion(Side::Ingress, listener),
        });
        let verdict = judged.verdict;
        case.said.judged = Some(judged);
        case.said.counted = true;
        case.said.replying = false;
        by_policy(verdict)?;
        let mut mark = case.endpoint as u16;
        // "The host is between them: the target's hook judges too."
        let straight = behind.is_none() && to.endpoint() != 0;
        if case.hook == Hook::From && sides.len() == 2 && straight {
            let receiver = &self.inventory.endpoints[&EndpointNumber(to.endpoint())];
            if receiver.bridge == Some(case.link) {
                mark = JUDGED | to.endpoint() as u16;
            }
        }
        let opening = Opening {
            opener: End::of(from),
            target: End::of(to),
            request,
            same_bridge: mark & JUDGED != 0,
            published: behind.is_some(),
        };
        Ok((opening, mark))
    }

    /// Who sends and who receives, by what this hook can prove. "A container that reaches another
    /// through the host's published port is judged as what it is; the bridge's gateway address is
    /// never taken for a trusted peer."
    fn parties(&self, case: &Case<'_>) -> Result<(Party<'_>, Party<'_>), Reason> {
        let own = self.endpoint(case.endpoint)?;
        if case.hook == Hook::From {
            return Ok((own, self.who(case.headers.destination, case.link)?));
        }
        let source = self.who(case.headers.source, case.link)?;
        let proven = u32::from(case.mark);
        let source = match source {
            Party::Endpoint(number, _) if number == proven => source,
            Party::Endpoint(..) => return Err(Reason::DROP_SOURCE_UNPROVEN),
            // Masqueraded: the address is the host's or another's, and the mark says who it is.
            _ if proven != 0 => self.endpoint(proven)?,
            // What the host sends has come in nowhere.
            Party::Host if case.ingress != 0 => return Err(Reason::DROP_SOURCE_UNPROVEN),
            source => source,
        };
        Ok((source, own))
    }

    fn endpoint(&self, number: u32) -> Result<Party<'_>, Reason> {
        let endpoint = self.inventory.endpoints.get(&EndpointNumber(number));
        let owner = endpoint.and_then(|endpoint| endpoint.owner.as_ref());
        let owner = owner.ok_or(Reason::DROP_IDENTITY_MISSING)?;
        Ok(Party::Endpoint(number, &owner.attributes))
    }

    fn who(&self, address: IpAddr, link: u32) -> Result<Party<'_>, Reason> {
        match self.owners.get(&home(address, link)) {
            None => Ok(Party::World(address)),
            Some(0) => Ok(Party::Host),
            Some(&number) => self.endpoint(number),
        }
    }
}

impl Case<'_> {
    /// "The sender's hook knows the sender, the receiver's knows itself and, by the mark, what endpoint
    /// sent it. Behind a published port a process of the host may answer for the target."
    fn is_party(&self, opening: &Opening, replying: bool) -> bool {
        let (source, destination) = match replying {
            true => (&opening.target, &opening.opener),
            false => (&opening.opener, &opening.target),
        };
        let of_host = self.mark == 0 && self.ingress == 0;
        match self.hook {
            Hook::From => source.endpoint == self.endpoint,
            Hook::To => {
                let proven = u32::from(self.mark);
                destination.endpoint == self.endpoint
                    && (source.endpoint == 0
                        || source.endpoint == proven
                        || opening.published && replying && of_host)
            }
        }
    }
}

impl End {
    fn of(party: Party<'_>) -> Self {
        Self {
            endpoint: party.endpoint(),
            is_host: party.is_host(),
        }
    }
}

enum Following {
    /// It belongs to the connection, and goes on with this mark.
    Passed(u16),
    /// The connection is no longer allowed.
    Refused(Reason),
    /// The connection lives, but the packet asks for something of its own.
    Apart,
    /// There is none, or none any more.
    Absent,
}

enum Changed {
    /// Its ends are others than when it was judged.
    Parties,
    Reason(Reason),
}

fn by_policy(verdict: Verdict) -> Result<(), Reason> {
    match verdict {
        Verdict::Allow | Verdict::Audit => Ok(()),
        Verdict::Drop => Err(Reason::DROP_POLICY_DEFAULT),
        Verdict::Deny => Err(Reason::DROP_POLICY_DENY),
    }
}

fn link_of(endpoint: &Endpoint) -> u32 {
    endpoint.bridge.unwrap_or(endpoint.ifindex)
}

fn home(address: IpAddr, link: u32) -> (IpAddr, u32) {
    (address, if is_link_local(address) { link } else { 0 })
}
