//! Ratios as a picture, and what pictures are made of: SVG, written directly, since simple charts need no library.
//!
//! Promises: text is escaped; a chart without rows is still a picture. Called by the example `server` and by `chart`.

use std::fmt::Write as _;

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
    fn charts_without_rows_are_pictures() {
        assert!(ratios("t", &[]).ends_with("</svg>\n"));
    }
}
