//! A job as a card: one line a fact, then tables of what there are several of.

use aws_sdk_batch::types::{ContainerDetail, JobDetail};

use super::progress::Counts;
use super::shell_quote::command_line;
use super::{duration, job_tables, nodes, outcome, style};

/// Facts in the order in which they are shown; a fact without a text is left out.
#[derive(Default)]
pub(crate) struct Card(Vec<(&'static str, String)>);

impl Card {
    pub(crate) fn add(&mut self, name: &'static str, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((name, text));
        }
    }

    pub(crate) fn add_all(&mut self, name: &'static str, texts: impl IntoIterator<Item = String>) {
        for (index, text) in texts.into_iter().enumerate() {
            self.add(if index == 0 { name } else { "" }, text);
        }
    }

    /// Aligned, with a line end after the last line.
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, text): &(&str, String)| {
            format!("{}  {text}\n", style::paint(style::DIM, &format!("{name:width$}")))
        };
        self.0.iter().map(line).collect()
    }
}

/// The card, with a line end after the last line. The parent of nodes is shown with all its `nodes`.
pub(crate) fn show(job: &JobDetail, nodes: &[JobDetail]) -> String {
    let mut card = Card::default();
    card.add("name", style::paint(style::BOLD, job.job_name().unwrap_or_default()));
    card.add("id", job.job_id().unwrap_or_default());
    card.add("status", job.status().map(style::paint_status).unwrap_or_default());
    card.add("reason", outcome::why_job(job));
    card.add("queue", last_part(job.job_queue().unwrap_or_default()));
    card.add("share", job.share_identifier().unwrap_or_default());
    card.add("definition", last_part(job.job_definition().unwrap_or_default()));
    if let Some(array) = job.array_properties() {
        match array.size() {
            Some(size) => card.add("array", format!("{size} jobs: {}", Counts::of([job]).text())),
            None => card.add("array index", array.index().map(|index| index.to_string()).unwrap_or_default()),
        }
    }
    if let Some(main) = job.node_properties().and_then(|nodes| nodes.main_node()) {
        card.add("nodes", format!("{}: {}", nodes.len(), Counts::of(nodes).text()));
        card.add("main node", main.to_string());
    }
    if let Some(node) = nodes::index(job) {
        card.add("node", format!("{node}{}", if nodes::is_main(job) { " (main)" } else { "" }));
    }
    if let Some(container) = job.container() {
        add_container(&mut card, container);
    }
    add_limits(&mut card, job);
    card.add_all(
        "depends on",
        job.depends_on().iter().map(|dependency| {
            let kind = dependency.r#type().map(|kind| format!(" {kind}")).unwrap_or_default();
            format!("{}{kind}", dependency.job_id().unwrap_or_default()).trim().to_owned()
        }),
    );
    card.add_all("parameter", pairs(job.parameters()));
    card.add_all("tag", pairs(job.tags()));
    add_times(&mut card, job);
    // The attempts of the parent are those of its main node, which says more about them.
    let attempts = job_tables::attempts(nodes.iter().find(|node| nodes::is_main(node)).unwrap_or(job));
    format!("{}{}{}{attempts}", card.text(), job_tables::nodes(nodes), job_tables::containers(job))
}

fn add_container(card: &mut Card, container: &ContainerDetail) {
    card.add("image", container.image().unwrap_or_default());
    card.add("command", command_line(container.command()));
    let requirements = container.resource_requirements().iter().map(|requirement| {
        let kind = requirement.r#type().map_or("", |kind| kind.as_str());
        let unit = if kind == "MEMORY" { " MiB" } else { "" };
        format!("{kind} {}{unit}", requirement.value().unwrap_or_default())
    });
    card.add("resources", requirements.collect::<Vec<_>>().join(", "));
    card.add_all(
        "environment",
        container.environment().iter().map(|variable| {
            format!("{}={}", variable.name().unwrap_or_default(), variable.value().unwrap_or_default())
        }),
    );
    card.add("log stream", container.log_stream_name().unwrap_or_default());
}

fn add_limits(card: &mut Card, job: &JobDetail) {
    let attempts = job.retry_strategy().and_then(|retry| retry.attempts()).filter(|attempts| *attempts > 1);
    card.add("attempts max", attempts.map(|attempts| attempts.to_string()).unwrap_or_default());
    let timeout = job.timeout().and_then(|timeout| timeout.attempt_duration_seconds());
    card.add(
        "timeout",
        timeout.map(|seconds| duration::short(i64::from(seconds) * 1000)).unwrap_or_default(),
    );
}

fn add_times(card: &mut Card, job: &JobDetail) {
    let time = |at: Option<i64>| at.filter(|at| *at > 0).map(duration::local_time).unwrap_or_default();
    card.add("submitted", time(job.created_at()));
    card.add("started", time(job.started_at()));
    card.add("stopped", time(job.stopped_at()));
    if let Some(started) = job.started_at().filter(|at| *at > 0) {
        let stopped = job.stopped_at().filter(|at| *at > 0).unwrap_or_else(duration::now_ms);
        card.add("run time", duration::short(stopped - started));
    }
}

/// The name in an ARN, or a name as it is.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(_, name)| name)
}

fn pairs(map: Option<&std::collections::HashMap<String, String>>) -> Vec<String> {
    let mut pairs: Vec<_> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs
}
