//! CreateLogGroup, DeleteLogGroup, PutRetentionPolicy and DeleteRetentionPolicy.

use fornada_engine::port::log::GroupSettings;
use fornada_model::logs::{self as model, LogGroupClass};

use super::{Caller, Empty, invalid};
use crate::error::WireError;

/// Days that events may be kept. Source: API reference, PutRetentionPolicy (retentionInDays).
const RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Makes an empty group. Tags are checked and, for want of an operation that shows them, not kept.
pub(super) fn create(caller: &Caller<'_>, request: model::CreateLogGroupRequest) -> Result<Empty, WireError> {
    let model::CreateLogGroupRequest {
        deletion_protection_enabled,
        kms_key_id,
        log_group_class,
        log_group_name,
        tags: _,
    } = request;
    if kms_key_id.is_some() {
        return Err(invalid("Fornada does not encrypt logs: leave out kmsKeyId."));
    }
    if deletion_protection_enabled == Some(true) {
        return Err(invalid(
            "Fornada has no operation to lift deletion protection: leave out deletionProtectionEnabled.",
        ));
    }
    let class = log_group_class.filter(|class| *class != LogGroupClass::Standard);
    let settings = GroupSettings { retention_days: None, class: class.map(|class| class.as_str().into()) };
    caller.logs.create_group(caller.scope, &log_group_name, settings, caller.now)?;
    Ok(Empty {})
}

/// Deletes a group and its streams.
pub(super) fn delete(caller: &Caller<'_>, request: model::DeleteLogGroupRequest) -> Result<Empty, WireError> {
    let model::DeleteLogGroupRequest { log_group_name } = request;
    caller.logs.delete_group(caller.scope, &log_group_name)?;
    Ok(Empty {})
}

/// Lets events expire after some days.
pub(super) fn put_retention_policy(
    caller: &Caller<'_>,
    request: model::PutRetentionPolicyRequest,
) -> Result<Empty, WireError> {
    let model::PutRetentionPolicyRequest { log_group_name, retention_in_days } = request;
    let days = u32::try_from(retention_in_days).ok().filter(|days| RETENTION_DAYS.contains(days));
    // Observed error text.
    let days = days
        .ok_or_else(|| invalid(format!("Invalid retention value. Valid values are: {RETENTION_DAYS:?}")))?;
    caller.logs.set_retention(caller.scope, &log_group_name, Some(days), caller.now)?;
    Ok(Empty {})
}

/// Keeps events from here on.
pub(super) fn delete_retention_policy(
    caller: &Caller<'_>,
    request: model::DeleteRetentionPolicyRequest,
) -> Result<Empty, WireError> {
    let model::DeleteRetentionPolicyRequest { log_group_name } = request;
    caller.logs.set_retention(caller.scope, &log_group_name, None, caller.now)?;
    Ok(Empty {})
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryLogs;
    use super::*;

    #[test]
    fn only_the_documented_days_are_taken() {
        let logs = MemoryLogs::default();
        logs.append("g", "s", &[]);
        let put = |days| {
            let log_group_name = "g".to_owned();
            let request = model::PutRetentionPolicyRequest { log_group_name, retention_in_days: days };
            put_retention_policy(&logs.caller(), request)
        };
        for days in (-1..4000).chain([i32::MIN, i32::MAX]) {
            let wanted = u32::try_from(days).is_ok_and(|days| RETENTION_DAYS.contains(&days));
            match put(days) {
                Ok(_) => assert!(wanted, "{days}"),
                Err(error) => {
                    assert!(!wanted && error.message.contains("[1, 3, 5, 7, 14,"), "{days}");
                }
            }
        }
    }
}
