//! What a request claims about itself: the parts of its signature, read from the `Authorization` header or from
//! the query of a presigned request. Reading proves nothing; [`verify`](super::verify) does.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{Timestamp, civil, fmt::rfc2822, tz::TimeZone};

use super::canonical::QueryPairs;
use super::{CLOCK_SKEW_MINUTES, Error, Identity, PRESIGNED_SECONDS_MAX};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const SCOPE_END: &str = "aws4_request";
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";
pub(super) const TOKEN_PARAMETER: &str = "X-Amz-Security-Token";

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Reads a `Date` header. A wrong day of the week does no harm, and AWS's own examples have one.
const DATE_HEADER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);

/// Longest piece of the caller's own text that an error repeats, in characters.
const ECHO_MAX: usize = 128;

/// The signature and what it says it covers.
pub(super) struct Claim {
    pub(super) credential: String,
    pub(super) signed_headers: String,
    pub(super) signature: String,
    /// When it was signed: text as it was signed, and seconds since the epoch.
    pub(super) signed_at: (String, i64),
    /// Life of a presigned request in seconds, 1..=604800; `None` in the header form.
    pub(super) expires_seconds: Option<i64>,
    pub(super) session_token: Option<Vec<u8>>,
}

impl Claim {
    /// The claim of a request with these headers and this query. The header form wins when both are there; the
    /// query is then signed like any other.
    pub(super) fn read(headers: &HeaderMap, query: &QueryPairs) -> Result<Self, Error> {
        if let Some(authorization) = headers.get(header::AUTHORIZATION) {
            return Self::from_header(authorization, headers);
        }
        let presigned = ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER]
            .iter()
            .any(|name| parameter(query, name).is_some());
        if presigned { Self::from_query(query) } else { Err(Error::MissingToken) }
    }

    fn from_header(authorization: &HeaderValue, headers: &HeaderMap) -> Result<Self, Error> {
        let authorization = String::from_utf8_lossy(authorization.as_bytes());
        let (algorithm, fields) = authorization.split_once(' ').unwrap_or((&authorization, ""));
        let fields: Vec<_> = fields.split(',').filter_map(|field| field.trim().split_once('=')).collect();
        let mut missing = String::new();
        let mut take = |name| match fields.iter().find(|(sent, _)| *sent == name) {
            Some((_, value)) => (*value).to_owned(),
            None => {
                missing += &format!("Authorization header requires '{name}' parameter. ");
                String::new()
            }
        };
        let credential = take("Credential");
        let signature = take("Signature");
        let signed_headers = take("SignedHeaders");
        let date = headers.get(X_AMZ_DATE).or_else(|| headers.get(header::DATE));
        if date.is_none() {
            missing +=
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        }
        let Some(date) = date.filter(|_| missing.is_empty()) else {
            // Only the first word is repeated: what follows another algorithm's name may be a secret.
            return Err(Error::Incomplete(missing + "Authorization=" + &echo(algorithm)));
        };
        require_algorithm(algorithm)?;
        Ok(Self {
            credential,
            signature,
            signed_headers,
            signed_at: parse_time(&String::from_utf8_lossy(date.as_bytes()))?,
            expires_seconds: None,
            session_token: headers.get(X_AMZ_SECURITY_TOKEN).map(|token| token.as_bytes().to_vec()),
        })
    }

    fn from_query(query: &QueryPairs) -> Result<Self, Error> {
        let mut missing = String::new();
        let mut take = |name| match parameter(query, name) {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            None => {
                missing += &format!("AWS query-string parameters must include '{name}'. ");
                String::new()
            }
        };
        let algorithm = take("X-Amz-Algorithm");
        let credential = take("X-Amz-Credential");
        let signature = take(SIGNATURE_PARAMETER);
        let signed_headers = take("X-Amz-SignedHeaders");
        let date = take("X-Amz-Date");
        let expires = take("X-Amz-Expires");
        if !missing.is_empty() {
            return Err(Error::Incomplete(missing + "Re-examine the query-string parameters."));
        }
        require_algorithm(&algorithm)?;
        let expires = expires.parse().ok().filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds));
        let expires = expires.ok_or_else(|| {
            Error::Incomplete(format!(
                "'X-Amz-Expires' must be between 1 and {PRESIGNED_SECONDS_MAX} seconds."
            ))
        })?;
        Ok(Self {
            credential,
            signature,
            signed_headers,
            signed_at: parse_time(&date)?,
            expires_seconds: Some(expires),
            session_token: parameter(query, TOKEN_PARAMETER).map(<[u8]>::to_vec),
        })
    }

    /// The names of the signed headers, lower-case, sorted and unique, with all that must be signed among them.
    pub(super) fn signed_headers(&self, headers: &HeaderMap) -> Result<Vec<&str>, Error> {
        let names: Vec<&str> = self.signed_headers.split(';').collect();
        let lower_case = !names.iter().any(|name| name.bytes().any(|byte| byte.is_ascii_uppercase()));
        if !lower_case || !names.is_sorted_by(|a, b| a < b) {
            return Err(Error::Incomplete(
                "'SignedHeaders' must be lower-case, sorted and unique.".to_owned(),
            ));
        }
        let date = match (self.expires_seconds, headers.contains_key(X_AMZ_DATE)) {
            (Some(_), _) => None,
            (None, true) => Some(X_AMZ_DATE),
            (None, false) => Some(header::DATE),
        };
        // The target header names the operation: unsigned, one operation's signature would do for any other.
        let target = headers.contains_key(X_AMZ_TARGET).then_some(X_AMZ_TARGET);
        for required in [Some(header::HOST), date, target].into_iter().flatten() {
            if !names.contains(&required.as_str()) {
                let message = format!("'{required}' must be a 'SignedHeader' in the AWS Authorization.");
                return Err(Error::Incomplete(message));
            }
        }
        Ok(names)
    }

    /// Checks the time of signing against our clock and against the day in the credential scope.
    pub(super) fn check_time(&self, scope_date: &str, now_unix_ms: i64) -> Result<(), Error> {
        let (text, signed_at) = &self.signed_at;
        let now = now_unix_ms.div_euclid(1000);
        let (earliest, latest) = (now - CLOCK_SKEW_MINUTES * 60, now + CLOCK_SKEW_MINUTES * 60);
        if *signed_at > latest {
            return Err(Error::NotYetCurrent {
                signed_at: text.clone(),
                latest: format_time(latest),
                now: format_time(now),
            });
        }
        match self.expires_seconds {
            None if *signed_at < earliest => {
                return Err(Error::Expired {
                    signed_at: text.clone(),
                    earliest: format_time(earliest),
                    now: format_time(now),
                });
            }
            Some(seconds) if signed_at + seconds < now => {
                let expired_at = format_time(signed_at + seconds);
                return Err(Error::PresignedExpired { expired_at, now: format_time(now) });
            }
            _ => {}
        }
        match text.split_once('T') {
            Some((date, _)) if date != scope_date => Err(Error::ScopeDate {
                scope_date: echo(scope_date),
                date: date.to_owned(),
                signed_at: text.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// A credential: the access key, and the scope in which the signature is good.
pub(super) struct Scope<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl<'a> Scope<'a> {
    pub(super) fn parse(credential: &'a str) -> Result<Self, Error> {
        let mut elements = credential.splitn(6, '/');
        let mut next = || elements.next();
        let (Some(access_key_id), Some(date), Some(region), Some(service), Some(end), None) =
            (next(), next(), next(), next(), next(), next())
        else {
            return Err(Error::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
                echo(credential)
            )));
        };
        // Region and service become part of ARNs, where a colon would reach into the next field.
        for (what, name) in [("region", region), ("service", service)] {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
                return Err(Error::Incomplete(format!(
                    "Credential should be scoped to a valid {what}, not '{}'.",
                    echo(name)
                )));
            }
        }
        if end != SCOPE_END {
            return Err(Error::Incomplete(format!(
                "Credential should be scoped with a valid terminator: '{SCOPE_END}', not '{}'.",
                echo(end)
            )));
        }
        Ok(Self { access_key_id, date, region, service })
    }

    pub(super) fn identity(&self, account_id: String) -> Identity {
        Identity {
            access_key_id: self.access_key_id.to_owned(),
            account_id,
            region: self.region.to_owned(),
            service: self.service.to_owned(),
        }
    }
}

/// The scope as it stands in the string to sign.
impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{SCOPE_END}", self.date, self.region, self.service)
    }
}

