//! The conversation with the engine: subscribe, list, follow the events, and begin anew when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Shared;
use super::answers::{ContainerAnswer, DetailAnswer, Event, NetworkAnswer};
use super::table::{Table, is_id};
use super::transport::{DockerError, Engine, Events};
use crate::inventory::Trigger;

/// After the first failure, and doubled after each further one ...
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A connection that held this long was a good one: the next failure is a first one again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
/// Complete lists without any reason, should an event have been lost on the way.
const LIST_INTERVAL: Duration = Duration::from_secs(60);
/// Complete lists on request are at least this far apart.
const LIST_PAUSE: Duration = Duration::from_millis(50);
/// Details that are asked for at the same time.
const INSPECTIONS: usize = 8;
/// A container that is just being started holds back its details.
const INSPECTION_PATIENCE: Duration = Duration::from_secs(60);

/// Runs until told to stop, or until the sink breaks.
pub(super) async fn run(
    socket: &Path,
    shared: &Shared,
    sink: &impl Fn(Trigger) -> ControlFlow<()>,
) {
    tokio::select! {
        () = shared.stop.notified() => {}
        () = stay_connected(socket, shared, sink) => {}
    }
}

async fn stay_connected(
    socket: &Path,
    shared: &Shared,
    sink: &impl Fn(Trigger) -> ControlFlow<()>,
) {
    let mut last_event = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let mut session = Session {
            shared,
            sink,
            table: Table::default(),
            todo: Todo::default(),
            inspections: JoinSet::new(),
            inspected: BTreeMap::new(),
            failed: Vec::new(),
            listed_at: None,
            last_event,
        };
        let end = session.talk(socket).await;
        last_event = session.last_event;
        let End::Failed(error) = end else { return };
        if begun.elapsed() >= GOOD_CONNECTION {
            pause = FIRST_PAUSE;
        }
        if report(shared, &error) && sink(Trigger::Docker).is_break() {
            return;
        }
        wait_for_socket(socket, pause, error.is_absent()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Notes a failure. Whether anything has changed by it: an engine that stays away is reported once.
fn report(shared: &Shared, error: &DockerError) -> bool {
    let health = &mut shared.state().health;
    let message = error.to_string();
    let news = health.last_error.as_ref() != Some(&message) || health.connected_since.is_some();
    if news {
        log::warn!("Docker: {message}; what is known of its containers stays in force");
    }
    health.connected_since = None;
    health.last_error = Some(message);
    news
}

/// Waits for as long as is said, or until a socket appears there.
async fn wait_for_socket(socket: &Path, pause: Duration, absent: bool) {
    let appeared = Arc::new(Notify::new());
    // Dropping it ends the watch.
    let _watcher = watch_for(socket, Arc::clone(&appeared));
    if absent && socket.exists() {
        return; // it came before we watched
    }
    tokio::select! {
        () = appeared.notified() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// `None` where the folder cannot be watched: then the pause alone decides.
fn watch_for(socket: &Path, appeared: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let name = socket.file_name()?.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let created = |event: &notify::Event| {
            event.kind.is_create() && event.paths.iter().any(|p| p.file_name() == Some(&name))
        };
        if event.as_ref().is_ok_and(created) {
            appeared.notify_one();
        }
    })
    .ok()?;
    watcher
        .watch(socket.parent()?, RecursiveMode::NonRecursive)
        .ok()?;
    Some(watcher)
}

/// How a conversation ends.
enum End {
    Failed(DockerError),
    SinkBroke,
}

impl From<DockerError> for End {
    fn from(error: DockerError) -> Self {
        Self::Failed(error)
    }
}

/// What has to be asked for anew.
#[derive(Default)]
pub(super) struct Todo {
    everything: bool,
    pub networks: BTreeSet<String>,
    pub containers: BTreeSet<String>,
}

impl Todo {
    /// Notes whom an event is about; a life that began or ended is known at once.
    pub fn note(&mut self, event: &Event, table: &mut Table) {
        let actor = event.actor.as_ref().and_then(|actor| actor.id.as_deref());
        let Some(id) = actor.filter(|id| is_id(id)) else {
            return;
        };
        let attributes = event.actor.as_ref().and_then(|a| a.attributes.as_ref());
        let attribute = |name| attributes.and_then(|attributes| attributes.get(name));
        match (event.kind.as_deref(), event.action.as_deref()) {
            (Some("network"), _) => {
                self.networks.insert(id.to_owned());
                // Its published ports may lead through another network now.
                let container = attribute("container");
                let container = container.filter(|container| is_id(container));
                self.containers.extend(container.cloned());
            }
            (Some("container"), Some("start" | "die" | "restart")) => {
                table.new_life(id);
                self.containers.insert(id.to_owned());
            }
            (Some("container"), Some(action @ ("create" | "rename" | "update" | "destroy"))) => {
                if let Some(name) = attribute("name").filter(|_| action == "rename") {
                    table.rename(id, name);
                }
                self.containers.insert(id.to_owned());
            }
            _ => {}
        }
    }
}

/// One connection's worth.
struct Session<'a, S> {
    shared: &'a Shared,
    sink: &'a S,
    table: Table,
    todo: Todo,
    inspections: JoinSet<Inspection>,
    /// Details that were asked for, by container, and for which of its lives.
    inspected: BTreeMap<String, u64>,
    /// Those that failed: they are asked for again with the next complete list.
    failed: Vec<String>,
    listed_at: Option<Instant>,
    last_event: Option<u64>,
}

struct Inspection {
    id: String,
    life: u64,
    answer: Result<DetailAnswer, DockerError>,
}

impl<S: Fn(Trigger) -> ControlFlow<()>> Session<'_, S> {
    async fn talk(&mut self, socket: &Path) -> End {
        match self.converse(socket).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn converse(&mut self, socket: &Path) -> Result<std::convert::Infallible, End> {
        let engine = Engine::connect(socket).await?;
        // Subscribe first: what happens while the lists are read is an event that waits for us.
        let mut events = engine.events(self.last_event).await?;
        self.list_everything(&engine).await?;
        log::info!("Docker: connected to {}", engine.description);
        {
            let health = &mut self.shared.state().health;
            health.engine = Some(engine.description.clone());
            health.connected_since = Some(SystemTime::now());
            health.last_error = None;
        }
        loop {
            self.look_closer(&engine).await?;
            self.publish()?;
            self.inspect(&engine);
            self.wait(&mut events).await?;
            self.catch_up(&engine).await?;
        }
    }

    /// Waits for a reason to ask again.
    async fn wait(&mut self, events: &mut Events) -> Result<(), DockerError> {
        let next_list = self.listed_at.unwrap_or_else(Instant::now) + LIST_INTERVAL;
        tokio::select! {
            event = events.next() => {
                self.note(&event?);
                while let Some(event) = events.ready()? {
                    self.note(&event);
                }
            }
            Some(result) = self.inspections.join_next() => {
                if let Ok(inspection) = result {
                    self.take(inspection);
                }
            }
            () = self.shared.list.notified() => {
                let next = self.listed_at.unwrap_or_else(Instant::now) + LIST_PAUSE;
                tokio::time::sleep_until(next.into()).await;
                self.todo.everything = true;
            }
            () = tokio::time::sleep_until(next_list.into()) => self.todo.everything = true,
        }
        Ok(())
    }

    /// Notes what an event makes worth asking.
    fn note(&mut self, event: &Event) {
        self.last_event = self.last_event.max(event.time_nano);
        self.todo.note(event, &mut self.table);
    }

    async fn catch_up(&mut self, engine: &Engine) -> Result<(), DockerError> {
        if self.todo.everything {
            return self.list_everything(engine).await;
        }
        for id in std::mem::take(&mut self.todo.containers) {
            self.ask_container(engine, &id).await?;
        }
        for id in std::mem::take(&mut self.todo.networks) {
            self.ask_network(engine, &id).await?;
        }
        Ok(())
    }

    async fn list_everything(&mut self, engine: &Engine) -> Result<(), DockerError> {
        self.todo = Todo::default();
        let begun = Instant::now();
        let containers: Vec<ContainerAnswer> = engine.get("/containers/json?all=true").await?;
        self.table.set_containers(&containers);
        let networks: Vec<NetworkAnswer> = engine.get("/networks").await?;
        self.table.set_networks(&networks);
        for id in self.table.bridge_networks() {
            self.ask_network(engine, &id).await?;
        }
        for id in self.failed.drain(..) {
            self.inspected.remove(&id);
        }
        self.listed_at = Some(begun);
        Ok(())
    }

    /// Asks for the containers that networks mention and that came after the list.
    async fn look_closer(&mut self, engine: &Engine) -> Result<(), DockerError> {
        for id in self.table.missing() {
            self.ask_container(engine, &id).await?;
        }
        Ok(())
    }

    async fn ask_network(&mut self, engine: &Engine, id: &str) -> Result<(), DockerError> {
        match engine
            .find::<NetworkAnswer>(&format!("/networks/{id}"))
            .await?
        {
            Some(mut answer) => {
                // Without attachments there may be nothing at all instead of an empty map.
                answer.containers.get_or_insert_default();
                self.table.set_network(&answer);
            }
            None => self.table.remove_network(id),
        }
        Ok(())
    }

    async fn ask_container(&mut self, engine: &Engine, id: &str) -> Result<(), DockerError> {
        // {"id":["..."]}
        let path = format!("/containers/json?all=true&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D");
        let answers: Vec<ContainerAnswer> = engine.get(&path).await?;
        match answers
            .iter()
            .find(|answer| answer.id.as_deref() == Some(id))
        {
            Some(answer) => self.table.set_container(answer),
            None => self.table.remove_container(id),
        }
        Ok(())
    }

    /// Asks, on the side, for the namespaces of containers that run.
    fn inspect(&mut self, engine: &Engine) {
        for (id, life) in self.table.uninspected() {
            if self.inspections.len() >= INSPECTIONS {
                return;
            }
            if self.inspected.get(&id) == Some(&life) {
                continue;
            }
            self.inspected.insert(id.clone(), life);
            let engine = engine.clone();
            self.inspections.spawn(async move {
                let path = format!("/containers/{id}/json");
                let answer = engine.get_patiently(&path, INSPECTION_PATIENCE).await;
                Inspection { id, life, answer }
            });
        }
    }

    fn take(&mut self, inspection: Inspection) {
        let Inspection { id, life, answer } = inspection;
        match answer {
            Ok(answer) => self.table.set_detail(&id, life, &answer),
            Err(error) => {
                log::debug!("Docker: {error}");
                self.failed.push(id);
            }
        }
    }

    /// Puts out what is known, if it is news.
    fn publish(&mut self) -> Result<(), End> {
        let view = self.table.view();
        let news = {
            let mut state = self.shared.state();
            let news = *state.view != view || state.listed_at != self.listed_at;
            if *state.view != view {
                state.view = Arc::new(view);
            }
            state.listed_at = self.listed_at;
            news
        };
        if news && (self.sink)(Trigger::Docker).is_break() {
            return Err(End::SinkBroke);
        }
        Ok(())
    }
}
