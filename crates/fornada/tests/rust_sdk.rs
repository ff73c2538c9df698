//! The main flow through the AWS SDK for Rust, against the built binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_batch::config::retry::RetryConfig;
use aws_sdk_batch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::operation::RequestId;
use aws_sdk_batch::operation::submit_job::builders::SubmitJobFluentBuilder;
use aws_sdk_batch::types::{
    ArrayProperties, CeStatus, CeType, ComputeEnvironmentOrder, ComputeResource, ContainerOverrides,
    ContainerProperties, CrType, JobDefinitionType, JobDependency, JobDetail, JobStatus, JqStatus,
    ResourceRequirement, ResourceType, RetryStrategy,
};
use aws_smithy_http_client::Builder;
use tempfile::TempDir;

const GROUP: &str = "/aws/batch/job";
/// Nothing here takes as long on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// `fornada up` on a data directory of its own. Both the server and its node end with it.
struct Server {
    process: Child,
    endpoint: String,
    data_dir: TempDir,
}

impl Server {
    fn start() -> Server {
        let data_dir = TempDir::new().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_fornada"))
            .args(["up", "--listen", "127.0.0.1:0", "--capacity", "vcpus=8,memory=16384", "--data-dir"])
            .arg(data_dir.path())
            .env("FORNADA_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("ready ")?.to_owned()));
        let endpoint = ready.expect("the server says when it is ready").trim().to_owned();
        Server { process, endpoint, data_dir }
    }

    fn clients(&self) -> (aws_sdk_batch::Client, aws_sdk_cloudwatchlogs::Client) {
        let keys = std::fs::read(self.data_dir.path().join("access-keys.json")).unwrap();
        let keys: serde_json::Value = serde_json::from_slice(&keys).unwrap();
        let key = |name: &str| keys["keys"][0][name].as_str().unwrap();
        let credentials = Credentials::new(key("accessKeyId"), key("secretAccessKey"), None, None, "test");
        let region = Region::new("us-east-1");
        let batch = aws_sdk_batch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .http_client(Builder::new().build_http())
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::disabled())
            .build();
        let logs = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .http_client(Builder::new().build_http())
            .region(region)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .build();
        (aws_sdk_batch::Client::from_conf(batch), aws_sdk_cloudwatchlogs::Client::from_conf(logs))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let node = std::fs::read_to_string(self.data_dir.path().join("node/node.pid"));
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Ok(pid) = node {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

/// Looks again and again until there is what is looked for.
async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not so after {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The queue and the definition that jobs are submitted with.
struct Flow {
    batch: aws_sdk_batch::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
}

impl Flow {
    /// An environment, a queue on it and a definition. Gives the ARN of the queue.
    async fn prepare(&self) -> String {
        let batch = &self.batch;
        let resources = ComputeResource::builder()
            .r#type(CrType::Ec2)
            .minv_cpus(0)
            .maxv_cpus(4)
            .instance_types("optimal")
            .subnets("subnet-1")
            .security_group_ids("sg-1")
            .instance_role("ecsInstanceRole")
            .build();
        let environment =
            batch.create_compute_environment().compute_environment_name("ce").r#type(CeType::Managed);
        environment.compute_resources(resources).send().await.unwrap();
        wait_for("environment VALID", async || {
            let found =
                batch.describe_compute_environments().compute_environments("ce").send().await.unwrap();
            (found.compute_environments()[0].status() == Some(&CeStatus::Valid)).then_some(())
        })
        .await;
        let order = ComputeEnvironmentOrder::builder().order(1).compute_environment("ce").build();
        let queue = batch.create_job_queue().job_queue_name("q").priority(1).compute_environment_order(order);
        let queue = queue.send().await.unwrap();
        wait_for("queue VALID", async || {
            let found = batch.describe_job_queues().job_queues("q").send().await.unwrap();
            (found.job_queues()[0].status() == Some(&JqStatus::Valid)).then_some(())
        })
        .await;
        let need = |kind, value| ResourceRequirement::builder().r#type(kind).value(value).build();
        let container = ContainerProperties::builder()
            .image("host")
            .command("echo")
            .command("Ref::word")
            .resource_requirements(need(ResourceType::Vcpu, "1"))
            .resource_requirements(need(ResourceType::Memory, "64"))
            .build();
        let definition =
            batch.register_job_definition().job_definition_name("d").r#type(JobDefinitionType::Container);
        let definition = definition.container_properties(container).parameters("word", "hello").send().await;
        assert_eq!(definition.unwrap().revision(), Some(1));
        queue.job_queue_arn().unwrap().to_owned()
    }

    fn job(&self, name: &str) -> SubmitJobFluentBuilder {
        self.batch.submit_job().job_name(name).job_queue("q").job_definition("d")
    }

    async fn describe(&self, job_id: &str) -> JobDetail {
        self.batch.describe_jobs().jobs(job_id).send().await.unwrap().jobs.unwrap().remove(0)
    }

    async fn reached(&self, job_id: &str, status: JobStatus) -> JobDetail {
        wait_for(status.as_str(), async || {
            let job = self.describe(job_id).await;
            (job.status() == Some(&status)).then_some(job)
        })
        .await
    }

    /// Every line of a job, page by page, until the token comes back that was passed in.
    async fn lines(&self, job: &JobDetail) -> Vec<String> {
        let stream = job.container().and_then(|container| container.log_stream_name()).unwrap();
        let (mut lines, mut token) = (vec![], None);
        loop {
            let page = self.logs.get_log_events().log_group_name(GROUP).log_stream_name(stream);
            let page =
                page.start_from_head(true).limit(1).set_next_token(token.clone()).send().await.unwrap();
            lines.extend(page.events().iter().map(|event| event.message().unwrap().to_owned()));
            if page.next_forward_token == token {
                return lines;
            }
            token = page.next_forward_token;
        }
    }
}

fn script(text: &str) -> ContainerOverrides {
    ContainerOverrides::builder().command("sh").command("-c").command(text).build()
}

async fn id(job: SubmitJobFluentBuilder) -> String {
    job.send().await.unwrap().job_id.unwrap()
}

#[tokio::test]
async fn main_flow() {
    let server = Server::start();
    let (batch, logs) = server.clients();
    let flow = Flow { batch: batch.clone(), logs: logs.clone() };
    let queue_arn = flow.prepare().await;

    // Single, array, dependent and retrying jobs.
    let single = id(flow.job("single")).await;
    let array = flow.job("array").array_properties(ArrayProperties::builder().size(3).build());
    let array = id(array.container_overrides(script("echo child $AWS_BATCH_JOB_ARRAY_INDEX"))).await;
    let after = |id: &str| JobDependency::builder().job_id(id).build();
    let dependent = id(flow.job("dependent").depends_on(after(&single)).depends_on(after(&array))).await;
    let retrying = flow.job("retrying").retry_strategy(RetryStrategy::builder().attempts(2).build());
    let retrying = id(retrying.container_overrides(script("test $AWS_BATCH_JOB_ATTEMPT = 2"))).await;
    let ended = flow.reached(&dependent, JobStatus::Succeeded).await;
    assert_eq!(ended.depends_on(), [after(&single), after(&array)]);
    let retried = flow.reached(&retrying, JobStatus::Succeeded).await;
    let codes: Vec<_> = retried.attempts().iter().map(|a| a.container().unwrap().exit_code()).collect();
    assert_eq!(codes, [Some(1), Some(0)]);
    let parent = flow.describe(&array).await;
    assert_eq!(parent.array_properties().unwrap().status_summary().unwrap()["SUCCEEDED"], 3);

    // The SDK's own paginator.
    let pages = batch.list_jobs().job_queue("q").job_status(JobStatus::Succeeded).into_paginator();
    let mut jobs = pages.page_size(1).items().send();
    let mut names = vec![];
    while let Some(job) = jobs.next().await {
        names.push(job.unwrap().job_name.unwrap());
    }
    assert_eq!(names, ["retrying", "dependent", "array", "single"]);

    // Logs to their end.
    assert_eq!(flow.lines(&flow.describe(&single).await).await, ["hello"]);
    assert_eq!(flow.lines(&flow.describe(&format!("{array}:2")).await).await, ["child 2"]);

    // Tags, whose ARN travels in the path.
    let odd = ("an odd+key", "ö");
    let tag = batch.tag_resource().resource_arn(&queue_arn).tags("team", "bakers").tags(odd.0, odd.1);
    tag.send().await.unwrap();
    let untag = batch.untag_resource().resource_arn(&queue_arn).tag_keys("team").tag_keys("never there");
    untag.send().await.unwrap();
    let tags = batch.list_tags_for_resource().resource_arn(&queue_arn).send().await.unwrap();
    assert_eq!(tags.tags.unwrap().into_iter().collect::<Vec<_>>(), [(odd.0.into(), odd.1.into())]);

    // Errors are the SDK's own types, with the message as the server sent it.
    let error = flow.job("x").job_queue("nowhere").send().await.unwrap_err().into_service_error();
    assert!(error.is_client_exception(), "{error:?}");
    let nowhere = queue_arn.replace("job-queue/q", "job-queue/nowhere");
    assert_eq!(error.message(), Some(&*format!("{nowhere} does not exist")));
    assert_eq!(error.meta().request_id().map(str::len), Some(36));
    let error =
        logs.get_log_events().log_group_name("/nowhere").log_stream_name("x").send().await.unwrap_err();
    let error = error.into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    assert_eq!(error.meta().message(), Some("The specified log group does not exist."));

    // Stopping a job that runs.
    let long = id(flow.job("long").container_overrides(script("sleep 600"))).await;
    flow.reached(&long, JobStatus::Running).await;
    batch.terminate_job().job_id(&long).reason("enough").send().await.unwrap();
    let stopped = flow.reached(&long, JobStatus::Failed).await;
    assert_eq!((stopped.status_reason(), stopped.is_terminated()), (Some("enough"), Some(true)));
}
