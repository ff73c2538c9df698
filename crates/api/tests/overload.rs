//! The front door of an engine that has fallen behind: its commits wait for the test.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use axum::body::Body;
use fornada_api::app::Auth;
use fornada_core::record::{Change, Loaded};
use fornada_engine::port::store::{Error, Store};
use http::{Request, StatusCode};
use support::{ask, request, server_on};
use tokio::task::JoinSet;

/// As many requests are worked on at once.
const CALLS_MAX: usize = 512;

/// While `hold` is set, commits when the test lets go of the other end.
struct Held {
    hold: Arc<AtomicBool>,
    go_on: Receiver<()>,
}

impl Store for Held {
    fn load(&mut self) -> Result<Loaded, Error> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), Error> {
        if self.hold.load(Ordering::SeqCst) {
            let _ = self.go_on.recv(); // an error when it is let go
        }
        Ok(())
    }
}

fn create_policy(number: usize) -> Request<Body> {
    request(
        "POST",
        "/v1/createschedulingpolicy",
        &format!(r#"{{"name":"policy-{number}","fairsharePolicy":{{}}}}"#),
    )
}

/// Time passes when nobody has anything to do, so those that wait are refused as soon as all others are in the engine.
#[tokio::test(start_paused = true)]
async fn an_engine_that_is_behind_refuses_what_it_cannot_take_on_and_keeps_the_rest() {
    let (go_on, held) = channel();
    let hold = Arc::new(AtomicBool::new(false));
    let server = server_on(Auth::None, Box::new(Held { hold: hold.clone(), go_on: held })).await;
    hold.store(true, Ordering::SeqCst);
    let mut calls = JoinSet::new();
    for number in 0..CALLS_MAX + 40 {
        let server = server.clone();
        calls.spawn(async move { ask(&server, create_policy(number)).await });
    }
    for _ in 0..40 {
        let refused = calls.join_next().await.unwrap().unwrap();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
        assert_eq!(refused.error_type.as_deref(), Some("TooManyRequestsException"));
        assert_eq!(refused.error(), "Too Many Requests");
    }
    let mut of_logs = request("POST", "/", "{}");
    of_logs.headers_mut().insert("x-amz-target", "Logs_20140328.DescribeLogGroups".parse().unwrap());
    assert_eq!(ask(&server, of_logs).await.status, StatusCode::OK, "logs do not wait for the engine");

    let mut answers = BTreeMap::new();
    for path in ["/healthz", "/readyz", "/metrics"] {
        answers.insert(path, ask(&server, request("GET", path, "")).await);
    }
    assert_eq!(answers["/healthz"].status, StatusCode::OK);
    assert_eq!(answers["/readyz"].status, StatusCode::SERVICE_UNAVAILABLE);
    let metrics = &answers["/metrics"];
    assert_eq!(metrics.status, StatusCode::OK);
    for line in [
        "fornada_requests_refused_total{reason=\"calls\"} 40",
        "fornada_requests_in_work 512",
        "fornada_requests_total{operation=\"unknown\",error=\"TooManyRequestsException\"} 40",
    ] {
        assert!(metrics.body.lines().any(|has| has == line), "{line} in {}", metrics.body);
    }

    drop(go_on);
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().status, StatusCode::OK, "what was taken on is done");
    }
    assert_eq!(ask(&server, create_policy(CALLS_MAX + 40)).await.status, StatusCode::OK);
}
