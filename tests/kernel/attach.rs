//! Programs on interfaces: by both mechanisms, beside other people's, and through every kind of
//! accident.

use std::collections::BTreeSet;
use std::time::Instant;

use bridgewall::config::Attach;
use bridgewall::kernel::ErrorKind;
use bridgewall::state::actual::Mechanism;
use bridgewall::state::diff::plan;
use bridgewall::state::plan::{Operation, Plan};
use bridgewall::state::steps::Verdict;

use crate::PATIENCE;
use crate::foreign::{self, Direction, Foreign, tcx_programs};
use crate::host::on_a_host;
use crate::states::{assert_reached, desired, reach};

#[test]
fn both_mechanisms_attach_are_read_back_and_replace_in_place() {
    for (mode, mechanism) in [
        (Attach::Tcx, Mechanism::Tcx),
        (Attach::Clsact, Mechanism::Clsact),
    ] {
        on_a_host(move |host| {
            let veth = host.veth(101);
            let mut wanted = desired(Verdict::Allow, &[veth]);
            let mut kernel = host.open(mode);
            reach(&mut kernel, &wanted);
            let attached = kernel.observe().expect("observe").attachments[&veth].clone();
            assert_eq!(attached.mechanism, mechanism);
            assert_eq!(
                attached.constants.as_ref(),
                Some(&wanted.live.attachments[&veth].constants)
            );
            let tcx = |direction| tcx_programs(veth, direction).len();
            let filters = |direction| foreign::filters(veth, direction);
            for direction in Direction::BOTH {
                match mechanism {
                    Mechanism::Tcx => assert_eq!(tcx(direction), 1),
                    Mechanism::Clsact => assert_eq!((tcx(direction), filters(direction)), (0, 1)),
                }
            }
            let links = foreign::tcx_links(veth, Direction::Ingress);

            let attachment = wanted.live.attachments.get_mut(&veth).expect("it is there");
            attachment.constants.sender = None;
            reach(&mut kernel, &wanted);
            let attached = &kernel.observe().expect("observe").attachments[&veth];
            assert_eq!(attached.constants.as_ref().expect("read back").sender, None);
            // The same link with another program: there was no moment without one.
            assert_eq!(foreign::tcx_links(veth, Direction::Ingress), links);
        });
    }
}

#[test]
fn an_interface_moves_from_one_mechanism_to_the_other() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth]);
        reach(&mut host.open(Attach::Clsact), &wanted);

        // Nobody asks for a change.
        assert_reached(&mut host.open(Attach::Auto), &wanted);

        let mut kernel = host.open(Attach::Tcx);
        reach(&mut kernel, &wanted);
        assert_eq!(foreign::filters(veth, Direction::Ingress), 0);
        assert_eq!(tcx_programs(veth, Direction::Egress).len(), 1);
        drop(kernel);

        let mut kernel = host.open(Attach::Clsact);
        reach(&mut kernel, &wanted);
        assert_eq!(foreign::filters(veth, Direction::Egress), 1);
        assert!(tcx_programs(veth, Direction::Ingress).is_empty());
    });
}

#[test]
fn foreign_tcx_programs_stay_and_ours_comes_before_them() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth]);
        let first = Foreign::attach_tcx(veth, Direction::Ingress);
        let mut kernel = host.open(Attach::Tcx);
        reach(&mut kernel, &wanted);
        let order = tcx_programs(veth, Direction::Ingress);
        assert_eq!(order.len(), 2);
        assert_eq!(order[1], first.program);

        // Somebody gets before ours: that is found, and put right.
        let second = Foreign::attach_tcx(veth, Direction::Ingress);
        assert_eq!(tcx_programs(veth, Direction::Ingress)[0], second.program);
        kernel.doubt();
        assert!(!kernel.observe().expect("observe").attachments[&veth].sound);
        reach(&mut kernel, &wanted);
        let order = tcx_programs(veth, Direction::Ingress);
        assert_eq!(order[1..], [second.program, first.program]);

        kernel.detach_all().expect("detach");
        let order = tcx_programs(veth, Direction::Ingress);
        assert_eq!(order, [second.program, first.program]);
    });
}

