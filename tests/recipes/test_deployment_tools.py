"""docs/recipes/{sam,cdk,serverless}.md: each tool builds, its template is deployed, it is called.

The tools are not part of this environment: `make recipe-tools` installs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import NODE_MODULES, ROOT, SAM

from lambda_home.testing.packages import this_runtime
from lambda_home.testing.server import LocalServer

pytestmark = [pytest.mark.process, pytest.mark.slow]

DEPLOY = ROOT / "examples" / "deploy_template.py"
HANDLER = """
import os


def handler(event, context):
    return {"hello": event.get("name"), "stage": os.environ["STAGE"]}
"""
TEMPLATE = f"""
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {{Type: String, Default: local}}
Globals:
  Function: {{Timeout: 5}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: sam-hello
      CodeUri: hello/
      Handler: app.handler
      Runtime: {this_runtime()}
      Environment:
        Variables:
          STAGE: !Ref Stage
"""
CDK_APP = f"""
const cdk = require("aws-cdk-lib");
const lambda = require("aws-cdk-lib/aws-lambda");
const stack = new cdk.Stack(new cdk.App(), "Greetings");
new lambda.Function(stack, "Hello", {{
  functionName: "cdk-hello",
  runtime: new lambda.Runtime("{this_runtime()}"),
  handler: "app.handler",
  code: lambda.Code.fromAsset("hello"),
  environment: {{ STAGE: "local" }},
}});
"""
SERVERLESS = f"""
service: greetings
frameworkVersion: "3"
provider:
  name: aws
  runtime: {this_runtime()}
  stage: local
  environment: {{STAGE: "${{sls:stage}}"}}
functions:
  hello: {{handler: hello/app.handler}}
package:
  patterns: ["!**", "hello/**"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "app.py").write_text(HANDLER)
    (tmp_path / "hello" / "requirements.txt").touch()
    return tmp_path


def run(project: Path, home: LocalServer, *command: str | Path) -> str:
    """A command in the project, as a user runs it; what it prints."""
    bin_of_python = Path(sys.executable).parent
    done = subprocess.run(
        [str(word) for word in command],
        cwd=project,
        env={
            **home.environment(),
            "PATH": f"{bin_of_python}:{os.environ['PATH']}",
            "HOME": str(project),
            "LANG": "C.UTF-8",
            "CDK_OUTDIR": "cdk.out",
            "NODE_PATH": str(NODE_MODULES),
            "SAM_CLI_TELEMETRY": "0",
            "SLS_TELEMETRY_DISABLED": "1",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def greeting_of(home: LocalServer, name: str) -> object:
    answer = home.client("lambda").invoke(FunctionName=name, Payload=b'{"name": "you"}')
    return json.loads(answer["Payload"].read())


@pytest.mark.needs("sam")
def test_sam_builds_and_invokes_what_is_deployed_by_its_template(
    home: LocalServer, project: Path
) -> None:
    (project / "template.yaml").write_text(TEMPLATE)
    run(project, home, SAM, "build")
    deploy = (sys.executable, DEPLOY, ".aws-sam/build/template.yaml", "--set", "Stage=test")
    assert run(project, home, *deploy) == "sam-hello\n"
    arn = "arn:aws:lambda:us-east-1:000000000000:function:sam-hello"
    told = run(project, home, SAM, "remote", "invoke", arn, "--event", '{"name": "sam"}')
    assert json.loads(told.strip().splitlines()[-1]) == {"hello": "sam", "stage": "test"}
    assert "REPORT RequestId" in run(
        project, home, SAM, "logs", "--cw-log-group", "/aws/lambda/sam-hello"
    )


@pytest.mark.needs("cdk")
def test_the_functions_of_a_cdk_app_are_deployed(home: LocalServer, project: Path) -> None:
    (project / "app.js").write_text(CDK_APP)
    run(project, home, "node", "app.js")  # as `cdk synth` does
    deploy = (sys.executable, DEPLOY, "cdk.out/Greetings.template.json")
    assert run(project, home, *deploy) == "cdk-hello\n"
    assert greeting_of(home, "cdk-hello") == {"hello": "you", "stage": "local"}


@pytest.mark.needs("serverless")
def test_the_functions_of_a_serverless_service_are_deployed(
    home: LocalServer, project: Path
) -> None:
    (project / "serverless.yml").write_text(SERVERLESS)
    run(project, home, NODE_MODULES / ".bin" / "serverless", "package")
    template = ".serverless/cloudformation-template-update-stack.json"
    assert run(project, home, sys.executable, DEPLOY, template) == "greetings-local-hello\n"
    assert greeting_of(home, "greetings-local-hello") == {"hello": "you", "stage": "local"}


def test_what_a_template_refers_to_and_nobody_knows_is_told(
    home: LocalServer, project: Path
) -> None:
    (project / "template.yaml").write_text(TEMPLATE.replace("!Ref Stage", "!GetAtt Table.Arn"))
    with pytest.raises(AssertionError, match=r"is not known here: give --set Table=VALUE"):
        run(project, home, sys.executable, DEPLOY, "template.yaml")
