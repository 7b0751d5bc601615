//! How a cost grows with the size of what it is for.

use std::fmt;

use serde::Serialize;

use crate::report::figure;

/// Costs at sizes that double.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curves {
    /// Short, and good for a file's name.
    pub name: String,
    pub title: String,
    /// What is counted along the way.
    pub size: String,
    /// Of the costs.
    pub unit: String,
    /// What prints it.
    pub command: String,
    /// The exponent that n log n seems to have at these sizes: what none should exceed.
    pub limit: f64,
    pub series: Vec<Series>,
}

/// One cost.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    pub name: String,
    /// Size and cost.
    pub points: Vec<(f64, f64)>,
    /// It grows as the size to the power of this: the slope of the straight line through the points' logarithms.
    pub exponent: f64,
}

impl Curves {
    /// All series have to be at the same sizes.
    pub fn new(
        name: &str,
        title: &str,
        size: &str,
        unit: &str,
        series: Vec<(&str, Vec<(f64, f64)>)>,
    ) -> Self {
        let sizes = series.first().map_or(&[][..], |(_, points)| points);
        let n_log_n: Vec<_> = sizes.iter().map(|&(n, _)| (n, n * n.ln())).collect();
        let series = series.into_iter().map(|(name, points)| Series {
            name: name.to_owned(),
            exponent: exponent(&points),
            points,
        });
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            size: size.to_owned(),
            unit: unit.to_owned(),
            command: format!(
                "scripts/bench {}",
                name.split('-').next().unwrap_or_default()
            ),
            limit: exponent(&n_log_n),
            series: series.collect(),
        }
    }
}

/// By least squares.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logarithms: Vec<_> = points.iter().map(|(n, y)| (n.ln(), y.ln())).collect();
    let count = logarithms.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = logarithms.iter().map(|(a, b)| (a - x) * (b - y)).sum();
    let own: f64 = logarithms.iter().map(|(a, _)| (a - x) * (a - x)).sum();
    both / own
}

impl fmt::Display for Curves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, in {} ({})", self.title, self.unit, self.command)?;
        let width = self.series.iter().map(|one| one.name.chars().count()).max();
        let width = width.unwrap_or(0).max(self.size.chars().count());
        let sizes = self.series.iter().take(1).flat_map(|one| &one.points);
        write!(f, "  exponent  limit  {:width$}", self.size)?;
        for (size, _) in sizes {
            write!(f, " {size:>9}")?;
        }
        writeln!(f)?;
        for one in &self.series {
            let too_much = if one.exponent > self.limit { "!" } else { " " };
            write!(
                f,
                "  {:8.2}  {:4.2}{too_much}  {:width$}",
                one.exponent, self.limit, one.name
            )?;
            for (_, cost) in &one.points {
                write!(f, " {:>9}", figure(*cost))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
