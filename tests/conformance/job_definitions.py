"""Source: AWS Batch API reference, RegisterJobDefinition and its types; AWS Batch User Guide, Job definition parameters."""

from .case import OBSERVED, OWN, Case, patched

PARAMETERS = "AWS Batch User Guide, Job definition parameters"
ROLE = "arn:aws:iam::000000000000:role/execution"


def needs(vcpus="1", memory="64", *others):
    pairs = [("VCPU", vcpus), ("MEMORY", memory), *others]
    return [{"type": kind, "value": value} for kind, value in pairs if value is not None]


CONTAINER = {"image": "host", "command": ["true"], "resourceRequirements": needs()}
ON_FARGATE = CONTAINER | {"resourceRequirements": needs("0.25", "512"), "executionRoleArn": ROLE}
TASK_CONTAINER = CONTAINER | {"name": "main"}
POD_CONTAINER = {"image": "host", "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}


def register(text, source=OBSERVED, fault="", **members):
    whole = {"jobDefinitionName": "refused", "type": "container"}
    return Case("RegisterJobDefinition", patched(whole, members), text, source, fault)


def container(text, source=OBSERVED, fault="", members=None, **changes):
    return register(text, source, fault, containerProperties=patched(CONTAINER, changes), **(members or {}))


def fargate(text, source=OBSERVED, fault="", **changes):
    properties = patched(ON_FARGATE, changes)
    return register(text, source, fault, containerProperties=properties, platformCapabilities=["FARGATE"])


def task(text, *containers, source=OBSERVED, fault="", members=None, **changes):
    """A task of these containers, each given as changes to one that is good."""
    containers = [patched(TASK_CONTAINER, changes) for changes in containers or ({},)]
    properties = {"taskProperties": [{"containers": containers} | changes]}
    return register(text, source, fault, ecsProperties=properties, **(members or {}))


def nodes(text, *ranges, source=OBSERVED, fault="", members=None, **changes):
    ranges = [patched({"targetNodes": "0:", "container": CONTAINER}, changes) for changes in ranges or ({},)]
    properties = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges} | changes
    return register(text, source, fault, type="multinode", nodeProperties=properties, **(members or {}))


def pod(text, *containers, source=OBSERVED, fault="", members=None, **changes):
    containers = [patched(POD_CONTAINER, changes) for changes in containers or ({},)]
    properties = {"podProperties": {"containers": containers} | changes}
    return register(text, source, fault, eksProperties=properties, **(members or {}))


def retry(text, *rules, source=OBSERVED, **strategy):
    rules = [{"action": "RETRY"} | rule for rule in rules]
    strategy = {"attempts": 2, "evaluateOnExit": rules} | strategy
    return container(text, source, members={"retryStrategy": patched(strategy, {})})


def volume(text, source=OBSERVED, changes=None, make=container, **kinds):
    return make(text, source, volumes=[{"name": "v", **kinds}], **(changes or {}))


def depends(condition, on="other"):
    return [{"containerName": on, "condition": condition}]


EFS = {"fileSystemId": "fs-0123"}
S3 = {"fileSystemArn": "arn:aws:s3files:us-east-1:000000000000:file-system/f"}
LINUX = {
    "devices": [{"hostPath": "/dev/x"}], "sharedMemorySize": 1, "tmpfs": [{"containerPath": "/x", "size": 1}],
    "swappiness": 1,
}
RESERVED = "cannot contain terms from the Kubernetes reserved namespaces."
RESTRICTED = "Evaluate on exit condition contains restricted characters."
TARGET = "The container target of a dependency can not have condition {} if the target is essential"

SIZES = {  # AWS Batch API reference, ResourceRequirement: memory in MiB by vCPUs
    "0.25": [512, 1024, 2048], "0.5": [1024, 2048, 3072, 4096], "1": [2048, 8192], "2": [4096, 16384],
    "4": [8192, 30720], "8": [16384, 61440], "16": [32768, 122880], "32": [61440, 122880, 249856],
}
WRONG_SIZES = [("0.25", 4096), ("0.5", 512), ("1", 1024), ("1", 9216), ("3", 8192), ("8", 17408), ("16", 36864)]

