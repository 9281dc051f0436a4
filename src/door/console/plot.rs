//! Plots drawn by the server: SVG with a name, a description and the same numbers as a table.

use super::markup::{El, Markup, el};
use super::words::Lang;

/// Units of the drawing; the page scales it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 168.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Labels along the foot.
const MOST_LABELS: usize = 12;

/// One column of a plot.
pub struct Column {
    pub label: String,
    /// One value for each series; `None` where there is nothing to draw.
    pub values: Vec<Option<u64>>,
}

/// What a plot is called and what it says.
pub struct Caption<'t> {
    /// Unique on its page.
    pub id: &'static str,
    pub title: &'t str,
    /// The plot in one sentence, for who does not see it.
    pub summary: String,
    pub unit: &'t str,
    /// Names of the series.
    pub series: Vec<&'t str>,
}

/// Columns with the series stacked on each other.
pub fn stacked(lang: Lang, caption: Caption<'_>, columns: &[Column]) -> Markup {
    let tall = columns.iter().map(|column| column.values.iter().flatten().sum()).max().unwrap_or(0);
    let scale = Scale::over(tall, columns.len());
    let bars = columns.iter().enumerate().flat_map(|(at, column)| {
        let mut below = 0;
        column
            .values
            .iter()
            .enumerate()
            .filter_map(|(series, value)| Some((series, (*value)?)))
            .filter(|(_, value)| *value > 0)
            .map(|(series, value)| {
                let (y, foot) = (scale.y(below + value), scale.y(below));
                below += value;
                el("rect")
                    .attr("x", units(scale.x(at) + scale.step * 0.14))
                    .attr("y", units(y))
                    .attr("width", units(scale.step * 0.72))
                    .attr("height", units((foot - y).max(0.6)))
                    .class(series_class(series))
            })
            .collect::<Vec<_>>()
    });
    figure(lang, caption, columns, &scale, bars.map(Markup::from).collect())
}

/// One line for each series; a line breaks where there is no value.
pub fn lines(lang: Lang, caption: Caption<'_>, columns: &[Column]) -> Markup {
    let tall = columns.iter().flat_map(|column| column.values.iter().flatten()).max().copied().unwrap_or(0);
    let scale = Scale::over(tall, columns.len());
    let drawn = (0..caption.series.len()).map(|series| {
        let mut path = String::new();
        let mut dots = Markup::default();
        let mut pen_down = false;
        for (at, column) in columns.iter().enumerate() {
            let Some(value) = column.values.get(series).copied().flatten() else {
                pen_down = false;
                continue;
            };
            let (x, y) = (scale.x(at) + scale.step / 2.0, scale.y(value));
            path.push_str(&format!("{}{} {}", if pen_down { "L" } else { "M" }, units(x), units(y)));
            pen_down = true;
            let dot = el("circle").attr("cx", units(x)).attr("cy", units(y)).attr("r", "2.2");
            dots = dots.and(dot.class(series_class(series)));
        }
        let line = el("path").attr("d", path).attr("fill", "none").class(stroke_class(series));
        Markup::from(line).and(dots)
    });
    let drawn = drawn.collect();
    figure(lang, caption, columns, &scale, drawn)
}

