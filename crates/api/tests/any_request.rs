//! What holds for any request, however odd: one whole answer of bounded size, never the server's fault, never a panic.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use axum::Router;
use axum::body::Body;
use fornada_api::app::Auth;
use fornada_model::{batch, logs};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::{Answer, ask, request, server};
use tokio::runtime::Runtime;

/// Bytes of an answer: more than any error needs, and all that a server without jobs has to say.
const ANSWER_MAX: usize = 256 << 10;

const QUEUE: &str = "arn:aws:batch:us-east-1:000000000000:job-queue/default";
const JOB: &str = "00000000-0000-4000-8000-000000000000";

/// Asks a running server and checks what every answer has.
struct Asker {
    runtime: Runtime,
    server: Router,
}

impl Asker {
    fn new(auth: Auth) -> Asker {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(server(auth));
        Asker { runtime, server }
    }

    fn ask(&self, request: Request<Body>) -> Answer {
        let answer = self.runtime.block_on(ask(&self.server, request));
        assert!(answer.body.len() <= ANSWER_MAX, "{} bytes: {:.500}", answer.body.len(), answer.body);
        if answer.status != StatusCode::OK {
            answer.error();
        }
        answer
    }

    /// An answer to a Batch operation.
    fn batch(&self, operation: batch::Operation, body: &Value) -> Answer {
        self.ask(request(operation.method(), operation.uri(), &body.to_string()))
    }

    /// An answer to a CloudWatch Logs operation.
    fn logs(&self, operation: logs::Operation, body: &Value) -> Answer {
        let mut asked = request("POST", "/", &body.to_string());
        let target = format!("{}.{}", logs::TARGET_PREFIX, operation.name());
        asked.headers_mut().insert("x-amz-target", target.parse().unwrap());
        self.ask(asked)
    }
}

