//! The vocabulary of the constraint tables: what the service models say about a JSON value.

use std::sync::OnceLock;

use regex_lite::Regex;

/// What a value must look like. Bounds include their ends; lengths of strings count Unicode characters.
#[derive(Debug)]
pub enum Shape {
    /// An object with known members.
    Structure(&'static [Member]),
    /// An array of at least `min` and at most `max` members.
    #[expect(missing_docs, reason = "said above")]
    List { member: &'static Shape, min: Option<usize>, max: Option<usize> },
    /// An object with free keys, of at least `min` and at most `max` entries.
    #[expect(missing_docs, reason = "said above")]
    Map { key: &'static Shape, value: &'static Shape, min: Option<usize>, max: Option<usize> },
    /// A string between `min` and `max` in length, which as a whole matches `pattern`.
    #[expect(missing_docs, reason = "said above")]
    String { min: Option<usize>, max: Option<usize>, pattern: Option<&'static Pattern> },
    /// A string out of `values`, in any case if `ignore_case`.
    #[expect(missing_docs, reason = "said above")]
    Enum { values: &'static [&'static str], ignore_case: bool },
    /// A number without fraction that fits 32 bits.
    #[expect(missing_docs, reason = "said above")]
    Integer { min: Option<i64>, max: Option<i64> },
    /// A number without fraction that fits 64 bits.
    #[expect(missing_docs, reason = "said above")]
    Long { min: Option<i64>, max: Option<i64> },
    /// A number of single precision.
    Float,
    /// A number of double precision.
    Double,
    /// `true` or `false`.
    Boolean,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The name on the wire.
    pub name: &'static str,
    /// What its value must look like.
    pub shape: &'static Shape,
    /// Whether it must be there.
    pub required: bool,
}

/// A regular expression of the model, compiled at first use.
#[derive(Debug)]
pub struct Pattern {
    /// The expression as the model has it, to quote in errors.
    pub text: &'static str,
    matcher: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// `matcher` must match exactly the values that `text` allows as a whole.
    pub(crate) const fn new(text: &'static str, matcher: &'static str) -> Self {
        Self { text, matcher, compiled: OnceLock::new() }
    }

    /// Whether `value` is allowed.
    pub fn is_match(&self, value: &str) -> bool {
        // A test compiles every pattern of the tables; one that did not compile would allow nothing.
        self.compiled
            .get_or_init(|| Regex::new(self.matcher).ok())
            .as_ref()
            .is_some_and(|regex| regex.is_match(value))
    }
}
