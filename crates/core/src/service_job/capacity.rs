//! Capacity of service environments and quota shares: instances, of any type or type by type.
//!
//! Source: AWS Batch API reference, CapacityLimit and QuotaShareCapacityLimit.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::text::Text;

/// The unit that counts instances of every type.
pub const NUM_INSTANCES: &str = "NUM_INSTANCES";

/// How much there is of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CapacityLimit {
    /// [`NUM_INSTANCES`], or an instance type such as `ml.m5.large`.
    #[n(0)]
    pub unit: Text,
    /// At most so many instances.
    #[n(1)]
    pub max: u32,
}

/// Instances by type: what a job asks for, or what several hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Instances(#[n(0)] BTreeMap<Text, u64>);

impl Instances {
    /// This many instances of each type; a type may come more than once.
    pub fn new(groups: impl IntoIterator<Item = (Text, u32)>) -> Instances {
        let mut instances = Instances::default();
        for (instance_type, count) in groups {
            *instances.0.entry(instance_type).or_default() += u64::from(count);
        }
        instances
    }

    /// How many there are in a unit.
    pub fn in_unit(&self, unit: &str) -> u64 {
        if unit == NUM_INSTANCES { self.total() } else { self.0.get(unit).copied().unwrap_or(0) }
    }

    /// How many there are of all types.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Type by type, or all as one when that is how they are counted; nothing is nothing.
    pub fn usage(&self, by_type: bool) -> Vec<(Text, u64)> {
        if by_type {
            return self.0.iter().map(|(instance_type, &count)| (instance_type.clone(), count)).collect();
        }
        (self.total() > 0).then(|| (NUM_INSTANCES.into(), self.total())).into_iter().collect()
    }

    /// Whether `need` fits within `limits` beside these.
    pub(crate) fn leave_room(&self, limits: &[CapacityLimit], need: &Instances) -> bool {
        let within = |limit: &CapacityLimit| {
            self.in_unit(&limit.unit) + need.in_unit(&limit.unit) <= u64::from(limit.max)
        };
        let is_limited = |instance_type: &Text| {
            limits.iter().any(|limit| limit.unit == NUM_INSTANCES || limit.unit == *instance_type)
        };
        limits.iter().all(within) && need.0.keys().all(is_limited)
    }

    /// The types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Text> {
        self.0.keys()
    }

    /// Whether there is a type that both have.
    pub(crate) fn overlap(&self, other: &Instances) -> bool {
        self.0.keys().any(|instance_type| other.0.contains_key(instance_type))
    }

    /// Adds what a job takes.
    pub(crate) fn add(&mut self, other: &Instances) {
        for (instance_type, count) in &other.0 {
            *self.0.entry(instance_type.clone()).or_default() += count;
        }
    }

    /// Takes back what a job held.
    ///
    /// # Panics
    /// When more is returned than was taken: the accounts are wrong.
    pub(crate) fn remove(&mut self, other: &Instances) {
        for (instance_type, count) in &other.0 {
            let held = self.0.entry(instance_type.clone()).or_default();
            *held = held.checked_sub(*count).expect("no more is returned than was taken");
            if *held == 0 {
                self.0.remove(instance_type);
            }
        }
    }
}

/// Whether capacity is counted by instance type.
pub fn by_type(limits: &[CapacityLimit]) -> bool {
    limits.iter().any(|limit| limit.unit != NUM_INSTANCES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_beside_what_is_used() {
        let limit = |unit: &str, max| CapacityLimit { unit: unit.into(), max };
        let instances = |groups: &[(&str, u32)]| Instances::new(groups.iter().map(|&(t, n)| (t.into(), n)));
        let any = [limit(NUM_INSTANCES, 3)];
        let typed = [limit("ml.a", 2), limit("ml.b", 1)];
        let cases = [
            (&any[..], instances(&[]), instances(&[("ml.a", 3)]), true),
            (&any, instances(&[("ml.a", 2)]), instances(&[("ml.b", 1)]), true),
            (&any, instances(&[("ml.a", 2)]), instances(&[("ml.b", 2)]), false),
            (&any, instances(&[]), instances(&[("ml.a", 2), ("ml.a", 2)]), false),
            (&typed, instances(&[("ml.a", 2)]), instances(&[("ml.b", 1)]), true),
            (&typed, instances(&[("ml.a", 2)]), instances(&[("ml.a", 1)]), false),
            (&typed, instances(&[]), instances(&[("ml.c", 1)]), false),
        ];
        for (limits, used, need, want) in cases {
            assert_eq!(used.leave_room(limits, &need), want, "{used:?} {need:?}");
            let mut both = used.clone();
            both.add(&need);
            both.remove(&need);
            assert_eq!(both, used);
        }
    }
}
