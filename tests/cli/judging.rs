//! `check` and `explain` of a file: without a daemon, root or a kernel.

use super::{Folder, code, json, run, stderr, stdout, text_of};

const POLICY: &str = r#"
[identities.empire]
labels = { org = "empire" }

[identities.alliance]
labels = { org = "alliance" }

[[allow]]
from = "empire"
to = "empire"
ports = ["80/tcp"]

[[allow]]
name = "ping"
from = "any"
to = "empire"
icmp = ["echo-request"]

[[test]]
from = "alliance"
to = "empire"
port = "80/tcp"
expect = "drop"
"#;

#[test]
fn a_good_policy_is_valid() {
    let folder = Folder::new();
    let file = folder.policy(POLICY);
    let output = run(&["check", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        format!("{file} is valid: 2 rules, 2 identities, 0 networks; its test holds\n")
    );
    let output = run(&["check", &file, "--json"]);
    assert_eq!(code(&output), 0);
    assert_eq!(json(&output)["valid"], true);
    assert_eq!(json(&output)["rules"], 2);
}

#[test]
fn a_bad_policy_is_shown_with_every_error_at_once() {
    let folder = Folder::new();
    let text = POLICY
        .replace("80/tcp", "80/tpc")
        .replace("echo-request", "echo-rekwest");
    let file = folder.policy(&text);
    let output = run(&["check", &file]);
    assert_eq!(code(&output), 2);
    assert!(stdout(&output).is_empty());
    for part in [
        "80/tpc",
        "echo-rekwest",
        "policy.toml:11",
        "policy.toml:17",
        "^^^",
    ] {
        assert!(
            stderr(&output).contains(part),
            "{part}: {}",
            stderr(&output)
        );
    }
    assert!(!stderr(&output).contains('\u{1b}'), "no colour in a pipe");

    let output = run(&["check", &file, "--json"]);
    assert_eq!(code(&output), 2);
    let error = &json(&output)["error"];
    assert_eq!(error["kind"], "refused");
    let diagnostics = error["details"]["diagnostics"].as_array().expect("a list");
    let lines: Vec<_> = diagnostics.iter().map(|one| one["line"].clone()).collect();
    assert!(
        lines.contains(&11.into()) && lines.contains(&17.into()),
        "{lines:?}"
    );
}

#[test]
fn colour_can_be_forced_and_forbidden() {
    let folder = Folder::new();
    let file = folder.policy("polcy = 1\n");
    let forced = run(&["check", &file, "--color", "always"]);
    assert!(stderr(&forced).contains('\u{1b}'));
    let forbidden = run(&["check", &file, "--color", "never"]);
    assert!(!stderr(&forbidden).contains('\u{1b}'));
}

#[test]
fn a_policy_whose_test_fails_is_refused() {
    let folder = Folder::new();
    let file = folder.policy(&POLICY.replace(r#"expect = "drop""#, r#"expect = "allow""#));
    let output = run(&["check", &file]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("1 test failed"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("policy.toml:19"),
        "{}",
        stderr(&output)
    );
    let output = run(&["check", &file, "--json"]);
    let test = &json(&output)["error"]["details"]["tests"][0];
    assert_eq!(test["line"], 19);
    assert_eq!(test["expect"], "allow");
    assert_eq!(test["got"]["verdict"], "drop");
}

#[test]
fn a_policy_that_is_not_there_is_an_error_that_names_it() {
    let output = run(&["check", "/nonexistent/policy.toml"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("/nonexistent/policy.toml"));
}

#[test]
fn check_takes_the_policy_that_is_configured() {
    let folder = Folder::new();
    let policy = folder.policy(POLICY);
    let config = folder.write("bridgewall.toml", &format!("policy = \"{policy}\"\n"));
    let output = run(&["check", "--config", &text_of(&config)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with(&policy));
}

/// The folder of temporary files is everybody's.
#[test]
fn a_daemon_takes_no_configuration_that_others_could_have_written() {
    let folder = Folder::new();
    let config = folder.write("bridgewall.toml", "[limits]\nendpoints = 64\n");
    let output = run(&["run", "--config", &text_of(&config)]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("may be written by others than root"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_policy_beyond_the_configured_limits_is_refused() {
    let folder = Folder::new();
    let rules: String = (1..=20)
        .map(|port| {
            format!("[[allow]]\nfrom = \"any\"\nto = \"empire\"\nports = [\"{port}/tcp\"]\n")
        })
        .collect();
    let file = folder.policy(&format!("{POLICY}{rules}"));
    let config = folder.write("bridgewall.toml", "[limits]\nrules = 16\n");
    let output = run(&["check", &file, "--config", &text_of(&config)]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("rules"), "{}", stderr(&output));
}

#[test]
fn a_bad_configuration_is_shown_like_a_bad_policy() {
    let folder = Folder::new();
    let config = folder.write("bridgewall.toml", "[limits]\nendpoints = 1000000\n");
    for verb in ["check", "status", "reload"] {
        let output = run(&[verb, "--config", &text_of(&config)]);
        assert_eq!(code(&output), 2, "{verb}");
        for part in ["bridgewall.toml:2:13", "^^^^^^^", "32767"] {
            assert!(
                stderr(&output).contains(part),
                "{verb}: {}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn explain_asks_a_file_without_a_daemon() {
    let folder = Folder::new();
    let file = folder.policy(POLICY);
    let explain = |traffic: [&str; 2], from: &str| {
        run(&[
            "explain", "--policy", &file, "--from", from, "--to", "empire", traffic[0], traffic[1],
        ])
    };
    let allowed = explain(["--port", "80/tcp"], "empire");
    assert_eq!(code(&allowed), 0, "{}", stderr(&allowed));
    assert!(
        stdout(&allowed).contains("policy.toml:8"),
        "{}",
        stdout(&allowed)
    );
    let dropped = explain(["--port", "80/tcp"], "alliance");
    assert_eq!(code(&dropped), 1, "{}", stdout(&dropped));
    assert_eq!(
        code(&explain(["--port", "80"], "empire")),
        0,
        "TCP is the default"
    );
    assert_eq!(code(&explain(["--port", "81/tcp"], "empire")), 1);
    assert_eq!(code(&explain(["--icmp", "echo-request"], "internet")), 0);
    assert_eq!(code(&explain(["--icmp", "echo-reply"], "internet")), 1);
    assert_eq!(code(&explain(["--protocol", "gre"], "203.0.113.7")), 1);
}

#[test]
fn explain_in_json_says_who_decided() {
    let folder = Folder::new();
    let file = folder.policy(POLICY);
    let output = run(&[
        "explain", "--json", "--policy", &file, "--from", "empire", "--to", "empire", "--port",
        "80/tcp",
    ]);
    assert_eq!(code(&output), 0);
    let answer = json(&output);
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["verdict"], "allow");
    assert_eq!(answer["cases"][0]["ingress"]["rule"]["line"], 8);
}

#[test]
fn a_question_that_makes_no_sense_is_exit_code_2() {
    let folder = Folder::new();
    let file = folder.policy(POLICY);
    for arguments in [
        ["--from", "nobody", "--port", "80/tcp"],
        ["--from", "empire", "--port", "0/tcp"],
        ["--from", "empire", "--icmp", "8"],
        ["--from", "10.0.0.1/8", "--port", "80/tcp"],
    ] {
        let fixed = ["explain", "--policy", &file, "--to", "empire"];
        let output = run(&[&fixed[..], &arguments[..]].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stdout(&output));
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
    }
}
