//! Members that a container of a pod has in a job definition and again in the overrides: `resources`, with its `limits` and
//! `requests`, and `env`.
//!
//! Source: AWS Batch API reference, EksContainerResourceRequirements; texts as observed.

use std::collections::BTreeMap;

use fornada_core::container::Requirements;
use fornada_core::quantity::Resources;
use fornada_model::batch as model;

use super::container_fields::{check_least, milli_vcpus, vcpus, whole};
use super::require::require;
use crate::error::WireError;

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const GPU: &str = "nvidia.com/gpu";
/// CPU comes in quarters.
const MILLI_VCPUS_STEP: u64 = 250;

/// What the container asks for: its requests, and for what is not requested its limits.
pub(super) fn requirements(
    given: Option<&model::EksContainerResourceRequirements>,
) -> Result<Requirements, WireError> {
    let Some(model::EksContainerResourceRequirements { limits, requests }) = given else {
        return Ok(Requirements::default());
    };
    let (limits, requests) = (amounts(limits)?, amounts(requests)?);
    let within = |request: Option<u64>, limit: Option<u64>| request.zip(limit).is_none_or(|(r, l)| r <= l);
    let equal = |request: Option<u64>, limit: Option<u64>| request.zip(limit).is_none_or(|(r, l)| r == l);
    require(
        within(requests.milli_vcpus, limits.milli_vcpus),
        "cpu request must be at most the cpu limit if both are provided.",
    )?;
    require(
        equal(requests.memory_mib, limits.memory_mib),
        "memory request must be equal to memory limit if both are provided.",
    )?;
    require(
        equal(requests.gpus.map(u64::from), limits.gpus.map(u64::from)),
        "nvidia.com/gpu request must be equal to nvidia.com/gpu limit if both are provided.",
    )?;
    let asked = Requirements {
        milli_vcpus: requests.milli_vcpus.or(limits.milli_vcpus),
        memory_mib: requests.memory_mib.or(limits.memory_mib),
        gpus: requests.gpus.or(limits.gpus),
    };
    check_least(&asked)?;
    Ok(asked)
}

/// The same variables in the form of the other kinds.
pub(super) fn variables(
    given: &Option<Vec<model::EksContainerEnvironmentVariable>>,
) -> Option<Vec<model::KeyValuePair>> {
    let variable = |variable: &model::EksContainerEnvironmentVariable| model::KeyValuePair {
        name: Some(variable.name.clone()),
        value: variable.value.clone(),
    };
    Some(given.as_ref()?.iter().map(variable).collect())
}

fn amounts(given: &Option<BTreeMap<String, String>>) -> Result<Requirements, WireError> {
    let mut amounts = Requirements::default();
    for (name, value) in given.iter().flatten() {
        let bad =
            |must: &str| WireError::invalid(format!("{name} of a container must be {must}, got {value}."));
        match name.as_str() {
            CPU => {
                let cpu = milli_vcpus(value).filter(|n| *n > 0 && n.is_multiple_of(MILLI_VCPUS_STEP));
                amounts.milli_vcpus = Some(cpu.ok_or_else(|| bad("a multiple of 0.25"))?);
            }
            MEMORY => {
                let mib = value.strip_suffix("Mi").and_then(whole);
                amounts.memory_mib =
                    Some(mib.ok_or_else(|| bad("a whole number of MiB, such as 64Mi"))?.into());
            }
            GPU => amounts.gpus = Some(whole(value).ok_or_else(|| bad("a whole number"))?),
            _ => {
                return Err(WireError::invalid(format!(
                    "resources of a container can be {CPU}, {MEMORY} and {GPU}, not {name}."
                )));
            }
        }
    }
    Ok(amounts)
}

