//! The SigV4 verifier against an independent signer: AWS's own, from the SDK for Rust.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod properties;

use client::{KEY_ID, NOW, PLAIN, Plain, SECRET, SIGNERS, Signer, TOKEN};
use client::{check, check_with, identity, plain, request, signed};
use fornada_api::sigv4::{Error, Identity, unverified};
use http::{HeaderValue, Method};

/// Requests as clients send them, and some odd ones.
fn requests() -> Vec<Plain> {
    const ARN: &str = "/v1/tags/arn%3Aaws%3Abatch%3Aus-east-1%3A000000000000%3Ajob-queue%2Fdefault";
    let json = [("content-type", "application/json"), ("user-agent", "aws-cli/2")];
    let target =
        [("x-amz-target", "Logs_20140328.GetLogEvents"), ("content-type", "application/x-amz-json-1.1")];
    vec![
        plain(
            Method::POST,
            "/v1/submitjob",
            "",
            &json,
            r#"{"jobName":"a","jobQueue":"b","jobDefinition":"c"}"#,
        ),
        plain(Method::POST, "/v1/submitjob", "", &json, "{\"jobName\":\"pão\"}"),
        plain(Method::POST, "/", "", &target, r#"{"logStreamName":"x/default/y"}"#),
        plain(Method::GET, ARN, "", &[], ""),
        plain(Method::DELETE, ARN, "tagKeys=b&tagKeys=a&tagKeys=", &[], ""),
        plain(Method::DELETE, ARN, "tagKeys=a%20b%2Bc%2Fd&tagKeys=%C3%A9&flag", &[], ""),
        plain(Method::GET, "/v1/tags/arn:aws:batch:us-east-1:1:job-queue/x", "a=b+c&a-b=1", &[], ""),
        plain(
            Method::GET,
            "//a/./b/../c~_-.x/",
            "",
            &[("x-odd", "  a   b  "), ("x-odd", "é"), ("x-none", "")],
            "",
        ),
    ]
}

/// Puts `to` for the first `from`, in the `Authorization` header or else in the query.
fn replace(plain: &mut Plain, from: &str, to: &str) {
    if let Some(value) = plain.headers.get_mut("authorization") {
        let text = value.to_str().unwrap();
        assert!(text.contains(from), "{from} in {text}");
        *value = text.replacen(from, to, 1).parse().unwrap();
    } else {
        let (from, to) = (from.replace('/', "%2F"), to.replace('/', "%2F"));
        assert!(plain.query.contains(&from), "{from} in {}", plain.query);
        plain.query = plain.query.replacen(&from, &to, 1);
    }
}

#[test]
fn what_the_sdk_signs_is_accepted() {
    for plain in requests() {
        for (name, signer) in SIGNERS {
            let signed = signed(&plain, *signer);
            assert_eq!(check(&signed, *signer), Ok(identity()), "{name}: {signed:?}");
        }
    }
}

#[test]
fn any_change_to_a_signed_request_is_refused() {
    for plain in requests() {
        for (name, signer) in SIGNERS {
            let good = signed(&plain, *signer);
            let refused = |what: &str, code: &str, change: &dyn Fn(&mut Plain)| {
                let mut bad = good.clone();
                change(&mut bad);
                let error = check(&bad, *signer).expect_err(&format!("{name}: {what}: {bad:?}"));
                assert_eq!(error.code(), code, "{name}: {what}: {error}");
            };
            let wrong = "InvalidSignatureException";
            if !signer.unsigned_payload {
                refused("body", wrong, &|request| request.body.push(b'x'));
            }
            refused("method", wrong, &|request| request.method = Method::PUT);
            refused("path", wrong, &|request| request.path.push('x'));
            refused("query", wrong, &|request| request.query += "&tagKeys=z");
            refused("host", wrong, &|request| {
                request.headers.insert("host", HeaderValue::from_static("localhost"));
            });
            refused("header added to a signed one", wrong, &|request| {
                request.headers.append("host", HeaderValue::from_static("x"));
            });
            refused("header removed", "IncompleteSignatureException", &|request| {
                request.headers.remove("host");
            });
            refused("region", wrong, &|request| replace(request, "us-east-1/batch", "us-east-2/batch"));
            refused("service", wrong, &|request| replace(request, "/batch/", "/logs/"));
            refused("day", wrong, &|request| replace(request, "/20150830/", "/20150831/"));
            refused("second", wrong, &|request| {
                if !signer.presign {
                    request.headers.insert("x-amz-date", HeaderValue::from_static("20150830T123601Z"));
                } else {
                    replace(request, "T123600Z", "T123601Z");
                }
            });
            refused("key", "UnrecognizedClientException", &|request| replace(request, KEY_ID, "AKIDOTHER"));
            refused("host not signed", "IncompleteSignatureException", &|request| {
                if request.headers.contains_key("authorization") {
                    replace(request, "host;", "");
                } else {
                    replace(request, "host", "accept");
                }
            });
            assert_eq!(check_with(&good, NOW, "other", signer.token), Err(Error::Mismatch), "{name}");
            let token = if signer.token.is_some() { None } else { Some(TOKEN) };
            assert_eq!(check_with(&good, NOW, SECRET, token), Err(Error::UnknownKey), "{name}");
            assert_eq!(check_with(&good, NOW, SECRET, Some("other")), Err(Error::UnknownKey), "{name}");
        }
    }
}

#[test]
fn a_signature_lives_for_its_time() {
    let [header, presigned] =
        [false, true].map(|presign| signed(&requests()[0], Signer { presign, ..PLAIN }));
    let (minute, ok) = (60_000, "");
    for (request, now, want) in [
        (&header, NOW + 5 * minute, ok),
        (&header, NOW - 5 * minute, ok),
        (
            &header,
            NOW + 14 * minute,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T124500Z (20150830T125000Z - 5 min.)",
        ),
        (
            &header,
            NOW - 6 * minute,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)",
        ),
        (&presigned, NOW + 10 * minute, ok),
        (
            &presigned,
            NOW + 11 * minute,
            "Signature expired: 20150830T124600Z is now earlier than 20150830T124700Z",
        ),
        (
            &presigned,
            NOW - 6 * minute,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)",
        ),
        (&header, i64::MAX, "Signature expired: 20150830T123600Z is now earlier than  ( - 5 min.)"),
    ] {
        let result = check_with(request, now, SECRET, None);
        assert_eq!(result.map_or_else(|error| error.to_string(), |_| String::new()), want);
    }
}

