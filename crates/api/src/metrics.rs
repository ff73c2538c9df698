//! `/metrics` in the OpenMetrics text form.

use std::time::Duration;

use fornada_core::job::JobStatus;
use fornada_core::service_job::ServiceJobStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::timeout;

use crate::admission::Admission;
use crate::app::App;
use crate::error::WireError;
use crate::front::READY_WITHIN;

/// Of the answer.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    operation: &'static str,
    /// Empty when it succeeded.
    error: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

/// What the front door counts.
pub(crate) struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 100 µs to 3 s, doubling.
        let buckets = prometheus_client::metrics::histogram::exponential_buckets(0.0001, 2.0, 16);
        Metrics { requests: Family::default(), seconds: Histogram::new(buckets) }
    }

    pub(crate) fn record(&self, operation: &'static str, error: Option<&'static str>, took: Duration) {
        self.requests.get_or_create(&Request { operation, error: error.unwrap_or_default() }).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

/// Everything that is counted, as text.
pub(crate) async fn render(app: &App, metrics: &Metrics, admission: &Admission) -> Result<String, WireError> {
    let mut registry = Registry::with_prefix("fornada");
    registry.register("requests", "API requests by operation and error", metrics.requests.clone());
    registry.register("request_seconds", "Time to answer API requests", metrics.seconds.clone());
    admission.register(&mut registry);
    let read = app.engine.read(|state| {
        let counts = (state.job_counts(), state.service_job_counts(), state.running_attempts());
        (counts, (state.events_waiting(), state.events_dropped()))
    });
    // The counters say most when the engine is behind: then the others are left out.
    if let Ok(Ok(((counts, service_counts, running), (waiting, dropped)))) = timeout(READY_WITHIN, read).await
    {
        let jobs = Family::<Status, Gauge>::default();
        for (status, count) in JobStatus::ALL.iter().zip(counts) {
            jobs.get_or_create(&Status { status: status.as_str() }).set(i64::from(count));
        }
        registry.register("jobs", "Jobs by status, an array counted once; ended ones since the start", jobs);
        let service_jobs = Family::<Status, Gauge>::default();
        for (status, count) in ServiceJobStatus::ALL.iter().zip(service_counts) {
            service_jobs.get_or_create(&Status { status: status.as_str() }).set(i64::from(count));
        }
        registry.register("service_jobs", "Service jobs by status; ended ones since the start", service_jobs);
        let attempts = Gauge::<i64>::default();
        attempts.set(i64::try_from(running).unwrap_or(i64::MAX));
        registry.register("running_attempts", "Attempts that are starting or running", attempts);
        let events = Gauge::<i64>::default();
        events.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        registry.register("events_waiting", "Events that have not been delivered", events);
        let help = "Events given up because too many waited";
        registry.register("events_dropped", help, ConstCounter::new(dropped));
    }
    for (name, help, total) in app.engine.metrics().totals() {
        registry.register(name, help, ConstCounter::new(total));
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(WireError::server)?;
    Ok(text)
}
