//! `$(NAME)` in the command, arguments and environment of a pod's container.
//!
//! A name that is not there stays as it is written, and `$$` is a `$` that begins nothing. Source: Kubernetes, "Define
//! dependent environment variables" and "Define a command and arguments for a container".

use fornada_core::text::Text;

/// All texts of one container together, in bytes: what Linux takes as arguments and environment. Without a bound a few
/// variables that double each other fill the machine.
const BYTES_MAX: usize = 2 << 20;

/// Names and values.
pub(crate) type Variables = Vec<(Text, Text)>;

/// The expanded texts are longer than any program can be given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The variables of one container, and the room that is left.
pub(crate) struct Expansion {
    variables: Variables,
    left: usize,
}

impl Expansion {
    /// Each variable may use those before it.
    pub(crate) fn new(variables: &[(Text, Text)]) -> Result<Expansion, TooLong> {
        let mut expansion = Expansion { variables: Vec::with_capacity(variables.len()), left: BYTES_MAX };
        for (name, value) in variables {
            let value = expansion.expand(value)?;
            expansion.variables.push((name.clone(), value));
        }
        Ok(expansion)
    }

    pub(crate) fn into_variables(self) -> Variables {
        self.variables
    }

    /// `text` with the values of the variables in it. What they hold is not looked at again.
    pub(crate) fn expand(&mut self, text: &Text) -> Result<Text, TooLong> {
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                match self.variables.iter().find(|(known, _)| *known == *name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = after;
            } else {
                out.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
            if out.len() > self.left {
                return Err(TooLong);
            }
        }
        out.push_str(rest);
        self.left = self.left.checked_sub(out.len()).ok_or(TooLong)?;
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion(variables: &[(&str, &str)]) -> Result<Expansion, TooLong> {
        let texts: Variables = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Expansion::new(&texts)
    }

    #[test]
    fn references_are_replaced_once_and_everything_else_stays() {
        let mut expansion =
            expansion(&[("A", "1"), ("B", "$(A)$(LATER)"), ("LATER", "$$(A)"), ("empty", "")]).unwrap();
        for (text, want) in [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)$(A)y", "x11y"),
            ("$(B)", "1$(LATER)"),
            ("$(LATER)", "$(A)"),
            ("[$(empty)]", "[]"),
            ("$(MISSING)/$(A)", "$(MISSING)/1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$A ${A} $é $", "$A ${A} $é $"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("$$", "$"),
        ] {
            assert_eq!(expansion.expand(&text.into()).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_grows_beyond_all_bounds_is_refused() {
        let names: Vec<String> = (0..64).map(|number| format!("V{number}")).collect();
        let values: Vec<String> = (0..64).map(|n: i32| format!("$(V{})x", n - 1).repeat(2)).collect();
        let doubling: Vec<_> = names.iter().zip(&values).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(expansion(&doubling).err(), Some(TooLong));
    }
}
