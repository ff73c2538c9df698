//! Regular expressions in filter patterns: `%4[0-9]{2}%`.
//!
//! Source: CloudWatch Logs user guide, "Supported regular expressions (regex) syntax": what they may be made of. Whatever
//! they hold, matching takes time in proportion to the message.

use regex::bytes::{Regex as Compiled, RegexBuilder};

use super::filter_pattern::PatternError;

/// Memory for one compiled expression, in bytes.
const SIZE_MAX: usize = 256 << 10;

/// A regular expression, found anywhere in a text.
#[derive(Clone, Debug)]
pub(super) struct Regex(Compiled);

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Regex {
    /// Reads what follows the opening `%`, up to the closing one; also returns what is left.
    pub(super) fn parse(rest: &str) -> Result<(Regex, &str), PatternError> {
        let (expression, rest) = rest.split_once('%').ok_or(PatternError::OpenRegex)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":_#=@/;,-^$?[]{}|\\*+.".contains(c);
        if let Some(other) = expression.chars().find(|c| !allowed(*c)) {
            return Err(PatternError::RegexCharacter(other));
        }
        let compiled = RegexBuilder::new(expression)
            .unicode(false)
            .size_limit(SIZE_MAX)
            .dfa_size_limit(SIZE_MAX)
            .build();
        let compiled = compiled.map_err(|_| PatternError::Regex(expression.to_owned()))?;
        Ok((Regex(compiled), rest))
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}
