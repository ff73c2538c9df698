//! Faults that strike between two steps.

use fornada_core::attempt::Observation;
use fornada_core::text::Text;

use crate::network::CLOUD;
use crate::plan::Fault;
use crate::world::{Event, World};

impl World<'_> {
    pub fn strike(&mut self) {
        if self.strikes(Fault::Crash) {
            self.crash("by chance");
        }
        if self.strikes(Fault::DiskFull) {
            self.door.open(|outside| outside.is_full = true);
            let delay = self.dice.millis(100, 600_000);
            self.later(delay, Event::DiskHasSpace);
        }
        if self.strikes(Fault::ClockJumps) {
            self.jump();
        }
        if self.strikes(Fault::CloudDisconnects) {
            self.cut(&CLOUD.into());
        }
        if self.strikes(Fault::ConnectionBreaks)
            && let Some(name) = self.any_machine(|_| true)
        {
            self.cut(&name);
        }
        if self.strikes(Fault::MachineHangs)
            && let Some(name) = self.any_machine(|_| true)
        {
            self.hang(&name);
        }
        if self.strikes(Fault::MachineRestarts)
            && let Some(name) = self.any_machine(|_| true)
        {
            self.trace.note(self.now, format_args!("{name} restarts"));
            self.machine_is_gone(&name);
            let delay = self.dice.millis(1, 300_000);
            self.later(delay, Event::MachineRecovers(name));
        }
        if self.strikes(Fault::MachineDies)
            && let Some(name) = self.any_machine(|is_managed| !is_managed)
        {
            self.trace.note(self.now, format_args!("{name} dies"));
            self.machine_is_gone(&name);
        }
        if self.strikes(Fault::MachineRefuses)
            && let Some(name) = self.any_machine(|is_managed| !is_managed)
        {
            self.close(&name);
        }
        if self.strikes(Fault::InstanceVanishes)
            && let Some(name) = self.any_machine(|is_managed| is_managed)
        {
            self.trace.note(self.now, format_args!("{name} vanishes"));
            self.machine_is_gone(&name);
            self.cloud_advances();
            self.cloud.lose(&name);
        }
    }

    fn any_machine(&mut self, which: impl Fn(bool) -> bool) -> Option<Text> {
        let up = self.machines.iter().filter(|(_, machine)| machine.is_up && which(machine.is_managed));
        let names: Vec<Text> = up.map(|(name, _)| name.clone()).collect();
        names.get(self.dice.index(names.len())).cloned()
    }

    /// Nothing happens there for a while; what runs goes on later. The server may notice.
    fn hang(&mut self, name: &Text) {
        let until = self.now + self.dice.millis(100, 600_000);
        if let Some(machine) = self.machines.get_mut(name) {
            machine.hangs_until = machine.hangs_until.max(until);
        }
        self.trace.note(self.now, format_args!("{name} hangs"));
        if self.dice.chance(0.5) {
            self.cut(name);
        }
        self.at(until, Event::Connect(name.clone()));
    }

    /// It takes nothing new, and stops when all that runs has ended, or before.
    fn close(&mut self, name: &Text) {
        if let Some(machine) = self.machines.get_mut(name).filter(|machine| !machine.is_closing) {
            machine.is_closing = true;
            self.trace.note(self.now, format_args!("{name} is about to stop"));
            self.say(name, Observation::Disconnected(name.clone()));
        }
    }

    /// The server's clock is set forward or back.
    pub fn jump(&mut self) {
        let by = i64::try_from(self.dice.millis(10, 7_200_000)).expect("it is two hours at most");
        self.clock_offset += if self.dice.chance(0.5) { by } else { -by };
        self.trace.note(self.now, format_args!("the server's clock is {} ms ahead", self.clock_offset));
    }
}
