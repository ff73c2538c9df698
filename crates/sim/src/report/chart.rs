//! Charts as HTML with inline SVG: the curves stretch with the page, the labels do not, so both are sharp on any screen.

use std::fmt::Write;

/// One curve.
pub(super) struct Curve {
    pub(super) name: String,
    /// Number of its colour; [`GREY`] for what others are measured against.
    pub(super) color: usize,
    /// The area below it is filled.
    pub(super) filled: bool,
    /// At equal distances.
    pub(super) values: Vec<f64>,
}

/// The colour of a background.
pub(super) const GREY: usize = usize::MAX;
/// Colours that the style sheet has.
pub(super) const COLORS: usize = 6;

/// A chart.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What is counted, and how.
    pub(super) note: &'a str,
    /// Places from 0 to 1, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
    /// How an amount is written.
    pub(super) label: fn(f64) -> String,
    /// Steps between marks of the amounts, the smallest first.
    pub(super) marks: &'a [f64],
    pub(super) curves: Vec<Curve>,
    /// A value holds until the next, or lies on a line to it.
    pub(super) stepped: bool,
}

/// Amounts count in 1, 2 and 5.
pub(super) const DECIMAL: [f64; 3] = [1.0, 2.0, 5.0];
/// Times count in seconds, minutes, hours and days.
pub(super) const SEXAGESIMAL: [f64; 24] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    432_000.0,
    864_000.0,
    1_728_000.0,
    4_320_000.0,
    8_640_000.0,
];

impl Chart<'_> {
    pub(super) fn html(&self) -> String {
        let values = self.curves.iter().flat_map(|curve| &curve.values);
        let most = values.copied().fold(0.0, f64::max);
        let step = step(most, self.marks);
        let top = ((most / step).ceil().max(1.0)) * step;
        let mut html = format!(
            "<figure><figcaption>{}<small>{}</small></figcaption>\n<div class=plot>\n<svg viewBox='0 0 1000 100' \
             preserveAspectRatio=none role=img aria-label='{}'>",
            escaped(self.title),
            escaped(self.note),
            escaped(self.title)
        );
        let mut mark = 0.0;
        while mark <= top * 1.001 {
            let y = 100.0 - mark / top * 100.0;
            let _ = write!(html, "<path class=grid d='M0 {y:.2}H1000'/>");
            mark += step;
        }
        for curve in &self.curves {
            html.push_str(&self.paths(curve, top));
        }
        html.push_str("</svg>\n");
        let mut mark = 0.0;
        while mark <= top * 1.001 {
            let _ = write!(
                html,
                "<span class=y style='bottom:{:.2}%'>{}</span>",
                mark / top * 100.0,
                (self.label)(mark)
            );
            mark += step;
        }
        for (place, text) in &self.ticks {
            let _ = write!(html, "<span class=x style='left:{:.2}%'>{}</span>", place * 100.0, escaped(text));
        }
        html.push_str("\n</div>\n<div class=legend>");
        for curve in &self.curves {
            let _ = write!(html, "<span><i class={}></i>{}</span>", class(curve.color), escaped(&curve.name));
        }
        html.push_str("</div></figure>\n");
        html
    }

    fn paths(&self, curve: &Curve, top: f64) -> String {
        let count = curve.values.len();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred points")]
        let x = |index: usize| match self.stepped {
            true => index as f64 * 1000.0 / count.max(1) as f64,
            false => index as f64 * 1000.0 / (count.max(2) - 1) as f64,
        };
        let y = |value: f64| 100.0 - value / top * 100.0;
        let mut line = String::new();
        for (index, value) in curve.values.iter().enumerate() {
            match (index, self.stepped) {
                (0, false) => drop(write!(line, "M0 {:.2}", y(*value))),
                (0, true) => drop(write!(line, "M0 {:.2}H{:.1}", y(*value), x(1))),
                (_, true) => drop(write!(line, "V{:.2}H{:.1}", y(*value), x(index + 1))),
                (_, false) => drop(write!(line, "L{:.1} {:.2}", x(index), y(*value))),
            }
        }
        let class = class(curve.color);
        let area = if curve.filled {
            format!("<path class='area {class}' d='{line}V100H0Z'/>")
        } else {
            String::new()
        };
        format!("{area}<path class='line {class}' d='{line}'><title>{}</title></path>", escaped(&curve.name))
    }
}

fn class(color: usize) -> String {
    if color == GREY { "grey".to_owned() } else { format!("c{}", color % COLORS) }
}

/// The distance of marks, of which there are three to five.
pub(super) fn step(most: f64, marks: &[f64]) -> f64 {
    let most = if most > 0.0 { most } else { 1.0 };
    let last = marks[marks.len() - 1];
    // Decimal marks go on in tens in both directions; those of time end.
    let scale = if marks == DECIMAL { 10_f64.powf((most / last).log10().floor()) } else { 1.0 };
    let mut all = marks.iter().map(|mark| mark * scale).chain(marks.iter().map(|mark| mark * scale * 10.0));
    all.find(|step| most / step <= 5.0).unwrap_or(most / 4.0)
}

/// Places and texts of times along a chart, at most six.
pub(super) fn time_ticks(seconds: f64) -> Vec<(f64, String)> {
    let step = step(seconds, &SEXAGESIMAL);
    let mut ticks = Vec::new();
    let mut at = 0.0;
    while at <= seconds * 1.0001 {
        ticks.push((at / seconds, duration(at)));
        at += step;
    }
    ticks
}

/// `90 s`, `5 min`, `2.5 h`, `3 d`.
pub(super) fn duration(seconds: f64) -> String {
    let (amount, unit) = match seconds {
        _ if seconds < 120.0 => (seconds, "s"),
        _ if seconds < 3600.0 => (seconds / 60.0, "min"),
        _ if seconds < 172_800.0 => (seconds / 3600.0, "h"),
        _ => (seconds / 86_400.0, "d"),
    };
    if seconds == 0.0 { "0".to_owned() } else { format!("{} {unit}", short(amount)) }
}

/// With as many digits as one wants to read.
pub(super) fn short(amount: f64) -> String {
    let digits = match amount.abs() {
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        _ => 2,
    };
    let text = format!("{amount:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => grouped(&text),
    }
}

/// `12 345`, with a thin space.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_even() {
        for (most, marks, want) in [
            (0.0, &DECIMAL[..], 0.2),
            (7.0, &DECIMAL, 2.0),
            (4000.0, &DECIMAL, 1000.0),
            (256.0, &DECIMAL, 100.0),
            (0.3, &DECIMAL, 0.1),
            (90.0, &SEXAGESIMAL, 30.0),
            (86_400.0, &SEXAGESIMAL, 21_600.0),
        ] {
            let got = step(most, marks);
            assert!((got / want - 1.0).abs() < 1e-9, "{most}: {got}, not {want}");
        }
    }

    #[test]
    fn texts_are_short() {
        for (seconds, want) in [
            (0.0, "0"),
            (90.0, "90 s"),
            (300.0, "5 min"),
            (3600.0, "1 h"),
            (9000.0, "2.5 h"),
            (259_200.0, "3 d"),
        ] {
            assert_eq!(duration(seconds), want);
        }
        for (amount, want) in
            [(0.25, "0.25"), (1.0, "1"), (99.96, "100"), (1234.0, "1234"), (12345.0, "12\u{2009}345")]
        {
            assert_eq!(short(amount), want);
        }
        assert_eq!(escaped("<a b='c'>&\""), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
    }
}
