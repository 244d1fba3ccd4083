"""Contract row 40: random sequences at the runtime, extensions and control APIs.

ATTACK_REQUESTS says how many requests of each kind (300), ATTACK_SEED makes them other ones.
Hostile functions send theirs from inside, with their own name: they may ruin their own invocation,
and nothing else. The AWS operations' own fuzzer is fuzz/test_schema_fuzz.py.
"""

from __future__ import annotations

import os
import random
import re
from typing import TYPE_CHECKING

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import until
from raw_http import dial, request

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

REQUESTS = int(os.environ.get("ATTACK_REQUESTS", "300"))
SEED = int(os.environ.get("ATTACK_SEED", "0"))

pytestmark = pytest.mark.timeout(1200)

FROM_INSIDE = r"""
import os, random, re, socket, threading
from collections import Counter
HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
R, E = "/2018-06-01/runtime/", "/2020-01-01/extension/"

def request(dice, own, known):
    ids = [own, own, own, "none", "../" + own, own.upper(), "a" * 3000, "%00", "*"]
    methods = ["GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"]
    right = [("POST", R + f"invocation/{own}/response"), ("POST", R + f"invocation/{own}/error"),
             ("GET", R + "invocation/next"), ("POST", E + "register"), ("GET", E + "event/next"),
             ("POST", E + "exit/error"), ("POST", E + "init/error")]
    wrong = [R + f"invocation/{dice.choice(ids)}/response", R + f"invocation/{dice.choice(ids)}/x",
             R + "lambda-home/function", "/", "/2018-06-01/", R, E, "/healthz", "*", "//x",
             R + "invocation/next?x=" + "y" * 2000, "/2015-03-31/functions", "/" + "é%ff" * 9]
    method, path = dice.choice(right)
    if dice.random() < 0.4:
        method, path = dice.choice(methods), dice.choice([path, *wrong])
    lines = [f"Host: {dice.choice([HOST, HOST, HOST, HOST + ':1', 'other'])}"]
    for _ in range(dice.randrange(4)):
        lines.append(dice.choice([
            "Lambda-Extension-Name: " + dice.choice(["x", "y", "z" * 900, ""]),
            "Lambda-Extension-Identifier: " + dice.choice(known + ["x", ""]),
            "Lambda-Extension-Accept-Feature: accountId,,,",
            "Lambda-Extension-Function-Error-Type: a.b",
            "Lambda-Runtime-Function-Response-Mode: " + dice.choice(["streaming", "STREAM", "x"]),
            "Lambda-Runtime-Function-Error-Type: " + dice.choice(["a", "", "<b>" * 99]),
            "Lambda-Home-Init-Micros: " + dice.choice(["1", "-1", "9" * 400, "9" * 5000, "x"]),
            "Lambda-Home-Peak-Kib: " + dice.choice(["1", "9" * 5000, "x"]),
            "Lambda-Home-Fence: " + dice.choice(["1", "0", "x"]),
            "Trailer: X", "Expect: 100-continue", "Upgrade: websocket", "Connection: Upgrade",
            "Content-Type: " + "a" * dice.choice([0, 10, 5000]), "X: " + "\xff" * 20,
        ]))
    body = dice.choice([b"", b"{}", b"[" * 9999, b'{"events": ["INVOKE", "SHUTDOWN"]}',
                        b'{"events": [1, null, "X"]}', b'{"events": {}}', bytes(range(256))])
    if dice.random() < 0.2:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:5], body[5:]) if p)
        body += dice.choice([b"0\r\n\r\n", b"0\r\nLambda-Runtime-Function-Error-Type: x\r\n\r\n",
                             b"0\r\nLambda-Runtime-Function-Error-Body: %%\r\n\r\n", b"zz\r\n"])
    elif dice.random() < 0.95:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines]) + "\r\n\r\n"
    whole = head.encode("latin-1") + body
    if dice.random() < 0.1:
        at = dice.randrange(len(whole))
        whole = whole[:at] + dice.randbytes(3) + whole[at:]
    return whole[: dice.randrange(len(whole))] if dice.random() < 0.05 else whole

def send(dice, own, known, seen):
    try:
        with socket.create_connection((HOST, int(PORT)), 1) as made:
            for _ in range(dice.randrange(1, 4)):
                made.sendall(request(dice, own, known))
            made.settimeout(0.01 if seen["202"] else 0.2)
            got = b""
            try:
                while piece := made.recv(65536):
                    got += piece
            except TimeoutError:
                pass
            text = got.decode("latin-1")
            seen.update(re.findall(r"HTTP/1\.1 (\d{3})", text))
            known.extend(re.findall(r"extension-identifier: (\S+)", text))
    except OSError as error:
        seen[type(error).__name__] += 1

def handler(event, context):
    dice, seen, known = random.Random(event["seed"]), Counter(), []
    for number in range(event["requests"]):
        send(dice, context.aws_request_id, known, seen)
        if number % 10 == 9:
            print("SEEN", event["seed"], dict(seen), "END", flush=True)
"""


