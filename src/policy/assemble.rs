//! From the low forms of all files to one policy: the order of the checks, and what spans files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::diagnostic::Report;
use super::file::{self, File, FileNetwork};
use super::model::{Defaults, Network, Policy};
use super::names::{self, Names};
use super::problem::{FileError, Problems, Refusal, shown};
use super::source::{Source, Sources, Span, Spanned};
use super::{expectation, identity, limits, network, rule, syntax};

/// Reads the file that a network names; the path is already relative to the naming file's folder.
pub type ReadNetwork<'r> = dyn FnMut(&Path) -> Result<Source, FileError> + 'r;

/// A policy from the texts of its files, in their order. Touches no file system itself.
///
/// # Errors
/// Everything that is wrong with the set.
pub fn parse(sources: Vec<Source>, read_network: &mut ReadNetwork<'_>) -> Result<Policy, Report> {
    assemble(sources.into_iter().map(Ok).collect(), read_network)
}

/// The same, where some files could not be read.
pub(super) fn assemble(
    inputs: Vec<Result<Source, FileError>>,
    read_network: &mut ReadNetwork<'_>,
) -> Result<Policy, Report> {
    let mut sources = Sources::default();
    let mut problems = Problems::default();
    let mut paths = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input {
            Ok(source) => {
                paths.push(source.path().to_owned());
                sources.add(source);
            }
            Err(error) => {
                paths.push(error.path.clone());
                problems.add_file(error);
            }
        }
    }
    // What an unreadable file defines is not known: that a name is unknown is no news then.
    let mut incomplete = !problems.is_empty();
    let mut merged = File::default();
    for (index, source) in sources.iter().enumerate() {
        match read(index, source, &mut problems) {
            Some(file) => merge(&mut merged, file, &mut problems),
            None => incomplete = true,
        }
    }
    if paths.is_empty() {
        problems.add_file(FileError {
            path: PathBuf::from("policy.toml"),
            message: "there is no policy file".to_owned(),
            help: "write one".to_owned(),
        });
    }
    check_names(&mut merged, &mut problems);
    check_counts(&merged, &mut problems);
    let texts = read_networks(
        &merged,
        read_network,
        &mut sources,
        &mut paths,
        &mut problems,
    );
    let policy = validate(&merged, incomplete, &texts, &sources, &mut problems);
    if problems.is_empty() {
        Ok(Policy {
            files: paths,
            ..policy
        })
    } else {
        Err(problems.into_report(&sources, paths))
    }
}

fn read(index: usize, source: &Source, problems: &mut Problems) -> Option<File> {
    let table = syntax::parse(index, source, problems)?;
    let before = problems.count();
    let file = file::read(table.get_ref(), index, problems);
    if file.is_empty() && problems.count() == before {
        let start = Span {
            source: index,
            start: 0,
            end: 0,
        };
        let refusal = Refusal::new(
            "the file says nothing",
            "not one statement",
            "an emptied file must not disarm the host: write a rule or [defaults]; in policy.d a file \
             may also be removed, or renamed to something without .toml",
        );
        problems.add(start, refusal);
    }
    Some(file)
}

/// Adds one more file. `[defaults]` and `[defaults.host]` may stand only once each.
fn merge(merged: &mut File, file: File, problems: &mut Problems) {
    let mut once = |title: &str, first: Option<Span>, second: Option<Span>| {
        if let (Some(first), Some(second)) = (first, second) {
            let refusal = Refusal::new(
                format!("{title} is there a second time"),
                "defined before",
                "put all of it into one file",
            );
            problems.add_related(second, refusal, first, "first defined here");
        }
    };
    let span = |file: &File| file.defaults.as_ref().map(|defaults| defaults.span);
    once("[defaults]", span(merged), span(&file));
    let span = |file: &File| file.host.as_ref().map(|host| host.span);
    once("[defaults.host]", span(merged), span(&file));
    merged.defaults = merged.defaults.take().or(file.defaults);
    merged.host = merged.host.take().or(file.host);
    merged.identities.extend(file.identities);
    merged.networks.extend(file.networks);
    merged.rules.extend(file.rules);
    merged.tests.extend(file.tests);
}

/// One name space for identities and networks. What is defined a second time is left out afterwards.
fn check_names(merged: &mut File, problems: &mut Problems) {
    let mut all: Vec<&Spanned<String>> = merged
        .identities
        .iter()
        .map(|identity| &identity.name)
        .chain(merged.networks.iter().map(|network| &network.name))
        .collect();
    all.sort_by_key(|name| name.span);
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    for name in all {
        problems.take(name.span, names::check(&name.value));
        match first.get(&name.value) {
            Some(known) => {
                let refusal = Refusal::new(
                    format!("the name {} is there a second time", shown(&name.value)),
                    "defined before",
                    "rename one of the two; identities and networks share their names",
                );
                problems.add_related(name.span, refusal, *known, "first defined here");
            }
            None => {
                first.insert(name.value.clone(), name.span);
            }
        }
    }
    let is_first = |name: &Spanned<String>| first.get(&name.value) == Some(&name.span);
    merged
        .identities
        .retain(|identity| is_first(&identity.name));
    merged.networks.retain(|network| is_first(&network.name));
    // The order that their numbers refer to.
    merged
        .identities
        .sort_by(|a, b| a.name.value.cmp(&b.name.value));
    merged
        .networks
        .sort_by(|a, b| a.name.value.cmp(&b.name.value));
}

