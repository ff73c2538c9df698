//! Which processors instance types have.
//!
//! Source: Amazon EC2 Instance Types, naming conventions: a `g` among the letters after the generation is AWS Graviton.

use fornada_model::batch as model;

use crate::error::WireError;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86,
    Arm,
}

impl Architecture {
    /// Of a type, a family, or a group of families such as `optimal`.
    fn of(instance_type: &str) -> Architecture {
        let family = instance_type.split(['.', '-']).next().unwrap_or_default();
        let after_series = family.trim_start_matches(|c: char| !c.is_ascii_digit());
        let options = after_series.trim_start_matches(|c: char| c.is_ascii_digit());
        match family == "a1" || options.contains('g') || instance_type == "default_arm64" {
            true => Architecture::Arm,
            false => Architecture::X86,
        }
    }

    /// The one of all instance types; `None` where there are none.
    ///
    /// # Errors
    /// They differ.
    pub(crate) fn of_all(resources: &model::ComputeResource) -> Result<Option<Architecture>, WireError> {
        let mut all = resources.instance_types.iter().flatten().map(|it| Architecture::of(it));
        let first = all.next();
        match all.all(|other| Some(other) == first) {
            true => Ok(first),
            false => Err(WireError::invalid("All instanceTypes must have the same architecture.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for arm in [
            "default_arm64",
            "a1.large",
            "m6g",
            "c7gn.large",
            "r6gd.metal",
            "im4gn",
            "is4gen",
            "g5g",
            "hpc7g",
        ] {
            assert_eq!(Architecture::of(arm), Architecture::Arm, "{arm}");
        }
        for x86 in [
            "optimal",
            "default_x86_64",
            "m5.large",
            "g4dn",
            "g6e.xlarge",
            "gr6",
            "m7i-flex.large",
            "u-6tb1.metal",
            "mac1",
            "",
        ] {
            assert_eq!(Architecture::of(x86), Architecture::X86, "{x86}");
        }
    }
}
