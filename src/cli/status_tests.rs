use pretty_assertions::assert_eq;

use super::*;
use crate::control::report::{CrowdedAccount, DropCount, EventStatus};
use crate::control::sample::healthy;

const NOW: UnixTime = UnixTime::new(1_795_003_600, 0);

fn dropped(reason: &str, text: &str, packets: u64) -> DropCount {
    DropCount {
        reason: reason.to_owned(),
        text: text.to_owned(),
        packets,
        bytes: 74 * packets,
    }
}

#[test]
fn a_healthy_host_fits_on_a_few_lines() {
    assert_eq!(
        render(&healthy(), NOW, Style::PLAIN),
        "\
bridgewall  healthy, version 0.1.0, process 4711, up 60 min
policy      revision 3, generation 12, enforced 10 s ago
            1 rule, 2 identities, 0 networks
            /etc/bridgewall/policy.toml
endpoints   3 of 3 armed
attached by tcx
guard       closed: nothing passes where nothing is armed
uplinks     none: no default route, nor an interface that bridgewall.toml names
docker      connected, version 29.3.1
connections 0, 0 new
dropped     nothing
events      nobody watches
memory      18.0 MiB in the kernel's maps, and never more than 40.0 MiB
"
    );
}

#[test]
fn everything_that_is_wrong_is_said() {
    let mut report = healthy();
    report.healthy = false;
    report.reasons = vec!["1 endpoint is not armed: see `bridgewall list endpoints`".to_owned()];
    report.policy.error = Some("policy.toml:3:1: unknown key `polcy`\n\nthird line".to_owned());
    report.endpoints.armed = 2;
    report.endpoints.unnamed = 1;
    report.attach.fallbacks = vec!["no tcx before Linux 6.6: clsact serves".to_owned()];
    report.docker.state = DockerState::Waiting;
    report.docker.error = Some("connection refused".to_owned());
    report.maps[0].entries = Some(120_000);
    report.flows.answered.held = 12_345;
    report.flows.new.held = 4_096;
    report.flows.new.refused = 7;
    report.flows.crowded = vec![CrowdedAccount {
        endpoint: "web".to_owned(),
        opened_by: OpenedBy::Itself,
        answered: false,
        held: 4_096,
        limit: 4_096,
        refused: 12,
    }];
    report.drops = vec![
        dropped("source-mac", "the sender's MAC address is not its own", 7),
        dropped("policy-default", "no rule allows it", 12_345),
    ];
    report.events = EventStatus {
        monitors: 1,
        lost_full: 0,
        lost_limited: 5,
        lost_slow: 1_000,
    };
    assert_eq!(
        render(&report, NOW, Style::PLAIN),
        "\
bridgewall  not healthy, version 0.1.0, process 4711, up 60 min
            1 endpoint is not armed: see `bridgewall list endpoints`
policy      revision 3, generation 12, enforced 10 s ago
            1 rule, 2 identities, 0 networks
            /etc/bridgewall/policy.toml
            the last change was refused:
            policy.toml:3:1: unknown key `polcy`

            third line
endpoints   2 of 3 armed, 1 not named yet
attached by tcx
            no tcx before Linux 6.6: clsact serves
guard       closed: nothing passes where nothing is armed
uplinks     none: no default route, nor an interface that bridgewall.toml names
docker      waiting, version 29.3.1: connection refused
connections 12,345, 4,096 new
            7 packets of new connections found no room
            4,096 of 4,096 new connections opened by web, 12 packets refused
dropped     12,345  no rule allows it (policy-default)
                 7  the sender's MAC address is not its own (source-mac)
events      1 client watching, 5 beyond the rate limit, 1,000 missed by slow clients
memory      18.0 MiB in the kernel's maps, and never more than 40.0 MiB
            flows is 91 % full: 120,000 of 131,072
"
    );
}

#[test]
fn what_an_earlier_daemon_enforced_is_told_as_that() {
    let mut report = healthy();
    report.policy.committed_at = None;
    let text = render(&report, NOW, Style::PLAIN);
    assert!(
        text.contains("enforced since before the daemon started"),
        "{text}"
    );
}

#[test]
fn the_json_has_what_programs_are_promised() {
    let json = serde_json::to_string(&healthy()).expect("serialize");
    assert!(
        json.contains(r#""committed_at":1795003589.123456789"#),
        "{json}"
    );
    let value: serde_json::Value = serde_json::from_str(&json).expect("parse");
    assert_eq!(value["policy"]["revision"], 3);
    assert_eq!(value["policy"]["generation"], 12);
    assert!(value["policy"]["error"].is_null());
    assert_eq!(value["endpoints"]["armed"], 3);
    assert_eq!(value["healthy"], true);
    assert_eq!(value["docker"]["state"], "connected");
}

#[test]
fn what_went_wrong_so_far_has_a_line() {
    let mut report = healthy();
    report.troubles.policies_refused = 1;
    report.troubles.requests_refused = 1_200;
    let page = render(&report, NOW, Style::PLAIN);
    let line = page.lines().find(|line| line.starts_with("so far"));
    let line = line.unwrap_or_else(|| panic!("{page}"));
    assert!(
        line.contains("1 policy refused, ") && line.ends_with("bad requests"),
        "{line}"
    );
}
