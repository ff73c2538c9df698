//! Compute environments: create, update, delete.
//!
//! Source: AWS Batch API reference, CreateComputeEnvironment, UpdateComputeEnvironment, DeleteComputeEnvironment.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::{Refusal, Undeletable};
use crate::resource::Status;
use crate::resource::tags::Tags;
use crate::scale::Scaling;
use crate::text::{Document, Text};
use crate::time::Timestamp;
use crate::turn::Turn;

/// `statusReason` while nothing is wrong.
pub const HEALTHY: &str = "ComputeEnvironment Healthy";

/// Where jobs can be placed.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ComputeEnvironment {
    /// Its name is the part after the last `/`.
    #[n(0)]
    pub arn: Arn,
    /// `uuid`.
    #[n(1)]
    pub uuid: Text,
    /// Which platform it is.
    #[n(2)]
    pub platform: Platform,
    /// The caller's switch: takes no new jobs when false.
    #[n(3)]
    pub enabled: bool,
    /// Health.
    #[n(4)]
    pub status: Status,
    /// `statusReason`.
    #[n(5)]
    pub status_reason: Text,
    /// Ceiling in vCPUs; `None` for UNMANAGED ones, whose owner decides what there is.
    #[n(6)]
    pub max_vcpus: Option<u32>,
    /// Tags of the resource.
    #[n(7)]
    pub tags: Tags,
    /// Everything else that was asked for, as JSON for the echo.
    #[n(8)]
    pub document: Document,
    /// Counts changes, so that one prepared on an older version is refused.
    #[n(9)]
    pub version: u64,
    /// When it was created.
    #[n(10)]
    pub created_at: Timestamp,
    /// Present when it is managed and made of EC2 instances.
    #[n(11)]
    pub scaling: Option<Box<Scaling>>,
}

impl ComputeEnvironment {
    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }

    /// Name of the ECS cluster that stands for it in ARNs.
    pub fn cluster(&self) -> Text {
        format!("AWSBatch-{}-{}", self.name(), self.uuid).into()
    }
}

/// What kinds of jobs an environment can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Platform {
    /// EC2 and SPOT.
    #[n(0)]
    Ec2,
    /// FARGATE and FARGATE_SPOT.
    #[n(1)]
    Fargate,
    /// Type UNMANAGED.
    #[n(2)]
    Unmanaged,
    /// EC2 under Kubernetes.
    #[n(3)]
    Eks,
    /// ECS_MANAGED_INSTANCES.
    #[n(4)]
    ManagedInstances,
}

/// What a caller may say of an environment, already checked in itself.
#[derive(Clone, Debug)]
pub struct Specification {
    /// Full ARN.
    pub arn: Arn,
    /// Platform.
    pub platform: Platform,
    /// State ENABLED.
    pub enabled: bool,
    /// Ceiling.
    pub max_vcpus: Option<u32>,
    /// How it scales, if it does.
    pub scaling: Option<Box<Scaling>>,
    /// The rest.
    pub document: Document,
}

impl Turn<'_> {
    /// Creates an environment, in status CREATING.
    ///
    /// # Errors
    /// [`Refusal::AlreadyExists`].
    pub fn create_compute_environment(&mut self, given: Specification, tags: Tags) -> Result<(), Refusal> {
        let Specification { arn, platform, enabled, max_vcpus, scaling, document } = given;
        if self.state.compute_environments.contains_key(&arn) {
            return Err(Refusal::AlreadyExists { arn });
        }
        let ce = ComputeEnvironment {
            arn: arn.clone(),
            uuid: self.fresh.uuid().as_hyphenated().to_string().into(),
            platform,
            enabled,
            status: Status::Creating,
            status_reason: HEALTHY.into(),
            max_vcpus,
            tags,
            document,
            version: 0,
            created_at: self.now,
            scaling,
        };
        self.put_compute_environment(ce);
        self.settle_soon(&arn);
        Ok(())
    }

    /// Replaces what a caller may change; `version` is the one that the change was prepared on.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::BeingModified`].
    pub fn update_compute_environment(&mut self, given: Specification, version: u64) -> Result<(), Refusal> {
        let Specification { arn, platform, enabled, max_vcpus, scaling, document } = given;
        let ce = self.existing_compute_environment(&arn)?;
        if !ce.status.is_settled() || ce.version != version {
            return Err(Refusal::BeingModified { arn });
        }
        let (status, version) = (Status::Updating, version + 1);
        self.put_compute_environment(ComputeEnvironment {
            platform,
            enabled,
            max_vcpus,
            scaling,
            document,
            status,
            version,
            ..ce
        });
        self.settle_soon(&arn);
        Ok(())
    }

    /// Deletes a DISABLED environment that no queue uses.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::CannotDelete`].
    pub fn delete_compute_environment(&mut self, arn: &Arn) -> Result<(), Refusal> {
        let ce = self.existing_compute_environment(arn)?;
        if !ce.status.is_settled() {
            return Err(Refusal::CannotDelete(Undeletable::BeingModified));
        }
        if ce.enabled {
            return Err(Refusal::CannotDelete(Undeletable::NotDisabled));
        }
        if self.state.job_queues.values().any(|queue| queue.environments.contains(arn)) {
            return Err(Refusal::CannotDelete(Undeletable::InUse));
        }
        self.put_compute_environment(ComputeEnvironment {
            status: Status::Deleting,
            version: ce.version + 1,
            ..ce
        });
        self.settle_soon(arn);
        Ok(())
    }

    pub(crate) fn settle_compute_environment(&mut self, arn: &Arn) {
        let Some(ce) = self.state.compute_environments.get(arn) else { return };
        match ce.status {
            Status::Updating | Status::Deleting if self.state.is_being_replaced(ce) => {}
            Status::Creating | Status::Updating => {
                let desired = ce.scaling.as_ref().map_or(0, |scaling| scaling.desired_vcpus.into());
                self.put_compute_environment(ComputeEnvironment { status: Status::Valid, ..(**ce).clone() });
                if let Some(fleet) = self.state.fleets.get_mut(arn) {
                    fleet.desired_vcpus = desired;
                }
            }
            // Attempts that still run there keep it until they end; their end settles it again.
            Status::Deleting if self.state.in_use.get(arn).is_none_or(|used| used.milli_vcpus == 0) => {
                self.state.compute_environments.remove(arn);
                self.state.in_use.remove(arn);
                self.state.fleets.remove(arn);
                self.touch(Key::ComputeEnvironment(arn.clone()));
            }
            Status::Deleting | Status::Valid | Status::Invalid => {}
        }
    }

    fn existing_compute_environment(&self, arn: &Arn) -> Result<ComputeEnvironment, Refusal> {
        let found = self.state.compute_environments.get(arn).map(|ce| (**ce).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_compute_environment(&mut self, ce: ComputeEnvironment) {
        self.touch(Key::ComputeEnvironment(ce.arn.clone()));
        let arn = ce.arn.clone();
        self.state.compute_environments.insert(arn.clone(), Arc::new(ce));
        self.state.refresh_fleet(&arn);
        self.state.demand_due = true;
        self.state.capacity_changed = true;
        self.state.schedule_due = true;
    }
}
