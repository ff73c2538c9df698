//! AWS Signature Version 4: who is calling, proved by a signature over the request.
//!
//! [`verify`] is a pure function of the request, the time and the known access keys. It takes the header form
//! (`Authorization: AWS4-HMAC-SHA256 …`) and the presigned form (`X-Amz-Signature` in the query). What must hold:
//! no input makes it panic, its work is linear in the size of the request, and the signature is compared in
//! constant time.
//!
//! Source: AWS General Reference, "Signature Version 4 signing process". Error texts are AWS's own where known,
//! because clients match on them.

mod canonical;
mod claim;
mod verify;

use http::{HeaderMap, Method};

pub use verify::{unverified, verify};

/// Tolerance between the caller's clock and ours, in minutes, in both directions.
/// Source: observed in AWS's error text ("- 5 min.").
pub const CLOCK_SKEW_MINUTES: i64 = 5;

/// The longest life of a presigned request: seven days, in seconds.
/// Source: AWS General Reference, `X-Amz-Expires`.
pub const PRESIGNED_SECONDS_MAX: i64 = 604_800;

/// The parts of a request that a signature covers, as they arrived: nothing decoded, nothing normalised.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// HTTP method.
    pub method: &'a Method,
    /// Raw path, percent-encoded as sent.
    pub path: &'a str,
    /// Raw query without the `?`; empty when there is none.
    pub query: &'a str,
    /// All headers, `host` among them.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// The caller: the access key, and the account, region and service that the request is for.
///
/// Region and service consist of lower-case letters, digits and `-` only, so they can be put into an ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Access key ID as sent by the caller.
    pub access_key_id: String,
    /// Account that the access key belongs to: 12 digits.
    pub account_id: String,
    /// Region of the credential scope, such as `us-east-1`.
    pub region: String,
    /// Service of the credential scope, such as `batch` or `logs`.
    pub service: String,
}

/// Why a request was not accepted. The `Display` text is for the client; none of the variants holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request carries no signature at all.
    #[error("Missing Authentication Token")]
    MissingToken,
    /// The signature is there but cannot be checked; the text says what is missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    /// The access key is unknown, or the session token does not belong to it.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The request was signed longer ago than the tolerance allows. All times as `20150830T123600Z`.
    #[error(
        "Signature expired: {signed_at} is now earlier than {earliest} ({now} - {CLOCK_SKEW_MINUTES} min.)"
    )]
    Expired {
        /// When the request says it was signed.
        signed_at: String,
        /// The earliest time that would be accepted.
        earliest: String,
        /// Our clock.
        now: String,
    },
    /// The request was signed further in the future than the tolerance allows.
    #[error(
        "Signature not yet current: {signed_at} is still later than {latest} ({now} + {CLOCK_SKEW_MINUTES} min.)"
    )]
    NotYetCurrent {
        /// When the request says it was signed.
        signed_at: String,
        /// The latest time that would be accepted.
        latest: String,
        /// Our clock.
        now: String,
    },
    /// A presigned request outlived its `X-Amz-Expires`.
    #[error("Signature expired: {expired_at} is now earlier than {now}")]
    PresignedExpired {
        /// When its life ended.
        expired_at: String,
        /// Our clock.
        now: String,
    },
    /// The day in the credential scope is not the day on which the request was signed.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
         '{scope_date}' != '{date}', from '{signed_at}'."
    )]
    ScopeDate {
        /// Day in the credential scope.
        scope_date: String,
        /// Day of `signed_at`.
        date: String,
        /// When the request says it was signed.
        signed_at: String,
    },
    /// The signature is not the one that this key gives for this request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
         Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl Error {
    /// AWS's error code, as it stands in `x-amzn-ErrorType` or `__type`. All of them go with HTTP status 403.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::PresignedExpired { .. }
            | Self::ScopeDate { .. }
            | Self::Mismatch => "InvalidSignatureException",
        }
    }
}
