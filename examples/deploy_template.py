"""Deploy the Lambda functions of a CloudFormation template, as SAM, CDK and Serverless write them.

    sam build            && python deploy_template.py .aws-sam/build/template.yaml
    cdk synth            && python deploy_template.py cdk.out/Greetings.template.json
    serverless package   && python deploy_template.py \
                                .serverless/cloudformation-template-update-stack.json

AWS_ENDPOINT_URL and credentials lead to the server, as for every AWS tool. Only functions are
deployed: whatever else the template has is somebody else's. `--set NAME=VALUE` gives parameters,
and names of other resources that functions refer to.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml

ROLE = "arn:aws:iam::000000000000:role/lambda-home"
COPIED = ("Description", "EphemeralStorage", "Handler", "MemorySize", "Runtime", "Timeout")
KINDS = ("AWS::Lambda::Function", "AWS::Serverless::Function")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is `{"Ref": "X"}`."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


class Template:
    """A template in a file, with what its references stand for."""

    def __init__(self, path: Path, prefix: str, given: Mapping[str, str]) -> None:
        self.folder = path.parent
        self._document = yaml.load(path.read_text(), _Loader)  # a SafeLoader
        self._prefix = prefix
        parameters = self._document.get("Parameters", {}).items()
        self._known: dict[str, Any] = {
            **{name: body["Default"] for name, body in parameters if "Default" in body},
            "AWS::Region": boto3.Session().region_name or "us-east-1",
            "AWS::AccountId": "000000000000",
            "AWS::Partition": "aws",
            **{name: self.name_of(name) for name in self.functions()},
            **given,
        }

    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions by their logical names; Globals are merged in."""
        shared = self._document.get("Globals", {}).get("Function", {})
        found = {}
        for name, resource in self._document["Resources"].items():
            if resource["Type"] in KINDS:
                found[name] = {**resource, "Properties": {**shared, **resource["Properties"]}}
        return found

    def name_of(self, logical: str) -> str:
        """What a function is called."""
        name = self.functions()[logical]["Properties"].get("FunctionName")
        return name if isinstance(name, str) else f"{self._prefix}{logical}"

    def value(self, value: Any) -> str:
        """A value of an environment variable. Ends the program if it cannot be told."""
        if isinstance(value, dict):
            name = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
            if name in self._known:
                return str(self._known[name])
            raise SystemExit(f"{json.dumps(value)} is not known here: give --set {name}=VALUE")
        return json.dumps(value) if isinstance(value, bool) else str(value)

    def code(self, function: Mapping[str, Any]) -> bytes:
        """The ZIP of a function: from the folder or file that the tool has built."""
        properties = function["Properties"]
        code = properties.get("CodeUri") or properties.get("Code")
        if asset := function.get("Metadata", {}).get("aws:asset:path"):  # CDK
            code = asset
        elif isinstance(code, dict):
            if "ZipFile" in code:
                return _zip({"index.py": code["ZipFile"].encode()})
            code = str(code["S3Key"]).rsplit("/", 1)[-1]  # Serverless: beside the template
            if not (self.folder / code).exists():  # CDK without metadata of assets
                code = "asset." + code.removesuffix(".zip")
        path = self.folder / str(code)
        if not path.exists():
            raise SystemExit(f"{path} is not there: build it first")
        if path.is_file():
            return path.read_bytes()
        files = (found for found in sorted(path.rglob("*")) if found.is_file())
        return _zip({found.relative_to(path).as_posix(): found.read_bytes() for found in files})


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def deploy(template: Template, logical: str, function: Mapping[str, Any]) -> str:
    """Create or update one function; its name."""
    client: Any = boto3.client("lambda")
    properties = function["Properties"]
    variables = properties.get("Environment", {}).get("Variables", {})
    name = template.name_of(logical)
    settings = {key: properties[key] for key in COPIED if key in properties}
    settings["Environment"] = {
        "Variables": {key: template.value(value) for key, value in variables.items()}
    }
    code = template.code(function)
    try:
        client.create_function(FunctionName=name, Role=ROLE, Code={"ZipFile": code}, **settings)
    except client.exceptions.ResourceConflictException:
        client.update_function_code(FunctionName=name, ZipFile=code)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        client.update_function_configuration(FunctionName=name, **settings)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    else:
        client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Deploy the functions of a template.")
    parser.add_argument("template", type=Path)
    parser.add_argument("--prefix", default="", help="before the names of functions without one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    given = dict(one.split("=", 1) for one in arguments.set)
    template = Template(arguments.template, arguments.prefix, given)
    for logical, function in template.functions().items():
        print(deploy(template, logical, function))


if __name__ == "__main__":
    main()
