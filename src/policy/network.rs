//! `[networks.NAME]`: CIDRs, inline and from files of any length.

use ipnet::IpNet;

use super::cidr;
use super::file::FileNetwork;
use super::limits;
use super::model::{Location, Network};
use super::problem::{Problems, Refusal, shown};
use super::reader::List;
use super::source::{Source, Span};

/// Checks one network. `file` is the text of its `file`, with its index; `prefixes` counts those of all
/// networks.
pub(super) fn validate(
    network: &FileNetwork,
    file: Option<(usize, &Source)>,
    location: Location,
    prefixes: &mut usize,
    problems: &mut Problems,
) -> Network {
    let before = problems.count();
    let mut cidrs = inline(network.cidrs.as_ref(), problems);
    if let Some((index, source)) = file {
        read_lines(index, source, &mut cidrs, problems);
    }
    cidrs.sort_unstable();
    cidrs.dedup();
    // An empty file may be filled later; and where CIDRs are wrong, exceptions are not to blame.
    let complete = network.complete
        && file.is_some() == network.file.is_some()
        && problems.count() == before
        && !cidrs.is_empty();
    let mut except = Vec::new();
    for entry in network.except.iter().flat_map(|list| &list.value) {
        let Some(net) = problems.take(entry.span, cidr::parse(&entry.value)) else {
            continue;
        };
        if complete && !lies_in(&cidrs, net) {
            let refusal = Refusal::new(
                format!(
                    "{} is not in [networks.{}] in the first place",
                    shown(&entry.value),
                    network.name.value
                ),
                "lies in none of its CIDRs",
                "take it out, or correct it: an exception lies within one of `cidrs` or the `file`",
            );
            problems.add(entry.span, refusal);
        }
        except.push(net);
    }
    except.sort_unstable();
    except.dedup();
    let others = *prefixes;
    *prefixes += cidrs.len() + except.len();
    if others <= limits::PREFIXES && *prefixes > limits::PREFIXES {
        let refusal = Refusal::new(
            "the networks have too many CIDRs",
            format!("with this one more than {}", limits::PREFIXES),
            "shorten the lists: join neighbouring networks into larger ones",
        );
        problems.add(network.span, refusal);
    }
    Network {
        name: network.name.value.clone(),
        cidrs,
        except,
        location,
    }
}

fn inline(list: Option<&List<String>>, problems: &mut Problems) -> Vec<IpNet> {
    list.iter()
        .flat_map(|list| &list.value)
        .filter_map(|entry| problems.take(entry.span, cidr::parse(&entry.value)))
        .collect()
}

/// Whether a prefix lies within one of a sorted list: looks each of its parents up, so that long lists
/// cost no more than short ones.
fn lies_in(sorted: &[IpNet], net: IpNet) -> bool {
    (0..=net.prefix_len()).any(|length| {
        IpNet::new(net.addr(), length)
            .is_ok_and(|parent| sorted.binary_search(&parent.trunc()).is_ok())
    })
}

/// One CIDR a line; `#` begins a comment.
fn read_lines(index: usize, source: &Source, cidrs: &mut Vec<IpNet>, problems: &mut Problems) {
    let span = |start, end| Span {
        source: index,
        start,
        end,
    };
    if let Some(offset) = source.invalid() {
        let help = "save it as UTF-8";
        let refusal = Refusal::new(
            "the file is not UTF-8 text",
            "the first byte that is not",
            help,
        );
        problems.add(span(offset, offset + 1), refusal);
        return;
    }
    let text = source.text();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        // A byte order mark is what some editors begin a file with.
        let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
        let body = content.trim_start_matches(blank);
        let at = start + content.len() - body.len();
        let body = body.trim_end();
        start += line.len();
        if body.is_empty() {
            continue;
        }
        if let Some(net) = problems.take(span(at, at + body.len()), cidr::parse(body)) {
            cidrs.push(net);
            if cidrs.len() > limits::PREFIXES + limits::LIST_ENTRIES {
                // More than the limit of all networks; the caller says so.
                return;
            }
        }
    }
}
