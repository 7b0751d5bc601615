//! The bypass list: what somebody sends who owns a container with CAP_NET_RAW, or a machine on the same
//! link, or one outside. Crafted frames on real veths and a real bridge, under the built daemon. Each
//! row says whether its frames arrive and what is counted. Needs root.
//!
//! Every row is a test of its own, once for each way to attach the programs. They share one host and
//! one daemon for each way, for the rows are many and each takes but a moment.

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod arp;
mod case;
mod cast;
mod counters;
mod errors;
mod extensions;
mod fragments;
mod groups;
mod ipv4;
mod link;
mod neighbours;
mod nonlinear;
mod offload;
mod protocols;
mod scene;
mod services;
mod sources;
mod tcp;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};

use case::Row;
use common::daemon::Attach;
use scene::Scene;

/// One file for each family.
fn families() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("fragments", fragments::rows()),
        ("extensions", extensions::rows()),
        ("ipv4", ipv4::rows()),
        ("link", link::rows()),
        ("sources", sources::rows()),
        ("arp", arp::rows()),
        ("neighbours", neighbours::rows()),
        ("services", services::rows()),
        ("addresses", addresses::rows()),
        ("groups", groups::rows()),
        ("errors", errors::rows()),
        ("tcp", tcp::rows()),
        ("protocols", protocols::rows()),
        ("nonlinear", nonlinear::rows()),
        ("offload", offload::rows()),
    ]
}

/// A host that is made when its first row wants it.
type Stage = Arc<Mutex<Option<Scene>>>;

fn main() {
    let mut arguments = Arguments::from_args();
    // Rows of one host cannot overlap: what arrives and what is counted is the row's own.
    arguments.test_threads = Some(1);
    let stages: [(&str, Attach, Stage); 2] = [
        ("tcx", Attach::Tcx, Stage::default()),
        ("clsact", Attach::Clsact, Stage::default()),
    ];
    let mut trials = Vec::new();
    for (name, attach, stage) in &stages {
        for (family, rows) in families() {
            for row in rows {
                let (attach, stage) = (*attach, Arc::clone(stage));
                let title = format!("{family}::{name}: {}", row.title());
                trials.push(Trial::test(title, move || play(&row, attach, &stage)));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (name, _, stage) in &stages {
        let stage = stage.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(scene) = stage {
            println!("{name}: {}", scene.summary());
        }
    }
    conclusion.exit();
}

fn play(row: &Row, attach: Attach, stage: &Stage) -> Result<(), Failed> {
    let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = match &mut *stage {
        Some(scene) => scene,
        // On a thread of that name, by which the host's directory is called.
        None => stage.insert(
            thread::Builder::new()
                .name(format!("hostile-{attach:?}"))
                .spawn(move || Scene::new(attach))
                .map_err(|error| format!("start a thread: {error}"))?
                .join()
                .map_err(|_| "the host could not be made")?,
        ),
    };
    Ok(scene.play(row)?)
}
