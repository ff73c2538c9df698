//! Instance types: what a machine of each is like, and which ones an entry of `instanceTypes` stands for.
//!
//! The table is generated from `model/ec2/`; its provenance stands there.

use thiserror::Error;

use super::catalogue::CATALOGUE;
use crate::instance::Architecture;
use crate::quantity::Resources;

/// MiB that the ECS agent keeps from jobs. Source: AWS Batch User Guide, Memory management (`ECS_RESERVED_MEMORY`).
const AGENT_MEMORY_MIB: u64 = 32;

/// Families of `default_x86_64` and of `optimal`. Source: AWS Batch User Guide, Instance types.
const DEFAULT_X86_64: [&str; 4] = ["m6i", "c6i", "r6i", "c7i"];
/// Families of `default_arm64`. Source: as above.
const DEFAULT_ARM64: [&str; 4] = ["m6g", "c6g", "r6g", "c7g"];

/// An EC2 instance type.
///
/// Source: Amazon EC2 API reference, InstanceTypeInfo; AWS price list, on demand, Linux, us-east-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// For example `m6i.large`.
    pub name: &'static str,
    /// Of its processor.
    pub architecture: Architecture,
    /// vCPUs, at least 1.
    pub vcpus: u32,
    /// Nominal memory in MiB; jobs get less of it, see [`InstanceType::capacity`].
    pub memory_mib: u32,
    /// Whole GPUs; 0 for a type that has a part of one.
    pub gpus: u32,
    /// The whole machine, without a hypervisor.
    pub bare_metal: bool,
    /// Its processor is shared, and its share earned over time.
    pub burstable: bool,
    /// EC2 does not count it among the previous generations.
    pub current_generation: bool,
    /// It is offered as Spot Instance.
    pub spot: bool,
    /// Disks of the machine itself, in GB; 0 for none.
    pub instance_storage_gb: u32,
    /// Millionths of a US dollar per hour, on demand; `None` where it is not known.
    pub price: Option<u64>,
}

/// An entry of `instanceTypes` that stands for no type of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0} is neither an instance type, nor a family of them, nor optimal, default_x86_64 or default_arm64"
)]
pub struct UnknownInstanceType(pub String);

/// All instance types, sorted by name.
pub fn all() -> &'static [InstanceType] {
    &CATALOGUE
}

/// The type of this name.
pub fn find(name: &str) -> Option<&'static InstanceType> {
    let index = CATALOGUE.binary_search_by(|one| one.name.cmp(name)).ok()?;
    CATALOGUE.get(index)
}

/// All types of a family, metal sizes included, sorted by name; none where there is no such family.
pub fn family(family: &str) -> &'static [InstanceType] {
    // The dot counts: `c7i-flex.large` comes before `c7i.large`, and the types of a family stand together.
    let prefix = || family.bytes().chain([b'.']);
    let first = CATALOGUE.partition_point(|one| one.name.bytes().lt(prefix()));
    let rest = &CATALOGUE[first..];
    &rest[..rest.partition_point(|one| one.family() == family)]
}

/// The types that an entry of `instanceTypes` stands for: an exact type, a family without its metal sizes, `optimal`,
/// `default_x86_64` or `default_arm64`. Families of a group come in AWS's order, types of a family sorted by name.
///
/// Source: AWS Batch API reference, ComputeResource (`instanceTypes`). `optimal` has meant `default_x86_64` since November 2025.
///
/// # Errors
/// The entry stands for no known type.
pub fn expand(entry: &str) -> Result<Vec<&'static InstanceType>, UnknownInstanceType> {
    let families: &[&str] = match entry {
        "optimal" | "default_x86_64" => &DEFAULT_X86_64,
        "default_arm64" => &DEFAULT_ARM64,
        _ => &[entry],
    };
    let types: Vec<_> = match find(entry) {
        Some(exact) => vec![exact],
        None => families.iter().flat_map(|one| family(one)).filter(|one| !one.bare_metal).collect(),
    };
    if types.is_empty() { Err(UnknownInstanceType(entry.to_owned())) } else { Ok(types) }
}

