"""Jobs on Amazon EKS. Source: AWS Batch User Guide, Jobs on Amazon EKS; API reference, EksPodProperties."""

import pytest

from server import ACCOUNT, REGION

CLUSTER = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/test"
SMALL = {"limits": {"cpu": "1", "memory": "64Mi"}}


@pytest.fixture(scope="module")
def queue(server):
    """A queue on an environment of kind EKS."""
    server.batch.create_compute_environment(
        computeEnvironmentName="eks", type="MANAGED",
        eksConfiguration={"eksClusterArn": CLUSTER, "kubernetesNamespace": "batch"},
        computeResources={
            "type": "EC2", "allocationStrategy": "BEST_FIT_PROGRESSIVE", "minvCpus": 0, "maxvCpus": 64,
            "instanceTypes": ["m5"], "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"],
            "instanceRole": "eks-role",
        },
    )
    server.settled_environment("eks")
    return server.create_queue("eks", computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "eks"}])


def container(script="true", **members):
    return {"image": "host", "command": ["sh", "-c"], "args": [script], "resources": SMALL} | members


def register(server, name, *containers, pod=None, **members):
    properties = {"podProperties": {"containers": list(containers)} | (pod or {})}
    answer = server.unchecked.register_job_definition(
        jobDefinitionName=name, type="container", eksProperties=properties, **members
    )
    return f"{name}:{answer['revision']}"


def run(server, queue, definition, **members):
    return server.batch.submit_job(jobName="job", jobQueue=queue, jobDefinition=definition, **members)["jobId"]


def test_echo(server):
    """What was registered comes back, without added defaults."""
    main = container(
        name="main", imagePullPolicy="Always", env=[{"name": "A", "value": "1"}],
        securityContext={"runAsUser": 1000, "privileged": False},
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    pod = {
        "serviceAccountName": "runner", "hostNetwork": False, "dnsPolicy": "ClusterFirst",
        "imagePullSecrets": [{"name": "pull"}], "initContainers": [container(name="setup", env=[], volumeMounts=[])],
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
        "metadata": {"labels": {"team": "a"}, "annotations": {"example.com/x": "y z"}, "namespace": "jobs"},
        "shareProcessNamespace": True,
    }
    register(server, "echo", main, pod=pod)
    [found] = server.batch.describe_job_definitions(jobDefinitionName="echo")["jobDefinitions"]
    assert (found["type"], found["containerOrchestrationType"]) == ("container", "EKS")
    assert found["eksProperties"]["podProperties"] == {"containers": [main]} | pod


@pytest.mark.parametrize("given, pod, want", [
    ({"resources": {}}, {}, "vCPU is required."),
    ({"resources": {"limits": {"cpu": "0.1", "memory": "64Mi"}}}, {}, "multiple of 0.25"),
    ({"resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "1", "memory": "32Mi"}}}, {},
     "memory request must be equal to memory limit if both are provided."),
    ({"imagePullPolicy": "Often"}, {}, "Unsupported image pull policy value."),
    ({}, {"dnsPolicy": "None"}, "Unsupported DNS policy value."),
    ({}, {"metadata": {"namespace": "kube-system"}},
     "kubernetesNamespace cannot be a reserved Kubernetes system namespace."),
    ({}, {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1G"}}]}, "Invalid empty dir size limit."),
])
def test_refused(server, refused, given, pod, want):
    with refused(want):
        register(server, "refused", container(**given), pod=pod)


def test_tags_do_not_propagate(server, refused):
    with refused("Batch on EKS does not support tag propagation."):
        register(server, "tags", container(), propagateTags=True)


def test_life_of_a_pod(server, queue, tmp_path):
    """Init containers run first, to their end; every container counts; the pod has its place in eksAttempts."""
    log = tmp_path / "log"
    definition = register(
        server, "life", container(f"echo main >> {log}"),
        pod={"initContainers": [container(f"echo setup >> {log}", name="setup")]},
    )
    job = server.succeed(run(server, queue, definition))
    assert log.read_text().split() == ["setup", "main"]
    assert job["attempts"] == [] and "container" not in job
    pod = job["eksProperties"]["podProperties"]
    assert (pod["containers"][0]["name"], pod["containers"][0]["exitCode"]) == ("Default", 0)
    [attempt] = job["eksAttempts"]
    assert (attempt["eksClusterArn"], attempt["podNamespace"]) == (CLUSTER, "batch")
    assert attempt["podName"].startswith("aws-batch.") and attempt["podName"] == pod["podName"]
    assert [(c["name"], c["exitCode"]) for c in attempt["initContainers"]] == [("setup", 0)]
    assert attempt["startedAt"] <= attempt["stoppedAt"]

    failed = server.fail(run(server, queue, register(server, "fails", container("exit 4"))))
    assert failed["eksAttempts"][0]["containers"][0]["exitCode"] == 4


def test_overrides(server, queue, refused, tmp_path):
    """API reference, EksContainerOverride: image, command, args, env and resources; labels are merged."""
    definition = register(
        server, "overrides", container(env=[{"name": "A", "value": "1"}]), pod={"metadata": {"labels": {"a": "1"}}}
    )
    change = {"args": [f"echo $A Ref::p > {tmp_path}/out"], "env": [{"name": "A", "value": "2"}],
              "resources": {"limits": {"cpu": "0.5"}}}
    override = {"podProperties": {"containers": [change], "metadata": {"labels": {"b": "2"}}}}
    job = server.succeed(run(server, queue, definition, eksPropertiesOverride=override, parameters={"p": "x"}))
    assert (tmp_path / "out").read_text() == "2 x\n"
    pod = job["eksProperties"]["podProperties"]
    assert pod["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert pod["containers"][0]["resources"] == {"limits": {"cpu": "0.5", "memory": "64Mi"}}
    with refused("no container other to override"):
        run(server, queue, definition,
            eksPropertiesOverride={"podProperties": {"containers": [change | {"name": "other"}]}})
    with refused("can not run Jobs with capability EKS"):
        run(server, "default", definition)
