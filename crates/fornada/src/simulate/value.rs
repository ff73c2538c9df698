//! JSON values that know where they are in their file, so that every mistake is told with its place.

use anyhow::{Result, anyhow, bail};
use fornada_model::Shape;
use fornada_sim::random::Distribution;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use serde_json::{Map, Value};

/// A value and its place, such as `jobs[2].runTime`.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) value: Value,
}

/// The members of an object that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) path: String,
    map: Map<String, Value>,
}

impl Place {
    /// A mistake here.
    pub(super) fn wrong(&self, what: &str) -> anyhow::Error {
        anyhow!("{} {what}", self.path)
    }

    pub(super) fn text(self) -> Result<String> {
        match self.value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.wrong("is a text")),
        }
    }

    /// A number that is not negative.
    pub(super) fn amount(&self) -> Result<f64> {
        let amount = self.value.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0);
        amount.ok_or_else(|| self.wrong("is a number that is not negative"))
    }

    pub(super) fn probability(&self) -> Result<f64> {
        let amount = self.value.as_f64().filter(|amount| (0.0..=1.0).contains(amount));
        amount.ok_or_else(|| self.wrong("is a number from 0 to 1"))
    }

    pub(super) fn whole(&self, max: u64) -> Result<u64> {
        let whole = self.value.as_u64().filter(|whole| *whole <= max);
        whole.ok_or_else(|| self.wrong(&format!("is a whole number from 0 to {max}")))
    }

    pub(super) fn list(self) -> Result<Vec<Place>> {
        let Place { path, value } = self;
        let Value::Array(all) = value else { bail!("{path} is a list") };
        let at = |(index, value)| Place { path: format!("{path}[{index}]"), value };
        Ok(all.into_iter().enumerate().map(at).collect())
    }

    pub(super) fn fields(self) -> Result<Fields> {
        let Place { path, value } = self;
        match value {
            Value::Object(map) => Ok(Fields { path, map }),
            _ if path.is_empty() => {
                bail!("the file is an object with computeEnvironments, jobQueues and jobs")
            }
            _ => bail!("{path} is an object"),
        }
    }

    /// Seconds: a number of them, or a duration such as `90s`, `1h30m`, `PT5M`.
    pub(super) fn seconds(&self) -> Result<f64> {
        let span = match &self.value {
            Value::String(text) => text.parse::<Span>().ok(),
            _ => {
                return self
                    .amount()
                    .map_err(|_| self.wrong("is a number of seconds, or a duration such as 90s or 1h30m"));
            }
        };
        let days = (Unit::Second, SpanRelativeTo::days_are_24_hours());
        let seconds = span.and_then(|span| span.total(days).ok()).filter(|seconds| *seconds >= 0.0);
        seconds.ok_or_else(|| self.wrong("is a number of seconds, or a duration such as 90s or 1h30m"))
    }

    /// A point in time: seconds or a duration after `begin`, or a time such as `2026-01-05T08:00:00Z`; in milliseconds.
    pub(super) fn time(&self, begin: u64) -> Result<u64> {
        match self.instant()? {
            Some(instant) if instant >= begin => Ok(instant),
            Some(_) => Err(self.wrong("is before the start of the simulation")),
            None => {
                let seconds = self.seconds().map_err(|_| {
                    self.wrong("is a number of seconds, a duration such as 90s, or a time such as 2026-01-05T08:00:00Z")
                });
                Ok(begin + fornada_sim::random::millis(seconds?))
            }
        }
    }

    /// Milliseconds since the Unix epoch, where the value is a date and time.
    pub(super) fn instant(&self) -> Result<Option<u64>> {
        let Value::String(text) = &self.value else { return Ok(None) };
        if text.len() < 10 || text.as_bytes()[4] != b'-' {
            return Ok(None);
        }
        let instant = text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
        instant.map(Some).ok_or_else(|| self.wrong("is a time such as 2026-01-05T08:00:00Z"))
    }

    /// A fixed amount, or one of `{uniform: [LOW, HIGH]}`, `{exponential: MEAN}`, `{lognormal: {median: M, sigma: S}}`;
    /// each amount as `read` takes it.
    pub(super) fn distribution(self, read: impl Fn(&Place) -> Result<f64>) -> Result<Distribution> {
        if !self.value.is_object() {
            return Ok(Distribution::Fixed(read(&self)?));
        }
        let wrong = self.wrong("is an amount, or one of fixed, uniform, exponential and lognormal");
        let mut fields = self.fields()?;
        let found = if let Some(fixed) = fields.take("fixed") {
            Distribution::Fixed(read(&fixed)?)
        } else if let Some(uniform) = fields.take("uniform") {
            let wrong = uniform.wrong("is a list of the lowest and the highest amount");
            let bounds = uniform.list()?.iter().map(&read).collect::<Result<Vec<_>>>()?;
            match bounds[..] {
                [low, high] if low <= high => Distribution::Uniform(low, high),
                _ => return Err(wrong),
            }
        } else if let Some(mean) = fields.take("exponential") {
            Distribution::Exponential(read(&mean)?)
        } else if let Some(lognormal) = fields.take("lognormal") {
            let mut both = lognormal.fields()?;
            let median = read(&both.required("median")?)?;
            let sigma = both.take("sigma").map_or(Ok(0.5), |sigma| sigma.amount())?;
            both.finish()?;
            Distribution::LogNormal { median, sigma }
        } else {
            return Err(wrong);
        };
        fields.finish()?;
        Ok(found)
    }
}

impl Fields {
    /// A member, unless it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Place> {
        let value = self.map.remove(name).filter(|value| !value.is_null())?;
        Some(Place { path: self.join(name), value })
    }

    pub(super) fn required(&mut self, name: &str) -> Result<Place> {
        self.take(name).ok_or_else(|| anyhow!("{} is required", self.join(name)))
    }

    /// A member that stays.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// Sets a member that was left out.
    pub(super) fn default(&mut self, name: &str, value: Value) {
        self.map.entry(name).or_insert(value);
    }

    /// All that is left.
    pub(super) fn rest(self) -> Value {
        Value::Object(self.map)
    }

    /// Nothing must be left.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            Some(name) => bail!("{} is not known here: leave it out, or mend its name", self.join(name)),
            None => Ok(()),
        }
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Whether every member of an AWS request is one that the service knows: a server ignores others, but in a file they are
/// slips.
pub(super) fn check_members(path: &str, shape: &Shape, value: &Value) -> Result<()> {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(map)) => {
            for (name, value) in map {
                let Some(member) = members.iter().find(|member| member.name == name) else {
                    bail!("{path}.{name} is not known here: leave it out, or mend its name");
                };
                check_members(&format!("{path}.{name}"), member.shape, value)?;
            }
            Ok(())
        }
        (Shape::List { member, .. }, Value::Array(all)) => all
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check_members(&format!("{path}[{index}]"), member, value)),
        _ => Ok(()),
    }
}