impl InstanceType {
    /// The part of the name before the dot.
    pub fn family(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(family, _)| family)
    }

    /// What jobs can use of it: all vCPUs and GPUs, and the memory that the operating system sees and the agent leaves.
    ///
    /// A job that asks for the nominal memory therefore needs a larger type. AWS publishes one example of what the system
    /// sees, 7985 of 8192 MiB on m4.large; 97 % of nominal is close to it.
    /// Source: AWS Batch User Guide, Memory management.
    pub fn capacity(&self) -> Resources {
        Resources {
            milli_vcpus: u64::from(self.vcpus) * 1000,
            memory_mib: (u64::from(self.memory_mib) * 97 / 100).saturating_sub(AGENT_MEMORY_MIB),
            gpus: self.gpus,
        }
    }
}

pub(super) const METAL: u8 = 1;
pub(super) const BURSTABLE: u8 = 2;
pub(super) const CURRENT: u8 = 4;
pub(super) const SPOT: u8 = 8;

/// A line of the table, short enough to be read as one.
#[allow(clippy::too_many_arguments, reason = "columns of a generated table")]
pub(super) const fn row(
    name: &'static str,
    architecture: Architecture,
    vcpus: u32,
    memory_mib: u32,
    gpus: u32,
    flags: u8,
    instance_storage_gb: u32,
    price: Option<u64>,
) -> InstanceType {
    InstanceType {
        name,
        architecture,
        vcpus,
        memory_mib,
        gpus,
        bare_metal: flags & METAL != 0,
        burstable: flags & BURSTABLE != 0,
        current_generation: flags & CURRENT != 0,
        spot: flags & SPOT != 0,
        instance_storage_gb,
        price,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(entry: &str) -> Vec<&'static str> {
        expand(entry).unwrap().iter().map(|one| one.name).collect()
    }

    #[test]
    fn every_type_is_found_by_name_and_in_its_family() {
        assert!(all().is_sorted_by(|a, b| a.name < b.name));
        for one in all() {
            assert_eq!(find(one.name), Some(one));
            assert!(family(one.family()).contains(one), "{}", one.name);
            assert!(family(one.family()).iter().all(|other| other.family() == one.family()));
            assert!(one.vcpus > 0 && one.capacity().memory_mib > 0, "{}", one.name);
        }
        assert_eq!((find("m6i"), family("m6i.large").len(), family("").len()), (None, 0, 0));
    }

    /// Source: AWS Batch API reference, ComputeResource (`instanceTypes`).
    #[test]
    fn entries_expand() {
        assert_eq!(names("c5.metal"), ["c5.metal"]);
        let family = names("c5");
        assert_eq!((family.first(), family.contains(&"c5.metal")), (Some(&"c5.12xlarge"), false));
        assert!(family.iter().all(|name| name.starts_with("c5.")));
        assert_eq!(names("optimal"), names("default_x86_64"));
        assert_eq!(names("default_arm64"), ["m6g", "c6g", "r6g", "c7g"].map(names).concat());
        for unknown in ["", "c", "c5.", "c5.huge", "default_", "OPTIMAL"] {
            assert_eq!(expand(unknown), Err(UnknownInstanceType(unknown.into())));
        }
    }

    /// Source: AWS Batch User Guide, Memory management: a job of the nominal memory does not fit.
    #[test]
    fn memory_is_less_than_nominal() {
        let large = find("m4.large").unwrap();
        let want = Resources { milli_vcpus: 2000, memory_mib: 7914, gpus: 0 };
        assert_eq!((large.memory_mib, large.capacity()), (8192, want));
        assert_eq!(find("p4d.24xlarge").unwrap().capacity().gpus, 8);
        assert_eq!(find("g6f.large").unwrap().capacity().gpus, 0);
    }
}
