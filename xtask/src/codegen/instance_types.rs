//! Turns `model/ec2/instance-types.jsonl` into the table that the core looks instance types up in.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// A line of the source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    family: String,
    arch: String,
    vcpus: u32,
    memory_mib: u32,
    #[serde(default)]
    gpus: Vec<Gpus>,
    #[serde(default)]
    bare_metal: bool,
    #[serde(default)]
    burstable: bool,
    #[serde(default)]
    current_generation: bool,
    #[serde(default)]
    spot: bool,
    #[serde(default, rename = "efa")]
    _efa: bool,
    #[serde(default)]
    instance_storage_gb: u32,
    usd_per_hour: Option<f64>,
}

/// Devices of one model. A type that has a part of a device counts 0: jobs ask for whole ones.
#[derive(Deserialize)]
struct Gpus {
    count: u32,
}

/// The generated file, from the lines of the source, which are sorted by name.
pub(crate) fn table(source: &str) -> Result<String> {
    let mut rows = String::new();
    let mut last = String::new();
    let mut count = 0;
    for (index, line) in source.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("line {}", index + 1))?;
        ensure!(last < line.name, "{} must come before {last}", line.name);
        ensure!(line.name.split('.').next() == Some(&line.family), "{} is not of {}", line.name, line.family);
        writeln!(rows, "    {},", row(&line)?)?;
        last = line.name;
        count += 1;
    }
    Ok(format!(
        "use super::instance_type::{{BURSTABLE, CURRENT, InstanceType, METAL, SPOT, row}};\n\
         use crate::instance::Architecture::{{Arm64, X86_64}};\n\n\
         /// All types, sorted by name.\n\
         pub(super) static CATALOGUE: [InstanceType; {count}] = [\n{rows}];\n"
    ))
}

fn row(line: &Line) -> Result<String> {
    let architecture = match &*line.arch {
        "x86_64" => "X86_64",
        "arm64" => "Arm64",
        other => bail!("{}: unknown architecture {other}", line.name),
    };
    let flags = [
        (line.bare_metal, "METAL"),
        (line.burstable, "BURSTABLE"),
        (line.current_generation, "CURRENT"),
        (line.spot, "SPOT"),
    ];
    let flags: Vec<&str> = flags.into_iter().filter_map(|(holds, flag)| holds.then_some(flag)).collect();
    let flags = if flags.is_empty() { "0".to_owned() } else { flags.join(" | ") };
    let gpus: u32 = line.gpus.iter().map(|gpus| gpus.count).sum();
    let price = match line.usd_per_hour {
        Some(usd) => format!("Some({:.0})", usd * 1e6),
        None => "None".to_owned(),
    };
    let Line { name, vcpus, memory_mib, instance_storage_gb, .. } = line;
    Ok(format!(
        "row({name:?}, {architecture}, {vcpus}, {memory_mib}, {gpus}, {flags}, {instance_storage_gb}, {price})"
    ))
}
