//! CreateSchedulingPolicy, UpdateSchedulingPolicy, DescribeSchedulingPolicies, ListSchedulingPolicies, DeleteSchedulingPolicy.
//!
//! What must hold: no share has two weights. A policy is described as it was asked for, without added defaults.
//!
//! Source: AWS Batch API reference, the five operations, FairsharePolicy and ShareAttributes; texts as observed.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::arn::{Scope, name_of};
use fornada_core::resource::scheduling_policy::{FairShare, Kind, SchedulingPolicy, Specification};
use fornada_core::resource::tags::Tags;
use fornada_core::state::State;
use fornada_core::text::{Document, Text};
use fornada_model::batch as model;

use super::names::{is_name, is_share_identifier};
use super::require::require;
use super::selection::{Selection, check_count, owned};
use super::tags;
use crate::app::Call;
use crate::error::WireError;

pub(super) const KIND: &str = "scheduling-policy";

/// Source: observed error text.
const SHARES_MAX: usize = 500;
/// Source: AWS Batch API reference, FairsharePolicy.
const DECAY_SECONDS_MAX: u32 = 604_800;
/// Percent. Source: AWS Batch API reference, FairsharePolicy.
const RESERVATION_MAX: u32 = 99;
/// In ten-thousandths. Source: AWS Batch API reference, ShareAttributes.
const WEIGHTS: std::ops::RangeInclusive<f64> = 1.0..=9_999_999.0;

pub(super) async fn create(
    call: &Call,
    request: model::CreateSchedulingPolicyRequest,
) -> Result<model::CreateSchedulingPolicyResponse, WireError> {
    let (given, tags) = created(&call.scope, request)?;
    let arn = given.arn.clone();
    call.app.engine.decide(move |turn| turn.create_scheduling_policy(given, tags)).await??;
    Ok(model::CreateSchedulingPolicyResponse { name: name_of(&arn).to_owned(), arn: arn.into() })
}

/// A new policy as the engine takes it.
pub(crate) fn created(
    scope: &Scope,
    request: model::CreateSchedulingPolicyRequest,
) -> Result<(Specification, Tags), WireError> {
    let model::CreateSchedulingPolicyRequest { fairshare_policy, name, quota_share_policy, tags } = request;
    require(is_name(&name), "Scheduling policy name should match a valid pattern.")?;
    let (kind, document) = checked(fairshare_policy, quota_share_policy)?;
    Ok((Specification { arn: scope.resolve(KIND, &name), kind, document }, tags::checked(tags)?))
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateSchedulingPolicyRequest,
) -> Result<model::UpdateSchedulingPolicyResponse, WireError> {
    let model::UpdateSchedulingPolicyRequest { arn, fairshare_policy, quota_share_policy } = request;
    let arn = owned(&call.scope, KIND, &arn)?;
    let (kind, document) = checked(fairshare_policy, quota_share_policy)?;
    let given = Specification { arn, kind, document };
    call.app.engine.decide(move |turn| turn.update_scheduling_policy(given)).await??;
    Ok(model::UpdateSchedulingPolicyResponse {})
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeSchedulingPoliciesRequest,
) -> Result<model::DescribeSchedulingPoliciesResponse, WireError> {
    let model::DescribeSchedulingPoliciesRequest { arns } = request;
    check_count(&arns)?;
    let scope = call.scope.clone();
    let select = move |state: &State| -> Vec<_> {
        let mut seen = BTreeSet::new();
        let wanted = arns.iter().filter(|arn| scope.owns(arn) && seen.insert(arn.as_str()));
        wanted.filter_map(|arn| state.scheduling_policies().get(arn.as_str()).cloned()).collect()
    };
    let found = call.app.engine.read(select).await?;
    let details = found.iter().map(|policy| described(policy)).collect::<Result<_, _>>()?;
    Ok(model::DescribeSchedulingPoliciesResponse { scheduling_policies: Some(details) })
}

pub(super) async fn list(
    call: &Call,
    request: model::ListSchedulingPoliciesRequest,
) -> Result<model::ListSchedulingPoliciesResponse, WireError> {
    let model::ListSchedulingPoliciesRequest { max_results, next_token } = request;
    let (scope, selection) = (call.scope.clone(), Selection { names: None, max_results, next_token });
    let select = move |state: &State| selection.of(state.scheduling_policies(), &scope, KIND);
    let (page, next_token) = call.app.engine.read(select).await??;
    let listed =
        page.iter().map(|policy| model::SchedulingPolicyListingDetail { arn: policy.arn.clone().into() });
    Ok(model::ListSchedulingPoliciesResponse { next_token, scheduling_policies: Some(listed.collect()) })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteSchedulingPolicyRequest,
) -> Result<model::DeleteSchedulingPolicyResponse, WireError> {
    let model::DeleteSchedulingPolicyRequest { arn } = request;
    let arn = owned(&call.scope, KIND, &arn)?;
    call.app.engine.decide(move |turn| turn.delete_scheduling_policy(&arn)).await??;
    Ok(model::DeleteSchedulingPolicyResponse {})
}

