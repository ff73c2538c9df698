//! The front door: every request gets an id, is read, authenticated and handed to the service that it is for.
//!
//! Services share one port. CloudWatch Logs calls carry `X-Amz-Target`; everything else is AWS Batch, and what Fornada adds
//! to it under a path of its own. The signature must be
//! made for the service that the request goes to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use fornada_core::arn::Scope;
use fornada_model::batch as batch_model;
use fornada_model::logs::{self as logs_model, Operation};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::time::timeout;

use crate::admission::{Admission, Charged, Refused};
use crate::app::{App, Auth, Call};
use crate::error::WireError;
use crate::metrics::Metrics;
use crate::server::{BODY_TIMEOUT, BodyError, MAX_BODY_BYTES, MAX_LOG_EVENTS_BODY_BYTES, read_body};
use crate::sigv4::{self, Identity};
use crate::{batch, extensions, logs, metrics};

/// An engine that takes longer to answer is not ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(1);

/// What the routes share.
#[derive(Clone)]
struct Front {
    app: Arc<App>,
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
}

/// All routes of the server.
pub fn router(app: Arc<App>) -> Router {
    let front = Front { app, metrics: Arc::new(Metrics::new()), admission: Arc::new(Admission::new()) };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .fallback(aws)
        .with_state(front)
}

