//! Filter patterns: which events FilterLogEvents and StartLiveTail return.
//!
//! - `word "a phrase"`: events that contain all terms, case-sensitive, anywhere in the message
//! - `?word ?other`: events that contain any of them; beside other terms these are ignored, as the service does it
//! - `-word`: but not those that contain it
//! - `%expression%`: in place of any term, see [`regex`](super::regex)
//! - `{ $.field = value }`: see [`json_pattern`](super::json_pattern)
//! - `[field, other = value, ...]`: see [`space_pattern`](super::space_pattern)
//!
//! Source: CloudWatch Logs user guide, "Filter pattern syntax".

use super::json_pattern::JsonPattern;
use super::regex::Regex;
use super::space_pattern::SpacePattern;

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("Invalid character(s) in term '{0}'")]
    Term(String),
    #[error("A quotation mark is not closed")]
    OpenQuote,
    #[error("If a filter pattern starts with '{{' it must end with '}}'")]
    OpenBrace,
    #[error("Expected {what} at '{rest}'")]
    Expected { what: &'static str, rest: String },
    #[error("Parentheses are nested too deeply")]
    TooDeep,
    #[error("If a filter pattern starts with '[' it must end with ']'")]
    OpenBracket,
    #[error("A regular expression is not closed")]
    OpenRegex,
    #[error("The character '{0}' cannot be used in a regular expression")]
    RegexCharacter(char),
    #[error("Invalid regular expression '{0}'")]
    Regex(String),
}

/// A pattern that can be held against messages.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FilterPattern {
    /// For any message.
    Terms(Terms),
    /// For messages that are JSON objects.
    Json(JsonPattern),
    /// For messages made of fields.
    Fields(SpacePattern),
}

/// What a message contains.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl FilterPattern {
    /// Reads a pattern; the empty one matches everything.
    pub(super) fn parse(pattern: &str) -> Result<FilterPattern, PatternError> {
        let pattern = pattern.trim();
        if let Some(json) = pattern.strip_prefix('{') {
            let json = json.strip_suffix('}').ok_or(PatternError::OpenBrace)?;
            JsonPattern::parse(json).map(FilterPattern::Json)
        } else if let Some(fields) = pattern.strip_prefix('[') {
            let fields = fields.strip_suffix(']').ok_or(PatternError::OpenBracket)?;
            SpacePattern::parse(fields).map(FilterPattern::Fields)
        } else {
            Terms::parse(pattern).map(FilterPattern::Terms)
        }
    }

    /// Whether an event with this message is asked for.
    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            FilterPattern::Terms(terms) => terms.matches(message),
            FilterPattern::Json(json) => json.matches(message),
            FilterPattern::Fields(fields) => fields.matches(message),
        }
    }
}

impl Terms {
    fn parse(mut rest: &str) -> Result<Terms, PatternError> {
        let mut terms = Terms::default();
        while !rest.is_empty() {
            let (terms, after_sign) = match rest.strip_prefix(['?', '-']) {
                Some(after) if rest.starts_with('?') => (&mut terms.any, after),
                Some(after) => (&mut terms.none, after),
                None => (&mut terms.all, rest),
            };
            let (term, after) = term(after_sign.trim_start())?;
            terms.push(term);
            rest = after.trim_start();
        }
        Ok(terms)
    }

    fn matches(&self, message: &str) -> bool {
        let contains = |term: &Term| match term {
            Term::Text(text) => message.contains(text.as_str()),
            Term::Regex(regex) => regex.is_in(message),
        };
        let optional = self.any.is_empty() || !self.all.is_empty() || !self.none.is_empty();
        self.all.iter().all(contains)
            && !self.none.iter().any(contains)
            && (optional || self.any.iter().any(contains))
    }
}

/// One term and what follows it.
fn term(rest: &str) -> Result<(Term, &str), PatternError> {
    if let Some(rest) = rest.strip_prefix('"') {
        return quoted(rest, '"').map(|(text, rest)| (Term::Text(text), rest));
    }
    if let Some(rest) = rest.strip_prefix('%') {
        return Regex::parse(rest).map(|(regex, rest)| (Term::Regex(regex), rest));
    }
    let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    if word.is_empty() || !word.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(PatternError::Term(word.to_owned()));
    }
    Ok((Term::Text(word.to_owned()), after))
}

/// The text up to the closing `quote`, and what follows it. A backslash takes the next character as it is.
pub(super) fn quoted(rest: &str, quote: char) -> Result<(String, &str), PatternError> {
    let (mut text, mut chars) = (String::new(), rest.chars());
    loop {
        match chars.next().ok_or(PatternError::OpenQuote)? {
            '\\' => text.push(chars.next().ok_or(PatternError::OpenQuote)?),
            c if c == quote => return Ok((text, chars.as_str())),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_match_as_documented() {
        let messages = ["ERROR WARN message", "ERROR message", "WARN message", "say \"hi\" to a-b"];
        for (pattern, want) in [
            ("", &[0, 1, 2, 3][..]),
            ("  ", &[0, 1, 2, 3]),
            ("ERROR", &[0, 1]),
            ("error", &[]),
            ("ERR", &[0, 1]),
            ("ERROR WARN", &[0]),
            ("?ERROR ?WARN", &[0, 1, 2]),
            ("ERROR -WARN", &[1]),
            ("-WARN", &[1, 3]),
            ("\"ERROR message\"", &[1]),
            ("message \"ERROR\" - \"WARN\"", &[1]),
            ("?ERROR say", &[3]),
            ("\"a-b\"", &[3]),
            (r#""\"hi\"""#, &[3]),
            ("%ERR.R%", &[0, 1]),
            ("%^ERROR\\sW|a-b$% -%^say%", &[0]),
            ("?%^WARN% ?hi", &[2, 3]),
        ] {
            let parsed = FilterPattern::parse(pattern).unwrap();
            let got: Vec<usize> = (0..messages.len()).filter(|&i| parsed.matches(messages[i])).collect();
            assert_eq!(got, want, "{pattern}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for (pattern, want) in [
            ("a-b", "Invalid character(s) in term 'a-b'"),
            ("ok -", "Invalid character(s) in term ''"),
            ("\"open", "A quotation mark is not closed"),
            ("\"open\\", "A quotation mark is not closed"),
            ("{ $.a = 1", "If a filter pattern starts with '{' it must end with '}'"),
            ("[a, b", "If a filter pattern starts with '[' it must end with ']'"),
            ("%a", "A regular expression is not closed"),
            ("%a b%", "The character ' ' cannot be used in a regular expression"),
            ("%*a%", "Invalid regular expression '*a'"),
            ("%[a-z]{999}{999}%", "Invalid regular expression '[a-z]{999}{999}'"),
        ] {
            assert_eq!(FilterPattern::parse(pattern).unwrap_err().to_string(), want, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern: String, json in r#"[${}()\[\].,"'=<>!&|*%a1 é\\-]{0,40}"#, message: String) {
            for pattern in [pattern, format!("{{{json}}}"), format!("[{json}]"), format!("%{json}%"), json] {
                if let Ok(parsed) = FilterPattern::parse(&pattern) {
                    parsed.matches(&message);
                    parsed.matches(r#"{"a": [1, {"1": "a"}], "1": true}"#);
                }
            }
        }
    }
}
