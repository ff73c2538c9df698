//! The grammar of JSON and space-delimited filter patterns, as a recursive descent.
//!
//! ```text
//! any      = all { "||" all }
//! all      = test { "&&" test }
//! test     = "(" any ")" | selector condition
//! selector = "$" { "." name | "[" index "]" | "['" name "']" }
//! condition = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | "IS" ("NULL" | "TRUE" | "FALSE") | "NOT" "EXISTS"
//!
//! fields   = field { "," field }
//! field    = "..." | name | any, where a selector is the name of the field
//! ```

use std::cmp::Ordering;

use super::filter_pattern::{PatternError, quoted};
use super::json_pattern::{Condition, Literal, Step, Test};
use super::regex::Regex;
use super::space_pattern::SpacePattern;

/// Parentheses within each other; far more than a person writes, and no danger to the stack.
const DEPTH_MAX: usize = 32;

/// Reads what is between the braces of a pattern.
pub(super) fn parse(text: &str) -> Result<Condition, PatternError> {
    let mut parser = Parser { rest: text, depth: 0, field: None };
    let condition = parser.any()?;
    match parser.rest.trim_start() {
        "" => Ok(condition),
        _ => Err(parser.expected("&& or ||")),
    }
}

/// Reads what is between the brackets of a pattern.
pub(super) fn parse_fields(text: &str) -> Result<SpacePattern, PatternError> {
    let mut parser = Parser { rest: text, depth: 0, field: None };
    let mut pattern = SpacePattern { first: Vec::new(), last: None };
    loop {
        if !parser.takes("...") {
            let field = parser.field()?;
            pattern.last.as_mut().unwrap_or(&mut pattern.first).push(field);
        } else if pattern.last.replace(Vec::new()).is_some() {
            return Err(parser.expected("one ellipsis only"));
        }
        if parser.rest.trim_start().is_empty() {
            return Ok(pattern);
        }
        if !parser.takes(",") {
            return Err(parser.expected("a comma"));
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
    /// The name that stands for a selector, within a field.
    field: Option<&'a str>,
}

impl<'a> Parser<'a> {
    /// A field and its condition, if it has one.
    fn field(&mut self) -> Result<Option<Condition>, PatternError> {
        let start = self.rest;
        let mut in_parentheses = false;
        while self.takes("(") {
            in_parentheses = true;
        }
        let name = self.field_name()?;
        if !in_parentheses && matches!(self.rest.trim_start().chars().next(), None | Some(',')) {
            return Ok(None);
        }
        if !self.rest.trim_start().starts_with(['=', '!', '<', '>']) {
            return Err(self.expected("a comma"));
        }
        self.field = Some(name);
        self.rest = start;
        self.any().map(Some)
    }

    fn field_name(&mut self) -> Result<&'a str, PatternError> {
        self.rest = self.rest.trim_start();
        match self.span(|c| c.is_alphanumeric() || "$_-.".contains(c)) {
            "" => Err(self.expected("a field name")),
            name => Ok(name),
        }
    }

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
        if let Some(field) = self.field {
            let before = self.rest;
            if self.field_name()? == field {
                return Ok(Vec::new());
            }
            self.rest = before;
            return Err(self.expected("the name of the same field"));
        }
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
                let Some(number) = self.value()?.number() else {
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
            return Ok(Literal::text(&text, None));
        }
        if self.takes("%") {
            let (regex, rest) = Regex::parse(self.rest)?;
            self.rest = rest;
            return Ok(Literal::Regex(regex));
        }
        self.rest = self.rest.trim_start();
        match self.span(|c| c.is_alphanumeric() || "*._-+:/@#".contains(c)) {
            "" => Err(self.expected("a value")),
            word => Ok(Literal::text(word, number(word))),
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
            ("$.a = %b", "A regular expression is not closed"),
            ("$.a = %(b)%", "The character '(' cannot be used in a regular expression"),
            ("$.a = %[b%", "Invalid regular expression '[b'"),
            ("$.a > %1%", "Expected a number at '%1%'"),
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
