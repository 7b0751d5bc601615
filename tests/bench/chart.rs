//! How costs grow, as lines.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curve::{Curves, Series};
use crate::theme::{GRID, LINES, PAPER, QUIET, TEXT, font, with_night};

const WIDTH: u32 = 820;
const HEAD: i32 = 40;
const ROW: i32 = 22;
const PLOT: u32 = 380;
const MARGIN: i32 = 14;

type Area<'a, 'b> = DrawingArea<SVGBackend<'a>, Shift>;

/// Both ways, twice as much is always equally far: what is a straight line grows as a power.
pub fn draw(curves: &Curves) -> Result<String, Box<dyn Error>> {
    let rows = curves.series.len() as i32 + 1;
    let head = HEAD + ROW * rows;
    let mut drawing = String::new();
    {
        let size = (WIDTH, head as u32 + PLOT);
        let area = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
        area.fill(&PAPER.light)?;
        legend(&area, curves)?;
        let (_, below) = area.split_vertically(head);
        lines(&below, curves)?;
        area.present()?;
    }
    Ok(with_night(&drawing))
}

fn legend(area: &Area<'_, '_>, curves: &Curves) -> Result<(), Box<dyn Error>> {
    let left = Pos::new(HPos::Left, VPos::Center);
    let title = font(15, &TEXT).pos(left);
    area.draw(&Text::new(curves.title.clone(), (MARGIN, 18), title))?;
    let text = font(13, &TEXT).pos(left);
    let inks = LINES.iter().cycle();
    for (index, (one, ink)) in curves.series.iter().zip(inks).enumerate() {
        let middle = HEAD + ROW * index as i32 + ROW / 2;
        let from = (MARGIN, middle - 2);
        let key = Rectangle::new([from, (MARGIN + 22, middle + 2)], ink.light.filled());
        area.draw(&key)?;
        let says = format!("{}: grows as n^{:.2}", one.name, one.exponent);
        area.draw(&Text::new(says, (MARGIN + 32, middle), text.clone()))?;
    }
    let middle = HEAD + ROW * curves.series.len() as i32 + ROW / 2;
    for start in [0, 9, 18] {
        let from = (MARGIN + start, middle - 1);
        let to = (MARGIN + start + 4, middle + 1);
        area.draw(&Rectangle::new([from, to], QUIET.light.filled()))?;
    }
    let says = format!("n log n, which looks like n^{:.2} here", curves.limit);
    let quiet = font(13, &QUIET).pos(left);
    area.draw(&Text::new(says, (MARGIN + 32, middle), quiet))?;
    Ok(())
}

fn lines(area: &Area<'_, '_>, curves: &Curves) -> Result<(), Box<dyn Error>> {
    let points = || curves.series.iter().flat_map(|one| &one.points);
    let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let sizes = least(|point| point.0) / 1.1..most(|point| point.0) * 1.1;
    let decade = |number: f64, round: fn(f64) -> f64| 10_f64.powf(round(number.log10()));
    let costs =
        decade(least(|point| point.1), f64::floor)..decade(most(|point| point.1), f64::ceil);
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(sizes.log_scale(), costs.log_scale())?;
    chart
        .configure_mesh()
        .axis_style(QUIET.light)
        .bold_line_style(GRID.light)
        .light_line_style(PAPER.light)
        .label_style(font(12, &QUIET))
        .axis_desc_style(font(13, &TEXT))
        .x_labels(4)
        .x_desc(&curves.size)
        .y_desc(&curves.unit)
        .x_label_formatter(&|size| grouped(*size))
        .y_label_formatter(&|cost| grouped(*cost))
        .draw()?;
    if let Some(first) = curves.series.first() {
        let style = QUIET.light.stroke_width(1);
        chart.draw_series(DashedLineSeries::new(n_log_n(first), 4, 5, style))?;
    }
    for (one, ink) in curves.series.iter().zip(LINES.iter().cycle()) {
        let style = ink.light.stroke_width(2);
        chart.draw_series(LineSeries::new(one.points.iter().copied(), style))?;
        let dot = |&point: &(f64, f64)| Circle::new(point, 3, ink.light.filled());
        chart.draw_series(one.points.iter().map(dot))?;
    }
    Ok(())
}

/// From the first point of a series on.
fn n_log_n(series: &Series) -> Vec<(f64, f64)> {
    let Some(&(first, cost)) = series.points.first() else {
        return Vec::new();
    };
    let each = cost / (first * first.ln());
    let sizes = series.points.iter().map(|(size, _)| *size);
    sizes.map(|n| (n, each * n * n.ln())).collect()
}

/// `100,000`, `0.1`.
fn grouped(number: f64) -> String {
    if number < 1.0 {
        return format!("{number:.3}").trim_end_matches('0').to_owned();
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
