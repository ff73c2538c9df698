//! Tokens: where the next page begins. They hold everything themselves, so they outlive a restart, and whatever a
//! client sends instead is refused or is a harmless place.
//!
//! Tokens of GetLogEvents have the service's own form, because clients look at it: `f/{digits}/s` reads forward,
//! `b/{digits}/s` backward. All others are opaque: URL-safe base64 of a [`Place`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fornada_engine::port::log::Direction;

use super::invalid;
use crate::error::WireError;

/// Digits of a position; as many as the service's own tokens have.
const DIGITS: usize = 56;

/// The token for reading one stream on from `position`.
pub(super) fn of_stream(direction: Direction, position: u64) -> String {
    let letter = match direction {
        Direction::Forward => 'f',
        Direction::Backward => 'b',
    };
    format!("{letter}/{position:0DIGITS$}/s")
}

/// What [`of_stream`] encoded.
pub(super) fn stream(token: &str) -> Result<(Direction, u64), WireError> {
    parse_stream(token).ok_or_else(bad)
}

fn parse_stream(token: &str) -> Option<(Direction, u64)> {
    let (direction, rest) = match token.split_at_checked(2)? {
        ("f/", rest) => (Direction::Forward, rest),
        ("b/", rest) => (Direction::Backward, rest),
        _ => return None,
    };
    let digits = rest.strip_suffix("/s").filter(|digits| digits.len() == DIGITS)?;
    // Parsing alone would accept a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((direction, digits.parse().ok()?))
}

/// Which operation a token is for; the first byte of the token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Groups = 1,
    StreamsByName = 2,
    StreamsByTime = 3,
    Events = 4,
}

/// The last item of a page: the next page begins after it. Lists without times or positions have zeros there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Milliseconds since the epoch.
    pub(super) time: i64,
    /// Position of an event in its stream.
    pub(super) position: u64,
    /// Name of the group or stream.
    pub(super) name: String,
}

impl Place {
    /// The token of this place.
    pub(super) fn encode(&self, kind: Kind) -> String {
        let head = [&[kind as u8], self.time.to_be_bytes().as_slice(), &self.position.to_be_bytes()].concat();
        URL_SAFE_NO_PAD.encode([&head, self.name.as_bytes()].concat())
    }

    /// The place of a token, if the request has one.
    pub(super) fn decode(kind: Kind, token: Option<&str>) -> Result<Option<Place>, WireError> {
        token.map(|token| Place::parse(kind, token).ok_or_else(bad)).transpose()
    }

    fn parse(kind: Kind, token: &str) -> Option<Place> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (&tag, rest) = bytes.split_first()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (position, name) = rest.split_first_chunk()?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        (tag == kind as u8).then_some(Place {
            time: i64::from_be_bytes(*time),
            position: u64::from_be_bytes(*position),
            name,
        })
    }
}

/// Takes the first page of what is left of a list, and the token of the next page if there is more.
pub(super) fn page<T>(
    mut items: impl Iterator<Item = T>,
    limit: usize,
    kind: Kind,
    place: impl Fn(&T) -> Place,
) -> (Vec<T>, Option<String>) {
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let last = page.last().filter(|_| items.next().is_some()).map(|last| place(last).encode(kind));
    (page, last)
}

fn bad() -> WireError {
    invalid("The specified nextToken is invalid.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_read_back(position: u64, time: i64, name: String) {
            for direction in [Direction::Forward, Direction::Backward] {
                prop_assert_eq!(parse_stream(&of_stream(direction, position)), Some((direction, position)));
            }
            let place = Place { time, position, name };
            prop_assert_eq!(Place::parse(Kind::Events, &place.encode(Kind::Events)), Some(place.clone()));
            prop_assert_eq!(Place::parse(Kind::Groups, &place.encode(Kind::Events)), None);
        }

        #[test]
        fn garbage_is_refused(token: String, base64 in "[A-Za-z0-9_-]{0,60}") {
            prop_assert_eq!(parse_stream(&token), None);
            prop_assert_eq!(Place::parse(Kind::Events, &token), None);
            let _ = Place::parse(Kind::Events, &base64);
        }
    }

    #[test]
    fn almost_right_stream_tokens_are_refused() {
        let good = of_stream(Direction::Forward, 7);
        assert_eq!(good.len(), "f/31132629274945519779805322857203735586714454643391594505/s".len());
        for wrong in [
            good.replace("f/", "g/"),
            good.replace("/s", ""),
            good.replace("f/0", "f/+"),
            good.replace("f/0", "f/9"),
            good.replace("f/0", "f/"),
            "f//s".into(),
            "é".into(),
            String::new(),
        ] {
            assert!(stream(&wrong).is_err(), "{wrong}");
        }
    }
}