/// Squares, one an hour, shaded by a state's class: a heat map.
pub fn squares(label: &str, rows: &[(String, Vec<(&'static str, String)>)]) -> Markup {
    let body = rows.iter().map(|(name, cells)| {
        let cells = cells.iter().map(|(class, words)| {
            el("td").class(class).attr("title", words).add(el("span").class("unseen").add(words.as_str()))
        });
        el("tr").add(el("th").attr("scope", "row").add(name.as_str())).each(cells)
    });
    let hours = (0..24).map(|hour| el("th").attr("scope", "col").add(format!("{hour:02}")));
    let head = el("tr").add(el("td")).each(hours);
    el("div")
        .class("scroll")
        .attr("tabindex", "0")
        .attr("role", "region")
        .attr("aria-label", label)
        .add(
            el("table")
                .class("heat")
                .add(el("caption").class("unseen").add(label))
                .add(el("thead").add(head))
                .add(el("tbody").each(body)),
        )
        .into()
}

struct Scale {
    top: u64,
    step: f64,
}

impl Scale {
    fn over(tall: u64, columns: usize) -> Self {
        let columns = u32::try_from(columns.max(1)).unwrap_or(1);
        Self { top: round_up(tall), step: (WIDTH - LEFT - RIGHT) / f64::from(columns) }
    }

    fn x(&self, at: usize) -> f64 {
        LEFT + self.step * f64::from(u32::try_from(at).unwrap_or_default())
    }

    fn y(&self, value: u64) -> f64 {
        let part = as_f64(value) / as_f64(self.top);
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a drawing's resolution is far coarser than 2^-52")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// The next of 1, 2, 5, 10, 20, … that is not smaller.
fn round_up(value: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            let mark = power.saturating_mul(step);
            if mark >= value.max(1) {
                return mark;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn units(value: f64) -> String {
    format!("{value:.1}")
}

const fn series_class(series: usize) -> &'static str {
    match series {
        0 => "s0",
        1 => "s1",
        2 => "s2",
        _ => "s3",
    }
}

const fn stroke_class(series: usize) -> &'static str {
    match series {
        0 => "l0",
        1 => "l1",
        2 => "l2",
        _ => "l3",
    }
}

fn figure(lang: Lang, caption: Caption<'_>, columns: &[Column], scale: &Scale, drawn: Vec<Markup>) -> Markup {
    let (title_id, summary_id) = (format!("{}-title", caption.id), format!("{}-summary", caption.id));
    let grid = [0, 1, 2].map(|part| {
        let value = scale.top * part / 2;
        let y = units(scale.y(value));
        let line = el("line")
            .attr("x1", units(LEFT))
            .attr("x2", units(WIDTH - RIGHT))
            .attr("y1", &y)
            .attr("y2", &y)
            .class("grid");
        let label = el("text")
            .attr("x", units(LEFT - 6.0))
            .attr("y", &y)
            .attr("dy", "3.5")
            .attr("text-anchor", "end");
        Markup::from(line).and(label.add(value.to_string()))
    });
    let every = columns.len().div_ceil(MOST_LABELS).max(1);
    let foot = columns.iter().enumerate().filter(|(at, _)| at % every == 0).map(|(at, column)| {
        el("text")
            .attr("x", units(scale.x(at) + scale.step / 2.0))
            .attr("y", units(HEIGHT - 6.0))
            .attr("text-anchor", "middle")
            .add(column.label.as_str())
    });
    let svg = el("svg")
        .attr("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
        .attr("role", "img")
        .attr("aria-labelledby", format!("{title_id} {summary_id}"))
        .add(el("title").attr("id", &title_id).add(caption.title))
        .add(el("desc").attr("id", &summary_id).add(caption.summary.as_str()))
        .each(grid)
        .each(drawn)
        .each(foot);
    let legend = caption.series.iter().enumerate().map(|(at, name)| {
        el("li").add(el("span").class(swatch_class(at)).attr("aria-hidden", "true")).add(*name)
    });
    let head = el("figcaption")
        .add(el("strong").add(caption.title))
        .add(el("span").class("unit").add(caption.unit))
        .add(el("ul").class("legend").each(legend));
    el("figure").class("plot").add(head).add(svg).add(numbers(lang, &caption, columns)).into()
}

const fn swatch_class(series: usize) -> &'static str {
    match series {
        0 => "swatch b0",
        1 => "swatch b1",
        2 => "swatch b2",
        _ => "swatch b3",
    }
}

fn numbers(lang: Lang, caption: &Caption<'_>, columns: &[Column]) -> El {
    let head = el("tr")
        .add(el("th").attr("scope", "col").add(lang.pick("时间", "Time")))
        .each(caption.series.iter().map(|name| el("th").attr("scope", "col").class("number").add(*name)));
    let rows = columns.iter().map(|column| {
        let values = column.values.iter().map(|value| {
            el("td").class("number").add(value.map_or_else(|| "–".to_owned(), |value| value.to_string()))
        });
        el("tr").add(el("th").attr("scope", "row").add(column.label.as_str())).each(values)
    });
    let table = el("table")
        .class("plain")
        .add(el("caption").class("unseen").add(caption.title))
        .add(el("thead").add(head))
        .add(el("tbody").each(rows));
    el("details").add(el("summary").add(lang.pick("数据表", "As a table"))).add(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_name_a_description_and_its_numbers() {
        let columns = [("00", 3, 1), ("01", 0, 0)]
            .map(|(label, a, b)| Column { label: label.to_owned(), values: vec![Some(a), Some(b)] });
        let caption = Caption {
            id: "traffic",
            title: "Traffic",
            summary: "4 in 2 hours".into(),
            unit: "/h",
            series: vec!["well", "ill"],
        };
        let drawn = stacked(Lang::En, caption, &columns).into_string();
        assert_eq!(drawn.matches("<rect").count(), 2, "nothing is drawn for nothing");
        for part in [
            "role=\"img\"",
            "<title id=\"traffic-title\">Traffic</title>",
            "4 in 2 hours",
            "<td class=\"number\">3</td>",
        ] {
            assert!(drawn.contains(part), "{part}");
        }
        assert!(!drawn.contains("style="), "the policy allows no inline style");
    }

    #[test]
    fn scales_end_on_round_numbers() {
        assert_eq!([0, 1, 3, 11, 50, 51, 4_321].map(round_up), [1, 1, 5, 20, 50, 100, 5_000]);
    }
}
