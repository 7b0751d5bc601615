//! What was measured: for people, for programs, and as pictures.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::curve::Curves;
use crate::{chart, plot};

/// What a scenario gives.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Figures {
    Table(Table),
    Curves(Curves),
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Curves(curves) => curves.fmt(f),
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Table {
    /// Short, and good for a file's name.
    pub name: String,
    pub title: String,
    /// Of `Row::value`.
    pub unit: String,
    /// What prints it.
    pub command: String,
    pub rounds: usize,
    /// The first is what the others are compared with, unless `against_goals` is.
    pub rows: Vec<Row>,
    /// The ratios are to what was asked for.
    pub against_goals: bool,
}

/// One candidate.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub name: String,
    /// To the first row, within each round: the median of the rounds.
    pub ratio: f64,
    /// A quarter of the rounds were below.
    pub lowest: f64,
    /// A quarter of the rounds were above.
    pub highest: f64,
    /// The median of the rounds, in the table's unit.
    pub value: f64,
    /// What the ratio should not exceed.
    pub goal: Option<f64>,
}

impl Table {
    /// One that has nothing in it yet.
    pub fn new(name: impl Into<String>, title: impl Into<String>, unit: &str) -> Self {
        let name = name.into();
        let scenario = name.split('-').next().unwrap_or_default().to_owned();
        Self {
            name,
            title: title.into(),
            unit: unit.to_owned(),
            command: format!("scripts/bench {scenario}"),
            ..Self::default()
        }
    }

    /// What the ratios are to.
    pub fn axis(&self) -> String {
        if self.against_goals {
            return "share of what was asked for (red)".to_owned();
        }
        let first = self.rows.first().map_or("", |row| &row.name);
        let goal = if self.rows.iter().any(|row| row.goal.is_some()) {
            "; red: the goal"
        } else {
            ""
        };
        format!("ratio to \u{201c}{first}\u{201d}{goal}")
    }

    /// Whether all rows are bridgewall's.
    pub fn is_about_us(&self) -> bool {
        self.against_goals
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max();
        let width = width.unwrap_or(0);
        writeln!(
            f,
            "{} ({} rounds; {})",
            self.title, self.rounds, self.command
        )?;
        writeln!(
            f,
            "   ratio  quarters       goal  {:width$}  {}",
            "", self.unit
        )?;
        for row in &self.rows {
            let goal = row.goal.map_or(String::new(), |goal| {
                let missed = if row.ratio <= goal { " " } else { "!" };
                format!("{}{missed}", figure(goal))
            });
            let quarters = format!("{}-{}", figure(row.lowest), figure(row.highest));
            writeln!(
                f,
                "  {:>6}  {quarters:11}  {goal:>6}  {:width$}  {}",
                figure(row.ratio),
                row.name,
                figure(row.value)
            )?;
        }
        Ok(())
    }
}

/// A number with as many digits as are worth reading.
pub fn figure(number: f64) -> String {
    let digits = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.1.. => 2,
        0.01.. => 3,
        _ => 4,
    };
    format!("{number:.digits$}")
}

/// Writes all as JSON.
pub fn write_json(path: &Path, all: &[Figures]) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(all)?;
    text.push('\n');
    fs::write(path, text)
}

/// Draws all, one file each.
pub fn write_plots(folder: &Path, all: &[Figures]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for figures in all {
        let (name, drawing) = match figures {
            Figures::Table(table) => (&table.name, plot::draw(table)),
            Figures::Curves(curves) => (&curves.name, chart::draw(curves)),
        };
        let drawing =
            drawing.map_err(|error| std::io::Error::other(format!("draw {name}: {error}")))?;
        fs::write(folder.join(format!("{name}.svg")), drawing)?;
    }
    Ok(())
}
