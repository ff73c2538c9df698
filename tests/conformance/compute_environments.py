"""Source: AWS Batch API reference, ComputeResource, EksConfiguration and UpdateComputeEnvironment."""

import json
import pathlib

from server import ARN

from .case import EC2, EKS, FARGATE, MANAGED_INSTANCES, OWN, Case, patched

REFERENCE = "AWS Batch API reference, ComputeResource"
SPOT = EC2 | {"type": "SPOT", "allocationStrategy": "SPOT_CAPACITY_OPTIMIZED"}
ON_EKS = EC2 | {"allocationStrategy": "BEST_FIT_PROGRESSIVE"}
SELECTOR = "One of LaunchTemplateId and LaunchTemplateName or LaunchTemplate.overrides should be provided"
STRATEGIES = {
    "EC2": ["BEST_FIT", "BEST_FIT_PROGRESSIVE", "BEST_FIT_PROGRESSIVE_ORDERED"],
    "SPOT": [
        "BEST_FIT", "BEST_FIT_PROGRESSIVE", "SPOT_CAPACITY_OPTIMIZED", "SPOT_PRICE_CAPACITY_OPTIMIZED",
        "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED",
    ],
}
TYPES = pathlib.Path(__file__).parents[2] / "model" / "ec2" / "instance-types.jsonl"
GROUPS = ["optimal", "default_x86_64", "default_arm64"]
EVERY_STRATEGY = sorted({*STRATEGIES["EC2"], *STRATEGIES["SPOT"]})
INAPPLICABLE_FOR_FARGATE = {
    "allocationStrategy": "BEST_FIT", "bidPercentage": 50, "desiredvCpus": 1,
    "ec2Configuration": [{"imageType": "ECS_AL2"}], "ec2KeyPair": "k", "imageId": "ami-1", "instanceRole": "r",
    "instanceTypes": ["m5.large"], "launchTemplate": {"launchTemplateId": "lt-1"}, "minvCpus": 0,
    "placementGroup": "g", "spotIamFleetRole": "r", "tags": {"a": "b"},
}


def create(text, base=EC2, source="observed error text", fault="", request=None, **changes):
    whole = {"computeEnvironmentName": "refused", "type": "MANAGED", "computeResources": patched(base, changes)}
    return Case("CreateComputeEnvironment", patched(whole, request or {}), text, source, fault)


def eks(text, base=ON_EKS, source="observed error text", fault="", cluster=None, **changes):
    request = {"eksConfiguration": EKS | (cluster or {})}
    return create(text, base, source, fault, request, **changes)


def update(name, text, source=OWN, **members):
    return Case("UpdateComputeEnvironment", {"computeEnvironment": name, **members}, text, source)


def accepted(name, base=EC2, request=None, **changes):
    return create(None, base, REFERENCE, request={"computeEnvironmentName": name, **(request or {})}, **changes)


def configured(family):
    """The four types of images of a family, two at a time."""
    types = [f"{family}_{system}{gpu}" for system in ("AL2", "AL2023") for gpu in ("", "_NVIDIA")]
    return [[{"imageType": name} for name in types[:2]], [{"imageType": name} for name in types[2:]]]


def offered():
    """All that `instanceTypes` may hold."""
    types = [json.loads(line) for line in TYPES.read_text().splitlines()]
    return [*GROUPS, *sorted({one[member] for one in types for member in ("name", "family")})]


