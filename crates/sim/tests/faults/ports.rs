//! The ports of the engine: a disk, and a way out. Power can fail between any two things that the engine does.

use std::sync::{Arc, Mutex, PoisonError};

use fornada_core::attempt::Action;
use fornada_core::event::Event;
use fornada_core::instance::Provision;
use fornada_core::record::{Change, Loaded};
use fornada_core::time::Timestamp;
use fornada_engine::port::backend::Backend;
use fornada_engine::port::clock::Clock;
use fornada_engine::port::event::EventSink;
use fornada_engine::port::provisioner::Provisioner;
use fornada_engine::port::store::{Error, Store};

use crate::calls::Reply;
use crate::records;

/// What the engine did, in its order.
pub enum Effect {
    /// These changes are durable.
    Committed(Vec<Change>),
    Acted(Action),
    Provisioned(Provision),
    Delivered(Arc<Event>),
    /// The reply to the call of that number.
    Replied(u64, Reply),
}

/// What becomes of the next commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Commits,
    Fails,
    /// It fails, but all of it is there.
    Torn,
}

/// All that the engine can reach. The disk outlives it.
#[derive(Default)]
pub struct Outside {
    pub disk: records::Store,
    pub effects: Vec<Effect>,
    /// So many things the server still does before it dies.
    pub power: Option<u32>,
    pub next_commit: Fate,
    pub is_full: bool,
    /// What the server's clock says.
    pub clock: u64,
}

impl Outside {
    fn is_alive(&mut self) -> bool {
        match &mut self.power {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn does(&mut self, effect: Effect) {
        if self.is_alive() {
            self.effects.push(effect);
        }
    }
}

/// The way to [`Outside`] for all ports.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Outside>>);

impl Door {
    pub fn open<R>(&self, look: impl FnOnce(&mut Outside) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn reply(&self, call: u64, reply: Reply) {
        self.open(|outside| outside.does(Effect::Replied(call, reply)));
    }
}

impl Store for Door {
    fn load(&mut self) -> Result<Loaded, Error> {
        Ok(self.open(|outside| outside.disk.loaded()))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let failed = |what: &str| {
            let source = std::io::Error::other("simulated").into();
            Err(Error { what: what.to_owned(), source })
        };
        self.open(|outside| {
            let fate = std::mem::take(&mut outside.next_commit);
            if !outside.is_alive() {
                return failed("the power is gone");
            }
            if outside.is_full {
                return failed("the disk is full");
            }
            if fate == Fate::Fails {
                return failed("the commit failed");
            }
            outside.disk.commit(changes.to_vec());
            outside.effects.push(Effect::Committed(changes.to_vec()));
            if fate == Fate::Torn { failed("nobody knows whether the commit failed") } else { Ok(()) }
        })
    }
}

impl Backend for Door {
    fn perform(&self, actions: Vec<Action>) {
        self.open(|outside| actions.into_iter().for_each(|action| outside.does(Effect::Acted(action))));
    }
}

impl Provisioner for Door {
    fn perform(&mut self, provisions: Vec<Provision>) {
        self.open(|outside| provisions.into_iter().for_each(|one| outside.does(Effect::Provisioned(one))));
    }
}

impl EventSink for Door {
    fn deliver(&mut self, events: Vec<Arc<Event>>) {
        self.open(|outside| events.into_iter().for_each(|event| outside.does(Effect::Delivered(event))));
    }
}

impl Clock for Door {
    fn now(&self) -> Timestamp {
        Timestamp(self.open(|outside| outside.clock))
    }
}
