//! Members that a container has in a job definition and again in the overrides of a submission.
//!
//! Source: AWS Batch API reference, KeyValuePair, ResourceRequirement, Secret, ContainerProperties (image).

use fornada_core::container::{BadSize, Requirements};
use fornada_core::quantity::Resources;
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::require::require;
use crate::error::WireError;

/// Characters of an image reference.
const IMAGE_MAX: usize = 255;
/// Names that begin so are the service's own.
const RESERVED: &str = "AWS_BATCH";
/// The least that a container may have.
const MEMORY_MIB_MIN: u64 = 4;
/// The least that any platform offers; EC2 asks for more.
const MILLI_VCPUS_MIN: u64 = 250;

/// What the service takes for an image reference.
pub(super) fn check_image(image: &str) -> Result<(), WireError> {
    require(!image.is_empty(), "Container image is required.")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_:./#@".contains(&b);
    require(
        image.len() <= IMAGE_MAX && image.bytes().all(allowed),
        "Container image can have up to 255 letters, digits, hyphens, underscores, colons, periods, slashes, number \
         and at signs.",
    )
}

/// Elements of a command as they are.
pub(super) fn texts(given: &Option<Vec<String>>) -> Vec<Text> {
    given.iter().flatten().map(|element| element.as_str().into()).collect()
}

/// A command that replaces another: without empty elements. An empty list is what SDKs send for "not given".
pub(super) fn command_override(given: &Option<Vec<String>>) -> Result<Option<Vec<Text>>, WireError> {
    require(
        !given.iter().flatten().any(String::is_empty),
        "An element of the command override must not be empty.",
    )?;
    Ok(Some(texts(given)).filter(|command| !command.is_empty()))
}

/// Variables whose values are kept elsewhere: name and `valueFrom`, in the order given.
pub(super) fn secrets(given: &Option<Vec<model::Secret>>) -> Result<Option<Vec<(Text, Text)>>, WireError> {
    let secret = |model::Secret { name, value_from }: &model::Secret| {
        require(!name.is_empty(), "Secret name is required.")?;
        check_variable_name(name)?;
        if !is_secret_reference(value_from) {
            return Err(WireError::invalid(format!(
                "valueFrom of secret {name} must be the ARN of a Secrets Manager secret, or the ARN or name of an SSM \
                 parameter."
            )));
        }
        Ok((name.as_str().into(), value_from.as_str().into()))
    };
    let secrets: Vec<_> = given.iter().flatten().map(secret).collect::<Result<_, _>>()?;
    Ok(Some(secrets).filter(|secrets| !secrets.is_empty()))
}

fn is_secret_reference(value_from: &str) -> bool {
    let Some(arn) = value_from.strip_prefix("arn:") else {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
        return !value_from.is_empty() && value_from.bytes().all(allowed);
    };
    // partition, service, region, account, resource
    let parts: Vec<&str> = arn.splitn(5, ':').collect();
    match parts.as_slice() {
        [_, "secretsmanager", _, _, resource] => {
            resource.strip_prefix("secret:").is_some_and(|s| !s.is_empty())
        }
        [_, "ssm", _, _, resource] => resource.strip_prefix("parameter/").is_some_and(|s| !s.is_empty()),
        _ => false,
    }
}

fn check_variable_name(name: &str) -> Result<(), WireError> {
    if name.starts_with(RESERVED) {
        return Err(WireError::invalid(format!(
            "Environment variable names must not begin with {RESERVED}, which is reserved: {name}."
        )));
    }
    Ok(())
}

/// Variables in the order given; one without a value is empty.
pub(super) fn environment(given: &Option<Vec<model::KeyValuePair>>) -> Result<Vec<(Text, Text)>, WireError> {
    let variable = |pair: &model::KeyValuePair| {
        let model::KeyValuePair { name, value } = pair;
        let name = name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| WireError::invalid("Environment variable name is required."))?;
        check_variable_name(name)?;
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
    check_least(&asked)?;
    Ok(asked)
}

/// Nobody gets less than the least.
pub(super) fn check_least(asked: &Requirements) -> Result<(), WireError> {
    if let Some(milli_vcpus) = asked.milli_vcpus.filter(|n| *n < MILLI_VCPUS_MIN) {
        let resources = Resources { milli_vcpus, ..Resources::default() };
        return Err(bad_size(BadSize::TooFewVcpus, &resources));
    }
    if let Some(mib) = asked.memory_mib.filter(|n| *n < MEMORY_MIB_MIN) {
        return Err(WireError::invalid(format!(
            "Memory must be at least {MEMORY_MIB_MIN} Mib, got {mib} Mib."
        )));
    }
    Ok(())
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
pub(super) fn whole(value: &str) -> Option<u32> {
    value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok())?
}

/// A decimal number, with at most three digits behind the point.
pub(super) fn milli_vcpus(value: &str) -> Option<u64> {
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

    #[test]
    fn secrets_refer_to_a_secret_or_parameter() {
        let given = |name: &str, value_from: &str| {
            secrets(&Some(vec![model::Secret { name: name.into(), value_from: value_from.into() }]))
        };
        for good in [
            "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf:password::",
            "arn:aws-cn:ssm:eu-west-1:000000000000:parameter/db/password",
            "/db/password",
            "db.password",
        ] {
            assert_eq!(given("DB", good).unwrap(), Some(vec![("DB".into(), good.into())]));
        }
        for bad in ["", "a b", "arn:aws:s3:::bucket", "arn:aws:ssm:eu-west-1:000000000000:parameter/", "arn:"]
        {
            let fault = given("DB", bad).unwrap_err().message;
            assert!(fault.starts_with("valueFrom of secret DB must be"), "{bad}: {fault}");
        }
        assert!(given("", "x").is_err() && given("AWS_BATCH_X", "x").is_err());
        assert_eq!(secrets(&Some(vec![])).unwrap(), None);
    }
}
