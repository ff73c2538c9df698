//! The report for a terminal.

use comfy_table::Cell;
use fornada_sim::report::{Report, Waits, html};

use crate::cli::table;

/// Everything worth a look, in the order in which one asks.
pub(super) fn text(report: &Report) -> String {
    let mut parts = vec![format!("{}\n", html::summary(report)), overview(report)];
    if !report.queues.is_empty() {
        parts.push(waits(&report.queues, &report.shares));
    }
    if !report.instances.is_empty() {
        parts.push(instances(report));
    }
    if !report.stuck.is_empty() {
        parts.push(stuck(report));
    }
    parts.join("\n")
}

fn overview(report: &Report) -> String {
    let (vcpus, attempts, cost) = (report.vcpus, report.attempts, report.cost);
    let mut lines = vec![(
        "vCPU hours",
        format!("{:.1} held by jobs, {:.1} of them for nothing", vcpus.allocated, vcpus.wasted),
    )];
    if let (Some(available), Some(utilisation)) = (vcpus.available, vcpus.utilisation) {
        lines.push(("utilisation", format!("{:.1} % of {available:.1} vCPU hours", utilisation * 100.0)));
    }
    lines.push((
        "attempts",
        format!(
            "{}: {} retries, {} interrupted, {} out of memory, {} failed by themselves",
            attempts.total, attempts.retries, attempts.interrupted, attempts.out_of_memory, attempts.failed
        ),
    ));
    if cost.total > 0.0 {
        let parts = [(cost.on_demand, "on demand"), (cost.spot, "spot"), (cost.fargate, "Fargate")];
        let parts = parts.iter().filter(|(amount, _)| *amount > 0.0);
        let parts: Vec<String> = parts.map(|(amount, what)| format!("${amount:.2} {what}")).collect();
        lines.push(("cost", parts.join(" + ")));
        if cost.spot > 0.0 {
            lines.push(("all on demand", format!("${:.2}", cost.all_on_demand)));
        }
    }
    lines.into_iter().map(|(name, text)| format!("{name:<14}{text}\n")).collect()
}

fn waits(queues: &[Waits], shares: &[Waits]) -> String {
    let mut table = table::new(&["QUEUE", "SHARE", "STARTED", "WAITING", "MEDIAN", "95 %", "LONGEST"], 2);
    let mut all: Vec<&Waits> = queues.iter().chain(shares).collect();
    all.sort_by_key(|waits| (&waits.queue, &waits.share));
    for waits in all {
        let cells = [
            waits.queue.clone(),
            waits.share.clone().unwrap_or_default(),
            waits.started.to_string(),
            waits.waiting.to_string(),
            duration(waits.p50),
            duration(waits.p95),
            duration(waits.max),
        ];
        table::add_row(&mut table, cells.map(Cell::new));
    }
    table::text(&table)
}

fn instances(report: &Report) -> String {
    let mut table =
        table::new(&["INSTANCES", "MARKET", "LAUNCHED", "FAILED", "INTERRUPTED", "HOURS", "COST"], 2);
    for group in &report.instances {
        let cells = [
            group.instance_type.clone(),
            group.market.to_owned(),
            group.launched.to_string(),
            group.failed.to_string(),
            group.interrupted.to_string(),
            format!("{:.1}", group.hours),
            if group.market.is_empty() { String::new() } else { format!("${:.2}", group.cost) },
        ];
        table::add_row(&mut table, cells.map(Cell::new));
    }
    table::text(&table)
}

fn stuck(report: &Report) -> String {
    let mut table = table::new(&["NEVER STARTED", "COUNT", "QUEUE", "WHY"], 3);
    for stuck in &report.stuck {
        let cells = [stuck.name.clone(), stuck.count.to_string(), stuck.queue.clone(), stuck.reason.clone()];
        table.add_row(cells.map(Cell::new));
    }
    table::text(&table)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn duration(seconds: f64) -> String {
    crate::cli::short_duration((seconds * 1000.0) as u64)
}
