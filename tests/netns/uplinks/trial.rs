//! Policies on trial: taken, and taken back unless somebody confirms them.

use serde_json::Value;

use super::{CLOSED, UNMANAGED, guarded};
use crate::common::daemon::Attach;
use crate::common::eventually;
use crate::common::probe;
use crate::common::sandbox::Sandbox;
use crate::common::service::Service;

/// Whether the host takes connections from outside.
#[track_caller]
fn await_open(sandbox: &Sandbox, open: bool) {
    let socket = sandbox.host().sockets(80)[0];
    let _service = Service::tcp(&sandbox.host().namespace, 80, "hello");
    eventually(&format!("the host is open: {open}"), || {
        let outcome =
            probe::connect_within(&sandbox.outside().namespace, socket, crate::common::BRIEFLY);
        ((outcome == probe::Outcome::Answered) == open).then_some(())
    });
}

#[test]
fn a_policy_that_nobody_confirms_goes_again() {
    let sandbox = Sandbox::new(&[]);
    let open = "[defaults]\ningress = \"deny\"\n";
    let mut daemon = guarded(&sandbox, Attach::Auto, UNMANAGED, open);
    let file = sandbox.place().directory().join("closed.toml");
    std::fs::write(&file, CLOSED).expect("write a policy");
    let file = file.to_str().expect("plain text");

    // In time, out of time, and taken back.
    daemon.json(&["apply", "--confirm", "5", file]);
    await_open(&sandbox, false);
    await_open(&sandbox, true);
    eventually("the log says why", || {
        daemon.log_says("nobody confirmed it in time").then_some(())
    });
    let applied = daemon.json(&["apply", "--confirm", "3600", file]);
    assert!(
        !daemon.command(&["reload"]).status.success(),
        "one at a time"
    );
    assert!(
        !daemon.command(&["confirm", "1"]).status.success(),
        "another revision"
    );
    daemon.json(&["confirm", "--revert"]);
    await_open(&sandbox, true);
    daemon.json(&["apply", "--confirm", "3600", file]);

    // It does not survive the daemon either.
    daemon.kill();
    daemon.launch();
    daemon.await_status();
    await_open(&sandbox, true);
    assert!(applied["added"].is_array());

    // Confirmed, it does, until the files say something else.
    daemon.json(&["apply", "--confirm", "3600", file]);
    let confirmed = daemon.json(&["confirm"]);
    assert_eq!(confirmed["kept"], true);
    daemon.kill();
    daemon.launch();
    daemon.await_status();
    await_open(&sandbox, false);
    daemon.edit(&format!("# changed\n{open}"));
    await_open(&sandbox, true);
}

#[test]
fn an_edited_policy_that_waits_for_its_confirmation_does_not_survive_the_daemon() {
    let sandbox = Sandbox::new(&[]);
    let open = "[defaults]\ningress = \"deny\"\n";
    let mut daemon = guarded(&sandbox, Attach::Auto, UNMANAGED, open);
    let waiting = sandbox.place().directory().join("open.toml");
    std::fs::write(&waiting, format!("# the same\n{open}")).expect("write a policy");
    // While one waits, an edit is not taken, but read when the wait is over.
    daemon.json(&[
        "apply",
        "--confirm",
        "3600",
        waiting.to_str().expect("plain text"),
    ]);
    daemon.replace_policy(CLOSED);
    await_open(&sandbox, true);
    daemon.json(&["confirm", "--revert"]);
    await_open(&sandbox, false);

    // What the files hold, on trial.
    daemon.edit(open);
    await_open(&sandbox, true);
    daemon.json(&["apply", "--confirm", "3600"]);
    daemon.kill();
    daemon.launch();
    daemon.await_status();
    await_open(&sandbox, true);
    let status = daemon.status();
    assert!(
        status["policy"]["error"]
            .as_str()
            .is_some_and(|text| text.contains("not confirmed"))
    );
    assert!(
        daemon.command(&["reload"]).status.success(),
        "asked for, the files are taken"
    );
    assert_eq!(daemon.status()["policy"]["error"], Value::Null);
}
