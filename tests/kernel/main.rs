//! The kernel room on a real kernel: loading, adopting, attaching, publishing, detaching. Each test
//! has a network namespace and a bpffs of its own, which go with its thread. Needs root.

mod attach;
mod foreign;
mod growth;
mod host;
mod memory;
mod refusal;
mod states;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use bridgewall::config::Attach;
use bridgewall::inventory::model::MacAddress;
use bridgewall::kernel::{Adoption, Kernel, abi, detach_all};
use bridgewall::policy::model::Side;
use bridgewall::state::actual::Active;
use bridgewall::state::desired::{AddressKey, AddressOwner};
use bridgewall::state::diff::plan;
use bridgewall::state::numbers::{IdentityNumber, PairKey, RuleNumber, Slot};
use bridgewall::state::plan::{Operation, Plan};
use bridgewall::state::steps::Verdict;
use libbpf_rs::{MapCore, MapFlags};

use foreign::{Direction, tcx_programs};
use host::{Host, on_a_host};
use states::{assert_reached, desired, number_of, reach};

/// How long something that should happen is waited for: much longer than it ever takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_dead_daemon_s_kernel_state_is_adopted_as_it_was() {
    for (mode, links, filters) in [(Attach::Tcx, 1, 0), (Attach::Clsact, 0, 1)] {
        on_a_host(move |host| {
            let veth = host.veth(101);
            let wanted = desired(Verdict::Allow, &[veth]);
            let there = || {
                let filters = foreign::filters(veth, Direction::Ingress);
                (tcx_programs(veth, Direction::Ingress), filters)
            };
            let mut kernel = host.open(mode);
            assert_eq!(*kernel.adoption(), Adoption::Fresh);
            reach(&mut kernel, &wanted);
            let before = there();
            assert_eq!((before.0.len(), before.1), (links, filters));
            drop(kernel);
            assert_eq!(there(), before);

            let mut kernel = host.open(Attach::Auto);
            assert_eq!(*kernel.adoption(), Adoption::Adopted);
            assert_reached(&mut kernel, &wanted);
            let actual = kernel.observe().expect("observe");
            assert_eq!(
                actual.active,
                Active {
                    generation: 1,
                    slot: Slot::B
                }
            );
            assert_eq!(there(), before);
        });
    }
}

#[test]
fn detaching_leaves_no_program_and_no_pin() {
    for mode in [Attach::Tcx, Attach::Clsact] {
        on_a_host(move |host| {
            let interfaces = [host.veth(101), host.veth(102), host.veth(103)];
            reach(&mut host.open(mode), &desired(Verdict::Allow, &interfaces));
            assert!(!host.all_pins().is_empty());
            host.ip("link del bwk103");

            detach_all(&host.pins()).expect("detach");
            for veth in &interfaces[..2] {
                for direction in Direction::BOTH {
                    assert!(tcx_programs(*veth, direction).is_empty());
                    assert_eq!(foreign::filters(*veth, direction), 0);
                }
            }
            assert!(!host.pins().exists());
            detach_all(&host.pins()).expect("a second time there is nothing to do");
        });
    }
}

#[test]
fn a_policy_takes_effect_by_the_active_word_and_not_before() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let mut kernel = host.open(Attach::Auto);
        reach(&mut kernel, &desired(Verdict::Allow, &[veth]));
        let word = || {
            let value = host
                .pinned("maps-1/active")
                .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
                .expect("read")
                .expect("there is one");
            Active::from_raw(u64::from_ne_bytes(value.try_into().expect("eight bytes")))
        };
        assert_eq!(
            word(),
            Active {
                generation: 1,
                slot: Slot::B
            }
        );

        let wanted = desired(Verdict::Drop, &[veth]);
        let mut plan = plan(kernel.observe().expect("observe"), &wanted).expect("it fits");
        let publish = plan.operations.pop().expect("it is not empty");
        assert_eq!(
            publish,
            Operation::Publish {
                generation: 2,
                slot: Slot::A
            }
        );
        kernel.apply(&plan).expect("apply");
        assert_eq!(
            word(),
            Active {
                generation: 1,
                slot: Slot::B
            }
        );
        kernel
            .apply(&Plan {
                operations: vec![publish],
            })
            .expect("publish");
        assert_eq!(
            word(),
            Active {
                generation: 2,
                slot: Slot::A
            }
        );
        assert_reached(&mut kernel, &wanted);
    });
}