CASES = [
    register("Job Definition name should match a valid pattern.", OWN, jobDefinitionName="a:b"),
    register("Container properties of container job is required.", OWN),

    # What a container needs.
    container("Container image is required.", OWN, image=None),
    container("vCPU is required.", resourceRequirements=needs(None)),
    container("vCPU is required.", resourceRequirements=None),
    container("vCPU must be at least 1, got 0.", resourceRequirements=needs("0")),
    container("vCPU must be at least 1, got 0.5.", resourceRequirements=needs("0.5")),
    container("vCPU must be at least 1, got 0.", resourceRequirements=None, vcpus=0, memory=64),
    container("Memory must be at least 4 Mib, got 3 Mib.", resourceRequirements=needs("1", "3")),
    container("Memory must be at least 4 Mib, got 0 Mib.", resourceRequirements=None, vcpus=1, memory=0),
    container("Memory is required.", OWN, resourceRequirements=needs("1", None)),
    container(
        "Cannot provide duplicates in resourceRequirements.", resourceRequirements=needs("1", "64", ("VCPU", "2"))
    ),
    *[
        container(
            f"Value {value} for type GPU in resourceRequirement is not valid. Please provide a numeric value.",
            resourceRequirements=needs("1", "64", ("GPU", value)),
        )
        for value in ("one", "1.5", "-1")
    ],
    container("Environment variable name is required.", environment=[{"value": "x"}]),
    container("Environment variable name is required.", environment=[{"name": "", "value": "x"}]),
    container(
        "Environment variable names must not begin with AWS_BATCH, which is reserved: AWS_BATCH_X.", OWN,
        environment=[{"name": "AWS_BATCH_X", "value": "x"}],
    ),
    *[container(f"User '{user}' does not match regex", user=user) for user in ("Root", "-x", "x" * 32, "a b")],
    container(
        "When container specified swap memory, swappiness value is required.", linuxParameters={"maxSwap": 1}
    ),
    container("swappiness must be between 0 and 100.", OWN, linuxParameters={"swappiness": 101}),
    container("networkConfiguration not applicable for EC2.", networkConfiguration={"assignPublicIp": "ENABLED"}),
    container(
        "fargatePlatformConfiguration not applicable for EC2.",
        fargatePlatformConfiguration={"platformVersion": "LATEST"},
    ),

    # Retry and timeout. Source: AWS Batch API reference, RetryStrategy, EvaluateOnExit, JobTimeout.
    retry("RetryAttempts must be provided with retry strategy.", {"onReason": "*"}, attempts=None),
    *[retry("RetryAttempts must be between 1 and 10.", source=OWN, attempts=attempts) for attempts in (0, 11)],
    retry("EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason", {}),
    retry("Evaluate on exit condition cannot exceed 512 characters.", {"onReason": "x" * 513}),
    *[
        retry(RESTRICTED, {member: pattern})
        for member in ("onReason", "onStatusReason") for pattern in ("*x", "*x*", "a*b", "x-y", "a(b)", "a/b")
    ],
    *[retry(RESTRICTED, {"onExitCode": pattern}) for pattern in ("x", "1.", "*1", "-1")],
    retry("EvaluateOnExit can have at most 5 conditions.", *[{"onReason": "*"}] * 6, source=OWN),
    container("attemptDurationSeconds must be at least 60 seconds.", OWN,
              members={"timeout": {"attemptDurationSeconds": 59}}),
    container("Scheduling priority must be between 0 and 9999.", OWN, members={"schedulingPriority": 10_000}),

    # Fargate.
    fargate("GPU is not applicable for Fargate.", resourceRequirements=needs("0.25", "512", ("GPU", "1"))),
    fargate("executionRoleArn is required for Fargate.", OWN, executionRoleArn=None),
    fargate("privileged is not applicable for Fargate.", OWN, privileged=True),
    fargate(
        "ulimits is not applicable for Fargate.", ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}]
    ),
    *[
        fargate(f"linuxParameter.{member} is not allowed for Fargate.", linuxParameters={member: value})
        for member, value in LINUX.items()
    ],
    fargate("linuxParameter.maxSwap is not allowed for Fargate.", linuxParameters={"maxSwap": 1}),
    fargate("Log driver for Fargate is not valid: journald", logConfiguration={"logDriver": "journald"}),
    *[
        fargate(
            "Ephemeral storage for Fargate tasks can be only between range 21 GiB to 200 GiB",
            ephemeralStorage={"sizeInGiB": size},
        )
        for size in (20, 201)
    ],
    *[
        fargate(f"Fargate resource requirements ({vcpus} vCPU, {memory} MiB) not valid.", OWN,
                resourceRequirements=needs(vcpus, str(memory)))
        for vcpus, memory in WRONG_SIZES
    ],

    # Volumes. Source: AWS Batch API reference, Volume.
    volume("host.sourcePath should not be set for volumes in Fargate.", host={"sourcePath": "/x"}, make=fargate),
    volume(
        "EFS is supported for Fargate platform versions 1.4.0 or later, provided 1.3.0", make=fargate,
        efsVolumeConfiguration=EFS, changes={"fargatePlatformConfiguration": {"platformVersion": "1.3.0"}},
    ),
    volume("EFS configuration fileSystemId is not valid: x.", efsVolumeConfiguration={"fileSystemId": "x"}),
    volume(
        "When the volume parameter is specified, only one volume configuration type should be used.",
        host={}, efsVolumeConfiguration=EFS,
    ),
    volume(
        "A jobRoleArn/taskRoleArn is required when using s3filesVolumeConfiguration.", s3filesVolumeConfiguration=S3
    ),
    *[
        volume("EFS transitEncryption must be ENABLED for IAM authorization and access points.", OWN,
               efsVolumeConfiguration=EFS | {"authorizationConfig": authorization})
        for authorization in ({"iam": "ENABLED"}, {"accessPointId": "fsap-1"})
    ],
    volume(
        "EFS rootDirectory must be / or absent with an access point.", OWN,
        efsVolumeConfiguration=EFS | {
            "authorizationConfig": {"accessPointId": "fsap-1"}, "transitEncryption": "ENABLED", "rootDirectory": "/a"
        },
    ),
    container("sourceVolume 'x' of a mount point must name a volume.", OWN,
              mountPoints=[{"containerPath": "/x", "sourceVolume": "x"}]),

    # Tasks of several containers. Source: AWS Batch API reference, EcsTaskProperties.
    task("Cannot use both ECS containerProperties and ecsProperties", members={"containerProperties": CONTAINER}),
    task("Number of containers must be between 1 and 10", *[{"name": f"c{n}"} for n in range(11)]),
    task("Number of containers must be between 1 and 10", containers=[]),
    task("At least one container must be set as essential", {"essential": False}),
    task("Container dependency can not be used in a single-container job.", {"dependsOn": depends("START")}),
    task("containerName other must reference a defined container.", {"dependsOn": depends("START")}, {"name": "b"}),
    task(
        "TaskContainer dependency END is not valid. Valid values are: [START, COMPLETE, SUCCESS]",
        {"dependsOn": depends("END")}, {"name": "other"},
    ),
    *[
        task(TARGET.format(condition), {"dependsOn": depends(condition)}, {"name": "other"})
        for condition in ("COMPLETE", "SUCCESS")
    ],
    task(
        "When a firelensConfiguration object is specified, at least one container has to run as root",
        {"user": "nobody", "firelensConfiguration": {"type": "fluentd"}},
    ),
    task("ipcMode shared is not valid. Valid values are: [host, task, none]", ipcMode="shared"),
    task("Capability none is not valid. Valid capabilities: [host, task]", pidMode="none"),
    task("The container name: main must be unique in multi-container job.", {}, {}),
    task("vCPU is required.", {"resourceRequirements": needs(None)}),
    task("vCPU must be at least 1, got 0.5.", {"resourceRequirements": needs("0.5")}),
    task("Memory must be at least 4 Mib, got 3 Mib.", {"resourceRequirements": needs("1", "3")}),

    # Managed instances.
    container(
        "Cannot use ECS containerProperties for MANAGED_INSTANCES",
        members={"platformCapabilities": ["MANAGED_INSTANCES"]},
    ),
    nodes("MANAGED_INSTANCES does not support MNP jobs", members={"platformCapabilities": ["MANAGED_INSTANCES"]}),
    task(
        "runtimePlatform for MANAGED_INSTANCES only supports LINUX operating system family.",
        members={"platformCapabilities": ["MANAGED_INSTANCES"]},
        runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"},
    ),
    task("networkMode can only be host, and only for MANAGED_INSTANCES.", source=OWN, networkMode="host"),

    # Multi-node parallel jobs. Source: AWS Batch API reference, NodeProperties.
    register("Node properties of multinode job is required.", type="multinode"),
    register("Node properties of multinode job is required.", type="multinode", containerProperties=CONTAINER),
    nodes("Maximum allowed size of node range properties is 5", *[{"targetNodes": "0:"}] * 6),
    *[nodes("Number of nodes must be between 1 and 1000.", numNodes=count) for count in (0, 1001)],
    *[
        nodes("Main node index is out of range, must be less than numNodes.", mainNode=node) for node in (2, -1)
    ],
    *[nodes("targetNodes should contain only digits.", {"targetNodes": target}) for target in ("a", "0:b", "-1:")],
    nodes("Must specify container for node range 0:", {"container": None}),
    nodes(
        "NodeRangeProperties can not use both ecsProperties and container fields",
        {"ecsProperties": {"taskProperties": [{"containers": [TASK_CONTAINER]}]}},
    ),
    nodes(
        "Using instanceTypes with nodeRangeProperty is only allowed for ecsProperties jobs.",
        {"instanceTypes": ["m5.large"]},
    ),
    nodes("Node ranges must cover all nodes: node 1 is in none of them.", {"targetNodes": "0:0"}, source=OWN),
    nodes("vCPU is required.", {"container": CONTAINER | {"resourceRequirements": needs(None)}}),

    # Pods. Source: AWS Batch API reference, EksPodProperties.
    pod("Batch on EKS does not support tag propagation.", members={"propagateTags": True}),
    pod(
        "memory request must be equal to memory limit if both are provided.",
        {"resources": {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"memory": "32Mi"}}},
    ),
    *[
        pod(f"The container name: {shown} must be unique in multi-container job.", {"name": name}, {"name": name})
        for name, shown in (("a", "a"), (None, "Default"))
    ],
    pod("Unsupported image pull policy value.", {"imagePullPolicy": "Sometimes"}),
    pod("Unsupported DNS policy value.", dnsPolicy="None"),
    *[
        pod("Invalid empty dir size limit.", volumes=[{"name": "v", "emptyDir": {"sizeLimit": size}}])
        for size in ("1Gi", "x", "1.5Mi")
    ],
    pod(
        "When the volume parameter is specified, only one volume configuration type should be used.",
        volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}],
    ),
    *[
        pod(f"The name {key} of the pod label key does not match a valid pattern.", metadata={"labels": {key: "x"}})
        for key in ("-a", "a b", "x" * 64)
    ],
    *[
        pod(f"The prefix {prefix} of the pod {kind} key {RESERVED}", metadata={f"{kind}s": {f"{prefix}/a": "x"}})
        for kind in ("label", "annotation") for prefix in ("kubernetes.io", "k8s.io", "app.kubernetes.io")
    ],
    pod("kubernetesNamespace cannot be a reserved Kubernetes system namespace.", metadata={"namespace": "kube-x"}),
    pod("Number of containers must be between 1 and 10", *[{"name": f"c{n}"} for n in range(11)]),
    pod("cpu of a container must be a multiple of 0.25, got 100m.",
        {"resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}}, source=OWN),
    pod("memory of a container must be a whole number of MiB, such as 64Mi, got 1Gi.",
        {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, source=OWN),

    *[
        Case("DeregisterJobDefinition", {"jobDefinition": "plain"},
             "A job definition is deregistered by revision: give name:revision or its ARN.", OWN)
    ],

    # What is good.
    *[
        fargate(None, "AWS Batch API reference, ResourceRequirement", resourceRequirements=needs(vcpus, str(memory)))
        for vcpus, sizes in SIZES.items() for memory in sizes
    ],
    *[
        container(None, "AWS Batch API reference, LogConfiguration", logConfiguration={"logDriver": driver})
        for driver in ("json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens")
    ],
    *[fargate(None, PARAMETERS, logConfiguration={"logDriver": driver}) for driver in ("awslogs", "splunk")],
    *[
        fargate(None, PARAMETERS, networkConfiguration={"assignPublicIp": value},
                ephemeralStorage={"sizeInGiB": size}, fargatePlatformConfiguration={"platformVersion": "LATEST"})
        for value, size in (("ENABLED", 21), ("DISABLED", 200))
    ],
    container(
        None, PARAMETERS, user="nobody", volumes=[{"name": "v", "host": {"sourcePath": "/x"}}],
        mountPoints=[{"sourceVolume": "v", "containerPath": "/x"}],
        ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
        linuxParameters=LINUX | {
            "maxSwap": 0, "devices": [{"hostPath": "/dev/x", "permissions": ["READ", "WRITE", "MKNOD"]}]
        },
    ),
    *[
        volume(None, "AWS Batch API reference, EFSVolumeConfiguration", efsVolumeConfiguration=EFS | more)
        for more in (
            {"transitEncryption": "DISABLED", "authorizationConfig": {"iam": "DISABLED"}},
            {"transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED", "accessPointId": "fsap-1"}},
        )
    ],
    volume(None, "AWS Batch API reference, S3FilesVolumeConfiguration", s3filesVolumeConfiguration=S3,
           changes={"jobRoleArn": ROLE}),
    *[
        task(None, {"firelensConfiguration": {"type": kind}, "name": "log"},
             {"dependsOn": depends("START", "log"), "logConfiguration": {"logDriver": "awsfirelens"}},
             source="AWS Batch API reference, FirelensConfiguration", ipcMode="task", pidMode="host")
        for kind in ("fluentd", "fluentbit")
    ],
    task(None, source=PARAMETERS, members={"platformCapabilities": ["MANAGED_INSTANCES"]}, networkMode="host"),
    *[
        task(None, {"dependsOn": depends(condition)}, {"name": "other", "essential": False}, source=PARAMETERS)
        for condition in ("START", "COMPLETE", "SUCCESS")
    ],
    *[
        nodes(None, *[{"targetNodes": target} for target in targets], source=PARAMETERS, numNodes=11)
        for targets in (["0:10"], ["0:"], [":10"], [":5", "6:"], ["0:10", "4:5"], ["0", "1:10"])
    ],
    pod(
        None, {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}},
        source="AWS Batch API reference, EksPodProperties", dnsPolicy="ClusterFirst",
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 1},
        volumes=[{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
        metadata={"labels": {"example.com/a": "b"}, "annotations": {"c": "d"}, "namespace": "batch"},
    ),
    pod(None, source="AWS Batch API reference, EksPodProperties",
        securityContext={"seccompProfile": {"type": "Unconfined"}}),
    *[
        retry(None, {member: pattern, "action": action}, source="AWS Batch API reference, EvaluateOnExit")
        for member, pattern in [
            ("onExitCode", "1*"), ("onExitCode", "137"), ("onReason", "CannotPullContainerError:*"),
            ("onStatusReason", "Host EC2*"), ("onReason", "*"), ("onReason", "x" * 512),
        ]
        for action in ("RETRY", "EXIT", "Retry")
    ],
]