CASES = [
    create("Compute Environment name should match a valid pattern.", source=OWN, request={"computeEnvironmentName": "-a"}),
    create("Compute Environment must be created in ENABLED state.", request={"state": "DISABLED"}),
    create("ServiceRole is required.", request={"type": "UNMANAGED", "computeResources": None}),
    create(
        "computeResources must be specified when creating a MANAGED environment",
        source=OWN, request={"computeResources": None},
    ),
    create(
        "unmanagedvCpus is only applicable for UNMANAGED compute environments.", source=OWN,
        request={"unmanagedvCpus": 1},
    ),
    create("Instance role is required.", instanceRole=None),
    create("Resource minvCpus is required.", minvCpus=None),
    create("minvCpus should be greater than or equal to 0.", minvCpus=-1),
    create("minvCpus should be less than or equal to maxvCpus.", source=OWN, minvCpus=9),
    create("desiredvCpus should be between minvCpus and maxvCpus.", source=OWN, desiredvCpus=9),
    create("Resource instanceTypes are required.", instanceTypes=None),
    create("Resource instanceTypes are required.", instanceTypes=[]),
    create("Security group ids are required.", securityGroupIds=None),
    create("Security group ids are required.", FARGATE, securityGroupIds=None),
    create("compute resource spotIamFleetRole is required.", type="SPOT"),
    create("compute resource spotIamFleetRole is required.", type="SPOT", allocationStrategy="BEST_FIT"),
    create(SELECTOR, launchTemplate={"version": "1"}),
    create(SELECTOR, launchTemplate={"launchTemplateId": "lt-1", "launchTemplateName": "t"}),
    create("Invalid imageType in ComputeResources.ec2Configuration", ec2Configuration=[{"imageType": "ECS_AL1"}]),
    create("Invalid imageType in ComputeResources.ec2Configuration", ec2Configuration=[{"imageType": "EKS_AL2"}]),
    create(
        "ec2Configuration can have at most 2 entries.", source=OWN, ec2Configuration=[{"imageType": "ECS_AL2"}] * 3
    ),
    create(
        "minScaleDownDelayMinutes must be between 20 and 10080, or 0 for none.", source=OWN,
        scalingPolicy={"minScaleDownDelayMinutes": 10_081},
    ),
    create(
        "launchTemplate.overrides can have at most 10 entries.", source=OWN,
        launchTemplate={"overrides": [{"launchTemplateId": "lt-1", "targetInstanceTypes": ["m5"]}] * 11},
    ),
    create(
        "targetInstanceTypes: optimal must be among the instanceTypes of the compute environment, and not a group of "
        "types.",
        source=OWN,
        launchTemplate={"overrides": [{"launchTemplateId": "lt-1", "targetInstanceTypes": ["optimal"]}]},
    ),
    create("Fargate supports a maximum of 5 security groups.", FARGATE, securityGroupIds=["sg"] * 6),
    create("Fargate supports a maximum of 16 subnets.", FARGATE, subnets=["subnet"] * 17),
    *[
        create(f"{member} is not applicable for Fargate.", FARGATE, **{member: value})
        for member, value in INAPPLICABLE_FOR_FARGATE.items()
    ],
    create(
        "managedInstancesProvider is required for ECS_MANAGED_INSTANCES.", MANAGED_INSTANCES, source=OWN,
        managedInstancesProvider=None,
    ),
    create(
        "managedInstancesProvider is only applicable for ECS_MANAGED_INSTANCES.", source=OWN,
        managedInstancesProvider=MANAGED_INSTANCES["managedInstancesProvider"],
    ),
    create("capacityTags is only applicable for ECS_MANAGED_INSTANCES.", source=OWN, capacityTags={"a": "b"}),
    create(
        "allocationStrategy is not applicable for ECS_MANAGED_INSTANCES.", MANAGED_INSTANCES, source=OWN,
        allocationStrategy="BEST_FIT",
    ),
    *[
        create(
            f"allocationStrategy {strategy} is only applicable for {'SPOT' if type == 'EC2' else 'EC2'}.", source=OWN,
            type=type, spotIamFleetRole="r", allocationStrategy=strategy,
        )
        for type, allowed in STRATEGIES.items() for strategy in EVERY_STRATEGY if strategy not in allowed
    ],
    *[
        create(
            f"Instance type can only be one of [{', '.join(offered())}], not {unknown}.", source=OWN,
            instanceTypes=["m5.large", unknown],
        )
        for unknown in ("m5.huge", "p8.84xlarge", "Optimal")
    ],
    *[accepted(f"newer-{n}", instanceTypes=types) for n, types in enumerate((["m5", "m10i"], ["c8g.112xlarge"]))],
    *[
        create("All instanceTypes must have the same architecture.", source=OWN, instanceTypes=types)
        for types in (["m6g", "m6i"], ["default_arm64", "optimal"], ["a1.large", "c5"], ["c7gn.large", "g4dn.xlarge"])
    ],
    eks("allocationStrategy is required for EKS Compute Environments.", allocationStrategy=None),
    eks(
        "Supported compute types for EKS compute environments are [EC2, SPOT]",
        FARGATE | {"allocationStrategy": "BEST_FIT_PROGRESSIVE"},
    ),
    eks("Supported compute types for EKS compute environments are [EC2, SPOT]", type="FARGATE"),
    eks("Invalid imageType in ComputeResources.ec2Configuration", ec2Configuration=[{"imageType": "ECS_AL2"}]),
    *[
        eks(text, cluster={member: value})
        for member, value, text in [
            ("eksClusterArn", "c", "eksClusterArn must be an EKS cluster ARN."),
            ("eksClusterArn", f"{ARN}job-queue/q", "eksClusterArn must be an EKS cluster ARN."),
            (
                "eksClusterArn", EKS["eksClusterArn"].replace("us-east-1", "eu-west-1"),
                "eksClusterArn must be in the same AWS region as the compute environment",
            ),
            ("kubernetesNamespace", "default", "kubernetesNamespace cannot be the default Kubernetes namespace"),
            (
                "kubernetesNamespace", "kube-system",
                "kubernetesNamespace cannot be a reserved Kubernetes system namespace",
            ),
            ("kubernetesNamespace", "n" * 64, "kubernetesNamespace must less than or equal to 63 characters"),
            *[
                ("kubernetesNamespace", bad, "kubernetesNamespace must be a valid Kubernetes namespace.")
                for bad in ("Batch", "-a", "a-", "a_b")
            ],
        ]
    ],
    create(f"Object already exists: {ARN}compute-environment/ec2-a already exists",
           request={"computeEnvironmentName": "ec2-a"}),

    # What an update may change.
    update("nobody", f"{ARN}compute-environment/nobody does not exist", "observed error text", state="DISABLED"),
    update(
        "ec2-desired",
        "Manually scaling down compute environment is not supported. Disconnecting job queues from compute environment "
        "will cause it to scale-down to minvCpus.",
        "observed error text", computeResources={"desiredvCpus": 1},
    ),
    update("eks", "desiredvCpus is not applicable for EKS.", computeResources={"desiredvCpus": 1}),
    update("ec2-a", "eksConfiguration is not applicable for ECS.", eksConfiguration={}),
    *[
        update(
            name,
            "The type of a compute environment can only change between EC2 and SPOT, or FARGATE and FARGATE_SPOT.",
            computeResources={"type": type},
        )
        for name, type in [
            ("ec2-a", "ECS_MANAGED_INSTANCES"), ("managed", "EC2"), ("fargate", "SPOT"), ("ec2-a", "FARGATE_SPOT")
        ]
    ],
    update(
        "ec2-a", "serviceRole cannot change between the service-linked role and another role.",
        serviceRole="arn:aws:iam::000000000000:role/own",
    ),
    *[
        update(
            "ec2-a",
            "A compute environment with the allocation strategy BEST_FIT can only change its state, service role, vCPUs "
            "and scaling policy: create another one instead.",
            computeResources=change,
        )
        for change in [
            {"instanceTypes": ["m5.large"]}, {"allocationStrategy": "BEST_FIT_PROGRESSIVE"}, {"imageId": "ami-1"},
            {"updateToLatestImageVersion": True}, {"subnets": ["subnet-2"]}, {"tags": {"a": "b"}},
        ]
    ],
    update(
        "own-role",
        "Only a compute environment with the service-linked role can change more than its state, service role, vCPUs and "
        "scaling policy: create another one instead.",
        computeResources={"instanceTypes": ["m5.large"]},
    ),
    update(
        "ec2-a",
        "1 validation error detected: Value 'BEST_FIT' at 'computeResources.allocationStrategy' failed to satisfy "
        "constraint: Member must satisfy enum value set: [BEST_FIT_PROGRESSIVE, BEST_FIT_PROGRESSIVE_ORDERED, "
        "SPOT_CAPACITY_OPTIMIZED, SPOT_PRICE_CAPACITY_OPTIMIZED, SPOT_CAPACITY_OPTIMIZED_PRIORITIZED]",
        computeResources={"allocationStrategy": "BEST_FIT"},
    ),
    *[
        update(
            "progressive",
            f"1 validation error detected: Value '{minutes}' at 'updatePolicy.jobExecutionTimeoutMinutes' failed to "
            f"satisfy constraint: Member must have value {bound}",
            "AWS Batch API reference, UpdatePolicy", updatePolicy={"jobExecutionTimeoutMinutes": minutes},
        )
        for minutes, bound in [(0, "greater than or equal to 1"), (7201, "less than or equal to 7200")]
    ],
    Case("DeleteComputeEnvironment", {"computeEnvironment": "nobody"},
         f"{ARN}compute-environment/nobody does not exist"),
    Case("DeleteComputeEnvironment", {"computeEnvironment": "ec2-a"}, "Cannot delete, state must be DISABLED"),
    Case("DeleteComputeEnvironment", {"computeEnvironment": "local-off"},
         "Cannot delete, found existing JobQueue relationship"),

    # What is good.
    *[
        accepted(f"strategy-{type}-{strategy}", type=type, spotIamFleetRole="r", allocationStrategy=strategy)
        for type, allowed in STRATEGIES.items() for strategy in allowed
    ],
    *[
        accepted(f"image-{family}-{number}", ON_EKS if family == "EKS" else EC2, ec2Configuration=images,
                 request={"eksConfiguration": EKS | {"eksClusterArn": f"{EKS['eksClusterArn']}-images"}}
                 if family == "EKS" else {})
        for family in ("ECS", "EKS") for number, images in enumerate(configured(family))
    ],
    *[
        accepted(f"architecture-{number}", instanceTypes=types)
        for number, types in enumerate([["m6g", "c7gn.large", "default_arm64", "a1.large"],
                                        ["g4dn.xlarge", "p4de", "m7i-flex.large", "u-6tb1.metal", "optimal"]])
    ],
    accepted("fargate-spot", FARGATE, type="FARGATE_SPOT"),
    *[
        accepted(f"insights-{value}", request={"ecsSettings": {"containerInsights": value}})
        for value in ("ENABLED", "ENHANCED", "DISABLED")
    ],
    *[
        accepted(
            f"userdata-{value}", ON_EKS, launchTemplate={"launchTemplateId": "lt-1", "userdataType": value},
            request={"eksConfiguration": EKS | {"eksClusterArn": f"{EKS['eksClusterArn']}-userdata"}},
        )
        for value in ("EKS_BOOTSTRAP_SH", "EKS_NODEADM")
    ],
    *[
        accepted(
            f"entry-{value}", ON_EKS,
            request={"eksConfiguration": EKS | {
                "eksClusterArn": f"{EKS['eksClusterArn']}-entry", "accessEntry": {"desiredState": value}
            }},
        )
        for value in ("ENABLED", "DISABLED", "INHERIT_FROM_CLUSTER")
    ],
    *[
        update("changes-" + strategy, None, "AWS Batch API reference, ComputeResourceUpdate",
               computeResources={"allocationStrategy": strategy, "type": "SPOT" if "SPOT" in strategy else "EC2"})
        for strategy in EVERY_STRATEGY if strategy != "BEST_FIT"
    ],
    update("progressive", None, "AWS Batch API reference, UpdatePolicy",
           updatePolicy={"jobExecutionTimeoutMinutes": 7200, "terminateJobsOnUpdate": True}),
    update("ec2-scales", None, "AWS Batch User Guide, Updating a compute environment",
           computeResources={"minvCpus": 1, "maxvCpus": 16, "desiredvCpus": 2}),
    update("fargate-own-role", None, "AWS Batch User Guide, Updating a compute environment",
           computeResources={"maxvCpus": 16, "subnets": ["subnet-2"], "securityGroupIds": ["sg-2"]}),
]
