//! The way from the engine's answers to a view without an engine, for the fuzzer (see fuzz/).

use serde::de::DeserializeOwned;

use super::answers::{
    ContainerAnswer, DetailAnswer, ErrorAnswer, Event, NetworkAnswer, VersionAnswer,
};
use super::table::Table;
use super::view::DockerView;

/// What follows from answers, one a line; each begins with a letter that says what it answers to.
#[must_use]
pub fn view_of(answers: &[u8]) -> DockerView {
    let mut table = Table::default();
    for line in answers.split(|&byte| byte == b'\n') {
        let Some((kind, json)) = line.split_first() else {
            continue;
        };
        take(&mut table, *kind, json);
    }
    table.missing();
    table.view()
}

fn take(table: &mut Table, kind: u8, json: &[u8]) {
    match kind {
        b'N' => drop(read(json).map(|list: Vec<NetworkAnswer>| table.set_networks(&list))),
        b'n' => drop(read(json).map(|one: NetworkAnswer| table.set_network(&one))),
        b'C' => drop(read(json).map(|list: Vec<ContainerAnswer>| table.set_containers(&list))),
        b'c' => drop(read(json).map(|one: ContainerAnswer| table.set_container(&one))),
        // Of every container that it may be of.
        b'd' => {
            if let Some(detail) = read::<DetailAnswer>(json) {
                for (id, life) in table.uninspected() {
                    table.set_detail(&id, life, &detail);
                }
            }
        }
        b'e' => {
            let event: Option<Event> = read(json);
            if let Some(id) = event.and_then(|event| event.actor?.id) {
                table.new_life(&id);
                table.remove_network(&id);
            }
        }
        b'v' => drop(read::<VersionAnswer>(json)),
        _ => drop(read::<ErrorAnswer>(json)),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}
