//! The low form: what one policy file says, typed but not yet checked for sense. Every value that a
//! message may point at knows its place.

use toml::de::{DeTable, DeValue};

use super::model::{Action, Mode, Side};
use super::problem::{Problems, Refusal, shown};
use super::reader::{Item, List, Reader, entries, type_name};
use super::source::{Span, Spanned};

/// One file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// `[defaults]`, and `[defaults.host]` on its own.
    pub defaults: Option<FileDefaults>,
    /// `[defaults.host]`.
    pub host: Option<FileHost>,
    /// `[identities.NAME]`.
    pub identities: Vec<FileIdentity>,
    /// `[networks.NAME]`.
    pub networks: Vec<FileNetwork>,
    /// `[[allow]]` and `[[deny]]`, in order.
    pub rules: Vec<FileRule>,
    /// `[[test]]`, in order.
    pub tests: Vec<FileTest>,
}

/// `[defaults]`, without the host's.
#[derive(Debug)]
pub(super) struct FileDefaults {
    pub span: Span,
    pub ingress: Option<Spanned<Action>>,
    pub egress: Option<Spanned<Action>>,
    pub mode: Option<Spanned<Mode>>,
    pub unidentified: Option<Spanned<Action>>,
}

/// `[defaults.host]`.
#[derive(Debug)]
pub(super) struct FileHost {
    pub span: Span,
    pub ingress: Option<Spanned<Action>>,
    pub egress: Option<Spanned<Action>>,
}

/// `[identities.NAME]`.
#[derive(Debug)]
pub(super) struct FileIdentity {
    pub name: Spanned<String>,
    pub span: Span,
    pub labels: Vec<(Spanned<String>, Spanned<String>)>,
    pub conditions: Vec<FileCondition>,
    pub container: Option<Spanned<String>>,
    pub image: Option<Spanned<String>>,
    pub network: Option<Spanned<String>>,
    pub project: Option<Spanned<String>>,
    pub interface: Option<Spanned<String>>,
    pub ingress: Option<Spanned<Action>>,
    pub egress: Option<Spanned<Action>>,
    pub mode: Option<Spanned<Mode>>,
    /// Whether any condition is written, right or wrong.
    pub has_condition: bool,
}

/// One entry of `match`.
#[derive(Debug)]
pub(super) struct FileCondition {
    pub span: Span,
    pub key: Option<Spanned<String>>,
    pub operator: Option<Spanned<Operator>>,
    pub values: Option<List<String>>,
}

/// `op` of `match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    In,
    NotIn,
    Exists,
    Absent,
}

/// `[networks.NAME]`.
#[derive(Debug)]
pub(super) struct FileNetwork {
    pub name: Spanned<String>,
    pub span: Span,
    pub cidrs: Option<List<String>>,
    pub except: Option<List<String>>,
    pub file: Option<Spanned<String>>,
    /// Whether all of it could be read.
    pub complete: bool,
}

/// `[[allow]]` or `[[deny]]`.
#[derive(Debug)]
pub(super) struct FileRule {
    pub action: Action,
    pub span: Span,
    pub name: Option<Spanned<String>>,
    pub from: Option<List<String>>,
    pub to: Option<List<String>>,
    pub ports: Option<List<Item>>,
    pub icmp: Option<List<Item>>,
    pub protocols: Option<List<Item>>,
    pub side: Option<Spanned<Side>>,
    pub log: Option<Spanned<bool>>,
}

/// `[[test]]`.
#[derive(Debug)]
pub(super) struct FileTest {
    pub span: Span,
    pub from: Option<Spanned<String>>,
    pub to: Option<Spanned<String>>,
    pub port: Option<Spanned<Item>>,
    pub icmp: Option<Spanned<Item>>,
    pub protocol: Option<Spanned<Item>>,
    pub expect: Option<Spanned<Action>>,
    /// How many of `port`, `icmp` and `protocol` are written, right or wrong.
    pub questions: usize,
}

const ACTIONS: &[(&str, Action)] = &[("deny", Action::Deny), ("allow", Action::Allow)];
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("audit", Mode::Audit)];
const SIDES: &[(&str, Side)] = &[("egress", Side::Egress), ("ingress", Side::Ingress)];
const EXPECTATIONS: &[(&str, Action)] = &[("allow", Action::Allow), ("drop", Action::Deny)];
const CONDITION: &str = "{ key = \"env\", op = \"in\", values = [\"prod\", \"staging\"] }";
const OPERATORS: &[(&str, Operator)] = &[
    ("in", Operator::In),
    ("not-in", Operator::NotIn),
    ("exists", Operator::Exists),
    ("absent", Operator::Absent),
];

