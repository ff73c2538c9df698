"""Source: Amazon CloudWatch Logs API reference, CreateLogGroup, DescribeLogGroups and DescribeLogStreams."""

from .case import Case

REFERENCE = "Amazon CloudWatch Logs API reference, {}"
CLASSES = ("STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS")


def accepted(operation, **request):
    return Case(operation, request, None, REFERENCE.format(operation))


CASES = [
    *[accepted("CreateLogGroup", logGroupName=f"/of/{name}", logGroupClass=name) for name in CLASSES],
    *[accepted("DescribeLogGroups", logGroupClass=name) for name in CLASSES],
    *[
        accepted("DescribeLogStreams", logGroupName="/of/STANDARD", orderBy=order)
        for order in ("LogStreamName", "LastEventTime")
    ],
]
