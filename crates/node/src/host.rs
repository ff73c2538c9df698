//! What this machine has, and who it is.

use std::fs;
use std::path::Path;

use fornada_core::instance::Architecture;
use fornada_core::quantity::Resources;

/// What the operator says the machine has; whatever is left out is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Thousandths of a vCPU.
    pub milli_vcpus: Option<u64>,
    /// MiB.
    pub memory_mib: Option<u64>,
    /// Whole devices.
    pub gpus: Option<u32>,
}

/// The capacity to offer: what is claimed, else what the node itself may use.
pub(crate) fn capacity(claim: Claim, memory_limit_bytes: Option<u64>) -> Resources {
    // Counts what affinity and CPU quota leave to this process.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total_bytes(&text));
    let memory = total.unwrap_or(1 << 30).min(memory_limit_bytes.unwrap_or(u64::MAX));
    Resources {
        milli_vcpus: claim.milli_vcpus.unwrap_or(cpus * 1000),
        memory_mib: claim.memory_mib.unwrap_or(memory >> 20),
        gpus: claim.gpus.unwrap_or_else(|| gpus(Path::new("/proc/driver/nvidia/gpus"))),
    }
}

/// That of this very program; `None` for one that AWS has no name for.
pub(crate) fn architecture() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Architecture::X86_64),
        "aarch64" => Some(Architecture::Arm64),
        _ => None,
    }
}

fn memory_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// One directory a device.
fn gpus(driver: &Path) -> u32 {
    fs::read_dir(driver).map_or(0, |entries| u32::try_from(entries.count()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_win_over_measurements_and_limits_over_totals() {
        let claim = Claim { milli_vcpus: Some(64_000), memory_mib: Some(7), gpus: Some(3) };
        let want = Resources { milli_vcpus: 64_000, memory_mib: 7, gpus: 3 };
        assert_eq!(capacity(claim, None), want);
        assert_eq!(capacity(Claim::default(), Some(64 << 20)).memory_mib, 64);
        assert_eq!(
            memory_total_bytes("MemTotal:       24684564 kB\nMemFree: 1 kB\n"),
            Some(24_684_564 << 10)
        );
        assert_eq!(memory_total_bytes("MemTotal:\n"), None);
    }
}