#[test]
fn published_examples_are_accepted() {
    // "get-vanilla" of AWS's two Signature Version 4 test suites. The older one has a Date header, and Friday is
    // called Monday in it.
    for (service, (date_header, date), host, now, signature) in [
        (
            "host",
            ("date", "Mon, 09 Sep 2011 23:36:00 GMT"),
            "host.foo.com",
            1_315_611_360_000,
            "b27ccfbfa7df52a200ff74193ca6e32d4b48b8856fab7ebf1c595d0670a7e470",
        ),
        (
            "service",
            ("x-amz-date", "20150830T123600Z"),
            "example.amazonaws.com",
            NOW,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
    ] {
        let day = if now == NOW { "20150830" } else { "20110909" };
        let names = if now == NOW { "host;x-amz-date" } else { "date;host" };
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY_ID}/{day}/us-east-1/{service}/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        let mut request =
            plain(Method::GET, "/", "", &[(date_header, date), ("authorization", &authorization)], "");
        request.headers.insert("host", HeaderValue::from_static(host));
        let want = Identity { service: service.into(), ..identity() };
        assert_eq!(check_with(&request, now, SECRET, None), Ok(want), "{service}");
        if date_header == "date" {
            replace(&mut request, "date;", "");
            let error = check_with(&request, now, SECRET, None).unwrap_err();
            assert_eq!(error.to_string(), "'date' must be a 'SignedHeader' in the AWS Authorization.");
        }
    }
}

