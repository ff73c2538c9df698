//! Bodies: a version byte, then the record as CBOR with numbered members.
//!
//! Members of a newer release that this one does not know are skipped; a body whose version is newer is refused.

use std::sync::Arc;

use minicbor::{Decode, Encode};

/// The version that is written.
const VERSION: u8 = 1;

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("a record is empty")]
    Empty,
    #[error("a record has version {0}, this release reads up to {VERSION}")]
    Version(u8),
    #[error("a record of kind {0} is not known to this release")]
    Kind(u8),
    #[error("a record has a key that is none")]
    Key,
    #[error("a record is damaged")]
    Damaged(#[from] minicbor::decode::Error),
}

pub(super) fn encode<T: Encode<()>>(record: &T) -> Vec<u8> {
    let mut body = vec![VERSION];
    minicbor::encode(record, &mut body).expect("writing to memory does not fail");
    body
}

pub(super) fn decode<T: for<'b> Decode<'b, ()>>(body: &[u8]) -> Result<Arc<T>, Unreadable> {
    let (&version, record) = body.split_first().ok_or(Unreadable::Empty)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    Ok(Arc::new(minicbor::decode(record)?))
}
