//! One client of the control socket: reads its requests, writes the answers.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, UCred};
use tokio::time::timeout;

use super::house::House;
use super::protocol::{
    Call, ErrorKind, FLOWS_LIMIT, Listing, REQUEST_LIMIT, Request, Response, Streamed, VERSION,
    Watch,
};
use super::request::Verb;
use crate::observe::hub::Delivery;

type Reader = BufReader<OwnedReadHalf>;

/// Why there is no request.
enum NoRequest {
    /// The client has gone.
    Gone,
    /// There is one, but not one to answer with anything but this; whether to go on after it.
    Bad(Response, bool),
}

/// Serves one client until it goes, or goes too far.
pub(super) async fn serve(stream: UnixStream, peer: UCred, house: Rc<House>) {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    loop {
        let request = match request(&mut reader, house.limits.read_timeout).await {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Bad(response, more)) => {
                house.tally.refuse_request();
                if send(&mut write, &response, house.limits.write_timeout).await && more {
                    continue;
                }
                return;
            }
        };
        if request.changes() {
            log::info!(
                "{} asked for by user {}{}",
                request.name(),
                peer.uid(),
                peer.pid()
                    .map_or_else(String::new, |pid| format!(", process {pid}"))
            );
            if peer.uid() != 0 {
                house.tally.refuse_request();
                let response = Response::error(
                    ErrorKind::NotRoot,
                    format!("`{}` is for root: use sudo", request.name()),
                );
                if !send(&mut write, &response, house.limits.write_timeout).await {
                    return;
                }
                continue;
            }
        }
        let verb = match request {
            Request::Monitor(watch) => return monitor(watch, reader, write, &house).await,
            Request::Status => Verb::Status,
            Request::Reload => Verb::Reload,
            Request::Apply(apply) => Verb::Apply(apply),
            Request::Confirm { revision, keep } => Verb::Confirm { revision, keep },
            Request::List(Listing::Flows { limit }) => Verb::List(Listing::Flows {
                limit: limit.min(FLOWS_LIMIT),
            }),
            Request::List(listing) => Verb::List(listing),
            Request::Explain(question) => Verb::Explain(question),
            Request::Doctor => Verb::Doctor,
            Request::Stop { detach } => Verb::Stop { detach },
        };
        let answering = house.answering();
        let response = house.ask(verb).await;
        if !send(&mut write, &response, house.limits.write_timeout).await {
            return;
        }
        drop(answering);
        if matches!(response, Response::Stopping(_)) {
            // The connection closes with the daemon, which is what the client waits for.
            std::future::pending::<()>().await;
        }
    }
}

/// Says to one client too many that it is; does not wait for it.
pub(super) fn turn_away(stream: &UnixStream) {
    let response = Response::error(
        ErrorKind::Busy,
        "the daemon has too many clients: end some `bridgewall monitor`, and try again",
    );
    if let Ok(line) = line(&response) {
        // A socket that was just made has room for one line.
        let _ = stream.try_write(&line);
    }
}

async fn request(reader: &mut Reader, limit: Duration) -> Result<Request, NoRequest> {
    let mut line = Vec::new();
    let mut limited = reader.take(REQUEST_LIMIT as u64);
    match timeout(limit, limited.read_until(b'\n', &mut line)).await {
        // One that sent nothing at all need not be told.
        Err(_) if line.is_empty() => return Err(NoRequest::Gone),
        Err(_) => {
            return Err(NoRequest::Bad(
                Response::error(ErrorKind::Slow, "the request did not arrive in time"),
                false,
            ));
        }
        Ok(Err(_)) | Ok(Ok(0)) => return Err(NoRequest::Gone),
        Ok(Ok(_)) => {}
    }
    if line.last() != Some(&b'\n') {
        if line.len() < REQUEST_LIMIT {
            return Err(NoRequest::Gone);
        }
        return Err(NoRequest::Bad(
            Response::error(
                ErrorKind::Malformed,
                format!("the request is longer than {REQUEST_LIMIT} bytes"),
            ),
            false,
        ));
    }
    parse(&line).map_err(|response| NoRequest::Bad(response, true))
}

/// What a line asks for, or the answer that it gets.
pub fn parse(line: &[u8]) -> Result<Request, Response> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let malformed = |error: serde_json::Error| {
        Response::error(
            ErrorKind::Malformed,
            format!("this is not a request: {error}"),
        )
    };
    // First only the version: what else a request holds may be unknown to us because of it.
    let Version { version } = serde_json::from_slice(line).map_err(malformed)?;
    if version != VERSION {
        return Err(Response::error(
            ErrorKind::Version,
            format!(
                "the daemon speaks version {VERSION} of the protocol, the request is in version \
                 {version}: restart the daemon after an upgrade"
            ),
        ));
    }
    let call: Call = serde_json::from_slice(line).map_err(malformed)?;
    Ok(call.request)
}

async fn monitor(watch: Watch, mut reader: Reader, mut write: OwnedWriteHalf, house: &Rc<House>) {
    let limit = house.limits.write_timeout;
    let Some(_seat) = house.monitor_seat() else {
        house.tally.refuse_client();
        let response = Response::error(
            ErrorKind::Busy,
            "too many clients watch already: end some `bridgewall monitor`, and try again",
        );
        send(&mut write, &response, limit).await;
        return;
    };
    // Before the answer, so that nothing that happens after it is missed.
    let mut watcher = house.hub.watch();
    let _allowed = if watch.allows {
        match house.observe_allowed().await {
            Ok(wanted) => Some(wanted),
            Err(response) => {
                send(&mut write, &response, limit).await;
                return;
            }
        }
    } else {
        None
    };
    if !send(&mut write, &Response::Watching, limit).await {
        return;
    }
    let mut ignored = [0; 64];
    loop {
        let delivery = tokio::select! {
            delivery = watcher.next() => delivery,
            // A client that watches has nothing to say; it is read only to see it go.
            read = reader.read(&mut ignored) => match read {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            },
        };
        let streamed = match delivery {
            None => return,
            Some(Delivery::Lost(count)) => Streamed::Lost(count),
            Some(Delivery::Event(event)) if watch.wants(&event) => {
                Streamed::Event(Box::new(event.as_ref().clone()))
            }
            Some(Delivery::Event(_)) => continue,
        };
        // No time limit: somebody may be reading in a pager. What is missed meanwhile is counted.
        let Ok(line) = line(&streamed) else { return };
        tokio::select! {
            written = write.write_all(&line) => if written.is_err() { return },
            () = gone(&mut reader) => return,
        }
    }
}

/// Returns when the client has closed its end.
async fn gone(reader: &mut Reader) {
    let mut ignored = [0; 64];
    while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
}

/// Writes one line; `false` if the client has gone or does not take it.
async fn send(write: &mut OwnedWriteHalf, response: &Response, limit: Duration) -> bool {
    match line(response) {
        Ok(line) => matches!(timeout(limit, write.write_all(&line)).await, Ok(Ok(()))),
        Err(error) => {
            log::error!("put an answer into JSON: {error}");
            false
        }
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
