//! From the core's explanation to the one on the wire.

use fornada_core::arn::{Arn, name_of};
use fornada_core::explain::{
    self as core, Awaited, Condition, Decision, Detail, HeldBack, LimitUse, Past, Position, Runnable,
    ShareUse,
};
use fornada_core::job::array::StatusCounts;
use fornada_core::job::{Attempt, JobStatus, StopCause};
use fornada_core::service_job::ServiceAttempt;
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

use super::explanation as wire;

pub(super) fn explanation(state: &State, given: core::Explanation) -> wire::Explanation {
    let core::Explanation { id, name, queue, status, since, summary, members, attempts, detail } = given;
    let mut wire = wire::Explanation {
        job_id: id.to_string(),
        job_name: name.into(),
        job_queue: queue.into(),
        status: status.to_owned(),
        since: since.map(Timestamp::as_millis),
        summary: summary.into(),
        members: members.as_ref().map(by_status).unwrap_or_default(),
        attempts: attempts.into_iter().map(attempt).collect(),
        ..Default::default()
    };
    match detail {
        Detail::Pending { awaits, next } => {
            wire.depends_on = awaits.into_iter().map(dependency).collect();
            if let Some((child, runnable)) = next {
                wire.next_child = Some(child.to_string());
                wire.waits = Some(waits(*runnable));
            }
        }
        Detail::Runnable(runnable) => wire.waits = Some(waits(*runnable)),
        Detail::Running(given) => wire.running = Some(running(given)),
        Detail::Ended { causes } => wire.causes = causes.into_iter().map(cause).collect(),
        Detail::Service { environment: _, limits, attempts } => {
            wire.limits = limits.into_iter().map(limit).collect();
            let attempts = (1..).zip(attempts);
            wire.attempts = attempts.map(|(number, given)| service_attempt(number, given)).collect();
            let job = state.service_job(id.job);
            let placement = job.and_then(|job| Some((job, job.placement.as_deref()?)));
            wire.running = placement.map(|(job, placement)| wire::Running {
                compute_environment: Some(name_of(&placement.environment).to_owned()),
                instance_id: Some(placement.instance_id.to_string()),
                attempt: u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1),
                attempts_max: job.retry.as_ref().map_or(1, |retry| retry.attempts),
                started_at: job.started_at.map(Timestamp::as_millis),
                timeout_at: job
                    .started_at
                    .zip(job.timeout_seconds)
                    .map(|(at, seconds)| at.plus_seconds(seconds).as_millis()),
                stopping: placement.stopping.as_ref().map(stopping),
            });
        }
    }
    wire
}

/// The counts that are not zero, by status.
pub(super) fn by_status(counts: &StatusCounts) -> std::collections::BTreeMap<String, u32> {
    let all = JobStatus::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    all.map(|(status, count)| (status.as_str().to_owned(), *count)).collect()
}