/// Ready means that the engine answers.
async fn readyz(State(front): State<Front>) -> Response {
    let why = match timeout(READY_WITHIN, front.app.engine.read(|_| ())).await {
        Ok(Ok(())) => return "ready\n".into_response(),
        Ok(Err(unavailable)) => unavailable.to_string(),
        Err(_) => "the engine is behind".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn prometheus(State(front): State<Front>) -> Response {
    match metrics::render(&front.app, &front.metrics, &front.admission).await {
        Ok(text) => ([("content-type", metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => error.respond("metrics"),
    }
}

async fn aws(State(front): State<Front>, request: Request<Body>) -> Response {
    let began = Instant::now();
    let request_id = request_id();
    let mut operation = "unknown";
    let is_json_1_1 = request.headers().contains_key("x-amz-target");
    let refuse = |refused| {
        front.admission.count(refused);
        WireError::throttled(is_json_1_1)
    };
    let result = match serve(&front, request, &mut operation, &refuse).await {
        Ok(response) => front.admission.answer(response).await.map_err(refuse),
        Err(error) => Err(error),
    };
    let failed = result.as_ref().err().map(|error| error.code);
    front.metrics.record(operation, failed, began.elapsed());
    let mut response = result.unwrap_or_else(|error| error.respond(&request_id));
    if is_json_1_1 && failed.is_some() {
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    response
}

async fn serve(
    front: &Front,
    request: Request<Body>,
    operation: &mut &'static str,
    refuse: &impl Fn(Refused) -> WireError,
) -> Result<Response, WireError> {
    let app = &front.app;
    let (head, body) = request.into_parts();
    let target = header(&head.headers, "x-amz-target");
    let mut charge = front.admission.body();
    let body = Charged { body, charge: &mut charge };
    let body = read_body(body, max_body_bytes(target), BODY_TIMEOUT).await;
    let body = body.map_err(|error| match refused(&error) {
        Some(refused) => refuse(refused),
        None => body_error(error),
    })?;
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let signed = sigv4::Request { method: &head.method, path, query, headers: &head.headers, body: &body };
    let identity = authenticate(app, &signed)?;
    let service = if target.is_some() { logs_model::SIGNING_NAME } else { batch_model::SIGNING_NAME };
    if identity.service != service {
        return Err(WireError::new(
            "InvalidSignatureException",
            403,
            format!("Credential should be scoped to correct service: '{service}'. "),
        ));
    }
    // Only now: who sends slowly, or may not call at all, keeps nobody else waiting.
    let slot = front.admission.call(reads_disk(target, path)).await.map_err(refuse)?;
    let scope = Scope { region: identity.region.into(), account: identity.account_id.into() };
    let call = Call { app: Arc::clone(app), scope, slot: Some(Arc::new(slot)) };
    match target {
        Some(target) => logs::serve(&call, target, &body, operation).await,
        None if path.starts_with(extensions::PREFIX) => {
            extensions::serve(&call, &head.method, path, operation).await
        }
        None => batch::serve(&call, &head.method, path, query, &body, operation).await,
    }
}

fn max_body_bytes(target: Option<&str>) -> usize {
    let put_log_events = Operation::PutLogEvents.name();
    let is_put = target.and_then(|target| target.rsplit('.').next()) == Some(put_log_events);
    if is_put { MAX_LOG_EVENTS_BODY_BYTES } else { MAX_BODY_BYTES }
}

fn authenticate(app: &App, request: &sigv4::Request<'_>) -> Result<Identity, WireError> {
    match app.auth {
        Auth::SigV4 => sigv4::verify(request, app.clock.now().as_millis(), &|id| app.keys.find(id))
            .map_err(|error| WireError::new(error.code(), 403, error.to_string())),
        Auth::None => {
            refuse_web_pages(request.headers)?;
            let service = match header(request.headers, "x-amz-target") {
                Some(_) => logs_model::SIGNING_NAME,
                None => batch_model::SIGNING_NAME,
            };
            let default = Identity {
                access_key_id: String::new(),
                account_id: app.account_id.clone(),
                region: app.region.clone(),
                service: service.to_owned(),
            };
            Ok(sigv4::unverified(request, &default))
        }
    }
}

/// Without signatures, a page in somebody's browser could make requests in their name: browsers send `Origin` along, and a
/// page that had its own host name point here sends that name.
fn refuse_web_pages(headers: &HeaderMap) -> Result<(), WireError> {
    let host = header(headers, "host").unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(n, _)| n);
    // SDKs put this before the host of StartLiveTail.
    let prefix = ["stream-", "streaming-"].into_iter().find(|prefix| name.starts_with(prefix));
    let name = &name[prefix.map_or(0, str::len)..];
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_local = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if headers.contains_key("origin") || !is_local {
        return Err(WireError::new(
            "AccessDeniedException",
            403,
            "Without authentication, requests of web pages and to other hosts than this one are refused.",
        ));
    }
    Ok(())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a request is about logs, or searches the store's index of jobs.
fn reads_disk(target: Option<&str>, path: &str) -> bool {
    use batch_model::Operation::{ListJobs, ListJobsByConsumableResource, ListServiceJobs};
    let searches = [ListJobs, ListServiceJobs, ListJobsByConsumableResource];
    let is_search = || searches.iter().any(|operation| operation.uri() == path);
    target.is_some() || path.starts_with(extensions::PREFIX) || is_search()
}

fn refused(error: &BodyError) -> Option<Refused> {
    match error {
        BodyError::Broken(source) => source.downcast_ref().copied(),
        BodyError::TooLarge { .. } | BodyError::TimedOut => None,
    }
}

fn body_error(error: BodyError) -> WireError {
    let message = error.to_string();
    let (code, status) = match error {
        BodyError::TooLarge { .. } => ("RequestEntityTooLargeException", 413),
        BodyError::TimedOut => ("RequestTimeoutException", 408),
        BodyError::Broken(_) => ("SerializationException", 400),
    };
    WireError::new(code, status, message)
}

/// Parses a JSON body; none at all is an empty object.
pub(crate) fn parse(body: &Bytes) -> Result<serde_json::Value, WireError> {
    if body.is_empty() {
        return Ok(serde_json::json!({}));
    }
    serde_json::from_slice(body).map_err(|error| {
        WireError::new("SerializationException", 400, format!("The body is not JSON: {error}"))
    })
}

fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is merely not unique.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().as_hyphenated().to_string()
}
