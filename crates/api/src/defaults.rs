//! What a new data directory gets: compute environment `local` and job queue `default`, so that a first job needs nothing else.
//!
//! Made through the same operations that clients use, before anyone is served.

use std::sync::Arc;
use std::time::Duration;

use fornada_core::arn::Scope;
use fornada_core::resource::Status;
use fornada_core::state::State;
use fornada_model::batch as model;

use crate::app::{App, Call};
use crate::batch::{compute_environments, job_queues};
use crate::error::WireError;

const ENVIRONMENT: &str = "local";
const QUEUE: &str = "default";

/// Above any machine: what the machine has is the limit.
const MAX_VCPUS: i32 = 10_000;

/// A status settles within milliseconds; this is between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// Creates both, if the store `is_new` or nothing was ever done with it (its first start was cut short).
///
/// # Errors
/// When the engine stops meanwhile.
pub async fn create(app: &Arc<App>, is_new: bool) -> Result<(), WireError> {
    if !is_new && !app.engine.read(State::is_unused).await? {
        return Ok(());
    }
    let scope = Scope { region: app.region.as_str().into(), account: app.account_id.as_str().into() };
    let call = Call { app: Arc::clone(app), scope, slot: None };
    let arn = call.scope.resolve("compute-environment", ENVIRONMENT);
    let status = async || {
        let wanted = arn.clone();
        app.engine.read(move |state| Some(state.compute_environments().get(&wanted)?.status)).await
    };
    if status().await?.is_none() {
        compute_environments::create(&call, environment()).await?;
    }
    while status().await? != Some(Status::Valid) {
        tokio::time::sleep(LOOK).await;
    }
    job_queues::create(&call, queue()).await?;
    Ok(())
}

/// Looks like an ordinary EC2 environment, because that is what clients expect to find; nothing but `maxvCpus` is used.
fn environment() -> model::CreateComputeEnvironmentRequest {
    model::CreateComputeEnvironmentRequest {
        compute_environment_name: ENVIRONMENT.to_owned(),
        r#type: model::CEType::Managed,
        compute_resources: Some(model::ComputeResource {
            r#type: model::CRType::Ec2,
            min_vcpus: Some(0),
            max_vcpus: MAX_VCPUS,
            instance_types: Some(vec!["optimal".to_owned()]),
            instance_role: Some("ecsInstanceRole".to_owned()),
            subnets: Some(vec!["subnet-local".to_owned()]),
            security_group_ids: Some(vec!["sg-local".to_owned()]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn queue() -> model::CreateJobQueueRequest {
    let environment =
        model::ComputeEnvironmentOrder { order: 1, compute_environment: ENVIRONMENT.to_owned() };
    model::CreateJobQueueRequest {
        job_queue_name: QUEUE.to_owned(),
        priority: 1,
        compute_environment_order: Some(vec![environment]),
        ..Default::default()
    }
}
