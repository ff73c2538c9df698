"""AWS ParallelCluster's awsbatch commands: awsbsub (scripts, an array, a dependency), awsbstat, awsbout, awsbkill."""

import re

CONFIGURATION = """\
[main]
cluster_name = bakery

[cluster bakery]
region = us-east-1
s3_bucket = {bucket}
artifact_directory = bakery
batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0
compute_environment = local
job_queue = default
job_definition = parallelcluster
head_node_ip = 127.0.0.1
proxy = NONE
"""


def run(site):
    folder = site.server.root / ".parallelcluster"
    folder.mkdir()
    (folder / "awsbatch-cli.cfg").write_text(CONFIGURATION.format(bucket=site.bucket("parallelcluster")))
    # As ParallelCluster makes it: with the older members, which awsbsub overrides.
    properties = {"image": "host", "vcpus": 1, "memory": 128, "command": ["true"]}
    site.server.batch.register_job_definition(
        jobDefinitionName="parallelcluster", type="container", containerProperties=properties
    )

    said = site.call("awsbqueues")
    site.check("awsbqueues shows the queue", re.search(r"default\s+VALID", said), said)

    loaves = submit(site, "loaves", "loaf.sh", "--array-size", "3", "--memory", "256")
    second = submit(site, "second", "second.sh", "--retry-attempts", "2", "--depends-on", f"jobId={loaves}")
    bad = submit(site, "bad", "bad.sh")
    ended = {job: site.server.wait(job, seconds=300) for job in (loaves, second, bad)}
    site.check(
        "an array with its own memory, a job after it with two attempts, and one that fails",
        [job["status"] for job in ended.values()] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
        and ended[loaves]["container"]["memory"] == 256
        and len(ended[second]["attempts"]) == 2,
        ended,
    )
    said = site.call("awsbstat", "--status", "ALL", "--expand-children")
    site.check(
        "awsbstat lists them, with the children", len(re.findall(rf"{loaves}:\d +loaves +SUCCEEDED", said)) == 3, said
    )
    said = site.call("awsbout", f"{loaves}:1")
    site.check("awsbout prints the output of a child", "loaf 1" in said, said)
    said = site.call("awsbout", bad) + site.call("awsbstat", bad)
    site.check(
        "and of the failed job; awsbstat shows its exit code",
        "no flour" in said and re.search(r"exitCode +: 7", said),
        said,
    )

    sleeper = submit(site, "sleeper", "sleep.sh")
    site.server.wait(sleeper, "RUNNING", seconds=60)
    site.call("awsbkill", "--reason", "enough", sleeper)
    job = site.server.fail(sleeper, seconds=60)
    site.check("awsbkill ends a running job", job["statusReason"] == "enough", job["statusReason"])


def submit(site, name, script, *options):
    """Gives awsbsub a script as a person does, `awsbsub < script`, and returns the id of the job that it reports."""
    said = site.call("awsbsub", "--job-name", name, *options, stdin=script)
    return re.search(r"Job (\S+) .*has been submitted", said)[1]