/// What a policy does, and its document: the wire's own detail.
fn checked(
    fairshare_policy: Option<model::FairsharePolicy>,
    quota_share_policy: Option<model::QuotaSharePolicy>,
) -> Result<(Kind, Document), WireError> {
    let kind = match (&fairshare_policy, &quota_share_policy) {
        (Some(fair), None) => Kind::FairShare(fair_share(fair)?),
        (None, Some(_)) => Kind::QuotaShare, // the model knows no other strategy than FIFO
        _ => return Err(one_kind()),
    };
    let detail = model::SchedulingPolicyDetail { fairshare_policy, quota_share_policy, ..Default::default() };
    Ok((kind, Document::new(serde_json::to_string(&detail).map_err(WireError::server)?)))
}

/// A policy has one kind, and keeps it.
pub(crate) fn one_kind() -> WireError {
    WireError::invalid("A scheduling policy can have either fairsharePolicy or quotaSharePolicy")
}

fn fair_share(given: &model::FairsharePolicy) -> Result<FairShare, WireError> {
    let model::FairsharePolicy { compute_reservation, share_decay_seconds, share_distribution } = given;
    let within = |name: &str, value: Option<i32>, max: u32| {
        let checked = value.map(|value| u32::try_from(value).ok().filter(|value| *value <= max));
        let fault = || WireError::invalid(format!("{name} should be between 0 and {max}."));
        checked.map(|value| value.ok_or_else(fault)).transpose()
    };
    Ok(FairShare {
        decay_seconds: within("shareDecaySeconds", *share_decay_seconds, DECAY_SECONDS_MAX)?,
        compute_reservation: within("computeReservation", *compute_reservation, RESERVATION_MAX)?,
        weights: weights(share_distribution.as_deref().unwrap_or_default())?,
    })
}

fn weights(distribution: &[model::ShareAttributes]) -> Result<BTreeMap<Text, u32>, WireError> {
    require(distribution.len() <= SHARES_MAX, "ShareDistribution size cannot be greater than 500.")?;
    let mut weights = BTreeMap::new();
    for model::ShareAttributes { share_identifier, weight_factor } in distribution {
        let name = share_identifier.strip_suffix('*').unwrap_or(share_identifier);
        let is_all = share_identifier == "*";
        require(
            is_all || is_share_identifier(name) && share_identifier.len() <= 255,
            "ShareIdentifier name should match a valid pattern.",
        )?;
        let weight = (f64::from(weight_factor.unwrap_or(1.0)) * 10_000.0).round();
        require(WEIGHTS.contains(&weight), "Weight factor should be between 0.0001 and 999.9999.")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
        let before = weights.insert(Text::from(share_identifier.as_str()), weight as u32);
        require(before.is_none(), "Cannot have two or more identical shareIdentifiers.")?;
    }
    refuse_overlap(weights.keys().map(Text::as_str))?;
    Ok(weights)
}

/// In the order of `identifiers`, which is that of their bytes, all that begin with a prefix come together, and `*` comes
/// before every other byte that an identifier may have: only the name without `*` may come before its prefix.
fn refuse_overlap<'a>(identifiers: impl Iterator<Item = &'a str>) -> Result<(), WireError> {
    let mut before: Option<&str> = None;
    let mut wildcard: Option<&str> = None;
    for identifier in identifiers {
        let covers =
            |wildcard: &&str| wildcard.strip_suffix('*').is_some_and(|prefix| identifier.starts_with(prefix));
        let other = match identifier.strip_suffix('*') {
            Some(prefix) if before == Some(prefix) => Some((prefix, identifier)),
            _ => wildcard.filter(covers).map(|wildcard| (identifier, wildcard)),
        };
        if let Some((a, b)) = other {
            return Err(WireError::invalid(format!(
                "Share identifier {a} matches another share identifier {b}"
            )));
        }
        before = Some(identifier);
        wildcard = identifier.ends_with('*').then_some(identifier).or(wildcard);
    }
    Ok(())
}

