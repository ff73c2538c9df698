//! Which resources a request means: one that must be the caller's, some by name, or all of them page by page.
//!
//! What must hold: resources of other accounts and regions look like missing ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fornada_core::arn::{Arn, Scope};
use fornada_core::refusal::Refusal;
use fornada_model::batch as model;

use super::paging;
use crate::error::WireError;

/// Names in a list, and resources in a page. Source: AWS Batch API reference, the Describe operations.
pub(super) const MAX: usize = 100;
/// Filters in a list, and values of a filter.
const FILTERS_MAX: usize = 10;

/// The ARN that `name_or_arn` means.
pub(super) fn owned(scope: &Scope, kind: &str, name_or_arn: &str) -> Result<Arn, WireError> {
    let arn = scope.resolve(kind, name_or_arn);
    if scope.owns(&arn) { Ok(arn) } else { Err(Refusal::NoSuchResource { arn }.into()) }
}

/// The members that the Describe operations share.
pub(super) struct Selection {
    /// Names or ARNs. When there are any, the other members do not matter.
    pub(super) names: Option<Vec<String>>,
    pub(super) max_results: Option<i32>,
    pub(super) next_token: Option<String>,
}

impl Selection {
    /// One page of the resources of `scope`, ordered by name, and the token of the next.
    pub(super) fn of<T>(
        &self,
        all: &BTreeMap<Arn, Arc<T>>,
        scope: &Scope,
        kind: &str,
    ) -> Result<(Vec<Arc<T>>, Option<String>), WireError> {
        if let Some(names) = self.names.as_deref().filter(|names| !names.is_empty()) {
            check_count(names)?;
            let arns: BTreeSet<Arn> = names.iter().map(|name| scope.resolve(kind, name)).collect();
            let found = arns.iter().filter(|arn| scope.owns(arn)).filter_map(|arn| all.get(arn));
            return Ok((found.cloned().collect(), None));
        }
        let prefix = scope.resolve(kind, "");
        let mine = all.range(prefix.clone()..).take_while(|(arn, _)| arn.starts_with(prefix.as_str()));
        let (max_results, next_token) = (self.max_results, self.next_token.as_deref());
        paging::page(
            mine.map(|(_, resource)| Arc::clone(resource)),
            max_results,
            MAX,
            next_token,
            &prefix.as_str(),
        )
    }
}

/// A list of names is not longer than a page.
pub(super) fn check_count(names: &[String]) -> Result<(), WireError> {
    if names.len() > MAX {
        return Err(WireError::invalid(format!("At most {MAX} names can be described in one request.")));
    }
    Ok(())
}

/// What is asked of many resources is asked in few words.
pub(super) fn check_filters(filters: &[model::KeyValuesPair]) -> Result<(), WireError> {
    let values = |filter: &model::KeyValuesPair| filter.values.as_ref().map_or(0, Vec::len);
    if filters.len() > FILTERS_MAX || filters.iter().any(|filter| values(filter) > FILTERS_MAX) {
        return Err(WireError::invalid(format!(
            "At most {FILTERS_MAX} filters can be used at a time, with at most {FILTERS_MAX} values each."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_or_page_by_page_and_only_ones_own() {
        let scope = |account: &str| Scope { region: "eu-west-1".into(), account: account.into() };
        let (mine, other) = (scope("111111111111"), scope("222222222222"));
        let resource =
            |scope: &Scope, name: &str| (scope.resolve("job-queue", name), Arc::new(name.to_owned()));
        let all: BTreeMap<_, _> =
            [resource(&mine, "b"), resource(&mine, "a"), resource(&mine, "c"), resource(&other, "d")].into();
        let select = |names: Option<&[&str]>, max_results, next_token| {
            let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            let (page, next) =
                Selection { names, max_results, next_token }.of(&all, &mine, "job-queue").unwrap();
            (page.iter().map(|name| name.to_string()).collect::<Vec<_>>(), next)
        };
        let foreign = other.resolve("job-queue", "d");
        assert_eq!(
            select(Some(&["c", "a", "x", "a", &foreign]), Some(1), None),
            (vec!["a".into(), "c".into()], None)
        );
        assert_eq!(select(Some(&[]), None, None).0, ["a", "b", "c"]);
        let (first, next) = select(None, Some(2), None);
        assert_eq!(
            (first, select(None, Some(2), next)),
            (vec!["a".into(), "b".into()], (vec!["c".into()], None))
        );
        assert!(
            owned(&mine, "job-queue", &foreign).unwrap_err().message.ends_with("job-queue/d does not exist")
        );
        assert!(check_count(&vec![String::new(); MAX + 1]).is_err());
    }
}
