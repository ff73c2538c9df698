//! `dependsOn`.
//!
//! Beyond AWS Batch there is the type AFTER_ANY: the other job must have ended, well or badly.
//!
//! Source: AWS Batch API reference, JobDependency; User Guide, job dependencies.

use fornada_core::id::{JobId, Member};
use fornada_core::job::depends_on::Dependency;
use fornada_model::batch as model;
use model::ArrayJobDependency::{AfterAny, NToN, Sequential};

use crate::error::WireError;

/// At most `max`; a `strict` server takes AWS Batch's types only.
pub(super) fn dependencies(
    given: Vec<model::JobDependency>,
    max: u32,
    strict: bool,
) -> Result<Vec<Dependency>, WireError> {
    if given.len() > max as usize {
        return Err(WireError::invalid(format!("Job cannot have more than {max} dependencies")));
    }
    if let Some(index) = given.iter().position(|given| strict && given.r#type == Some(AfterAny)) {
        return Err(WireError::client(format!(
            "1 validation error detected: Value '{AfterAny}' at 'dependsOn.{}.member.type' failed to satisfy \
             constraint: Member must satisfy enum value set: [{NToN}, {Sequential}]",
            index + 1
        )));
    }
    given.into_iter().map(dependency).collect()
}

fn dependency(given: model::JobDependency) -> Result<Dependency, WireError> {
    let model::JobDependency { job_id, r#type } = given;
    let id = job_id.map(|id| {
        let parsed = id.parse::<JobId>();
        parsed.map_err(|_| WireError::invalid(format!("Dependent job {id} does not exist")))
    });
    match (r#type, id.transpose()?) {
        (None, Some(id)) => Ok(Dependency::Job(id)),
        (Some(AfterAny), Some(id)) => Ok(Dependency::AfterAny(id)),
        (Some(NToN), Some(JobId { job, member: Member::Whole })) => Ok(Dependency::NToN(job)),
        (Some(Sequential), None) => Ok(Dependency::Sequential),
        (None | Some(NToN | AfterAny), _) => {
            Err(WireError::invalid("A dependency needs the jobId of the job that it waits for."))
        }
        (Some(Sequential), Some(_)) => Err(WireError::invalid(
            "A SEQUENTIAL dependency takes no jobId: it orders the children of this array.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn types_and_what_each_needs() {
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let read = |given: &Value, strict| {
            let given = serde_json::from_value(given.clone()).unwrap();
            dependencies(given, 2, strict).map_err(|error| error.message)
        };
        let id = |text: &str| text.parse::<JobId>().unwrap();
        let (whole, child) = (id(uuid), format!("{uuid}:3"));
        for (given, want) in [
            (
                json!([{ "jobId": uuid }, { "jobId": child }]),
                vec![Dependency::Job(whole), Dependency::Job(id(&child))],
            ),
            (
                json!([{ "jobId": uuid, "type": "N_TO_N" }, { "type": "SEQUENTIAL" }]),
                vec![Dependency::NToN(whole.job), Dependency::Sequential],
            ),
        ] {
            assert_eq!(read(&given, false), Ok(want.clone()));
            assert_eq!(read(&given, true), Ok(want));
        }
        let after_any = json!([{ "jobId": uuid }, { "jobId": child, "type": "AFTER_ANY" }]);
        assert_eq!(read(&after_any, false).unwrap()[1], Dependency::AfterAny(id(&child)));
        assert_eq!(
            read(&after_any, true).unwrap_err(),
            "1 validation error detected: Value 'AFTER_ANY' at 'dependsOn.2.member.type' failed to satisfy constraint: \
             Member must satisfy enum value set: [N_TO_N, SEQUENTIAL]"
        );
        for (given, want) in [
            (json!([{}, {}, {}]), "Job cannot have more than 2 dependencies"),
            (json!([{ "jobId": "x" }]), "Dependent job x does not exist"),
            (json!([{}]), "A dependency needs the jobId"),
            (json!([{ "type": "AFTER_ANY" }]), "A dependency needs the jobId"),
            (json!([{ "type": "N_TO_N", "jobId": child }]), "A dependency needs the jobId"),
            (json!([{ "type": "SEQUENTIAL", "jobId": uuid }]), "A SEQUENTIAL dependency takes no jobId"),
        ] {
            let fault = read(&given, false).unwrap_err();
            assert!(fault.starts_with(want), "{given}: {fault}");
        }
    }
}
