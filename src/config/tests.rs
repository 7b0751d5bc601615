use pretty_assertions::assert_eq;

use std::path::Path;

use super::*;
use crate::policy::Trust;

const INSTALLED: &str = include_str!("../../config/bridgewall.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("bridgewall.toml"), text)
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// `#key = ...` and `#[section]` are defaults; `# Text` is text.
fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_installed_file_as_it_is_changes_nothing() {
    assert_eq!(parse(INSTALLED).expect("valid"), Config::default());
}

#[test]
fn the_installed_file_documents_every_key_with_its_default() {
    let documented: toml::Table = uncommented(INSTALLED).parse().expect("valid TOML");
    let mut defaults = toml::Table::try_from(Config::default()).expect("plain data");
    // An empty list of tables has no line of its own; its example is tested below.
    assert_eq!(
        defaults.remove("interfaces"),
        Some(toml::Value::Array(vec![]))
    );
    assert_eq!(documented, defaults);
    assert_eq!(
        parse(&uncommented(INSTALLED)).expect("valid"),
        Config::default()
    );
}

#[test]
fn the_example_of_an_interface_is_valid() {
    let example: String = INSTALLED
        .lines()
        .skip_while(|line| !line.contains("[[interfaces]]\n") && !line.starts_with("#   [["))
        .take_while(|line| line.starts_with("#   "))
        .map(|line| format!("{}\n", &line[1..]))
        .collect();
    let config = parse(&example).expect("valid");
    assert_eq!(config.interfaces.len(), 1);
    assert_eq!(config.interfaces[0].addresses.len(), 2);
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parse("").expect("valid"), Config::default());
}

#[test]
fn a_missing_file_means_the_defaults_only_if_nobody_named_it() {
    let error = Config::load(Some(Path::new("/nonexistent/bridgewall.toml")), Trust::Any)
        .expect_err("named");
    assert!(
        error.to_string().contains("/nonexistent/bridgewall.toml"),
        "{error}"
    );
}

#[test]
fn unknown_keys_are_errors_in_every_section() {
    for text in [
        "polcy = \"/a\"",
        "[control]\nsockets = 1",
        "[docker]\nx = 1",
        "[bridges]\nx = 1",
        "[[interfaces]]\nname = \"tap0\"\nmac = \"02:00:00:00:00:01\"\nx = 1",
        "[limits]\nx = 1",
        "[timeouts]\nx = 1",
        "[events]\nx = 1",
        "[unknown]",
    ] {
        assert!(refusal(text).contains("unknown field"), "{text}");
    }
}

