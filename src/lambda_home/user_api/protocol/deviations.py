"""Where AWS Lambda differs from the model that botocore ships: one table an aspect, with reasons.

Unless an entry says otherwise its source is an answer recorded on AWS; the model is botocore's
`lambda/2015-03-31`. An entry is dropped once the model says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_REGION = r"(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}"

# Values of `Runtime` that CreateFunction, UpdateFunctionConfiguration and PublishLayerVersion name
# when they refuse one, in AWS's order.
RUNTIMES: Final = _words(
    "nodejs20.x python3.14 provided.al2023 python3.12 python3.13 nodejs24.x nodejs22.x java25"
    " python3.10 python3.11 java21 ruby3.3 ruby3.4 ruby3.2 python3.8 python3.9 java17 nodejs16.x"
    " dotnet10 dotnet8 java11 dotnet6 nodejs18.x provided.al2 java8.al2"
)

# ListLayers and ListLayerVersions know a wider set, with values that exist nowhere else.
LISTED_ONLY_RUNTIMES: Final = frozenset(
    _words("ruby3.5 ruby2.6 nasa python2.7-greengrass go1.9 byol nodejs8.x nodejs8.9 python3.4")
)
_LISTED_RUNTIMES: Final = _words(
    "ruby3.5 ruby2.6 dotnetcore1.0 python3.7 nodejs8.10 nasa ruby2.7 python2.7-greengrass"
    " dotnetcore2.0 python3.8 java21 dotnet6 dotnetcore2.1 python3.9 java11 nodejs6.10 provided"
    " dotnetcore3.1 dotnet8 java25 java17 nodejs nodejs4.3 java8.al2 go1.x dotnet10 nodejs20.x"
    " go1.9 byol nodejs10.x provided.al2023 nodejs22.x python3.10 java8 nodejs12.x python3.11"
    " nodejs24.x nodejs8.x python3.12 nodejs14.x nodejs8.9 nodejs26.x python3.13 python3.14"
    " nodejs16.x python3.15 provided.al2 nodejs4.3-edge nodejs18.x ruby3.2 python3.4 ruby3.3"
    " ruby3.4 ruby2.5 python3.6 python2.7"
)

# Enum values as AWS prints them; its order is a hash table's, not the model's. Values of the model
# that are missing here are accepted all the same.
ENUM_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "EventSourcePosition": ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"),
    "InvokeMode": ("RESPONSE_STREAM", "BUFFERED"),
    "RecursiveLoop": ("Terminate", "Allow"),
    "Runtime": _LISTED_RUNTIMES,
}

PATTERNS: Final[Mapping[str, str]] = {
    # AWS has layers here, and no limit on a capacity provider's name.
    "TaggableResource": (
        rf"arn:(aws[a-zA-Z-]*):lambda:{_REGION}:\d{{12}}:"
        r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)"
        r"|code-signing-config:csc-[a-z0-9]{17}"
        r"|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}"
        r"-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)"
    ),
    # Ours takes every version here, not only those of managed instances.
    "PublishedFunctionQualifier": r"(\$LATEST(\.PUBLISHED)?|[0-9]+)",
    # The model has one more pair of parentheses around the two alternatives.
    "LayerVersionArn": (
        rf"(arn:(aws[a-zA-Z-]*)?:lambda:{_REGION}:\d{{12}}:layer:[a-zA-Z0-9-_]+:[0-9]+)"
        r"|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
    ),
}

# Limits of functions that run in environments of their own; the model's larger ones are for managed
# instances. Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAXIMA: Final[Mapping[str, int]] = {
    "EphemeralStorageSize": 10_240,
    "Timeout": 900,
}

# Element shapes of lists for which AWS does not add `Member must not be null`.
# Nulls among them name nothing, and are left out where a request is read.
NULLABLE_ELEMENTS: Final = frozenset({"SubnetId", "SecurityGroupId"})

# A list whose elements AWS checks as if they were the member itself: no `[...]` around the text.
# The text names the runtimes for functions, yet AWS takes deprecated ones for a layer too.
UNWRAPPED_LISTS: Final[Mapping[str, str]] = {
    "CompatibleRuntimes": f"Member must satisfy enum value set: [{', '.join(RUNTIMES)}]",
}

# Members whose violations AWS reports in another order than the model has them today.
MEMBER_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "PublishLayerVersionRequest": (
        "LayerName",
        "Description",
        "Content",
        "CompatibleRuntimes",
        "LicenseInfo",
        "CompatibleArchitectures",
    ),
}

# AWS reports `qualifier` before `functionName` where both are wrong (GetFunction, Invoke): members
# of the query string come before members of the path.
LOCATION_ORDER: Final[Mapping[str, int]] = {"querystring": 0, "header": 0, "uri": 1}

# Members that AWS checks later and with a text of its own (see `validation`).
CHECKED_LATER: Final = frozenset(
    {("CreateFunctionRequest", "Runtime"), ("UpdateFunctionConfigurationRequest", "Runtime")}
)

# `Value X at 'runtime'` is followed by this; an ARN names a runtime of one's own.
RUNTIME_CONSTRAINT: Final = (
    f"Member must satisfy enum value set: [{', '.join(RUNTIMES)}] or be a valid ARN"
)
RUNTIME_ARN_PREFIX: Final = "arn:"

# The model lets a function name be as long as an ARN; the name itself has this limit, on create
# only, and AWS answers InvalidParameterValueException for it.
FUNCTION_NAME_LIMIT: Final = 64

# The model says 200.
STATUSES: Final[Mapping[str, int]] = {"DeleteFunction": 204}
