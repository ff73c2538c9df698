//! Checks the claim of a request against the access key that it names.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::claim::{ALGORITHM, Claim, SCOPE_END, SIGNATURE_PARAMETER, Scope, TOKEN_PARAMETER, echo};
use super::{Error, Identity, Request, canonical};
use crate::access_keys::{AccessKey, Secret};

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Query parameters that a presigned request adds after signing. Some signers add the session token then, too;
/// it is compared with the key's own token in any case, so both readings are accepted.
const ADDED_AFTER_PRESIGNING: &[&[&str]] = &[&[SIGNATURE_PARAMETER], &[SIGNATURE_PARAMETER, TOKEN_PARAMETER]];

/// In the header form, the whole query is signed.
const ADDED_AFTER_SIGNING: &[&[&str]] = &[&[]];

/// Checks the signature of `request` at `now_unix_ms` and says who made it.
///
/// `find_key` looks an access key up by its ID. A session token is accepted only if it is the one of that key.
/// The host, the date and, where there is one, `x-amz-target` must be among the signed headers.
///
/// # Errors
/// See [`Error`]; every one of them means that nothing about the caller is proved.
pub fn verify(
    request: &Request<'_>,
    now_unix_ms: i64,
    find_key: &dyn Fn(&str) -> Option<AccessKey>,
) -> Result<Identity, Error> {
    let query = canonical::query_pairs(request.query);
    let claim = Claim::read(request.headers, &query)?;
    let scope = Scope::parse(&claim.credential)?;
    let signed_headers = claim.signed_headers(request.headers)?;
    let headers = canonical::headers(request.headers, &signed_headers).map_err(|name| {
        Error::Incomplete(format!("'{}' is a 'SignedHeader' but not in the request.", echo(name)))
    })?;

    let key = find_key(scope.access_key_id).ok_or(Error::UnknownKey)?;
    if !same_token(claim.session_token.as_deref(), key.session_token.as_ref()) {
        return Err(Error::UnknownKey);
    }
    claim.check_time(scope.date, now_unix_ms)?;

    let payload_hash = payload_hash(request)?;
    let signing_key = signing_key(&key.secret_access_key, &scope);
    let readings = if claim.expires_seconds.is_some() { ADDED_AFTER_PRESIGNING } else { ADDED_AFTER_SIGNING };
    for added in readings {
        let parts = canonical::Parts {
            method: request.method.as_str(),
            query: canonical::query(&query, added),
            headers: &headers,
            signed_headers: &claim.signed_headers,
            payload_hash: &payload_hash,
        };
        for uri in canonical::uris(request.path) {
            let hash = parts.hash(&uri);
            let string_to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{hash}", claim.signed_at.0);
            let signature = hex::encode(hmac_sha256(&signing_key, &string_to_sign));
            if signature.as_bytes().ct_eq(claim.signature.as_bytes()).into() {
                return Ok(scope.identity(key.account_id));
            }
        }
    }
    Err(Error::Mismatch)
}

/// Who `request` says it is from, with nothing checked: for a server that runs without authentication.
///
/// The account is always that of `default`, which also stands in for a credential that is absent or malformed.
pub fn unverified(request: &Request<'_>, default: &Identity) -> Identity {
    Claim::read(request.headers, &canonical::query_pairs(request.query))
        .and_then(|claim| Ok(Scope::parse(&claim.credential)?.identity(default.account_id.clone())))
        .unwrap_or_else(|_| default.clone())
}

fn same_token(sent: Option<&[u8]>, known: Option<&Secret>) -> bool {
    match (sent, known) {
        (None, None) => true,
        (Some(sent), Some(known)) => sent.ct_eq(known.expose().as_bytes()).into(),
        _ => false,
    }
}

/// The hash that the signature covers in place of the body.
fn payload_hash(request: &Request<'_>) -> Result<String, Error> {
    let sent = request.headers.get(X_AMZ_CONTENT_SHA256);
    if sent.is_some_and(|sent| sent == UNSIGNED_PAYLOAD) {
        return Ok(UNSIGNED_PAYLOAD.to_owned());
    }
    let hash = hex::encode(Sha256::digest(request.body));
    match sent {
        Some(sent) if *sent != hash => Err(Error::Mismatch),
        _ => Ok(hash),
    }
}

fn signing_key(secret: &Secret, scope: &Scope<'_>) -> [u8; 32] {
    let key = hmac_sha256(format!("AWS4{}", secret.expose()).as_bytes(), scope.date);
    let key = hmac_sha256(&key, scope.region);
    let key = hmac_sha256(&key, scope.service);
    hmac_sha256(&key, SCOPE_END)
}

fn hmac_sha256(key: &[u8], text: &str) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hmac.update(text.as_bytes());
    hmac.finalize().into_bytes().into()
}