/// Reads one file's top level.
pub(super) fn read(table: &DeTable<'_>, source: usize, problems: &mut Problems) -> File {
    let start = Span {
        source,
        start: 0,
        end: 0,
    };
    let mut file = File::default();
    let mut top = Reader::new(table, "the policy", start, problems);
    let defaults = top.table("defaults", "[defaults]");
    let identities = top.table("identities", "[identities.NAME]");
    let networks = top.table("networks", "[networks.NAME]");
    let allow = top.tables(
        "allow",
        "write [[allow]], in double brackets, before each rule",
    );
    let deny = top.tables(
        "deny",
        "write [[deny]], in double brackets, before each rule",
    );
    let tests = top.tables(
        "test",
        "write [[test]], in double brackets, before each test",
    );
    top.finish();

    if let Some((table, span)) = defaults {
        read_defaults(table, span, &mut file, problems);
    }
    if let Some((table, _)) = identities {
        for (name, table, span) in named(table, source, "identities", problems) {
            file.identities.push(identity(name, table, span, problems));
        }
    }
    if let Some((table, _)) = networks {
        for (name, table, span) in named(table, source, "networks", problems) {
            file.networks.push(network(name, table, span, problems));
        }
    }
    for (action, tables) in [(Action::Allow, allow), (Action::Deny, deny)] {
        for (table, span) in tables {
            file.rules.push(rule(action, table, span, problems));
        }
    }
    // The order of the text, whichever of the two lists a rule stands in.
    file.rules.sort_by_key(|rule| rule.span);
    for (table, span) in tests {
        file.tests.push(test(table, span, problems));
    }
    file
}

impl File {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.defaults.is_none()
            && self.host.is_none()
            && self.identities.is_empty()
            && self.networks.is_empty()
            && self.rules.is_empty()
            && self.tests.is_empty()
    }
}

fn read_defaults(table: &DeTable<'_>, span: Span, file: &mut File, problems: &mut Problems) {
    let mut reader = Reader::new(table, "[defaults]", span, problems);
    let defaults = FileDefaults {
        span,
        ingress: reader.choice("ingress", ACTIONS),
        egress: reader.choice("egress", ACTIONS),
        mode: reader.choice("mode", MODES),
        unidentified: reader.choice("unidentified", ACTIONS),
    };
    let host = reader.table("host", "[defaults.host]");
    reader.finish();
    if table.len() > usize::from(table.contains_key("host")) {
        file.defaults = Some(defaults);
    }
    let Some((table, span)) = host else { return };
    let mut reader = Reader::new(table, "[defaults.host]", span, problems);
    let host = FileHost {
        span,
        ingress: reader.choice("ingress", ACTIONS),
        egress: reader.choice("egress", ACTIONS),
    };
    reader.finish();
    if !table.is_empty() {
        file.host = Some(host);
    }
}

/// The tables `[list.NAME]`, in the order of the text.
fn named<'r, 't>(
    table: &'r DeTable<'t>,
    source: usize,
    list: &str,
    problems: &mut Problems,
) -> Vec<(Spanned<String>, &'r DeTable<'t>, Span)> {
    let mut tables = Vec::with_capacity(table.len());
    for (name, value, span) in entries(table, source) {
        if let DeValue::Table(table) = value {
            tables.push((name, table, span));
        } else {
            let refusal = Refusal::new(
                format!(
                    "{} in `{list}` must be a table, and is {}",
                    shown(&name.value),
                    type_name(value)
                ),
                type_name(value),
                format!("write [{list}.{}], and its keys below", name.value),
            );
            problems.add(name.span, refusal);
        }
    }
    tables
}

fn identity(
    name: Spanned<String>,
    table: &DeTable<'_>,
    span: Span,
    problems: &mut Problems,
) -> FileIdentity {
    let title = format!("[identities.{}]", name.value);
    let mut reader = Reader::new(table, title.clone(), span, problems);
    let labels = reader.table("labels", "labels = { role = \"db\" }");
    let conditions = reader.tables("match", &format!("write match = [{CONDITION}]"));
    let mut identity = FileIdentity {
        name,
        span,
        labels: Vec::new(),
        conditions: Vec::new(),
        container: reader.text("name", "shop-*"),
        image: reader.text("image", "registry.example/shop/*"),
        network: reader.text("network", "backend"),
        project: reader.text("project", "shop"),
        interface: reader.text("interface", "tap*"),
        ingress: reader.choice("ingress", ACTIONS),
        egress: reader.choice("egress", ACTIONS),
        mode: reader.choice("mode", MODES),
        has_condition: [
            "labels",
            "match",
            "name",
            "image",
            "network",
            "project",
            "interface",
        ]
        .iter()
        .any(|key| reader.has(key)),
    };
    reader.finish();
    if let Some((table, span)) = labels {
        if table.is_empty() {
            let help = "write labels = { key = \"value\" }, or leave the key out";
            problems.add(
                span,
                Refusal::new("`labels` is empty", "nothing in it", help),
            );
        }
        for (key, value, span) in entries(table, span.source) {
            identity.labels.extend(label(key, value, span, problems));
        }
    }
    for (table, span) in conditions {
        let condition = condition(table, &title, span, problems);
        identity.conditions.push(condition);
    }
    identity
}

