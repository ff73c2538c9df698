//! Amazon Resource Names, and the account and region that every resource belongs to.
//!
//! Source: AWS Service Authorization Reference, resource types of AWS Batch.

use minicbor::{Decode, Encode};

use crate::text::Text;

/// The full name of a resource; the key of every record.
pub type Arn = Text;

/// Whose resources: one tenant is one account in one region, and never sees another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Scope {
    /// For example `us-east-1`; from the credential scope of the request.
    #[n(0)]
    pub region: Text,
    /// Twelve digits; from the access key of the request.
    #[n(1)]
    pub account: Text,
}

impl Scope {
    /// `arn:aws:{service}:{region}:{account}:{resource}`.
    pub fn arn(&self, service: &str, resource: &str) -> Arn {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition(), self.region, self.account).into()
    }

    /// The partition that the region belongs to.
    pub fn partition(&self) -> &'static str {
        match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The ARN of a Batch resource of this scope, `kind` being for example `job-queue`. A full ARN passes as it is.
    pub fn resolve(&self, kind: &str, name_or_arn: &str) -> Arn {
        if name_or_arn.starts_with("arn:") {
            name_or_arn.into()
        } else {
            self.arn("batch", &format!("{kind}/{name_or_arn}"))
        }
    }

    /// The scope that an ARN names; `None` when it is not an ARN.
    pub fn of(arn: &str) -> Option<Scope> {
        let mut parts = arn.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let (region, account) = (parts.nth(2)?, parts.next()?);
        parts.next()?;
        Some(Scope { region: region.into(), account: account.into() })
    }

    /// Whether the resource of this ARN belongs to the scope.
    pub fn owns(&self, arn: &str) -> bool {
        Scope::of(arn).is_some_and(|scope| scope == *self)
    }
}

/// The part of an ARN after the last `/`: `default` of `…:job-queue/default`, `x:3` of `…:job-definition/x:3`.
pub fn name_of(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_into_the_callers_scope_and_arns_keep_theirs() {
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let queue = scope.resolve("job-queue", "q");
        assert_eq!(queue, "arn:aws:batch:eu-west-1:000000000000:job-queue/q");
        assert_eq!(scope.resolve("job-queue", &queue), queue);
        assert_eq!(Scope::of(&queue), Some(scope.clone()));
        assert!(scope.owns(&queue));
        assert!(!scope.owns("arn:aws:batch:us-east-1:000000000000:job-queue/q"));
        assert!(!scope.owns("q") && Scope::of("arn:aws:batch").is_none());
        assert_eq!(name_of(&queue), "q");
    }
}
