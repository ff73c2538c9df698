// The main flow through the AWS SDK for JavaScript: prints nothing and ends with 0 if all is well.
//
// Endpoints, region and credentials come from the usual AWS variables. Names end in the process id, so that it can run
// again on the same server.
"use strict";

const assert = require("node:assert/strict");
const batch = require("@aws-sdk/client-batch");
const logs = require("@aws-sdk/client-cloudwatch-logs");

const DEADLINE_MS = 20_000;
const client = new batch.BatchClient({ maxAttempts: 1 });
const logsClient = new logs.CloudWatchLogsClient({ maxAttempts: 1 });
const ask = (Command, input) => client.send(new batch[`${Command}Command`](input));
const named = (name) => `${name}-${process.pid}`;

/** Looks again and again until `until` holds of what is seen, and returns that. */
async function waitFor(look, until) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const seen = await look();
    if (until(seen)) return seen;
    assert(Date.now() < deadline, `not so after ${DEADLINE_MS} ms; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const describe = async (jobId) => (await ask("DescribeJobs", { jobs: [jobId] })).jobs[0];
const reached = (jobId, ...statuses) => waitFor(() => describe(jobId), (job) => statuses.includes(job.status));

async function succeeded(jobId) {
  const job = await reached(jobId, "SUCCEEDED", "FAILED");
  assert.equal(job.status, "SUCCEEDED", job.statusReason);
  return job;
}

/** A compute environment and a queue on it, both VALID. */
async function createQueue() {
  const environment = await ask("CreateComputeEnvironment", {
    computeEnvironmentName: named("environment"),
    type: "MANAGED",
    computeResources: {
      type: "EC2",
      minvCpus: 0,
      maxvCpus: 4,
      instanceTypes: ["optimal"],
      subnets: ["subnet-1"],
      securityGroupIds: ["sg-1"],
      instanceRole: "ecsInstanceRole",
    },
  });
  const arn = environment.computeEnvironmentArn;
  await waitFor(
    async () => (await ask("DescribeComputeEnvironments", { computeEnvironments: [arn] })).computeEnvironments[0],
    (found) => found.status === "VALID",
  );
  const queue = await ask("CreateJobQueue", {
    jobQueueName: named("queue"),
    priority: 1,
    computeEnvironmentOrder: [{ order: 1, computeEnvironment: arn }],
  });
  await waitFor(
    async () => (await ask("DescribeJobQueues", { jobQueues: [queue.jobQueueName] })).jobQueues[0],
    (found) => found.status === "VALID",
  );
  return queue;
}

async function register() {
  const definition = await ask("RegisterJobDefinition", {
    jobDefinitionName: named("definition"),
    type: "container",
    containerProperties: {
      image: "host",
      command: ["echo", "Ref::word"],
      resourceRequirements: [
        { type: "VCPU", value: "1" },
        { type: "MEMORY", value: "64" },
      ],
    },
    parameters: { word: "hello" },
  });
  assert.equal(definition.revision, 1);
  return definition.jobDefinitionArn;
}

/** Every line of a job, page by page, until the token comes back that was passed in. */
async function lines(job) {
  const stream = { logGroupName: "/aws/batch/job", logStreamName: job.container.logStreamName };
  const found = [];
  let nextToken;
  for (;;) {
    const page = await logsClient.send(
      new logs.GetLogEventsCommand({ ...stream, startFromHead: true, limit: 1, nextToken }),
    );
    found.push(...page.events.map((event) => event.message));
    if (page.nextForwardToken === nextToken) return found;
    nextToken = page.nextForwardToken;
  }
}

async function main() {
  const queue = await createQueue();
  const jobQueue = queue.jobQueueName;
  const jobDefinition = await register();
  const submit = async (jobName, members) =>
    (await ask("SubmitJob", { jobName, jobQueue, jobDefinition, ...members })).jobId;
  const script = (text) => ({ containerOverrides: { command: ["sh", "-c", text] } });

  // Single, array, dependent and retrying jobs.
  const single = await submit("single", { tags: { team: "bakers" } });
  const array = await submit("array", {
    arrayProperties: { size: 3 },
    ...script('echo "child $AWS_BATCH_JOB_ARRAY_INDEX"'),
  });
  const dependent = await submit("dependent", { dependsOn: [{ jobId: single }, { jobId: array }] });
  const retrying = await submit("retrying", {
    retryStrategy: { attempts: 2 },
    ...script('test "$AWS_BATCH_JOB_ATTEMPT" = 2'),
  });
  assert.deepEqual((await succeeded(dependent)).dependsOn, [{ jobId: single }, { jobId: array }]);
  const retried = await succeeded(retrying);
  assert.deepEqual(retried.attempts.map((attempt) => attempt.container.exitCode), [1, 0]);
  assert.equal((await describe(array)).arrayProperties.statusSummary.SUCCEEDED, 3);
  assert.equal(typeof retried.createdAt, "number");

  // The SDK's own paginator.
  const names = [];
  for await (const page of batch.paginateListJobs({ client, pageSize: 1 }, { jobQueue, jobStatus: "SUCCEEDED" })) {
    assert(page.jobSummaryList.length <= 1);
    names.push(...page.jobSummaryList.map((job) => job.jobName));
  }
  assert.deepEqual(names, ["retrying", "dependent", "array", "single"]);

  // Logs to their end.
  assert.deepEqual(await lines(await describe(single)), ["hello"]);
  assert.deepEqual(await lines(await describe(`${array}:2`)), ["child 2"]);

  // Tags, whose ARN travels in the path.
  const resourceArn = queue.jobQueueArn;
  await ask("TagResource", { resourceArn, tags: { team: "bakers", "an odd+key": "ö" } });
  await ask("UntagResource", { resourceArn, tagKeys: ["team", "never there"] });
  assert.deepEqual((await ask("ListTagsForResource", { resourceArn })).tags, { "an odd+key": "ö" });

  // Errors are the SDK's own classes, with the message as the server sent it.
  await assert.rejects(ask("SubmitJob", { jobName: "x", jobQueue: "nowhere", jobDefinition }), (error) => {
    assert(error instanceof batch.ClientException, error);
    assert.equal(error.message, `${resourceArn.replace(jobQueue, "nowhere")} does not exist`);
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.equal(error.$metadata.requestId.length, 36);
    return true;
  });
  const missing = { logGroupName: "/nowhere", logStreamName: "x" };
  await assert.rejects(logsClient.send(new logs.GetLogEventsCommand(missing)), (error) => {
    assert(error instanceof logs.ResourceNotFoundException, error);
    assert.equal(error.message, "The specified log group does not exist.");
    return true;
  });

  // Stopping a job that runs.
  const long = await submit("long", script("sleep 600"));
  await reached(long, "RUNNING");
  await ask("TerminateJob", { jobId: long, reason: "enough" });
  const stopped = await reached(long, "SUCCEEDED", "FAILED");
  assert.deepEqual([stopped.status, stopped.statusReason, stopped.isTerminated], ["FAILED", "enough", true]);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