#[test]
fn packets_meet_what_was_published_and_drops_are_counted_and_told() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let here = Ipv4Addr::new(10, 9, 0, 254);
        let there = Ipv4Addr::new(10, 9, 0, 1);
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let (_namespace, container) = host.in_peer(veth, (mac, there, here), move || {
            UdpSocket::bind((there, 40_000)).expect("bind in the namespace")
        });
        let with_host = |verdict| {
            let mut wanted = desired(verdict, &[veth]);
            let key = AddressKey::new(here.into(), veth);
            wanted.live.addresses.insert(key, AddressOwner::Host);
            wanted
        };
        let mut kernel = host.open(Attach::Auto);
        let (tell, told) = std::sync::mpsc::channel();
        let reader = kernel.reader();
        let events = reader
            .events(move |event| {
                // Who listens no longer need not be told.
                let _ = tell.send(*event);
            })
            .expect("read events");
        reach(&mut kernel, &with_host(Verdict::Allow));

        let server = UdpSocket::bind((here, 7_000)).expect("bind");
        server
            .set_read_timeout(Some(PATIENCE))
            .expect("set a timeout");
        let say = |text: &str| {
            let sent = container.send_to(text.as_bytes(), (here, 7_000));
            sent.expect("send");
        };
        let mut buffer = [0; 16];
        say("allowed");
        let (length, from) = server.recv_from(&mut buffer).expect("it is allowed");
        assert_eq!(&buffer[..length], b"allowed");
        assert_eq!(from, (there, 40_000).into());
        let traffic = reader.endpoint_traffic(number_of(veth)).expect("read");
        assert!(traffic.sent.packets > 0, "{traffic:?}");

        // The same connection, under a policy that does not allow it any more.
        reach(&mut kernel, &with_host(Verdict::Drop));
        say("refused");
        let deadline = Instant::now() + PATIENCE;
        let event = loop {
            assert!(Instant::now() < deadline, "no event tells of the drop");
            events.poll(Duration::from_millis(100)).expect("poll");
            let ours = |event: &abi::event| event.destination_port == 7_000_u16.to_be();
            if let Some(event) = told.try_iter().find(ours) {
                break event;
            }
        };
        assert_eq!(u32::from(event.verdict), abi::verdict::VERDICT_DROP.0);
        assert_eq!((event.egress_rule, event.generation), (7, 2));
        assert_eq!((event.ifindex, event.endpoint), (veth, 1));
        let reason = abi::drop_reason::DROP_POLICY_DEFAULT;
        assert_eq!(u32::from(event.reason), reason.0);
        assert!(reader.drops().expect("read")[reason.0 as usize].packets > 0);
        assert!(reader.rule_hits(RuleNumber(7)).expect("read").packets > 0);
        server.set_nonblocking(true).expect("do not wait");
        assert!(server.recv_from(&mut buffer).is_err(), "it came through");
    });
}

#[test]
fn a_failure_half_way_leaves_the_judging_policy_alone_and_the_next_plan_repairs_the_rest() {
    on_a_host(|host| {
        let mut kernel = host.open(Attach::Auto);
        let first = desired(Verdict::Allow, &[]);
        reach(&mut kernel, &first);
        let actual = kernel.observe().expect("observe");
        let active = actual.active;
        let place = actual.judging().places().next().expect("a list is there");

        // More entries than there is room for, which a plan would have refused.
        let many: Vec<_> = (0..2000_u32)
            .map(|n| {
                let key = PairKey {
                    side: Side::Egress,
                    subject: IdentityNumber::HOST,
                    peer: IdentityNumber::internet(n),
                };
                (key, place)
            })
            .collect();
        let overfull = Plan {
            operations: vec![
                Operation::AwaitReaders,
                Operation::SetPairs(active.slot.other(), many),
                Operation::Publish {
                    generation: active.generation + 1,
                    slot: active.slot.other(),
                },
            ],
        };
        let errors = kernel.apply(&overfull).expect_err("it cannot fit");
        assert!(errors.to_string().contains("policy"), "{errors}");

        let actual = kernel.observe().expect("observe");
        assert_eq!(actual.active, active);
        assert!(actual.standby().pairs.len() > 100, "some were written");
        assert_reached(&mut kernel, &first);
        reach(&mut kernel, &desired(Verdict::Drop, &[]));
    });
}