fn label(
    key: Spanned<String>,
    value: &DeValue<'_>,
    span: Span,
    problems: &mut Problems,
) -> Option<(Spanned<String>, Spanned<String>)> {
    let help = match value {
        DeValue::String(text) => {
            let value = text.clone().into_owned();
            return Some((key, Spanned { value, span }));
        }
        // `com.docker.compose.service = "web"` is four tables in TOML.
        DeValue::Table(table) => {
            let mut path = key.value.clone();
            let mut inner = Some(table);
            while let Some((name, value)) = inner.and_then(|table| table.iter().next()) {
                path = format!("{path}.{}", name.get_ref());
                inner = value.get_ref().as_table();
            }
            format!("a key with dots stands in quotes: \"{path}\" = \"...\"")
        }
        DeValue::Integer(number) => format!("put it in quotes: \"{number}\""),
        DeValue::Boolean(value) => format!("put it in quotes: \"{value}\""),
        _ => "write one string; for several values use match = [{ key = ..., op = \"in\", \
              values = [...] }]"
            .to_owned(),
    };
    let refusal = Refusal::new(
        format!(
            "the label {} must be a string, and is {}",
            shown(&key.value),
            type_name(value)
        ),
        type_name(value),
        help,
    );
    problems.add(span, refusal);
    None
}

fn condition(
    table: &DeTable<'_>,
    title: &str,
    span: Span,
    problems: &mut Problems,
) -> FileCondition {
    let mut reader = Reader::new(table, format!("`match` of {title}"), span, problems);
    let help = format!("write {CONDITION}");
    reader.require("key", &help);
    reader.require("op", &help);
    let condition = FileCondition {
        span,
        key: reader.text("key", "env"),
        operator: reader.choice("op", OPERATORS),
        values: reader.texts("values", "prod"),
    };
    let has_values = reader.has("values");
    if let Some(operator) = &condition.operator {
        match (operator.value, has_values) {
            (Operator::In | Operator::NotIn, false) => reader.require("values", &help),
            (Operator::Exists | Operator::Absent, true) => {
                let refusal = Refusal::new(
                    "`exists` and `absent` take no `values`",
                    "does not look at values",
                    "leave `values` out, or write op = \"in\" or \"not-in\"",
                );
                reader.refuse(operator.span, refusal);
            }
            _ => {}
        }
    }
    reader.finish();
    condition
}

fn network(
    name: Spanned<String>,
    table: &DeTable<'_>,
    span: Span,
    problems: &mut Problems,
) -> FileNetwork {
    let title = format!("[networks.{}]", name.value);
    let before = problems.count();
    let mut reader = Reader::new(table, title.clone(), span, problems);
    let mut network = FileNetwork {
        name,
        span,
        cidrs: reader.texts("cidrs", "203.0.113.0/24"),
        except: reader.texts("except", "203.0.113.66/32"),
        file: reader.text("file", "blocklist.txt"),
        complete: true,
    };
    if !reader.has("cidrs") && !reader.has("file") {
        let refusal = Refusal::new(
            format!("{title} has no addresses"),
            "needs `cidrs` or `file`",
            "write cidrs = [\"203.0.113.0/24\"] or file = \"blocklist.txt\"",
        );
        reader.refuse(span, refusal);
    }
    reader.finish();
    network.complete = problems.count() == before;
    network
}

fn rule(action: Action, table: &DeTable<'_>, span: Span, problems: &mut Problems) -> FileRule {
    let title = match action {
        Action::Allow => "[[allow]]",
        Action::Deny => "[[deny]]",
    };
    let mut reader = Reader::new(table, title, span, problems);
    reader.require(
        "from",
        "write who opens the connection: from = \"web\" or from = \"any\"",
    );
    reader.require(
        "to",
        "write who it is opened to: to = \"db\" or to = \"any\"",
    );
    let rule = FileRule {
        action,
        span,
        name: reader.text("name", "ping the web tier"),
        from: reader.texts("from", "web"),
        to: reader.texts("to", "db"),
        ports: reader.items("ports", "80/tcp"),
        icmp: reader.items("icmp", "echo-request"),
        protocols: reader.items("protocols", "gre"),
        side: reader.choice("side", SIDES),
        log: reader.boolean("log"),
    };
    reader.finish();
    rule
}

fn test(table: &DeTable<'_>, span: Span, problems: &mut Problems) -> FileTest {
    let mut reader = Reader::new(table, "[[test]]", span, problems);
    reader.require(
        "from",
        "write who opens the connection: from = \"internet\"",
    );
    reader.require("to", "write who it is opened to: to = \"db\"");
    reader.require("expect", "write expect = \"allow\" or expect = \"drop\"");
    let test = FileTest {
        span,
        from: reader.text("from", "internet"),
        to: reader.text("to", "db"),
        port: reader.item("port", "3306/tcp"),
        icmp: reader.item("icmp", "echo-request"),
        protocol: reader.item("protocol", "gre"),
        expect: reader.choice("expect", EXPECTATIONS),
        questions: ["port", "icmp", "protocol"]
            .iter()
            .filter(|key| reader.has(key))
            .count(),
    };
    if test.questions != 1 {
        let refusal = Refusal::new(
            "[[test]] needs one of `port`, `icmp` and `protocol`",
            format!("has {}", test.questions),
            "write port = \"443/tcp\", icmp = \"echo-request\" or protocol = \"gre\"; \
             several tests for several questions",
        );
        reader.refuse(span, refusal);
    }
    reader.finish();
    test
}
