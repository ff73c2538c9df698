//! `fornada simulate`: what a workload would do on queues and environments that need not exist.

mod export;
mod file;
mod jobs;
mod print;
mod setup;
mod value;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use fornada_api::offline;
use fornada_sim::report::{Report, csv, html};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::Output;
use file::{Overrides, Plan};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada simulate examples/simulate/spot.yaml
  fornada simulate examples/simulate/teams.yaml --html teams.html --csv teams
  aws batch describe-jobs --jobs … > jobs.json && fornada simulate setup.yaml --jobs jobs.json";

/// `fornada simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Environments, queues and jobs, in YAML or JSON
    file: PathBuf,
    /// Jobs that really ran, as `aws batch describe-jobs` prints them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    jobs: Vec<PathBuf>,
    /// Of all chance; the same seed gives the same result [default: that of the file, or 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write a report with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write jobs.csv, series.csv and instances.csv
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Stop after this much simulated time, such as 12h
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    until: Option<f64>,
    /// Schedule as AWS Batch does where Fornada offers more: no job overtakes one that waits for room
    #[arg(long)]
    strict: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Reads, simulates, reports.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<ExitCode> {
    let overrides = Overrides { seed: args.seed, until: args.until, strict: args.strict };
    let exports = args.jobs.iter().map(|path| Ok((path.display().to_string(), read(path)?)));
    let exports = exports.collect::<Result<Vec<_>>>()?;
    let of = || args.file.display().to_string();
    let mut plan = Plan::read(&read(&args.file)?, &exports, overrides).with_context(of)?;
    let workload = std::mem::take(&mut plan.workload);
    let title = match plan.title.as_str() {
        "" => args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        title => title.to_owned(),
    };
    let bar = progress_bar(workload.jobs());
    let journal = plan.simulation(&workload).run(&mut |progress| {
        bar.set_position(progress.ended as u64);
        bar.set_message(format!("{} simulated", crate::cli::short_duration(progress.elapsed)));
    });
    bar.finish_and_clear();
    let journal = journal.map_err(|refused| {
        let name = &workload.templates()[refused.template].submission.name;
        anyhow!("{}: job {name}: {}", of(), offline::refusal(refused.refusal))
    })?;
    let report = Report::new(title, &workload, &journal);
    if let Some(path) = &args.html {
        write(path, &html::page(&report))?;
    }
    if let Some(directory) = &args.csv {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        write(&directory.join("jobs.csv"), &csv::jobs(&workload, &journal))?;
        write(&directory.join("series.csv"), &csv::series(&report))?;
        write(&directory.join("instances.csv"), &csv::instances(&journal))?;
    }
    match args.output {
        Output::Table => crate::cli::print(&print::text(&report))?,
        Output::Json => crate::cli::print_json(&serde_json::to_value(&report)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn seconds(text: &str) -> Result<f64, String> {
    let value = match text.parse::<f64>() {
        Ok(number) => serde_json::json!(number),
        Err(_) => serde_json::json!(text),
    };
    let place = value::Place { path: "the time".to_owned(), value };
    place.seconds().map_err(|error| error.to_string())
}

/// On stderr, and only where that is a terminal.
fn progress_bar(jobs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} jobs {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─");
    let bar = ProgressBar::new(jobs as u64).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
