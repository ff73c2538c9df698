//! The canonical request: the one byte string that signer and verifier must arrive at independently.
//!
//! Every function is total: bytes that are not valid percent-encoding or UTF-8 are carried along as they are,
//! and then simply do not match a signature.
//! Source: AWS General Reference, "Create a canonical request".

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

/// What `UriEncode` escapes: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same within a path, where the slash separates segments.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// A query as decoded name and value pairs, in the order sent.
pub(super) type QueryPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything in a canonical request but the URI, of which there are two readings (see [`uris`]).
pub(super) struct Parts<'a> {
    pub(super) method: &'a str,
    pub(super) query: String,
    pub(super) headers: &'a [u8],
    pub(super) signed_headers: &'a str,
    pub(super) payload_hash: &'a str,
}

impl Parts<'_> {
    /// Lower-case hex SHA-256 of the canonical request for `uri`.
    pub(super) fn hash(&self, uri: &str) -> String {
        let Self { method, query, headers, signed_headers, payload_hash } = self;
        let mut hash = Sha256::new();
        hash.update(format!("{method}\n{uri}\n{query}\n"));
        hash.update(headers);
        hash.update(format!("\n{signed_headers}\n{payload_hash}"));
        hex::encode(hash.finalize())
    }
}

/// The canonical URIs that a client may have signed for `raw_path`.
///
/// The rule for every service but S3 is to encode the path again as it is on the wire, so `%2F` becomes `%252F`.
/// Some signers take the path as it is on the wire instead, which differs as soon as a label holds an ARN; both
/// readings are accepted. They are the same for a path without escapes.
pub(super) fn uris(raw_path: &str) -> impl Iterator<Item = String> {
    let once = normalize(raw_path);
    let twice = percent_encode(once.as_bytes(), RESERVED_IN_PATH).to_string();
    let once = (once != twice).then_some(once);
    std::iter::once(twice).chain(once)
}

/// Removes `.`, `..` and empty segments, as RFC 3986 section 5.2.4 and then some: `//` counts as `/`.
fn normalize(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let directory = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let end = if directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// Splits and decodes a raw query. `+` is a space, as in a form; a name without `=` has an empty value.
pub(super) fn query_pairs(raw_query: &str) -> QueryPairs {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect();
    raw_query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Encodes `pairs` and sorts them by encoded name, then by encoded value. Leaves out the names in `without`.
pub(super) fn query(pairs: &QueryPairs, without: &[&str]) -> String {
    let encode = |bytes| percent_encode(bytes, RESERVED).to_string();
    let mut pairs: Vec<_> = pairs
        .iter()
        .filter(|(name, _)| !without.iter().any(|left_out| left_out.as_bytes() == name.as_slice()))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// One `name:value\n` line for each of `signed`, which must be unique (this bounds the result by the size of the
/// request). Values are trimmed, runs of spaces become one, repeated headers are joined with a comma.
///
/// # Errors
/// The name of the first signed header that the request does not have.
pub(super) fn headers<'a>(headers: &HeaderMap, signed: &[&'a str]) -> Result<Vec<u8>, &'a str> {
    let mut lines = Vec::new();
    for &name in signed {
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes()).peekable();
        if values.peek().is_none() {
            return Err(name);
        }
        lines.extend_from_slice(name.as_bytes());
        let mut separator = b':';
        for value in values {
            lines.push(separator);
            push_trimmed(&mut lines, value);
            separator = b',';
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Appends the words of `value`, one space between two.
fn push_trimmed(line: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_normalised_and_read_both_ways() {
        for (path, want) in [
            ("", &["/"][..]),
            ("/", &["/"]),
            ("/v1/submitjob", &["/v1/submitjob"]),
            ("//a/./b/../c//", &["/a/c/"]),
            ("/../..", &["/"]),
            ("/a/..", &["/"]),
            ("/a/b/..", &["/a/"]),
            ("/v1/tags/arn%3Aa%2Fb", &["/v1/tags/arn%253Aa%252Fb", "/v1/tags/arn%3Aa%2Fb"]),
            ("/v1/tags/arn:a/b", &["/v1/tags/arn%3Aa/b", "/v1/tags/arn:a/b"]),
        ] {
            assert_eq!(uris(path).collect::<Vec<_>>(), want, "{path}");
        }
    }

    #[test]
    fn queries_are_encoded_and_sorted() {
        for (raw, want) in [
            ("", ""),
            ("&&", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("tagKeys=b&tagKeys=a&tagKeys=", "tagKeys=&tagKeys=a&tagKeys=b"),
            ("flag", "flag="),
            ("a=b=c", "a=b%3Dc"),
            ("a=x+y%2Bz%20", "a=x%20y%2Bz%20"),
            ("a=%zz%ff%e2%82%ac~", "a=%25zz%FF%E2%82%AC~"),
            // Sorted by name and then by value, not by the joined text: '-' sorts before '='.
            ("a-b=1&a=2", "a=2&a-b=1"),
        ] {
            assert_eq!(query(&query_pairs(raw), &[]), want, "{raw}");
        }
        assert_eq!(query(&query_pairs("X-Amz-Signature=1&a=2"), &["X-Amz-Signature"]), "a=2");
    }
}
