//! The model against the compiler's own answers: `Compiled::judge`, and `explain`, which people are
//! shown.

use std::net::IpAddr;

use bridgewall::compile::compile;
use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::explain::{Answer, Stage, Who};
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::inventory::model::Inventory;
use bridgewall::policy::model::{Peer, Side as CompiledSide, TestPeer};
use bridgewall::policy::question::Kind;
use bridgewall::policy::traffic::Selector;
use bridgewall::state::numbers::IdentityNumber;
use bridgewall::state::steps::{Step, Verdict as CompiledVerdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::design::peers::Party;
use crate::design::policy::{Policy, Side};
use crate::design::sides::{Opinion, Verdict};
use crate::design::traffic::Request;
use crate::generate::{host, policy};
use crate::harness::compare::read_policy;

/// What is asked for, as a person writes it, and as the model has it.
const QUESTIONS: [(Kind, &str, Request); 14] = [
    (Kind::Port, "80/tcp", Request::Port(6, 80)),
    (Kind::Port, "79", Request::Port(6, 79)),
    (Kind::Port, "443", Request::Port(6, 443)),
    (Kind::Port, "8050/tcp", Request::Port(6, 8050)),
    (Kind::Port, "65535/tcp", Request::Port(6, 65535)),
    (Kind::Port, "53/udp", Request::Port(17, 53)),
    (Kind::Port, "8000/udp", Request::Port(17, 8000)),
    (Kind::Port, "8101/udp", Request::Port(17, 8101)),
    (Kind::Port, "3868/sctp", Request::Port(132, 3868)),
    (Kind::Icmp, "ipv4:0/0", Request::Icmp(1, 0, 0)),
    (Kind::Icmp, "ipv4:3/4", Request::Icmp(1, 3, 4)),
    (Kind::Icmp, "ipv6:128/0", Request::Icmp(58, 128, 0)),
    (Kind::Protocol, "gre", Request::Protocol(47)),
    (Kind::Protocol, "253", Request::Protocol(253)),
];

const OUTSIDE: [&str; 9] = [
    "203.0.113.9",
    "203.0.113.70",
    "10.1.2.3",
    "192.168.77.5",
    "8.8.8.8",
    "224.0.0.251",
    "2001:db8:113::9",
    "2001:db8:1::5",
    "fd77::5",
];

/// Somebody, as the model, the kernel and a person would call them.
struct Asked<'a> {
    party: Party<'a>,
    number: IdentityNumber,
    who: Who,
}

fn everybody<'a>(inventory: &'a Inventory, compiled: &Compiled) -> Vec<Asked<'a>> {
    let mut all = vec![Asked {
        party: Party::Host,
        number: IdentityNumber::HOST,
        who: Who::Asked(TestPeer::Peer(Peer::Host)),
    }];
    for (&endpoint, record) in &inventory.endpoints {
        if let Some(owner) = &record.owner {
            all.push(Asked {
                party: Party::Endpoint(endpoint.0, &owner.attributes),
                number: compiled.endpoints[&endpoint],
                who: Who::Endpoints {
                    name: owner.attributes.name.clone(),
                    endpoints: vec![endpoint],
                },
            });
        }
    }
    for text in OUTSIDE {
        let address: IpAddr = text.parse().expect("an address");
        all.push(Asked {
            party: Party::World(address),
            number: compiled
                .network(address)
                .expect("the default routes are there"),
            who: Who::Asked(TestPeer::Address(address)),
        });
    }
    all
}

fn selector(request: Request) -> Selector {
    match request {
        Request::Port(protocol, port) => Selector::port(protocol, port),
        Request::Icmp(protocol, kind, code) => Selector::icmp(protocol, kind, code),
        Request::Protocol(protocol) => Selector::protocol(protocol),
    }
}

/// Whether a request can be made between two: there is no ICMPv6 in IPv4.
fn occurs(request: Request, parties: [Party<'_>; 2]) -> bool {
    parties.into_iter().all(|party| match (party, request) {
        (Party::World(address), Request::Icmp(protocol, ..)) => {
            address.is_ipv6() == (protocol == 58)
        }
        _ => true,
    })
}

/// What one side says, in words that all three can be put in.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    verdict: u8,
    rule: Option<String>,
    log: bool,
}

