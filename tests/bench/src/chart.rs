//! A chart of lines and points over two axes, one of times, and one of bars, as SVG.
//!
//! Promises: every point lies within the axes; what has no place on a logarithmic axis, zero or less, is left out; a
//! chart without points is still a picture. The experiments on engines and the example `server` call it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::latency::{PERCENTILES, Summary};
use crate::plot::{COLOURS, ROW_HEIGHT, TOP, WIDTH, begin, line, text};

const HEIGHT: f64 = 480.0;
/// Room for the numbers of the vertical axis, and on the right.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 40.0;
/// Room for the titles of the bars.
const BAR_TITLES: f64 = 330.0;
/// What took no time that can be told has a place on a logarithmic axis, too.
const LEAST_US: f64 = 0.001;
/// About how many lines of the grid an axis gets that is not logarithmic.
const GRID_LINES: f64 = 8.0;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero on.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// One of the two axes.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it shows, with the unit.
    pub title: &'static str,
    /// How it is divided.
    pub scale: Scale,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// As a line from point to point.
    Line,
    /// As points alone.
    Points,
}

/// Points that belong together.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// How they are drawn.
    pub style: Style,
    /// Pairs of x and y.
    pub points: Vec<(f64, f64)>,
}

/// The picture of some series.
pub fn chart(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let bottom = HEIGHT - 60.0 - ROW_HEIGHT * series.len() as f64;
    let points = || series.iter().flat_map(|series| &series.points);
    let across = Span::of(x.scale, points().map(|point| point.0), (LEFT, WIDTH - RIGHT));
    let up = Span::of(y.scale, points().map(|point| point.1), (bottom, TOP));
    let mut out = begin(title, HEIGHT);
    for at in across.grid() {
        line(&mut out, (across.place(at), TOP), (across.place(at), bottom), "#ddd", 1.0);
        text(&mut out, (across.place(at), bottom + 16.0), "middle", &number(at));
    }
    draw_rows(&mut out, &up, "");
    text(&mut out, (f64::midpoint(LEFT, WIDTH - RIGHT), bottom + 34.0), "middle", x.title);
    text(&mut out, (8.0, TOP - 10.0), "start", y.title);
    for (series, which) in series.iter().zip(0_u32..) {
        let places = series.points.iter().filter(|point| across.has(point.0) && up.has(point.1));
        let places: Vec<_> = places.map(|point| (across.place(point.0), up.place(point.1))).collect();
        draw_named(&mut out, series.style, &places, bottom + 34.0, (which, &series.name));
    }
    out + "</svg>\n"
}

/// Times by percentile on a logarithmic axis, one curve for each summary.
pub fn latencies(title: &str, curves: &[(String, &Summary)]) -> String {
    let bottom = HEIGHT - 50.0 - ROW_HEIGHT * curves.len() as f64;
    let times =
        |summary: &Summary| summary.percentiles_us.clone().into_iter().map(|(_, us)| us.max(LEAST_US));
    let all = curves.iter().flat_map(|(_, summary)| times(summary));
    let up = Span::of(Scale::Logarithmic, all, (bottom, TOP));
    let across =
        |number: u32| LEFT + (WIDTH - RIGHT - LEFT) * f64::from(number) / (PERCENTILES.len() - 1) as f64;
    let mut out = begin(title, HEIGHT);
    draw_rows(&mut out, &up, " µs");
    for (percent, number) in PERCENTILES.iter().zip(0..) {
        let name = if *percent == 100.0 { "max".to_string() } else { format!("{percent} %") };
        text(&mut out, (across(number), bottom + 20.0), "middle", &name);
    }
    for ((name, summary), which) in curves.iter().zip(0..) {
        let places: Vec<_> = times(summary).zip(0..).map(|(us, at)| (across(at), up.place(us))).collect();
        draw_named(&mut out, Style::Line, &places, bottom + 20.0, (which, name));
    }
    out + "</svg>\n"
}

