//! ListTagsForResource, TagResource, UntagResource, and the rules of tags wherever a request carries some.
//!
//! Source: AWS Batch User Guide, tag restrictions.

use std::collections::BTreeMap;

use fornada_core::id::{JobId, Uuid};
use fornada_core::refusal::Refusal;
use fornada_core::resource::tags::{MAX_TAGS, Tags};
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use crate::app::Call;
use crate::error::WireError;

/// Characters of a key.
const KEY_MAX: usize = 128;
/// Characters of a value.
const VALUE_MAX: usize = 256;
/// Keys that begin so belong to the service.
const RESERVED: &str = "aws:";

pub(super) async fn list(
    call: &Call,
    request: model::ListTagsForResourceRequest,
) -> Result<model::ListTagsForResourceResponse, WireError> {
    let model::ListTagsForResourceRequest { resource_arn } = request;
    let (scope, jobs) = (call.scope.clone(), job_of(&resource_arn));
    let read = move |turn: &mut Turn<'_>| turn.state().tags(&scope, &resource_arn).cloned();
    let tags = call.decide_about(jobs, read).await??;
    Ok(model::ListTagsForResourceResponse { tags: Some(to_wire(&tags)) })
}

pub(super) async fn tag(
    call: &Call,
    request: model::TagResourceRequest,
) -> Result<model::TagResourceResponse, WireError> {
    let model::TagResourceRequest { resource_arn, tags } = request;
    if tags.is_empty() {
        return Err(WireError::client("TagResource needs at least one tag."));
    }
    let (scope, tags, jobs) = (call.scope.clone(), checked(Some(tags))?, job_of(&resource_arn));
    call.decide_about(jobs, move |turn| turn.tag_resource(&scope, &resource_arn, &tags)).await??;
    Ok(model::TagResourceResponse {})
}

pub(super) async fn untag(
    call: &Call,
    request: model::UntagResourceRequest,
) -> Result<model::UntagResourceResponse, WireError> {
    let model::UntagResourceRequest { resource_arn, tag_keys } = request;
    let (scope, keys) = (call.scope.clone(), tag_keys.into_iter().map(Text::from).collect::<Vec<_>>());
    call.decide_about(job_of(&resource_arn), move |turn| turn.untag_resource(&scope, &resource_arn, &keys))
        .await??;
    Ok(model::UntagResourceResponse {})
}

/// The job that an ARN names, if it is one of a job.
fn job_of(arn: &str) -> Vec<Uuid> {
    let job = arn.rsplit_once("job/").and_then(|(_, id)| id.parse::<JobId>().ok());
    job.map(|id| id.job).into_iter().collect()
}

/// Tags of a request; none given is none.
pub(super) fn checked(tags: Option<BTreeMap<String, String>>) -> Result<Tags, WireError> {
    let tags = tags.unwrap_or_default();
    if tags.len() > MAX_TAGS {
        return Err(Refusal::TooManyTags.into());
    }
    let check = |(key, value): (String, String)| {
        let fault = if !(1..=KEY_MAX).contains(&key.chars().count()) {
            format!("A tag key must have 1 to {KEY_MAX} characters.")
        } else if value.chars().count() > VALUE_MAX {
            format!("The value of tag {key} can have at most {VALUE_MAX} characters.")
        } else if key.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
            format!("The tag key {key} is reserved: keys must not begin with {RESERVED}")
        } else {
            return Ok((key.into(), value.into()));
        };
        Err(WireError::client(fault))
    };
    tags.into_iter().map(check).collect()
}

/// For echoes.
pub(super) fn to_wire(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_within_their_limits_only() {
        let check = |key: &str, value: &str| checked(Some([(key.into(), value.into())].into()));
        for (key, value) in [("k", ""), (&"k".repeat(128), &"v".repeat(256)), ("awsome", "v"), ("é:é", "v")]
        {
            assert!(check(key, value).is_ok(), "{key}");
        }
        for (key, value) in [("", "v"), (&"k".repeat(129), "v"), ("k", &"v".repeat(257)), ("AWS:k", "v")] {
            assert!(check(key, value).is_err(), "{key}");
        }
        let many = |n: usize| checked(Some((0..n).map(|i| (i.to_string(), String::new())).collect()));
        assert!(many(MAX_TAGS).is_ok() && many(MAX_TAGS + 1).is_err());
        assert_eq!(checked(None).unwrap(), Tags::new());
    }
}
