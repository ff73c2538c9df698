//! What is to be run: jobs, when they are submitted, and how their attempts behave.
//!
//! A million jobs are a few templates: a job is a number, and everything that it shares with others is in its template.

use fornada_core::job::submit::Submission;
use fornada_core::time::Timestamp;

use crate::random::{Distribution, Draw};

/// Jobs that are alike.
#[derive(Clone, Debug)]
pub struct Template {
    /// What is submitted; its `depends_on` is empty, since ids are not known before.
    pub submission: Submission,
    /// What each of them waits for.
    pub after: Vec<After>,
    /// How their attempts behave.
    pub behaviour: Behaviour,
    /// When each is submitted; no earlier than what it waits for.
    pub arrivals: Vec<Timestamp>,
}

/// A dependency on jobs of an earlier template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Index of the template.
    pub template: usize,
    /// Which of its jobs, and how.
    pub kind: AfterKind,
}

/// How a job waits for jobs of another template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterKind {
    /// All of them must succeed; where both templates have as many jobs, the i-th waits for the i-th.
    Success,
    /// The same, but they may also fail.
    End,
    /// Child i waits for child i.
    NToN,
    /// Child i of the job waits for its own child i − 1; the template does not matter.
    Sequential,
}

/// How an attempt behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Seconds that the work takes on a machine of ordinary speed.
    pub run_time: Distribution,
    /// Milliseconds that the children of an array really took, by index; `None` where that is not known.
    pub recorded: Vec<Option<u64>>,
    /// Probability that an attempt ends before its time with [`Behaviour::exit_code`].
    pub failure_probability: f64,
    /// Exit code of attempts that fail; with no failure probability, of all.
    pub exit_code: i32,
    /// MiB that it really needs: an attempt that asked for less is killed.
    pub memory_used: Option<Distribution>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            run_time: Distribution::Fixed(60.0),
            recorded: Vec::new(),
            failure_probability: 0.0,
            exit_code: 0,
            memory_used: None,
        }
    }
}

/// How long an attempt runs, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Milliseconds on a machine of ordinary speed.
    pub millis: u64,
    /// Of its process.
    pub exit_code: i32,
    /// It was killed for its memory.
    pub out_of_memory: bool,
}

impl Behaviour {
    /// The course of one attempt. What the work takes is drawn for the job; whether it fails, for the attempt.
    pub fn course(&self, seed: u64, unit: u64, index: u32, attempt: u32, memory_mib: u64) -> Course {
        let mut work = Draw::new(seed, &[1, unit]);
        let drawn = self.run_time.sample_millis(&mut work);
        let recorded = self.recorded.get(index as usize).copied().flatten();
        let millis = recorded.unwrap_or(drawn);
        let needed = self.memory_used.map(|used| used.sample(&mut work));
        let mut luck = Draw::new(seed, &[2, unit, u64::from(attempt)]);
        let part = luck.unit();
        #[expect(
            clippy::cast_precision_loss,
            reason = "no machine has 2^52 MiB, and no run takes so many milliseconds"
        )]
        let (asked, cut) = (memory_mib as f64, crate::random::millis(millis as f64 * part / 1000.0));
        if needed.is_some_and(|needed| needed > asked) {
            return Course { millis: cut, exit_code: 137, out_of_memory: true };
        }
        match self.failure_probability {
            0.0 => Course { millis, exit_code: self.exit_code, out_of_memory: false },
            probability if luck.chance(probability) => {
                let exit_code = if self.exit_code == 0 { 1 } else { self.exit_code };
                Course { millis: cut, exit_code, out_of_memory: false }
            }
            _ => Course { millis, exit_code: 0, out_of_memory: false },
        }
    }
}

/// Where the jobs of a template are among all, and where their children are among all units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Number of its first job.
    pub(crate) first_job: usize,
    /// Number of its first unit.
    pub(crate) first_unit: usize,
    /// Units of each of its jobs: the children of an array, else 1.
    pub(crate) size: usize,
}

/// All that is to be run. A *job* is what is submitted; a *unit* is a child of an array, or a job that is none.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    templates: Vec<Template>,
    spans: Vec<Span>,
    jobs: usize,
    units: usize,
}

impl Workload {
    /// Adds jobs; those that they wait for have been added before.
    pub fn add(&mut self, template: Template) {
        let size = template.submission.array_size.map_or(1, |size| size as usize);
        self.spans.push(Span { first_job: self.jobs, first_unit: self.units, size });
        self.jobs += template.arrivals.len();
        self.units += template.arrivals.len() * size;
        self.templates.push(template);
    }

    /// In the order in which they were added.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// How many jobs are submitted.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// How many jobs and children run.
    pub fn units(&self) -> usize {
        self.units
    }

    pub(crate) fn span(&self, template: usize) -> Span {
        self.spans[template]
    }

    /// The template of a job, and the job's place in it.
    pub(crate) fn template_of(&self, job: usize) -> (usize, usize) {
        let template = self.spans.partition_point(|span| span.first_job <= job) - 1;
        (template, job - self.spans[template].first_job)
    }

    /// The jobs of an [`After`] that job `nth` of template `of` waits for.
    pub(crate) fn targets(&self, of: usize, nth: usize, after: After) -> std::ops::Range<usize> {
        let count = self.templates[after.template].arrivals.len();
        let first = self.spans[after.template].first_job;
        let is_paired = count == self.templates[of].arrivals.len();
        if is_paired { first + nth..first + nth + 1 } else { first..first + count }
    }
}
