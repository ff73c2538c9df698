//! Amounts of compute: what a container asks for, what an instance has.

use minicbor::{Decode, Encode};

/// vCPUs, memory and GPUs. Each member is an amount of its own; none is derived from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Resources {
    /// Thousandths of a vCPU: 250 is the smallest Fargate size, 1000 one vCPU.
    #[n(0)]
    pub milli_vcpus: u64,
    /// MiB.
    #[n(1)]
    pub memory_mib: u64,
    /// Whole physical devices.
    #[n(2)]
    pub gpus: u32,
}

impl Resources {
    /// Whether `request` fits into this amount in every dimension.
    pub fn covers(&self, request: &Resources) -> bool {
        request.milli_vcpus <= self.milli_vcpus
            && request.memory_mib <= self.memory_mib
            && request.gpus <= self.gpus
    }

    /// What remains of this amount after `used`; never below zero.
    #[must_use]
    pub fn saturating_sub(&self, used: &Resources) -> Resources {
        Resources {
            milli_vcpus: self.milli_vcpus.saturating_sub(used.milli_vcpus),
            memory_mib: self.memory_mib.saturating_sub(used.memory_mib),
            gpus: self.gpus.saturating_sub(used.gpus),
        }
    }

    /// Adds `request` to what is in use. A sum that is too large for its type stays at the most: no machine covers that.
    pub fn reserve(&mut self, request: &Resources) {
        self.milli_vcpus = self.milli_vcpus.saturating_add(request.milli_vcpus);
        self.memory_mib = self.memory_mib.saturating_add(request.memory_mib);
        self.gpus = self.gpus.saturating_add(request.gpus);
    }

    /// Takes `request` back from what is in use.
    ///
    /// # Panics
    /// When more is returned than was reserved: the accounts are wrong.
    pub fn release(&mut self, request: &Resources) {
        let take = |from: &mut u64, n: u64| {
            *from = from.checked_sub(n).expect("no more is released than was reserved");
        };
        take(&mut self.milli_vcpus, request.milli_vcpus);
        take(&mut self.memory_mib, request.memory_mib);
        self.gpus = self.gpus.checked_sub(request.gpus).expect("no more is released than was reserved");
    }
}