/// The first value of a query parameter.
fn parameter<'a>(query: &'a QueryPairs, name: &str) -> Option<&'a [u8]> {
    query.iter().find(|(sent, _)| sent == name.as_bytes()).map(|(_, value)| value.as_slice())
}

fn require_algorithm(algorithm: &str) -> Result<(), Error> {
    match algorithm {
        ALGORITHM => Ok(()),
        other => Err(Error::Incomplete(format!("Unsupported AWS 'algorithm': '{}'.", echo(other)))),
    }
}

/// Reads `20150830T123600Z` or, as a `Date` header may have it, `Sun, 30 Aug 2015 12:36:00 GMT`.
/// Gives the first form and seconds since the epoch.
fn parse_time(text: &str) -> Result<(String, i64), Error> {
    let basic = civil::DateTime::strptime(TIME_FORMAT, text).and_then(|time| time.to_zoned(TimeZone::UTC));
    // Written back it must be the same: one point in time has one spelling (no second 60, no short year).
    let basic = basic.ok().filter(|time| time.strftime(TIME_FORMAT).to_string() == text);
    let time = basic.or_else(|| DATE_HEADER.parse_zoned(text).ok()).ok_or_else(|| {
        let message = format!("Date must be in ISO-8601 'basic format'. Got '{}'.", echo(text));
        Error::Incomplete(message + " See http://en.wikipedia.org/wiki/ISO_8601")
    })?;
    let seconds = time.timestamp().as_second();
    Ok((format_time(seconds), seconds))
}

/// `20150830T123600Z`, in UTC. Empty for a time outside the calendar (years -9999 to 9999).
fn format_time(unix_seconds: i64) -> String {
    Timestamp::from_second(unix_seconds)
        .map(|time| time.strftime(TIME_FORMAT).to_string())
        .unwrap_or_default()
}

/// As much of the caller's text as belongs in an error.
pub(super) fn echo(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(ECHO_MAX).collect()
}
