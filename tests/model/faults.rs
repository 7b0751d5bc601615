//! Proof that the comparison can fail: each of these faults, planted in a copy of the C, is found.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::agreement::{Shrink, search};
use crate::harness::kernel::Kernel;

/// Packets within which a fault must be found.
const BUDGET: u64 = 60_000;

/// Builds the programs as the build does, with one thing changed, and looks for a difference.
#[track_caller]
fn is_found(file: &str, right: &str, wrong: &str) {
    let folder = tempfile::tempdir().expect("make a folder");
    let copy = folder.path().join("src/bpf");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bpf");
    fs::create_dir_all(&copy).expect("make a folder");
    for entry in fs::read_dir(&source).expect("read the source") {
        let path = entry.expect("read the source").path();
        fs::copy(&path, copy.join(path.file_name().expect("a file"))).expect("copy the source");
    }
    let text = fs::read_to_string(copy.join(file)).expect("read the source");
    assert_eq!(
        text.matches(right).count(),
        1,
        "{file} has this once: {right}"
    );
    fs::write(copy.join(file), text.replace(right, wrong)).expect("plant a fault");

    let out = folder.path().join("out");
    fs::create_dir(&out).expect("make a folder");
    let build = Command::new(env!("BRIDGEWALL_BUILD_SCRIPT"))
        .current_dir(folder.path())
        .env("OUT_DIR", &out)
        .env("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH)
        .output()
        .expect("run the build script");
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );

    let mut kernel = Kernel::load(&out.join("bridgewall.bpf.o"));
    match search(&mut kernel, BUDGET, 1, Shrink::No) {
        Err(found) => println!("{found}"),
        Ok(coverage) => panic!("not found within {} packets", coverage.packets),
    }
}

/// One test for each: a claim, a file, what is right in it, and what is wrong.
macro_rules! faults {
    ($($claim:ident: $file:literal, $right:literal => $wrong:literal;)*) => {$(
        #[test]
        fn $claim() {
            is_found($file, $right, $wrong);
        }
    )*};
}

faults! {
    any_ipv4_source_is_found: "sender.h",
        "return is_own_ipv4(ip->saddr) ?" => "return ip->saddr ?";
    arp_for_another_is_found: "neighbour.h",
        "if (!is_own_mac(arp->sender_mac) ||" => "if (!is_own_mac(arp->sender_mac) &&";
    neighbour_discovery_from_afar_is_found: "neighbour.h",
        "if (packet->code || packet->ip.hop_limit != ND_HOP_LIMIT)" => "if (packet->code)";
    mapped_addresses_on_the_wire_are_found: "address.h",
        " || is_mapped(address))" => ")";
    strict_source_route_is_found: "ipv4.h",
        "option[0] == IPV4_OPTION_LSRR || option[0] == IPV4_OPTION_SSRR"
            => "option[0] == IPV4_OPTION_LSRR";
    routing_header_0_is_found: "ipv6.h",
        "(!extension->routing_type || extension->segments_left)" => "extension->segments_left";
    overlapping_fragment_is_found: "fragment.h",
        "headers->fragment_offset < first.header_blocks * 8" => "headers->fragment_offset < 8";
    syn_with_fin_is_found: "transport.h",
        "case TCP_FIN | TCP_ACK | TCP_URG:"
            => "case TCP_FIN | TCP_ACK | TCP_URG:\n\tcase TCP_FIN | TCP_SYN:";
    rogue_dhcp_server_is_found: "upkeep.h",
        "headers->source_port ==\n\t\t    (ipv6" => "headers->destination_port ==\n\t\t    (ipv6";
    icmp_code_that_is_not_looked_at_is_found: "policy.h",
        "(__u32)headers->icmp_type << 8 | headers->icmp_code" => "(__u32)headers->icmp_type << 8";
    range_that_begins_one_late_is_found: "policy.h",
        "(__u64)selector - step->from)" => "(__u64)selector - step->from - 1)";
    side_that_has_no_say_is_found: "policy.h",
        "packet->side == SIDE_EGRESS ? egress.verdict : ingress.verdict" => "egress.verdict";
    policy_change_that_reaches_no_connection_is_found: "flow.h",
        "if (flow->generation != packet->generation && !(status & FLOW_FORWARDED)) {"
            => "if (!flow->generation) {";
    error_about_another_s_connection_is_found: "quote.h",
        "if (receiver != packet->endpoint)" => "if (!receiver)";
    reset_that_cannot_be_taken_back_is_found: "flow.h",
        "if (status & reset)" => "if (!status && reset)";
    connection_without_a_handshake_is_found: "flow.h",
        "return replying || status & FLOW_REPLIED;" => "return true;";
    error_from_who_saw_nothing_is_found: "quote.h",
        "return other == (get_mark(skb) & MARK_NUMBER);" => "return true;";
    quotation_in_the_padding_is_found: "quote.h",
        "end = error->transport + error->length;" => "end = skb->len;";
    group_that_the_host_is_not_asked_for_is_found: "verdict.h",
        "question.listener = IDENTITY_HOST;" => "question.sides = JUDGE_EGRESS;";
    one_receiver_in_a_frame_to_many_is_found: "verdict.h",
        "if (!is_world(packet->destination.identity))" => "if (0)";
    neighbour_discovery_that_leaves_the_link_is_found: "upkeep.h",
        " ||\n\t    is_world(party.identity))" => ")";
    machine_that_speaks_for_another_is_found: "upkeep.h",
        "return is_world(owner.identity) ||" => "return owner.identity ||";
    icmp_router_is_found: "upkeep.h",
        "type == ICMP_REDIRECT || type == ICMP_ROUTER_ADVERT" => "type == ICMP_REDIRECT";
    dhcp_to_a_client_is_found: "upkeep.h",
        ": bpf_htons(DHCP_CLIENT_PORT)" => ": bpf_htons(DHCP_SERVER_PORT)";
    fragments_of_more_than_a_packet_are_found: "fragment.h",
        "before + headers->fragment_offset + length"
            => "before * 0 + headers->fragment_offset + length";
    unproven_sender_is_found: "verdict.h",
        "return packet->source.endpoint == sender ? DROP_NONE : DROP_SOURCE_UNPROVEN;"
            => "return DROP_NONE;";
    trusted_gateway_address_is_found: "verdict.h",
        "packet->source.identity == IDENTITY_HOST && skb->ingress_ifindex"
            => "packet->source.identity == IDENTITY_NONE && skb->ingress_ifindex";
    published_port_that_is_the_hosts_is_found: "verdict.h",
        "if (reason || packet->destination.identity != IDENTITY_HOST)"
            => "if (reason || packet->destination.identity != IDENTITY_NONE)";
    number_of_the_published_port_is_found: "published.h",
        "<< 16 | bpf_ntohs(found->port)" => "<< 16 | bpf_ntohs(key.port)";
    published_port_judged_without_its_receiver_is_found: "verdict.h",
        " && !(packet->flags & PACKET_PUBLISHED))" => ")";
    stranger_that_answers_for_a_published_port_is_found: "flow.h",
        "return !skb->ingress_ifindex;" => "return true;";
    rule_that_counts_twice_is_found: "verdict.h",
        "if (ingress != egress)" => "if (ingress)";
    judgement_for_another_receiver_is_found: "bridgewall.bpf.c",
        "if ((mark & MARK_NUMBER) == packet->endpoint)" => "if (mark & MARK_NUMBER)";
}