#[test]
fn by_itself_it_takes_filters_and_links_where_somebody_else_s_tcx_program_is() {
    on_a_host(|host| {
        let alone = host.veth(101);
        let shared = host.veth(102);
        let wanted = desired(Verdict::Allow, &[alone, shared]);
        let first = Foreign::attach_tcx(shared, Direction::Egress);
        let mut kernel = host.open(Attach::Auto);
        reach(&mut kernel, &wanted);
        let actual = kernel.observe().expect("observe");
        assert_eq!(actual.attachments[&alone].mechanism, Mechanism::Clsact);
        assert_eq!(actual.attachments[&shared].mechanism, Mechanism::Tcx);
        assert_eq!(
            tcx_programs(shared, Direction::Egress)[1..],
            [first.program]
        );
        assert!(kernel.find_overtaken().expect("look").is_empty());

        // Somebody comes before our filter: that is found, and a link before theirs takes its place.
        let second = Foreign::attach_tcx(alone, Direction::Ingress);
        assert_eq!(kernel.find_overtaken().expect("look"), [alone]);
        reach(&mut kernel, &wanted);
        let order = tcx_programs(alone, Direction::Ingress);
        assert_eq!(order[1..], [second.program]);
        assert_eq!(foreign::filters(alone, Direction::Ingress), 0);
        assert!(kernel.find_overtaken().expect("look").is_empty());
        kernel.doubt();
        assert_reached(&mut kernel, &wanted);
    });
}

#[test]
fn a_filter_that_must_be_one_does_not_hide_behind_somebody_else_s_tcx_program() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let _theirs = Foreign::attach_tcx(veth, Direction::Ingress);
        let wanted = desired(Verdict::Allow, &[veth]);
        let mut kernel = host.open(Attach::Clsact);
        let plan = plan(kernel.observe().expect("observe"), &wanted).expect("it fits");
        let errors = kernel.apply(&plan).expect_err("it would not be first");
        assert!(
            errors.to_string().contains("write attach = \"auto\""),
            "{errors}"
        );
        assert!(kernel.observe().expect("observe").attachments.is_empty());
    });
}

#[test]
fn a_filter_that_somebody_removes_is_missed_and_put_back() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth]);
        let mut kernel = host.open(Attach::Auto);
        reach(&mut kernel, &wanted);
        foreign::remove_discipline(veth);
        kernel.look_again(veth);
        assert!(kernel.observe().expect("observe").attachments.is_empty());
        reach(&mut kernel, &wanted);
        assert_eq!(foreign::filters(veth, Direction::Ingress), 1);
    });
}

#[test]
fn a_discipline_goes_with_the_last_filter_if_it_was_ours() {
    on_a_host(|host| {
        let ours = host.veth(103);
        let shared = host.veth(104);
        let theirs = host.veth(105);
        foreign::make_discipline(theirs);
        let mut kernel = host.open(Attach::Clsact);
        reach(
            &mut kernel,
            &desired(Verdict::Allow, &[ours, shared, theirs]),
        );
        Foreign::attach_filter(shared, Direction::Egress, 5, 1);

        // What leaves one interface leaves the others alone.
        reach(&mut kernel, &desired(Verdict::Allow, &[shared, theirs]));
        assert!(!foreign::has_discipline(ours));
        assert!(foreign::has_discipline(shared));

        kernel.detach_all().expect("detach");
        assert!(foreign::has_discipline(shared));
        assert_eq!(foreign::filters(shared, Direction::Egress), 1);
        assert!(foreign::has_discipline(theirs));
    });
}

#[test]
fn foreign_filters_stay_and_one_at_our_place_is_never_replaced() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let other = host.veth(102);
        Foreign::attach_filter(veth, Direction::Ingress, 5, 1);
        Foreign::attach_filter(other, Direction::Ingress, 1, 0xb41d);
        let wanted = desired(Verdict::Allow, &[veth, other]);
        let mut kernel = host.open(Attach::Clsact);
        let plan = plan(kernel.observe().expect("observe"), &wanted).expect("it fits");
        let errors = kernel.apply(&plan).expect_err("one place is taken");
        let text = errors.to_string();
        assert_eq!(errors.iter().count(), 1, "{text}");
        assert!(
            text.starts_with("attach clsact ingress to bwk102 (ifindex 102): somebody else's"),
            "{text}"
        );
        // The other interface was attached all the same.
        let actual = kernel.observe().expect("observe");
        assert!(actual.attachments[&veth].sound);
        assert!(!actual.attachments.contains_key(&other));
        kernel.detach_all().expect("detach");
        assert_eq!(foreign::filters(veth, Direction::Ingress), 1);
        assert_eq!(foreign::filters(veth, Direction::Egress), 0);
        assert_eq!(foreign::filters(other, Direction::Ingress), 1);
    });
}

