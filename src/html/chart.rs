//! A chart of days, as SVG inside the page, with a legend and the same numbers as a table.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::palette::{GRID, INK, Pair, SERIES, hex, light};
use super::{Markup, Table};
use crate::output::{count, span};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 260;
/// Roughly as many days are named below a chart.
const NAMED_DAYS: usize = 10;

/// Day and number.
type Point = (f64, f64);

/// How the series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Bars on top of each other.
    Stacked,
    /// A line each.
    Lines,
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// From 0 to 1.
    Share,
}

/// A name and its numbers, one for each day.
pub type Series = (Markup, Vec<Option<f64>>);

/// A chart: a number of each series for each day, or none.
pub struct Chart<'a> {
    title: &'a str,
    label: &'a str,
    days: &'a [String],
    series: Vec<Series>,
    total: Option<Series>,
    draws_total: bool,
    shape: Shape,
    unit: Unit,
}

impl<'a> Chart<'a> {
    /// A chart of these days. `label` is its content in a sentence, for who does not see it.
    pub fn new(title: &'a str, label: &'a str, days: &'a [String], shape: Shape, unit: Unit) -> Self {
        Self {
            title,
            label,
            days,
            series: Vec::new(),
            total: None,
            draws_total: false,
            shape,
            unit,
        }
    }

    /// With these series, at most as many as there are colours.
    pub fn of(self, series: Vec<Series>) -> Self {
        Self { series, ..self }
    }

    /// With a column in the table, and where `is_drawn` a line over the bars.
    pub fn with_total(self, total: Series, is_drawn: bool) -> Self {
        Self {
            total: Some(total),
            draws_total: is_drawn,
            ..self
        }
    }

    /// What it shows.
    pub(super) fn title(&self) -> &str {
        self.title
    }
}

impl Unit {
    /// A number in a table.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn cell(self, number: Option<f64>) -> Markup {
        Markup::text(&match (number, self) {
            (None, _) => "-".into(),
            (Some(number), Self::Count) => count(number.round() as u64),
            (Some(number), Self::Seconds) => span(number.round() as i64),
            (Some(number), Self::Share) => format!("{:.1} %", number * 100.0),
        })
    }

    /// What one step of the axis is, and its name. Up to `largest`.
    fn axis(self, largest: f64) -> (f64, &'static str) {
        match self {
            Self::Count => (1.0, ""),
            Self::Share => (0.01, " %"),
            Self::Seconds if largest > 2.0 * 86_400.0 => (86_400.0, " d"),
            Self::Seconds if largest > 2.0 * 3_600.0 => (3_600.0, " h"),
            Self::Seconds if largest > 120.0 => (60.0, " min"),
            Self::Seconds => (1.0, " s"),
        }
    }
}

/// A number on the axis: without a fraction that is not there.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn tick(number: f64) -> String {
    match number {
        number if (number - number.round()).abs() < 1e-6 => count(number.round().max(0.0) as u64),
        number => format!("{number:.1}"),
    }
}

