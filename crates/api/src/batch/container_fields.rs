//! Members that a container has in a job definition and again in the overrides of a submission.
//!
//! Source: AWS Batch API reference, KeyValuePair, ResourceRequirement.

use fornada_core::container::{BadSize, Requirements};
use fornada_core::quantity::Resources;
use fornada_core::text::Text;
use fornada_model::batch as model;

use crate::error::WireError;

/// Names that begin so are the service's own.
const RESERVED: &str = "AWS_BATCH";
/// The least that a container may have.
const MEMORY_MIB_MIN: u64 = 4;
/// The least that any platform offers; EC2 asks for more.
const MILLI_VCPUS_MIN: u64 = 250;

/// Variables in the order given; one without a value is empty.
pub(super) fn environment(given: &Option<Vec<model::KeyValuePair>>) -> Result<Vec<(Text, Text)>, WireError> {
    let variable = |pair: &model::KeyValuePair| {
        let model::KeyValuePair { name, value } = pair;
        let name = name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| WireError::invalid("Environment variable name is required."))?;
        if name.starts_with(RESERVED) {
            return Err(WireError::invalid(format!(
                "Environment variable names must not begin with {RESERVED}, which is reserved: {name}."
            )));
        }
        Ok((name.into(), value.as_deref().unwrap_or_default().into()))
    };
    given.iter().flatten().map(variable).collect()
}

/// What is asked for in `resourceRequirements`, and for types not named there in the older members `vcpus` and `memory`.
///
/// vCPUs may be a fraction here, down to the smallest size of Fargate.
pub(super) fn requirements(
    given: &Option<Vec<model::ResourceRequirement>>,
    vcpus: Option<i32>,
    memory: Option<i32>,
) -> Result<Requirements, WireError> {
    let mut asked = Requirements::default();
    for model::ResourceRequirement { r#type, value } in given.iter().flatten() {
        let not_numeric = || {
            WireError::invalid(format!(
                "Value {value} for type {type} in resourceRequirement is not valid. Please provide a numeric value."
            ))
        };
        let duplicate = match r#type {
            model::ResourceType::Vcpu => {
                asked.milli_vcpus.replace(milli_vcpus(value).ok_or_else(not_numeric)?).is_some()
            }
            model::ResourceType::Memory => {
                asked.memory_mib.replace(whole(value).ok_or_else(not_numeric)?.into()).is_some()
            }
            model::ResourceType::Gpu => asked.gpus.replace(whole(value).ok_or_else(not_numeric)?).is_some(),
        };
        if duplicate {
            return Err(WireError::invalid("Cannot provide duplicates in resourceRequirements."));
        }
    }
    let legacy = |given: Option<i32>| given.map(|n| u64::try_from(n).unwrap_or(0));
    asked.milli_vcpus = asked.milli_vcpus.or(legacy(vcpus).map(|n| n * 1000));
    asked.memory_mib = asked.memory_mib.or(legacy(memory));
    if let Some(milli_vcpus) = asked.milli_vcpus.filter(|n| *n < MILLI_VCPUS_MIN) {
        let resources = Resources { milli_vcpus, ..Resources::default() };
        return Err(bad_size(BadSize::TooFewVcpus, &resources));
    }
    if let Some(mib) = asked.memory_mib.filter(|n| *n < MEMORY_MIB_MIN) {
        return Err(WireError::invalid(format!(
            "Memory must be at least {MEMORY_MIB_MIN} Mib, got {mib} Mib."
        )));
    }
    Ok(asked)
}

/// In the service's words.
pub(crate) fn bad_size(size: BadSize, resources: &Resources) -> WireError {
    let (vcpus, mib) = (vcpus(resources.milli_vcpus), resources.memory_mib);
    WireError::invalid(match size {
        BadSize::TooFewVcpus => format!("vCPU must be at least 1, got {vcpus}."),
        BadSize::FractionalVcpus => format!("vCPU must be a whole number, got {vcpus}."),
        BadSize::NotOnFargate => {
            format!("Fargate resource requirements ({vcpus} vCPU, {mib} MiB) not valid.")
        }
    })
}

/// `1` of 1000, `0.25` of 250.
pub(super) fn vcpus(milli_vcpus: u64) -> String {
    let fraction = format!("{}.{:03}", milli_vcpus / 1000, milli_vcpus % 1000);
    fraction.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Digits only: no sign, no space.
fn whole(value: &str) -> Option<u32> {
    value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok())?
}

/// A decimal number, with at most three digits behind the point.
fn milli_vcpus(value: &str) -> Option<u64> {
    let (units, fraction) = value.split_once('.').unwrap_or((value, "0"));
    if fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    Some(u64::from(whole(units)?) * 1000 + u64::from(whole(&format!("{fraction:0<3}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ResourceType::{Gpu, Memory, Vcpu};

    #[test]
    fn requirements_by_type_or_by_the_older_members() {
        let given = |list: &[(model::ResourceType, &str)]| {
            let one =
                |&(r#type, value): &(_, &str)| model::ResourceRequirement { r#type, value: value.into() };
            Some(list.iter().map(one).collect())
        };
        let amounts = |milli_vcpus, memory_mib, gpus| Requirements { milli_vcpus, memory_mib, gpus };
        let numeric = |value, of| {
            format!(
                "Value {value} for type {of} in resourceRequirement is not valid. Please provide a numeric value."
            )
        };
        let cases = [
            (given(&[]), None, None, Ok(Requirements::default())),
            (given(&[(Vcpu, "0.25"), (Memory, "512")]), None, None, Ok(amounts(Some(250), Some(512), None))),
            (given(&[(Gpu, "2"), (Vcpu, "16")]), None, None, Ok(amounts(Some(16000), None, Some(2)))),
            (None, Some(2), Some(4), Ok(amounts(Some(2000), Some(4), None))),
            (given(&[(Vcpu, "3")]), Some(2), Some(64), Ok(amounts(Some(3000), Some(64), None))),
            (given(&[(Gpu, "one")]), None, None, Err(numeric("one", "GPU"))),
            (given(&[(Gpu, "")]), None, None, Err(numeric("", "GPU"))),
            (given(&[(Vcpu, "1.")]), None, None, Err(numeric("1.", "VCPU"))),
            (given(&[(Memory, "+5")]), None, None, Err(numeric("+5", "MEMORY"))),
            (given(&[(Memory, "5000000000")]), None, None, Err(numeric("5000000000", "MEMORY"))),
            (
                given(&[(Gpu, "1"), (Gpu, "1")]),
                None,
                None,
                Err("Cannot provide duplicates in resourceRequirements.".into()),
            ),
            (None, Some(0), None, Err("vCPU must be at least 1, got 0.".into())),
            (given(&[(Vcpu, "0.1")]), None, None, Err("vCPU must be at least 1, got 0.1.".into())),
            (None, None, Some(3), Err("Memory must be at least 4 Mib, got 3 Mib.".into())),
        ];
        for (given, vcpus, memory, want) in cases {
            assert_eq!(requirements(&given, vcpus, memory).map_err(|e| e.message), want, "{given:?}");
        }
    }

    #[test]
    fn variables_need_a_name_of_their_own() {
        let given = |name: Option<&str>| {
            environment(&Some(vec![model::KeyValuePair { name: name.map(Into::into), value: None }]))
        };
        assert_eq!(given(Some("AWS_REGION")).unwrap(), [("AWS_REGION".into(), "".into())]);
        assert!(given(Some("AWS_BATCH_JOB_ID")).is_err());
        for nameless in [None, Some("")] {
            assert_eq!(given(nameless).unwrap_err().message, "Environment variable name is required.");
        }
    }
}
