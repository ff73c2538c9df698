//! Clients of every kind, on the signer of the AWS SDK for Rust, and the check of what they send.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use fornada_api::access_keys::{AccessKey, Secret};
use fornada_api::sigv4::{Error, Identity, Request, verify};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const TOKEN: &str = "a+session/token==";
pub(crate) const HOST: &str = "127.0.0.1:8600";
/// 2015-08-30T12:36:00Z, in seconds.
pub(crate) const SIGNED_AT: u64 = 1_440_938_160;
pub(crate) const NOW: i64 = 1_440_938_160_000;

/// A request before or after signing.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// How the signer is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signer {
    pub(crate) presign: bool,
    pub(crate) once_encoded: bool,
    pub(crate) content_sha256: bool,
    pub(crate) unsigned_payload: bool,
    pub(crate) token: Option<&'static str>,
    pub(crate) token_after_signing: bool,
}

pub(crate) const PLAIN: Signer = Signer {
    presign: false,
    once_encoded: false,
    content_sha256: false,
    unsigned_payload: false,
    token: None,
    token_after_signing: false,
};

/// Every way of signing that a client may choose.
pub(crate) const SIGNERS: &[(&str, Signer)] = &[
    ("header", PLAIN),
    ("header, path once encoded", Signer { once_encoded: true, ..PLAIN }),
    ("header, x-amz-content-sha256", Signer { content_sha256: true, ..PLAIN }),
    ("header, unsigned payload", Signer { content_sha256: true, unsigned_payload: true, ..PLAIN }),
    ("header, token", Signer { token: Some(TOKEN), ..PLAIN }),
    ("header, token after signing", Signer { token: Some(TOKEN), token_after_signing: true, ..PLAIN }),
    ("presigned", Signer { presign: true, ..PLAIN }),
    ("presigned, token", Signer { presign: true, token: Some(TOKEN), ..PLAIN }),
    (
        "presigned, token after signing",
        Signer { presign: true, token: Some(TOKEN), token_after_signing: true, ..PLAIN },
    ),
];

pub(crate) fn plain(method: Method, path: &str, query: &str, headers: &[(&str, &str)], body: &str) -> Plain {
    let mut map = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static(HOST))]);
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(name.parse::<HeaderName>().unwrap(), value);
    }
    Plain { method, path: path.into(), query: query.into(), headers: map, body: body.into() }
}

pub(crate) fn signed(request: &Plain, signer: Signer) -> Plain {
    let mut settings = SigningSettings::default();
    if signer.presign {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(600));
    }
    if signer.once_encoded {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
    }
    if signer.content_sha256 {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if signer.token_after_signing {
        settings.session_token_mode = SessionTokenMode::Exclude;
    }
    let identity = Credentials::new(KEY_ID, SECRET, signer.token.map(str::to_owned), None, "test").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("batch")
        .time(UNIX_EPOCH + Duration::from_secs(SIGNED_AT))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let separator = if request.query.is_empty() { "" } else { "?" };
    let uri = format!("http://{HOST}{}{separator}{}", request.path, request.query);
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), str::from_utf8(value.as_bytes()).unwrap()));
    let body = match signer.unsigned_payload {
        true => SignableBody::UnsignedPayload,
        false => SignableBody::Bytes(&request.body),
    };
    let signable = SignableRequest::new(request.method.as_str(), &uri, headers, body).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();

    let mut wire = http::Request::builder().method(&request.method).uri(uri).body(()).unwrap();
    *wire.headers_mut() = request.headers.clone();
    instructions.apply_to_request_http1x(&mut wire);
    Plain {
        path: wire.uri().path().to_owned(),
        query: wire.uri().query().unwrap_or_default().to_owned(),
        headers: wire.headers().clone(),
        ..request.clone()
    }
}

pub(crate) fn request(plain: &Plain) -> Request<'_> {
    let Plain { method, path, query, headers, body } = plain;
    Request { method, path, query, headers, body }
}

pub(crate) fn check_with(
    plain: &Plain,
    now: i64,
    secret: &str,
    token: Option<&str>,
) -> Result<Identity, Error> {
    verify(&request(plain), now, &|id| {
        (id == KEY_ID).then(|| AccessKey {
            access_key_id: KEY_ID.into(),
            secret_access_key: Secret::new(secret),
            account_id: "123456789012".into(),
            session_token: token.map(Secret::new),
        })
    })
}

pub(crate) fn check(plain: &Plain, signer: Signer) -> Result<Identity, Error> {
    check_with(plain, NOW, SECRET, signer.token)
}

pub(crate) fn identity() -> Identity {
    Identity {
        access_key_id: KEY_ID.into(),
        account_id: "123456789012".into(),
        region: "us-east-1".into(),
        service: "batch".into(),
    }
}
