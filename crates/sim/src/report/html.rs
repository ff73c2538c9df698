//! The report as one HTML file: nothing is loaded from anywhere, and it reads on paper, on a phone and in the dark.

use std::fmt::Write;

use super::chart::{Chart, Curve, DECIMAL, GREY, SEXAGESIMAL, duration, escaped, short, time_ticks};
use super::{InstanceGroup, Report, Stuck, Waits};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(report: &Report) -> String {
    let title = escaped(&report.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width, \
         initial-scale=1'>\n<meta name=color-scheme content='light dark'>\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<main>\n<header><h1>{title}</h1><p>{}</p></header>\n",
        escaped(&summary(report))
    );
    html.push_str(&tiles(report));
    html.push_str("<section class=charts>\n");
    html.push_str(&charts(report));
    html.push_str("</section>\n");
    html.push_str(&waits(report));
    html.push_str(&instances(&report.instances));
    html.push_str(&stuck(&report.stuck));
    html.push_str("</main>\n</html>\n");
    html
}

/// One sentence that says what happened.
pub fn summary(report: &Report) -> String {
    let ends = report.jobs;
    let mut text = format!(
        "{} jobs in {}: {} succeeded",
        count(ends.total),
        duration(report.makespan),
        count(ends.succeeded)
    );
    for (number, what) in [(ends.failed, "failed"), (ends.unfinished, "did not end")] {
        if number > 0 {
            let _ = write!(text, ", {} {what}", count(number));
        }
    }
    text
}

fn tiles(report: &Report) -> String {
    let attempts = report.attempts;
    let mut tiles = vec![("makespan", duration(report.makespan), "first submission to last end".to_owned())];
    if let Some(waits) = report.queues.iter().max_by(|a, b| a.p95.total_cmp(&b.p95)) {
        tiles.push((
            "95 % waited at most",
            duration(waits.p95),
            format!("in queue {}; median {}", waits.queue, duration(waits.p50)),
        ));
    }
    if let Some(utilisation) = report.vcpus.utilisation {
        let available = report.vcpus.available.unwrap_or_default();
        tiles.push((
            "utilisation",
            format!("{} %", short(utilisation * 100.0)),
            format!("of {} vCPU hours", short(available)),
        ));
    }
    if report.cost.total > 0.0 {
        let saved = report.cost.all_on_demand - report.cost.total;
        let note = match saved > 0.005 {
            true => format!("{} if all were on demand", money(report.cost.all_on_demand)),
            false => "on demand".to_owned(),
        };
        tiles.push(("cost", money(report.cost.total), note));
    }
    tiles.push((
        "attempts",
        count(attempts.total),
        format!("{} retries, {} interrupted", count(attempts.retries), count(attempts.interrupted)),
    ));
    let mut html = String::from("<section class=tiles>\n");
    for (name, value, note) in tiles {
        let _ = writeln!(html, "<div><h2>{name}</h2><b>{value}</b><small>{}</small></div>", escaped(&note));
    }
    html.push_str("</section>\n");
    html
}

