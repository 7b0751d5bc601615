//! Candidates side by side: all of them in every round, in an order that changes, compared within
//! the round. What else the machine does in the meantime then happens to all of them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::report::{Row, Table};

/// One thing to measure: gives the cost of one unit of work each time it is asked.
pub struct Candidate<'a> {
    pub name: String,
    /// At most so much of the baseline's cost is what was asked for.
    pub goal: Option<f64>,
    measure: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Candidate<'a> {
    pub fn new(name: impl Into<String>, measure: impl FnMut() -> f64 + 'a) -> Self {
        Self {
            name: name.into(),
            goal: None,
            measure: Box::new(measure),
        }
    }

    /// With what was asked for.
    pub fn goal(mut self, ratio: impl Into<Option<f64>>) -> Self {
        self.goal = ratio.into();
        self
    }
}

/// Measures all candidates so many times, and compares each with the first. To know the noise, let the
/// first be among them twice.
pub fn compare(table: Table, rounds: usize, mut candidates: Vec<Candidate<'_>>) -> Table {
    let mut costs = vec![Vec::with_capacity(rounds); candidates.len()];
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let mut random = Random::new();
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &index in &order {
            costs[index].push((candidates[index].measure)());
        }
    }
    let first = costs[0].clone();
    let rows = candidates.iter().zip(&costs).map(|(candidate, costs)| {
        let mut ratios: Vec<f64> = costs
            .iter()
            .zip(&first)
            .map(|(cost, base)| cost / base)
            .collect();
        ratios.sort_by(f64::total_cmp);
        Row {
            name: candidate.name.clone(),
            ratio: median(&ratios),
            lowest: ratios[ratios.len() / 4],
            highest: ratios[(ratios.len() * 3 / 4).min(ratios.len() - 1)],
            value: median(&sorted(costs)),
            goal: candidate.goal,
        }
    });
    Table {
        rows: rows.collect(),
        rounds,
        ..table
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Of values in any order.
pub fn median_of(values: Vec<f64>) -> f64 {
    median(&sorted(&values))
}

/// Of sorted values.
pub fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Enough for an order (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(now.map_or(1, |now| now.as_nanos() as u64 | 1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Fisher and Yates.
    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}