#[test]
fn wrong_values_are_refused_with_their_line() {
    for (text, line, part) in [
        ("mark_shift = 8", 1, "0 (the low half"),
        ("policy = \"policy.toml\"", 1, "slash"),
        ("attach = \"xdp\"", 1, "tcx"),
        ("[limits]\n\nendpoints = 40000", 3, "between 16 and 32767"),
        ("[limits]\nflows = -1", 2, "-1 is not between"),
        ("[timeouts]\ntcp = 0", 2, "0 is not between 1"),
        ("[bridges]\nmanaged = [\"a[\"]", 2, "a["),
        (
            "[[interfaces]]\nname = \"a/b\"\nmac = \"02:00:00:00:00:01\"",
            2,
            "slash",
        ),
        (
            "[[interfaces]]\nname = \"tap0\"\nmac = \"01:00:00:00:00:01\"",
            3,
            "group",
        ),
        (
            "[[interfaces]]\nname = \"tap0\"\nmac = \"2:0:0\"",
            3,
            "six hexadecimal",
        ),
        ("[[interfaces]]\nname = \"tap0\"", 1, "mac"),
    ] {
        let message = refusal(text);
        assert!(
            message.starts_with(&format!("bridgewall.toml:{line}: ")),
            "{message}"
        );
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn one_endpoint_cannot_be_given_all_the_room() {
    for (text, part) in [
        ("[limits]\nflows = 60000", "flows_per_endpoint (32768)"),
        (
            "[limits]\nnew_flows_per_endpoint = 32769",
            "write 32768 or less",
        ),
    ] {
        assert!(refusal(text).contains(part), "{}", refusal(text));
    }
    parse("[limits]\nflows = 65536\nnew_flows_per_endpoint = 32768").expect("just half");
}

#[test]
fn interfaces_share_neither_names_nor_addresses() {
    let interface = |name: &str, address: &str| {
        format!(
            "[[interfaces]]\nname = \"{name}\"\nmac = \"02:00:00:00:00:01\"\n\
             addresses = [\"{address}\"]\n"
        )
    };
    let two = |a: (&str, &str), b: (&str, &str)| interface(a.0, a.1) + &interface(b.0, b.1);
    assert!(refusal(&two(("tap0", "192.0.2.1"), ("tap0", "192.0.2.2"))).contains("twice"));
    assert!(refusal(&two(("tap0", "192.0.2.1"), ("tap1", "192.0.2.1"))).contains("two interfaces"));
    parse(&two(("tap0", "192.0.2.1"), ("tap1", "192.0.2.2"))).expect("valid");
}

#[test]
fn an_interface_has_at_most_eight_addresses_of_a_family() {
    let interface = |count: u8| {
        let list: Vec<_> = (1..=count).map(|n| format!("\"192.0.2.{n}\"")).collect();
        let list = list.join(", ");
        format!("[[interfaces]]\nname = \"t\"\nmac = \"02:00:00:00:00:01\"\naddresses = [{list}]")
    };
    parse(&interface(8)).expect("eight");
    assert!(refusal(&interface(9)).contains("8 addresses"));
}

#[test]
fn the_message_shows_the_line_and_marks_the_value() {
    let error = parse("[limits]\nendpoints = 40000\n").expect_err("too many");
    assert_eq!(
        error.render(false),
        "error: 40000 is not between 16 and 32767\n \
         --> bridgewall.toml:2:13\n  \
         |\n\
         2 | endpoints = 40000\n  \
         |             ^^^^^\n  \
         |\n  \
         = help: every key and its default stand in the bridgewall.toml that is installed"
    );
}

#[test]
fn docker_bridges_are_managed_and_others_are_not() {
    let bridges = Bridges::default();
    assert!(bridges.manages("docker0"));
    assert!(bridges.manages("br-0123456789ab"));
    assert!(!bridges.manages("br0"));
    assert!(!bridges.manages("virbr0"));
    let config = parse("[bridges]\nexcluded = [\"docker*\"]").expect("valid");
    assert!(!config.bridges.manages("docker0"));
    assert!(config.bridges.manages("br-0123456789ab"));
}

/// Tables nest in many ways; none may use up the stack.
#[test]
fn no_depth_of_nesting_uses_up_the_stack() {
    let texts = [
        format!("policy = {}", "[".repeat(100_000)),
        format!("policy = {}", "{a=".repeat(100_000)),
        format!("policy = {}", "{a.b.c.d.e=".repeat(50_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
    ];
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let thread = small.spawn(move || texts.map(|text| refusal(&text)));
    let refusals = thread.expect("a thread").join().expect("no overflow");
    for refusal in refusals {
        assert!(refusal.contains("nested too deeply"), "{refusal}");
    }
}

#[test]
fn everything_that_is_wrong_is_reported_in_the_order_of_the_file() {
    let text = "\
attach = \"xdp\"
polcy = \"/a\"

[limits]
flows = 1
endpoints = 0
rules = 100

[[interfaces]]
name = \"tap0\"
mac = \"ff:ff:ff:ff:ff:ff\"

[[interfaces]]
name = \"a/b\"
mac = \"02:00:00:00:00:01\"
";
    let refusal = refusal(text);
    let lines: Vec<_> = refusal
        .lines()
        .filter_map(|line| line.split(':').nth(1)?.parse::<u32>().ok())
        .collect();
    assert_eq!(lines, [1, 2, 5, 6, 11, 14], "{refusal}");
}

#[test]
fn errors_of_grammar_are_reported_with_their_line() {
    assert!(refusal("attach = \"tcx\"\npolicy = /etc\n").starts_with("bridgewall.toml:2:"));
}
