//! What was asked for, and how much of it is used.

use crate::report::{Row, Table, figure};

/// Collected while all else is measured.
#[derive(Default)]
pub struct Goals {
    rows: Vec<Row>,
}

impl Goals {
    /// Something that should be no more than this.
    pub fn at_most(&mut self, what: &str, value: f64, goal: f64, unit: &str) {
        let name = format!("{what}: {} {unit}, at most {goal} {unit}", figure(value));
        self.add(name, value / goal, value);
    }

    /// Something that should be no less than this.
    pub fn at_least(&mut self, what: &str, value: f64, goal: f64, unit: &str) {
        let name = format!("{what}: {} {unit}, at least {goal} {unit}", figure(value));
        self.add(name, goal / value, value);
    }

    fn add(&mut self, name: String, share: f64, value: f64) {
        self.rows.push(Row {
            name,
            ratio: share,
            lowest: share,
            highest: share,
            value,
            goal: Some(1.0),
        });
    }

    /// All of them.
    pub fn table(self) -> Table {
        Table {
            rows: self.rows,
            rounds: 1,
            against_goals: true,
            ..Table::new(
                "control-goals",
                "The control path beside what was asked for",
                "as said",
            )
        }
    }
}
