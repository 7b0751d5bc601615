//! A comparison as bars.

use std::io;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::Table;

const WIDTH: u32 = 760;
const ROW: u32 = 26;
const HEAD: u32 = 44;
const NAMES: i32 = 300;
const VALUES: i32 = 60;

const OURS: RGBColor = RGBColor(31, 119, 180);
const OTHERS: RGBColor = RGBColor(150, 150, 150);
const GOAL: RGBColor = RGBColor(200, 40, 40);

/// Ratios, the shorter the better; where something was asked for, a red line says how much.
pub fn draw(path: &Path, table: &Table) -> io::Result<()> {
    let height = HEAD + ROW * table.rows.len() as u32 + 12;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    paint(&area, table)
        .map_err(|error| io::Error::other(format!("draw {}: {error}", path.display())))
}

fn paint(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    table: &Table,
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let head = ("sans-serif", 15).into_font().color(&BLACK);
    let text = ("sans-serif", 13).into_font().color(&BLACK);
    area.draw(&Text::new(table.title.clone(), (10, 14), head))?;
    // One that is many times as long as all others would leave no room to tell them apart.
    let longest = table
        .rows
        .iter()
        .map(|row| row.ratio)
        .fold(1.0, f64::max)
        .min(4.0);
    let scale = f64::from(WIDTH as i32 - NAMES - VALUES) / longest;
    for (index, row) in table.rows.iter().enumerate() {
        let top = (HEAD + ROW * index as u32) as i32;
        let middle = top + ROW as i32 / 2;
        let end = NAMES + (row.ratio.min(longest) * scale) as i32;
        let ours = row.name.starts_with("bridgewall");
        let colour = if ours { OURS } else { OTHERS };
        let right = text.clone().pos(Pos::new(HPos::Right, VPos::Center));
        let left = text.clone().pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(row.name.clone(), (NAMES - 8, middle), right))?;
        area.draw(&Rectangle::new(
            [(NAMES, top + 4), (end, top + ROW as i32 - 4)],
            colour.filled(),
        ))?;
        area.draw(&Text::new(
            format!("{:.2}", row.ratio),
            (end + 6, middle),
            left,
        ))?;
        if let Some(goal) = row.goal.filter(|goal| *goal <= longest) {
            let at = NAMES + (goal * scale) as i32;
            area.draw(&PathElement::new(
                vec![(at, top + 1), (at, top + ROW as i32 - 1)],
                GOAL.stroke_width(2),
            ))?;
        }
    }
    area.present()?;
    Ok(())
}