fn check_counts(merged: &File, problems: &mut Problems) {
    let mut check = |what: &str, limit: usize, mut spans: Vec<Span>| {
        spans.sort_unstable();
        if let Some(beyond) = spans.get(limit) {
            let refusal = Refusal::new(
                format!("there are {} {what}", spans.len()),
                format!("the first beyond {limit}"),
                format!("a policy may have {limit} {what}: join what can be joined"),
            );
            problems.add(*beyond, refusal);
        }
    };
    let identities = merged.identities.iter().map(|identity| identity.name.span);
    check("identities", limits::IDENTITIES, identities.collect());
    let networks = merged.networks.iter().map(|network| network.name.span);
    check("networks", limits::NETWORKS, networks.collect());
    let rules = merged.rules.iter().map(|rule| rule.span);
    check("rules", limits::RULES, rules.collect());
    let tests = merged.tests.iter().map(|test| test.span);
    check("tests", limits::TESTS, tests.collect());
}

/// The text of each network's `file`, as an index into `sources`. A file that several networks name is
/// read once.
fn read_networks(
    merged: &File,
    read_network: &mut ReadNetwork<'_>,
    sources: &mut Sources,
    paths: &mut Vec<PathBuf>,
    problems: &mut Problems,
) -> Vec<Option<usize>> {
    let mut known: HashMap<PathBuf, Option<usize>> = HashMap::new();
    let mut texts = Vec::with_capacity(merged.networks.len());
    for FileNetwork { file, .. } in &merged.networks {
        let Some(name) = file else {
            texts.push(None);
            continue;
        };
        if name.value.is_empty() {
            let help = "write file = \"blocklist.txt\", a file with one CIDR a line";
            let refusal = Refusal::new("`file` names no file", "empty", help);
            problems.add(name.span, refusal);
            texts.push(None);
            continue;
        }
        let folder = sources.get(name.span.source).path().parent();
        let path = folder.unwrap_or(Path::new("")).join(&name.value);
        if let Some(index) = known.get(&path) {
            texts.push(*index);
            continue;
        }
        paths.push(path.clone());
        let index = match read_network(&path) {
            Ok(source) => Some(sources.add(source)),
            Err(error) => {
                let refusal = Refusal::new(error.message, "cannot be read", error.help);
                problems.add(name.span, refusal);
                None
            }
        };
        known.insert(path, index);
        texts.push(index);
    }
    texts
}

fn validate(
    merged: &File,
    incomplete: bool,
    texts: &[Option<usize>],
    sources: &Sources,
    problems: &mut Problems,
) -> Policy {
    let identity_names = merged
        .identities
        .iter()
        .map(|entry| entry.name.value.clone());
    let network_names = merged.networks.iter().map(|entry| entry.name.value.clone());
    let names = Names::new(
        identity_names.collect(),
        network_names.collect(),
        incomplete,
    );

    let identities = merged
        .identities
        .iter()
        .map(|entry| identity::validate(entry, sources.location(entry.span), problems))
        .collect();
    let mut prefixes = 0;
    let networks: Vec<Network> = merged
        .networks
        .iter()
        .zip(texts)
        .map(|(entry, text)| {
            let text = text.map(|index| (index, sources.get(index)));
            let location = sources.location(entry.span);
            network::validate(entry, text, location, &mut prefixes, problems)
        })
        .collect();
    let rules = merged
        .rules
        .iter()
        .filter_map(|entry| {
            let location = sources.location(entry.span);
            rule::validate(entry, &names, &networks, location, problems)
        })
        .collect();
    let tests = merged
        .tests
        .iter()
        .filter_map(|entry| {
            let location = sources.location(entry.span);
            expectation::validate(entry, &names, &networks, location, problems)
        })
        .collect();
    Policy {
        defaults: defaults(merged),
        identities,
        networks,
        rules,
        tests,
        files: Vec::new(),
    }
}

fn defaults(merged: &File) -> Defaults {
    fn or<T: Copy>(written: Option<&Spanned<T>>, default: T) -> T {
        written.map_or(default, |written| written.value)
    }
    let base = Defaults::default();
    let own = merged.defaults.as_ref();
    let host = merged.host.as_ref();
    Defaults {
        ingress: or(own.and_then(|own| own.ingress.as_ref()), base.ingress),
        egress: or(own.and_then(|own| own.egress.as_ref()), base.egress),
        mode: or(own.and_then(|own| own.mode.as_ref()), base.mode),
        unidentified: or(
            own.and_then(|own| own.unidentified.as_ref()),
            base.unidentified,
        ),
        host_ingress: or(
            host.and_then(|host| host.ingress.as_ref()),
            base.host_ingress,
        ),
        host_egress: or(host.and_then(|host| host.egress.as_ref()), base.host_egress),
    }
}
