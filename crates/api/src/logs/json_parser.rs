//! The grammar of JSON filter patterns, as a recursive descent.
//!
//! ```text
//! any      = all { "||" all }
//! all      = test { "&&" test }
//! test     = "(" any ")" | selector condition
//! selector = "$" { "." name | "[" index "]" | "['" name "']" }
//! condition = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | "IS" ("NULL" | "TRUE" | "FALSE") | "NOT" "EXISTS"
//! ```

use std::cmp::Ordering;

use super::filter_pattern::{PatternError, quoted};
use super::json_pattern::{Condition, Literal, Step, Test};

/// Parentheses within each other; far more than a person writes, and no danger to the stack.
const DEPTH_MAX: usize = 32;

/// Reads what is between the braces of a pattern.
pub(super) fn parse(text: &str) -> Result<Condition, PatternError> {
    let mut parser = Parser { rest: text, depth: 0 };
    let condition = parser.any()?;
    match parser.rest.trim_start() {
        "" => Ok(condition),
        _ => Err(parser.expected("&& or ||")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Condition, PatternError> {
        let mut conditions = vec![self.all()?];
        while self.takes("||") {
            conditions.push(self.all()?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self) -> Result<Condition, PatternError> {
        let mut conditions = vec![self.test()?];
        while self.takes("&&") {
            conditions.push(self.test()?);
        }
        Ok(Condition::All(conditions))
    }

    fn test(&mut self) -> Result<Condition, PatternError> {
        if !self.takes("(") {
            let selector = self.selector()?;
            return Ok(Condition::Test(selector, self.condition()?));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PatternError::TooDeep);
        }
        let condition = self.any()?;
        self.depth -= 1;
        if self.takes(")") { Ok(condition) } else { Err(self.expected("a closing parenthesis")) }
    }

    fn selector(&mut self) -> Result<Vec<Step>, PatternError> {
        if !self.takes("$") {
            return Err(self.expected("a selector ($.name)"));
        }
        let mut steps = Vec::new();
        loop {
            // No spaces within a selector: `$.a [0]` is none.
            if let Some(rest) = self.rest.strip_prefix("['").or_else(|| self.rest.strip_prefix(".['")) {
                let (name, rest) = quoted(rest, '\'')?;
                self.rest = rest;
                steps.push(Step::Name(name));
                self.closing_bracket()?;
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                let digits = self.span(|c| c.is_ascii_digit());
                steps.push(Step::Index(digits.parse().map_err(|_| self.expected("an index"))?));
                self.closing_bracket()?;
            } else if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                match self.span(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
                    "" => return Err(self.expected("a name")),
                    name => steps.push(Step::Name(name.to_owned())),
                }
            } else {
                return Ok(steps);
            }
        }
    }

    fn closing_bracket(&mut self) -> Result<(), PatternError> {
        self.rest = self.rest.strip_prefix(']').ok_or_else(|| self.expected("a closing bracket"))?;
        Ok(())
    }

    fn condition(&mut self) -> Result<Test, PatternError> {
        use Ordering::{Equal, Greater, Less};
        if self.takes("!=") {
            return Ok(Test::Differs(self.value()?));
        }
        if self.takes("=") {
            return Ok(Test::Equal(self.value()?));
        }
        let comparisons: [(_, &'static [Ordering]); 4] =
            [("<=", &[Less, Equal]), (">=", &[Greater, Equal]), ("<", &[Less]), (">", &[Greater])];
        for (operator, orders) in comparisons {
            if self.takes(operator) {
                let before = self.rest;
                let Some(number) = self.value()?.number else {
                    self.rest = before;
                    return Err(self.expected("a number"));
                };
                return Ok(Test::Number(orders, number));
            }
        }
        let before = self.rest;
        match (self.word().to_ascii_uppercase().as_str(), self.word().to_ascii_uppercase().as_str()) {
            ("IS", "NULL") => Ok(Test::Null),
            ("IS", "TRUE") => Ok(Test::Boolean(true)),
            ("IS", "FALSE") => Ok(Test::Boolean(false)),
            ("NOT", "EXISTS") => Ok(Test::NotExists),
            _ => {
                self.rest = before;
                Err(self.expected("a comparison"))
            }
        }
    }

    fn value(&mut self) -> Result<Literal, PatternError> {
        if self.takes("\"") {
            let (text, rest) = quoted(self.rest, '"')?;
            self.rest = rest;
            return Ok(Literal::new(&text, None));
        }
        if self.takes("%") {
            return Err(PatternError::Regex);
        }
        self.rest = self.rest.trim_start();
        match self.span(|c| c.is_alphanumeric() || "*._-+:/@#".contains(c)) {
            "" => Err(self.expected("a value")),
            word => Ok(Literal::new(word, number(word))),
        }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.span(char::is_alphabetic)
    }

    /// Takes as many characters as fit.
    fn span(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (span, rest) = self.rest.split_at(end);
        self.rest = rest;
        span
    }

    /// Takes `symbol` if it comes next, after any space.
    fn takes(&mut self, symbol: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expected(&self, what: &'static str) -> PatternError {
        PatternError::Expected { what, rest: self.rest.trim().to_owned() }
    }
}

/// A decimal number; `inf` and `nan` are words.
fn number(word: &str) -> Option<f64> {
    word.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_conditions_are_refused() {
        for (pattern, want) in [
            ("", "Expected a selector ($.name) at ''"),
            ("a = 1", "Expected a selector ($.name) at 'a = 1'"),
            ("$.a", "Expected a comparison at ''"),
            ("$.a IS ODD", "Expected a comparison at 'IS ODD'"),
            ("$.a =", "Expected a value at ''"),
            ("$.a < b", "Expected a number at 'b'"),
            ("$.a = \"b", "A quotation mark is not closed"),
            ("$.a = %b%", "Fornada does not support regular expressions (%...%) yet"),
            ("$.a = 1 $.b = 2", "Expected && or || at '$.b = 2'"),
            ("($.a = 1", "Expected a closing parenthesis at ''"),
            ("$. = 1", "Expected a name at '= 1'"),
            ("$.a[x] = 1", "Expected an index at 'x] = 1'"),
            ("$.a[0 = 1", "Expected a closing bracket at '= 1'"),
        ] {
            assert_eq!(parse(pattern).unwrap_err().to_string(), want, "{pattern}");
        }
        let nested = |depth| format!("{}$.a = 1{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(500)), Err(PatternError::TooDeep));
    }
}
