//! Whether `instanceTypes` are instance types, and which processors they have.
//!
//! EC2 brings out types faster than the catalogue follows, and has some in a few regions only. So a name that the catalogue does
//! not know is taken for a type when it is built like one: of a known series, at most one generation after the newest. Nothing
//! can be launched of it; the environment works with its other types.
//!
//! Source: Amazon EC2 Instance Types, naming conventions.

use std::sync::LazyLock;

use fornada_core::instance::Architecture;
use fornada_core::scale::instance_type::{self, InstanceType};

use super::super::require::require;
use crate::error::WireError;

/// Names of several families at once.
const GROUPS: [&str; 3] = ["optimal", "default_x86_64", "default_arm64"];
/// Letters for what a family is capable of, as in `m8idn`: the most that there are.
const OPTIONS_MAX: usize = 4;

/// All that `instanceTypes` may hold, as AWS lists it. Tools read the list: AWS ParallelCluster asks for a type that does not
/// exist to learn which ones do.
static OFFERED: LazyLock<String> = LazyLock::new(|| {
    let mut names = GROUPS.to_vec();
    for one in instance_type::all() {
        names.extend([one.family(), one.name]);
    }
    names[GROUPS.len()..].sort_unstable();
    names.dedup();
    names.join(", ")
});

/// The architecture that all have; `None` where there are none.
///
/// # Errors
/// One is no instance type; they differ.
pub(super) fn checked(entries: &[String]) -> Result<Option<Architecture>, WireError> {
    if let Some(unknown) = entries.iter().find(|entry| !is_known(entry) && !is_built_like_one(entry)) {
        let offered = &*OFFERED;
        return Err(WireError::invalid(format!(
            "Instance type can only be one of [{offered}], not {unknown}."
        )));
    }
    let mut all = entries.iter().map(|entry| architecture(entry));
    let first = all.next();
    require(all.all(|other| Some(other) == first), "All instanceTypes must have the same architecture.")?;
    Ok(first)
}

fn is_known(entry: &str) -> bool {
    instance_type::expand(entry).is_ok() || !instance_type::family(entry).is_empty()
}

fn is_built_like_one(entry: &str) -> bool {
    let (family, size) = entry.split_once('.').map_or((entry, None), |(family, size)| (family, Some(size)));
    size.is_none_or(is_size) && (!instance_type::family(family).is_empty() || is_family(family))
}

/// `c7gn`, `m7i-flex`: series, generation, options.
fn is_family(family: &str) -> bool {
    let Some((series, generation, options)) = parts(family) else { return false };
    let newest = instance_type::all()
        .iter()
        .filter_map(|one| parts(one.family()))
        .filter_map(|(known, generation, _)| (known == series).then_some(generation))
        .max();
    let (letters, suffix) = options.split_once('-').unwrap_or((options, ""));
    newest.is_some_and(|newest| generation <= newest + 1)
        && letters.len() <= OPTIONS_MAX
        && letters.bytes().all(|b| b.is_ascii_lowercase())
        && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// `None` for a name without a generation.
fn parts(family: &str) -> Option<(&str, u32, &str)> {
    let (series, rest) = family.split_at(family.find(|c: char| c.is_ascii_digit())?);
    let (generation, options) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    Some((series, generation.parse().ok()?, options))
}

/// `large`, `2xlarge`, `metal`, `metal-24xl`.
fn is_size(size: &str) -> bool {
    let numbered = |rest: &str, unit: &str| {
        rest.strip_suffix(unit).is_some_and(|n| n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(size, "nano" | "micro" | "small" | "medium" | "large" | "metal")
        || numbered(size, "xlarge")
        || size.strip_prefix("metal-").is_some_and(|rest| numbered(rest, "xl"))
}

fn architecture(entry: &str) -> Architecture {
    let family = entry.split('.').next().unwrap_or_default();
    let types = instance_type::expand(entry).unwrap_or_default();
    let known = types.first().copied().or_else(|| instance_type::family(family).first());
    known.map_or_else(|| architecture_by_name(family), |InstanceType { architecture, .. }| *architecture)
}

/// A `g` among the letters after the generation is AWS Graviton.
fn architecture_by_name(family: &str) -> Architecture {
    match parts(family) {
        Some((_, _, options)) if options.split('-').next().is_some_and(|letters| letters.contains('g')) => {
            Architecture::Arm64
        }
        _ => Architecture::X86_64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(entry: &str) -> Result<Option<Architecture>, String> {
        checked(&[entry.to_owned()]).map_err(|error| error.message)
    }

    /// The catalogue knows what the name only tells.
    #[test]
    fn names_tell_what_the_catalogue_knows() {
        for known in instance_type::all() {
            let family = known.family();
            assert_eq!(
                (one(known.name), one(family)),
                (Ok(Some(known.architecture)), Ok(Some(known.architecture)))
            );
            assert!(is_size(known.name.split_once('.').unwrap().1), "{}", known.name);
            if let Some((series, _, _)) = parts(family)
                && !series.starts_with("u-")
            {
                assert!(is_family(family), "{family}");
                assert!(family == "a1" || architecture_by_name(family) == known.architecture, "{family}");
            }
        }
    }

    #[test]
    fn unknown_names_built_like_types_are_accepted_and_others_listed() {
        for x86 in ["optimal", "default_x86_64", "p3.2xlarge", "g4ad", "m10i-flex.large", "c5.96xlarge", "f1"]
        {
            assert_eq!(one(x86), Ok(Some(Architecture::X86_64)), "{x86}");
        }
        for arm in ["default_arm64", "c10gn", "m10gd.metal-48xl", "a1"] {
            assert_eq!(one(arm), Ok(Some(Architecture::Arm64)), "{arm}");
        }
        for entry in
            ["", "m", "m5.", "m5.huge", "m5large", "m99.large", "p8.84xlarge", "q5.large", "m5.large.x", "M5"]
        {
            let text = one(entry).unwrap_err();
            let start =
                "Instance type can only be one of [optimal, default_x86_64, default_arm64, a1, a1.2xlarge, ";
            assert!(text.starts_with(start) && text.ends_with(&format!("], not {entry}.")), "{text}");
            assert_eq!(text.matches(", m7i-flex, ").count(), 1);
        }
        assert_eq!(checked(&[]).unwrap(), None);
    }
}