fn charts(report: &Report) -> String {
    let series = &report.series;
    let ticks = || time_ticks(super::seconds(series.steps.end - series.steps.begin));
    let over_time = |title: &'static str, note: &'static str, curves| Chart {
        title,
        note,
        ticks: ticks(),
        label: short,
        marks: &DECIMAL,
        curves,
        stepped: true,
    };
    let curve = |name: &str, color, filled, values: &[f64]| Curve {
        name: name.to_owned(),
        color,
        filled,
        values: values.to_vec(),
    };
    let is_used = |values: &[f64]| values.iter().any(|value| *value > 0.0);
    let mut html = String::new();
    let mut vcpus = Vec::new();
    if is_used(&series.available) {
        vcpus.push(curve("available", GREY, true, &series.available));
    }
    vcpus.push(curve("held by jobs", 0, true, &series.allocated));
    html.push_str(&over_time("Utilisation", "vCPUs", vcpus).html());
    let waiting =
        series.waiting.iter().enumerate().map(|(color, (queue, values))| curve(queue, color, false, values));
    html.push_str(&over_time("Queue depth", "jobs that wait for capacity", waiting.collect()).html());
    html.push_str(&wait_chart(report));
    let is_launched = report.instances.iter().any(|group| !group.market.is_empty());
    if is_launched {
        let both = [("on demand", 0, &series.instances), ("spot", 1, &series.spot_instances)];
        let used = both.into_iter().filter(|(_, _, values)| is_used(values));
        let machines = used.map(|(name, color, values)| curve(name, color, false, values)).collect();
        html.push_str(&over_time("Instances", "that take jobs", machines).html());
    }
    if report.cost.total > 0.0 {
        let hours = series.step / 3600.0;
        let spent = |rates: &[f64]| -> Vec<f64> {
            let sums = rates.iter().scan(0.0, |sum, rate| {
                *sum += rate * hours;
                Some(*sum)
            });
            sums.collect()
        };
        let mut curves = vec![curve("spent", 2, true, &spent(&series.cost_rate))];
        if report.cost.spot > 0.0 {
            curves.insert(0, curve("all on demand", GREY, false, &spent(&series.cost_rate_on_demand)));
        }
        let chart = over_time("Cost", "dollars spent", curves);
        html.push_str(&Chart { label: money, ..chart }.html());
    }
    html
}

/// Waits of shares where there are any, else of queues: how many percent waited how long at most.
fn wait_chart(report: &Report) -> String {
    let groups = if report.shares.is_empty() { &report.queues } else { &report.shares };
    let started = groups.iter().filter(|waits| waits.started > 0);
    let curves = started.take(super::chart::COLORS).enumerate().map(|(color, waits)| Curve {
        name: name(waits),
        color,
        filled: false,
        values: waits.quantiles.clone(),
    });
    let ticks = [0, 25, 50, 75, 100].map(|percent| (f64::from(percent) / 100.0, format!("{percent} %")));
    Chart {
        title: "Waits",
        note: "so many percent of the jobs waited at most so long",
        ticks: ticks.into(),
        label: duration,
        marks: &SEXAGESIMAL,
        curves: curves.collect(),
        stepped: false,
    }
    .html()
}

fn name(waits: &Waits) -> String {
    match &waits.share {
        Some(share) => format!("{} · {share}", waits.queue),
        None => waits.queue.clone(),
    }
}

fn waits(report: &Report) -> String {
    let rows = report.queues.iter().chain(&report.shares).map(|waits| {
        vec![
            name(waits),
            count(waits.started),
            count(waits.waiting),
            duration(waits.p50),
            duration(waits.p95),
            duration(waits.max),
        ]
    });
    table(
        "Waits for capacity",
        &["queue", "started", "still waiting", "median", "95 %", "longest"],
        rows.collect(),
    )
}

fn instances(groups: &[InstanceGroup]) -> String {
    let rows = groups.iter().map(|group| {
        vec![
            format!("{} {}", group.instance_type, group.market).trim().to_owned(),
            count(group.launched),
            count(group.failed),
            count(group.interrupted),
            short(group.hours),
            money(group.cost),
        ]
    });
    table("Instances", &["type", "launched", "failed", "interrupted", "hours", "cost"], rows.collect())
}

fn stuck(all: &[Stuck]) -> String {
    let rows = all
        .iter()
        .map(|stuck| vec![stuck.name.clone(), count(stuck.count), stuck.queue.clone(), stuck.reason.clone()]);
    table("Jobs that never started", &["job", "count", "queue", "why"], rows.collect())
}

/// A table, unless it has no rows.
fn table(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html = format!("<section><h2>{title}</h2><div class=scroll><table><thead><tr>");
    for name in header {
        let _ = write!(html, "<th>{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escaped(&cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></section>\n");
    html
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
fn count(number: usize) -> String {
    short(number as f64)
}

fn money(dollars: f64) -> String {
    if dollars == 0.0 {
        "0".to_owned()
    } else if dollars < 100.0 && dollars.fract() != 0.0 {
        format!("${dollars:.2}")
    } else {
        format!("${}", short(dollars))
    }
}
