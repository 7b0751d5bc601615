//! The command line as a person meets it: the built binary, its words and its exit codes.

#[path = "common/stand_in.rs"]
#[allow(dead_code)]
mod stand_in;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bridgewall::control::protocol::{Asked, Listing, Question};
use bridgewall::control::server::Verb;
use bridgewall::observe::event::Verdict;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use stand_in::{StandIn, event, healthy};

const BINARY: &str = env!("CARGO_BIN_EXE_bridgewall");

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

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .expect("run the binary")
}

fn ask(daemon: &StandIn, arguments: &[&str]) -> Output {
    let socket = daemon.socket.to_str().expect("text");
    run(&[&["--socket", socket], arguments].concat())
}

fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("write");
        path
    }

    fn policy(&self, text: &str) -> String {
        text_of(&self.write("policy.toml", text))
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

// ---- Help and wrong use ---------------------------------------------------------------------

#[test]
fn help_is_there_for_every_verb_with_examples() {
    for verb in [
        "run", "check", "reload", "status", "list", "monitor", "explain", "stop",
    ] {
        let output = run(&[verb, "--help"]);
        assert_eq!(code(&output), 0, "{verb}");
        assert!(
            stdout(&output).contains("Examples:"),
            "{verb}: {}",
            stdout(&output)
        );
    }
    let output = run(&["--help"]);
    assert!(stdout(&output).contains("Exit codes:"));
    assert!(
        !stdout(&output).contains("completions"),
        "for packagers only"
    );
}

#[test]
fn wrong_use_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["destroy"],
        &["status", "--unknown"],
        &["list"],
        &["explain", "--from", "a", "--to", "b"],
        &[
            "explain", "--from", "a", "--to", "b", "--port", "1", "--icmp", "any",
        ],
        &["--color", "pink", "status"],
        &["list", "flows", "--limit", "-1"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"]);
    assert_eq!(code(&output), 0);
    assert_eq!(
        stdout(&output).trim(),
        concat!("bridgewall ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_and_manuals_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("detach"), "{shell}");
    }
    let output = run(&["man"]);
    assert!(
        stdout(&output).contains(".TH bridgewall 1"),
        "{}",
        stdout(&output)
    );
    let folder = Folder::new();
    let output = run(&["man", "--into", folder.0.path().to_str().expect("text")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for page in [
        "bridgewall.1",
        "bridgewall-monitor.1",
        "bridgewall-list-flows.1",
    ] {
        assert!(folder.0.path().join(page).exists(), "{page}");
    }
    assert!(!folder.0.path().join("bridgewall-completions.1").exists());
}

// ---- check ----------------------------------------------------------------------------------

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
    for verb in ["check", "status", "run"] {
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

// ---- explain --------------------------------------------------------------------------------

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

#[test]
fn explain_asks_the_daemon() {
    let daemon = StandIn::start();
    let question =
        |from: &str| ["explain", "--from", from, "--to", "b", "--icmp", "any"].map(str::to_owned);
    let explain = |from: &str| {
        let arguments = question(from);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        ask(&daemon, &arguments)
    };
    assert_eq!(code(&explain("tiefighter")), 0);
    assert_eq!(code(&explain("xwing")), 1);
    let unknown = explain("nobody");
    assert_eq!(code(&unknown), 2);
    assert!(
        stderr(&unknown).contains("nobody is called"),
        "{}",
        stderr(&unknown)
    );
    assert_eq!(
        daemon.asked()[0],
        Verb::Explain(Question {
            from: "tiefighter".to_owned(),
            to: "b".to_owned(),
            traffic: Asked::Icmp("any".to_owned()),
        })
    );
}

// ---- Verbs that need the daemon -------------------------------------------------------------

#[test]
fn without_a_daemon_it_is_exit_code_3_and_says_what_to_do() {
    let folder = Folder::new();
    let socket = text_of(&folder.0.path().join("nobody.sock"));
    for verb in [
        &["status"][..],
        &["reload"],
        &["stop"],
        &["list", "rules"],
        &["monitor"],
        &["explain", "--from", "a", "--to", "b", "--port", "1"],
    ] {
        let arguments = [&["--socket", &socket], verb].concat();
        let output = run(&arguments);
        assert_eq!(code(&output), 3, "{verb:?}");
        assert!(
            stderr(&output).contains("systemctl start bridgewall"),
            "{}",
            stderr(&output)
        );
        let output = run(&[&["--json"], &arguments[..]].concat());
        assert_eq!(code(&output), 3, "{verb:?}");
        assert_eq!(json(&output)["error"]["kind"], "unreachable");
    }
}

#[test]
fn a_daemon_that_talks_nonsense_or_nothing_is_exit_code_3() {
    let folder = Folder::new();
    for answer in [
        &b"nonsense\n"[..],
        b"",
        b"{\"status\":{}}\n",
        b"\xff\n",
        b"{\"status\"",
    ] {
        let path = folder.0.path().join("mad.sock");
        let listener = UnixListener::bind(&path).expect("bind");
        let server = std::thread::spawn(move || {
            use std::io::Write;
            let (stream, _) = listener.accept().expect("accept");
            let mut reader = BufReader::new(stream);
            reader.read_line(&mut String::new()).expect("a request");
            reader.get_mut().write_all(answer).expect("answer");
        });
        let output = run(&["--socket", &text_of(&path), "status"]);
        server.join().expect("server");
        assert_eq!(code(&output), 3, "{answer:?}: {}", stderr(&output));
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
        fs::remove_file(&path).expect("remove");
    }
}

#[test]
fn status_is_0_when_healthy_and_1_when_not() {
    let daemon = StandIn::start();
    let output = ask(&daemon, &["status"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains("healthy, version 0.1.0"),
        "{}",
        stdout(&output)
    );
    let output = ask(&daemon, &["status", "--json"]);
    assert_eq!(json(&output)["policy"]["generation"], 12);
    assert!(
        stdout(&output).contains("1795000001.123456789"),
        "{}",
        stdout(&output)
    );

    let mut status = healthy();
    status.healthy = false;
    status.reasons = vec!["Docker is gone".to_owned()];
    let daemon = StandIn::with(Default::default(), status);
    let output = ask(&daemon, &["status"]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("Docker is gone"));
}

#[test]
fn lists_are_tables_or_json() {
    let daemon = StandIn::start();
    for (what, part) in [
        ("endpoints", "xwing"),
        ("identities", "alliance"),
        ("rules", "policy.toml:12"),
        ("flows", "tiefighter 172.18.0.3:40112"),
    ] {
        let output = ask(&daemon, &["list", what]);
        assert_eq!(code(&output), 0, "{what}");
        assert!(
            stdout(&output).contains(part),
            "{what}: {}",
            stdout(&output)
        );
        assert!(!stdout(&output).contains('\u{1b}'), "{what}");
        let output = ask(&daemon, &["list", what, "--json"]);
        let list = json(&output);
        let list = if what == "flows" {
            &list["flows"]
        } else {
            &list
        };
        assert!(
            list.as_array().is_some_and(|list| !list.is_empty()),
            "{what}"
        );
    }
    let output = ask(&daemon, &["list", "flows", "--limit", "1"]);
    assert!(
        stdout(&output).contains("of 2 flows"),
        "{}",
        stdout(&output)
    );
    assert_eq!(
        daemon.asked().last(),
        Some(&Verb::List(Listing::Flows { limit: 1 }))
    );
}

#[test]
fn a_reader_that_goes_early_is_no_error() {
    let daemon = StandIn::start();
    let mut child = Command::new(BINARY)
        .arg("--socket")
        .arg(&daemon.socket)
        .args(["list", "endpoints"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("wait");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn reload_says_what_is_enforced_now() {
    let daemon = StandIn::start();
    let output = ask(&daemon, &["reload"]);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(
            stdout(&output),
            "revision 4 enforced as generation 13: 1 rule, 2 identities\n"
        );
    } else {
        assert_eq!(code(&output), 3);
    }
}

#[test]
fn stop_ends_the_daemon_and_returns_when_it_has_ended() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for (arguments, text, detach) in [
        (&["stop"][..], "enforcement goes on", false),
        (&["stop", "--detach"], "everything passes", true),
    ] {
        let daemon = StandIn::start();
        let output = ask(&daemon, arguments);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains(text), "{}", stdout(&output));
        assert!(!daemon.socket.exists());
        assert_eq!(daemon.asked(), [Verb::Stop { detach }]);
    }
}

#[test]
fn stop_detach_needs_no_daemon_and_nothing_to_detach() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let below = |name: &str| text_of(&folder.0.path().join(name));
    let config = folder.write(
        "bridgewall.toml",
        &format!(
            "state_directory = \"{}\"\npin_directory = \"{}\"\n[control]\nsocket = \"{}\"\n",
            below("state"),
            below("pins"),
            below("control.sock"),
        ),
    );
    let output = run(&["stop", "--detach", "--config", &text_of(&config)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output = run(&["stop", "--config", &text_of(&config)]);
    assert_eq!(code(&output), 3, "there is no daemon to stop");
}

// ---- monitor --------------------------------------------------------------------------------

/// A `monitor` that runs until it is told to end.
struct Monitor {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Monitor {
    fn start(daemon: &StandIn, arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .arg("--socket")
            .arg(&daemon.socket)
            .arg("monitor")
            .args(arguments)
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        daemon.wait_for_watchers(1);
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().expect("wait");
        let mut errors = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut errors).expect("read");
        (status.code().expect("no signal"), errors)
    }
}

#[test]
fn monitor_shows_one_line_an_event_and_ends_cleanly_with_ctrl_c() {
    let daemon = StandIn::start();
    let mut monitor = Monitor::start(&daemon, &[]);
    daemon.hub.hand_out(event(Verdict::Drop));
    let line = monitor.line();
    assert!(
        line.ends_with(
            " DROP  xwing -> deathstar 80/tcp  ingress of deathstar: no rule allows it\n"
        ),
        "{line}"
    );
    let process = i32::try_from(monitor.child.id()).expect("a process");
    kill(Pid::from_raw(process), Signal::SIGINT).expect("interrupt");
    let (code, errors) = monitor.end();
    assert_eq!((code, errors.as_str()), (0, ""));
    daemon.wait_for_watchers(0);
}

#[test]
fn monitor_in_json_is_one_object_a_line() {
    let daemon = StandIn::start();
    let mut monitor = Monitor::start(&daemon, &["--json", "--drops"]);
    daemon.hub.hand_out(event(Verdict::Allow));
    daemon.hub.hand_out(event(Verdict::Deny));
    let value: Value = serde_json::from_str(&monitor.line()).expect("JSON");
    assert_eq!(
        value["verdict"], "deny",
        "the allowed one was not asked for"
    );
    assert_eq!(value["source"]["name"], "xwing");
    monitor.child.kill().expect("kill");
    monitor.child.wait().expect("wait");
}

#[test]
fn monitor_is_exit_code_3_when_the_daemon_ends() {
    let daemon = StandIn::start();
    let monitor = Monitor::start(&daemon, &["--drops"]);
    daemon.end();
    let (code, errors) = monitor.end();
    assert_eq!(code, 3);
    assert!(errors.contains("the daemon has ended"), "{errors}");
}

// ---- run ------------------------------------------------------------------------------------

#[test]
fn run_is_for_root() {
    use std::os::unix::process::CommandExt;

    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // A copy, since that user may not reach the build folder.
    let copy = Folder::new();
    let executable = copy.0.path().join("bridgewall");
    fs::copy(BINARY, &executable).expect("copy");
    for (path, mode) in [(copy.0.path(), 0o755), (executable.as_path(), 0o755)] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let output = Command::new(&executable)
        .arg("run")
        .uid(65_534)
        .gid(65_534)
        .output()
        .expect("run");
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("takes root"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_daemon_without_any_good_policy_does_not_start_and_leaves_nothing() {
    // Below a folder that only root can change, or the policy would be refused for that.
    let folder = tempfile::tempdir_in("/run").expect("this test needs root");
    let path = |name: &str| folder.path().join(name);
    let config = path("bridgewall.toml");
    let text = format!(
        "policy = {:?}\nstate_directory = {:?}\npin_directory = {:?}\n\
         [control]\nsocket = {:?}\n[docker]\nenabled = false\n",
        path("policy.toml"),
        path("state"),
        path("bpf/bridgewall"),
        path("control.sock"),
    );
    fs::write(&config, text).expect("write the configuration");
    fs::write(
        path("policy.toml"),
        "[[allow]]\nfrom = \"any\"\nto = \"nobody\"\n",
    )
    .expect("write");

    let output = run(&["run", "--config", config.to_str().expect("text")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("policy.toml:3:"), "{said}");
    assert!(said.contains("no good policy"), "{said}");
    assert!(!path("bpf").exists(), "nothing was pinned");
    assert!(!path("control.sock").exists());
}