/// A line across for each number of the grid.
fn draw_rows(out: &mut String, up: &Span, unit: &str) {
    for at in up.grid() {
        line(out, (LEFT, up.place(at)), (WIDTH - RIGHT, up.place(at)), "#ddd", 1.0);
        text(out, (LEFT - 8.0, up.place(at) + 4.0), "end", &format!("{}{unit}", number(at)));
    }
}

/// Draws what has a number and a name in the colour of the number, and a sample of it with its name below all others.
fn draw_named(
    out: &mut String,
    style: Style,
    places: &[(f64, f64)],
    names_from: f64,
    (which, name): (u32, &str),
) {
    let colour = COLOURS[which as usize % COLOURS.len()];
    draw(out, style, places, colour);
    let height = names_from + ROW_HEIGHT * (f64::from(which) + 1.0);
    let [first, middle, last] = [0.0, 15.0, 30.0].map(|right| (LEFT + right, height - 4.0));
    let sample: &[_] = if style == Style::Line { &[first, last] } else { &[middle] };
    draw(out, style, sample, colour);
    text(out, (LEFT + 40.0, height), "start", name);
}

/// The picture of some amounts, each with a title.
pub fn bars(title: &str, unit: &str, amounts: &[(String, f64)]) -> String {
    let height = TOP + ROW_HEIGHT * amounts.len() as f64 + 40.0;
    let across =
        Span::of(Scale::Linear, amounts.iter().map(|amount| amount.1), (BAR_TITLES, WIDTH - RIGHT - 40.0));
    let mut out = begin(title, height);
    for at in across.grid() {
        line(&mut out, (across.place(at), TOP), (across.place(at), height - 30.0), "#ddd", 1.0);
        text(&mut out, (across.place(at), height - 14.0), "middle", &format!("{} {unit}", number(at)));
    }
    for ((name, amount), which) in amounts.iter().zip(0_u32..) {
        let y = TOP + ROW_HEIGHT * (f64::from(which) + 0.5);
        line(&mut out, (across.place(0.0), y), (across.place(*amount), y), COLOURS[0], 12.0);
        text(&mut out, (BAR_TITLES - 10.0, y + 4.0), "end", name);
        text(&mut out, (across.place(*amount) + 6.0, y + 4.0), "start", &format!("{amount:.2}"));
    }
    out + "</svg>\n"
}

fn draw(out: &mut String, style: Style, places: &[(f64, f64)], colour: &str) {
    match style {
        Style::Line => {
            let points: String = places.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                points.trim()
            );
        }
        Style::Points => {
            for (x, y) in places {
                let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
            }
        }
    }
}

/// What an axis shows, and where it lies on the picture.
struct Span {
    scale: Scale,
    from: f64,
    to: f64,
    places: (f64, f64),
}

