//! Why a service job is where it is: its environment, its share, and their limits.

use std::sync::Arc;

use crate::arn::Arn;
use crate::explain::words::short;
use crate::explain::{Detail, Explanation, LimitUse};
use crate::id::JobId;
use crate::resource::Status;
use crate::resource::service_environment::ServiceEnvironment;
use crate::service_job::capacity::{CapacityLimit, Instances};
use crate::service_job::{ServiceJob, ServiceJobStatus};
use crate::state::State;
use crate::text::Text;

pub(super) fn explain(state: &State, job: &ServiceJob) -> Explanation {
    let since = match job.status {
        ServiceJobStatus::Submitted | ServiceJobStatus::Pending => Some(job.created_at),
        ServiceJobStatus::Runnable => {
            Some(job.attempts.last().map_or(job.created_at, |last| last.stopped_at))
        }
        ServiceJobStatus::Scheduled => job.scheduled_at,
        ServiceJobStatus::Starting => None,
        ServiceJobStatus::Running => job.started_at,
        ServiceJobStatus::Succeeded | ServiceJobStatus::Failed => job.stopped_at,
    };
    let environment = environment(state, job);
    Explanation {
        id: JobId::whole(job.id),
        name: job.name.clone(),
        queue: job.queue.clone(),
        status: job.status.as_str(),
        since,
        summary: summary(state, job),
        members: None,
        attempts: Vec::new(),
        detail: Detail::Service {
            environment: environment.map(|environment| environment.arn.clone()),
            limits: limits(state, job),
            attempts: job.attempts.clone(),
        },
    }
}

fn summary(state: &State, job: &ServiceJob) -> Text {
    let attempt = job.attempts.len() + 1;
    match job.status {
        ServiceJobStatus::Submitted | ServiceJobStatus::Pending => "Waiting to be examined".into(),
        ServiceJobStatus::Runnable => state.waiting_service_reason(job),
        ServiceJobStatus::Scheduled | ServiceJobStatus::Starting => {
            format!("Starting its training job, attempt {attempt}").into()
        }
        ServiceJobStatus::Running => format!("Running its training job, attempt {attempt}").into(),
        ServiceJobStatus::Succeeded => "Succeeded".into(),
        ServiceJobStatus::Failed => {
            let reason = job.status_reason.clone().unwrap_or_default();
            let began = if job.is_terminated { "Terminated" } else { "Failed" };
            format!("{began}: {reason}").into()
        }
    }
}

fn environment<'a>(state: &'a State, job: &ServiceJob) -> Option<&'a Arc<ServiceEnvironment>> {
    let queue = state.job_queues.get(&job.queue)?;
    state.service_environments.get(queue.service_environment.as_ref()?)
}

impl State {
    /// Why a RUNNABLE service job waits, in one short sentence; a reason that is on record wins.
    pub fn waiting_service_reason(&self, job: &ServiceJob) -> Text {
        job.status_reason.clone().unwrap_or_else(|| self.why_service_job_waits(job))
    }

    fn why_service_job_waits(&self, job: &ServiceJob) -> Text {
        let Some(environment) = environment(self, job) else {
            return "The job queue has no service environment".into();
        };
        if let Some(closed) =
            closed("Service environment", environment.name(), environment.enabled, environment.status)
        {
            return closed;
        }
        if let Some(before) = self.ahead_in_service_queue(job) {
            return before;
        }
        let need = &job.training.instances;
        let share = job.quota_share_arn().and_then(|arn| self.quota_shares.get(&arn));
        if let Some(share) = share {
            if let Some(closed) = closed("Quota share", share.name(), share.enabled, share.status) {
                return closed;
            }
            if !self.quota_share_has_room(job) {
                let held = self.service_jobs.in_lane(&job.queue, share.name());
                return short_of(&format!("quota share \"{}\"", share.name()), &share.limits, &held, need);
            }
        }
        let used = self.service_jobs.in_use.get(&environment.arn).cloned().unwrap_or_default();
        if !used.leave_room(&environment.limits, need) {
            let name = format!("service environment \"{}\"", environment.name());
            return short_of(&name, &environment.limits, &used, need);
        }
        match self.instances.values().any(|instance| instance.connected) {
            true => "Waiting for the next scheduling pass".into(),
            false => "Waiting for an instance: none is connected".into(),
        }
    }

    /// Who goes before a service job: one of its share, or another share.
    fn ahead_in_service_queue(&self, job: &ServiceJob) -> Option<Text> {
        let backlog = self.service_jobs.backlogs.get(&job.queue)?;
        let lane = job.lane();
        let (_, &first) = backlog.lanes.get(&lane)?.first_key_value()?;
        if first != job.id {
            let name = &self.service_jobs.records.get(&first)?.name;
            return Some(format!("Waiting behind job \"{name}\" ({})", short(JobId::whole(first))).into());
        }
        if job.quota_share.is_some() {
            return None; // quota shares have capacity of their own
        }
        let next = self.service_jobs.records.get(&backlog.head(&self.lane_weights(&job.queue))?)?.lane();
        (next != lane).then(|| format!("Waiting for the turn of share \"{next}\"").into())
    }
}

/// Why nothing can start there.
fn closed(what: &str, name: &str, enabled: bool, status: Status) -> Option<Text> {
    match (enabled, status) {
        (false, _) => Some(format!("{what} \"{name}\" is DISABLED").into()),
        (true, Status::Valid) => None,
        (true, status) => Some(format!("{what} \"{name}\" is {}", status.as_str()).into()),
    }
}

fn short_of(name: &str, limits: &[CapacityLimit], used: &Instances, need: &Instances) -> Text {
    let short = limits
        .iter()
        .find(|limit| used.in_unit(&limit.unit) + need.in_unit(&limit.unit) > u64::from(limit.max));
    match short {
        Some(CapacityLimit { unit, max }) => {
            let (needed, used) = (need.in_unit(unit), used.in_unit(unit));
            format!("Waiting for capacity: needs {needed} {unit}, {name} uses {used} of {max}")
        }
        None => format!("Waiting for capacity of {name}"),
    }
    .into()
}

/// The limits that a service job is under.
fn limits(state: &State, job: &ServiceJob) -> Vec<LimitUse> {
    let need = &job.training.instances;
    let each = |of: &Arn, limits: &[CapacityLimit], used: &Instances| -> Vec<LimitUse> {
        let limit = |CapacityLimit { unit, max }: &CapacityLimit| LimitUse {
            of: of.clone(),
            unit: unit.clone(),
            used: used.in_unit(unit),
            max: u64::from(*max),
            needed: need.in_unit(unit),
        };
        limits.iter().map(limit).collect()
    };
    let environment = environment(state, job).map(|environment| {
        let used = state.service_jobs.in_use.get(&environment.arn).cloned().unwrap_or_default();
        each(&environment.arn, &environment.limits, &used)
    });
    let share = job.quota_share_arn().and_then(|arn| state.quota_shares.get(&arn)).map(|share| {
        let held = state.service_jobs.in_lane(&job.queue, share.name());
        each(&share.arn, &share.limits, &held)
    });
    environment.into_iter().chain(share).flatten().collect()
}
