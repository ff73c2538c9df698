//! Identities: jobs, array children, nodes, attempts, tasks; and where fresh ones come from.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
pub use uuid::Uuid;

use crate::text::Text;

/// Which part of a job is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Member {
    /// The job itself; for arrays and multi-node jobs the parent.
    #[n(0)]
    Whole,
    /// Child of an array, 0-based.
    #[n(1)]
    Index(#[n(0)] u32),
    /// Node of a multi-node parallel job, 0-based.
    #[n(2)]
    Node(#[n(0)] u32),
}

/// A job id as clients write it: `uuid`, `uuid:index` for an array child, `uuid#node` for a node.
///
/// Source: AWS Batch User Guide, array jobs and multi-node parallel jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The id that SubmitJob returned.
    pub job: Uuid,
    /// The part of that job.
    pub member: Member,
}

impl JobId {
    /// The job itself.
    pub fn whole(job: Uuid) -> Self {
        JobId { job, member: Member::Whole }
    }

    /// Child `index` of array `job`.
    pub fn child(job: Uuid, index: u32) -> Self {
        JobId { job, member: Member::Index(index) }
    }

    /// Node `node` of multi-node job `job`.
    pub fn node(job: Uuid, node: u32) -> Self {
        JobId { job, member: Member::Node(node) }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.job.as_hyphenated();
        match self.member {
            Member::Whole => write!(f, "{id}"),
            Member::Index(index) => write!(f, "{id}:{index}"),
            Member::Node(node) => write!(f, "{id}#{node}"),
        }
    }
}

/// The text is not a job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id")]
pub struct BadJobId;

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let (id, member) = match text.split_once([':', '#']) {
            None => (text, Member::Whole),
            Some((id, number)) => {
                if number.is_empty() || number.len() > 10 || !number.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(BadJobId);
                }
                let n = number.parse().map_err(|_| BadJobId)?;
                (id, if text.as_bytes()[id.len()] == b':' { Member::Index(n) } else { Member::Node(n) })
            }
        };
        if id.len() != 36 {
            return Err(BadJobId); // only the hyphenated form is an id of ours
        }
        let job = Uuid::try_parse(id).map_err(|_| BadJobId)?;
        Ok(JobId { job, member })
    }
}

impl<C> Encode<C> for JobId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        c: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.bytes(self.job.as_bytes())?;
        self.member.encode(e, c)
    }
}

impl<'b, C> Decode<'b, C> for JobId {
    fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.array()?;
        Ok(JobId { job: cbor_uuid::decode(d, c)?, member: Member::decode(d, c)? })
    }
}

/// One try of a job, array child or node: the unit that a backend runs, and the fence against late reports of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AttemptId {
    /// The job, child or node.
    #[n(0)]
    pub job: JobId,
    /// 1 for the first attempt, as in `AWS_BATCH_JOB_ATTEMPT`.
    #[n(1)]
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempt {}", self.job, self.number)
    }
}

/// What Amazon ECS calls a task: 32 hex digits, fresh for each attempt. Part of the task ARN and the log stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct TaskId(#[n(0)] pub u128);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Fresh ids for one turn, derived from a random seed that the engine stamps. Same seed, same ids.
#[derive(Clone, Debug)]
pub struct Fresh {
    state: [u64; 2],
}

impl Fresh {
    /// Starts from 128 random bits.
    pub fn new(seed: u128) -> Self {
        let (high, low) = Uuid::from_u128(seed).as_u64_pair();
        Fresh { state: [low, high] }
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bits().to_be_bytes()).into_uuid()
    }

    /// A task id.
    pub fn task_id(&mut self) -> TaskId {
        TaskId(self.bits())
    }

    /// An EC2-style instance id: `i-` and 17 hex digits.
    pub fn instance_id(&mut self) -> Text {
        format!("i-{:017x}", self.bits() >> 60).into()
    }

    fn bits(&mut self) -> u128 {
        // SplitMix64 over each half: a bijection, so no two calls of one turn agree.
        let mut half = |i: usize| {
            self.state[i] = self.state[i].wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state[i];
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        u128::from(half(0)) << 64 | u128::from(half(1))
    }
}

/// CBOR form of a UUID: 16 bytes. For `#[cbor(with = "…")]`.
pub mod cbor_uuid {
    use minicbor::{Decoder, Encoder};
    use uuid::Uuid;

    /// Writes 16 bytes.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn encode<C, W: minicbor::encode::Write>(
        id: &Uuid,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(id.as_bytes())?.ok()
    }

    /// Reads 16 bytes.
    ///
    /// # Errors
    /// When there are not exactly 16.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Uuid, minicbor::decode::Error> {
        Uuid::from_slice(d.bytes()?).map_err(|_| minicbor::decode::Error::message("a UUID has 16 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_read_what_they_write_and_refuse_the_rest() {
        let id = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        for member in [Member::Whole, Member::Index(0), Member::Index(9999), Member::Node(7)] {
            let job = JobId { job: id, member };
            assert_eq!(job.to_string().parse(), Ok(job));
        }
        let plain = id.as_hyphenated().to_string();
        for bad in [
            "",
            "x",
            &plain[1..],
            &format!("{plain}:"),
            &format!("{plain}:-1"),
            &format!("{plain}#1#2"),
            &format!("{plain}:99999999999"),
            &format!("{{{plain}}}"),
            &plain.replace('-', ""),
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(BadJobId), "{bad:?}");
        }
    }

    #[test]
    fn fresh_ids_differ_within_a_turn_and_repeat_with_the_seed() {
        let (mut a, mut b) = (Fresh::new(7), Fresh::new(7));
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| a.uuid()).collect();
        assert_eq!(ids.len(), 1000);
        assert!((0..1000).all(|_| ids.contains(&b.uuid())));
    }
}