fn designed(opinion: Option<Opinion<'_>>) -> Option<Said> {
    opinion.map(|opinion| Said {
        verdict: opinion.verdict as u8,
        rule: opinion.rule.map(str::to_owned),
        log: opinion.log,
    })
}

fn compiled_says(compiled: &Compiled, step: Option<Step>) -> Option<Said> {
    step.map(|step| Said {
        verdict: step.verdict as u8,
        rule: compiled.rules.get(&step.rule).map(|info| info.name.clone()),
        log: step.log,
    })
}

fn explained(answer: Option<&Answer>) -> Option<Said> {
    answer.map(|answer| Said {
        verdict: answer.verdict as u8,
        rule: answer.rule.as_ref().map(|rule| rule.text.clone()),
        log: answer.log,
    })
}

fn side(side: CompiledSide) -> Side {
    match side {
        CompiledSide::Egress => Side::Egress,
        CompiledSide::Ingress => Side::Ingress,
    }
}

#[test]
fn verdicts_have_the_same_order_everywhere() {
    let designed = [Verdict::Allow, Verdict::Audit, Verdict::Drop, Verdict::Deny];
    let compiled = [
        CompiledVerdict::Allow,
        CompiledVerdict::Audit,
        CompiledVerdict::Drop,
        CompiledVerdict::Deny,
    ];
    for (one, other) in designed.into_iter().zip(compiled) {
        assert_eq!(one as u8, other as u8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn explain_and_judge_say_what_the_model_says(
        text in policy::policy(),
        host in host::host(),
        picks in vec((any::<Index>(), any::<Index>(), any::<Index>()), 40),
    ) {
        let Some(policy) = read_policy(&text) else {
            return Ok(());
        };
        let inventory = host.inventory();
        let limits = Limits::default();
        let compiled = compile(&policy, &inventory, &mut Numbering::default(), &limits).unwrap();
        let stage = Stage::new(&policy, &compiled).unwrap();
        let model = Policy::read(&text);
        let all = everybody(&inventory, &compiled);
        for (from, to, question) in picks {
            let (from, to) = (from.get(&all), to.get(&all));
            let (kind, words, request) = *question.get(&QUESTIONS);
            let judged = [from.party, to.party].iter().any(|party| matches!(party, Party::Endpoint(..)));
            let crossing = from.party.is_host() != to.party.is_host();
            if !(judged || crossing) || !occurs(request, [from.party, to.party]) {
                continue;
            }
            let context = format!("{:?} -> {:?} {words}", from.party, to.party);
            let said = model.judge(from.party, to.party, request);

            let judgement = compiled.judge(from.number, to.number, selector(request)).unwrap();
            prop_assert_eq!(judgement.verdict as u8, said.verdict() as u8, "{}", context);
            prop_assert_eq!(side(judgement.side), said.decided_by(), "{}", context);
            prop_assert_eq!(
                compiled_says(&compiled, judgement.egress), designed(said.egress), "{}", context
            );
            prop_assert_eq!(
                compiled_says(&compiled, judgement.ingress), designed(said.ingress), "{}", context
            );

            let traffic = kind.parse(words).unwrap();
            let explanation = stage.explain(&from.who, &to.who, &traffic);
            let [case] = &explanation.cases[..] else {
                panic!("{context}: one question, one answer: {explanation:?}");
            };
            prop_assert_eq!(case.verdict as u8, said.verdict() as u8, "{}", context);
            prop_assert_eq!(explanation.verdict, Some(case.verdict), "{}", context);
            prop_assert_eq!(side(case.decided_by), said.decided_by(), "{}", context);
            prop_assert_eq!(explained(case.egress.as_ref()), designed(said.egress), "{}", context);
            prop_assert_eq!(explained(case.ingress.as_ref()), designed(said.ingress), "{}", context);
        }
    }
}
