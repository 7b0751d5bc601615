//! The control socket with clients as they should not be: each of them is answered or turned away,
//! and none disturbs another one.

#[path = "../common/stand_in.rs"]
mod stand_in;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bridgewall::control::client::{Client, ClientError};
use bridgewall::control::house::Limits;
use bridgewall::control::protocol::{
    Call, ErrorKind, Listing, REQUEST_LIMIT, Request, Response, Streamed, VERSION, Watch,
};
use bridgewall::control::request::Verb;
use bridgewall::observe::event::Verdict;
use stand_in::{PATIENCE, StandIn, event, healthy, wait};

/// A client that says whatever it likes.
struct Raw(BufReader<UnixStream>);

impl Raw {
    fn connect(daemon: &StandIn) -> Self {
        let stream = UnixStream::connect(&daemon.socket).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("time limit");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("write");
    }

    fn hear(&mut self) -> Response {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn hear_no(&mut self) -> ErrorKind {
        match self.hear() {
            Response::Error(report) => report.kind,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server has hung up.
    fn is_over(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn line(request: Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(&Call::new(request)).expect("serialize");
    line.push(b'\n');
    line
}

fn connect(daemon: &StandIn) -> Client {
    Client::connect(&daemon.socket).expect("connect")
}

fn watch(drops: bool, allows: bool) -> Request {
    Request::Monitor(Watch {
        drops,
        allows,
        ..Watch::default()
    })
}

fn quick() -> Limits {
    Limits {
        read_timeout: Duration::from_millis(50),
        reply_timeout: Duration::from_millis(50),
        ..Limits::default()
    }
}

#[test]
fn one_client_may_ask_many_things() {
    let daemon = StandIn::start();
    let mut client = connect(&daemon);
    for _ in 0..3 {
        let answer = client.ask(Request::Status).expect("answer");
        assert_eq!(answer, Response::Status(Box::new(healthy())));
    }
    assert!(matches!(
        client.ask(Request::List(Listing::Rules)).expect("answer"),
        Response::Rules(rules) if rules.len() == 1
    ));
}

#[test]
fn what_is_no_request_gets_an_error_and_the_connection_goes_on() {
    let daemon = StandIn::start();
    let mut raw = Raw::connect(&daemon);
    let mut lines: Vec<&[u8]> = vec![
        b"\n",
        b"hello\n",
        b"{}\n",
        b"null\n",
        b"{\"version\":1,\"request\":\"destroy\"}\n",
        b"{\"version\":-1,\"request\":\"status\"}\n",
        b"{\"version\":1,\"request\":{\"list\":{\"flows\":{\"limit\":-5}}}}\n",
        b"\xff\xfe\x00\n",
    ];
    let deep = [vec![b'['; 8000], b"\n".to_vec()].concat();
    lines.push(&deep);
    let count = lines.len() as u64;
    for bad in lines {
        raw.say(bad);
        let text = String::from_utf8_lossy(&bad[..bad.len().min(60)]).into_owned();
        assert_eq!(raw.hear_no(), ErrorKind::Malformed, "{text}");
    }
    raw.say(&line(Request::Status));
    assert!(matches!(raw.hear(), Response::Status(_)));
    assert_eq!(daemon.asked(), [Verb::Status], "nothing else got through");
    assert_eq!(daemon.tally.requests_refused(), count);
}

#[test]
fn another_version_of_the_protocol_is_named_as_the_trouble() {
    let daemon = StandIn::start();
    let mut raw = Raw::connect(&daemon);
    raw.say(b"{\"version\":999,\"request\":\"what a later version can do\",\"more\":1}\n");
    match raw.hear() {
        Response::Error(report) => {
            assert_eq!(report.kind, ErrorKind::Version);
            assert!(
                report.message.contains(&format!("version {VERSION}")),
                "{}",
                report.message
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_without_end_is_cut_off() {
    let daemon = StandIn::start();
    let mut raw = Raw::connect(&daemon);
    raw.say(&vec![b'a'; REQUEST_LIMIT]);
    assert_eq!(raw.hear_no(), ErrorKind::Malformed);
    assert!(raw.is_over());
}

#[test]
fn a_client_that_sends_half_a_request_is_told_and_closed() {
    let daemon = StandIn::with(quick(), healthy());
    let mut raw = Raw::connect(&daemon);
    raw.say(b"{\"version\":1,");
    assert_eq!(raw.hear_no(), ErrorKind::Slow);
    assert!(raw.is_over());
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let daemon = StandIn::with(quick(), healthy());
    assert!(Raw::connect(&daemon).is_over());
}

#[test]
fn a_client_that_hangs_up_early_disturbs_nobody() {
    let daemon = StandIn::start();
    for bytes in [&b""[..], b"{\"version\"", &line(Request::Status)] {
        Raw::connect(&daemon).say(bytes);
    }
    connect(&daemon).ask(Request::Status).expect("answer");
}

#[test]
fn a_writer_that_takes_too_long_is_reported_as_busy() {
    let daemon = StandIn::with(quick(), healthy());
    let mut raw = Raw::connect(&daemon);
    raw.say(
        b"{\"version\":1,\"request\":{\"explain\":{\"from\":\"slow\",\"to\":\"x\",\"traffic\":{\"port\":\"1\"}}}}\n",
    );
    assert_eq!(raw.hear_no(), ErrorKind::Busy);
}

#[test]
fn clients_beyond_the_limit_are_told_so_and_a_place_that_gets_free_serves() {
    let daemon = StandIn::with(
        Limits {
            clients: 2,
            ..Limits::default()
        },
        healthy(),
    );
    // These run as root, for whom some more places are kept.
    let places = 2 + if nix::unistd::geteuid().is_root() {
        Limits::ROOT_RESERVE
    } else {
        0
    };
    let mut seated: Vec<Client> = (0..places).map(|_| connect(&daemon)).collect();
    for client in &mut seated {
        client.ask(Request::Status).expect("answer");
    }
    match connect(&daemon).ask(Request::Status) {
        Err(ClientError::Answer(report)) => assert_eq!(report.kind, ErrorKind::Busy),
        other => panic!("{other:?}"),
    }
    assert_eq!(daemon.tally.clients_refused(), 1);
    seated.pop();
    wait("free place", || {
        connect(&daemon).ask(Request::Status).is_ok()
    });
}

#[test]
fn monitors_cannot_take_all_places() {
    let daemon = StandIn::with(
        Limits {
            monitors: 1,
            ..Limits::default()
        },
        healthy(),
    );
    let mut first = connect(&daemon);
    first.ask(watch(true, false)).expect("watching");
    match connect(&daemon).ask(watch(true, false)) {
        Err(ClientError::Answer(report)) => assert_eq!(report.kind, ErrorKind::Busy),
        other => panic!("{other:?}"),
    }
    connect(&daemon)
        .ask(Request::Status)
        .expect("others are served");
}

#[test]
fn a_monitor_sees_what_it_asked_for_and_nothing_else() {
    let daemon = StandIn::start();
    let mut drops = connect(&daemon);
    assert_eq!(
        drops.ask(watch(true, false)).expect("watching"),
        Response::Watching
    );
    let mut from_tiefighter = connect(&daemon);
    from_tiefighter
        .ask(Request::Monitor(Watch {
            drops: true,
            allows: true,
            from: Some("tiefighter".to_owned()),
            to: None,
        }))
        .expect("watching");
    let mut allowed = event(Verdict::Allow);
    allowed.source.name = Some("tiefighter".to_owned());
    daemon.hub.hand_out(allowed.clone());
    daemon.hub.hand_out(event(Verdict::Drop));
    daemon.hub.hand_out(event(Verdict::Audit));
    for verdict in [Verdict::Drop, Verdict::Audit] {
        assert_eq!(
            drops.streamed().expect("event"),
            Some(Streamed::Event(Box::new(event(verdict))))
        );
    }
    assert_eq!(
        from_tiefighter.streamed().expect("event"),
        Some(Streamed::Event(Box::new(allowed)))
    );
}

#[test]
fn allowed_connections_are_reported_only_while_somebody_wants_them() {
    let daemon = StandIn::start();
    let mut drops = connect(&daemon);
    drops.ask(watch(true, false)).expect("watching");
    assert_eq!(daemon.asked(), [], "drops are reported anyway");
    let mut first = connect(&daemon);
    first.ask(watch(false, true)).expect("watching");
    let mut second = connect(&daemon);
    second.ask(watch(true, true)).expect("watching");
    drop(first);
    daemon.wait_for_watchers(2);
    assert!(
        !daemon.asked().contains(&Verb::ObserveAllowed(false)),
        "one is left"
    );
    drop(second);
    wait("end of it", || {
        daemon.asked().last() == Some(&Verb::ObserveAllowed(false))
    });
    assert_eq!(daemon.asked()[0], Verb::ObserveAllowed(true));
}

#[test]
fn a_monitor_that_does_not_read_loses_events_is_told_and_blocks_nobody() {
    let daemon = StandIn::start();
    let mut slow = connect(&daemon);
    slow.ask(watch(true, false)).expect("watching");
    // Enough to fill the socket's buffer, and the backlog beyond it.
    let mut sent = 0_u64;
    while daemon.hub.lost() == 0 {
        assert!(sent < 1_000_000, "nothing was ever lost");
        for _ in 0..1_000 {
            let mut event = event(Verdict::Drop);
            event.generation = sent;
            daemon.hub.hand_out(event);
            sent += 1;
        }
        connect(&daemon)
            .ask(Request::Status)
            .expect("others are served");
        if sent > 4_000 && daemon.hub.lost() == 0 {
            // The server notices only when the client reads on.
            break;
        }
    }
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < sent {
        match slow.streamed().expect("stream") {
            Some(Streamed::Event(_)) => seen += 1,
            Some(Streamed::Lost(count)) => lost += count,
            None => panic!("closed after {seen} seen and {lost} lost of {sent}"),
        }
    }
    assert!(lost > 0, "{seen} seen of {sent}");
    assert_eq!(seen + lost, sent, "every event is accounted for");
    assert_eq!(daemon.hub.lost(), lost);
}

#[test]
fn a_monitor_that_goes_is_forgotten() {
    let daemon = StandIn::start();
    let mut client = connect(&daemon);
    client.ask(watch(true, true)).expect("watching");
    daemon.wait_for_watchers(1);
    drop(client);
    daemon.wait_for_watchers(0);
}

#[test]
fn a_monitor_ends_with_the_daemon() {
    let daemon = StandIn::start();
    let mut client = connect(&daemon);
    client.ask(watch(true, true)).expect("watching");
    daemon.end();
    assert_eq!(client.streamed().expect("a clean end"), None);
}

#[test]
fn stop_answers_and_then_closes_when_the_daemon_has_ended() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let daemon = StandIn::start();
    let mut client = connect(&daemon);
    let answer = client.ask(Request::Stop { detach: true }).expect("answer");
    assert!(matches!(answer, Response::Stopping(report) if report.detached));
    client.wait_for_end(PATIENCE).expect("ended");
    wait("end", || daemon.has_ended());
    assert!(!daemon.socket.exists(), "the socket goes with the daemon");
    assert!(matches!(
        Client::connect(&daemon.socket),
        Err(ClientError::NoDaemon(_))
    ));
}
