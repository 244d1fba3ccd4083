"""Bad input gets a clear AWS-shaped 4xx, and nothing is half-made. Never a 500."""

from __future__ import annotations

import base64
import http.client
import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

GOOD = zip_of({"lambda_function.py": "def handler(event, context):\n    return event\n"})


def new(**members: Any) -> dict[str, Any]:
    return {
        "FunctionName": fresh_name("bad"),
        "Runtime": "python3.11",
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": GOOD},
        **members,
    }


@pytest.fixture
def api(process_server: LiveServer) -> LambdaClient:
    """A boto3 client that sends what it is told to, right or wrong."""
    return process_server.client(parameter_validation=False)


def refused(api: LambdaClient, **members: Any) -> tuple[int, str, str]:
    """Try to create; the function must not exist afterwards."""
    request = new(**members)
    with pytest.raises(ClientError) as caught:
        api.create_function(**request)
    with pytest.raises(ClientError):
        api.get_function(FunctionName=request["FunctionName"])
    response: Any = caught.value.response
    return (
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
    )


def hostile(
    name: str, *, mode: int = 0o100644, content: bytes = b"x", twice: bool = False
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(2 if twice else 1):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("package", "word"),
    [
        (b"this is not a ZIP", "Could not unzip uploaded file"),
        (b"PK\x05\x06" + b"\0" * 18, "Uploaded file must be a non-empty zip"),
        (GOOD[:-30], "Could not unzip uploaded file"),
        (hostile("../../etc/passwd"), "../../etc/passwd"),
        (hostile("/etc/passwd"), "/etc/passwd"),
        (hostile("link", mode=0o120777, content=b"/etc"), "link"),
        (hostile("link", mode=0o120777, content=b"../../.."), "link"),
        (hostile("device", mode=0o020666), "device"),
    ],
)
def test_a_bad_package_is_refused(api: LambdaClient, package: bytes, word: str) -> None:
    status, code, message = refused(api, Code={"ZipFile": package})
    assert (status, code) == (400, "InvalidParameterValueException")
    assert word in message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_package_with_a_duplicate_entry_is_refused(api: LambdaClient) -> None:
    package = hostile("lambda_function.py", twice=True)
    assert refused(api, Code={"ZipFile": package})[:2] == (400, "InvalidParameterValueException")


