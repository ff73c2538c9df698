//! Service environments, quota shares and service jobs for the world of [`super::World`].

use fornada_core::arn::{Arn, name_of};
use fornada_core::id::{JobId, Uuid};
use fornada_core::refusal::Refusal;
use fornada_core::resource::Status;
use fornada_core::resource::quota_share::{QuotaShare, QuotaShareUpdate, Sharing};
use fornada_core::resource::scheduling_policy::Specification;
use fornada_core::resource::tags::Tags;
use fornada_core::service_job::capacity::{CapacityLimit, Instances};
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::service_job::{ServiceJob, ServiceJobStatus, TrainingJob};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

use super::build::Queue;
use super::{World, queue, queue_arn, scope};

/// The queue of service jobs.
pub const QUEUE: &str = "training";

pub fn limits(given: &[(&str, u32)]) -> Vec<CapacityLimit> {
    given.iter().map(|&(unit, max)| CapacityLimit { unit: unit.into(), max }).collect()
}

pub fn service_environment_arn() -> Arn {
    scope().resolve("service-environment", "se")
}

pub fn share_arn(name: &str) -> Arn {
    format!("{}/quota-share/{name}", queue_arn(QUEUE)).into()
}

/// A job of `count` instances of one type.
pub fn training(instance_type: &str, count: u32) -> ServiceSubmission {
    ServiceSubmission {
        name: "fit".into(),
        queue: QUEUE.into(),
        payload: "{}".into(),
        training: TrainingJob {
            image: "host".into(),
            command: vec!["train".into()],
            instances: Instances::new([(Text::from(instance_type), count)]),
            ..TrainingJob::default()
        },
        ..ServiceSubmission::default()
    }
}

impl World {
    /// A world with a service environment of these limits and a FIFO queue on it.
    pub fn with_service(capacity: &[(&str, u32)]) -> World {
        let mut world = World::empty(4);
        world.create_service_queue(capacity, queue(QUEUE));
        world
    }

    /// The same with a queue that goes by this policy.
    pub fn with_service_policy(capacity: &[(&str, u32)], policy: Specification) -> World {
        let mut world = World::empty(4);
        let given = queue(QUEUE).policy(name_of(&policy.arn));
        world.turn(|turn| turn.create_scheduling_policy(policy, Tags::new())).expect("a new name");
        world.create_service_queue(capacity, given);
        world
    }

    fn create_service_queue(&mut self, capacity: &[(&str, u32)], mut given: Queue) {
        let arn = service_environment_arn();
        self.turn(|turn| turn.create_service_environment(arn, true, limits(capacity), Tags::new()))
            .expect("a new name");
        self.advance(1);
        given.0.service_environment = Some(service_environment_arn());
        self.create_queue(given).expect("a new name");
    }

    pub fn set_limits(&mut self, capacity: &[(&str, u32)]) {
        let (arn, limits) = (service_environment_arn(), limits(capacity));
        self.turn(|turn| turn.update_service_environment(&arn, None, Some(limits))).expect("it is there");
        self.advance(1);
    }

    pub fn create_share(&mut self, name: &str, sharing: Sharing, capacity: &[(&str, u32)]) {
        self.try_create_share(name, sharing, capacity).expect("a new name");
        self.advance(1);
    }

    /// Changes a quota share, and waits until it is VALID.
    pub fn update_share(&mut self, name: &str, update: QuotaShareUpdate) {
        self.turn(|turn| turn.update_quota_share(&share_arn(name), update)).expect("it is there");
        self.advance(1);
    }

    pub fn try_create_share(
        &mut self,
        name: &str,
        sharing: Sharing,
        capacity: &[(&str, u32)],
    ) -> Result<(), Refusal> {
        let share = QuotaShare {
            arn: share_arn(name),
            queue: queue_arn(QUEUE),
            enabled: true,
            status: Status::Creating,
            limits: limits(capacity),
            sharing,
            in_share_preemption: false,
            tags: Tags::new(),
            created_at: Timestamp::default(),
        };
        self.turn(|turn| turn.create_quota_share(share))
    }

    pub fn train(&mut self, submission: ServiceSubmission) -> Uuid {
        self.try_train(submission).expect("the submission is accepted")
    }

    pub fn try_train(&mut self, submission: ServiceSubmission) -> Result<Uuid, Refusal> {
        self.turn(|turn| turn.submit_service_job(&scope(), submission)).map(|job| job.id)
    }

    pub fn terminate_training(&mut self, id: Uuid, reason: &str) {
        self.turn(|turn| turn.terminate_service_job(id, &reason.into()));
    }

    pub fn service_job(&self, id: Uuid) -> &ServiceJob {
        self.state.service_job(id).expect("the service job exists")
    }

    pub fn service_status(&self, id: Uuid) -> ServiceJobStatus {
        self.service_job(id).status
    }

    /// The status reason; empty when there is none.
    pub fn service_reason(&self, id: Uuid) -> String {
        self.service_job(id).status_reason.clone().map(String::from).unwrap_or_default()
    }

    /// Which of these jobs hold capacity.
    pub fn placed(&self, jobs: &[Uuid]) -> Vec<bool> {
        jobs.iter().map(|&job| self.service_status(job).is_placed()).collect()
    }

    pub fn end(&mut self, id: Uuid, exit_code: i32) {
        self.exit(JobId::whole(id), exit_code);
    }
}
