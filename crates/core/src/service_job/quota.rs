//! Which RUNNABLE jobs of a queue with quota shares start now, and for which ones others are stopped.
//!
//! Shares have capacity of their own, so the first job that does not fit holds back only those of its share. Jobs that
//! need no more than what their share has of its own go before those that borrow: the share that holds the fewest instances
//! first, equal ones by age. Idle capacity goes to those that borrow by order of submission.
//!
//! A pass keeps two accounts: what is held now, and what will be held once everything that is being stopped has ended. A
//! job starts when it fits into both. One that fits into the second only is entered there and waits: nobody takes what is
//! on its way to it, and nobody else is stopped for it. Those behind it in its share may be entered too, but do not start
//! before it. A pass costs O(running jobs + RUNNABLE jobs that are placed or entered · shares).
//!
//! Source: AWS Batch User Guide, quota management; API reference, QuotaSharePolicy.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::arn::Arn;
use crate::service_job::ServiceJob;
use crate::service_job::fit::{self, Fit};
use crate::service_job::holdings::Holdings;
use crate::service_job::index::Rank;
use crate::state::State;
use crate::text::Text;
use crate::turn::Turn;

/// Lanes that are still looked at, each with the job that those behind it must not overtake.
type Lanes = BTreeMap<Text, Option<Rank>>;

impl Turn<'_> {
    /// Places what can be placed, and stops what must give way.
    pub(super) fn schedule_quota_shares(&mut self, queue: &Arn) {
        let open = fit::open(self.state, queue);
        let mut now = Holdings::now(self.state, queue);
        let mut soon = Holdings::soon(self.state, queue);
        let backlog = self.state.service_jobs.backlogs.get(queue);
        let lanes = backlog.into_iter().flat_map(|backlog| backlog.lanes.keys());
        let mut lanes: Lanes = lanes.map(|lane| (lane.clone(), None)).collect();
        while let Some(job) = next(self.state, queue, &lanes, &soon) {
            let lane = job.lane();
            if let Some(reason) = fit::never(self.state, &job) {
                self.set_service_job_aside(&job, reason);
                continue;
            }
            let is_head = lanes[&lane].is_none();
            let fits = is_head && now.have_room(self.state, &job) && soon.have_room(self.state, &job);
            match &open {
                Fit::Now(place) if fits => {
                    self.put_service_job(job.id, place.clone());
                    now.add(&job);
                    soon.add(&job);
                    continue;
                }
                Fit::NoMachine if fits => self.diagnose(&job, Some(fit::NO_CAPACITY)),
                Fit::Now(_) | Fit::NoMachine | Fit::Later | Fit::Never(_) => self.diagnose(&job, None),
            }
            let may_start = matches!(open, Fit::Now(_)); // or nobody has to go for it
            if soon.have_room(self.state, &job) {
                soon.add(&job);
                lanes.insert(lane, Some(job.rank()));
            } else if !may_start || !self.make_room(&job, &mut soon) {
                lanes.remove(&lane);
            } // or else it is looked at again, and has room
        }
    }
}

/// The job that goes next: those that can never fit, to be out of the way, then those for which others were stopped, then
/// those that need not borrow, then the rest.
fn next(state: &State, queue: &Arn, lanes: &Lanes, soon: &Holdings) -> Option<Arc<ServiceJob>> {
    let backlog = state.service_jobs.backlogs.get(queue)?;
    let jobs = lanes.iter().filter_map(|(lane, behind)| {
        let jobs = backlog.lanes.get(lane)?;
        let (_, job) = match behind {
            None => jobs.first_key_value()?,
            Some(rank) => jobs.range((Excluded(rank), Unbounded)).next()?,
        };
        Some(&state.service_jobs.records[job])
    });
    let order = |job: &&Arc<ServiceJob>| {
        let borrows = !soon.leave_own(state, job);
        let held = if borrows { 0 } else { soon.held(&job.lane()) };
        let may_fit = fit::never(state, job).is_none();
        (may_fit, job.preempts_since.is_none(), borrows, held, job.sequence)
    };
    jobs.min_by_key(order).cloned()
}
