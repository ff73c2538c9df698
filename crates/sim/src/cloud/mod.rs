//! A cloud that is made up: instances come after a while, or not at all; spot instances have prices that move, and are taken
//! back with two minutes' notice; everything is accounted for.
//!
//! An instance answers each launch once: `Connected`, `LaunchFailed`, or `Terminated` where it was given back before it came.
//!
//! Source: Amazon EC2 User Guide, Spot Instance interruptions.

mod account;
mod price;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use fornada_core::arn::name_of;
use fornada_core::attempt::{Host, Observation};
use fornada_core::id::TaskId;
use fornada_core::instance::{InstanceRequest, LaunchFailure, Market, Provision};
use fornada_core::scale::instance_type::{self, InstanceType};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::provisioner::Provisioner;

use crate::journal::{InstanceEnd, InstanceFacts};
use crate::random::{Distribution, Draw, key, millis};
use account::charge;
use price::Prices;

/// Between the notice and the end of a spot instance that is taken back, in milliseconds.
const NOTICE: u64 = 120_000;
/// A refused launch is refused after this many milliseconds.
const REFUSAL: u64 = 1000;
/// No spot instance is watched for longer than this: a year.
const HORIZON: u64 = 365 * 24 * 3_600_000;
/// What an instance type costs whose price is not known: millionths of a dollar per vCPU and hour, as of m6i.
const PRICE_PER_VCPU: u64 = 48_000;

/// What the cloud is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Seconds from asking for an instance until attempts can be placed on it.
    pub launch_delay: Distribution,
    /// Seconds from giving an instance back until it is gone.
    pub termination_delay: Distribution,
    /// Probability that a launch fails for some passing reason.
    pub launch_failure_probability: f64,
    /// Probability that there is no more of the type when a spot instance is asked for.
    pub spot_shortage_probability: f64,
    /// Mean spot price, as a fraction of the price on demand.
    pub spot_price: f64,
    /// How often a spot instance is taken back, per hour.
    pub spot_interruptions_per_hour: f64,
    /// When there is no more of something.
    pub shortages: Vec<Shortage>,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            launch_delay: Distribution::Uniform(60.0, 120.0),
            termination_delay: Distribution::Fixed(30.0),
            launch_failure_probability: 0.0,
            spot_shortage_probability: 0.0,
            spot_price: 0.35,
            spot_interruptions_per_hour: 0.01,
            shortages: Vec::new(),
        }
    }
}

/// A time in which instances cannot be had.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortage {
    /// A type (`m6i.large`), a family (`m6i`), or `*`.
    pub instance_type: String,
    /// Of one market, or of both.
    pub market: Option<Market>,
    /// From then, inclusive.
    pub from: Timestamp,
    /// Until then, exclusive.
    pub until: Timestamp,
}

impl Shortage {
    fn covers(&self, instance_type: &InstanceType, market: Market, now: u64) -> bool {
        let names = [instance_type.name, instance_type.family(), "*"];
        names.contains(&self.instance_type.as_str())
            && self.market.is_none_or(|only| only == market)
            && (self.from.0..self.until.0).contains(&now)
    }
}

/// What happens to an instance, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(usize),
    Failed(usize),
    Notice(usize),
    Reclaimed(usize),
    Gone(usize),
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Launching,
    Failing,
    Ready,
    Leaving,
    Gone,
}

/// The cloud.
#[derive(Debug)]
pub struct SimulatedCloud {
    parameters: Parameters,
    seed: u64,
    now: u64,
    prices: Prices,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    numbers: HashMap<Text, usize>,
    launched: Vec<Launched>,
    live: usize,
}

#[derive(Debug)]
struct Launched {
    facts: InstanceFacts,
    instance_type: Option<&'static InstanceType>,
    failure: Option<LaunchFailure>,
    phase: Phase,
}

impl SimulatedCloud {
    /// A cloud without instances, at the time `begin`.
    pub fn new(parameters: Parameters, seed: u64, begin: Timestamp) -> SimulatedCloud {
        SimulatedCloud {
            prices: Prices::new(seed, begin.0, parameters.spot_price),
            parameters,
            seed,
            now: begin.0,
            events: BinaryHeap::new(),
            sequence: 0,
            numbers: HashMap::new(),
            launched: Vec::new(),
            live: 0,
        }
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.events.peek().map(|Reverse((at, ..))| Timestamp(*at))
    }

