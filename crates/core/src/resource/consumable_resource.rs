//! Consumable resources: things that jobs need beside compute, such as licences. Create, update, delete, and who holds how
//! many.
//!
//! What jobs hold is not stored: it follows from which of them are placed. Of a resource that is not replenishable, the
//! total drops when a job is placed, and nothing comes back but from a job that its machine refused to start.
//!
//! Source: AWS Batch API reference, CreateConsumableResource, UpdateConsumableResource, DeleteConsumableResource; User
//! Guide, resource-aware scheduling.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::arn::{Arn, name_of};
use crate::record::Key;
use crate::refusal::Refusal;
use crate::resource::tags::Tags;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Largest total: what the wire can say.
pub const TOTAL_MAX: u64 = i64::MAX as u64;

/// How long a client token is known. Source: AWS Batch API reference, UpdateConsumableResource (clientToken).
const TOKEN_LIFE_SECONDS: u32 = 8 * 60 * 60;
/// The newest so many tokens are kept: a client that repeats a request does so soon.
const TOKENS_MAX: usize = 100;

/// Something that there is a number of.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ConsumableResource {
    /// Its name is the part after the last `/`.
    #[n(0)]
    pub arn: Arn,
    /// Whether a job gives back what it held.
    #[n(1)]
    pub replenishable: bool,
    /// How many there are; of a resource that is not replenishable, how many are left. At most [`TOTAL_MAX`].
    #[n(2)]
    pub total: u64,
    /// Tags of the resource.
    #[n(3)]
    pub tags: Tags,
    /// When it was created.
    #[n(4)]
    pub created_at: Timestamp,
    /// Updates that must not be applied again, oldest first.
    #[n(5)]
    pub recent: Vec<ClientToken>,
    /// Counts changes.
    #[n(6)]
    pub version: u64,
}

impl ConsumableResource {
    /// The name without the ARN.
    pub fn name(&self) -> &str {
        name_of(&self.arn)
    }
}

/// An update that was applied.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ClientToken {
    /// As the client chose it, 1..=64 characters.
    #[n(0)]
    pub token: Text,
    /// When.
    #[n(1)]
    pub at: Timestamp,
}

/// So many of a consumable resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Consumable {
    /// Full ARN.
    #[n(0)]
    pub arn: Arn,
    /// How many; at most [`TOTAL_MAX`].
    #[n(1)]
    pub quantity: u64,
}

/// A change of the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To so many.
    Set(u64),
    /// So many more.
    Add(u64),
    /// So many fewer.
    Remove(u64),
}

impl State {
    /// How many of a resource are held by jobs that are starting or running. None of one that is not replenishable: those
    /// are used up.
    pub fn consumables_in_use(&self, resource: &ConsumableResource) -> u64 {
        let held = self.consumables_held.get(&resource.arn).filter(|_| resource.replenishable);
        held.map_or(0, |&held| u64::try_from(held).unwrap_or(u64::MAX))
    }

    /// How many of a resource a job could have now. None when the total was lowered below what is held.
    pub fn consumables_left(&self, resource: &ConsumableResource) -> u64 {
        resource.total.saturating_sub(self.consumables_in_use(resource))
    }

    /// Whether there is enough of everything. Of a resource that was deleted there is nothing.
    pub(crate) fn consumables_available(&self, needed: &[Consumable]) -> bool {
        needed.iter().all(|Consumable { arn, quantity }| {
            let resource = self.consumable_resources.get(arn);
            resource.is_some_and(|resource| *quantity <= self.consumables_left(resource))
        })
    }

    pub(crate) fn reserve_consumables(&mut self, held: &[Consumable]) {
        for Consumable { arn, quantity } in held {
            *self.consumables_held.entry(arn.clone()).or_default() += u128::from(*quantity);
        }
    }

    /// # Panics
    /// When more is given back than was reserved: the accounts are wrong.
    pub(crate) fn release_consumables(&mut self, held: &[Consumable]) {
        for Consumable { arn, quantity } in held {
            let before =
                self.consumables_held.get(arn).and_then(|held| held.checked_sub(u128::from(*quantity)));
            match before.expect("no more is given back than was reserved") {
                0 => self.consumables_held.remove(arn),
                left => self.consumables_held.insert(arn.clone(), left),
            };
        }
    }
}