#[test]
fn maps_of_another_size_are_replaced_with_their_connections_while_the_old_ones_judge() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth]);
        let mut kernel = host.open(Attach::Tcx);
        reach(&mut kernel, &wanted);
        insert_flow(host, "maps-1/flows", 1);
        let before = tcx_programs(veth, Direction::Ingress);
        drop(kernel);

        let mut settings = host.settings(Attach::Tcx);
        settings.limits.flows = 2048;
        let mut kernel = Kernel::open(settings.clone()).expect("open");
        assert!(
            matches!(kernel.adoption(), Adoption::Replaced(reason) if reason.contains("flows")),
            "{}",
            kernel.adoption()
        );
        assert_eq!(tcx_programs(veth, Direction::Ingress), before);
        assert!(host.all_pins().contains("maps-1/bodies"));
        let actual = kernel.observe().expect("observe");
        assert!(!actual.attachments[&veth].sound);
        assert_eq!(
            actual.attachments[&veth].constants.as_ref(),
            Some(&wanted.live.attachments[&veth].constants),
            "who is behind an interface is known all the while"
        );
        // As long as an interface uses the old ones, they stay.
        let nothing = Plan {
            operations: vec![Operation::AwaitReaders],
        };
        kernel.apply(&nothing).expect("apply");
        assert!(host.all_pins().contains("maps-1/bodies"));
        // A connection that began in between.
        insert_flow(host, "maps-1/flows", 2);
        drop(kernel);

        // The daemon dies before it got to the interfaces, and the next one goes on.
        let mut kernel = Kernel::open(settings).expect("open");
        assert_eq!(*kernel.adoption(), Adoption::Adopted);
        reach(&mut kernel, &wanted);
        assert!(!host.pins().join("maps-1").exists());
        // Each is counted once, though it was copied twice: expired ones are, too.
        assert_eq!(kernel.reader().flow_counts().new.held, 2);
        assert_eq!(kernel.reader().flows(10).expect("list").len(), 1, "alive");
        assert!(kernel.observe().expect("observe").active.generation > 1);
    });
}

#[test]
fn a_set_of_maps_that_was_never_finished_is_removed() {
    on_a_host(|host| {
        drop(host.open(Attach::Auto));
        std::fs::remove_file(host.pins().join("maps-1/layout")).expect("remove");
        let kernel = host.open(Attach::Auto);
        assert_eq!(*kernel.adoption(), Adoption::Fresh);
        assert!(host.all_pins().contains("maps-1/layout"));
    });
}

#[test]
fn only_one_process_at_a_time_may_change_the_kernel() {
    on_a_host(|host| {
        let kernel = host.open(Attach::Auto);
        let error = Kernel::open(host.settings(Attach::Auto)).expect_err("it is taken");
        assert!(
            error.to_string().contains("another bridgewall process"),
            "{error}"
        );
        assert!(detach_all(&host.pins()).is_err());
        drop(kernel);
        host.open(Attach::Auto);
    });
}

#[test]
fn a_bpffs_is_mounted_where_there_is_none() {
    on_a_host(|host| {
        nix::mount::umount(host.bpffs()).expect("unmount");
        let kernel = host.open(Attach::Auto);
        assert!(kernel.mounted_bpffs());
        drop(kernel);
        assert!(!host.open(Attach::Auto).mounted_bpffs());
    });
}

