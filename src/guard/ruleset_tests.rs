use pretty_assertions::assert_eq;

use super::*;

fn link(ifindex: u32, name: &str, kind: &str, master: Option<u32>) -> Link {
    Link {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        master,
        ..Link::nameless(ifindex)
    }
}

fn patterns(globs: &[&str]) -> Vec<Pattern> {
    let pattern = |glob: &&str| Pattern::new(glob).expect("a glob");
    globs.iter().map(pattern).collect()
}

fn bridges(managed: &[&str], excluded: &[&str]) -> Bridges {
    Bridges {
        managed: patterns(managed),
        excluded: patterns(excluded),
        ..Bridges::default()
    }
}

/// The rules of one end.
fn rules(bridges: &Bridges, interfaces: &[&str], sight: Sight, links: &[Link]) -> Vec<String> {
    let interfaces: Vec<_> = interfaces.iter().map(ToString::to_string).collect();
    let scope = Scope {
        bridges,
        interfaces: &interfaces,
        ports: &patterns(&["veth*"]),
        group: 7,
        mark: 0xffff_0000,
    };
    scope.rules(sight, SENT, links)
}

#[test]
fn the_whole_table_reads_as_it_does_in_the_documentation() {
    let scope = Scope {
        bridges: &bridges(&["docker0"], &[]),
        interfaces: &["tap0".to_owned()],
        ports: &patterns(&["veth*"]),
        group: 7,
        mark: 0xffff_0000,
    };
    assert_eq!(
        scope.script(Sight::Bridges, &[]),
        "\
table bridge bridgewall
delete table bridge bridgewall
table inet bridgewall
delete table inet bridgewall
table arp bridgewall
delete table arp bridgewall
table bridge bridgewall {
	chain from_port {
		type filter hook prerouting priority -400; policy accept;
		jump sent
	}
	chain from_port_to_host {
		type filter hook input priority -400; policy accept;
		jump sent
	}
	chain to_port {
		type filter hook postrouting priority -400; policy accept;
		jump received
	}
	chain sent {
		iifgroup 7 meta mark & 0xffff0000 != 0 accept
		iifname \"tap0\" counter drop
		meta ibrname \"docker0\" counter drop
	}
	chain received {
		oifgroup 7 accept
		oifname \"tap0\" counter drop
		meta obrname \"docker0\" counter drop
	}
}
table inet bridgewall {
	chain unhooked {
		type filter hook prerouting priority -400; policy accept;
		meta pkttype multicast ether daddr 01:80:c2:00:00:0e counter drop
	}
}
table arp bridgewall {
	chain unhooked {
		type filter hook input priority -400; policy accept;
		meta pkttype multicast ether daddr 01:80:c2:00:00:0e counter drop
	}
}
"
    );
}

#[test]
fn bridges_that_are_not_managed_are_left_alone() {
    let links = [
        link(1, "br-lan", "bridge", None),
        link(2, "br-0123456789ab", "bridge", None),
        link(3, "br-ba9876543210", "bridge", None),
        link(4, "virbr0", "bridge", None),
    ];
    let bridges = bridges(
        &["docker0", "br-????????????"],
        &["br-ba9876543210", "lab-*"],
    );
    assert_eq!(
        rules(&bridges, &[], Sight::Bridges, &links),
        [
            "meta ibrname \"br-ba9876543210\" accept",
            "meta ibrname \"lab-*\" accept",
            "meta ibrname { \"br-ba9876543210\", \"br-lan\" } accept",
            "meta ibrname \"docker0\" counter drop",
            "meta ibrname \"br-*\" meta iifkind \"veth\" counter drop",
        ]
    );
}

#[test]
fn without_sight_of_bridges_their_ports_are_left_alone_one_by_one() {
    let links = [
        link(1, "docker0", "bridge", None),
        link(2, "lxcbr0", "bridge", None),
        link(3, "veth1", "veth", Some(1)),
        link(4, "veth2", "veth", Some(2)),
        link(5, "veth3", "veth", None),
        link(6, "tap9", "tun", Some(2)),
        link(7, "veth\"odd", "veth", Some(2)),
    ];
    assert_eq!(
        rules(&bridges(&["docker0"], &[]), &[], Sight::Ports, &links),
        [
            "iifname { \"veth2\" } accept",
            "iifname \"veth*\" counter drop"
        ]
    );
}

#[test]
fn interfaces_that_are_named_are_guarded_wherever_they_are() {
    for sight in [Sight::Bridges, Sight::Ports] {
        let rules = rules(&bridges(&[], &["lab0"]), &["tap0"], sight, &[]);
        assert_eq!(rules[0], "iifname \"tap0\" counter drop");
    }
}

#[test]
fn a_name_that_could_be_more_than_a_name_is_not_written() {
    let rules = rules(
        &bridges(&["a\" accept; #"], &[]),
        &["x\"; flush ruleset"],
        Sight::Bridges,
        &[],
    );
    assert_eq!(
        rules,
        ["meta ibrname \"a*\" meta iifkind \"veth\" counter drop"]
    );
}

#[test]
fn a_listing_that_lacks_a_rule_is_told_from_a_whole_one() {
    let whole = "\tjump sent\n\t\tiifgroup 7 accept\n\t\tiifname \"tap0\" counter drop\n";
    assert_eq!(verdicts(whole), [1, 1, 1]);
    assert_eq!(
        verdicts(&whole.replace("\t\tiifgroup 7 accept\n", "")),
        [1, 0, 1]
    );
}