/// Runs `test` on many inputs; the runtime lives as long as all of them.
fn holds<S: Strategy>(input: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let outcome = TestRunner::default().run(input, test);
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// Text that some parser looks at twice: names, ARNs, ids, tokens, numbers, patterns, escapes.
fn any_text() -> impl Strategy<Value = String> {
    let parts = select(vec![
        QUEUE,
        JOB,
        "arn:aws:batch:",
        "us-east-1",
        ":000000000000:",
        "job-queue/",
        "job-definition/",
        "default",
        "job/",
        ":",
        "/",
        "#",
        "*",
        "-",
        "0",
        "1",
        "9999",
        "4294967296",
        "18446744073709551616",
        "é",
        "\u{0}",
        "\u{202e}",
        " ",
        "Ref::",
        "f/",
        "b/",
        "/s",
        "00000000000000000000000000000000000000000000000000000001",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "{ $.a",
        "= 1 }",
        "&&",
        "(",
        "[",
        "'",
        "\"",
        "\\",
        "%",
        "?",
        "HOST",
        "aws:",
    ]);
    prop_oneof![
        4 => prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat()),
        2 => any::<String>(),
        1 => "[A-Za-z0-9_-]{0,60}",
        1 => ("\\PC", 1000..20_000usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

/// What may stand for a member: mostly text, sometimes of the wrong type.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => any_text().prop_map(Value::from),
        1 => prop::collection::vec(any_text(), 0..3).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

#[test]
fn any_path_query_header_and_body() {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::OPTIONS];
    let paths = prop_oneof![
        select(batch::Operation::ALL).prop_map(|operation| operation.uri().to_owned()),
        "/v1/tags/[!-~&&[^?#]]{0,40}",
        "/v1/tags/(arn|%[0-9A-Fa-f]{2}|:|/|\\.\\.){0,12}",
        "/[!-~&&[^?#]]{0,30}",
    ];
    let queries =
        prop_oneof![Just(String::new()), "[!-~&&[^#]]{0,40}", "(tagKeys=(%[0-9A-F]{2}|[a-z+]){0,3}&?){0,60}"];
    let headers = prop::collection::vec(
        (
            prop_oneof![
                select(
                    &["x-amz-target", "authorization", "x-amz-date", "host", "origin", "content-length"][..]
                )
                .prop_map(str::to_owned),
                "[a-z-]{1,12}",
            ],
            prop_oneof!["[ -~]{0,40}", "[\u{80}-\u{ff}]{0,9}", "Logs_20140328\\.[A-Za-z]{0,20}"],
        ),
        0..4,
    );
    let bodies = prop_oneof![
        any_value().prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..60),
        (select(b"[{\"".as_slice()), 0..5000usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    for auth in [Auth::None, Auth::SigV4] {
        let asker = Asker::new(auth);
        let input = (select(known.to_vec()), &paths, &queries, &headers, &bodies);
        holds(&input, |(method, path, query, headers, body)| {
            let separator = if query.is_empty() { "" } else { "?" };
            let Ok(mut asked) =
                Request::builder().method(method).uri(format!("{path}{separator}{query}")).body(body.into())
            else {
                return Ok(());
            };
            asked.headers_mut().insert("host", HeaderValue::from_static("localhost"));
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    asked.headers_mut().append(name.parse::<HeaderName>().unwrap(), value);
                }
            }
            asker.ask(asked);
            Ok(())
        });
    }
}

#[test]
fn any_text_in_any_member() {
    let asker = Asker::new(Auth::None);
    let of_batch = select(batch::Operation::ALL).prop_map(Ok);
    let of_logs = select(logs::Operation::ALL).prop_map(Err);
    let operations = prop_oneof![3 => of_batch, 1 => of_logs];
    holds(&(operations, prop::collection::vec(any_value(), 8)), |(operation, values)| {
        let shape = operation.map_or_else(logs::Operation::input_shape, batch::Operation::input_shape);
        let fornada_model::Shape::Structure(members) = shape else { unreachable!("inputs are structures") };
        let body = members.iter().zip(values.iter().cycle()).map(|(member, value)| {
            let value = match member.shape {
                fornada_model::Shape::List { .. } if value.is_string() => json!([value]),
                fornada_model::Shape::Enum { values, .. } => json!(values[0]),
                fornada_model::Shape::Integer { .. } if value.is_string() => json!(1),
                _ => value.clone(),
            };
            (member.name.to_owned(), value)
        });
        let body = Value::Object(body.collect());
        match operation {
            Ok(operation) => asker.batch(operation, &body),
            Err(operation) => asker.logs(operation, &body),
        };
        Ok(())
    });
}

/// Tokens of one listing are refused by all others, and whatever else a client makes up is refused or is a page.
#[test]
fn tokens_belong_to_their_listing() {
    let asker = Asker::new(Auth::None);
    for name in ["a", "b"] {
        let definition = json!({ "jobDefinitionName": name, "type": "container", "containerProperties":
            { "image": "host", "resourceRequirements": [{ "type": "VCPU", "value": "1" }, { "type": "MEMORY", "value": "4" }] } });
        asker.batch(batch::Operation::RegisterJobDefinition, &definition);
    }
    let listing = json!({ "maxResults": 1 });
    let first = asker.batch(batch::Operation::DescribeJobDefinitions, &listing);
    let token = serde_json::from_str::<Value>(&first.body).unwrap()["nextToken"].as_str().unwrap().to_owned();
    let with = |body: &Value, token: &str| {
        let mut body = body.clone();
        body["nextToken"] = token.into();
        body
    };
    let second = asker.batch(batch::Operation::DescribeJobDefinitions, &with(&listing, &token));
    assert_eq!(second.status, StatusCode::OK);
    assert!(!second.body.contains("nextToken") && second.body != first.body);

    let queue = json!({ "jobQueue": QUEUE });
    for (operation, body) in [
        (batch::Operation::DescribeJobDefinitions, json!({ "status": "ACTIVE" })),
        (batch::Operation::DescribeJobDefinitions, json!({ "jobDefinitionName": "a" })),
        (batch::Operation::DescribeJobQueues, listing.clone()),
        (batch::Operation::DescribeComputeEnvironments, listing.clone()),
        (batch::Operation::ListJobs, queue.clone()),
        (batch::Operation::ListJobs, json!({ "arrayJobId": JOB })),
    ] {
        let answer = asker.batch(operation, &with(&body, &token));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{operation:?} {body}: {}", answer.body);
    }
    let tokens = prop_oneof![
        any_text(),
        (any::<prop::sample::Index>(), "[A-Za-z0-9_=-]").prop_map(move |(place, letter)| {
            let place = place.index(token.len());
            token[..place].to_owned() + &letter + &token[place + 1..]
        }),
    ];
    holds(&tokens, |token| {
        for (operation, body) in
            [(batch::Operation::DescribeJobDefinitions, &listing), (batch::Operation::ListJobs, &queue)]
        {
            asker.batch(operation, &with(body, &token));
        }
        Ok(())
    });
}