@pytest.fixture(scope="module")
def client(target: LiveServer) -> LambdaClient:
    return target.client(read_timeout=600)


@pytest.fixture(scope="module")
def well(client: LambdaClient) -> str:
    """A function that must not notice anything."""
    return create(client, "def handler(event, context):\n    return event\n", fresh_name("well"))


def test_a_runtime_gone_mad_ruins_nothing_but_its_own_invocation(
    client: LambdaClient, target: LiveServer, well: str
) -> None:
    name = create(client, FROM_INSIDE, fresh_name("mad"), Timeout=2 + REQUESTS // 100)
    for number in range(2):
        event = {"seed": SEED * 1000 + number, "requests": -(-REQUESTS // 2)}
        answer = invoke(client, name, event)
        assert answer.status == 200
        assert invoke(client, well, [number]).payload == [number]
    logs = target.data_dir / "logs"

    def told() -> str:
        return "".join(file.read_text() for file in logs.rglob(f"*{name}.log"))

    until(lambda: "'202'" in told(), "some of it was right")
    assert not re.findall(r"SEEN .*'5\d\d'.* END", told())
    assert [line for line in target.output if "Traceback" in line] == []


WORDS = [
    "functions", "2015-03-31", "2018-10-31", "2020-06-30", "layers", "versions", "aliases", "..",
    "%2e%2e", "%2F", "api", "admin", "healthz", "$LATEST", "x", "invocations", "code", "policy",
    "event-source-mappings", "tags", "arn:aws:lambda:us-east-1:000000000000:function:x", "%00",
    "secrets", "rate-limit", "lambda-url", "routes", "api-gateway", "spares", "2021-10-31", "url",
]  # fmt: skip


def test_random_paths_of_the_control_api_find_no_5xx(
    client: LambdaClient, target: LiveServer, well: str
) -> None:
    dice = random.Random(SEED)
    for _ in range(REQUESTS):
        path = "/" + "/".join(dice.choice(WORDS) for _ in range(dice.randrange(6)))
        query = dice.choice(["", "?Qualifier=x", "?MaxItems=%00", "?Marker=..", "?a=1&a=2&=&&"])
        method = dice.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        body = dice.choice([b"", b"{}", b"[]", dice.randbytes(40)])
        status, _, answer = request(target, method, path + query, body)
        assert status < 500 or status == 501, f"{method} {path}{query} {body!r} -> {answer[:300]!r}"
    assert invoke(client, well, 1).payload == 1


NOISE = (
    b"GET",
    b"POST /2015-03-31/functions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
    b"\x16\x03\x01\x02\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


def test_half_requests_and_noise_hold_nothing_up(
    client: LambdaClient, target: LiveServer, well: str
) -> None:
    dice = random.Random(SEED)
    open_ones = []
    for _ in range(50):
        made = dial(target)
        made.sendall(dice.choice((*NOISE, dice.randbytes(30))))
        open_ones.append(made)
    assert invoke(client, well, 1).payload == 1
    for made in open_ones:
        made.close()
    assert invoke(client, well, 2).payload == 2
