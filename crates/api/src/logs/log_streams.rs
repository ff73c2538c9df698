//! CreateLogStream.

use fornada_model::logs as model;

use super::{Caller, Empty};
use crate::error::WireError;

/// Makes an empty stream in a group that exists.
pub(super) fn create(
    caller: &Caller<'_>,
    request: model::CreateLogStreamRequest,
) -> Result<Empty, WireError> {
    let model::CreateLogStreamRequest { log_group_name, log_stream_name } = request;
    caller.logs.create_stream(&caller.stream(&log_group_name, &log_stream_name), caller.now)?;
    Ok(Empty {})
}