impl Span {
    /// A span that has all of these numbers.
    fn of(scale: Scale, numbers: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let numbers = numbers.filter(|number| number.is_finite());
        let (from, to) = match scale {
            Scale::Linear => (0.0, numbers.fold(0.0, f64::max)),
            Scale::Logarithmic => numbers
                .filter(|number| *number > 0.0)
                .map(f64::log10)
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), it| (from.min(it), to.max(it))),
        };
        let (from, to) = match scale {
            Scale::Linear => (from, if to > 0.0 { to * 1.05 } else { 1.0 }),
            Scale::Logarithmic if from > to => (0.0, 1.0),
            Scale::Logarithmic => (from.floor(), to.ceil().max(from.floor() + 1.0)),
        };
        Self { scale, from, to, places }
    }

    fn has(&self, number: f64) -> bool {
        number.is_finite() && (self.scale == Scale::Linear || number > 0.0)
    }

    fn place(&self, number: f64) -> f64 {
        let at = if self.scale == Scale::Linear { number } else { number.log10() };
        let (first, last) = self.places;
        first + (last - first) * (at - self.from) / (self.to - self.from)
    }

    /// The numbers that get a line.
    fn grid(&self) -> Vec<f64> {
        match self.scale {
            Scale::Logarithmic => {
                (self.from as i32..=self.to as i32).map(|exponent| 10_f64.powi(exponent)).collect()
            }
            Scale::Linear => {
                let step = round_step(self.to / GRID_LINES);
                (0..=(self.to / step) as u32).map(|times| f64::from(times) * step).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20 … and their fractions.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|part| part * decade).find(|step| *step >= least).unwrap_or(10.0 * decade)
}

/// A number of the grid without digits that say nothing.
fn number(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(style: Style, points: &[(f64, f64)]) -> Series {
        Series { name: "a <b>".to_string(), style, points: points.to_vec() }
    }

    fn is_picture(svg: &str) -> bool {
        svg.starts_with("<svg")
            && svg.ends_with("</svg>\n")
            && !svg.contains("NaN")
            && !svg.contains("\"inf")
            && !svg.contains("\"-inf")
    }

    #[test]
    fn a_line_and_points_lie_where_their_numbers_say() {
        let axis = |scale| Axis { title: "axis", scale };
        let both =
            [series(Style::Line, &[(0.0, 0.0), (100.0, 50.0)]), series(Style::Points, &[(100.0, 50.0)])];
        let svg = chart("title", &axis(Scale::Linear), &axis(Scale::Linear), &both);
        assert!(is_picture(&svg) && svg.contains("a &lt;b>"), "{svg}");
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let (first, last) = points.split_once(' ').unwrap();
        assert!(first.starts_with("90.0,"), "zero is on the left: {points}");
        let (x, y) = last.split_once(',').unwrap();
        assert!(svg.contains(&format!("<circle cx=\"{x}\" cy=\"{y}\"")), "the same numbers, the same place");
    }

    #[test]
    fn a_curve_has_a_point_for_each_percentile() {
        let mut latency = crate::latency::Latency::new();
        (1..100).for_each(|us| latency.record(std::time::Duration::from_micros(us)));
        let svg = latencies("title", &[("ours".to_string(), &latency.summary())]);
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(points.split_whitespace().count(), PERCENTILES.len());
        assert!(is_picture(&svg), "{svg}");
    }

    #[test]
    fn a_decade_is_as_long_as_the_next_and_what_has_no_logarithm_is_left_out() {
        let span = Span::of(Scale::Logarithmic, [0.0, 0.5, 30.0].into_iter(), (0.0, 300.0));
        assert_eq!([0.1, 1.0, 10.0, 100.0].map(|it| span.place(it).round()), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(span.grid(), [0.1, 1.0, 10.0, 100.0]);
        assert!(!span.has(0.0) && span.has(0.5) && !span.has(f64::NAN));
    }

    #[test]
    fn the_grid_of_a_linear_axis_has_round_numbers() {
        let grid = |to: f64| Span::of(Scale::Linear, [to].into_iter(), (0.0, 1.0)).grid();
        assert_eq!(grid(600.0), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(number(grid(0.7)[3]), "0.3");
    }

    #[test]
    fn a_bar_is_as_long_as_its_amount() {
        let svg = bars("title", "×", &[("one".to_string(), 1.0), ("two".to_string(), 2.0)]);
        let length = |line: &str| {
            let number = |name: &str| -> f64 {
                line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            };
            number("x2") - number("x1")
        };
        let bars: Vec<_> =
            svg.lines().filter(|line| line.contains("stroke-width=\"12\"")).map(length).collect();
        assert!((bars[1] / bars[0] - 2.0).abs() < 0.01, "{bars:?}");
        assert!(is_picture(&svg));
    }

    #[test]
    fn charts_without_points_are_pictures() {
        let axis = |scale| Axis { title: "axis", scale };
        for scale in [Scale::Linear, Scale::Logarithmic] {
            assert!(is_picture(&chart("t", &axis(scale), &axis(scale), &[])));
            assert!(is_picture(&chart(
                "t",
                &axis(scale),
                &axis(scale),
                &[series(Style::Line, &[(0.0, 0.0)])]
            )));
        }
        assert!(is_picture(&bars("t", "×", &[])) && is_picture(&latencies("t", &[])));
    }
}
