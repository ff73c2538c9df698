//! What holds for any request: it verifies as signed and in no other form, and nothing panics.

use http::{HeaderValue, Method};
use proptest::prelude::*;

use crate::client::{Plain, SECRET, SIGNERS, check, check_with, identity, plain, signed};

prop_compose! {
    /// No dot segments: `/a/..` and `/b/..` are the same path, so changing one is no change.
    fn any_request()(
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::DELETE]),
        path in "(/[a-zA-Z0-9_~:-]{0,5}(%2F|%3A|%25)?){1,4}",
        query in "([a-c]{1,2}(=[a-zA-Z0-9+~-]{0,4}(%20|%2B|%C3%A9)?)?){0,1}(&[a-c]=[a-z]{0,2}){0,3}",
        headers in prop::collection::vec(("x-[a-c]{1,2}", "[ a-zA-Z0-9;,=\"]{0,12}"), 0..4),
        body in ".{0,40}",
    ) -> Plain {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
        plain(method, &path, &query, &headers, &body)
    }
}

/// `text` with the byte at `place` changed within the letters and digits, if it is one.
fn mutate(text: &str, place: prop::sample::Index) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let byte = bytes.get_mut(place.index(text.len().max(1)))?;
    *byte = match *byte {
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => *byte + 1,
        b'z' | b'Z' | b'9' => *byte - 1,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

proptest! {
    #[test]
    fn signed_requests_verify_and_mutated_ones_do_not(
        plain in any_request(),
        signer in prop::sample::select(SIGNERS),
        what in 0..4,
        place: prop::sample::Index,
    ) {
        let (_, signer) = signer;
        let good = signed(&plain, signer);
        prop_assert_eq!(check(&good, signer), Ok(identity()));

        let mut bad = good.clone();
        let changed = match what {
            0 => mutate(&good.path, place).map(|path| bad.path = path),
            1 => mutate(&good.query, place).map(|query| bad.query = query),
            2 => good.headers.get("authorization").and_then(|value| {
                let value = mutate(value.to_str().unwrap(), place)?.parse().unwrap();
                bad.headers.insert("authorization", value)
            }).map(drop),
            _ if signer.unsigned_payload => None,
            _ => { bad.body.insert(place.index(good.body.len() + 1), b'x'); Some(()) }
        };
        if changed.is_some() {
            prop_assert!(check(&bad, signer).is_err(), "{:?}", bad);
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        path in ".{0,60}",
        query in "(X-Amz-(Algorithm|Credential|Signature|SignedHeaders|Date|Expires|Security-Token)=.{0,20}&?){0,7}.{0,20}",
        authorization in prop::option::of(prop_oneof![
            "[ -~\u{80}-\u{ff}]{0,80}",
            "AWS4-HMAC-SHA256 (Credential=(AKIDEXAMPLE|.{0,5})/[0-9]{0,8}/[a-z]{0,3}/[a-z]{0,3}/aws4_request,?|\
             SignedHeaders=host;?[!-~]{0,20},?|Signature=[0-9a-f]{0,64},? ?){0,4}",
        ]),
        date in prop::option::of(prop_oneof!["[!-~]{0,20}", "[0-9]{8}T[0-9]{6}Z"]),
        now: i64,
    ) {
        let mut request = plain(Method::GET, &path, &query, &[], "");
        for (name, value) in [("authorization", authorization), ("x-amz-date", date)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
                request.headers.insert(name, value);
            }
        }
        prop_assert!(check_with(&request, now, SECRET, None).is_err());
    }
}
