//! `protocols`: whole IP protocols, by name or number.

use super::problem::{Refusal, did_you_mean, shown};
use super::traffic::Interval;

/// <https://www.iana.org/assignments/protocol-numbers>, in kebab case, with the names that systems'
/// `/etc/protocols` use besides. A name may stand for several numbers; a number's first name comes first.
const PROTOCOLS: &[(u8, &[&str])] = &[
    (0, &["hopopt"]),
    (1, &["icmp"]),
    (2, &["igmp"]),
    (3, &["ggp"]),
    (4, &["ipv4", "ipencap"]),
    (5, &["st"]),
    (6, &["tcp"]),
    (7, &["cbt"]),
    (8, &["egp"]),
    (9, &["igp"]),
    (10, &["bbn-rcc-mon"]),
    (11, &["nvp-ii"]),
    (12, &["pup"]),
    (13, &["argus"]),
    (14, &["emcon"]),
    (15, &["xnet"]),
    (16, &["chaos"]),
    (17, &["udp"]),
    (18, &["mux"]),
    (19, &["dcn-meas"]),
    (20, &["hmp"]),
    (21, &["prm"]),
    (22, &["xns-idp"]),
    (23, &["trunk-1"]),
    (24, &["trunk-2"]),
    (25, &["leaf-1"]),
    (26, &["leaf-2"]),
    (27, &["rdp"]),
    (28, &["irtp"]),
    (29, &["iso-tp4"]),
    (30, &["netblt"]),
    (31, &["mfe-nsp"]),
    (32, &["merit-inp"]),
    (33, &["dccp"]),
    (34, &["3pc"]),
    (35, &["idpr"]),
    (36, &["xtp"]),
    (37, &["ddp"]),
    (38, &["idpr-cmtp"]),
    (39, &["tp++"]),
    (40, &["il"]),
    (41, &["ipv6"]),
    (42, &["sdrp"]),
    (43, &["ipv6-route"]),
    (44, &["ipv6-frag"]),
    (45, &["idrp"]),
    (46, &["rsvp"]),
    (47, &["gre"]),
    (48, &["dsr"]),
    (49, &["bna"]),
    (50, &["esp"]),
    (51, &["ah"]),
    (52, &["i-nlsp"]),
    (53, &["swipe"]),
    (54, &["narp"]),
    (55, &["min-ipv4", "mobile"]),
    (56, &["tlsp"]),
    (57, &["skip"]),
    (58, &["ipv6-icmp", "icmpv6", "icmp"]),
    (59, &["ipv6-nonxt"]),
    (60, &["ipv6-opts"]),
    (62, &["cftp"]),
    (64, &["sat-expak"]),
    (65, &["kryptolan"]),
    (66, &["rvd"]),
    (67, &["ippc"]),
    (69, &["sat-mon"]),
    (70, &["visa"]),
    (71, &["ipcv"]),
    (72, &["cpnx"]),
    (73, &["cphb", "rspf"]),
    (74, &["wsn"]),
    (75, &["pvp"]),
    (76, &["br-sat-mon"]),
    (77, &["sun-nd"]),
    (78, &["wb-mon"]),
    (79, &["wb-expak"]),
    (80, &["iso-ip"]),
    (81, &["vmtp"]),
    (82, &["secure-vmtp"]),
    (83, &["vines"]),
    (84, &["iptm", "ttp"]),
    (85, &["nsfnet-igp"]),
    (86, &["dgp"]),
    (87, &["tcf"]),
    (88, &["eigrp"]),
    (89, &["ospfigp", "ospf"]),
    (90, &["sprite-rpc"]),
    (91, &["larp"]),
    (92, &["mtp"]),
    (93, &["ax-25", "ax.25"]),
    (94, &["ipip"]),
    (95, &["micp"]),
    (96, &["scc-sp"]),
    (97, &["etherip"]),
    (98, &["encap"]),
    (100, &["gmtp"]),
    (101, &["ifmp"]),
    (102, &["pnni"]),
    (103, &["pim"]),
    (104, &["aris"]),
    (105, &["scps"]),
    (106, &["qnx"]),
    (107, &["a-n"]),
    (108, &["ipcomp"]),
    (109, &["snp"]),
    (110, &["compaq-peer"]),
    (111, &["ipx-in-ip"]),
    (112, &["vrrp", "carp"]),
    (113, &["pgm"]),
    (115, &["l2tp"]),
    (116, &["ddx"]),
    (117, &["iatp"]),
    (118, &["stp"]),
    (119, &["srp"]),
    (120, &["uti"]),
    (121, &["smp"]),
    (122, &["sm"]),
    (123, &["ptp"]),
    (124, &["isis-over-ipv4", "isis"]),
    (125, &["fire"]),
    (126, &["crtp"]),
    (127, &["crudp"]),
    (128, &["sscopmce"]),
    (129, &["iplt"]),
    (130, &["sps"]),
    (131, &["pipe"]),
    (132, &["sctp"]),
    (133, &["fc"]),
    (134, &["rsvp-e2e-ignore"]),
    (135, &["mobility-header"]),
    (136, &["udplite"]),
    (137, &["mpls-in-ip"]),
    (138, &["manet"]),
    (139, &["hip"]),
    (140, &["shim6"]),
    (141, &["wesp"]),
    (142, &["rohc"]),
    (143, &["ethernet"]),
    (144, &["aggfrag"]),
    (145, &["nsh"]),
    (146, &["homa"]),
    (147, &["bit-emu"]),
];