/// Enters a connection as a program would, `number` being its port, seen long ago if that is 1.
fn insert_flow(host: &Host, map: &str, number: u16) {
    let mut key = vec![0_u8; size_of::<abi::flow_key>()];
    key[32..34].copy_from_slice(&number.to_be_bytes());
    let protocol = std::mem::offset_of!(abi::flow_key, protocol);
    key[protocol] = 17;
    let mut flow = vec![0_u8; size_of::<abi::flow>()];
    let seen = std::mem::offset_of!(abi::flow, last_seen);
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("the clock");
    let now = Duration::from(now).as_nanos() as u64;
    let time = if number == 1 { 1 } else { now };
    flow[seen..seen + 8].copy_from_slice(&time.to_ne_bytes());
    // Endpoint 1 has opened it; it is alive, and counted.
    let generation = std::mem::offset_of!(abi::flow, generation);
    flow[generation..generation + 8].copy_from_slice(&1_u64.to_ne_bytes());
    let status = std::mem::offset_of!(abi::flow, status);
    flow[status..status + 4].copy_from_slice(&(1_u32 << 16).to_ne_bytes());
    let accounts = map.replace("flows", "accounts");
    for account in [0_u32, 1] {
        let accounts = host.pinned(&accounts);
        let count = accounts.lookup(&account.to_ne_bytes(), MapFlags::ANY);
        let mut count = count.expect("read").expect("it is in the array");
        count[0] += 1;
        accounts
            .update(&account.to_ne_bytes(), &count, MapFlags::ANY)
            .expect("count");
    }
    host.pinned(map)
        .update(&key, &flow, MapFlags::ANY)
        .expect("enter a connection");
}

#[test]
fn connections_that_were_idle_for_too_long_are_removed_and_others_are_not() {
    on_a_host(|host| {
        let mut settings = host.settings(Attach::Auto);
        settings.timeouts.udp_new = 1;
        let kernel = Kernel::open(settings).expect("open");
        insert_flow(host, "maps-1/flows", 1);
        insert_flow(host, "maps-1/flows", 2);
        insert_flow(host, "maps-1/flows", 3);
        assert_eq!(kernel.reader().flows(10).expect("list").len(), 2, "alive");
        assert_eq!(kernel.reader().flows(1).expect("list").len(), 1);
        let expired = kernel.expire().expect("expire").expect("nobody else does");
        assert_eq!((expired.removed, expired.left), (1, 2));
        let left = kernel.reader().flows(10).expect("list");
        assert_eq!(left.len(), 2);
    });
}

#[test]
fn what_it_costs() {
    on_a_host(|host| {
        let interfaces: Vec<u32> = (101..121).map(|index| host.veth(index)).collect();
        let count = interfaces.len() as u32;
        let timed = |what: &str, times: u32, run: &mut dyn FnMut()| {
            let began = Instant::now();
            run();
            println!("{what}: {:?}", began.elapsed() / times);
        };
        for mode in [Attach::Clsact, Attach::Tcx] {
            let mut kernel = None;
            timed("open", 1, &mut || kernel = Some(host.open(mode)));
            let mut kernel = kernel.expect("just opened");
            timed("observe", 1, &mut || {
                drop(kernel.observe().expect("observe").clone())
            });
            for verdict in [Verdict::Allow, Verdict::Drop] {
                let mut wanted = desired(verdict, &interfaces);
                if verdict == Verdict::Drop {
                    for attachment in wanted.live.attachments.values_mut() {
                        attachment.constants.sender = None;
                    }
                }
                let plan = plan(kernel.observe().expect("observe"), &wanted).expect("it fits");
                let (attach, policy) = plan
                    .operations
                    .into_iter()
                    .partition(|operation| matches!(operation, Operation::Attach(..)));
                timed("a policy", 1, &mut || {
                    let operations = Vec::clone(&policy);
                    kernel.apply(&Plan { operations }).expect("apply");
                });
                timed(
                    &format!("{mode:?}: attach or replace one"),
                    count,
                    &mut || {
                        let operations = Vec::clone(&attach);
                        kernel.apply(&Plan { operations }).expect("apply");
                    },
                );
                assert_reached(&mut kernel, &wanted);
            }
            println!("instructions: {:?}", kernel.verified_instructions());
            let memory = kernel.reader().memory().expect("read");
            for (name, map) in &memory {
                // An empty trie holds nothing.
                assert!(map.bytes <= map.most, "{name}: {map:?}");
            }
            let bytes: u64 = memory.values().map(|map| map.bytes).sum();
            assert!(bytes > 0, "{memory:?}");
            println!("kernel memory: {} KiB", bytes / 1024);
            let mut kernel = Some(kernel);
            timed(&format!("{mode:?}: detach one"), count, &mut || {
                let kernel = kernel.take().expect("once");
                kernel.detach_all().expect("detach");
            });
        }
    });
}
