//! Filter patterns for messages made of fields between spaces: `[ip, user, ..., status = 4* && status != 404, bytes > 0]`.
//!
//! What stands between quotation marks or brackets is one field, without them. A pattern has a name for each field of the
//! message; `...` stands for any number of them. Source: CloudWatch Logs user guide, "Filter pattern syntax",
//! space-delimited log events.

use serde_json::{Number, Value};

use super::filter_pattern::PatternError;
use super::json_parser::parse_fields;
use super::json_pattern::Condition;

/// The fields within the brackets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SpacePattern {
    /// The fields up to the ellipsis; `None` for those without a condition.
    pub(super) first: Vec<Option<Condition>>,
    /// Those after it; `None` without an ellipsis.
    pub(super) last: Option<Vec<Option<Condition>>>,
}

impl SpacePattern {
    /// Reads what is between the brackets.
    pub(super) fn parse(text: &str) -> Result<SpacePattern, PatternError> {
        parse_fields(text)
    }

    /// Whether `message` has these fields, and they meet their conditions.
    pub(super) fn matches(&self, message: &str) -> bool {
        let fields = fields(message);
        let rest = match &self.last {
            None if fields.len() == self.first.len() => &[],
            Some(last) if fields.len() >= self.first.len() + last.len() => last.as_slice(),
            _ => return false,
        };
        let pairs = self.first.iter().zip(&fields).chain(rest.iter().rev().zip(fields.iter().rev()));
        pairs.into_iter().all(|(condition, field)| {
            condition.as_ref().is_none_or(|condition| condition.holds(&value(field)))
        })
    }
}

/// A field that is written as a number is one, so that it can be compared with numbers.
fn value(field: &str) -> Value {
    match field.parse::<Number>() {
        Ok(number) if number.to_string() == field => Value::Number(number),
        _ => Value::String(field.to_owned()),
    }
}

/// The fields of a message. A quotation mark or bracket that is not closed takes all that follows.
fn fields(message: &str) -> Vec<&str> {
    let (mut fields, mut rest) = (Vec::new(), message.trim_start());
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"').map(|rest| (rest, '"')) {
            Some((rest, close)) => rest.split_once(close).unwrap_or((rest, "")),
            None => match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
                None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            },
        };
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match_as_documented() {
        let message =
            r#"127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;
        for (pattern, want) in [
            ("ip, user_id, username, timestamp, request, status_code, bytes", true),
            ("ip, user_id, username, timestamp, request, status_code", false),
            ("ip, user_id, username, timestamp, request =*.html*, status_code = 4*, bytes", true),
            ("ip, user_id, username, timestamp, request =*.html*, status_code = 4*", false),
            ("..., request =*.html*, status_code = 4*,", false),
            ("..., request =*.html*, status_code = 4*, bytes", true),
            ("ip=127.0.0.1, ...", true),
            ("ip, ..., bytes > 1534", false),
            ("ip, ..., bytes >= 1534", true),
            ("ip, ..., status = 500 || status = 404, bytes", true),
            ("ip, ..., status = 4* && status != 404, bytes", false),
            ("ip, ..., (status = 4* && status != 403) || status = 500, bytes < 2e3", true),
            ("ip != 127.*, ...", false),
            (r#"ip, user = "Prod", ..., status, bytes"#, true),
            (r"ip = %127\.0\.0\.[1-9]%, ...", true),
            ("ip, id, name, at = *-0700, ...", true),
            ("...", true),
            ("a, b, c, d, e, f, g, ...", true),
            ("a, b, c, d, ..., e, f, g, h", false),
        ] {
            match SpacePattern::parse(pattern) {
                Ok(parsed) => assert_eq!(parsed.matches(message), want, "{pattern}"),
                Err(error) => assert!(!want, "{pattern}: {error}"),
            }
        }
        assert_eq!(fields(""), [""; 0]);
        assert_eq!(fields(r#" a  [b c] "" "d e"#), ["a", "b c", "", "d e"]);
        for leading_zero in ["w1 = 0404", "w1 = 04*"] {
            assert!(SpacePattern::parse(leading_zero).unwrap().matches("0404"), "{leading_zero}");
        }
    }

    #[test]
    fn bad_fields_are_refused() {
        for (pattern, want) in [
            ("", "Expected a field name at ''"),
            ("a b", "Expected a comma at 'b'"),
            ("a, ..., b, ...", "Expected one ellipsis only at ''"),
            ("a =", "Expected a value at ''"),
            ("a = 1 && b = 2", "Expected the name of the same field at 'b = 2'"),
            ("a = %b", "A regular expression is not closed"),
        ] {
            assert_eq!(SpacePattern::parse(pattern).unwrap_err().to_string(), want, "{pattern}");
        }
    }
}
