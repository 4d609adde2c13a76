//! Results as pictures: SVG, written directly, since two simple charts need no library.
//!
//! Promises: text is escaped; a chart without rows is still a picture.

use std::fmt::Write as _;

use crate::latency::{PERCENTILES, Summary};
use crate::report::Row;

pub(crate) const WIDTH: f64 = 900.0;
/// Room for titles on the left, and for the end of the last label on the right.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 40.0;
pub(crate) const TOP: f64 = 40.0;
pub(crate) const ROW_HEIGHT: f64 = 24.0;
pub(crate) const COLOURS: [&str; 6] = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"];

/// The ratios ours / rival: a dot at the median, a line from the smallest to the largest, a tick in red where
/// it must be and in green where we want it.
pub fn ratios(title: &str, rows: &[Row]) -> String {
    let largest = rows.iter().flat_map(|row| {
        let targets = [row.targets.must, row.targets.reach];
        targets.into_iter().flatten().map(|target| target.ratio()).chain([row.ratio.max])
    });
    let most = largest.fold(1.2, f64::max) * 1.05;
    let x = |ratio: f64| LEFT + (WIDTH - LEFT - RIGHT) * ratio / most;
    let height = TOP + ROW_HEIGHT * rows.len() as f64 + 40.0;
    let mut out = begin(title, height);
    line(&mut out, (x(1.0), TOP), (x(1.0), height - 30.0), "#999", 1.0);
    text(&mut out, (x(1.0), height - 12.0), "middle", "1.0 = rival");
    for (row, number) in rows.iter().zip(0_u32..) {
        let y = TOP + ROW_HEIGHT * (f64::from(number) + 0.5);
        text(&mut out, (LEFT - 10.0, y + 4.0), "end", &row.title);
        line(&mut out, (x(row.ratio.min), y), (x(row.ratio.max), y), COLOURS[0], 2.0);
        let ticks = [(row.targets.must, COLOURS[3]), (row.targets.reach, COLOURS[2])];
        for (target, colour) in ticks {
            let Some(at) = target.map(|target| x(target.ratio())) else { continue };
            line(&mut out, (at, y - 8.0), (at, y + 8.0), colour, 2.0);
        }
        let at = x(row.ratio.median);
        let _ = writeln!(out, "<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{}\"/>", COLOURS[0]);
    }
    out + "</svg>\n"
}

/// Times by percentile on a logarithmic axis, one curve for each summary.
pub fn latencies(title: &str, curves: &[(String, &Summary)]) -> String {
    const HEIGHT: f64 = 480.0;
    const AXIS: f64 = 80.0;
    let times = || curves.iter().flat_map(|(_, summary)| &summary.percentiles_us).map(|(_, us)| *us);
    let decade = |us: f64| us.max(0.001).log10();
    let lowest = times().map(decade).fold(f64::INFINITY, f64::min).min(3.0).floor();
    let highest = times().map(decade).fold(0.0, f64::max).ceil().max(lowest + 1.0);
    let bottom = HEIGHT - 50.0 - ROW_HEIGHT * curves.len() as f64;
    let x = |number: usize| AXIS + (WIDTH - AXIS - RIGHT) * number as f64 / (PERCENTILES.len() - 1) as f64;
    let y = |us: f64| bottom - (bottom - TOP) * (decade(us) - lowest) / (highest - lowest);
    let mut out = begin(title, HEIGHT);
    for exponent in lowest as i32..=highest as i32 {
        let us = 10_f64.powi(exponent);
        line(&mut out, (AXIS, y(us)), (WIDTH - RIGHT, y(us)), "#ddd", 1.0);
        text(&mut out, (AXIS - 8.0, y(us) + 4.0), "end", &format!("{us} µs"));
    }
    for (number, percent) in PERCENTILES.iter().enumerate() {
        let name = if *percent == 100.0 { "max".to_string() } else { format!("{percent} %") };
        text(&mut out, (x(number), bottom + 20.0), "middle", &name);
    }
    for (at, (name, summary)) in curves.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<_> = summary.percentiles_us.iter().enumerate().collect();
        let points: String =
            points.iter().map(|(number, (_, us))| format!("{:.1},{:.1} ", x(*number), y(*us))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.trim()
        );
        let legend = bottom + 20.0 + ROW_HEIGHT * (at + 1) as f64;
        line(&mut out, (AXIS, legend - 4.0), (AXIS + 30.0, legend - 4.0), colour, 2.0);
        text(&mut out, (AXIS + 40.0, legend), "start", name);
    }
    out + "</svg>\n"
}

pub(crate) fn begin(title: &str, height: f64) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut out, (WIDTH / 2.0, 22.0), "middle", title);
    out
}

pub(crate) fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    );
}

pub(crate) fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Target, Targets};
    use crate::latency::Latency;
    use crate::pairs::Pairs;
    use crate::report::{RowSpec, Sample};

    #[test]
    fn a_row_is_a_title_a_line_a_dot_and_its_targets() {
        let spec = RowSpec { id: "a", title: "GET <&>", unit: "/s" };
        let run = |value| vec![Sample { value, ..Sample::default() }];
        let targets = Targets { must: Some(Target::Tie), reach: Some(Target::AtLeast(1.5)) };
        let row = Row::new(spec, Pairs { rival: run(1.0), ours: run(2.0) }, targets).unwrap();
        let svg = ratios("title", &[row]);
        assert!(svg.contains("GET &lt;&amp;>") && svg.matches("<circle").count() == 1);
        // The line at 1, the spread, two targets.
        assert_eq!(svg.matches("<line").count(), 4);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }

    #[test]
    fn a_curve_has_a_point_for_each_percentile() {
        let mut latency = Latency::new();
        (1..100).for_each(|us| latency.record(std::time::Duration::from_micros(us)));
        let svg = latencies("title", &[("ours".to_string(), &latency.summary())]);
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(points.split_whitespace().count(), PERCENTILES.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn charts_without_rows_are_pictures() {
        assert!(ratios("t", &[]).ends_with("</svg>\n"));
        let svg = latencies("t", &[]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
