//! From answers to the view.

use super::*;

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn network(letter: char, name: &str, driver: &str) -> NetworkAnswer {
    NetworkAnswer {
        id: Some(id(letter)),
        name: Some(name.to_owned()),
        driver: Some(driver.to_owned()),
        ..NetworkAnswer::default()
    }
}

fn with_member(mut network: NetworkAnswer, container: char, ipv4: &str) -> NetworkAnswer {
    let endpoint = EndpointAnswer {
        endpoint_id: Some(id('e')),
        mac_address: Some("02:42:ac:12:00:02".to_owned()),
        ipv4_address: Some(ipv4.to_owned()),
        ipv6_address: Some("fd00::2/64".to_owned()),
    };
    network.containers = Some(BTreeMap::from([(id(container), endpoint)]));
    network
}

/// As `GET /containers/json` has it.
fn container(letter: char, rest: &str) -> ContainerAnswer {
    let text = format!(r#"{{"Id":"{}","Names":["/c-{letter}"]{rest}}}"#, id(letter));
    serde_json::from_str(&text).unwrap()
}

fn detail(pid: i64, file: &str) -> DetailAnswer {
    let text = format!(
        r#"{{"State":{{"Pid":{pid}}},"Config":{{"Image":"web:1"}},
        "NetworkSettings":{{"SandboxKey":"{file}"}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_attachment_is_what_network_and_container_say_together() {
    let mut table = Table::default();
    table.set_network(&with_member(
        network('a', "net", "bridge"),
        'c',
        "172.18.0.2/16",
    ));
    assert_eq!(table.missing(), [id('c')]);
    assert!(
        table.view().attachments.is_empty(),
        "nobody knows its labels yet"
    );
    let labels = r#","Labels":{"com.docker.compose.project":"shop","role":"web"},"Image":"web""#;
    table.set_container(&container('c', labels));
    let view = table.view();
    let [attachment] = &view.attachments[..] else {
        panic!("{view:?}");
    };
    assert_eq!(attachment.bridge, "br-aaaaaaaaaaaa");
    assert_eq!(attachment.network, "net");
    assert_eq!(attachment.container.name, "c-c");
    assert_eq!(attachment.container.project.as_deref(), Some("shop"));
    assert_eq!(attachment.container.labels["role"], "web");
    let addresses: Vec<_> = attachment
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["172.18.0.2", "fd00::2"]);
    assert!(!attachment.running);
    assert!(view.warnings.is_empty() && table.missing().is_empty());
}

#[test]
fn a_new_name_counts_though_docker_still_tells_the_old_one_too() {
    let name = |table: &Table| table.containers[&id('c')].container.clone().unwrap().name;
    let both = format!(r#"{{"Id":"{}","Names":["/old","/new"]}}"#, id('c'));
    let both: ContainerAnswer = serde_json::from_str(&both).unwrap();
    let mut table = Table::default();
    table.set_container(&both);
    assert_eq!(name(&table), "old");
    table.rename(&id('c'), "new");
    assert_eq!(name(&table), "new");
    table.set_container(&both);
    assert_eq!(name(&table), "new");
    // What Docker tells counts more than what an event has told.
    table.rename(&id('c'), "neither");
    table.set_container(&container('c', ""));
    assert_eq!(name(&table), "c-c");
}

#[test]
fn the_bridge_has_the_name_that_the_network_was_given() {
    let mut table = Table::default();
    let mut answer = network('a', "bridge", "bridge");
    let option = |name: &str| {
        Some(BTreeMap::from([(
            BRIDGE_OPTION.to_owned(),
            name.to_owned(),
        )]))
    };
    answer.options = option("docker0");
    table.set_network(&answer);
    assert_eq!(table.view().networks[0].bridge.as_deref(), Some("docker0"));
    answer.options = option("../../etc/passwd");
    table.set_network(&answer);
    assert_eq!(table.view().networks[0].bridge, None);
}

#[test]
fn addresses_that_no_host_may_have_are_refused() {
    for odd in [
        "127.0.0.1/8",
        "224.0.0.1/4",
        "0.0.0.0/0",
        "172.18.0.2/99",
        "text",
        "::/0",
    ] {
        let mut table = Table::default();
        table.set_container(&container('c', ""));
        table.set_network(&with_member(network('a', "net", "bridge"), 'c', odd));
        let view = table.view();
        assert!(view.attachments.is_empty(), "{odd}");
        assert_eq!(view.warnings.len(), 1, "{odd}");
    }
}

#[test]
fn too_many_labels_leave_a_container_unnamed() {
    let mut table = Table::default();
    let mut big = container('c', "");
    big.labels = Some(BTreeMap::from([("x".to_owned(), "y".repeat(LABELS_BYTES))]));
    table.set_container(&big);
    table.set_network(&with_member(
        network('a', "net", "bridge"),
        'c',
        "172.18.0.2/16",
    ));
    let view = table.view();
    assert!(view.attachments.is_empty());
    assert!(view.warnings[0].contains("labels"), "{:?}", view.warnings);
}

#[test]
fn ids_that_docker_does_not_give_are_left_out() {
    let mut table = Table::default();
    let mut odd = network('a', "net", "bridge");
    for text in [
        "",
        "../../version",
        "AAAA",
        &"A".repeat(64),
        &"a".repeat(65),
    ] {
        odd.id = Some(text.to_owned());
        table.set_network(&odd);
    }
    let mut member = with_member(network('a', "net", "bridge"), 'c', "172.18.0.2/16");
    let endpoint = member.containers.as_mut().unwrap().pop_first().unwrap().1;
    member.containers = Some(BTreeMap::from([("ep-../x".to_owned(), endpoint)]));
    table.set_network(&member);
    assert_eq!(table.view().networks.len(), 1);
    assert!(
        table.missing().is_empty(),
        "nothing of that sort is asked for"
    );
}

#[test]
fn details_count_for_the_life_they_were_asked_for() {
    let mut table = Table::default();
    let running = container('c', r#","State":"running","Image":"sha256:123""#);
    table.set_container(&running);
    let (_, life) = table.uninspected().remove(0);
    table.new_life(&id('c')); // it is restarted while the answer is on its way
    table.set_detail(&id('c'), life, &detail(100, "/run/docker/netns/1"));
    assert!(table.view().sandboxes.is_empty());
    let (_, life) = table.uninspected().remove(0);
    table.set_detail(&id('c'), life, &detail(200, "/run/docker/netns/2"));
    let sandbox = &table.view().sandboxes[&id('c')];
    assert_eq!(sandbox.pid, Some(200));
    assert_eq!(
        sandbox.file.as_deref().unwrap().to_str(),
        Some("/run/docker/netns/2")
    );
    assert!(table.uninspected().is_empty());
    table.set_container(&running);
    assert!(
        !table.view().sandboxes.is_empty(),
        "a list that tells nothing new"
    );
    table.set_container(&container('c', r#","State":"exited""#));
    assert!(table.view().sandboxes.is_empty(), "it has ended");
}

#[test]
fn a_sandbox_that_is_no_path_and_a_process_that_is_none_do_not_count() {
    let mut table = Table::default();
    table.set_container(&container('c', r#","State":"running""#));
    let (_, life) = table.uninspected().remove(0);
    table.set_detail(&id('c'), life, &detail(0, ""));
    assert_eq!(table.view().sandboxes[&id('c')], Sandbox::default());
}

#[test]
fn the_image_is_the_one_it_was_started_with() {
    let mut table = Table::default();
    table.set_network(&with_member(
        network('a', "net", "bridge"),
        'c',
        "172.18.0.2/16",
    ));
    // Its tag belongs to a newer image by now.
    table.set_container(&container(
        'c',
        r#","State":"running","Image":"sha256:123""#,
    ));
    let (_, life) = table.uninspected().remove(0);
    table.set_detail(&id('c'), life, &detail(1, "/x"));
    let view = table.view();
    assert_eq!(
        view.attachments[0].container.image.as_deref(),
        Some("web:1")
    );
}

#[test]
fn running_containers_out_of_reach_are_told() {
    let mut table = Table::default();
    table.set_network(&network('a', "host", "host"));
    table.set_network(&network('b', "vlan", "macvlan"));
    table.set_network(&network('d', "net", "bridge"));
    let on = |name: &str, state: &str| {
        format!(r#","State":"{state}","NetworkSettings":{{"Networks":{{"{name}":null}}}}"#)
    };
    table.set_container(&container('1', &on("host", "running")));
    table.set_container(&container('2', &on("vlan", "paused")));
    table.set_container(&container('3', &on("net", "running")));
    table.set_container(&container('4', &on("host", "exited")));
    let drivers: Vec<_> = table
        .view()
        .unprotected
        .iter()
        .map(|unprotected| format!("{} {}", unprotected.name, unprotected.driver))
        .collect();
    assert_eq!(drivers, ["c-1 host", "c-2 macvlan"]);
}

#[test]
fn who_lives_in_anothers_namespace_is_told() {
    let mut table = Table::default();
    table.set_container(&container('1', r#","State":"running""#));
    let by_id = format!(
        r#","State":"running","HostConfig":{{"NetworkMode":"container:{}"}}"#,
        id('1')
    );
    let by_name = r#","State":"running","HostConfig":{"NetworkMode":"container:c-1"}"#;
    table.set_container(&container('2', &by_id));
    table.set_container(&container('3', by_name));
    let view = table.view();
    let owners: Vec<_> = view
        .sharers
        .iter()
        .map(|sharer| sharer.owner.clone())
        .collect();
    assert_eq!(owners, [id('1'), id('1')]);
}

#[test]
fn what_a_list_does_not_have_is_gone() {
    let mut table = Table::default();
    table.set_networks(&[network('a', "one", "bridge"), network('b', "two", "bridge")]);
    table.set_containers(&[container('c', "")]);
    table.set_networks(&[network('b', "two", "bridge")]);
    table.set_containers(&[]);
    let view = table.view();
    assert_eq!(view.networks.len(), 1);
    assert_eq!(view.networks[0].name, "two");
    table.set_network(&with_member(
        network('b', "two", "bridge"),
        'c',
        "172.18.0.2/16",
    ));
    assert_eq!(table.missing(), [id('c')]);
}

#[test]
fn published_ports_lead_through_the_network_that_leads_outside() {
    let ports = r#""Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}]"#;
    let with = |back: &str, front: &str| {
        let mut table = Table::default();
        for (letter, name) in [('a', "front"), ('b', "back")] {
            let answer = network(letter, name, "bridge");
            table.set_network(&with_member(answer, 'c', "172.18.0.2/16"));
        }
        let networks = format!(r#"{{"back":{back},"front":{front}}}"#);
        let rest = format!(r#",{ports},"NetworkSettings":{{"Networks":{networks}}}"#);
        table.set_container(&container('c', &rest));
        let view = table.view();
        let leading = view.attachments.iter().filter(|a| !a.published.is_empty());
        leading.map(|a| a.network.clone()).collect::<Vec<_>>()
    };
    let gateway = r#"{"Gateway":"172.18.0.1"}"#;
    assert_eq!(with(gateway, gateway), ["back"], "the first by name");
    assert_eq!(with(r#"{"Gateway":""}"#, gateway), ["front"]);
    let preferred = r#"{"Gateway":"172.18.0.1","GwPriority":1}"#;
    assert_eq!(with(gateway, preferred), ["front"]);
    assert_eq!(with("null", "null"), ["back"]);
}
