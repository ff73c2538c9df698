//! The facts and the series as CSV (RFC 4180), for spreadsheets and notebooks. Times are seconds since the beginning.

use std::fmt::Write;

use fornada_core::arn::name_of;

use super::{Report, market, seconds, waits};
use crate::journal::{InstanceEnd, Journal};
use crate::workload::Workload;

/// One line for each job and child.
pub fn jobs(workload: &Workload, journal: &Journal) -> String {
    let ready = waits::ready(workload, journal);
    let of = waits::templates(workload);
    let mut first = vec![None; journal.units.len()];
    let mut last = vec![None; journal.units.len()];
    for attempt in journal.attempts.iter().filter(|attempt| attempt.leads) {
        first[attempt.unit as usize].get_or_insert(attempt.placed_at);
        last[attempt.unit as usize] = Some(attempt);
    }
    let mut text = String::from(
        "job,index,queue,share,status,submitted,ready,placed,ended,attempts,vcpus,memoryMiB,instanceType\n",
    );
    for (unit, facts) in journal.units.iter().enumerate() {
        let template = of[unit] as usize;
        let span = workload.span(template);
        let at = unit - span.first_unit;
        let submission = &workload.templates()[template].submission;
        let submitted = journal.jobs[span.first_job + at / span.size].submitted_at;
        let time = |at: Option<u64>| at.map(|at| number(seconds(at - journal.begin))).unwrap_or_default();
        let index = submission.array_size.map(|_| (at % span.size).to_string()).unwrap_or_default();
        let kind =
            last[unit].map_or("", |attempt| journal.instances[attempt.instance as usize].kind.as_str());
        let fields = [
            quoted(&submission.name),
            index,
            quoted(name_of(&submission.queue)),
            quoted(submission.share_identifier.as_deref().unwrap_or_default()),
            if facts.ended_at.is_some() { facts.status.as_str() } else { "" }.to_owned(),
            time(submitted),
            time(ready[unit]),
            time(first[unit]),
            time(facts.ended_at),
            facts.attempts.to_string(),
            last[unit].map(|attempt| number(f64::from(attempt.milli_vcpus) / 1000.0)).unwrap_or_default(),
            last[unit].map(|attempt| attempt.memory_mib.to_string()).unwrap_or_default(),
            quoted(kind),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// One line for each step.
pub fn series(report: &Report) -> String {
    let series = &report.series;
    let mut text =
        String::from("seconds,vcpusAvailable,vcpusAllocated,running,instances,spotInstances,dollarsPerHour");
    for queue in series.waiting.keys() {
        let _ = write!(text, ",{}", quoted(&format!("waiting {queue}")));
    }
    text.push('\n');
    for (step, start) in series.steps.starts().enumerate() {
        text.push_str(&number(seconds(start - series.steps.begin)));
        let columns = [
            &series.available,
            &series.allocated,
            &series.running,
            &series.instances,
            &series.spot_instances,
            &series.cost_rate,
        ];
        for column in columns.into_iter().chain(series.waiting.values()) {
            let _ = write!(text, ",{}", number(column[step]));
        }
        text.push('\n');
    }
    text
}

/// One line for each instance.
pub fn instances(journal: &Journal) -> String {
    let mut text = String::from(
        "instance,instanceType,market,environment,end,vcpus,requested,ready,ended,dollars,dollarsOnDemand\n",
    );
    for instance in &journal.instances {
        let time = |at: Option<u64>| at.map(|at| number(seconds(at - journal.begin))).unwrap_or_default();
        let fields = [
            instance.id.as_str().to_owned(),
            quoted(&instance.kind),
            market(instance).to_owned(),
            quoted(&instance.environment),
            match instance.end {
                InstanceEnd::Running => "running",
                InstanceEnd::Failed => "failed",
                InstanceEnd::Returned => "returned",
                InstanceEnd::Interrupted => "interrupted",
            }
            .to_owned(),
            number(seconds(instance.milli_vcpus)),
            time(Some(instance.requested_at)),
            time(instance.ready_at),
            time(instance.ended_at),
            format!("{:.6}", super::dollars(instance.cost)),
            format!("{:.6}", super::dollars(instance.cost_on_demand)),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// At most three decimals, and none that are 0.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_numbers_are_short() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        for (value, want) in
            [(0.0, "0"), (1.5, "1.5"), (2.0, "2"), (0.0004, "0"), (1234.5678, "1234.568"), (100.0, "100")]
        {
            assert_eq!(number(value), want);
        }
    }
}
