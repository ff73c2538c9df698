//! Which job a request names.

use fornada_core::arn::Scope;
use fornada_core::id::JobId;

/// The job of an id, or of the ARN of a job of this scope: `arn:…:job/{id}`. Clients that keep the ARN of a multi-node job append
/// the node to it, as to an id.
pub(crate) fn parse(scope: &Scope, id_or_arn: &str) -> Option<JobId> {
    let id = match id_or_arn.starts_with("arn:") {
        true => id_or_arn.strip_prefix(scope.resolve("job", "").as_str())?,
        false => id_or_arn,
    };
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_arns_of_the_same_scope_name_the_same_job() {
        let scope = Scope { region: "eu-west-1".into(), account: "111111111111".into() };
        let other = Scope { region: "eu-west-2".into(), account: "111111111111".into() };
        for id in ["", ":3", "#0"].map(|member| format!("01234567-89ab-4def-8123-456789abcdef{member}")) {
            let job = id.parse().unwrap();
            assert_eq!(parse(&scope, &id), Some(job));
            assert_eq!(parse(&scope, &scope.resolve("job", &id)), Some(job));
            assert_eq!(parse(&other, &scope.resolve("job", &id)), None);
            assert_eq!(parse(&scope, &scope.resolve("service-job", &id)), None);
        }
        assert_eq!(parse(&scope, &scope.resolve("job", "x")), None);
    }
}
