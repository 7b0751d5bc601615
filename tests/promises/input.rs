//! Bad input: a clear message, the old policy kept, a counter raised.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use bridgewall::control::client::Client;
use bridgewall::control::protocol::Request;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::common::daemon::{Attach, Daemon};
use crate::common::{PATIENCE, eventually};
use crate::matrix::{Matrix, Watch, assert_all};
use crate::policies::Side;
use crate::{enforce, sandbox};

fn trouble(daemon: &Daemon, name: &str) -> u64 {
    daemon.status()["troubles"][name].as_u64().expect("a count")
}

#[test]
fn a_bad_policy_file_of_any_kind_is_refused_with_a_message_and_counted() {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let watch = Watch::start(Matrix::of(&sandbox));
    let (path, beside) = (daemon.policy(), daemon.policy().with_extension("other"));
    let whole = Side::B.text();
    type Spoil<'a> = Box<dyn Fn(&Path) + 'a>;
    let text = |text: String| -> Spoil<'_> {
        Box::new(move |path| fs::write(path, &text).expect("write"))
    };
    let spoilt: [(&str, &str, Spoil<'_>); 12] = [
        (
            "torn in a word",
            "not TOML",
            text(whole[..whole.rfind("ports").expect("ports") + 9].to_owned()),
        ),
        ("empty", "says nothing", text(String::new())),
        ("huge", "more than 1024 KiB", text("#".repeat(2 << 20))),
        (
            "deeply nested lists",
            "nested too deeply",
            text(format!("a = {}", "[".repeat(100_000))),
        ),
        (
            "deeply nested tables",
            "nested too deeply",
            text(format!("a = {}", "{a.b.c.d=".repeat(100_000))),
        ),
        (
            "not text",
            "UTF-8",
            Box::new(|path| fs::write(path, [0xff; 64]).expect("write")),
        ),
        ("missing", "does not exist", Box::new(|_| ())),
        (
            "a folder",
            "is a folder",
            Box::new(|path| fs::create_dir(path).expect("make a folder")),
        ),
        (
            "a pipe",
            "is a pipe",
            Box::new(|path| mkfifo(path, Mode::S_IRWXU).expect("make a pipe")),
        ),
        (
            "another user's",
            "belongs to user",
            Box::new(|path| {
                fs::write(path, &whole).expect("write");
                chown(path, Some(65534), None).expect("chown");
            }),
        ),
        (
            "anybody's",
            "may be written by others",
            Box::new(|path| {
                fs::write(path, &whole).expect("write");
                fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("chmod");
            }),
        ),
        (
            "a link to itself",
            "links",
            Box::new(|path| symlink(path, path).expect("link")),
        ),
    ];
    let revision = daemon.revision();
    for (number, (what, message, spoil)) in spoilt.iter().enumerate() {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        spoil(&path);
        let output = daemon.command(&["reload"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert!(
            said.contains("policy.toml") && said.contains(message),
            "{what}: {said}"
        );
        assert_eq!(daemon.revision(), revision, "{what}");
        assert!(
            trouble(&daemon, "policies_refused") > number as u64,
            "{what} is not counted"
        );
        assert_eq!(watch.look(), Side::A.allows(), "{what}");
    }
    let _ = fs::remove_file(&path);
    fs::write(&beside, Side::B.text()).expect("write");
    fs::rename(&beside, &path).expect("rename");
    eventually("a good file puts an end to it", || {
        (daemon.status()["policy"]["error"].is_null()).then_some(())
    });
    assert_eq!(watch.look(), Side::B.allows());
}

/// Somebody who may write in no folder of root's can still own what a link leads to.
#[test]
fn a_link_that_is_swapped_during_the_read_never_brings_in_a_policy_that_is_not_root_s() {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let watch = Watch::start(Matrix::of(&sandbox));
    let folder = sandbox.place().directory();
    let (good, bad, swap) = (
        folder.join("good.toml"),
        folder.join("bad.toml"),
        folder.join("swap"),
    );
    fs::write(&good, Side::A.text()).expect("write");
    fs::write(&bad, Side::B.text()).expect("write");
    chown(&bad, Some(65534), None).expect("chown");
    let stop = AtomicBool::new(false);
    let path = daemon.policy();
    let mut outcomes = [0; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for target in [&good, &bad].into_iter().cycle() {
                symlink(target, &swap).expect("link");
                fs::rename(&swap, &path).expect("rename");
                if stop.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let mut client = Client::connect(&daemon.socket()).expect("connect");
        for _ in 0..200 {
            outcomes[usize::from(client.ask(Request::Reload).is_ok())] += 1;
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(
        outcomes.iter().all(|count| *count > 0),
        "the race was not run: {outcomes:?}"
    );
    assert_all(&watch.finish(), &Side::A.allows());
}

#[test]
fn a_full_disk_keeps_the_last_policy_that_could_be_saved_and_changes_nothing_in_force() {
    let sandbox = sandbox();
    let state = sandbox.place().state();
    mount(
        Some("small"),
        &state,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=64k,mode=0700"),
    )
    .expect("mount a small file system");
    let mut daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let watch = Watch::start(Matrix::of(&sandbox));
    let saved = fs::read(state.join("last-good-policy.json")).expect("it was saved");
    let filler = state.join("filler");
    let mut full = fs::File::create(&filler).expect("make a file");
    while full.write_all(&[0; 4096]).is_ok() {}

    daemon.edit(&Side::B.text());
    assert_eq!(
        watch.look(),
        Side::B.allows(),
        "what cannot be saved can be enforced"
    );
    assert!(trouble(&daemon, "saves_failed") > 0);
    let log = fs::read_to_string(daemon.log()).expect("read the log");
    assert!(
        log.contains("last-good-policy.json") && log.contains("is the disk full"),
        "{log}"
    );
    assert_eq!(
        fs::read(state.join("last-good-policy.json")).expect("read"),
        saved
    );

    // A start without a good file has only what was saved.
    daemon.kill();
    fs::write(daemon.policy(), "[[allow").expect("write");
    daemon.launch();
    daemon.await_endpoints(3);
    assert_eq!(watch.look(), Side::A.allows());
    drop(full);
    fs::remove_file(&filler).expect("make room");
    fs::write(daemon.policy(), Side::B.text()).expect("write");
    daemon.edit(&format!("{}\n# room again", Side::B.text()));
    assert_ne!(
        fs::read(state.join("last-good-policy.json")).expect("read"),
        saved
    );
    assert_eq!(daemon.status()["healthy"], true);
    drop((daemon, watch));
    umount2(&state, MntFlags::MNT_DETACH).expect("unmount");
}

#[test]
fn bad_clients_get_an_answer_and_a_count_and_disturb_nobody() {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let connect = || {
        let stream = UnixStream::connect(daemon.socket()).expect("connect");
        stream
            .set_read_timeout(Some(PATIENCE * 2))
            .expect("set a timeout");
        stream
    };
    // Half a request: told after a while, and closed. Meanwhile others are served.
    let mut slow = connect();
    slow.write_all(b"{\"version\":").expect("write");
    for (bytes, kind) in [
        (b"nonsense\n".to_vec(), "malformed"),
        (vec![b'x'; 4 << 20], "malformed"),
        ([b"[".repeat(60_000), b"\n".to_vec()].concat(), "malformed"),
        (
            b"{\"version\":4000000,\"request\":\"status\"}\n".to_vec(),
            "version",
        ),
    ] {
        let before = trouble(&daemon, "requests_refused");
        let mut client = connect();
        // It may be closed before all is written.
        let _ = client.write_all(&bytes);
        let mut answer = [0; 512];
        let count = client.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..count]);
        assert!(answer.contains(kind), "{kind}: {answer}");
        assert!(
            trouble(&daemon, "requests_refused") > before,
            "{kind} is not counted"
        );
    }

    // One that may look, by its group, but change nothing.
    let before = trouble(&daemon, "requests_refused");
    for verb in [&["reload"][..], &["stop"], &["stop", "--detach"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_bridgewall"))
            .arg("--socket")
            .arg(daemon.socket())
            .args(verb)
            .uid(65534)
            .gid(0)
            .output()
            .expect("run the command line");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{verb:?}: {said}");
        assert!(said.contains("is for root"), "{verb:?}: {said}");
    }
    assert_eq!(trouble(&daemon, "requests_refused"), before + 3);

    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("slow"), "{answer}");
    assert_eq!(trouble(&daemon, "requests_refused"), before + 4);
    assert_eq!(daemon.status()["healthy"], true);
}

#[test]
fn a_configuration_that_others_may_write_starts_no_daemon() {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, Attach::Auto, Side::A);
    daemon.kill();
    let path = sandbox.place().directory().join("bridgewall.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
    daemon.launch();
    assert_eq!(daemon.await_end(), Some(2));
    let log = fs::read_to_string(daemon.log()).expect("read the log");
    assert!(
        log.contains("bridgewall.toml may be written by others than root"),
        "{log}"
    );
}
