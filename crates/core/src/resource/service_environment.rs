//! Service environments: create, update, delete.
//!
//! Source: AWS Batch API reference, CreateServiceEnvironment, UpdateServiceEnvironment, DeleteServiceEnvironment.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::{Refusal, Undeletable};
use crate::resource::Status;
use crate::resource::tags::Tags;
use crate::service_job::capacity::{CapacityLimit, by_type};
use crate::service_job::refusal::ServiceRefusal;
use crate::state::State;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Capacity for service jobs; its type is always SAGEMAKER_TRAINING.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ServiceEnvironment {
    /// Its name is the part after the last `/`.
    #[n(0)]
    pub arn: Arn,
    /// The caller's switch: takes no new jobs when false.
    #[n(1)]
    pub enabled: bool,
    /// Health.
    #[n(2)]
    pub status: Status,
    /// How much there is, in the order given.
    #[n(3)]
    pub limits: Vec<CapacityLimit>,
    /// Tags of the resource.
    #[n(4)]
    pub tags: Tags,
    /// When it was created.
    #[n(5)]
    pub created_at: Timestamp,
}

impl ServiceEnvironment {
    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }
}

impl State {
    /// All service environments, by ARN.
    pub fn service_environments(&self) -> &std::collections::BTreeMap<Arn, Arc<ServiceEnvironment>> {
        &self.service_environments
    }
}

impl Turn<'_> {
    /// Creates an environment, in status CREATING.
    ///
    /// # Errors
    /// [`Refusal::AlreadyExists`].
    pub fn create_service_environment(
        &mut self,
        arn: Arn,
        enabled: bool,
        limits: Vec<CapacityLimit>,
        tags: Tags,
    ) -> Result<(), Refusal> {
        if self.state.service_environments.contains_key(&arn) {
            return Err(Refusal::AlreadyExists { arn });
        }
        let (status, created_at) = (Status::Creating, self.now);
        self.put_service_environment(ServiceEnvironment { arn, enabled, status, limits, tags, created_at });
        Ok(())
    }

    /// Changes what is given. Jobs that run beyond a lowered limit go on.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::BeingModified`].
    pub fn update_service_environment(
        &mut self,
        arn: &Arn,
        enabled: Option<bool>,
        limits: Option<Vec<CapacityLimit>>,
    ) -> Result<(), Refusal> {
        let environment = self.existing_service_environment(arn)?;
        if !environment.status.is_settled() {
            return Err(Refusal::BeingModified { arn: arn.clone() });
        }
        self.put_service_environment(ServiceEnvironment {
            enabled: enabled.unwrap_or(environment.enabled),
            limits: limits.unwrap_or(environment.limits),
            status: Status::Updating,
            ..environment
        });
        Ok(())
    }

    /// Deletes a DISABLED environment that no queue uses.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::CannotDelete`].
    pub fn delete_service_environment(&mut self, arn: &Arn) -> Result<(), Refusal> {
        let environment = self.existing_service_environment(arn)?;
        if !environment.status.is_settled() {
            return Err(Refusal::CannotDelete(Undeletable::BeingModified));
        }
        if environment.enabled {
            return Err(Refusal::CannotDelete(Undeletable::NotDisabled));
        }
        if self.state.job_queues.values().any(|queue| queue.service_environment.as_ref() == Some(arn)) {
            return Err(Refusal::CannotDelete(Undeletable::InUse));
        }
        self.put_service_environment(ServiceEnvironment { status: Status::Deleting, ..environment });
        Ok(())
    }

    pub(crate) fn settle_service_environment(&mut self, arn: &Arn) {
        let Some(environment) = self.state.service_environments.get(arn) else { return };
        match environment.status {
            Status::Creating | Status::Updating => {
                let environment = ServiceEnvironment { status: Status::Valid, ..(**environment).clone() };
                self.put_service_environment(environment);
            }
            // Attempts that still run there keep it until they end; their end settles it again.
            Status::Deleting if !self.state.service_jobs.in_use.contains_key(arn) => {
                self.state.service_environments.remove(arn);
                self.touch(Key::ServiceEnvironment(arn.clone()));
            }
            Status::Deleting | Status::Valid | Status::Invalid => {}
        }
    }

    /// Whether `queue` may draw on this environment.
    pub(crate) fn check_service_environment(&self, arn: &Arn, queue: &Arn) -> Result<(), Refusal> {
        let found = self.state.service_environments.get(arn).filter(|e| e.status == Status::Valid);
        let environment = found.ok_or(ServiceRefusal::EnvironmentNotValid)?;
        let others = self.state.job_queues.values().filter(|other| other.arn != *queue);
        let is_taken = others.into_iter().any(|other| other.service_environment.as_ref() == Some(arn));
        if is_taken && by_type(&environment.limits) {
            return Err(ServiceRefusal::EnvironmentTaken { environment: arn.clone() }.into());
        }
        Ok(())
    }

    fn existing_service_environment(&self, arn: &Arn) -> Result<ServiceEnvironment, Refusal> {
        let found = self.state.service_environments.get(arn).map(|environment| (**environment).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_service_environment(&mut self, environment: ServiceEnvironment) {
        let arn = environment.arn.clone();
        if !environment.status.is_settled() {
            self.settle_soon(&arn);
        }
        self.touch(Key::ServiceEnvironment(arn.clone()));
        self.state.service_environments.insert(arn, Arc::new(environment));
        self.state.capacity_changed = true;
        self.state.schedule_due = true;
    }
}
