//! From an HTTP request to an operation and the members outside the body.

use fornada_model::batch::Operation;
use fornada_model::logs;
use fornada_model::rest::{BindError, Label, Route, RouteError, route};
use proptest::prelude::*;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:batch:us-east-1:000000000000:job-queue/high";

#[test]
fn every_operation_is_found_by_its_own_binding() {
    for &operation in Operation::ALL {
        let path = operation.uri().replace("{resourceArn}", ARN);
        assert_eq!(route(operation.method(), &path).unwrap().operation, operation, "{path}");
    }
}

#[test]
fn a_label_is_the_rest_of_the_path() {
    let raw = "arn%3Aaws%3Abatch%3Aus-east-1%3A000000000000%3Ajob-queue%2Fhigh";
    for raw in [raw, ARN] {
        let path = format!("/v1/tags/{raw}");
        let found = route("GET", &path).unwrap();
        let label = Some(Label { member: "resourceArn", raw });
        assert_eq!(found, Route { operation: Operation::ListTagsForResource, label });
        let mut body = json!({ "resourceArn": "from the body" });
        found.bind("", &mut body).unwrap();
        assert_eq!(body, json!({ "resourceArn": ARN }));
    }
}

#[test]
fn no_route_says_whether_the_path_or_the_method_is_wrong() {
    let cases = [
        ("GET", "/v1/submitjob", RouteError::WrongMethod),
        ("PUT", "/v1/tags/a", RouteError::WrongMethod),
        ("POST", "/v1/submitJob", RouteError::UnknownPath),
        ("POST", "/v1/submitjob/", RouteError::UnknownPath),
        ("GET", "/v1/tags/", RouteError::UnknownPath),
        ("GET", "", RouteError::UnknownPath),
    ];
    for (method, path, want) in cases {
        assert_eq!(route(method, path), Err(want), "{method} {path}");
    }
}

#[test]
fn repeated_query_parameters_fill_a_list() {
    let bind = |query: &str| {
        let mut body = json!({ "tagKeys": ["from the body"] });
        route("DELETE", "/v1/tags/a").unwrap().bind(query, &mut body).map(|()| body["tagKeys"].take())
    };
    let cases = [
        ("tagKeys=a&tagKeys=b%20c", json!(["a", "b c"])),
        ("x=1&tagKeys=a%2Bb+c", json!(["a+b c"])),
        ("tag%4Beys=a=b", json!(["a=b"])),
        ("tagKeys", json!([""])),
        ("", Value::Null),
    ];
    for (query, want) in cases {
        assert_eq!(bind(query).unwrap(), want, "{query}");
    }
    assert_eq!(bind("tagKeys=%FF"), Err(BindError::NotUtf8 { member: "tagKeys" }));
}

#[test]
fn targets_name_operations() {
    let get = logs::Operation::from_target("Logs_20140328.GetLogEvents");
    assert_eq!(get, Some(logs::Operation::GetLogEvents));
    for target in ["GetLogEvents", "Logs_20140329.GetLogEvents", "Logs_20140328.getLogEvents", ""] {
        assert_eq!(logs::Operation::from_target(target), None, "{target}");
    }
}

proptest! {
    #[test]
    fn no_path_or_query_panics(rest in "\\PC{0,20}|(%[0-9A-F]{2}){1,5}", query in "(tagKeys=)?\\PC{0,20}(&tagKeys=%[0-9A-F]{2})?") {
        let path = format!("/v1/tags/{rest}");
        if let Ok(found) = route("DELETE", &path) {
            let _ = found.bind(&query, &mut json!({}));
        }
    }
}
