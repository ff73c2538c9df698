//! Holds a JSON body against the constraint tables, and words what is wrong as the service does.
//!
//! What must hold: a body that passes decodes into the type of the same shape. The walk follows the tables, never
//! unknown members, and no table contains itself, so its depth is bounded whatever the body nests.

use std::fmt::{self, Write};

use serde_json::Value;

use crate::shape::{Member, Pattern, Shape};

/// Enough to mend a request by; a hostile body could have hundreds of thousands.
const VIOLATIONS_MAX: usize = 100;
/// Characters of an offending value that an error repeats.
const QUOTED_CHARS_MAX: usize = 256;

/// Everything that is wrong with a body. Prints as one sentence for the client.
///
/// A value of the wrong JSON type keeps the body from being read at all: then that is the whole message. Otherwise
/// it lists the constraints that are not met, in the service's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    wrong_type: Option<String>,
    constraints: Vec<String>,
}

impl Violations {
    /// Whether the body could not be read at all. awsJson services answer this with another error code.
    pub fn is_wrong_type(&self) -> bool {
        self.wrong_type.is_some()
    }

    pub(crate) fn undecodable(error: &serde_json::Error) -> Self {
        Self { wrong_type: Some(format!("The request body cannot be read: {error}.")), constraints: vec![] }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(wrong_type) = &self.wrong_type {
            return f.write_str(wrong_type);
        }
        let count = self.constraints.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{count} validation error{s} detected: {}", self.constraints.join("; "))
    }
}

impl std::error::Error for Violations {}

/// Checks `value` against `shape`, and removes null members of structures from it: null is absent.
///
/// # Errors
///
/// All violations, at most 100. The path of a value is written as the service does, members of a list counted from 1:
/// `resourceRequirements.1.member.type`.
pub fn check(shape: &Shape, value: &mut Value) -> Result<(), Violations> {
    let mut walk = Walk::default();
    walk.value(shape, value);
    if walk.found == Violations::default() { Ok(()) } else { Err(walk.found) }
}

#[derive(Default)]
struct Walk {
    path: String,
    found: Violations,
}

impl Walk {
    fn value(&mut self, shape: &Shape, value: &mut Value) {
        if !self.is_readable(shape, value) {
            return;
        }
        for constraint in Constraint::of(shape).into_iter().filter(|constraint| !constraint.holds(value)) {
            self.violation(Some(value), &constraint);
        }
        match shape {
            Shape::Structure(members) => self.structure(members, value),
            Shape::List { member, .. } => self.list(member, value),
            Shape::Map { key, value: entry, .. } => self.map(key, entry, value),
            _ => {}
        }
    }

    /// Whether there is a value, and of the JSON type that `shape` has. Reports it if not.
    fn is_readable(&mut self, shape: &Shape, value: &Value) -> bool {
        if self.found.wrong_type.is_some() || self.found.constraints.len() >= VIOLATIONS_MAX {
            return false;
        }
        if value.is_null() && !self.path.is_empty() {
            self.violation(None, &"Member must not be null");
            return false;
        }
        let Some(expected) = mismatch(shape, value) else { return true };
        let place = if self.path.is_empty() {
            "The request body".into()
        } else {
            format!("Value at '{}'", self.path)
        };
        self.found.wrong_type = Some(format!("{place} must be {expected}, got {}.", type_of(value)));
        false
    }

    fn structure(&mut self, members: &[Member], value: &mut Value) {
        let Some(object) = value.as_object_mut() else { return };
        for Member { name, shape, required } in members {
            if object.get(*name).is_some_and(Value::is_null) {
                object.remove(*name);
            }
            match object.get_mut(*name) {
                Some(value) => self.nested(name, |walk| walk.value(shape, value)),
                None if *required => self.nested(name, |walk| walk.value(shape, &mut Value::Null)),
                None => {}
            }
        }
    }

    fn list(&mut self, shape: &Shape, list: &mut Value) {
        let items = list.as_array_mut().into_iter().flatten();
        let mut all_hold = true;
        for (i, item) in items.enumerate() {
            all_hold &= self.entry(&(i + 1), shape, item);
        }
        if !all_hold {
            self.violation(Some(list), &format_args!("Member must satisfy constraint: {}", listed(shape)));
        }
    }

    fn map(&mut self, key_shape: &Shape, shape: &Shape, map: &mut Value) {
        let entries = map.as_object_mut().into_iter().flatten();
        let key_constraints = Constraint::of(key_shape);
        let (mut keys_hold, mut all_hold) = (true, true);
        for (key, item) in entries {
            keys_hold &= key_constraints.iter().all(|constraint| constraint.holds_for_text(key));
            all_hold &= self.entry(&format_args!("{key:.QUOTED_CHARS_MAX$}"), shape, item);
        }
        if !keys_hold {
            self.violation(
                Some(map),
                &format_args!("Map keys must satisfy constraint: {}", listed(key_shape)),
            );
        }
        if !all_hold {
            self.violation(Some(map), &format_args!("Map value must satisfy constraint: {}", listed(shape)));
        }
    }

    /// Walks one entry of a list or map. The service blames the whole for a scalar that breaks a constraint, so that
    /// is not reported here; the answer is whether none does.
    fn entry(&mut self, name: &dyn fmt::Display, shape: &Shape, item: &mut Value) -> bool {
        let is_scalar = !matches!(shape, Shape::Structure(_) | Shape::List { .. } | Shape::Map { .. });
        let mut holds = true;
        self.nested(&format_args!("{name}.member"), |walk| {
            if !is_scalar {
                walk.value(shape, item);
            } else if walk.is_readable(shape, item) {
                holds = Constraint::of(shape).iter().all(|constraint| constraint.holds(item));
            }
        });
        holds
    }

