//! Published ports: rules speak of the container's port and of the real client.

use super::firewall;
use crate::common::docker::Engine;
use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::verdict::why;
use crate::common::{BRIEFLY, PATIENCE, eventually};

fn policy(from: &str, port: u16) -> String {
    format!(
        "[identities.web]\nlabels = {{ role = \"web\" }}\n\n[[allow]]\nfrom = \"{from}\"\nto = \"web\"\nports = [\"{port}/tcp\"]\n"
    )
}

#[test]
fn a_published_port_is_judged_as_the_containers_port_and_the_real_client() {
    let mut engine = Engine::take();
    let network = engine.network(1);
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(18080, 80)
        .start(network);
    let service = Service::tcp(web.namespace(), 80, "hello");
    let published = ([198, 51, 100, 1], 18080).into();
    let outside = engine.outside().namespace.duplicate();
    assert_eq!(
        probe::tcp_within(&outside, published, PATIENCE),
        Outcome::Answered
    );

    // The published number is not what rules speak of, and other clients are not this one.
    let daemon = firewall(&engine, &policy("lan", 80), 1);
    let monitor = daemon.monitor();
    for closed in [
        policy("internet", 18080),
        policy("203.0.113.0/24", 80),
        policy("host", 80),
    ] {
        daemon.edit(&closed);
        let (before, heard) = (daemon.drops(why::DEFAULT), service.heard());
        assert_eq!(
            probe::tcp_within(&outside, published, BRIEFLY),
            Outcome::Silence
        );
        eventually("the drop is counted", || {
            (daemon.drops(why::DEFAULT) > before).then_some(())
        });
        assert_eq!(service.heard(), heard);
    }
    monitor.expect("the real client is named", |event| {
        event["source"]["address"] == "198.51.100.2"
            && event["destination"]["name"] == "bwtest-web"
            && event["destination"]["port"] == 80
    });

    for open in [policy("internet", 80), policy("198.51.100.0/24", 80)] {
        daemon.edit(&open);
        let heard = service.heard();
        assert_eq!(
            probe::tcp_within(&outside, published, PATIENCE),
            Outcome::Answered
        );
        assert_eq!(service.heard(), heard + 1);
    }
}