#[test]
fn malformed_signatures_say_what_is_wrong() {
    let full = "Credential=K/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=0";
    let aws4 = |rest: &str| format!("AWS4-HMAC-SHA256 {rest}");
    let with = |from: &str, to: &str| aws4(&full.replacen(from, to, 1));
    let presigned = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20150830%2Fr%2Fs%2Faws4_request\
                     &X-Amz-Signature=0&X-Amz-SignedHeaders=host&X-Amz-Date=20150830T123600Z&X-Amz-Expires=";
    for (authorization, query, want) in [
        (String::new(), "a=b", "Missing Authentication Token"),
        (
            "Bearer secret".into(),
            "",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
             parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=Bearer",
        ),
        (
            with("Signature=0", ""),
            "",
            "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
        (format!("AWS4-ECDSA {full}"), "", "Unsupported AWS 'algorithm': 'AWS4-ECDSA'."),
        (
            with("K/", "K/K/"),
            "",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             'K/K/20150830/r/s/aws4_request'",
        ),
        (with("/r/", "/r:1/"), "", "Credential should be scoped to a valid region, not 'r:1'."),
        (with("/s/", "//"), "", "Credential should be scoped to a valid service, not ''."),
        (
            with("aws4_", "aws5_"),
            "",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'.",
        ),
        (with("host;", "Host;host;"), "", "'SignedHeaders' must be lower-case, sorted and unique."),
        (with("host;", "host;host;"), "", "'SignedHeaders' must be lower-case, sorted and unique."),
        (with(";x-amz-date", ""), "", "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization."),
        (with("host;x-amz", "host;q;x-amz"), "", "'q' is a 'SignedHeader' but not in the request."),
        (aws4(full), "", "The security token included in the request is invalid."),
        (String::new(), presigned, "'X-Amz-Expires' must be between 1 and 604800 seconds."),
        (String::new(), &format!("{presigned}0"), "'X-Amz-Expires' must be between 1 and 604800 seconds."),
        (
            String::new(),
            &format!("{presigned}604801"),
            "'X-Amz-Expires' must be between 1 and 604800 seconds.",
        ),
        (
            String::new(),
            &format!("{presigned}604800"),
            "The security token included in the request is invalid.",
        ),
        (
            String::new(),
            "X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=1&X-Amz-Expires=1",
            "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include \
             'X-Amz-SignedHeaders'. Re-examine the query-string parameters.",
        ),
        (
            String::new(),
            &format!("{presigned}9").replacen("T123600Z", "T123660Z", 1),
            "Date must be in ISO-8601 'basic format'. Got '20150830T123660Z'. See \
             http://en.wikipedia.org/wiki/ISO_8601",
        ),
    ] {
        let mut headers = vec![("x-amz-date", "20150830T123600Z")];
        if !authorization.is_empty() {
            headers.push(("authorization", &authorization));
        }
        let error = check(&plain(Method::GET, "/", query, &headers, ""), PLAIN).unwrap_err();
        assert_eq!(error.to_string(), want, "{authorization} {query}");
    }
    // An operation's name must be signed wherever it is given.
    let mut request = signed(&plain(Method::POST, "/", "", &[], ""), PLAIN);
    request.headers.insert("x-amz-target", HeaderValue::from_static("Logs_20140328.DeleteLogGroup"));
    let error = check(&request, PLAIN).unwrap_err();
    assert_eq!(error.to_string(), "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.");
}

#[test]
fn without_authentication_the_scope_still_names_region_and_service() {
    let default = Identity { region: "eu-west-1".into(), ..identity() };
    let bare = plain(Method::GET, "/", "", &[], "");
    assert_eq!(unverified(&request(&bare), &default), default);
    for presign in [false, true] {
        let mut signed = signed(&bare, Signer { presign, ..PLAIN });
        replace(&mut signed, "AKIDEXAMPLE/20150830/us-east-1/batch", "other/x/sa-east-1/logs");
        let want = Identity {
            access_key_id: "other".into(),
            region: "sa-east-1".into(),
            service: "logs".into(),
            ..default.clone()
        };
        assert_eq!(unverified(&request(&signed), &default), want);
        replace(&mut signed, "sa-east-1", "SA");
        assert_eq!(unverified(&request(&signed), &default), default);
    }
}
