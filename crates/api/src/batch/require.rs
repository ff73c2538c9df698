//! Rules that read as one line each: what must hold, and the service's words when it does not.

use crate::error::WireError;

/// The fault, in the form of request validation, unless `holds`.
pub(super) fn require(holds: bool, fault: &str) -> Result<(), WireError> {
    if holds { Ok(()) } else { Err(WireError::invalid(fault)) }
}
