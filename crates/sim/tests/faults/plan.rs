//! What one seed is made of: how large its world is, and which faults strike how often. Each seed switches kinds of faults on
//! and off, so that rare combinations are not drowned by the frequent ones.

use crate::dice::Dice;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server dies between two steps.
    Crash,
    /// The server dies while it settles a batch: before the commit, after it, or between two actions or replies.
    CrashInside,
    /// The server dies soon after it began to recover.
    CrashAgain,
    /// A commit fails, and nothing of it is there.
    CommitFails,
    /// A commit fails, and all of it is there.
    CommitTorn,
    /// The disk is full for a while.
    DiskFull,
    /// The connection to a machine breaks: what is under way is lost in both directions.
    ConnectionBreaks,
    /// The connection to the cloud breaks.
    CloudDisconnects,
    /// A report comes twice, the second time at any time.
    ReportRepeated,
    /// A report comes late, after others that were said later.
    ReportLate,
    /// A message takes long, and all behind it.
    SlowMessage,
    /// An action comes twice.
    ActionRepeated,
    /// A client does not get the reply, and asks again.
    ReplyLost,
    /// A machine stands still for a while.
    MachineHangs,
    /// A machine comes back without what ran there.
    MachineRestarts,
    /// A machine is gone until all faults stop.
    MachineDies,
    /// A machine is about to stop: it refuses what it is asked to start.
    MachineRefuses,
    /// An instance of the cloud is gone without notice.
    InstanceVanishes,
    /// The server's clock jumps.
    ClockJumps,
    /// The server settles nothing for a while, though the world goes on.
    DiskSlow,
}

impl Fault {
    pub const ALL: [Fault; 20] = [
        Fault::Crash,
        Fault::CrashInside,
        Fault::CrashAgain,
        Fault::CommitFails,
        Fault::CommitTorn,
        Fault::DiskFull,
        Fault::ConnectionBreaks,
        Fault::CloudDisconnects,
        Fault::ReportRepeated,
        Fault::ReportLate,
        Fault::SlowMessage,
        Fault::ActionRepeated,
        Fault::ReplyLost,
        Fault::MachineHangs,
        Fault::MachineRestarts,
        Fault::MachineDies,
        Fault::MachineRefuses,
        Fault::InstanceVanishes,
        Fault::ClockJumps,
        Fault::DiskSlow,
    ];

    /// How often it may strike where it is looked for, at least and at most.
    fn range(self) -> (f64, f64) {
        match self {
            // Looked for with each step.
            Fault::Crash | Fault::ConnectionBreaks => (0.002, 0.05),
            Fault::DiskFull | Fault::CloudDisconnects | Fault::ClockJumps => (0.001, 0.02),
            Fault::MachineHangs | Fault::MachineRestarts | Fault::InstanceVanishes => (0.001, 0.02),
            Fault::MachineDies => (0.0005, 0.005),
            // With each settled batch, message or call.
            Fault::CrashInside | Fault::CommitFails | Fault::CommitTorn => (0.002, 0.08),
            Fault::CrashAgain => (0.1, 0.7),
            Fault::ReportRepeated | Fault::ReportLate | Fault::ActionRepeated => (0.01, 0.3),
            Fault::SlowMessage | Fault::ReplyLost => (0.01, 0.3),
            Fault::MachineRefuses => (0.001, 0.01),
            Fault::DiskSlow => (0.1, 0.8),
        }
    }
}

pub struct Plan {
    /// Steps before the faults stop.
    pub steps: u32,
    /// Machines that are there by themselves.
    pub machines: u32,
    /// Whether environments scale.
    pub scale: bool,
    /// Whether there are service jobs.
    pub service: bool,
    pub backfill: bool,
    /// Records of ended jobs that stay in memory.
    pub ended_records: usize,
    /// Probability of a call with each step.
    pub calls: f64,
    /// Longest run of an attempt in milliseconds.
    pub longest: u32,
    /// The state is checked after every so many turns.
    pub check_every: u64,
    rates: [f64; Fault::ALL.len()],
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut dice = Dice::new(seed, 1);
        let is_calm = dice.chance(0.03);
        let rates = Fault::ALL.map(|fault| {
            let (low, high) = fault.range();
            let rate = dice.magnitude(low, high);
            if !is_calm && dice.chance(0.45) { rate } else { 0.0 }
        });
        Plan {
            steps: match dice.below(10) {
                0..4 => dice.small(60, 200),
                4..9 => dice.small(200, 700),
                _ => dice.small(700, 2000),
            },
            machines: dice.small(1, 4),
            scale: dice.chance(0.4),
            service: dice.chance(0.5),
            backfill: dice.chance(0.7),
            // Drawn apart, so that older seeds stay what they were but for this.
            ended_records: Dice::new(seed, 7).pick(&[0, 5, 20_000]),
            calls: dice.magnitude(0.04, 0.4),
            longest: dice.pick(&[5_000, 60_000, 900_000]),
            check_every: dice.between(1, 8),
            rates,
        }
    }

    pub fn rate(&self, fault: Fault) -> f64 {
        self.rates[fault as usize]
    }

    /// From now on nothing goes wrong.
    pub fn heal(&mut self) {
        self.rates = [0.0; Fault::ALL.len()];
        self.calls = 0.0;
    }
}