impl Chart<'_> {
    fn colored(&self) -> impl Iterator<Item = (&Series, Pair)> {
        self.series.iter().zip(SERIES)
    }

    /// The total, where it is drawn.
    fn line(&self) -> Option<&Series> {
        self.total.as_ref().filter(|_| self.draws_total)
    }

    /// The largest number that is drawn.
    fn largest(&self) -> f64 {
        let of = |numbers: &[Option<f64>]| numbers.iter().flatten().copied().fold(0.0, f64::max);
        let total = self.line().map_or(0.0, |(_, numbers)| of(numbers));
        let stacks = || {
            let sum = |day: usize| {
                self.series
                    .iter()
                    .filter_map(|(_, numbers)| *numbers.get(day)?)
                    .sum::<f64>()
            };
            (0..self.days.len()).map(sum).fold(0.0, f64::max)
        };
        let drawn = match self.shape {
            Shape::Stacked => stacks(),
            Shape::Lines => self.series.iter().map(|(_, numbers)| of(numbers)).fold(0.0, f64::max),
        };
        drawn.max(total)
    }

    /// The drawing, an `svg` element.
    ///
    /// # Errors
    /// It can't be drawn.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub(super) fn svg(&self) -> Result<String> {
        let (step, unit) = self.unit.axis(self.largest());
        // A share of all is the whole, whatever the parts are rounded to.
        let top = match self.unit {
            Unit::Share => 100.0,
            _ => (self.largest() / step * 1.05).max(1.0),
        };
        let mut drawing = String::new();
        {
            let root = SVGBackend::with_string(&mut drawing, (WIDTH, HEIGHT)).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .margin(6)
                .margin_right(16)
                .x_label_area_size(26)
                .y_label_area_size(70)
                .build_cartesian_2d(-0.5..self.days.len() as f64 - 0.5, 0.0..top)
                .map_err(failed)?;
            let ink = light(INK);
            let day = |at: &f64| match (at - at.round()).abs() < 1e-6 && *at > -0.5 {
                true => self.days.get(at.round() as usize).cloned().unwrap_or_default(),
                false => String::new(),
            };
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(light(GRID))
                .light_line_style(TRANSPARENT)
                .max_light_lines(0)
                .axis_style(light(GRID))
                .x_labels(NAMED_DAYS)
                .y_labels(5)
                .x_label_formatter(&day)
                .y_label_formatter(&|number| format!("{}{unit}", tick(*number)))
                .label_style(("sans-serif", 14).into_font().color(&ink))
                .draw()
                .map_err(failed)?;
            match self.shape {
                Shape::Stacked => {
                    let mut below = vec![0.0; self.days.len()];
                    for ((_, numbers), color) in self.colored() {
                        let bars = numbers
                            .iter()
                            .zip(&mut below)
                            .enumerate()
                            .filter_map(|(day, (number, below))| {
                                let (from, to) = (*below, *below + (*number)? / step);
                                *below = to;
                                let bar = [(day as f64 - 0.4, from), (day as f64 + 0.4, to.min(top))];
                                (to > from).then(|| Rectangle::new(bar, light(color).filled()))
                            });
                        chart.draw_series(bars).map_err(failed)?;
                    }
                }
                Shape::Lines => {
                    for ((_, numbers), color) in self.colored() {
                        let (paths, points) = marks(numbers, step, light(color));
                        chart.draw_series(paths).map_err(failed)?;
                        chart.draw_series(points).map_err(failed)?;
                    }
                }
            }
            if let Some((_, numbers)) = self.line() {
                let (paths, points) = marks(numbers, step, ink);
                chart.draw_series(paths).map_err(failed)?;
                chart.draw_series(points).map_err(failed)?;
            }
            root.present().map_err(failed)?;
        }
        let (_, content) = drawing.split_once('>').ok_or_else(|| anyhow!("the chart is empty"))?;
        let (title, label) = (Markup::long_text(self.title), Markup::long_text(self.label));
        Ok(format!(
            "<svg role=\"img\" aria-label=\"{title}. {label}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             xmlns=\"http://www.w3.org/2000/svg\"><title>{title}</title>{content}"
        ))
    }

    /// The names of the series, each with its colour.
    pub(super) fn legend(&self) -> String {
        let mut legend = String::from("<ul class=\"legend\">\n");
        let series = self.colored().map(|((name, _), color)| (name, color));
        for (name, color) in series.chain(self.line().map(|(name, _)| (name, INK))) {
            let color = hex(color.0);
            let _ = writeln!(
                legend,
                "<li><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect width=\"1\" height=\"1\" fill=\"{color}\"/></svg>{name}</li>"
            );
        }
        legend.push_str("</ul>\n");
        legend
    }

    /// The numbers.
    pub(super) fn table(&self) -> Table {
        let columns: Vec<&Series> = self.total.iter().chain(&self.series).collect();
        let mut header = vec![Markup::text("day")];
        header.extend(columns.iter().map(|(name, _)| name.clone()));
        let mut table = Table::new(header);
        for (number, day) in self.days.iter().enumerate() {
            let mut row = vec![Markup::text(day)];
            let cells = columns
                .iter()
                .map(|(_, numbers)| numbers.get(number).copied().flatten());
            row.extend(cells.map(|cell| self.unit.cell(cell)));
            table.row(row);
        }
        table
    }
}

/// The points of each line without a gap.
#[allow(clippy::cast_precision_loss)]
fn lines(numbers: &[Option<f64>], step: f64) -> Vec<Vec<Point>> {
    let mut lines = vec![Vec::new()];
    for (day, number) in numbers.iter().enumerate() {
        match (number, lines.last_mut()) {
            (Some(number), Some(line)) => line.push((day as f64, number / step)),
            _ => lines.push(Vec::new()),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The marks of a series: a line where there are several days in a row, else a point.
fn marks(numbers: &[Option<f64>], step: f64, color: RGBColor) -> (Vec<PathElement<Point>>, Vec<Circle<Point, i32>>) {
    let (points, paths): (Vec<_>, Vec<_>) = lines(numbers, step).into_iter().partition(|line| line.len() == 1);
    let path = |line| PathElement::new(line, color.stroke_width(2));
    let point = |point| Circle::new(point, 3, color.filled());
    (
        paths.into_iter().map(path).collect(),
        points.into_iter().flatten().map(point).collect(),
    )
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("can't draw a chart: {error}")
}
