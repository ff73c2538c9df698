//! What holds for any request: it verifies as signed and in no other form, and nothing panics.

use http::{HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::client::{NOW, Plain, SECRET, SIGNERS, Signer, check, check_with, identity, plain, signed};

/// Bytes of an error, whatever the request says.
const ERROR_MAX: usize = 1024;

prop_compose! {
    fn any_request()(
        method in select(vec![Method::GET, Method::POST, Method::DELETE]),
        path in "(/([a-zA-Z0-9_~:@!$&'()*+,;=-]|\\.{1,3}|%[0-9A-F]{2}|%2F|%3A){0,6}){1,4}",
        query in "(([a-cX+]|%C3%A9|%26){1,2}(=([a-zA-Z0-9!$'()*,;:@/?._~=+-]|%20|%2B|%C3%A9|%25|%3D){0,4})?&{0,2}){0,4}",
        headers in prop::collection::vec(("x-[a-c]{1,2}", "[ -~]{0,12}"), 0..4),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) -> Plain {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
        Plain { body, ..plain(method, &path, &query, &headers, "") }
    }
}

/// One change to what is signed; `None` if nothing is at that place that could change.
fn changed(good: &Plain, signer: Signer, place: Index, flip: u8) -> Option<Plain> {
    let mut bad = good.clone();
    match flip % 5 {
        // `/a/..` and `/b/..` are the same path, so changing one is no change.
        0 if good.path.contains("/.") => return None,
        0 => bad.path = mutate(&good.path, place)?,
        1 => bad.query = mutate(&good.query, place)?,
        2 => {
            let names: Vec<_> = good.headers.keys().filter(|name| *name != "x-amz-content-sha256").collect();
            let name = names[place.index(names.len())].clone();
            let value = mutate(good.headers[&name].to_str().ok()?, place)?;
            // Replaces all values of the name, so that a repeated header changes as well.
            bad.headers.insert(name, value.parse().ok()?);
        }
        3 => bad.method = Method::PATCH,
        _ if signer.unsigned_payload => return None,
        _ if good.body.is_empty() => bad.body.push(flip),
        _ => bad.body[place.index(good.body.len())] ^= flip.max(1),
    }
    Some(bad)
}

/// `text` with the byte at `place` changed within the letters and digits, if it is one.
fn mutate(text: &str, place: Index) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let byte = bytes.get_mut(place.index(text.len().max(1)))?;
    *byte = match *byte {
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => *byte + 1,
        b'z' | b'Z' | b'9' => *byte - 1,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

/// Headers that the check looks at, with values close to right ones and far from them.
fn header_soup() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let names = [
        "authorization",
        "x-amz-date",
        "date",
        "host",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-target",
    ];
    let values = prop_oneof![
        "AWS4-HMAC-SHA256 (Credential=(AKIDEXAMPLE|.{0,5})/(20150830|[0-9]{0,8})/us-east-1/batch/aws4_request,? ?|\
         SignedHeaders=(host;?|x-amz-date;?|date;?|[!-~]){0,5},? ?|Signature=[0-9a-f]{0,64},? ?){0,4}",
        "20150830T123600Z|[0-9]{8}T[0-9]{6}Z|Sun, 30 Aug 2015 12:3[0-9]:00 (GMT|[+-][0-9]{4})",
        "UNSIGNED-PAYLOAD|STREAMING-AWS4-HMAC-SHA256-PAYLOAD|[0-9a-f]{64}",
        "[ -~]{0,30}",
    ];
    let values = prop_oneof![values.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec((select(names.to_vec()), values), 0..8)
}

proptest! {
    #[test]
    fn signed_requests_verify_and_changed_ones_do_not(
        plain in any_request(),
        signer in select(SIGNERS),
        place: Index,
        flip: u8,
    ) {
        let (_, signer) = signer;
        let good = signed(&plain, signer);
        prop_assert_eq!(check(&good, signer), Ok(identity()));
        if let Some(bad) = changed(&good, signer, place, flip) {
            prop_assert!(check(&bad, signer).is_err(), "{:?}\n{:?}", good, bad);
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        path in ".{0,60}",
        query in "(X-Amz-(Algorithm|Credential|Signature|SignedHeaders|Date|Expires|Security-Token)=.{0,20}&?){0,7}.{0,20}",
        headers in header_soup(),
        now in prop_oneof![Just(NOW), any::<i64>()],
    ) {
        let mut request = plain(Method::GET, &path, &query, &[], "");
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers.append(name, value);
            }
        }
        let error = check_with(&request, now, SECRET, None).expect_err("nobody signed it");
        prop_assert!(error.to_string().len() <= ERROR_MAX, "{}", error);
    }
}