/// A name (`gre`) or a number from 0 to 255. `icmp` is ICMP of both families, `ipv6-icmp` IPv6's alone
/// and the number 1 IPv4's alone.
pub(super) fn parse(text: &str) -> Result<Vec<Interval>, Refusal> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(number) => Ok(vec![Interval::protocol(number)]),
            Err(_) => Err(Refusal::new(
                format!("{} is beyond the last protocol", shown(text)),
                "more than 255",
                "write a number from 0 to 255",
            )),
        };
    }
    let intervals: Vec<_> = PROTOCOLS
        .iter()
        .filter(|(_, names)| names.contains(&text))
        .map(|(number, _)| Interval::protocol(*number))
        .collect();
    if !intervals.is_empty() {
        return Ok(intervals);
    }
    let names = PROTOCOLS
        .iter()
        .flat_map(|(_, names)| names.iter().copied());
    let help = if text.contains('/') {
        "ports stand in `ports`".to_owned()
    } else {
        did_you_mean(&text.to_ascii_lowercase(), names, || {
            "write a name of the IANA registry such as \"gre\" or \"esp\", or a number".to_owned()
        })
    };
    let message = format!("{} is not an IP protocol", shown(text));
    Err(Refusal::new(message, "no such protocol", help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_by_name_is_both_families_and_by_number_one() {
        assert_eq!(
            parse("icmp"),
            Ok(vec![Interval::protocol(1), Interval::protocol(58)])
        );
        assert_eq!(parse("1"), Ok(vec![Interval::protocol(1)]));
        for text in ["58", "ipv6-icmp", "icmpv6"] {
            assert_eq!(parse(text), Ok(vec![Interval::protocol(58)]));
        }
    }

    #[test]
    fn every_name_but_icmp_means_one_protocol() {
        let mut numbers: Vec<u8> = PROTOCOLS.iter().map(|(number, _)| *number).collect();
        let count = numbers.len();
        numbers.dedup();
        assert!(numbers.is_sorted() && numbers.len() == count);
        for (number, names) in PROTOCOLS {
            for name in names.iter().filter(|name| **name != "icmp") {
                assert_eq!(parse(name), Ok(vec![Interval::protocol(*number)]), "{name}");
            }
        }
    }
}