/// vCPUs from thousandths.
#[expect(clippy::cast_precision_loss, reason = "exact below nine million million vCPUs")]
pub(super) fn vcpus(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

pub(super) fn share(given: ShareUse) -> wire::Share {
    let ShareUse { identifier, milli_vcpus, weight } = given;
    wire::Share {
        share_identifier: identifier.into(),
        used_vcpus: vcpus(milli_vcpus),
        weight_factor: f64::from(weight) / 10_000.0,
    }
}

fn dependency(given: Awaited) -> wire::Dependency {
    let Awaited { id, name, status, condition, children } = given;
    let condition = match condition {
        Condition::Succeeds => "SUCCEEDS",
        Condition::Ends => "ENDS",
        Condition::ChildByChild => "CHILD_BY_CHILD",
    };
    wire::Dependency {
        job_id: id.to_string(),
        job_name: name.into(),
        status: status.as_str().to_owned(),
        condition: condition.to_owned(),
        children_ended: children.map(|(ended, _)| ended),
        children: children.map(|(_, size)| size),
    }
}

fn waits(given: Runnable) -> wire::Waits {
    let Runnable { waits, first_waits, environments, position, starts_by } = given;
    let mut wire = wire::Waits {
        first_waits: first_waits.map(String::from),
        compute_environments: environments.iter().map(verdict).collect(),
        starts_by: starts_by.map(Timestamp::as_millis),
        ..Default::default()
    };
    if let Some(Position { ahead, milli_vcpus_ahead, is_exact }) = position {
        wire.jobs_ahead = Some(ahead);
        wire.vcpus_ahead = Some(vcpus(milli_vcpus_ahead));
        wire.more_ahead = !is_exact;
    }
    let on = match waits {
        core::Waits::Pass => "SCHEDULING_PASS",
        core::Waits::Turn { own, first } => {
            wire.shares = [own, first].map(share).into();
            "SHARE_TURN"
        }
        core::Waits::Capacity => "CAPACITY",
        core::Waits::AllNodes(_) => "ALL_NODES",
        core::Waits::Never(reason) => {
            let kinds = ["MISCONFIGURATION", "ACTION_REQUIRED"];
            kinds.into_iter().find(|kind| reason.starts_with(kind)).unwrap_or("CAPACITY")
        }
        core::Waits::Consumable { arn, needed, left, held } => {
            wire.consumable_resource = Some(wire::Consumable { arn: arn.into(), needed, left, held });
            "CONSUMABLE_RESOURCE"
        }
        core::Waits::Ahead { job, name, because } => {
            let (because, starts_at) = match because {
                HeldBack::StrictOrder => ("STRICT_ORDER", None),
                HeldBack::ReservedStart(at) => ("RESERVED_START", Some(at.as_millis())),
            };
            let (job_id, job_name, because) = (job.to_string(), name.into(), because.to_owned());
            wire.ahead = Some(wire::Ahead { job_id, job_name, because, starts_at });
            "JOB_AHEAD"
        }
        core::Waits::Nodes => "MAIN_NODE",
    };
    wire.on = on.to_owned();
    wire
}

fn verdict((arn, verdict): &(Arn, core::Verdict)) -> wire::Verdict {
    let name = match verdict {
        core::Verdict::Room => "ROOM",
        core::Verdict::Disabled => "DISABLED",
        core::Verdict::NotValid(..) => "NOT_VALID",
        core::Verdict::WrongPlatform => "WRONG_PLATFORM",
        core::Verdict::WrongArchitecture => "WRONG_ARCHITECTURE",
        core::Verdict::AboveCeiling(_) => "ABOVE_MAX_VCPUS",
        core::Verdict::AtCeiling { .. } => "AT_MAX_VCPUS",
        core::Verdict::NoInstance => "NO_INSTANCE",
        core::Verdict::NoRoom { .. } => "NO_ROOM",
        core::Verdict::TooLarge { .. } => "TOO_LARGE",
        core::Verdict::Launching(..) => "LAUNCHING",
        core::Verdict::LaunchFailed(_) => "LAUNCH_FAILED",
    };
    wire::Verdict {
        compute_environment: name_of(arn).to_owned(),
        verdict: name.to_owned(),
        text: core::verdict(verdict),
    }
}

fn running(given: core::Running) -> wire::Running {
    let core::Running { environment, instance_id, attempt, attempts_max, started_at, timeout_at, stopping } =
        given;
    wire::Running {
        compute_environment: environment.map(|arn| name_of(&arn).to_owned()),
        instance_id: instance_id.map(String::from),
        attempt,
        attempts_max,
        started_at: started_at.map(Timestamp::as_millis),
        timeout_at: timeout_at.map(Timestamp::as_millis),
        stopping: stopping.as_ref().map(self::stopping),
    }
}

fn stopping(cause: &StopCause) -> String {
    match cause {
        StopCause::Terminated(_) => "TERMINATED",
        StopCause::TimedOut => "TIMED_OUT",
        StopCause::MainNodeEnded => "MAIN_NODE_ENDED",
    }
    .to_owned()
}

fn limit(given: LimitUse) -> wire::Limit {
    let LimitUse { of, unit, used, max, needed } = given;
    wire::Limit { arn: of.into(), capacity_unit: unit.into(), used, max, needed }
}

fn attempt(given: Past) -> wire::Attempt {
    let Past { number, attempt, decision } = given;
    let Attempt { compute_environment, instance_id, started_at, stopped_at, status_reason, outcome, .. } =
        attempt;
    let (decision, rule) = match decision {
        None => (None, None),
        Some(Decision::Succeeded) => (Some("SUCCEEDED"), None),
        Some(Decision::Retried(rule)) => (Some("RETRIED"), rule),
        Some(Decision::UsedUp(_)) => (Some("ATTEMPTS_USED_UP"), None),
        Some(Decision::Exit(rule)) => (Some("RULE_SAYS_EXIT"), Some(rule)),
        Some(Decision::Terminated) => (Some("TERMINATED"), None),
        Some(Decision::Cancelled) => (Some("CANCELLED"), None),
        Some(Decision::TimedOut) => (Some("TIMED_OUT"), None),
    };
    wire::Attempt {
        attempt: number,
        started_at: started_at.map(Timestamp::as_millis),
        stopped_at: stopped_at.as_millis(),
        compute_environment: Some(name_of(&compute_environment).to_owned()),
        instance_id: Some(instance_id.into()),
        exit_code: outcome.exit_code,
        reason: outcome.reason.map(String::from),
        status_reason: status_reason.into(),
        decision: decision.map(str::to_owned),
        rule: rule.map(|index| index + 1),
    }
}

fn service_attempt(number: u32, given: ServiceAttempt) -> wire::Attempt {
    let ServiceAttempt { task_id: _, started_at, stopped_at, status_reason } = given;
    wire::Attempt {
        attempt: number,
        started_at: started_at.map(Timestamp::as_millis),
        stopped_at: stopped_at.as_millis(),
        status_reason: status_reason.into(),
        ..Default::default()
    }
}

fn cause(given: core::Cause) -> wire::Cause {
    let core::Cause { id, name, status_reason, exit_code, reason } = given;
    let text = |text: Option<Text>| text.map(String::from);
    wire::Cause {
        job_id: id.to_string(),
        job_name: name.into(),
        status_reason: text(status_reason),
        exit_code,
        reason: text(reason),
    }
}
