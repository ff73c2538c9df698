"""What a table of requests is made of."""

import re
from typing import NamedTuple

OBSERVED = "observed error text"
OWN = "the rule is AWS Batch's, the words are Fornada's"
WRAPPED = re.compile(r"Error executing request, Exception : (?P<detail>.*), RequestId: [0-9a-f-]{36}", re.DOTALL)

EC2 = {
    "type": "EC2", "minvCpus": 0, "maxvCpus": 8, "instanceTypes": ["optimal"], "instanceRole": "r",
    "securityGroupIds": ["sg-1"], "subnets": ["subnet-1"],
}
FARGATE = {"type": "FARGATE", "maxvCpus": 8, "securityGroupIds": ["sg-1"], "subnets": ["subnet-1"]}
MANAGED_INSTANCES = {
    "type": "ECS_MANAGED_INSTANCES", "maxvCpus": 8,
    "managedInstancesProvider": {
        "infrastructureRoleArn": "arn:aws:iam::000000000000:role/infrastructure",
        "instanceLaunchTemplate": {
            "ec2InstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/p",
            "networkConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]},
        },
    },
}
EKS = {"eksClusterArn": "arn:aws:eks:us-east-1:000000000000:cluster/c", "kubernetesNamespace": "batch"}


class Case(NamedTuple):
    """A request, and the text with which it is refused, without the sentence around it; `None`: it is accepted."""

    operation: str
    request: dict
    text: str | None
    source: str = OBSERVED
    #: Why Fornada does not do so yet; the test fails as soon as it does.
    fault: str = ""

    def __str__(self):
        return f"{self.operation}-{self.text or 'accepted'}"[:90]


def detail(message):
    """A message without the sentence that AWS Batch puts around what its validation says."""
    found = WRAPPED.fullmatch(message)
    return found["detail"] if found else message


def patched(base, changes):
    """`changes` over `base`; `None` removes."""
    return {name: value for name, value in (base | changes).items() if value is not None}
