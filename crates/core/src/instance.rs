//! Instances: machines that attempts are placed on, and how a provisioner is asked for more of them or fewer.
//!
//! An instance either is there by itself (this machine), or belongs to one compute environment that scales. Only the
//! latter is launched and terminated by decisions made here; its life is
//! `Launch → Connected → (Interrupted →) Terminate → Terminated`, or `Launch → LaunchFailed`.
//!
//! Both directions are plain data and repeat safely: an instance is named by the one who asks for it, so a provisioner that
//! is told twice launches once.

use minicbor::{Decode, Encode};

use crate::arn::Arn;
use crate::attempt::Host;
use crate::id::TaskId;
use crate::quantity::Resources;
use crate::text::Text;
use crate::time::Timestamp;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Architecture {
    /// `x86_64` in EC2, `X86_64` in a runtime platform.
    #[n(0)]
    X86_64,
    /// `arm64` in EC2, `ARM64` in a runtime platform.
    #[n(1)]
    Arm64,
}

impl Architecture {
    /// Whether what wants an architecture, or any, runs on what has one; where that is not known, it does.
    pub(crate) fn serves(has: Option<Architecture>, wanted: Option<Architecture>) -> bool {
        wanted.is_none_or(|wanted| has.is_none_or(|has| has == wanted))
    }
}

/// How an instance is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Market {
    /// At the fixed price, until it is given back.
    #[n(0)]
    OnDemand,
    /// At the price of the hour; it may be taken back with two minutes' notice.
    #[n(1)]
    Spot,
}

/// An instance that an environment wants.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InstanceRequest {
    /// `i-` and 17 hex digits, chosen by the one who asks.
    #[n(0)]
    pub instance_id: Text,
    /// ARN of the environment that it is for.
    #[n(1)]
    pub compute_environment: Arn,
    /// For example `m6i.large`.
    #[n(2)]
    pub instance_type: Text,
    /// How it is bought.
    #[n(3)]
    pub market: Market,
    /// The most that an hour may cost, in millionths of a US dollar; `None` for whatever it costs.
    #[n(4)]
    pub max_price: Option<u64>,
}

/// What a provisioner is asked for, once the decision is durable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Provision {
    /// Launch this instance. It answers with [`crate::attempt::Observation::Connected`] when attempts can be placed on it, or
    /// with [`crate::attempt::Observation::LaunchFailed`].
    #[n(0)]
    Launch(#[n(0)] Box<InstanceRequest>),
    /// Terminate this instance, whether or not it is there yet. It answers with
    /// [`crate::attempt::Observation::Terminated`].
    #[n(1)]
    Terminate(#[n(0)] Text),
}

/// Why an instance was not launched.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LaunchFailure {
    /// There is no more of this type now.
    #[n(0)]
    InsufficientCapacity,
    /// Anything else, in the provisioner's words.
    #[n(1)]
    Other(#[n(0)] Text),
}

/// What is kept of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Instance {
    /// EC2-style instance id, `i-` and 17 hex digits.
    #[n(0)]
    pub instance_id: Text,
    /// [`Host::incarnation`] when it last connected; 0 when it never has.
    #[n(1)]
    pub incarnation: TaskId,
    /// What attempts may use of it; of one that is being launched, what is expected.
    #[n(2)]
    pub capacity: Resources,
    /// `None` where it is not known.
    #[n(3)]
    pub architecture: Option<Architecture>,
    /// Present when it was launched for an environment that scales.
    #[n(4)]
    pub managed: Option<Box<Managed>>,
}

impl Instance {
    /// An instance that is there by itself.
    pub fn of(host: &Host) -> Instance {
        let Host { instance_id, incarnation, capacity, architecture } = host.clone();
        Instance { instance_id, incarnation, capacity, architecture, managed: None }
    }
}

/// What is kept of an instance that was launched for an environment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Managed {
    /// ARN of the environment that it belongs to.
    #[n(0)]
    pub compute_environment: Arn,
    /// For example `m6i.large`.
    #[n(1)]
    pub instance_type: Text,
    /// How it was bought.
    #[n(2)]
    pub market: Market,
    /// Version of the environment's infrastructure that it was launched with.
    #[n(3)]
    pub generation: u32,
    /// Where it is.
    #[n(4)]
    pub phase: Phase,
    /// When it was asked for.
    #[n(5)]
    pub requested_at: Timestamp,
    /// When it connected first.
    #[n(6)]
    pub ready_at: Option<Timestamp>,
    /// The most that an hour may cost, in millionths of a US dollar; `None` for whatever it costs.
    #[n(7)]
    pub max_price: Option<u64>,
}

impl Managed {
    /// What the provisioner is asked for, at first or again.
    pub(crate) fn request(&self, instance_id: Text) -> InstanceRequest {
        InstanceRequest {
            instance_id,
            compute_environment: self.compute_environment.clone(),
            instance_type: self.instance_type.clone(),
            market: self.market,
            max_price: self.max_price,
        }
    }
}

/// Where a managed instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Phase {
    /// Asked for; it has not connected yet.
    #[n(0)]
    Launching,
    /// Attempts may be placed on it.
    #[n(1)]
    Ready,
    /// It takes nothing new: it is to be replaced, or it will be taken back. What runs there may end until the given time.
    #[n(2)]
    Draining(#[n(0)] Option<Timestamp>),
    /// It was asked to go.
    #[n(3)]
    Terminating,
}
