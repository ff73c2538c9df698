//! Filter patterns for messages that are JSON: `{ ($.user.id = 1 && $.action = "Put*") || $.items[0] NOT EXISTS }`.
//!
//! Comparisons hold only for strings, numbers and booleans: an array, an object, null or nothing at all neither
//! equals a value nor differs from it. `*` stands for any text at the beginning or the end of a value, and for itself
//! within. Source: CloudWatch Logs user guide, "Filter pattern syntax", JSON log events.

use std::cmp::Ordering;

use serde_json::Value;

use super::filter_pattern::PatternError;
use super::json_parser::parse;
use super::regex::Regex;

/// The condition within the braces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPattern(Condition);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Test(Vec<Step>, Test),
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Equal(Literal),
    Differs(Literal),
    /// Compares to the number in one of these ways.
    Number(&'static [Ordering], f64),
    Null,
    Boolean(bool),
    NotExists,
}

/// A value in the pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text {
        text: String,
        any_before: bool,
        any_after: bool,
        /// Set if it stands there as a number.
        number: Option<f64>,
    },
    Regex(Regex),
}

impl JsonPattern {
    /// Reads what is between the braces.
    pub(super) fn parse(text: &str) -> Result<JsonPattern, PatternError> {
        parse(text).map(JsonPattern)
    }

    /// Whether `message` is JSON that meets the condition.
    pub(super) fn matches(&self, message: &str) -> bool {
        // Most lines are not JSON; do not make an error for each.
        message.trim_start().starts_with(['{', '['])
            && serde_json::from_str(message).is_ok_and(|document| self.0.holds(&document))
    }
}

impl Condition {
    pub(super) fn holds(&self, document: &Value) -> bool {
        match self {
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.holds(document)),
            Condition::All(conditions) => conditions.iter().all(|condition| condition.holds(document)),
            Condition::Test(steps, test) => {
                let value = steps.iter().try_fold(document, |value, step| match step {
                    Step::Name(name) => value.as_object()?.get(name),
                    Step::Index(index) => value.as_array()?.get(*index),
                });
                test.holds(value)
            }
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Test::NotExists => value.is_none(),
            Test::Null => value.is_some_and(Value::is_null),
            Test::Boolean(want) => value.and_then(Value::as_bool) == Some(*want),
            Test::Equal(literal) => value.and_then(|value| literal.equals(value)) == Some(true),
            Test::Differs(literal) => value.and_then(|value| literal.equals(value)) == Some(false),
            Test::Number(orders, number) => value
                .and_then(Value::as_f64)
                .and_then(|value| value.partial_cmp(number))
                .is_some_and(|order| orders.contains(&order)),
        }
    }
}

impl Literal {
    pub(super) fn text(value: &str, number: Option<f64>) -> Literal {
        let (value, any_before) = value.strip_prefix('*').map_or((value, false), |rest| (rest, true));
        let (value, any_after) = value.strip_suffix('*').map_or((value, false), |rest| (rest, true));
        // A lone star is any text.
        let any_after = any_after || (any_before && value.is_empty());
        Literal::Text { text: value.to_owned(), any_before, any_after, number }
    }

    /// The number that it is, if it stands there as one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Literal::Text { number, .. } => *number,
            Literal::Regex(_) => None,
        }
    }

    /// `None` for what cannot be compared.
    fn equals(&self, value: &Value) -> Option<bool> {
        match (value, self.number()) {
            (Value::Number(value), Some(number)) => {
                Some(value.as_f64()?.partial_cmp(&number) == Some(Ordering::Equal))
            }
            (Value::String(value), _) => Some(self.covers(value)),
            (Value::Number(_) | Value::Bool(_), _) => Some(self.covers(&value.to_string())),
            (Value::Null | Value::Array(_) | Value::Object(_), _) => None,
        }
    }

    fn covers(&self, value: &str) -> bool {
        let (text, any_before, any_after) = match self {
            Literal::Text { text, any_before, any_after, .. } => (text.as_str(), *any_before, *any_after),
            Literal::Regex(regex) => return regex.is_in(value),
        };
        match (any_before, any_after) {
            (false, false) => value == text,
            (true, false) => value.ends_with(text),
            (false, true) => value.starts_with(text),
            (true, true) => value.contains(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_match_as_documented() {
        let message = r#"{
            "user": {"id": 1, "email": "John.Stiles@example.com"}, "users": [{"id": 2}, {"id": 3}],
            "actions": ["GET", "PUT"], "coordinates": [[0, 1], [4, 5]], "eventType": "UpdateTrail",
            "ip": "111.111.111.111", "nothing": null, "flag": true, "latency": 55.5, "account": "123", "a.b": "dot",
            "wild": "Ev*ent"
        }"#;
        for (pattern, want) in [
            (r#"($.user.id = 1) && ($.user.email = "John.Stiles@example.com")"#, true),
            (r#"($.user.id = 2 && $.users[0].id = 9) || $.actions[1] = "GET""#, false),
            (r#"$.user.id = 1 || $.coordinates[0][1] = nonmatch && $.actions[1] = no"#, true),
            (r#"($.user.id = 1 || $.coordinates[0][1] = nonmatch) && $.actions[1] = no"#, false),
            ("$.coordinates[1][1] = 5", true),
            ("$.ip != 123.123.*", true),
            ("$.ip = 111.*", true),
            ("$.eventType = Update*", true),
            ("$.eventType = \"*Trail\"", true),
            ("$.eventType = *date*", true),
            ("$.eventType = U*l", false),
            ("$.wild = Ev*ent", true),
            ("$.eventType != UpdateTrail", false),
            ("$.latency = *", true),
            ("$.latency > +55 && $.latency < 5.56e1 && $.latency >= 55.5 && $.latency <= 55.5", true),
            ("$.latency>56||$.latency<55", false),
            ("$.user.id = 1.0", true),
            ("$.user.id = \"1\"", true),
            ("$.account = 123", true),
            ("$.account > 1", false),
            ("$.users = 1", false),
            ("$.users != 1", false),
            ("$.missing != 1", false),
            ("$.missing NOT EXISTS", true),
            ("$.nothing NOT EXISTS", false),
            ("$.nothing IS NULL", true),
            ("$.missing IS NULL", false),
            ("$.flag IS TRUE", true),
            ("$.flag is false", false),
            ("$.flag = true", true),
            ("$['a.b'] = dot", true),
            (r"$.ip = %^111\.[0-9]+%", true),
            (r"$.ip != %^111\.[0-9]+%", false),
            ("$.latency = %^5%", true),
            ("$.user['id'] = 1", true),
        ] {
            assert_eq!(JsonPattern::parse(pattern).unwrap().matches(message), want, "{pattern}");
        }
        for other in ["plain", "", "{", "5", "[1]", "{\"id\":1} x"] {
            assert!(!JsonPattern::parse("$.id = 1").unwrap().matches(other), "{other}");
        }
    }
}
