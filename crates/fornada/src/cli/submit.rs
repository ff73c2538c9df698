//! `fornada submit`: a graph of jobs from one file.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use aws_sdk_batch::types::{
    ArrayJobDependency, ArrayProperties, ContainerOverrides, ContainerProperties, EvaluateOnExit,
    JobDependency, JobStatus, JobTimeout, KeyValuePair, ResourceRequirement, ResourceType, RetryAction,
    RetryStrategy,
};
use comfy_table::Cell;
use serde_json::json;

use super::args::Output;
use super::connect::Clients;
use super::job_definition::{find_or_register, requirement, valid_name, variable};
use super::job_file::{self, DependencyKind, Job, JobFile};
use super::poll::until_interrupted;
use super::run::{DEFAULT_MEMORY_MIB, DEFAULT_VCPUS, HOST_IMAGE, workdir};
use super::{INTERRUPTED, api_error, job_graph, note, outcome, print, print_json, progress, table};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada submit -f jobs.yaml
  fornada submit -f jobs.yaml --wait
  ./make-jobs.py | fornada submit -f - --output json

jobs.yaml:
  jobs:
    - name: count
      image: host
      command: [python3, count.py]
      array: 8
    - name: merge
      image: host
      command: [python3, merge.py]
      dependsOn: [count]

docs/job-files.md describes every member. Jobs with the image `host` run in the directory of the file.";

const STANDARD_INPUT: &str = "-";

/// `fornada submit`.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmitArgs {
    /// The file, YAML or JSON; - for standard input
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Wait until all jobs have ended; exit code 0 only if every one succeeded
    #[arg(long, short)]
    wait: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A job of the file and the id it got.
struct Submitted<'a> {
    job: &'a Job,
    id: String,
}

/// Checks the whole file, then submits it.
pub(crate) async fn submit(args: SubmitArgs, aws: &Clients) -> Result<ExitCode> {
    let (text, directory) = read(&args.file)?;
    let in_file = || match args.file.as_os_str() == STANDARD_INPUT {
        true => "standard input".to_owned(),
        false => args.file.display().to_string(),
    };
    let file = JobFile::parse(&text).with_context(in_file)?;
    let order = job_graph::order(&file.jobs).with_context(in_file)?;

    let submitted = submit_all(aws, &file, &order, &directory).await?;
    match args.output {
        Output::Json => {
            let jobs =
                submitted.iter().map(|Submitted { job, id }| json!({ "jobName": job.name, "jobId": id }));
            print_json(&json!({ "jobs": jobs.collect::<Vec<_>>() }))?;
        }
        Output::Table => {
            let mut table = table::new(&["NAME", "ID"], 2);
            for Submitted { job, id } in &submitted {
                table.add_row([Cell::new(&job.name), Cell::new(id)]);
            }
            print(&table::text(&table))?;
        }
    }
    if !args.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let ids: Vec<String> = submitted.into_iter().map(|submitted| submitted.id).collect();
    let waited = until_interrupted(wait(aws, &ids, args.output)).await?;
    Ok(waited.unwrap_or_else(|| {
        note("still running: fornada jobs (to stop one: fornada terminate NAME)");
        ExitCode::from(INTERRUPTED)
    }))
}

async fn wait(aws: &Clients, ids: &[String], output: Output) -> Result<ExitCode> {
    let (jobs, summary) = progress::wait_for_all(aws, ids).await?;
    match output {
        Output::Table => print(&format!("{summary}\n"))?,
        // Standard output holds the one JSON value.
        Output::Json => note(&summary),
    }
    outcome::report_failures(aws, &jobs).await?;
    let succeeded = jobs.iter().all(|job| job.status() == Some(&JobStatus::Succeeded));
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The text, and the directory in which its jobs run.
fn read(file: &Path) -> Result<(String, PathBuf)> {
    if file.as_os_str() == STANDARD_INPUT {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok((text, std::env::current_dir()?));
    }
    let cannot_read = || format!("cannot read {}", file.display());
    let text = std::fs::read_to_string(file).with_context(cannot_read)?;
    let path = std::path::absolute(file).with_context(cannot_read)?;
    Ok((text, path.parent().unwrap_or(Path::new("/")).to_owned()))
}

/// All or none: if the server refuses a job, those before it are stopped again.
async fn submit_all<'a>(
    aws: &Clients,
    file: &'a JobFile,
    order: &[usize],
    directory: &Path,
) -> Result<Vec<Submitted<'a>>> {
    let mut submitted: Vec<Submitted<'a>> = Vec::with_capacity(order.len());
    let mut ids: HashMap<&str, String> = HashMap::new();
    for job in order.iter().map(|index| &file.jobs[*index]) {
        match submit_one(aws, file, job, &ids, directory).await {
            Ok(id) => {
                ids.insert(&job.name, id.clone());
                submitted.push(Submitted { job, id });
            }
            Err(error) if api_error::is_unreachable(&error) => return Err(error),
            Err(error) => {
                for Submitted { id, .. } in submitted.iter().rev() {
                    let reason = format!("Job {} of the same file was refused", job.name);
                    let stop = aws.batch.terminate_job().job_id(id).reason(reason);
                    stop.send().await.map_err(api_error::describe)?;
                }
                let stopped = match submitted.len() {
                    0 => String::new(),
                    count => format!(" (the {count} submitted before it were stopped)"),
                };
                return Err(error.context(format!("job `{}`{stopped}", job.name)));
            }
        }
    }
    Ok(submitted)
}

