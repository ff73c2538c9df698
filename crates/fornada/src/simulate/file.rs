//! The file that `fornada simulate` reads, and what becomes of it.

use anyhow::{Context, Result, bail};
use fornada_core::instance::Market;
use fornada_core::state::Settings;
use fornada_core::time::Timestamp;
use fornada_sim::cloud::{Parameters, Shortage, SimulatedCloud};
use fornada_sim::driver::{Options, Simulation};
use fornada_sim::workload::Workload;
use serde_json::Value;

use super::export;
use super::jobs::Jobs;
use super::setup::Setup;
use super::value::{Fields, Place};

/// Where a file names no start and no dates: a Monday.
const BEGIN: u64 = 1_767_571_200_000; // 2026-01-05T00:00:00Z

/// What the command line says on top of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overrides {
    pub(super) seed: Option<u64>,
    /// Seconds after the beginning.
    pub(super) until: Option<f64>,
    pub(super) strict: bool,
}

/// Everything that a simulation needs.
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) title: String,
    setup: Setup,
    cloud: Parameters,
    options: Options,
}

impl Plan {
    /// Reads a file, and files of jobs that ran in a real account.
    pub(super) fn read(text: &str, exports: &[(String, String)], overrides: Overrides) -> Result<Plan> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.without_snippet()))?;
        let mut file = Place { path: String::new(), value }.fields()?;
        let recorded = export::read(exports)?;
        let title = file.take("name").map(Place::text).transpose()?.unwrap_or_default();
        let seed = file.take("seed").map(|seed| seed.whole(u64::MAX)).transpose()?;
        let seed = overrides.seed.or(seed).unwrap_or(1);
        let jobs = file.take("jobs").map_or(Ok(Vec::new()), Place::list)?;
        let begin = match file.take("start") {
            Some(start) => start
                .instant()?
                .with_context(|| format!("{} is a time such as 2026-01-05T08:00:00Z", start.path))?,
            None => recorded.begin().unwrap_or(BEGIN),
        };
        let mut backfill = !overrides.strict;
        if let Some(place) = file.take("backfill") {
            let wrong = place.wrong("is true or false");
            backfill &= place.value.as_bool().ok_or(wrong)?;
        }
        let ended_records = usize::MAX; // later jobs may depend on any
        let settings = Settings { backfill, scale: true, ended_records, ..Settings::default() };
        let mut setup = Setup::read(&mut file, Timestamp(begin), settings)?;
        let until = file.take("until").map(|until| until.time(begin)).transpose()?;
        let until = overrides.until.map(|seconds| begin + fornada_sim::random::millis(seconds)).or(until);
        let options = Options { seed, until: until.map(Timestamp), ..Options::default() };
        let (cloud, options) = match file.take("cloud") {
            Some(place) => cloud(place.fields()?, begin, options)?,
            None => (Parameters::default(), options),
        };
        file.finish()?;
        let mut all = Jobs::new(&mut setup, seed);
        for place in jobs {
            all.add(place)?;
        }
        recorded.add_to(&mut all)?;
        let workload = all.finish()?;
        Ok(Plan { workload, title, setup, cloud, options })
    }

    /// The simulation that was asked for.
    pub(super) fn simulation(self, workload: &Workload) -> Simulation<'_> {
        let Setup { state, scope, begin, machines, .. } = self.setup;
        let cloud = SimulatedCloud::new(self.cloud, self.options.seed, begin);
        Simulation { state, scope, workload, machines, cloud, begin, options: self.options }
    }
}

/// `cloud`: what instances cost, how long they take, and how attempts start and stop on them.
fn cloud(mut given: Fields, begin: u64, mut options: Options) -> Result<(Parameters, Options)> {
    let mut parameters = Parameters::default();
    for (name, field) in [
        ("launchDelay", &mut parameters.launch_delay),
        ("terminationDelay", &mut parameters.termination_delay),
        ("startDelay", &mut options.start_delay),
        ("fargateStartDelay", &mut options.unbounded_start_delay),
        ("stopDelay", &mut options.stop_delay),
    ] {
        if let Some(place) = given.take(name) {
            *field = place.distribution(Place::seconds)?;
        }
    }
    for (name, field) in [
        ("launchFailureProbability", &mut parameters.launch_failure_probability),
        ("spotShortageProbability", &mut parameters.spot_shortage_probability),
        ("spotPrice", &mut parameters.spot_price),
    ] {
        if let Some(place) = given.take(name) {
            *field = place.probability()?;
        }
    }
    if let Some(place) = given.take("spotInterruptionsPerHour") {
        parameters.spot_interruptions_per_hour = place.amount()?;
    }
    for place in given.take("shortages").map_or(Ok(Vec::new()), Place::list)? {
        parameters.shortages.push(shortage(place.fields()?, begin)?);
    }
    if let Some(speeds) = given.take("speeds") {
        let Value::Object(map) = &speeds.value else {
            bail!("{} is an object of instance types or families, and how fast each is", speeds.path);
        };
        for (name, value) in map {
            let place = Place { path: format!("{}.{name}", speeds.path), value: value.clone() };
            let speed = place.amount()?;
            if speed <= 0.0 {
                return Err(place.wrong("is more than 0"));
            }
            options.speeds.push((name.clone(), speed));
        }
    }
    given.finish()?;
    Ok((parameters, options))
}

fn shortage(mut given: Fields, begin: u64) -> Result<Shortage> {
    let instance_type =
        given.take("instanceType").map(Place::text).transpose()?.unwrap_or_else(|| "*".to_owned());
    let market = match given.take("market") {
        None => None,
        Some(place) => Some(match place.value.as_str() {
            Some("SPOT") => Market::Spot,
            Some("ON_DEMAND") => Market::OnDemand,
            _ => return Err(place.wrong("is SPOT or ON_DEMAND")),
        }),
    };
    let from = given.take("from").map_or(Ok(begin), |from| from.time(begin))?;
    let until = given.required("until")?.time(begin)?;
    given.finish()?;
    Ok(Shortage { instance_type, market, from: Timestamp(from), until: Timestamp(until) })
}
