//! `fornada run`: one command as a job, as if it were run here.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use aws_sdk_batch::types::{
    ArrayProperties, ContainerOverrides, ContainerProperties, JobStatus, JobTimeout, ResourceType,
    RetryStrategy,
};
use clap::value_parser;

use super::args::key_value;
use super::connect::Clients;
use super::follow::{LogFormat, follow};
use super::job_definition::{find_or_register, requirement, valid_name, variable};
use super::poll::until_interrupted;
use super::{INTERRUPTED, api_error, note, outcome, print, progress};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada run -- sh -c 'echo hello; exit 3'; echo $?      prints hello, then 3
  fornada run --vcpus 2 --memory 4096 -- make -j2
  fornada run --image busybox -- echo hello
  fornada run --array 100 -- sh -c 'echo $AWS_BATCH_JOB_ARRAY_INDEX'
  id=$(fornada run --detach -- ./long.sh); fornada logs -f $id

The image `host` runs the command on the server's machine, in the current directory.
Ctrl-C stops following; the job runs on.";

/// The image that stands for the machine's own file system.
pub(crate) const HOST_IMAGE: &str = "host";
/// Tells the node where a job with image `host` runs.
const WORKDIR_VARIABLE: &str = "FORNADA_WORKDIR";
/// What definitions ask for unless the job says otherwise: one vCPU, and memory in MiB.
pub(crate) const DEFAULT_VCPUS: f64 = 1.0;
pub(crate) const DEFAULT_MEMORY_MIB: u32 = 512;

/// `fornada run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Container image, or `host` for the machine itself
    #[arg(long, default_value = HOST_IMAGE)]
    image: String,
    /// Job queue
    #[arg(long, default_value = "default")]
    queue: String,
    /// Name of the job [default: the command's]
    #[arg(long)]
    name: Option<String>,
    /// Number of vCPUs
    #[arg(long, default_value_t = DEFAULT_VCPUS, value_name = "N")]
    vcpus: f64,
    /// Memory in MiB
    #[arg(long, default_value_t = DEFAULT_MEMORY_MIB, value_name = "MIB")]
    memory: u32,
    /// Number of GPUs
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Run it as an array of this many jobs, told apart by $AWS_BATCH_JOB_ARRAY_INDEX
    #[arg(long, value_name = "SIZE")]
    array: Option<i32>,
    /// Environment variable for the command; may be given many times
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = key_value)]
    environment: Vec<(String, String)>,
    /// How often to try it in all
    #[arg(long, value_name = "N")]
    attempts: Option<i32>,
    /// End an attempt that takes longer
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(i32).range(1..))]
    timeout: Option<i32>,
    /// Tag of the job; may be given many times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    tags: Vec<(String, String)>,
    /// Print the job's id and return at once
    #[arg(long, short)]
    detach: bool,
    /// Begin each line of output with the time at which it was written
    #[arg(long)]
    timestamps: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Submits the job, follows it and exits as it did.
pub(crate) async fn run(args: RunArgs, aws: &Clients) -> Result<ExitCode> {
    let format = LogFormat { timestamps: args.timestamps, ..LogFormat::default() };
    let (detach, array) = (args.detach, args.array);
    let id = submit(args, aws).await?;
    if detach {
        print(&format!("{id}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let followed = match array {
        Some(_) => until_interrupted(follow_array(aws, &id)).await?,
        None => until_interrupted(Box::pin(follow_single(aws, &id, format))).await?,
    };
    Ok(followed.unwrap_or_else(|| {
        let follow = if array.is_some() { "describe" } else { "logs -f" };
        note(&format!("still running: fornada {follow} {id} (to stop it: fornada terminate {id})"));
        ExitCode::from(INTERRUPTED)
    }))
}

async fn submit(args: RunArgs, aws: &Clients) -> Result<String> {
    let container = ContainerProperties::builder()
        .image(&args.image)
        .resource_requirements(requirement(ResourceType::Vcpu, DEFAULT_VCPUS))
        .resource_requirements(requirement(ResourceType::Memory, DEFAULT_MEMORY_MIB));
    let definition_name = valid_name(&format!("run-{}", args.image)).unwrap_or_else(|| "run".to_owned());
    let definition = find_or_register(aws, &definition_name, container.build()).await?;

    let mut environment: Vec<_> =
        args.environment.iter().map(|(name, value)| variable(name, value)).collect();
    if args.image == HOST_IMAGE && !args.environment.iter().any(|(name, _)| name == WORKDIR_VARIABLE) {
        let here = std::env::current_dir().context("cannot tell the current directory")?;
        environment.push(workdir(&here)?);
    }
    let gpus = args.gpus.map(|gpus| requirement(ResourceType::Gpu, gpus));
    let overrides = ContainerOverrides::builder()
        .resource_requirements(requirement(ResourceType::Vcpu, args.vcpus))
        .resource_requirements(requirement(ResourceType::Memory, args.memory));
    let overrides = gpus.into_iter().fold(overrides, |overrides, gpus| overrides.resource_requirements(gpus));

    let name = args.name.unwrap_or_else(|| name_of(&args.command));
    let mut request = aws
        .batch
        .submit_job()
        .job_name(name)
        .job_queue(args.queue)
        .job_definition(definition)
        .container_overrides(
            overrides.set_command(Some(args.command)).set_environment(Some(environment)).build(),
        )
        .set_array_properties(args.array.map(|size| ArrayProperties::builder().size(size).build()))
        .set_retry_strategy(args.attempts.map(|attempts| RetryStrategy::builder().attempts(attempts).build()))
        .set_timeout(
            args.timeout.map(|seconds| JobTimeout::builder().attempt_duration_seconds(seconds).build()),
        );
    for (key, value) in args.tags {
        request = request.tags(key, value);
    }
    let answer = request.send().await.map_err(api_error::describe)?;
    answer.job_id.context("the server named no job id")
}

/// The variable that makes `directory` the working directory of a job with image `host`.
pub(crate) fn workdir(directory: &Path) -> Result<aws_sdk_batch::types::KeyValuePair> {
    let path = directory.to_str().with_context(|| {
        format!("{} is not UTF-8, so it cannot be a job's working directory", directory.display())
    })?;
    Ok(variable(WORKDIR_VARIABLE, path))
}

/// The job is called what its program is called.
fn name_of(command: &[String]) -> String {
    let program = command.first().and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str());
    program.and_then(valid_name).unwrap_or_else(|| "run".to_owned())
}

async fn follow_single(aws: &Clients, id: &str, format: LogFormat) -> Result<ExitCode> {
    let job = follow(aws, id, None, format).await?;
    let code = outcome::exit_code(&job);
    // A plain exit code speaks for itself, as it does in a shell.
    if code != 0 && outcome::why_job(&job) != format!("exit code {code}") {
        note(&format!("job {id} {}", outcome::verdict(&job)));
    }
    Ok(ExitCode::from(code))
}

async fn follow_array(aws: &Clients, id: &str) -> Result<ExitCode> {
    let (jobs, summary) = progress::wait_for_all(aws, &[id.to_owned()]).await?;
    print(&format!("{id}: {summary}\n"))?;
    outcome::report_failures(aws, &jobs).await?;
    let succeeded = jobs.iter().all(|job| job.status() == Some(&JobStatus::Succeeded));
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_called_what_their_program_is_called() {
        let cases = [("sh", "sh"), ("./steps/align.py", "align-py"), ("/usr/bin/[", "run"), ("/", "run")];
        for (program, want) in cases {
            assert_eq!(name_of(&[program.to_owned(), "argument".to_owned()]), want, "{program}");
        }
    }
}