    fn violation(&mut self, value: Option<&Value>, constraint: &dyn fmt::Display) {
        let value = value.map_or("null".into(), |value| format!("'{}'", quoted(value)));
        let text = format!("Value {value} at '{}' failed to satisfy constraint: {constraint}", self.path);
        self.found.constraints.push(text);
    }

    fn nested(&mut self, name: &dyn fmt::Display, inner: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        let dot = if length == 0 { "" } else { "." };
        // Writing to a string does not fail.
        let _ = write!(self.path, "{dot}{name}");
        inner(self);
        self.path.truncate(length);
    }
}

/// One thing that a value of the right type must satisfy. Prints as the service words it.
enum Constraint {
    LengthAtMost(usize),
    LengthAtLeast(usize),
    ValueAtMost(i64),
    ValueAtLeast(i64),
    Matches(&'static Pattern),
    OneOf { values: &'static [&'static str], ignore_case: bool },
}

impl Constraint {
    fn of(shape: &Shape) -> Vec<Self> {
        let length = |min: Option<usize>, max: Option<usize>| {
            [max.map(Self::LengthAtMost), min.map(Self::LengthAtLeast)].into_iter().flatten()
        };
        match *shape {
            Shape::List { min, max, .. } | Shape::Map { min, max, .. } => length(min, max).collect(),
            Shape::String { min, max, pattern } => {
                length(min, max).chain(pattern.map(Self::Matches)).collect()
            }
            Shape::Enum { values, ignore_case } => vec![Self::OneOf { values, ignore_case }],
            Shape::Integer { min, max } | Shape::Long { min, max } => {
                [max.map(Self::ValueAtMost), min.map(Self::ValueAtLeast)].into_iter().flatten().collect()
            }
            Shape::Structure(_) | Shape::Float | Shape::Double | Shape::Boolean => vec![],
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.holds_for_text(text),
            Value::Array(items) => self.holds_for_length(items.len()),
            Value::Object(entries) => self.holds_for_length(entries.len()),
            Value::Number(number) => match (self, number.as_i64()) {
                (Self::ValueAtMost(max), Some(number)) => number <= *max,
                (Self::ValueAtLeast(min), Some(number)) => number >= *min,
                _ => true,
            },
            Value::Null | Value::Bool(_) => true,
        }
    }

    fn holds_for_text(&self, text: &str) -> bool {
        match self {
            Self::Matches(pattern) => pattern.is_match(text),
            Self::OneOf { values, ignore_case: false } => values.contains(&text),
            Self::OneOf { values, ignore_case: true } => values.iter().any(|v| v.eq_ignore_ascii_case(text)),
            _ => self.holds_for_length(text.chars().count()),
        }
    }

    fn holds_for_length(&self, length: usize) -> bool {
        match self {
            Self::LengthAtMost(max) => length <= *max,
            Self::LengthAtLeast(min) => length >= *min,
            _ => true,
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthAtMost(max) => write!(f, "Member must have length less than or equal to {max}"),
            Self::LengthAtLeast(min) => write!(f, "Member must have length greater than or equal to {min}"),
            Self::ValueAtMost(max) => write!(f, "Member must have value less than or equal to {max}"),
            Self::ValueAtLeast(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Self::Matches(pattern) => {
                write!(f, "Member must satisfy regular expression pattern: {}", pattern.text)
            }
            Self::OneOf { values, .. } => {
                write!(f, "Member must satisfy enum value set: [{}]", values.join(", "))
            }
        }
    }
}

/// All constraints of a shape, as the service lists them: `[a, b]`.
fn listed(shape: &Shape) -> String {
    let all: Vec<String> = Constraint::of(shape).iter().map(Constraint::to_string).collect();
    format!("[{}]", all.join(", "))
}

/// What JSON type `shape` needs, if `value` is not of it.
fn mismatch(shape: &Shape, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match shape {
        Shape::Structure(_) | Shape::Map { .. } => (value.is_object(), "an object"),
        Shape::List { .. } => (value.is_array(), "a list"),
        Shape::String { .. } | Shape::Enum { .. } => (value.is_string(), "a string"),
        Shape::Integer { .. } if value.is_i64() || value.is_u64() => {
            (value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()), "an integer of 32 bits")
        }
        Shape::Long { .. } if value.is_u64() => (value.is_i64(), "an integer of 64 bits"),
        Shape::Integer { .. } | Shape::Long { .. } => (value.is_i64(), "an integer"),
        Shape::Float if value.is_number() => {
            (value.as_f64().is_some_and(|number| number.abs() <= f64::from(f32::MAX)), "a number of 32 bits")
        }
        Shape::Float | Shape::Double => (value.is_number(), "a number"),
        Shape::Boolean => (value.is_boolean(), "a boolean"),
    };
    (!fits).then_some(expected)
}

fn type_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// The start of a value as the service prints it: `text`, `[a, b]`, `{k=v}`.
fn quoted(value: &Value) -> String {
    let mut text = String::new();
    quote(value, &mut text);
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text,
    }
}

/// Appends `value`, and stops soon after there is enough to cut.
fn quote(value: &Value, text: &mut String) {
    let is_enough = |text: &String| text.len() > QUOTED_CHARS_MAX * 4;
    match value {
        Value::String(string) => text.extend(string.chars().take(QUOTED_CHARS_MAX + 1)),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if is_enough(text) {
                    break;
                }
                text.push_str(if i == 0 { "" } else { ", " });
                quote(item, text);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            text.push('{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if is_enough(text) {
                    break;
                }
                text.push_str(if i == 0 { "" } else { ", " });
                text.extend(key.chars().take(QUOTED_CHARS_MAX + 1));
                text.push('=');
                quote(item, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}
