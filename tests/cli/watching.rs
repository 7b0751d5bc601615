//! `monitor`: runs until it is told to end, or the daemon ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use bridgewall::observe::event::Verdict;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::BINARY;
use super::stand_in::{StandIn, event};

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
