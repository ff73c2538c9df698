//! `--capacity vcpus=4,memory=8g,gpus=1`: what jobs may use of this machine.

use std::fmt;
use std::str::FromStr;

const MIB: u64 = 1 << 20;

/// What the operator claims of this machine; a part that is not named is whatever the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Thousandths of a vCPU, so 1500 is one and a half.
    pub(crate) milli_vcpus: Option<u64>,
    /// Memory in MiB.
    pub(crate) memory_mib: Option<u64>,
    /// Whole GPUs.
    pub(crate) gpus: Option<u32>,
}

/// Why a capacity could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseCapacityError {
    #[error("expected vcpus=NUMBER, memory=SIZE or gpus=NUMBER, separated by commas, not `{0}`")]
    Part(String),
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error("vcpus is a number above 0 with at most three decimals, not `{0}`")]
    Vcpus(String),
    #[error("memory is a size of at least 1 MiB such as 16g, 16GiB, 512m or 16384 (MiB), not `{0}`")]
    Memory(String),
    #[error("gpus is a whole number, not `{0}`")]
    Gpus(String),
}

impl FromStr for Capacity {
    type Err = ParseCapacityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut capacity = Capacity::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| Self::Err::Part(part.to_owned()))?;
            let twice = match key {
                "vcpus" => capacity.milli_vcpus.replace(milli_vcpus(value)?).is_some(),
                "memory" => capacity.memory_mib.replace(memory_mib(value)?).is_some(),
                "gpus" => {
                    let gpus = value.parse().map_err(|_| Self::Err::Gpus(value.to_owned()))?;
                    capacity.gpus.replace(gpus).is_some()
                }
                _ => return Err(Self::Err::Part(part.to_owned())),
            };
            if twice {
                return Err(Self::Err::Twice(key.to_owned()));
            }
        }
        Ok(capacity)
    }
}

/// The form that parses back to the same value, so that one process can hand it to another.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpus = self.milli_vcpus.map(|milli| format!("vcpus={}.{:03}", milli / 1000, milli % 1000));
        let memory = self.memory_mib.map(|mib| format!("memory={mib}"));
        let gpus = self.gpus.map(|gpus| format!("gpus={gpus}"));
        let parts: Vec<String> = [vcpus, memory, gpus].into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

/// Reads by digits rather than through a float, so that 0.1 is exactly 100 thousandths.
fn milli_vcpus(text: &str) -> Result<u64, ParseCapacityError> {
    let error = || ParseCapacityError::Vcpus(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return Err(error());
    }
    let whole: u64 = whole.parse().map_err(|_| error())?;
    let fraction: u64 = format!("{fraction:0<3}").parse().map_err(|_| error())?;
    let milli = whole.checked_mul(1000).and_then(|milli| milli.checked_add(fraction));
    milli.filter(|milli| *milli > 0).ok_or_else(error)
}

fn memory_mib(text: &str) -> Result<u64, ParseCapacityError> {
    size_mib(text).ok_or_else(|| ParseCapacityError::Memory(text.to_owned()))
}

/// A size such as `16g`, `16GiB`, `512m` or `16384` (MiB), in whole MiB, at least one.
pub(crate) fn size_mib(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_bytes = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kib" => 1 << 10,
        "" | "m" | "mib" => MIB,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_bytes));
    bytes.map(|bytes| bytes / MIB).filter(|mib| *mib > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_parse_and_print_back() {
        let all = |milli_vcpus, memory_mib, gpus| Capacity { milli_vcpus, memory_mib, gpus };
        let cases = [
            ("", all(None, None, None)),
            ("vcpus=4", all(Some(4000), None, None)),
            ("vcpus=0.1", all(Some(100), None, None)),
            ("vcpus=1.25,memory=16g,gpus=2", all(Some(1250), Some(16384), Some(2))),
            ("memory=16384", all(None, Some(16384), None)),
            ("memory=16GiB", all(None, Some(16384), None)),
            ("memory=512m, gpus=0", all(None, Some(512), Some(0))),
            ("memory=1gb", all(None, Some(953), None)),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse(), Ok(want), "{text}");
            assert_eq!(want.to_string().parse(), Ok(want), "printed form of {text}");
        }
    }

    #[test]
    fn broken_capacities_are_refused() {
        use ParseCapacityError::{Gpus, Memory, Part, Twice, Vcpus};
        let cases = [
            ("4", Part("4".into())),
            ("cpus=4", Part("cpus=4".into())),
            ("vcpus=0", Vcpus("0".into())),
            ("vcpus=-1", Vcpus("-1".into())),
            ("vcpus=1.0001", Vcpus("1.0001".into())),
            ("vcpus=1.", Vcpus("1.".into())),
            ("vcpus=99999999999999999999", Vcpus("99999999999999999999".into())),
            ("memory=1k", Memory("1k".into())),
            ("memory=g", Memory("g".into())),
            ("memory=1x", Memory("1x".into())),
            ("memory=99999999t", Memory("99999999t".into())),
            ("gpus=half", Gpus("half".into())),
            ("gpus=1,gpus=2", Twice("gpus".into())),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Capacity>(), Err(want), "{text}");
        }
    }
}
