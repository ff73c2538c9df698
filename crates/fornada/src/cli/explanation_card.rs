//! An explanation as text: the answer in one line, one line a fact, then what there are several of.

use aws_sdk_batch::types::JobStatus;
use comfy_table::Cell;
use fornada_api::extensions::explanation::{Attempt, Cause, Dependency, Explanation, Running, Waits};

use super::job_card::{Card, last_part};
use super::{duration, job_ref, style, table};

/// With a line end after the last line.
pub(crate) fn show(given: &Explanation) -> String {
    let status = style::paint_status(&JobStatus::from(given.status.as_str()));
    let mut card = Card::default();
    card.add("job", format!("{} {}", style::paint(style::BOLD, &given.job_name), given.job_id));
    card.add("queue", last_part(&given.job_queue));
    if let Some(since) = given.since {
        let ago = duration::short(duration::now_ms() - since);
        card.add("since", format!("{} ({ago} ago)", duration::local_time(since)));
    }
    let members: Vec<String> = given.members.iter().map(|(status, n)| format!("{n} {status}")).collect();
    card.add("members", members.join(", "));
    card.add_all("depends on", given.depends_on.iter().map(dependency));
    card.add("next child", given.next_child.clone().unwrap_or_default());
    if let Some(waits) = &given.waits {
        add_waits(&mut card, waits);
    }
    if let Some(running) = &given.running {
        add_running(&mut card, running);
    }
    card.add_all(
        "limit",
        given.limits.iter().map(|limit| {
            let name = last_part(&limit.arn);
            format!(
                "{name}: {} of {} {} used, {} needed",
                limit.used, limit.max, limit.capacity_unit, limit.needed
            )
        }),
    );
    card.add_all("cause", given.causes.iter().map(cause));
    format!("{status}: {}\n\n{}{}", given.summary, card.text(), attempts(&given.attempts))
}

fn dependency(given: &Dependency) -> String {
    let must = match given.condition.as_str() {
        "ENDS" => "must end",
        "CHILD_BY_CHILD" => "child by child",
        _ => "must succeed",
    };
    let children = given.children_ended.zip(given.children);
    let children = children.map(|(ended, size)| format!("; {ended} of {size} children have ended"));
    let Dependency { job_name, job_id, status, .. } = given;
    format!("{job_name} {} {status}, {must}{}", job_ref::shorten(job_id), children.unwrap_or_default())
}

fn add_waits(card: &mut Card, waits: &Waits) {
    card.add_all(
        "share",
        waits.shares.iter().zip(["", ", goes first"]).map(|(share, note)| {
            let (used, weight) = (vcpus(share.used_vcpus), share.weight_factor);
            format!("{}: {used} used, weight {weight}{note}", share.share_identifier)
        }),
    );
    if let Some(ahead) = &waits.ahead {
        let because = match ahead.starts_at {
            Some(at) => format!("its start is reserved for {}", duration::local_time(at)),
            None => "the queue goes in order".to_owned(),
        };
        card.add("behind", format!("{} {}; {because}", ahead.job_name, ahead.job_id));
    }
    card.add("first waits", waits.first_waits.clone().unwrap_or_default());
    if let (Some(jobs), Some(vcpus)) = (waits.jobs_ahead, waits.vcpus_ahead) {
        let more = if waits.more_ahead { "more than " } else { "" };
        card.add(
            "ahead",
            match jobs {
                0 => "nothing: it is the first of its queue".to_owned(),
                1 => format!("1 job, which needs {}", self::vcpus(vcpus)),
                _ => format!("{more}{jobs} jobs, which need {more}{}", self::vcpus(vcpus)),
            },
        );
    }
    if let Some(at) = waits.starts_by {
        let within = duration::short(at - duration::now_ms());
        card.add(
            "starts by",
            format!(
                "{} (within {within}), if all before it run into their timeouts",
                duration::local_time(at)
            ),
        );
    }
    if let Some(resource) = &waits.consumable_resource {
        let name = last_part(&resource.arn);
        let (needed, left, held) = (resource.needed, resource.left, resource.held);
        card.add("resource", format!("{name}: {needed} needed, {left} left, {held} held by others"));
    }
    card.add_all(
        "environment",
        waits
            .compute_environments
            .iter()
            .map(|environment| format!("{} {}", environment.compute_environment, environment.text)),
    );
}

/// `1 vCPU`, `2.5 vCPUs`.
pub(crate) fn vcpus(n: f64) -> String {
    let is_one = (n - 1.0).abs() < f64::EPSILON;
    format!("{n} vCPU{}", if is_one { "" } else { "s" })
}

fn add_running(card: &mut Card, running: &Running) {
    card.add("environment", running.compute_environment.clone().unwrap_or_default());
    card.add("instance", running.instance_id.clone().unwrap_or_default());
    card.add("attempt", format!("{} of {}", running.attempt, running.attempts_max));
    if let Some(at) = running.timeout_at {
        let left = duration::short(at - duration::now_ms());
        card.add("timeout", format!("{} (in {left})", duration::local_time(at)));
    }
    card.add("stopping", running.stopping.clone().unwrap_or_default());
}

fn cause(given: &Cause) -> String {
    let exit_code = given.exit_code.map(|code| format!("exit code {code}"));
    let said = [given.reason.clone(), exit_code, given.status_reason.clone()];
    let said = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
    format!("{} {}: {said}", given.job_name, job_ref::shorten(&given.job_id))
}

fn attempts(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let mut table = table::new(&["ATTEMPT", "STARTED", "TIME", "EXIT", "INSTANCE", "THEN", "REASON"], 6);
    for attempt in attempts {
        let ran = attempt.started_at.map(|started| duration::short(attempt.stopped_at - started));
        let rule = attempt.rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
        let then = attempt.decision.clone().unwrap_or_default();
        let reason = attempt.reason.clone().unwrap_or_else(|| attempt.status_reason.clone());
        table::add_row(
            &mut table,
            [
                Cell::new(attempt.attempt),
                Cell::new(attempt.started_at.map(duration::local_time).unwrap_or_default()),
                Cell::new(ran.unwrap_or_default()),
                Cell::new(attempt.exit_code.map(|code| code.to_string()).unwrap_or_default()),
                Cell::new(attempt.instance_id.clone().unwrap_or_default()),
                Cell::new(format!("{then}{rule}")),
                Cell::new(reason),
            ],
        );
    }
    format!("\n{}", table::text(&table))
}
