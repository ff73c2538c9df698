//! What there are several of in a job, as tables under its card: nodes, containers, attempts.

use aws_sdk_batch::types::{JobDetail, JobStatus};
use comfy_table::{Cell, Table};

use super::containers::{self, Role};
use super::shell_quote::command_line;
use super::{duration, nodes, outcome, table};

/// The nodes of a multi-node job.
pub(crate) fn nodes(nodes: &[JobDetail]) -> String {
    let mut table = table::new(&["NODE", "STATUS", "TIME", "EXIT", "REASON"], 4);
    for node in nodes {
        let index = nodes::index(node).unwrap_or_default();
        let main = if nodes::is_main(node) { " (main)" } else { "" };
        let container = containers::deciding(node);
        let reason = container.as_ref().and_then(|container| container.reason);
        let ended = node.stopped_at().filter(|at| *at > 0).unwrap_or_else(duration::now_ms);
        table.add_row([
            Cell::new(format!("{index}{main}")),
            table::status_cell(node.status().unwrap_or(&JobStatus::Submitted)),
            Cell::new(took(node.started_at(), Some(ended))),
            Cell::new(code(container.as_ref().and_then(|container| container.exit_code))),
            Cell::new(outcome::why(node.status_reason(), reason, None)),
        ]);
    }
    text(&table)
}

/// The containers of a task or a pod in its newest attempt; nothing for a job of one container, which the card describes.
pub(crate) fn containers(job: &JobDetail) -> String {
    if job.container().is_some() {
        return String::new();
    }
    let containers = containers::newest(job);
    let is_pod = job.eks_properties().is_some();
    let role = if is_pod { "INIT" } else { "ESSENTIAL" };
    let mut table = table::new(&["CONTAINER", role, "EXIT", "IMAGE", "COMMAND", "REASON"], 3);
    for container in containers {
        let yes = matches!(container.role, Role::Essential | Role::Init);
        let cells = [
            Cell::new(container.name),
            Cell::new(if yes { "yes" } else { "no" }),
            Cell::new(code(container.exit_code)),
            Cell::new(container.image),
            Cell::new(command_line(&container.command)),
            Cell::new(container.reason.unwrap_or_default()),
        ];
        table.add_row(cells);
    }
    text(&table)
}

/// The attempts that have ended; exit code and reason are those of the container that decided.
pub(crate) fn attempts(job: &JobDetail) -> String {
    let mut table = table::new(&["ATTEMPT", "STARTED", "TIME", "EXIT", "REASON"], 4);
    for (index, attempt) in containers::attempts(job).iter().enumerate() {
        let container = attempt.deciding();
        let started = attempt.started_at.filter(|at| *at > 0);
        table.add_row([
            Cell::new(index + 1),
            Cell::new(started.map(duration::local_time).unwrap_or_default()),
            Cell::new(took(started, attempt.stopped_at)),
            Cell::new(code(container.and_then(|container| container.exit_code))),
            Cell::new(outcome::why(
                attempt.status_reason,
                container.and_then(|container| container.reason),
                None,
            )),
        ]);
    }
    text(&table)
}

fn took(started: Option<i64>, stopped: Option<i64>) -> String {
    let started = started.filter(|at| *at > 0);
    started.zip(stopped).map(|(started, stopped)| duration::short(stopped - started)).unwrap_or_default()
}

fn code(exit_code: Option<i32>) -> String {
    exit_code.map(|code| code.to_string()).unwrap_or_default()
}

/// Set off from what is above it; nothing if there are no rows.
fn text(table: &Table) -> String {
    if table.is_empty() { String::new() } else { format!("\n{}", table::text(table)) }
}