/// The definition's limits and requests, where the overrides ask for something else with the amounts in force.
pub(super) fn effective(
    given: Option<model::EksContainerResourceRequirements>,
    overrides: &Requirements,
    resources: &Resources,
) -> Option<model::EksContainerResourceRequirements> {
    let changes = [
        (CPU, overrides.milli_vcpus.map(|_| vcpus(resources.milli_vcpus))),
        (MEMORY, overrides.memory_mib.map(|_| format!("{}Mi", resources.memory_mib))),
        (GPU, overrides.gpus.map(|_| resources.gpus.to_string())),
    ];
    let mut effective = given;
    for (name, value) in changes.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let model::EksContainerResourceRequirements { limits, requests } = effective.get_or_insert_default();
        if let Some(request) = requests.as_mut().and_then(|requests| requests.get_mut(name)) {
            request.clone_from(&value);
        }
        limits.get_or_insert_default().insert(name.to_owned(), value);
    }
    effective
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn given(value: Value) -> model::EksContainerResourceRequirements {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn requests_before_limits_and_both_in_the_notation_of_the_service() {
        let amounts = |milli_vcpus, memory_mib, gpus| Requirements { milli_vcpus, memory_mib, gpus };
        for (resources, want) in [
            (json!({}), amounts(None, None, None)),
            (json!({ "limits": { "cpu": "1", "memory": "64Mi" } }), amounts(Some(1000), Some(64), None)),
            (
                json!({ "limits": { "cpu": "2", "memory": "64Mi", "nvidia.com/gpu": "1" },
                    "requests": { "cpu": "0.25", "memory": "64Mi" } }),
                amounts(Some(250), Some(64), Some(1)),
            ),
        ] {
            assert_eq!(requirements(Some(&given(resources.clone()))).unwrap(), want, "{resources}");
        }
        let both = |name: &str, limit: &str, request: &str| json!({ "limits": { name: limit }, "requests": { name: request } });
        for (resources, want) in [
            (
                both("memory", "64Mi", "32Mi"),
                "memory request must be equal to memory limit if both are provided.",
            ),
            (both("cpu", "1", "2"), "cpu request must be at most the cpu limit if both are provided."),
            (
                both("nvidia.com/gpu", "1", "2"),
                "nvidia.com/gpu request must be equal to nvidia.com/gpu limit if both are provided.",
            ),
            (
                json!({ "limits": { "cpu": "0.3" } }),
                "cpu of a container must be a multiple of 0.25, got 0.3.",
            ),
            (json!({ "limits": { "cpu": "0" } }), "cpu of a container must be a multiple of 0.25, got 0."),
            (
                json!({ "limits": { "cpu": "500m" } }),
                "cpu of a container must be a multiple of 0.25, got 500m.",
            ),
            (
                json!({ "limits": { "memory": "64" } }),
                "memory of a container must be a whole number of MiB, such as 64Mi, got 64.",
            ),
            (json!({ "limits": { "memory": "3Mi" } }), "Memory must be at least 4 Mib, got 3 Mib."),
            (
                json!({ "limits": { "disk": "1" } }),
                "resources of a container can be cpu, memory and nvidia.com/gpu, not disk.",
            ),
        ] {
            let fault = requirements(Some(&given(resources.clone()))).unwrap_err().message;
            assert_eq!(fault, want, "{resources}");
        }
    }

    #[test]
    fn overrides_change_limits_and_requests_alike() {
        let of_definition =
            given(json!({ "limits": { "cpu": "1", "memory": "64Mi" }, "requests": { "cpu": "1" } }));
        let overrides = Requirements { milli_vcpus: Some(2500), memory_mib: None, gpus: Some(1) };
        let resources = Resources { milli_vcpus: 2500, memory_mib: 64, gpus: 1 };
        assert_eq!(
            effective(Some(of_definition), &overrides, &resources).unwrap(),
            given(json!({ "limits": { "cpu": "2.5", "memory": "64Mi", "nvidia.com/gpu": "1" },
                "requests": { "cpu": "2.5" } }))
        );
        assert_eq!(effective(None, &Requirements::default(), &resources), None);
    }
}