async fn submit_one(
    aws: &Clients,
    file: &JobFile,
    job: &Job,
    ids: &HashMap<&str, String>,
    directory: &Path,
) -> Result<String> {
    let mut request = aws
        .batch
        .submit_job()
        .job_name(&job.name)
        .job_queue(job.queue.as_ref().unwrap_or(&file.queue))
        .set_array_properties(job.array.map(|size| ArrayProperties::builder().size(size).build()))
        .set_retry_strategy(retry_strategy(job))
        .set_timeout(
            job.timeout.map(|seconds| JobTimeout::builder().attempt_duration_seconds(seconds).build()),
        )
        .set_share_identifier(job.share_identifier.clone())
        .set_scheduling_priority_override(job.scheduling_priority_override)
        .set_depends_on(Some(dependencies(job, ids)));
    for (key, value) in &job.parameters {
        request = request.parameters(key, value);
    }
    for (key, value) in &job.tags {
        request = request.tags(key, value);
    }
    request = match (&job.image, &job.job_definition) {
        (Some(image), _) => {
            let name = valid_name(&job.name).unwrap_or_else(|| "job".to_owned());
            request.job_definition(find_or_register(aws, &name, container(job, image, directory)?).await?)
        }
        (None, definition) => {
            request.set_job_definition(definition.clone()).set_container_overrides(overrides(job))
        }
    };
    let answer = request.send().await.map_err(api_error::describe)?;
    answer.job_id.context("the server named no job id")
}

/// The definition of a job that brings its own image.
fn container(job: &Job, image: &str, directory: &Path) -> Result<ContainerProperties> {
    let mut environment = environment(job);
    let workdir = workdir(directory)?;
    if image == HOST_IMAGE && !environment.iter().any(|variable| variable.name == workdir.name) {
        environment.push(workdir);
    }
    let requirements = requirements(
        Some(job.vcpus.unwrap_or(DEFAULT_VCPUS)),
        Some(job.memory.unwrap_or(DEFAULT_MEMORY_MIB)),
        job.gpus,
    );
    Ok(ContainerProperties::builder()
        .image(image)
        .set_command(job.command.clone())
        .set_environment(Some(environment).filter(|environment| !environment.is_empty()))
        .set_resource_requirements(Some(requirements))
        .build())
}

/// What a job with somebody else's definition says differently; `None` if nothing.
fn overrides(job: &Job) -> Option<ContainerOverrides> {
    let environment = Some(environment(job)).filter(|environment| !environment.is_empty());
    let requirements = requirements(job.vcpus, job.memory, job.gpus);
    let requirements = Some(requirements).filter(|requirements| !requirements.is_empty());
    if job.command.is_none() && environment.is_none() && requirements.is_none() {
        return None;
    }
    let overrides = ContainerOverrides::builder().set_command(job.command.clone());
    Some(overrides.set_environment(environment).set_resource_requirements(requirements).build())
}

fn environment(job: &Job) -> Vec<KeyValuePair> {
    job.environment.iter().map(|(name, value)| variable(name, value)).collect()
}

fn requirements(vcpus: Option<f64>, memory_mib: Option<u32>, gpus: Option<u32>) -> Vec<ResourceRequirement> {
    let vcpus = vcpus.map(|vcpus| requirement(ResourceType::Vcpu, vcpus));
    let memory = memory_mib.map(|mib| requirement(ResourceType::Memory, mib));
    let gpus = gpus.map(|gpus| requirement(ResourceType::Gpu, gpus));
    [vcpus, memory, gpus].into_iter().flatten().collect()
}

fn retry_strategy(job: &Job) -> Option<RetryStrategy> {
    let evaluate = |rule: &job_file::EvaluateOnExit| {
        EvaluateOnExit::builder()
            .set_on_status_reason(rule.on_status_reason.clone())
            .set_on_reason(rule.on_reason.clone())
            .set_on_exit_code(rule.on_exit_code.clone())
            .action(RetryAction::from(rule.action.as_str()))
            .build()
    };
    match (&job.retry_strategy, job.attempts) {
        (Some(strategy), _) => {
            let rules = strategy.evaluate_on_exit.iter().map(evaluate).collect();
            let builder = RetryStrategy::builder().set_attempts(strategy.attempts);
            Some(builder.set_evaluate_on_exit(Some(rules)).build())
        }
        (None, attempts) => attempts.map(|attempts| RetryStrategy::builder().attempts(attempts).build()),
    }
}

/// Every name is in `ids`, because the order of submission puts dependencies first.
fn dependencies(job: &Job, ids: &HashMap<&str, String>) -> Vec<JobDependency> {
    let dependency = |dependency: &job_file::Dependency| {
        let id = dependency.job.as_ref().and_then(|name| ids.get(name.as_str()));
        let kind = dependency.kind.map(|kind| match kind {
            DependencyKind::NToN => ArrayJobDependency::NToN,
            DependencyKind::Sequential => ArrayJobDependency::Sequential,
        });
        JobDependency::builder().set_job_id(id.cloned()).set_type(kind).build()
    };
    job.depends_on.iter().map(dependency).collect()
}
