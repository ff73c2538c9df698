//! `serviceRequestPayload`: a CreateTrainingJob request in JSON, of which only what is run and on how much is read.
//!
//! Source: Amazon SageMaker API reference, CreateTrainingJob.

use std::collections::BTreeMap;

use fornada_core::service_job::TrainingJob;
use fornada_core::service_job::capacity::Instances;
use fornada_core::text::Text;
use serde::Deserialize;

use crate::error::WireError;

/// Source: AWS Batch User Guide, service quotas.
const PAYLOAD_MAX: usize = 10 * 1024;

/// What runs when neither an entry point nor arguments are given. Source: Amazon SageMaker Developer Guide, how SageMaker
/// runs your training image.
const TRAIN: &str = "train";

/// What is read of the request; the rest is SageMaker's.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateTrainingJob {
    algorithm_specification: AlgorithmSpecification,
    resource_config: ResourceConfig,
    stopping_condition: Option<StoppingCondition>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlgorithmSpecification {
    training_image: String,
    #[serde(default)]
    container_entrypoint: Vec<String>,
    #[serde(default)]
    container_arguments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceConfig {
    instance_type: Option<String>,
    instance_count: Option<u32>,
    #[serde(default)]
    instance_groups: Vec<InstanceGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceGroup {
    instance_type: String,
    instance_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoppingCondition {
    max_runtime_in_seconds: Option<u32>,
}

/// Reads a payload.
pub(super) fn training_job(payload: &str) -> Result<TrainingJob, WireError> {
    if payload.len() > PAYLOAD_MAX {
        return Err(WireError::invalid("serviceRequestPayload can have at most 10 KiB."));
    }
    let not_json = |error| WireError::invalid(format!("serviceRequestPayload is not valid JSON: {error}."));
    let value: serde_json::Value = serde_json::from_str(payload).map_err(not_json)?;
    if !value.is_object() {
        return Err(WireError::invalid("serviceRequestPayload must be a JSON object."));
    }
    let not_a_request = |error| {
        WireError::invalid(format!("serviceRequestPayload is not a CreateTrainingJob request: {error}."))
    };
    let request: CreateTrainingJob = serde_json::from_value(value).map_err(not_a_request)?;
    let CreateTrainingJob { algorithm_specification, resource_config, stopping_condition, environment } =
        request;
    let AlgorithmSpecification { training_image, container_entrypoint, container_arguments } =
        algorithm_specification;
    if let Some(name) = environment.keys().find(|name| !is_variable(name)) {
        return Err(WireError::invalid(format!(
            "Environment of serviceRequestPayload: {name:?} is not a name: use letters, digits and underscores."
        )));
    }
    let mut command: Vec<Text> =
        container_entrypoint.into_iter().chain(container_arguments).map(Text::from).collect();
    if command.is_empty() {
        command.push(TRAIN.into());
    }
    Ok(TrainingJob {
        image: training_image.into(),
        command,
        environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        instances: instances(resource_config)?,
        max_runtime_seconds: stopping_condition.and_then(|condition| condition.max_runtime_in_seconds),
    })
}

/// Source: Amazon SageMaker API reference, CreateTrainingJob: Environment.
fn is_variable(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn instances(config: ResourceConfig) -> Result<Instances, WireError> {
    let mut groups: Vec<(Text, u32)> = config
        .instance_groups
        .into_iter()
        .map(|group| (group.instance_type.into(), group.instance_count))
        .collect();
    match (config.instance_type, config.instance_count) {
        (Some(instance_type), Some(count)) if groups.is_empty() => groups.push((instance_type.into(), count)),
        (None, None) if !groups.is_empty() => {}
        _ => {
            return Err(WireError::invalid(
                "ResourceConfig of serviceRequestPayload needs either InstanceType and InstanceCount, or InstanceGroups.",
            ));
        }
    }
    if groups.iter().any(|&(_, count)| count == 0) {
        return Err(WireError::invalid("InstanceCount of serviceRequestPayload must be at least 1."));
    }
    Ok(Instances::new(groups))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(resource_config: Value) -> Value {
        json!({
            "TrainingJobName": "ignored",
            "AlgorithmSpecification": { "TrainingImage": "host", "TrainingInputMode": "File" },
            "ResourceConfig": resource_config,
        })
    }

    fn one() -> Value {
        json!({ "InstanceType": "ml.a", "InstanceCount": 1, "VolumeSizeInGB": 1 })
    }

    #[test]
    fn what_is_run_and_on_how_much() {
        let group = |instance_type, count| json!({ "InstanceType": instance_type, "InstanceCount": count });
        let groups = json!({ "InstanceGroups": [group("ml.a", 2), group("ml.b", 1), group("ml.a", 1)] });
        let mut full = request(groups);
        full["AlgorithmSpecification"]["ContainerEntrypoint"] = json!(["sh", "-c"]);
        full["AlgorithmSpecification"]["ContainerArguments"] = json!(["env"]);
        full["Environment"] = json!({ "A": "1" });
        full["StoppingCondition"] = json!({ "MaxRuntimeInSeconds": 60 });
        let job = training_job(&full.to_string()).unwrap();
        assert_eq!(job.command, ["sh", "-c", "env"]);
        assert_eq!(job.environment, [("A".into(), "1".into())]);
        assert_eq!(job.instances, Instances::new([("ml.a".into(), 3), ("ml.b".into(), 1)]));
        assert_eq!((&*job.image, job.max_runtime_seconds), ("host", Some(60)));
        assert_eq!(training_job(&request(one()).to_string()).unwrap().command, [TRAIN]);
    }

    #[test]
    fn what_is_no_request() {
        let mut no_image = request(one());
        no_image["AlgorithmSpecification"] = json!({ "AlgorithmName": "x" });
        let mut bad_name = request(one());
        bad_name["Environment"] = json!({ "A=B": "1" });
        let cases = [
            (bad_name.to_string(), "is not a name"),
            ("{".to_owned(), "is not valid JSON"),
            ("[]".into(), "must be a JSON object"),
            ("{}".into(), "missing field `AlgorithmSpecification`"),
            (no_image.to_string(), "missing field `TrainingImage`"),
            (request(json!({})).to_string(), "needs either InstanceType and InstanceCount"),
            (request(json!({ "InstanceType": "ml.a" })).to_string(), "needs either"),
            (request(json!({ "InstanceType": "ml.a", "InstanceCount": 0 })).to_string(), "at least 1"),
            (
                request(json!({ "InstanceType": "ml.a", "InstanceCount": -1 })).to_string(),
                "not a CreateTrainingJob",
            ),
            (format!("{}{}", request(one()), " ".repeat(PAYLOAD_MAX)), "at most 10 KiB"),
        ];
        for (payload, want) in cases {
            let message = training_job(&payload).unwrap_err().message;
            assert!(message.contains(want), "{message}");
        }
    }
}
