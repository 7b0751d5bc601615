//! What bridgewall costs, beside what others cost: `scripts/bench`. Needs root, and touches nothing
//! but network namespaces of its own.
//!
//! Each scenario is a module that gives [`report::Table`]s, named in [`SCENARIOS`]. All candidates of a
//! comparison stand side by side and are measured in turn (see [`rounds`]), in CPU time (see [`cpu`]).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod compile;
mod control;
mod cpu;
mod curve;
mod frames;
mod lab;
mod live;
mod memory;
mod peers;
mod plot;
#[path = "../bench_lists/prefixes.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod prefixes;
mod report;
mod rounds;
mod runs;
mod sockets;
mod theme;
mod ways;

use curve::Curves;
use report::{Figures, Table};

/// A scenario at work.
enum Measure {
    /// Compares.
    Tables(fn(&Options) -> Vec<Table>),
    /// Looks how costs grow.
    Curves(fn(&Options) -> Vec<Curves>),
}

impl Measure {
    fn measure(&self, options: &Options) -> Vec<Figures> {
        match self {
            Self::Tables(measure) => measure(options).into_iter().map(Figures::Table).collect(),
            Self::Curves(measure) => measure(options).into_iter().map(Figures::Curves).collect(),
        }
    }
}

/// What can be measured, and by which function.
const SCENARIOS: &[(&str, &str, Measure)] = {
    use Measure::{Curves, Tables};
    &[
        (
            "runs",
            "one program at work, by BPF_PROG_TEST_RUN",
            Tables(runs::measure),
        ),
        (
            "live",
            "packets from container to container",
            Tables(live::measure),
        ),
        (
            "sockets",
            "sockets of two containers",
            Tables(sockets::measure),
        ),
        (
            "ways",
            "to the outside, and to published ports",
            Tables(ways::measure),
        ),
        ("control", "what the daemon does", Tables(control::measure)),
        (
            "lists",
            "a deny list of a million prefixes in the daemon's hands",
            Tables(control::lists::measure),
        ),
        (
            "compile",
            "the compiler alone, past one machine",
            Curves(compile::measure),
        ),
    ]
};

/// Measures what bridgewall costs, beside its peers.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench", after_help = scenarios())]
pub struct Options {
    /// Only these scenarios.
    scenarios: Vec<String>,
    /// A short look, which is less exact.
    #[arg(long)]
    quick: bool,
    /// Rounds of each comparison.
    #[arg(long)]
    rounds: Option<usize>,
    /// Another build of bridgewall, to be measured beside this one by `runs` and `live`.
    #[arg(long, value_name = "BINARY")]
    beside: Option<PathBuf>,
    /// Write what was measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw what was measured into this folder.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How many times everything is measured.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 8 }).max(1)
    }

    /// So many of something, or a tenth for a short look.
    pub fn amount(&self, full: u32) -> u32 {
        if self.quick { full / 10 } else { full }
    }
}

fn scenarios() -> String {
    let lines = SCENARIOS
        .iter()
        .map(|(name, about, _)| format!("  {name:10}{about}\n"));
    "Scenarios:\n".to_owned() + &lines.collect::<String>()
}

fn main() -> ExitCode {
    let options = Options::parse();
    for name in &options.scenarios {
        if !SCENARIOS.iter().any(|(known, ..)| known == name) {
            eprintln!("there is no scenario {name}\n\n{}", scenarios());
            return ExitCode::from(2);
        }
    }
    let mut all = Vec::new();
    for (name, _, measure) in SCENARIOS {
        if options.scenarios.is_empty() || options.scenarios.iter().any(|wanted| wanted == name) {
            for figures in measure.measure(&options) {
                println!("{figures}");
                all.push(figures);
            }
        }
    }
    let written = options
        .json
        .as_ref()
        .map_or(Ok(()), |path| report::write_json(path, &all))
        .and_then(|()| {
            let folder = options.plots.as_ref();
            folder.map_or(Ok(()), |folder| report::write_plots(folder, &all))
        });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
