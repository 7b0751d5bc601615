//! What was measured: for people, for programs, and as pictures.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::plot;

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
    /// The first is what the others are compared with.
    pub rows: Vec<Row>,
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
            "  ratio  quarters     goal  {:width$}  {}",
            "", self.unit
        )?;
        for row in &self.rows {
            let goal = row.goal.map_or(String::new(), |goal| {
                format!("{goal:.2}{}", if row.ratio <= goal { " " } else { "!" })
            });
            writeln!(
                f,
                "  {:5.2}  {:.2}-{:.2}  {goal:>6}  {:width$}  {:.1}",
                row.ratio, row.lowest, row.highest, row.name, row.value
            )?;
        }
        Ok(())
    }
}

/// Writes all as JSON.
pub fn write_json(path: &Path, tables: &[Table]) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(tables)?;
    text.push('\n');
    fs::write(path, text)
}

/// Draws all, one file each.
pub fn write_plots(folder: &Path, tables: &[Table]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for table in tables {
        plot::draw(&folder.join(format!("{}.svg", table.name)), table)?;
    }
    Ok(())
}