fn described(policy: &SchedulingPolicy) -> Result<model::SchedulingPolicyDetail, WireError> {
    let stored: model::SchedulingPolicyDetail =
        serde_json::from_str(policy.document.as_str()).map_err(WireError::server)?;
    Ok(model::SchedulingPolicyDetail {
        arn: policy.arn.clone().into(),
        name: policy.name().to_owned(),
        tags: Some(tags::to_wire(&policy.tags)),
        ..stored
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kind(policy: Value) -> Result<Kind, String> {
        let request: model::CreateSchedulingPolicyRequest = serde_json::from_value(policy).unwrap();
        checked(request.fairshare_policy, request.quota_share_policy)
            .map(|(kind, _)| kind)
            .map_err(|error| error.message)
    }

    fn shares(shares: &[(&str, Option<f64>)]) -> Value {
        let entry = |&(share, weight): &(&str, Option<f64>)| json!({ "shareIdentifier": share, "weightFactor": weight });
        let distribution: Vec<Value> = shares.iter().map(entry).collect();
        json!({ "name": "p", "fairsharePolicy": { "shareDistribution": distribution } })
    }

    #[test]
    fn weights_in_ten_thousandths() {
        let given = [
            ("a", Some(0.0001)),
            ("b", Some(999.9999)),
            ("c", None),
            ("d*", Some(0.125)),
            ("e_-9", Some(0.3)),
        ];
        let Ok(Kind::FairShare(fair)) = kind(shares(&given)) else { panic!("it is fair") };
        let want = [("a", 1), ("b", 9_999_999), ("c", 10_000), ("d*", 1250), ("e_-9", 3000)];
        assert_eq!(fair.weights, want.map(|(share, weight)| (share.into(), weight)).into());
        assert_eq!((fair.decay_seconds, fair.compute_reservation), (None, None));
        for policy in [
            json!({ "name": "p", "fairsharePolicy": {} }),
            json!({ "name": "p", "fairsharePolicy": { "shareDecaySeconds": 604_800, "computeReservation": 99 } }),
            json!({ "name": "p", "quotaSharePolicy": { "idleResourceAssignmentStrategy": "FIFO" } }),
            shares(&[("*", None)]),
            shares(&[("ab", None), ("abc", None), ("b*", None), ("a*", None)][..2]),
            shares(&[("a-1*", None), ("a", None), ("a-2*", None), ("b", None), ("a-3", None)]),
        ] {
            assert!(kind(policy.clone()).is_ok(), "{policy}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_in_the_services_words() {
        let either = "A scheduling policy can have either fairsharePolicy or quotaSharePolicy";
        let quota = json!({ "idleResourceAssignmentStrategy": "FIFO" });
        let pattern = "ShareIdentifier name should match a valid pattern.";
        let weight = "Weight factor should be between 0.0001 and 999.9999.";
        let fair = |member: &str, value: i32| json!({ "name": "p", "fairsharePolicy": { member: value } });
        let many: Vec<_> = (0..501).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(|share| (share.as_str(), None)).collect();
        let long = "x".repeat(256);
        let overlap = |a: &str, b: &str| format!("Share identifier {a} matches another share identifier {b}");
        let cases = [
            (json!({ "name": "p" }), either.to_owned()),
            (json!({ "name": "p", "fairsharePolicy": {}, "quotaSharePolicy": quota }), either.to_owned()),
            (fair("shareDecaySeconds", 604_801), "shareDecaySeconds should be between 0 and 604800.".into()),
            (fair("shareDecaySeconds", -1), "shareDecaySeconds should be between 0 and 604800.".into()),
            (fair("computeReservation", 100), "computeReservation should be between 0 and 99.".into()),
            (shares(&many), "ShareDistribution size cannot be greater than 500.".into()),
            (
                shares(&[("a", None), ("a", Some(2.0))]),
                "Cannot have two or more identical shareIdentifiers.".into(),
            ),
            (shares(&[("a", Some(0.0))]), weight.into()),
            (shares(&[("a", Some(1000.0))]), weight.into()),
            (shares(&[("a", Some(-1.0))]), weight.into()),
            (shares(&[("", None)]), pattern.into()),
            (shares(&[("a b", None)]), pattern.into()),
            (shares(&[("a**", None)]), pattern.into()),
            (shares(&[("*a", None)]), pattern.into()),
            (shares(&[(&long, None)]), pattern.into()),
            (shares(&[("ab", None), ("a*", None)]), overlap("ab", "a*")),
            (shares(&[("a*", None), ("ab*", None)]), overlap("ab*", "a*")),
            (shares(&[("a*", None), ("a", None)]), overlap("a", "a*")),
            (shares(&[("*", None), ("z", None)]), overlap("z", "*")),
            (shares(&[("a*", None), ("b*", None), ("ba", None)]), overlap("ba", "b*")),
        ];
        for (policy, want) in cases {
            assert_eq!(kind(policy.clone()), Err(want), "{policy}");
        }
    }
}