    /// Whether there is any instance, or one to come.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Lets time pass: what has happened up to `now`.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Observation> {
        self.now = now.0;
        let mut seen = Vec::new();
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
            let Reverse((at, _, event)) = self.events.pop().expect("there is a first");
            seen.extend(self.happen(at, event));
        }
        seen
    }

    /// All instances that were ever asked for, with what each cost until it went, or until now.
    pub fn account(&mut self) -> Vec<InstanceFacts> {
        let now = self.now;
        for number in 0..self.launched.len() {
            let facts = &self.launched[number].facts;
            if facts.ended_at.is_none() && facts.end != InstanceEnd::Failed {
                self.bill(number, now);
            }
        }
        self.launched.iter().map(|launched| launched.facts.clone()).collect()
    }

    fn happen(&mut self, at: u64, event: Event) -> Option<Observation> {
        match event {
            Event::Ready(number) if self.launched[number].phase == Phase::Launching => {
                self.launched[number].phase = Phase::Ready;
                self.launched[number].facts.ready_at = Some(at);
                Some(Observation::Connected(self.host(number), Vec::new()))
            }
            Event::Failed(number) if self.launched[number].phase == Phase::Failing => {
                self.launched[number].phase = Phase::Gone;
                self.live -= 1;
                let failure =
                    self.launched[number].failure.clone().unwrap_or(LaunchFailure::InsufficientCapacity);
                Some(Observation::LaunchFailed(self.launched[number].facts.id.clone(), failure))
            }
            Event::Notice(number) if self.launched[number].phase == Phase::Ready => {
                self.schedule(at + NOTICE, Event::Reclaimed(number));
                Some(Observation::Interrupted(self.launched[number].facts.id.clone()))
            }
            Event::Reclaimed(number) if self.launched[number].phase == Phase::Ready => {
                self.launched[number].facts.end = InstanceEnd::Interrupted;
                self.end(number, at);
                Some(self.gone(number))
            }
            Event::Gone(number) if self.launched[number].phase == Phase::Leaving => Some(self.gone(number)),
            // It went another way before.
            Event::Ready(_) | Event::Failed(_) | Event::Notice(_) | Event::Reclaimed(_) | Event::Gone(_) => {
                None
            }
        }
    }

    fn gone(&mut self, number: usize) -> Observation {
        self.launched[number].phase = Phase::Gone;
        self.live -= 1;
        Observation::Terminated(self.launched[number].facts.id.clone())
    }

    fn launch(&mut self, request: &InstanceRequest) {
        if self.numbers.contains_key(&request.instance_id) {
            return; // told twice, launched once
        }
        let number = self.launched.len();
        self.numbers.insert(request.instance_id.clone(), number);
        let mut draw = Draw::new(self.seed, &[4, number as u64]);
        let found = instance_type::find(&request.instance_type);
        let failure = match found {
            None => Some(LaunchFailure::Other(
                format!("{} is not an instance type.", request.instance_type).into(),
            )),
            Some(found) => self.refusal(found, request, &mut draw),
        };
        let ready_at = self.now + self.parameters.launch_delay.sample_millis(&mut draw);
        let facts = InstanceFacts {
            id: request.instance_id.clone(),
            kind: request.instance_type.clone(),
            environment: name_of(&request.compute_environment).into(),
            market: Some(request.market),
            milli_vcpus: found.map_or(0, |found| found.capacity().milli_vcpus),
            requested_at: self.now,
            ready_at: None,
            ended_at: failure.is_some().then_some(self.now),
            end: if failure.is_some() { InstanceEnd::Failed } else { InstanceEnd::Running },
            cost: 0,
            cost_on_demand: 0,
        };
        let phase = if failure.is_some() { Phase::Failing } else { Phase::Launching };
        match failure {
            Some(_) => self.schedule(self.now + REFUSAL, Event::Failed(number)),
            None => {
                self.schedule(ready_at, Event::Ready(number));
                if request.market == Market::Spot {
                    let limit = request.max_price.zip(found).map(|(max, found)| ratio(max, price(found)));
                    self.schedule_reclaim(number, ready_at, &request.instance_type, limit, &mut draw);
                }
            }
        }
        self.launched.push(Launched { facts, instance_type: found, failure, phase });
        self.live += 1;
    }

    /// Why an instance cannot be had now.
    fn refusal(
        &mut self,
        found: &InstanceType,
        request: &InstanceRequest,
        draw: &mut Draw,
    ) -> Option<LaunchFailure> {
        let Parameters { launch_failure_probability, spot_shortage_probability, .. } = self.parameters;
        if draw.chance(launch_failure_probability) {
            return Some(LaunchFailure::Other("The instance failed its status checks.".into()));
        }
        let is_spot = request.market == Market::Spot;
        let is_short = is_spot && draw.chance(spot_shortage_probability);
        let covers = |shortage: &Shortage| shortage.covers(found, request.market, self.now);
        let is_dear = is_spot
            && request
                .max_price
                .is_some_and(|max| self.prices.at(found.name, self.now) > ratio(max, price(found)));
        let none = is_short || is_dear || self.parameters.shortages.iter().any(covers);
        none.then_some(LaunchFailure::InsufficientCapacity)
    }

    /// A spot instance is taken back by chance, or when its price rises above what its owner pays.
    fn schedule_reclaim(
        &mut self,
        number: usize,
        ready: u64,
        name: &str,
        limit: Option<f64>,
        draw: &mut Draw,
    ) {
        let per_hour = self.parameters.spot_interruptions_per_hour;
        let by_chance = (per_hour > 0.0).then(|| ready + millis(draw.exponential(3600.0 / per_hour)));
        let until = by_chance.unwrap_or(u64::MAX).min(ready + HORIZON);
        let by_price = limit.filter(|limit| *limit < 1.0);
        let by_price = by_price.and_then(|limit| self.prices.exceeds(name, limit, ready, until));
        if let Some(at) = by_price.or(by_chance) {
            self.schedule(at, Event::Notice(number));
        }
    }

    fn terminate(&mut self, id: &Text) {
        let Some(&number) = self.numbers.get(id) else { return };
        if !matches!(self.launched[number].phase, Phase::Launching | Phase::Ready) {
            return; // it is going, or gone
        }
        self.launched[number].phase = Phase::Leaving;
        self.launched[number].facts.end = InstanceEnd::Returned;
        self.end(number, self.now);
        let mut draw = Draw::new(self.seed, &[5, number as u64]);
        let delay = self.parameters.termination_delay.sample_millis(&mut draw);
        self.schedule(self.now + delay, Event::Gone(number));
    }

    fn end(&mut self, number: usize, at: u64) {
        self.launched[number].facts.ended_at = Some(at);
        self.bill(number, at);
    }

    fn bill(&mut self, number: usize, until: u64) {
        let Launched { facts, instance_type: Some(found), .. } = &mut self.launched[number] else { return };
        let price = price(found);
        #[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52")]
        let on_demand = price as f64;
        let millis = until - facts.requested_at;
        facts.cost_on_demand = charge(on_demand, millis, false);
        facts.cost = match facts.market {
            Some(Market::Spot) => {
                let fraction = self.prices.between(found.name, facts.requested_at, until);
                charge(on_demand * fraction, millis, facts.end == InstanceEnd::Interrupted)
            }
            Some(Market::OnDemand) | None => facts.cost_on_demand,
        };
    }

    fn host(&self, number: usize) -> Host {
        let Launched { facts, instance_type, .. } = &self.launched[number];
        Host {
            instance_id: facts.id.clone(),
            incarnation: TaskId(u128::from(key(&facts.id)) + 1),
            capacity: instance_type.map(InstanceType::capacity).unwrap_or_default(),
            architecture: instance_type.map(|found| found.architecture),
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }
}

impl Provisioner for SimulatedCloud {
    fn perform(&mut self, provisions: Vec<Provision>) {
        for provision in provisions {
            match provision {
                Provision::Launch(request) => self.launch(&request),
                Provision::Terminate(id) => self.terminate(&id),
            }
        }
    }
}

/// Millionths of a dollar per hour, on demand.
fn price(found: &InstanceType) -> u64 {
    found.price.unwrap_or(PRICE_PER_VCPU * u64::from(found.vcpus))
}

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

#[cfg(test)]
mod tests;
