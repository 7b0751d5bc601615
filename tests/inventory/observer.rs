//! How much the kernel is asked: what has changed, and nothing else.

use std::time::Duration;

use bridgewall::inventory::Trigger;
use bridgewall::inventory::docker::DockerView;
use bridgewall::inventory::endpoints::{Ledger, Settings};
use bridgewall::inventory::observer::{Changes, Observer};
use bridgewall::policy::model::Pattern;
use bridgewall::state::numbers::EndpointNumber;

use crate::host::{Cleanup, Namespace, run};

const BRIDGE: &str = "obs-br";
const PORTS: usize = 8;

fn settings() -> Settings {
    Settings {
        managed: vec![Pattern::new(BRIDGE).expect("a pattern")],
        excluded: Vec::new(),
        uplinks: Vec::new(),
        plain: Vec::new(),
        policy_interfaces: Vec::new(),
        last_number: EndpointNumber(4095),
        grace: Duration::ZERO,
    }
}

fn changes(triggers: &[Trigger]) -> Changes {
    let mut changes = Changes::default();
    triggers.iter().for_each(|trigger| changes.note(trigger));
    changes
}

fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).expect("an interface")
}

#[test]
fn a_look_asks_about_what_has_changed_and_about_nothing_else() {
    let namespace = Namespace::new("observer");
    let _bridge = Cleanup::new(format!("ip link del {BRIDGE}"));
    run(&format!("ip link add {BRIDGE} type bridge"));
    let mut ports = Vec::new();
    for n in 0..PORTS {
        let port = format!("obs-v{n}");
        ports.push(Cleanup::new(format!("ip link del {port}")));
        run(&format!(
            "ip link add {port} type veth peer name obs{n} netns {}",
            namespace.name
        ));
        run(&format!("ip link set {port} master {BRIDGE}"));
    }
    let (settings, ledger, docker) = (settings(), Ledger::new("a boot"), DockerView::default());
    let mut observer = Observer::open().expect("netlink");
    let asked = |observer: &mut Observer, changes| {
        observer.note(changes);
        let before = observer.questions();
        let fresh = observer.look().expect("interfaces");
        let view = observer.collect(&fresh, &docker, &settings, &ledger);
        let peers = view.expect("what the kernel shows").peers.len();
        (observer.questions() - before, peers)
    };

    // The first look: three lists, and two questions for each port's other end.
    let first = asked(&mut observer, Changes::default());
    assert_eq!(first, (3 + 2 * PORTS as u64, PORTS));
    assert_eq!(asked(&mut observer, Changes::default()), (0, PORTS));

    // A notice about one port: that port, and its other end.
    let ifindex = index("obs-v3");
    let changed = changes(&[Trigger::LinkChanged { ifindex }]);
    assert_eq!(asked(&mut observer, changed), (3, PORTS));

    // One that goes: only whether it is there.
    run("ip link del obs-v3");
    let gone = changes(&[Trigger::LinkGone { ifindex }]);
    assert_eq!(asked(&mut observer, gone), (1, PORTS - 1));
    assert!(
        observer
            .view()
            .links
            .iter()
            .all(|link| link.ifindex != ifindex)
    );

    // Lost notices: all of it again.
    let lost = changes(&[Trigger::Relist {
        cause: "lost".to_owned(),
    }]);
    let all = asked(&mut observer, lost);
    assert_eq!(all, (3 + 2 * (PORTS as u64 - 1), PORTS - 1));
}

#[test]
fn an_interface_s_new_address_is_seen_with_one_question() {
    let _link = Cleanup::new("ip link del obs-addr");
    run("ip link add obs-addr type bridge");
    let ifindex = index("obs-addr");
    let (settings, ledger, docker) = (settings(), Ledger::new("a boot"), DockerView::default());
    let mut observer = Observer::open().expect("netlink");
    let fresh = observer.look().expect("interfaces");
    observer
        .collect(&fresh, &docker, &settings, &ledger)
        .expect("what the kernel shows");
    run("ip addr add 198.18.7.1/24 dev obs-addr");
    observer.note(changes(&[Trigger::HostAddresses { ifindex }]));
    let before = observer.questions();
    let fresh = observer.look().expect("interfaces");
    let view = observer.collect(&fresh, &docker, &settings, &ledger);
    let addresses = &view.expect("what the kernel shows").addresses;
    let here = addresses
        .iter()
        .filter(|address| address.ifindex == ifindex);
    let here: Vec<_> = here.map(|address| address.address.to_string()).collect();
    assert_eq!(here, ["198.18.7.1"]);
    assert_eq!(observer.questions() - before, 1);
}