impl Turn<'_> {
    /// Creates a resource.
    ///
    /// # Errors
    /// [`Refusal::AlreadyExists`].
    pub fn create_consumable_resource(
        &mut self,
        arn: Arn,
        replenishable: bool,
        total: u64,
        tags: Tags,
    ) -> Result<(), Refusal> {
        if self.state.consumable_resources.contains_key(&arn) {
            return Err(Refusal::AlreadyExists { arn });
        }
        let (created_at, recent) = (self.now, Vec::new());
        let resource = ConsumableResource { arn, replenishable, total, tags, created_at, recent, version: 0 };
        self.put_consumable_resource(resource);
        Ok(())
    }

    /// Changes the total and returns it. A request with a token that was used in the last eight hours changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`]; [`Refusal::QuantityOutOfRange`].
    pub fn update_consumable_resource(
        &mut self,
        arn: &Arn,
        change: Change,
        token: Option<&Text>,
    ) -> Result<u64, Refusal> {
        let mut resource = self.existing_consumable_resource(arn)?;
        let now = self.now;
        resource.recent.retain(|known| known.at.plus_seconds(TOKEN_LIFE_SECONDS) > now);
        if token.is_some_and(|token| resource.recent.iter().any(|known| known.token == *token)) {
            return Ok(resource.total);
        }
        let total = match change {
            Change::Set(quantity) => Some(quantity),
            Change::Add(quantity) => resource.total.checked_add(quantity),
            Change::Remove(quantity) => resource.total.checked_sub(quantity),
        };
        let total = total.filter(|total| *total <= TOTAL_MAX);
        let total =
            total.ok_or_else(|| Refusal::QuantityOutOfRange { arn: arn.clone(), total: resource.total })?;
        if let Some(token) = token {
            let surplus = (resource.recent.len() + 1).saturating_sub(TOKENS_MAX);
            resource.recent.drain(..surplus);
            resource.recent.push(ClientToken { token: token.clone(), at: now });
        }
        let version = resource.version + 1;
        self.put_consumable_resource(ConsumableResource { total, version, ..resource });
        Ok(total)
    }

    /// Deletes a resource. Jobs that run keep what they hold; those that need it wait until there is one of that name again.
    ///
    /// # Errors
    /// [`Refusal::NoSuchResource`].
    pub fn delete_consumable_resource(&mut self, arn: &Arn) -> Result<(), Refusal> {
        self.existing_consumable_resource(arn)?;
        self.state.consumable_resources.remove(arn);
        self.touch(Key::ConsumableResource(arn.clone()));
        Ok(())
    }

    /// Every resource that a job needs exists.
    pub(crate) fn check_consumables(&self, needed: Option<&[Consumable]>) -> Result<(), Refusal> {
        let missing = needed
            .into_iter()
            .flatten()
            .find(|needed| !self.state.consumable_resources.contains_key(&needed.arn));
        missing.map_or(Ok(()), |missing| Err(Refusal::NoSuchResource { arn: missing.arn.clone() }))
    }

    /// What a placed job needs of resources that are not replenishable is gone with that.
    pub(crate) fn spend_consumables(&mut self, needed: &[Consumable]) {
        self.change_totals(needed, u64::saturating_sub);
    }

    /// What was spent on a job that was never started is there again.
    pub(crate) fn refund_consumables(&mut self, needed: &[Consumable]) {
        self.change_totals(needed, |total, quantity| total.saturating_add(quantity).min(TOTAL_MAX));
    }

    fn change_totals(&mut self, needed: &[Consumable], change: fn(u64, u64) -> u64) {
        for Consumable { arn, quantity } in needed {
            if let Some(resource) = self.state.consumable_resources.get_mut(arn)
                && !resource.replenishable
            {
                let resource = Arc::make_mut(resource);
                resource.total = change(resource.total, *quantity);
                resource.version += 1;
                self.touch(Key::ConsumableResource(arn.clone()));
            }
        }
    }

    fn existing_consumable_resource(&self, arn: &Arn) -> Result<ConsumableResource, Refusal> {
        let found = self.state.consumable_resources.get(arn).map(|resource| (**resource).clone());
        found.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })
    }

    fn put_consumable_resource(&mut self, resource: ConsumableResource) {
        let arn = resource.arn.clone();
        self.touch(Key::ConsumableResource(arn.clone()));
        self.state.consumable_resources.insert(arn, Arc::new(resource));
        self.state.demand_due = true;
        self.state.schedule_due = true;
    }
}
