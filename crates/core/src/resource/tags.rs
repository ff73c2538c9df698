//! TagResource, UntagResource, ListTagsForResource.
//!
//! Source: AWS Batch User Guide, tagging; children of array and multi-node jobs cannot be tagged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arn::{Arn, Scope};
use crate::id::{JobId, Member};
use crate::record::Key;
use crate::refusal::Refusal;
use crate::state::State;
use crate::text::Text;
use crate::turn::Turn;

/// Tags by key.
pub type Tags = BTreeMap<Text, Text>;

/// Most tags that a resource may have. Source: AWS Batch User Guide, tag restrictions.
pub const MAX_TAGS: usize = 50;

impl State {
    /// Tags of a resource of `scope`.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::NotTaggable`].
    pub fn tags(&self, scope: &Scope, arn: &str) -> Result<&Tags, Refusal> {
        Ok(match self.tagged(scope, arn)? {
            Key::ComputeEnvironment(arn) => &self.compute_environments[&arn].tags,
            Key::JobQueue(arn) => &self.job_queues[&arn].tags,
            Key::JobDefinition(arn, revision) => &self.job_definitions[&arn][&revision].tags,
            Key::Job(id) => &self.jobs[&id].tags,
            Key::SchedulingPolicy(arn) => &self.scheduling_policies[&arn].tags,
            Key::ConsumableResource(arn) => &self.consumable_resources[&arn].tags,
            Key::ServiceEnvironment(arn) => &self.service_environments[&arn].tags,
            Key::QuotaShare(arn) => &self.quota_shares[&arn].tags,
            Key::ServiceJob(id) => &self.service_jobs.records[&id].tags,
            Key::Child(..) | Key::Instance(_) | Key::Share(..) | Key::Event(_) => {
                return Err(Refusal::NotTaggable { arn: arn.into() });
            }
        })
    }

    fn tagged(&self, scope: &Scope, arn: &str) -> Result<Key, Refusal> {
        let missing = || Refusal::NoSuchResource { arn: arn.into() };
        if !scope.owns(arn) {
            return Err(missing());
        }
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        let (kind, name) = resource.split_once('/').ok_or_else(missing)?;
        let full = Arn::from(arn);
        let key = match kind {
            "compute-environment" => {
                self.compute_environments.get(&full).map(|_| Key::ComputeEnvironment(full))
            }
            "job-queue" if name.contains('/') => self.quota_shares.get(&full).map(|_| Key::QuotaShare(full)),
            "job-queue" => self.job_queues.get(&full).map(|_| Key::JobQueue(full)),
            "job-definition" => {
                self.job_definition(arn).map(|d| Key::JobDefinition(d.family_arn(), d.revision))
            }
            "scheduling-policy" => self.scheduling_policies.get(&full).map(|_| Key::SchedulingPolicy(full)),
            "consumable-resource" => {
                self.consumable_resources.get(&full).map(|_| Key::ConsumableResource(full))
            }
            "job" => {
                let id: JobId = name.parse().map_err(|_| missing())?;
                if id.member != Member::Whole {
                    return Err(Refusal::NotTaggable { arn: full });
                }
                self.jobs.get(&id.job).filter(|job| scope.owns(&job.queue)).map(|job| Key::Job(job.id))
            }
            "service-environment" => {
                self.service_environments.get(&full).map(|_| Key::ServiceEnvironment(full))
            }
            "service-job" => {
                let id: JobId = name.parse().map_err(|_| missing())?;
                let job = self.service_job(id.job).filter(|job| job.arn() == full);
                job.map(|job| Key::ServiceJob(job.id))
            }
            _ => None,
        };
        key.ok_or_else(missing)
    }
}

impl Turn<'_> {
    /// Adds tags, replacing values of keys that are there.
    ///
    /// # Errors
    /// As [`State::tags`]; [`Refusal::TooManyTags`].
    pub fn tag_resource(&mut self, scope: &Scope, arn: &str, tags: &Tags) -> Result<(), Refusal> {
        self.change_tags(scope, arn, |existing| {
            existing.extend(tags.iter().map(|(k, v)| (k.clone(), v.clone())))
        })
    }

    /// Removes tags by key; keys that are not there do not matter.
    ///
    /// # Errors
    /// As [`State::tags`].
    pub fn untag_resource(&mut self, scope: &Scope, arn: &str, keys: &[Text]) -> Result<(), Refusal> {
        self.change_tags(scope, arn, |existing| existing.retain(|key, _| !keys.contains(key)))
    }

    fn change_tags(
        &mut self,
        scope: &Scope,
        arn: &str,
        change: impl FnOnce(&mut Tags),
    ) -> Result<(), Refusal> {
        let mut tags = self.state.tags(scope, arn)?.clone();
        change(&mut tags);
        if tags.len() > MAX_TAGS {
            return Err(Refusal::TooManyTags);
        }
        let key = self.state.tagged(scope, arn)?;
        let state = &mut *self.state;
        match &key {
            Key::ComputeEnvironment(arn) => {
                state.compute_environments.entry(arn.clone()).and_modify(|ce| Arc::make_mut(ce).tags = tags);
            }
            Key::JobQueue(arn) => {
                state.job_queues.entry(arn.clone()).and_modify(|queue| Arc::make_mut(queue).tags = tags);
            }
            Key::JobDefinition(arn, revision) => {
                let revisions = state.job_definitions.entry(arn.clone()).or_default();
                revisions.entry(*revision).and_modify(|definition| Arc::make_mut(definition).tags = tags);
            }
            Key::Job(id) => {
                state.jobs.entry(*id).and_modify(|job| Arc::make_mut(job).tags = tags);
            }
            Key::SchedulingPolicy(arn) => {
                let policies = &mut state.scheduling_policies;
                policies.entry(arn.clone()).and_modify(|policy| Arc::make_mut(policy).tags = tags);
            }
            Key::ConsumableResource(arn) => {
                let resources = &mut state.consumable_resources;
                resources.entry(arn.clone()).and_modify(|resource| Arc::make_mut(resource).tags = tags);
            }
            Key::ServiceEnvironment(arn) => {
                let environments = &mut state.service_environments;
                environments.entry(arn.clone()).and_modify(|it| Arc::make_mut(it).tags = tags);
            }
            Key::QuotaShare(arn) => {
                state.quota_shares.entry(arn.clone()).and_modify(|share| Arc::make_mut(share).tags = tags);
            }
            Key::ServiceJob(id) => {
                let jobs = &mut state.service_jobs.records;
                jobs.entry(*id).and_modify(|job| Arc::make_mut(job).tags = tags);
            }
            Key::Child(..) | Key::Instance(_) | Key::Share(..) | Key::Event(_) => {}
        }
        self.touch(key);
        Ok(())
    }
}
