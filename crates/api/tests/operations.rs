//! The front door over a real engine: which operations there are, and what every error carries.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use axum::body::Body;
use fornada_api::app::Auth;
use fornada_model::{batch, logs};
use http::{Request, StatusCode};
use support::{Answer, ask, request, server};

/// Whether the answer says that there is no such operation yet.
fn is_unsupported(answer: &Answer) -> bool {
    if answer.status.is_success() {
        assert!(answer.request_id.is_some() && answer.error_type.is_none());
        return false;
    }
    answer.error().contains("does not support")
}

fn to_batch(operation: batch::Operation) -> Request<Body> {
    let uri = operation.uri();
    let path = uri.split_once('{').map_or(uri.to_owned(), |(prefix, _)| format!("{prefix}x"));
    request(operation.method(), &path, "{}")
}

fn to_logs(target: &str) -> Request<Body> {
    with_body(target, "{}")
}

/// A request to CloudWatch Logs.
fn with_body(target: &str, body: &str) -> Request<Body> {
    let mut request = request("POST", "/", body);
    request.headers_mut().insert("x-amz-target", target.parse().unwrap());
    request
}

/// The names listed in `docs/unsupported-operations.md` under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../../../docs/unsupported-operations.md");
    let (_, section) = page.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| Some(line.strip_prefix("- `")?.strip_suffix('`')?.to_owned())).collect()
}

#[tokio::test]
async fn what_is_unsupported_is_what_the_documentation_lists() {
    let server = server(Auth::None).await;
    let mut refused = BTreeSet::new();
    for &operation in batch::Operation::ALL {
        if is_unsupported(&ask(&server, to_batch(operation)).await) {
            refused.insert(operation.name().to_owned());
        }
    }
    assert_eq!(refused, documented("AWS Batch"));

    let mut refused = BTreeSet::new();
    for &operation in logs::Operation::ALL {
        let target = format!("{}.{}", logs::TARGET_PREFIX, operation.name());
        if is_unsupported(&ask(&server, to_logs(&target)).await) {
            refused.insert(operation.name().to_owned());
        }
    }
    assert_eq!(refused, documented("Amazon CloudWatch Logs"));
}

#[tokio::test]
async fn what_means_no_operation_is_refused() {
    let server = server(Auth::None).await;
    let cases = [
        (request("POST", "/v1/nothing", "{}"), 404, "UnknownOperationException"),
        (request("GET", "/", ""), 404, "UnknownOperationException"),
        (request("GET", "/v1/submitjob", ""), 405, "MethodNotAllowedException"),
        (request("PUT", "/v1/tags/x", "{}"), 405, "MethodNotAllowedException"),
        (request("POST", "/v1/submitjob", "{"), 400, "SerializationException"),
        (request("POST", "/v1/submitjob", "[]"), 400, "ClientException"),
        (request("POST", "/v1/submitjob", &"x".repeat(2 << 20)), 413, "RequestEntityTooLargeException"),
        (
            with_body("Logs_20140328.GetLogEvents", &"x".repeat(2 << 20)),
            413,
            "RequestEntityTooLargeException",
        ),
        (with_body("Logs_20140328.PutLogEvents", &"x".repeat(8 << 20)), 400, "SerializationException"),
        (
            with_body("Logs_20140328.PutLogEvents", &"x".repeat(9 << 20)),
            413,
            "RequestEntityTooLargeException",
        ),
        (to_logs("Logs_20140328.Nothing"), 400, "UnknownOperationException"),
        (to_logs("Other.GetLogEvents"), 400, "UnknownOperationException"),
        (to_logs(""), 400, "UnknownOperationException"),
    ];
    for (request, status, error_type) in cases {
        let what = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let answer = ask(&server, request).await;
        answer.error();
        assert_eq!(
            (answer.status.as_u16(), answer.error_type.as_deref()),
            (status, Some(error_type)),
            "{what}"
        );
    }
}

#[tokio::test]
async fn without_authentication_web_pages_are_kept_out() {
    let server = server(Auth::None).await;
    for (host, origin, want) in [
        ("127.0.0.1:8600", None, 200),
        ("[::1]:8600", None, 200),
        ("localhost:8600", None, 200),
        ("localhost", None, 200),
        ("streaming-localhost:8600", None, 200),
        ("stream-127.0.0.1:8600", None, 200),
        ("stream-evil.example", None, 403),
        ("evil.example:8600", None, 403),
        ("127.0.0.1.evil.example", None, 403),
        ("", None, 403),
        ("localhost:8600", Some("https://evil.example"), 403),
    ] {
        let mut asked = to_batch(batch::Operation::DescribeJobQueues);
        asked.headers_mut().insert("host", host.parse().unwrap());
        origin.map(|origin| asked.headers_mut().insert("origin", origin.parse().unwrap()));
        assert_eq!(ask(&server, asked).await.status.as_u16(), want, "{host} {origin:?}");
    }
}

#[tokio::test]
async fn a_signature_for_one_service_does_not_open_the_other() {
    let server = server(Auth::None).await;
    let signed_for = |service: &str, mut request: Request<Body>| {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature={}",
            "0".repeat(64)
        );
        let headers = request.headers_mut();
        headers.insert("authorization", authorization.parse().unwrap());
        headers.insert("x-amz-date", "20261121T000000Z".parse().unwrap());
        headers.insert("host", "localhost".parse().unwrap());
        request
    };
    let describe_queues = || to_batch(batch::Operation::DescribeJobQueues);
    let describe_groups = || to_logs("Logs_20140328.DescribeLogGroups");
    for (service, request, want) in [
        ("logs", describe_queues(), Some("batch")),
        ("s3", describe_queues(), Some("batch")),
        ("batch", describe_groups(), Some("logs")),
        ("batch", describe_queues(), None),
        ("logs", describe_groups(), None),
    ] {
        let answer = ask(&server, signed_for(service, request)).await;
        match want {
            Some(want) => {
                let message = format!("Credential should be scoped to correct service: '{want}'. ");
                assert_eq!(answer.error(), message);
                assert_eq!(answer.status, StatusCode::FORBIDDEN);
                assert_eq!(answer.error_type.as_deref(), Some("InvalidSignatureException"));
            }
            None => assert_eq!(answer.status, StatusCode::OK, "{}", answer.body),
        }
    }
}

#[tokio::test]
async fn nothing_but_health_and_metrics_is_open_without_a_signature() {
    let server = server(Auth::SigV4).await;
    for &operation in batch::Operation::ALL {
        let answer = ask(&server, to_batch(operation)).await;
        assert_eq!((answer.status.as_u16(), &*answer.error()), (403, "Missing Authentication Token"));
    }
    assert_eq!(ask(&server, to_logs("Logs_20140328.GetLogEvents")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&server, request("POST", "/v1/nothing", "")).await.status, StatusCode::FORBIDDEN);

    let answer = ask(&server, request("GET", "/healthz", "")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ok\n"));
    let answer = ask(&server, request("GET", "/readyz", "")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ready\n"));
    let answer = ask(&server, request("GET", "/metrics", "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    for line in [
        "fornada_jobs{status=\"RUNNING\"} 0",
        "fornada_service_jobs{status=\"SCHEDULED\"} 0",
        "fornada_running_attempts 0",
        "fornada_requests_total{operation=\"unknown\",error=\"MissingAuthenticationTokenException\"}",
        "fornada_request_seconds_count",
        "fornada_store_commits_total",
    ] {
        assert!(answer.body.contains(line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
}
