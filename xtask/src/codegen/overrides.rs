//! Where the service does otherwise than its model says, or Fornada more. Each entry has its reason; each must still match
//! something.

use anyhow::{Context, Result, bail, ensure};

use super::model::{Model, Shape, Structure, Text};

enum Override {
    /// The member is declared required, but left out at times.
    Optional { shape: &'static str, member: &'static str },
    /// The values of the enum are accepted in any case.
    IgnoreCase { shape: &'static str },
    /// The map may be empty.
    MayBeEmpty { map: &'static str },
    /// `pattern` uses what regex-lite cannot express; `matcher` replaces it. Errors still quote `pattern`.
    Matcher { shape: &'static str, pattern: &'static str, matcher: &'static str },
    /// The enum has one value more, beyond AWS.
    Value { shape: &'static str, value: &'static str },
}
use Override::{IgnoreCase, Matcher, MayBeEmpty, Optional, Value};

fn of(service: &str) -> &'static [Override] {
    match service {
        "batch" => &[
            // A job that has not started has no start time, and the service leaves the member out.
            Optional { shape: "JobDetail", member: "startedAt" },
            Optional { shape: "DescribeServiceJobResponse", member: "startedAt" },
            // The API reference says so of EvaluateOnExit's `action`.
            IgnoreCase { shape: "RetryAction" },
            // Fornada's own: a dependency that is met when the other job has ended, well or badly.
            Value { shape: "ArrayJobDependency", value: "AFTER_ANY" },
            // Airflow's BatchOperator (SubmitJob) and Snakemake's executor (RegisterJobDefinition) send `{}` for no tags.
            MayBeEmpty { map: "TagrisTagsMap" },
        ],
        "logs" => &[
            // Unicode classes (letters, separators, numbers): every character outside ASCII passes instead, which
            // is too generous only for foreign punctuation and symbols.
            Matcher {
                shape: "TagKey",
                pattern: r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$",
                matcher: r"[A-Za-z0-9 \u{80}-\u{10FFFF}_.:/=+\-@]+",
            },
            Matcher {
                shape: "TagValue",
                pattern: r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$",
                matcher: r"[A-Za-z0-9 \u{80}-\u{10FFFF}_.:/=+\-@]*",
            },
        ],
        _ => &[],
    }
}

/// Changes `model` to what the service does.
pub(crate) fn apply(service: &str, model: &mut Model) -> Result<()> {
    for change in of(service) {
        match *change {
            Optional { shape, member } => {
                let was_required = structure(model, shape)?.required.remove(member);
                ensure!(was_required, "override of {shape}.{member}: the member is not required");
            }
            IgnoreCase { shape } => text(model, shape)?.ignore_case = true,
            MayBeEmpty { map } => {
                let Some(Shape::Map { min, .. }) = model.shapes.get_mut(map) else {
                    bail!("override of {map}: not a map");
                };
                ensure!(min.take().is_some(), "override of {map}: it has no minimum");
            }
            Matcher { shape, pattern, matcher } => {
                let text = text(model, shape)?;
                ensure!(
                    text.pattern.as_deref() == Some(pattern),
                    "override of {shape}: the pattern has changed"
                );
                text.matcher = Some(matcher.to_owned());
            }
            Value { shape, value } => {
                let values = text(model, shape)?.values.as_mut();
                let values = values.with_context(|| format!("override of {shape}: not an enum"))?;
                ensure!(!values.iter().any(|v| v == value), "override of {shape}: {value} is in the model");
                values.push(value.to_owned());
            }
        }
    }
    Ok(())
}

fn structure<'a>(model: &'a mut Model, name: &str) -> Result<&'a mut Structure> {
    match model.shapes.get_mut(name).with_context(|| format!("override of {name}: no such shape"))? {
        Shape::Structure(structure) => Ok(structure),
        _ => bail!("override of {name}: not a structure"),
    }
}

fn text<'a>(model: &'a mut Model, name: &str) -> Result<&'a mut Text> {
    match model.shapes.get_mut(name).with_context(|| format!("override of {name}: no such shape"))? {
        Shape::String(text) => Ok(text),
        _ => bail!("override of {name}: not a string"),
    }
}
