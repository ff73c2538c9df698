//! Pages and their tokens. A token is opaque to clients: base64 of where the next page begins and of the question asked,
//! so that a token for another question is refused instead of giving a wrong page.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::WireError;

/// Makes the token with which the page after `position` is asked for. `question` is whatever else the request says.
pub(super) fn token(position: u64, question: &impl Hash) -> String {
    URL_SAFE_NO_PAD.encode([position.to_be_bytes(), digest(question).to_be_bytes()].concat())
}

/// Where the page begins that `token` asks for; `None` without a token. An empty one is none: AWS ParallelCluster's `awsbstat`
/// asks for its first page with it.
pub(super) fn position(token: Option<&str>, question: &impl Hash) -> Result<Option<u64>, WireError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let bad = || WireError::invalid("The nextToken is not one of this request's.");
    let bytes: [u8; 16] =
        URL_SAFE_NO_PAD.decode(token).ok().and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
    let (position, asked) = bytes.split_at(8);
    if asked != digest(question).to_be_bytes() {
        return Err(bad());
    }
    Ok(Some(u64::from_be_bytes(position.try_into().expect("eight of sixteen bytes"))))
}

/// Cuts one page out of `items`, which are listed in the same order at each call, and says how to ask for the next.
pub(super) fn page<T>(
    items: impl IntoIterator<Item = T>,
    max_results: Option<i32>,
    page_max: usize,
    next_token: Option<&str>,
    question: &impl Hash,
) -> Result<(Vec<T>, Option<String>), WireError> {
    let size = page_size(max_results, page_max)?;
    let start = usize::try_from(position(next_token, question)?.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut rest = items.into_iter().skip(start);
    let page: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    Ok((page, more.then(|| token((start + size) as u64, question))))
}

/// `maxResults`, at least 1 and at most `page_max`.
pub(super) fn page_size(max_results: Option<i32>, page_max: usize) -> Result<usize, WireError> {
    match max_results.map(usize::try_from) {
        None => Ok(page_max),
        Some(Ok(size)) if size >= 1 => Ok(size.min(page_max)),
        Some(_) => Err(WireError::invalid(format!("maxResults must be between 1 and {page_max}."))),
    }
}

/// The same in every process: tokens outlive a restart.
fn digest(question: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    question.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_read_back_for_their_own_question_only(place: u64, asked: String, other: String) {
            let token = token(place, &asked);
            prop_assert_eq!(position(Some(&token), &asked).unwrap(), Some(place));
            prop_assert_eq!(position(Some(&token), &other).is_ok(), asked == other);
            // Whatever place a client makes up, there is a page at it or nothing.
            let (page, next) = page(0..7, Some(3), 100, Some(&token), &asked).unwrap();
            prop_assert!(page.len() <= 3 && (next.is_none() || place < 4));
        }

        #[test]
        fn made_up_tokens_are_refused(text in ".+", base64 in "[A-Za-z0-9_-]{1,40}") {
            for token in [text, base64] {
                prop_assert!(position(Some(&token), &"q").is_err());
            }
        }
    }

    #[test]
    fn pages_follow_each_other_and_foreign_tokens_are_refused() {
        let (mut seen, mut token) = (vec![], None::<String>);
        loop {
            let (page, next) = page(0..7, Some(3), 100, token.as_deref(), &"q").unwrap();
            seen.push(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        let (_, next) = page(0..7, Some(7), 100, None, &"q").unwrap();
        assert_eq!(next, None, "a full last page has no successor");
        let foreign = super::token(3, &"other");
        assert_eq!(page(0..7, Some(3), 100, Some(""), &"q").unwrap().0, [0, 1, 2]);
        for bad in [foreign.as_str(), "x", "////", "AAAA"] {
            assert!(page(0..7, None, 100, Some(bad), &"q").is_err(), "{bad}");
        }
        assert!(page_size(Some(0), 100).is_err() && page_size(Some(-1), 100).is_err());
    }
}
