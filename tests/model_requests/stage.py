"""Resources for requests to name: each is made when it is first asked for.

A stage belongs to one test; what it makes has names of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore import xform_name
from functions_under_test import QUICK_WAITER, fresh_name
from live import ROLE
from model_requests.building import ARN, CODE, OTHER_CODE, SIGNING_PROFILE, full, minimal

ALIAS = "live"
BUCKET = "packages"
KEY = "function.zip"
QUEUE = "example"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the stage finds at other services."""

    subnet: str
    group: str
    object_version: str


def set_the_stage(clients: Any) -> Elsewhere:
    """Make what requests name at other services; `clients` gives a client for a service's name."""
    s3, ec2, sqs = clients("s3"), clients("ec2"), clients("sqs")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    stored = s3.put_object(Bucket=BUCKET, Key=KEY, Body=CODE)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="example", Description="example")
    sqs.create_queue(QueueName=QUEUE)
    clients("kinesis").create_stream(StreamName=QUEUE, ShardCount=1)
    return Elsewhere(subnet, group["GroupId"], stored["VersionId"])


class Stage:
    """Functions and all that belongs to them, at one server."""

    def __init__(self, client: Any, elsewhere: Elsewhere) -> None:
        self.client = client
        self.elsewhere = elsewhere
        self.name = fresh_name("model")

    def call(self, operation: str, request: dict[str, Any]) -> Any:
        """Call an operation by AWS's name for it."""
        return getattr(self.client, xform_name(operation))(**request)

    # ------------------------------------------------------------------------------- functions

    def new_function(self, name: str = "", **members: Any) -> str:
        """One more function."""
        name = name or fresh_name("model")
        request = minimal("CreateFunction", FunctionName=name, Role=ROLE, Code={"ZipFile": CODE})
        parts = {"Runtime": "python3.11", "Handler": "lambda_function.handler"}
        self.call("CreateFunction", {**request, **parts, **members})
        return name

    @cached_property
    def function(self) -> str:
        """A function with the version 1 and an alias for it."""
        self.new_function(self.name, Publish=True)
        self.client.create_alias(FunctionName=self.name, Name=ALIAS, FunctionVersion="1")
        return self.name

    @cached_property
    def second(self) -> str:
        """The version 2 of the function."""
        made = self.client.update_function_code(
            FunctionName=self.function, ZipFile=OTHER_CODE, Publish=True
        )
        return str(made["Version"])

    @cached_property
    def image(self) -> str:
        """A function whose code is a container image."""
        code = {"ImageUri": "registry.example/example:1"}
        request = minimal("CreateFunction", FunctionName=fresh_name("image"), Code=code)
        self.call("CreateFunction", {**request, "PackageType": "Image"})
        return str(request["FunctionName"])

    @cached_property
    def managed(self) -> str:
        """A function that runs on a capacity provider."""
        return self.new_function(MemorySize=2048, CapacityProviderConfig=self.capacity())

    @property
    def arn(self) -> str:
        """The ARN of the function."""
        return f"{ARN}:function:{self.function}"

    @property
    def revision(self) -> str:
        """The function's RevisionId."""
        self.client.get_waiter("function_updated_v2").wait(
            FunctionName=self.function, WaiterConfig=QUICK_WAITER
        )
        return str(self.client.get_function_configuration(FunctionName=self.function)["RevisionId"])

    @property
    def vpc(self) -> dict[str, Any]:
        """A VpcConfig of what exists."""
        return {
            "SubnetIds": [self.elsewhere.subnet],
            "SecurityGroupIds": [self.elsewhere.group],
        }

    # -------------------------------------------------------------------- what functions refer to

    @cached_property
    def layer(self) -> str:
        """A layer with two versions."""
        name = fresh_name("layer")
        for _ in range(2):
            request = full("PublishLayerVersion", LayerName=name, Content={"ZipFile": CODE})
            self.call("PublishLayerVersion", request)
        return name

    @property
    def layer_version(self) -> str:
        """The ARN of the layer's second version."""
        return f"{ARN}:layer:{self.layer}:2"

    def new_signing(self) -> str:
        """The ARN of one more code signing configuration, which only warns."""
        made = self.client.create_code_signing_config(
            AllowedPublishers={"SigningProfileVersionArns": [SIGNING_PROFILE]}
        )
        return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])

    @cached_property
    def signing(self) -> str:
        """The ARN of a code signing configuration."""
        return self.new_signing()

    def new_provider(self) -> str:
        """The name of one more capacity provider."""
        name = fresh_name("provider")
        request = minimal("CreateCapacityProvider", CapacityProviderName=name, VpcConfig=self.vpc)
        self.call("CreateCapacityProvider", request)
        return name

    @cached_property
    def provider(self) -> str:
        """The name of a capacity provider."""
        return self.new_provider()

    def capacity(self) -> dict[str, Any]:
        """A CapacityProviderConfig for a function."""
        arn = f"{ARN}:capacity-provider:{self.provider}"
        return {
            "LambdaManagedInstancesCapacityProviderConfig": {
                "CapacityProviderArn": arn,
                "PerExecutionEnvironmentMaxConcurrency": 10,
                "ExecutionEnvironmentMemoryGiBPerVCpu": 2.0,
            }
        }

    def new_mapping(self, **members: Any) -> str:
        """The UUID of one more event source mapping, of the queue that exists or as told."""
        source = {"EventSourceArn": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}"}
        made = self.client.create_event_source_mapping(
            FunctionName=self.function, Enabled=False, **{**source, **members}
        )
        return str(made["UUID"])

    @cached_property
    def mapping(self) -> str:
        """The UUID of an event source mapping."""
        return self.new_mapping()

    # ------------------------------------------------------------------------ settings and policies

    def permit(self, **members: Any) -> None:
        """Add a statement to the policy of the function."""
        request = minimal("AddPermission", FunctionName=self.function)
        self.call("AddPermission", {**request, **members})

    def permit_layer(self) -> str:
        """Add a statement to the policy of the layer's first version; its RevisionId."""
        request = minimal("AddLayerVersionPermission", LayerName=self.layer, VersionNumber=1)
        return str(self.call("AddLayerVersionPermission", request)["RevisionId"])

    def policy_revision(self, **qualifier: str) -> str:
        """The RevisionId of the policy of the function."""
        return str(self.client.get_policy(FunctionName=self.function, **qualifier)["RevisionId"])

    def marker(self, operation: str, **members: Any) -> str:
        """Where the second page of one item begins."""
        found = self.call(operation, {**minimal(operation), **members, "MaxItems": 1})
        return str(found["NextMarker"])
