//! One look as text, for pipes and logs.

use aws_sdk_batch::types::JobStatus;
use comfy_table::Cell;
use fornada_api::extensions::overview::{Job, Overview};

use super::super::{duration, table};

/// A table each for queues, environments, instances and jobs, with an empty line between them.
pub(super) fn text(overview: &Overview) -> String {
    let mut queues = table::new(&["QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "VCPUS", "JOBS"], 5);
    for queue in &overview.queues {
        let jobs: Vec<String> = queue.jobs.iter().map(|(status, n)| format!("{n} {status}")).collect();
        table::add_row(
            &mut queues,
            [
                Cell::new(&queue.name),
                Cell::new(&queue.state),
                Cell::new(queue.priority),
                Cell::new(queue.attempts),
                Cell::new(queue.used_vcpus),
                Cell::new(jobs.join(", ")),
            ],
        );
    }
    let mut shares = table::new(&["SHARE", "QUEUE", "VCPUS", "WEIGHT"], 4);
    for given in &overview.shares {
        let share = &given.share;
        let cells = [Cell::new(&share.share_identifier), Cell::new(&given.queue)];
        let numbers = [Cell::new(share.used_vcpus), Cell::new(share.weight_factor)];
        table::add_row(&mut shares, cells.into_iter().chain(numbers));
    }
    let mut environments = table::new(&["ENVIRONMENT", "STATE", "STATUS", "USED", "MAX", "UNIT"], 6);
    for given in &overview.environments {
        let max = given.max.map(|max| max.to_string()).unwrap_or_default();
        let cells = [&given.name, &given.state, &given.status, &given.used.to_string(), &max, &given.unit];
        table::add_row(&mut environments, cells.map(Cell::new));
    }
    let mut instances = table::new(&["INSTANCE", "STATE", "ATTEMPTS", "VCPUS", "MEMORY"], 5);
    for given in &overview.instances {
        let (used, capacity) = (given.used, given.capacity);
        table::add_row(
            &mut instances,
            [
                Cell::new(&given.instance_id),
                Cell::new(&given.state),
                Cell::new(given.attempts),
                Cell::new(format!("{}/{}", used.vcpus, capacity.vcpus)),
                Cell::new(format!("{}/{} MiB", used.memory_mib, capacity.memory_mib)),
            ],
        );
    }
    let mut jobs = table::new(&["JOB", "STATUS", "TIME", "QUEUE", "NAME", "REASON"], 5);
    for job in overview.running.iter().chain(&overview.waiting) {
        let Job { job_id, job_name, queue, status, since, reason, .. } = job;
        table::add_row(
            &mut jobs,
            [
                Cell::new(job_id),
                table::status_cell(&JobStatus::from(status.as_str())),
                Cell::new(duration::short(overview.at - since)),
                Cell::new(queue),
                Cell::new(job_name),
                Cell::new(reason.as_deref().unwrap_or_default()),
            ],
        );
    }
    let tables = [queues, shares, environments, instances, jobs];
    let shown = tables.iter().filter(|table| table.row_count() > 0);
    shown.map(table::text).collect::<Vec<_>>().join("\n")
}