def test_a_package_that_unpacks_to_too_much_is_refused(api: LambdaClient) -> None:
    status, code, message = refused(
        api, Code={"ZipFile": zip_of({"zeros": b"\0" * (262_144_000 + 1)})}
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "262144000" in message


def test_a_bomb_whose_header_lies_is_refused(api: LambdaClient) -> None:
    package = bytearray(zip_of({"zeros": b"\0" * 300_000_000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = package.rindex(signature) + offset
        package[at : at + 4] = struct.pack("<I", 1000)
    assert refused(api, Code={"ZipFile": bytes(package)})[0] == 400


def test_a_package_over_50_mb_is_a_413(api: LambdaClient) -> None:
    import os  # noqa: PLC0415  used here alone

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("noise", os.urandom(52_428_800 - 50))
    # Its base64 fits in the request, the package itself is too large.
    status, code, message = refused(api, Code={"ZipFile": buffer.getvalue()})
    assert (status, code) == (413, "RequestEntityTooLargeException")
    assert message == "Zipped size must be smaller than 52428800 bytes"


@pytest.mark.parametrize(
    ("members", "code", "word"),
    [
        ({"Runtime": "cobol85"}, "InvalidParameterValueException", "cobol85"),
        ({"Runtime": "python2.7"}, "InvalidParameterValueException", "python2.7"),
        ({"Handler": "a b"}, "ValidationException", "handler"),
        ({"Timeout": 0}, "ValidationException", "timeout"),
        ({"Timeout": 901}, "ValidationException", "timeout"),
        ({"MemorySize": 127}, "ValidationException", "memorySize"),
        ({"MemorySize": 10241}, "InvalidParameter", "MemorySize"),
        ({"MemorySize": 32769}, "ValidationException", "memorySize"),
        ({"Role": "nobody"}, "ValidationException", "role"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameter", "AWS_REGION"),
        ({"Environment": {"Variables": {"BIG": "x" * 4090}}}, "InvalidParameter", "4KB"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, "InvalidParameter", "ZipFile"),
        ({"Code": {}}, "InvalidParameterValueException", "source for function code"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, "Invalid", "layer:l:1"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    api: LambdaClient, members: dict[str, Any], code: str, word: str
) -> None:
    status, found, message = refused(api, **members)
    assert status == 400
    assert found.startswith(code)
    assert word in message


def test_a_missing_handler_is_a_400(api: LambdaClient) -> None:
    request = new()
    del request["Handler"]
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="mandatory"):
        api.create_function(**request)


def test_a_duplicate_name_is_a_409_and_the_first_function_stays(api: LambdaClient) -> None:
    name = create(api, "def handler(event, context):\n    return 1\n")
    with pytest.raises(ClientError) as caught:
        api.create_function(**new(FunctionName=name))
    assert caught.value.response["Error"]["Code"] == "ResourceConflictException"
    assert caught.value.response["Error"]["Message"] == f"Function already exist: {name}"
    assert invoke(api, name).payload == 1


def test_a_refused_update_leaves_the_function_as_it_was(api: LambdaClient) -> None:
    name = create(api, "def handler(event, context):\n    return 1\n")
    before = api.get_function_configuration(FunctionName=name)
    for package in (b"no zip", hostile("../x")):
        with pytest.raises(api.exceptions.InvalidParameterValueException):
            api.update_function_code(FunctionName=name, ZipFile=package)
    with pytest.raises(ClientError):
        api.update_function_configuration(FunctionName=name, Timeout=0)
    with pytest.raises(api.exceptions.PreconditionFailedException):
        api.update_function_configuration(FunctionName=name, RevisionId="not-it", Timeout=9)
    after = api.get_function_configuration(FunctionName=name)
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before
    assert invoke(api, name).payload == 1


# ------------------------------------------------------------------------------------------- wire


def request(
    server: LiveServer, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One raw HTTP request, to send what no SDK would."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def echo(process_server: LiveServer) -> str:
    return create(
        process_server.client(), "def handler(event, context):\n    return event\n", "Echo-Fn"
    )


FUNCTIONS = "/2015-03-31/functions"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "Unexpected end-of-input"),
        (b"nope", "Unrecognized token 'nope'"),
        (b"\x99abc", "Unexpected character ((CTRL-CHAR, code 153))"),
        (b"n\x87r", "Invalid UTF-8 start byte 0x87"),
        (b"NaN", "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b"[" * 100_000, "nesting"),
        (b"{} x", "Unrecognized token 'x'"),
    ],
)
def test_an_invoke_payload_that_is_not_json_is_a_400(
    process_server: LiveServer, echo: str, body: bytes, reason: str
) -> None:
    status, headers, answer = request(
        process_server, "POST", f"{FUNCTIONS}/{echo}/invocations", body
    )
    assert (status, headers["x-amzn-ErrorType"]) == (400, "InvalidRequestContentException")
    error = json.loads(answer)
    assert error["Type"] == "User"
    assert error["message"].startswith("Could not parse request body into json: ")
    assert reason in error["message"]


@pytest.mark.parametrize("body", [b'"\\ud800"', b'"\xc3\xbc"', b"1e999", b" [1] ", b"null"])
def test_odd_but_valid_json_is_taken(process_server: LiveServer, echo: str, body: bytes) -> None:
    status, _, _ = request(process_server, "POST", f"{FUNCTIONS}/{echo}/invocations", body)
    assert status == 200


def test_a_payload_over_the_limit_is_a_413_and_one_at_the_limit_is_taken(
    process_server: LiveServer, echo: str
) -> None:
    path = f"{FUNCTIONS}/{echo}/invocations"
    limit = 6_291_556
    status, _, answer = request(process_server, "POST", path, b'"' + b"x" * (limit - 2) + b'"')
    assert (status, len(answer)) == (200, limit)
    status, headers, _ = request(process_server, "POST", path, b'"' + b"x" * (limit - 1) + b'"')
    assert (status, headers["x-amzn-ErrorType"]) == (413, "RequestTooLargeException")
    event = {"X_Amz_Invocation_Type": "Event"}
    status, _, _ = request(process_server, "POST", path, b'"' + b"x" * 1_048_575 + b'"', **event)
    assert status == 413
    status, _, _ = request(process_server, "POST", path, b'"' + b"x" * 1_048_574 + b'"', **event)
    assert status == 202


def test_a_body_of_70_mb_is_refused_without_being_kept(process_server: LiveServer) -> None:
    status, headers, answer = request(process_server, "POST", FUNCTIONS, b"{" + b" " * 70_167_211)
    assert (status, headers["x-amzn-ErrorType"]) == (413, "RequestEntityTooLargeException")
    assert json.loads(answer)["message"] == (
        "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nope", b"{", b'{"FunctionName": 3}', b'{"Code": "x"}', b"[" * 100_000,
     b'{"FunctionName": "f", "Code": {"ZipFile": "%%%"}}', b'\xff{"a":1}'],
)  # fmt: skip
def test_a_create_body_that_makes_no_sense_is_a_400(
    process_server: LiveServer, body: bytes
) -> None:
    status, headers, answer = request(process_server, "POST", FUNCTIONS, body)
    assert status == 400
    assert headers["x-amzn-ErrorType"]
    assert "message" in {name.lower() for name in json.loads(answer)}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{FUNCTIONS}/no-such-function", 404),
        ("POST", f"{FUNCTIONS}/no-such-function/invocations", 404),
        ("GET", f"{FUNCTIONS}/UPPER-Case", 404),
        ("GET", "/2015-03-31/FUNCTIONS", 404),
        ("PATCH", FUNCTIONS, 404),
        ("POST", f"{FUNCTIONS}/bad%00name/invocations", 400),
        ("POST", f"{FUNCTIONS}/%2e%2e%2fetc/invocations", 400),
        ("POST", f"{FUNCTIONS}/a%2Fb/invocations", 400),
        ("GET", f"{FUNCTIONS}/a%2Fb", 400),
        ("POST", f"{FUNCTIONS}/x%zz/invocations", 400),
        ("GET", f"{FUNCTIONS}?MaxItems=many", 400),
        ("GET", f"{FUNCTIONS}?Marker=nonsense", 400),
    ],
)
def test_odd_paths_are_answered_in_aws_shape(
    process_server: LiveServer, method: str, path: str, status: int
) -> None:
    found, headers, answer = request(process_server, method, path)
    assert found == status
    assert headers["x-amzn-ErrorType"]
    assert headers["x-amzn-RequestId"]
    assert "message" in {name.lower() for name in json.loads(answer)}


def test_percent_encoded_arns_and_upper_case_names_work(
    process_server: LiveServer, echo: str
) -> None:
    arn = f"arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3A{echo}"
    for form in (arn, echo, f"{echo}:%24LATEST"):
        path = f"{FUNCTIONS}/{form}/invocations"
        assert request(process_server, "POST", path, b'"\xc3\xa4"')[0] == 200
        assert request(process_server, "GET", f"{FUNCTIONS}/{form}")[0] == 200


def test_bad_client_context_is_a_400(process_server: LiveServer, echo: str) -> None:
    for context in ("%%%", base64.b64encode(b"{").decode(), "w7w"):
        status, headers, _ = request(
            process_server, "POST", f"{FUNCTIONS}/{echo}/invocations", X_Amz_Client_Context=context
        )
        assert (status, headers["x-amzn-ErrorType"]) == (400, "InvalidRequestContentException")


def test_an_empty_invocation_type_is_none(process_server: LiveServer, echo: str) -> None:
    path = f"{FUNCTIONS}/{echo}/invocations"
    assert request(process_server, "POST", path, b"1", X_Amz_Invocation_Type="")[0] == 200


def test_a_log_type_that_aws_does_not_know_is_refused(
    process_server: LiveServer, echo: str
) -> None:
    path = f"{FUNCTIONS}/{echo}/invocations"
    status, headers, answer = request(process_server, "POST", path, b"1", X_Amz_Log_Type="Head")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationException")
    assert "'Head' at 'logType'" in json.loads(answer)["message"]


def test_nulls_among_subnets_name_nothing(process_server: LiveServer) -> None:
    body = {
        "CapacityProviderName": "nulls",
        "VpcConfig": {"SubnetIds": ["subnet-1", None], "SecurityGroupIds": []},
        "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE},
    }
    path = "/2025-11-30/capacity-providers"
    status, _, answer = request(process_server, "POST", path, json.dumps(body).encode())
    assert status == 202
    assert json.loads(answer)["CapacityProvider"]["VpcConfig"]["SubnetIds"] == ["subnet-1"]


def test_operations_that_are_not_there_yet_say_so(process_server: LiveServer) -> None:
    path = "/2025-12-01/functions/f/durable-executions"
    status, headers, answer = request(process_server, "GET", path)
    assert (status, headers["x-amzn-ErrorType"]) == (501, "NotImplementedException")
    assert "ListDurableExecutionsByFunction" in json.loads(answer)["message"]
