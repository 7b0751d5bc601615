//! A comparison as bars.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Table, figure};
use crate::theme::{GOAL, GRID, OTHERS, OURS, PAPER, QUIET, TEXT, font, with_night};

const BARS: i32 = 420;
const MARGIN: i32 = 14;
const VALUES: i32 = 52;
const HEAD: i32 = 40;
const ROW: i32 = 26;
const FOOT: i32 = 50;
/// Of a letter, about.
const LETTER: i32 = 7;

/// From here on, a scale on which twice as much is always equally far.
const FAR: f64 = 12.0;

/// Ratios, the shorter the better; where something was asked for, a red line says how much.
pub fn draw(table: &Table) -> Result<String, Box<dyn Error>> {
    let letters = table.rows.iter().map(|row| row.name.chars().count()).max();
    let names = letters.unwrap_or(0) as i32 * LETTER + MARGIN;
    let title = table.title.chars().count() as i32 * LETTER + 4 * MARGIN;
    let width = (names + BARS + VALUES).max(title);
    let height = HEAD + ROW * table.rows.len() as i32 + FOOT;
    let mut drawing = String::new();
    {
        let size = (width as u32, height as u32);
        let area = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
        paint(&area, table, names)?;
        area.present()?;
    }
    Ok(with_night(&drawing))
}

fn paint(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    table: &Table,
    names: i32,
) -> Result<(), Box<dyn Error>> {
    let bottom = HEAD + ROW * table.rows.len() as i32;
    let scale = Scale::of(table);
    area.fill(&PAPER.light)?;
    let title = font(15, &TEXT).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(table.title.clone(), (MARGIN, 18), title))?;

    let below = font(12, &QUIET).pos(Pos::new(HPos::Center, VPos::Top));
    for tick in scale.ticks() {
        let at = names + scale.place(tick);
        line(area, &GRID.light, 1, (at, HEAD - 4), (at, bottom + 4))?;
        area.draw(&Text::new(short(tick), (at, bottom + 8), below.clone()))?;
    }
    let axis = format!("{}; the shorter, the better", table.axis());
    let middle = (names + BARS / 2, bottom + 26);
    area.draw(&Text::new(axis, middle, below))?;

    let right = font(13, &TEXT).pos(Pos::new(HPos::Right, VPos::Center));
    let left = font(13, &TEXT).pos(Pos::new(HPos::Left, VPos::Center));
    for (index, row) in table.rows.iter().enumerate() {
        let top = HEAD + ROW * index as i32;
        let middle = top + ROW / 2;
        let end = names + scale.place(row.ratio);
        let ours = row.name.starts_with("bridgewall") || table.is_about_us();
        let colour = if ours { OURS } else { OTHERS }.light;
        let bar = [(names, top + 5), (end.max(names + 1), top + ROW - 5)];
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        area.draw(&Text::new(
            row.name.clone(),
            (names - 8, middle),
            right.clone(),
        ))?;
        let (lowest, highest) = (scale.place(row.lowest), scale.place(row.highest));
        if highest - lowest > 1 {
            let (from, to) = ((names + lowest, middle), (names + highest, middle));
            line(area, &QUIET.light, 1, from, to)?;
        }
        let mut beside = end.max(names + highest);
        if let Some(goal) = row.goal {
            let at = names + scale.place(goal);
            line(area, &GOAL.light, 2, (at, top + 2), (at, top + ROW - 2))?;
            // Not upon the line.
            if (at - beside - 2).abs() < 8 {
                beside = beside.max(at);
            }
        }
        area.draw(&Text::new(
            figure(row.ratio),
            (beside + 6, middle),
            left.clone(),
        ))?;
    }
    Ok(())
}

fn line(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    colour: &RGBColor,
    width: u32,
    from: (i32, i32),
    to: (i32, i32),
) -> Result<(), Box<dyn Error>> {
    let style = colour.stroke_width(width);
    area.draw(&PathElement::new(vec![from, to], style))?;
    Ok(())
}

/// A tick's number: no digit that says nothing.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// From ratios to places.
enum Scale {
    Even { end: f64, step: f64 },
    Logarithmic { first: i32, last: i32 },
}

impl Scale {
    fn of(table: &Table) -> Self {
        let ratios = || {
            let rows = table.rows.iter();
            rows.flat_map(|row| [row.ratio, row.highest, row.goal.unwrap_or(row.ratio)])
        };
        let longest = ratios().fold(1.0, f64::max);
        let shortest = ratios()
            .filter(|ratio| *ratio > 0.0)
            .fold(longest, f64::min);
        if longest > FAR {
            let first = (shortest.log10().floor() as i32).max(-4);
            return Self::Logarithmic {
                // The shortest is to be seen too.
                first: first - i32::from(shortest <= 1.2 * 10_f64.powi(first)),
                last: longest.log10().ceil() as i32,
            };
        }
        let steps = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0];
        let step = steps.into_iter().find(|step| longest / step <= 8.0);
        let step = step.unwrap_or(2.0);
        Self::Even {
            end: longest.max(step),
            step,
        }
    }

    fn place(&self, ratio: f64) -> i32 {
        let part = match self {
            Self::Even { end, .. } => ratio / end,
            Self::Logarithmic { first, last } => {
                (ratio.max(1e-9).log10() - f64::from(*first)) / f64::from(last - first)
            }
        };
        (part.clamp(0.0, 1.0) * f64::from(BARS)) as i32
    }

    fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Even { end, step } => (0..=(end / step).floor() as i32)
                .map(|count| f64::from(count) * step)
                .collect(),
            Self::Logarithmic { first, last } => {
                (*first..=*last).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}
