//! The positive control: without a firewall, containers reach each other and are reached.

use crate::common::PATIENCE;
use crate::common::docker::Engine;
use crate::common::probe;
use crate::common::service::Service;

#[test]
fn without_a_firewall_containers_reach_each_other() {
    let mut engine = Engine::take();
    let network = engine.network(1);
    let web = engine
        .container("web")
        .publish(18080, 80)
        .script("echo hello > /www/index.html; exec httpd -f -p 80 -h /www")
        .start(network);
    let db = engine.container("db").start(network);
    let _service = Service::tcp(db.namespace(), 3306, "5.7.0");
    for address in db.addresses() {
        probe::assert_pings(web.namespace(), address);
        probe::assert_connects(web.namespace(), (address, 3306).into());
        probe::assert_refused(web.namespace(), (address, 3307).into());
    }
    let hello = Some((200, "hello".to_owned()));
    for to in web.sockets(80) {
        assert_eq!(
            probe::http_within(db.namespace(), to, "GET", "/", PATIENCE),
            hello
        );
    }
    let outside = engine.outside();
    let published = ([198, 51, 100, 1], 18080).into();
    assert_eq!(
        probe::http_within(&outside.namespace, published, "GET", "/", PATIENCE),
        hello
    );
}

#[test]
fn a_restarted_container_has_a_new_namespace_and_a_connected_one_two_attachments() {
    let engine = Engine::take();
    let [first, second] = [1, 2].map(|number| engine.network(number));
    let web = engine.container("web").start(first);
    let [other, far] = [("other", first), ("far", second)]
        .map(|(name, network)| engine.container(name).start(network));
    let there = web.connect(second);
    for (peer, here) in [(&other, &web), (&far, &there)] {
        for address in here.addresses() {
            probe::assert_pings(peer.namespace(), address);
        }
    }
    web.stop();
    let web = web.start();
    for address in web.addresses() {
        probe::assert_pings(other.namespace(), address);
    }
    let name = web.name.clone();
    web.remove();
    assert!(
        !crate::common::docker::docker(&["ps", "--all", "--format", "{{.Names}}"]).contains(&name)
    );
}
