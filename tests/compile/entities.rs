//! Entities, at every boundary: which rule speaks of which address.

use bridgewall::state::steps::Verdict::{Allow, Drop};

use crate::boundaries::{GROUPS, MACHINES};
use crate::build::{HTTP, World, closed, containers, tcp};

/// Whoever this entity means may use the web server, and nobody else.
fn open_to(entity: &str) -> World {
    closed()
        .identity("web")
        .allow(entity, "web", tcp(80))
        .on(containers(&["web1: web", "other1:"]))
}

/// The web server may send to whoever this entity means, and to nobody else.
fn open_towards(entity: &str) -> World {
    closed()
        .identity("web")
        .allow("web", entity, tcp(80))
        .on(containers(&["web1: web", "other1:"]))
}

#[test]
fn every_address_outside_is_in_the_entities_that_mean_it_and_in_no_other() {
    for entity in ["any", "world", "lan", "internet", "host", "containers"] {
        let (inward, outward) = (open_to(entity), open_towards(entity));
        for (address, is_lan) in MACHINES.into_iter().chain(GROUPS) {
            let meant = match entity {
                "any" | "world" => true,
                "lan" => is_lan,
                "internet" => !is_lan,
                _ => false,
            };
            let wanted = if meant { Allow } else { Drop };
            let what = format!("{entity}, {address}");
            assert_eq!(inward.verdict(address, "web1", HTTP), wanted, "{what}");
            assert_eq!(outward.verdict("web1", address, HTTP), wanted, "{what}");
        }
    }
}

#[test]
fn the_host_and_containers_are_in_no_part_of_the_world() {
    for (entity, host, container) in [
        ("any", Allow, Allow),
        ("world", Drop, Drop),
        ("lan", Drop, Drop),
        ("internet", Drop, Drop),
        ("host", Allow, Drop),
        ("containers", Drop, Allow),
    ] {
        let (inward, outward) = (open_to(entity), open_towards(entity));
        assert_eq!(inward.verdict("host", "web1", HTTP), host, "{entity}");
        assert_eq!(
            outward.egress("web1", "host", HTTP).verdict,
            host,
            "{entity}"
        );
        let ingress = inward.ingress("other1", "web1", HTTP).verdict;
        assert_eq!(ingress, container, "{entity}");
        let egress = outward.egress("web1", "other1", HTTP).verdict;
        assert_eq!(egress, container, "{entity}");
    }
}
