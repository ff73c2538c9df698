//! DescribeLogGroups.

use fornada_core::arn::Scope;
use fornada_engine::port::log::{GroupInfo, GroupSettings};
use fornada_model::logs::{self as model, LogGroupClass};

use super::token::{self, Kind, Place};
use super::{Caller, DESCRIBE_LIMIT, group_arn, identified, invalid, limit};
use crate::error::WireError;

/// Lists log groups by name. A pattern is a case-sensitive substring of the name.
pub(super) fn describe_log_groups(
    caller: &Caller<'_>,
    request: model::DescribeLogGroupsRequest,
) -> Result<model::DescribeLogGroupsResponse, WireError> {
    let model::DescribeLogGroupsRequest {
        // There are no linked accounts.
        account_identifiers: _,
        include_linked_accounts: _,
        limit: page_limit,
        log_group_class,
        log_group_identifiers,
        log_group_name_pattern: pattern,
        log_group_name_prefix: prefix,
        next_token,
    } = request;
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let after = Place::decode(Kind::Groups, next_token.as_deref())?;
    // An identifier of another account's group names nothing here.
    let named: Option<Vec<String>> = log_group_identifiers
        .map(|identifiers| identifiers.iter().flat_map(|id| identified(caller.scope, id)).collect());
    let is_asked_for = |group: &GroupInfo| {
        let name = group.group.as_str();
        log_group_class.is_none_or(|asked| class(&group.settings) == asked)
            && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix))
            && pattern.as_ref().is_none_or(|pattern| name.contains(pattern))
            && named.as_ref().is_none_or(|names| names.iter().any(|n| n == name))
            && after.as_ref().is_none_or(|after| name > after.name.as_str())
    };
    let groups = caller.logs.groups(caller.scope)?.into_iter().filter(is_asked_for);
    let place = |group: &GroupInfo| Place { name: group.group.to_string(), ..Place::default() };
    let (page, next_token) = token::page(groups, limit(page_limit, DESCRIBE_LIMIT), Kind::Groups, place);
    Ok(model::DescribeLogGroupsResponse {
        log_groups: Some(page.into_iter().map(|group| log_group(caller.scope, group)).collect()),
        next_token,
    })
}

fn log_group(scope: &Scope, group: GroupInfo) -> model::LogGroup {
    let GroupInfo { group, created_at, stored_bytes, settings } = group;
    let arn = group_arn(scope, &group);
    model::LogGroup {
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        creation_time: Some(created_at),
        log_group_class: Some(class(&settings)),
        log_group_name: Some(group.into()),
        metric_filter_count: Some(0),
        retention_in_days: settings.retention_days.and_then(|days| days.try_into().ok()),
        stored_bytes: Some(i64::try_from(stored_bytes).unwrap_or(i64::MAX)),
        ..model::LogGroup::default()
    }
}

fn class(settings: &GroupSettings) -> LogGroupClass {
    settings.class.as_ref().and_then(|class| class.parse().ok()).unwrap_or(LogGroupClass::Standard)
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryLogs;
    use super::*;

    fn names(logs: &MemoryLogs, request: &model::DescribeLogGroupsRequest) -> Vec<Vec<String>> {
        let (mut pages, mut request) = (vec![], request.clone());
        loop {
            let answer = describe_log_groups(&logs.caller(), request.clone()).unwrap();
            pages.push(answer.log_groups.unwrap().into_iter().map(|g| g.log_group_name.unwrap()).collect());
            request.next_token = answer.next_token;
            if request.next_token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn groups_are_listed_by_name_in_pages() {
        let logs = MemoryLogs::default();
        for group in ["/b/x", "/a/y", "/a/x"] {
            logs.append(group, "s", &[(1, "line")]);
        }
        let all = model::DescribeLogGroupsRequest::default();
        assert_eq!(names(&logs, &all), [["/a/x", "/a/y", "/b/x"]]);
        let paged = model::DescribeLogGroupsRequest { limit: Some(2), ..all.clone() };
        assert_eq!(names(&logs, &paged), [vec!["/a/x", "/a/y"], vec!["/b/x"]]);
        let prefix =
            model::DescribeLogGroupsRequest { log_group_name_prefix: Some("/a".into()), ..all.clone() };
        assert_eq!(names(&logs, &prefix), [["/a/x", "/a/y"]]);
        let mut pattern =
            model::DescribeLogGroupsRequest { log_group_name_pattern: Some("x".into()), ..all.clone() };
        assert_eq!(names(&logs, &pattern), [["/a/x", "/b/x"]]);
        pattern.log_group_name_prefix = Some("/a".into());
        assert!(describe_log_groups(&logs.caller(), pattern).is_err());
        let first = describe_log_groups(&logs.caller(), all).unwrap().log_groups.unwrap().remove(0);
        assert_eq!(first.arn.unwrap(), "arn:aws:logs:us-east-1:000000000000:log-group:/a/x:*");
        assert_eq!(first.log_group_arn.unwrap(), "arn:aws:logs:us-east-1:000000000000:log-group:/a/x");
    }
}
