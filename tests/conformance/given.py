"""What there is before the tables are asked."""

import service
from server import ARN

from .case import EC2, EKS, FARGATE, MANAGED_INSTANCES
from .job_definitions import CONTAINER, ON_FARGATE

PROGRESSIVE = EC2 | {"allocationStrategy": "BEST_FIT_PROGRESSIVE"}
QUOTA = {"idleResourceAssignmentStrategy": "FIFO"}
OWN_ROLE = {"serviceRole": "arn:aws:iam::000000000000:role/own"}
ENVIRONMENTS = {
    **{name: {"computeResources": EC2} for name in ("ec2-a", "ec2-b", "ec2-c", "ec2-scales", "local-off")},
    "ec2-arm": {"computeResources": EC2 | {"instanceTypes": ["default_arm64"]}},
    "ec2-desired": {"computeResources": EC2 | {"desiredvCpus": 2}},
    "progressive": {"computeResources": PROGRESSIVE},
    "own-role": {"computeResources": PROGRESSIVE, **OWN_ROLE},
    "spot": {"computeResources": PROGRESSIVE | {"type": "SPOT"}},
    "fargate": {"computeResources": FARGATE},
    "fargate-own-role": {"computeResources": FARGATE, **OWN_ROLE},
    "eks": {"computeResources": PROGRESSIVE, "eksConfiguration": EKS},
    "managed": {"computeResources": MANAGED_INSTANCES},
    "unmanaged": {"type": "UNMANAGED", "unmanagedvCpus": 4, **OWN_ROLE},
    **{
        f"changes-{strategy}": {"computeResources": PROGRESSIVE}
        for strategy in (
            "BEST_FIT_PROGRESSIVE", "BEST_FIT_PROGRESSIVE_ORDERED", "SPOT_CAPACITY_OPTIMIZED",
            "SPOT_PRICE_CAPACITY_OPTIMIZED", "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED",
        )
    },
}


def make(server):
    """Makes everything that the requests of the tables name, and waits until it is VALID."""
    batch = server.batch
    for name, members in ENVIRONMENTS.items():
        batch.create_compute_environment(computeEnvironmentName=name, **({"type": "MANAGED"} | members))
    for name in ENVIRONMENTS:
        server.settled_environment(name)
    batch.create_scheduling_policy(name="fair", fairsharePolicy={"shareDistribution": [{"shareIdentifier": "a"}]})
    batch.create_scheduling_policy(name="quota", quotaSharePolicy=QUOTA)
    batch.create_consumable_resource(consumableResourceName="licences", totalQuantity=3)

    on = lambda name: [{"order": 1, "computeEnvironment": name}]  # noqa: E731
    server.create_queue("fargate", computeEnvironmentOrder=on("fargate"))
    server.create_queue("fair", schedulingPolicyArn=f"{ARN}scheduling-policy/fair")
    server.create_queue("off", computeEnvironmentOrder=on("local-off"), state="DISABLED")
    batch.update_compute_environment(computeEnvironment="local-off", state="DISABLED")
    server.settled_environment("local-off")
    service.create_queue(server, "training", {"NUM_INSTANCES": 2})
    service.create_queue(server, "spare", {"NUM_INSTANCES": 1})
    service.create_queue(server, "shared", {"ml.m5.large": 4}, quotaSharePolicy=QUOTA)
    service.create_queue(server, "fair-training", {"NUM_INSTANCES": 1}, fairsharePolicy={})

    server.define("plain")
    server.define("refs", ["Ref::missing"])
    batch.deregister_job_definition(jobDefinition=server.define("gone"))
    batch.register_job_definition(
        jobDefinitionName="on-fargate", type="container", platformCapabilities=["FARGATE"], containerProperties=ON_FARGATE
    )
    for name, ranges in {"nodes": ["0:", "1:2"], "closed-nodes": ["0:2"]}.items():
        ranges = [{"targetNodes": target, "container": CONTAINER} for target in ranges]
        properties = {"numNodes": 3, "mainNode": 0, "nodeRangeProperties": ranges}
        batch.register_job_definition(jobDefinitionName=name, type="multinode", nodeProperties=properties)
