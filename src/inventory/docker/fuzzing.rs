//! The way from the engine's answers to a view without an engine, for the fuzzer (see tests/fuzz).

use serde::de::DeserializeOwned;

use super::answers::{ContainerAnswer, DetailAnswer, ErrorAnswer, NetworkAnswer, VersionAnswer};
use super::session::Todo;
use super::table::Table;
use super::view::DockerView;

/// What follows from answers, one a line; each begins with a letter that says what it answers to.
/// Beside it the ids that would be asked for next: they are put into paths.
#[must_use]
pub fn view_of(answers: &[u8]) -> (DockerView, Vec<String>) {
    let mut table = Table::default();
    let mut todo = Todo::default();
    for line in answers.split(|&byte| byte == b'\n') {
        if let Some((kind, json)) = line.split_first() {
            take(&mut table, &mut todo, *kind, json);
        }
    }
    let asked = table.missing().into_iter();
    let asked = asked.chain(table.uninspected().into_iter().map(|(id, _)| id));
    let asked = asked.chain(table.bridge_networks());
    let asked = asked.chain(todo.networks).chain(todo.containers).collect();
    (table.view(), asked)
}

fn take(table: &mut Table, todo: &mut Todo, kind: u8, json: &[u8]) {
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
        b'e' => drop(read(json).map(|event| todo.note(&event, table))),
        b'v' => drop(read::<VersionAnswer>(json)),
        _ => drop(read::<ErrorAnswer>(json)),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}
