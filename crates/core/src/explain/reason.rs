//! One short sentence for a job that waits. Cheap enough for a page of jobs with a million queued: nothing is counted.

use crate::explain::{dependencies, words};
use crate::id::{JobId, Member};
use crate::job::array::StatusCounts;
use crate::job::{Job, JobStatus};
use crate::state::State;
use crate::text::Text;

impl State {
    /// Why a job, child or node that has not started is not further. A reason that is on record, such as
    /// `MISCONFIGURATION:…`, wins; `None` for what has started or ended, and for what does not exist.
    ///
    /// Costs O(its dependencies), and of a RUNNABLE job O(active shares + environments · instances).
    pub fn waiting_reason(&self, id: JobId) -> Option<Text> {
        let (job, execution) = self.find(id)?;
        match execution.status {
            JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable => {}
            JobStatus::Starting | JobStatus::Running | JobStatus::Succeeded | JobStatus::Failed => {
                return None;
            }
        }
        // What keeps a parent from starting is on record with the parent only.
        let recorded = execution.status_reason.clone().or_else(|| {
            let is_member = id.member != Member::Whole && execution.status == JobStatus::Runnable;
            job.execution.status_reason.clone().filter(|_| is_member)
        });
        recorded.or_else(|| match execution.status == JobStatus::Runnable {
            true => Some(words::waits(self, id, &self.waits(id))),
            false => Some(self.pending_reason(id, &job)),
        })
    }

    fn pending_reason(&self, id: JobId, job: &Job) -> Text {
        let unmet = dependencies::unmet(self, job, id.member);
        let children = self.status_summary(id.job).filter(|_| id.member == Member::Whole);
        match (&unmet[..], children) {
            // Children that may go say more than dependencies that hold back the others.
            (_, Some(counts)) if unmet.is_empty() || has_moved(&counts) => self.children_reason(id, &counts),
            ([], _) => "Waiting for its dependencies to be examined".into(),
            ([one], _) => words::awaited(one),
            (several, _) => {
                let of = job.depends_on.len();
                format!(
                    "Waiting for {} of {of} dependencies, first {}",
                    several.len(),
                    words::job(&several[0])
                )
                .into()
            }
        }
    }

    fn children_reason(&self, id: JobId, counts: &StatusCounts) -> Text {
        let of = |status: JobStatus| counts[status as usize];
        let running = of(JobStatus::Starting) + of(JobStatus::Running);
        if running == 0
            && let Some(next) = self.next_child(id)
            && let Some(reason) = self.waiting_reason(next)
        {
            return reason;
        }
        let ended = of(JobStatus::Succeeded) + of(JobStatus::Failed);
        let size: u32 = counts.iter().sum();
        format!("Waiting for its children: {ended} of {size} ended, {running} running").into()
    }
}

/// Whether some child has got beyond its dependencies.
fn has_moved(counts: &StatusCounts) -> bool {
    counts[JobStatus::Runnable as usize..].iter().any(|&n| n > 0)
}