#[test]
fn pins_of_a_vanished_interface_go_and_are_never_taken_for_those_of_the_next() {
    for mode in [Attach::Tcx, Attach::Clsact] {
        on_a_host(move |host| {
            let wanted = desired(Verdict::Allow, &[host.veth(101)]);
            let mut kernel = host.open(mode);
            reach(&mut kernel, &wanted);
            assert!(!host.interface_pins().is_empty());

            host.ip("link del bwk101");
            host.veth(101);
            drop(kernel);
            let mut kernel = host.open(mode);
            let actual = kernel.observe().expect("observe");
            assert!(actual.attachments.is_empty(), "{:?}", actual.attachments);
            assert_eq!(host.interface_pins(), BTreeSet::new());
            reach(&mut kernel, &wanted);
            assert!(!host.interface_pins().is_empty());

            // The daemon that lives learns it from the plan.
            host.ip("link del bwk101");
            let plan = Plan {
                operations: vec![Operation::Detach(101)],
            };
            kernel
                .apply(&plan)
                .expect("an interface that is gone is no error");
            assert_eq!(host.interface_pins(), BTreeSet::new());
        });
    }
}

#[test]
fn half_an_attachment_is_found_and_completed() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth]);
        let mut kernel = host.open(Attach::Tcx);
        reach(&mut kernel, &wanted);
        // The pin is all that holds a link; the kernel lets go of it a grace period later.
        std::fs::remove_file(host.pins().join("links/101-egress")).expect("remove");
        let deadline = Instant::now() + PATIENCE;
        while !tcx_programs(veth, Direction::Egress).is_empty() {
            assert!(Instant::now() < deadline, "the link is still there");
            std::thread::yield_now();
        }
        kernel.doubt();
        reach(&mut kernel, &wanted);
        assert_eq!(tcx_programs(veth, Direction::Egress).len(), 1);
    });
}

#[test]
fn a_daemon_that_died_while_it_attached_knows_its_own_filters_again() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let mut wanted = desired(Verdict::Allow, &[veth]);
        let mut kernel = host.open(Attach::Clsact);
        reach(&mut kernel, &wanted);
        drop(kernel);
        // As it is between attaching a program and giving its pin the name.
        let pin = |name: &str| host.pins().join("programs").join(name);
        std::fs::rename(pin("101-ingress"), pin("101-ingress-new")).expect("rename");

        let mut kernel = host.open(Attach::Clsact);
        let attachment = wanted.live.attachments.get_mut(&veth).expect("it is there");
        attachment.constants.sender = None;
        reach(&mut kernel, &wanted);
        assert_eq!(foreign::filters(veth, Direction::Ingress), 1);
        assert!(!pin("101-ingress-new").exists());
    });
}

#[test]
fn an_interface_that_vanished_before_it_was_attached_is_told_from_other_failures() {
    on_a_host(|host| {
        let veth = host.veth(101);
        let wanted = desired(Verdict::Allow, &[veth, 140]);
        for mode in [Attach::Tcx, Attach::Clsact] {
            let mut kernel = host.open(mode);
            let plan = plan(kernel.observe().expect("observe"), &wanted).expect("it fits");
            let errors = kernel.apply(&plan).expect_err("there is no interface 140");
            let kinds: Vec<_> = errors.iter().map(|error| error.kind()).collect();
            assert_eq!(kinds, [ErrorKind::InterfaceGone], "{errors}");
            assert!(
                errors.to_string().contains("bwk140 (ifindex 140)"),
                "{errors}"
            );
            assert!(kernel.observe().expect("observe").attachments[&veth].sound);
            assert!(!host.interface_pins().iter().any(|pin| pin.contains("140")));
        }
    });
}
