//! What asks the daemon, and what the daemon is started and ended with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use bridgewall::control::protocol::Listing;
use bridgewall::control::question::{Asked, Question};
use bridgewall::control::request::Verb;

use super::stand_in::{StandIn, healthy};
use super::{BINARY, Folder, ask, code, json, run, stderr, stdout, text_of};

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

#[test]
fn without_a_daemon_it_is_exit_code_3_and_says_what_to_do() {
    let folder = Folder::new();
    let socket = text_of(&folder.0.path().join("nobody.sock"));
    for verb in [
        &["status"][..],
        &["doctor"],
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
fn doctor_is_0_when_healthy_and_1_when_not() {
    let daemon = StandIn::start();
    let output = ask(&daemon, &["doctor"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains("healthy: 1 fine"),
        "{}",
        stdout(&output)
    );

    let mut status = healthy();
    status.healthy = false;
    status.reasons.push("policy.toml:3: no".to_owned());
    let daemon = StandIn::with(bridgewall::control::house::Limits::default(), status);
    let output = ask(&daemon, &["doctor", "--json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let answer = json(&output);
    assert_eq!(answer["healthy"], false);
    assert_eq!(answer["checks"][0]["condition"], "bad");
    assert_eq!(answer["checks"][0]["details"][0], "policy.toml:3: no");
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

/// Runs a copy of the binary as the user `nobody`, who may not reach the build folder.
fn as_nobody(arguments: &[&str]) -> Output {
    const NOBODY: u32 = 65_534;
    let folder = Folder::new();
    let copy: PathBuf = folder.0.path().join("bridgewall");
    // By another process: a file that this one has open to write, and so any child that is being made
    // meanwhile, cannot be run.
    let copied = Command::new("cp").arg(BINARY).arg(&copy).status();
    assert!(copied.expect("run cp").success(), "cp failed");
    for path in [folder.0.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    Command::new(&copy)
        .args(arguments)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("run as nobody")
}

#[test]
fn run_is_for_root() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let output = as_nobody(&["run"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("takes root"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn who_may_not_use_the_socket_is_told_how_to() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let daemon = StandIn::start();
    let folder = daemon.socket.parent().expect("folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("chmod");
    let output = as_nobody(&["--socket", &text_of(&daemon.socket), "status"]);
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).contains("join the group"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_user_who_is_not_root_may_look_but_not_change() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let daemon = StandIn::start();
    let folder = daemon.socket.parent().expect("folder");
    for path in [folder, &daemon.socket] {
        // What the group does on a real host: this user may connect.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
    }
    let socket = text_of(&daemon.socket);
    for change in [&["reload"][..], &["stop"], &["stop", "--detach"]] {
        let output = as_nobody(&[&["--socket", &socket], change].concat());
        assert_eq!(code(&output), 3, "{change:?}");
        assert!(
            stderr(&output).contains("is for root"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(daemon.asked(), [], "the writer was never asked");
    assert!(!daemon.has_ended());
    let output = as_nobody(&["--socket", &socket, "status"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}
