"""Requests made from AWS's model, right and wrong, find no 5xx, dropped connection or traceback.

FUZZ_REQUESTS says how many (`make test-fuzz`: 20,000), FUZZ_SEED makes it other ones; the same
number and seed give the same plans. What an answer's shape promises is held, too.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from live import LiveServer
from model_requests.answers import Answer, faults_of_wire
from model_requests.building import ARN, CODE, durable_operations, minimal, operation_names
from model_requests.http_forms import Connection, Dropped, Request, rendered, spoiled
from model_requests.known_names import Pool
from model_requests.strategies import POLICY, Planned, requests

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
IN_A_ROW = 4
NEW_AFTER = 19
MOST_FUNCTIONS = 6
MOST_FAULTS = 25
MOST_ENVIRONMENTS = 15_000  # the model's limit
LONG = 10_000
NOT_YET = durable_operations()
INVOKES = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"})
UNABLE = "InvalidRuntimeException"  # a 502 of AWS's model: nothing here runs the runtime
RUN_REALLY = 5 + REQUESTS // 1000
# What makes things comes up more often, so that there is something to change and delete.
MAKING = ("CreateFunction", "CreateFunction", "CreateAlias", "PublishVersion")
OPERATIONS = (*operation_names(), *MAKING)
QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"
PYTHON = {"Runtime": "python3.11", "Handler": "lambda_function.handler", "Publish": True}


class Fuzzing:
    """One run: sends what is planned, learns names from answers, keeps what is wrong."""

    def __init__(self, server: LiveServer) -> None:
        address = urlsplit(server.url)
        self.connection = Connection(address.hostname or "", address.port or 0)
        self.faults: dict[tuple[str, str], str] = {}
        self.statuses: Counter[int] = Counter()
        self.reached: set[str] = set()
        self._pool = Pool()
        self._bare = True
        self._bases = 0
        self._functions: deque[str] = deque()
        self._left_to_run = RUN_REALLY
        self._before: deque[str] = deque(maxlen=3)

    def prepare(self) -> None:
        """Make one of each, at first and where some is gone: requests need something to hit."""
        if not self._bare:
            return
        self._bare = False
        self._bases += 1
        name, code = f"base-{self._bases}", {"ZipFile": CODE}
        self._perform("CreateFunction", FunctionName=name, Code=code, **PYTHON)
        assert name in self._functions, self._before[-1]
        self._perform("CreateAlias", FunctionName=name)
        self._perform("AddPermission", FunctionName=name)
        self._perform("CreateFunctionUrlConfig", FunctionName=name)
        self._perform("PutFunctionEventInvokeConfig", FunctionName=name, MaximumRetryAttempts=1)
        self._perform("PutResourcePolicy", ResourceArn=f"{ARN}:function:{name}:1", Policy=POLICY)
        self._perform("TagResource", Resource=f"{ARN}:function:{name}")
        self._perform("PublishLayerVersion", LayerName=name, Content=code)
        self._perform("AddLayerVersionPermission", LayerName=name)
        self._perform("CreateCodeSigningConfig")
        self._perform("CreateCapacityProvider", CapacityProviderName=name)
        self._perform("CreateEventSourceMapping", FunctionName=name, EventSourceArn=QUEUE)

    def _perform(self, name: str, **members: Any) -> None:
        counted = self.statuses.copy()
        self.send(Planned(name, minimal(name, **members)))
        self.statuses = counted

    def send(self, planned: Planned) -> None:
        """Send one request and look at the answer."""
        name = planned.operation
        running = name not in INVOKES or self._left_to_run > 0
        params = planned.params
        if planned.like is not None and running:
            params = self._pool.alike(params, name, planned.like)
        params = self._pool.resolved(params, name, running=running)
        request = rendered(name, _tamed(params))
        if planned.wire:
            request = spoiled(request, planned.wire)
        try:
            answer = self.connection.send(request)
        except Dropped as dropped:
            self._found(planned, f"the connection was dropped: {dropped}", request)
            return
        self.statuses[answer.status] += 1
        for fault in _faults(planned, request, answer):
            told = f"\n  answer: {answer.status} {answer.body[:400]!r}"
            self._found(planned, fault, request, told)
        self._before.append(f"{answer.status} {request.shown()[:300]}")
        if answer.status < 300:
            self._succeeded(planned, params, answer)

    def _found(self, planned: Planned, what: str, request: Request, told: str = "") -> None:
        key = (planned.operation, what[:100])
        if key in self.faults or len(self.faults) >= MOST_FAULTS:
            return
        before = "".join(f"\n  before: {one}" for one in self._before)
        wire = f" ({planned.wire})" if planned.wire else ""
        shown = request.shown()
        self.faults[key] = f"{planned.operation}{wire}: {what}\n  request: {shown}{told}{before}"

    def _succeeded(self, planned: Planned, params: dict[str, Any], answer: Answer) -> None:
        name = planned.operation
        if name in INVOKES:
            self._left_to_run -= answer.status != 204
            self.reached.add(name)
        elif not planned.wire:
            self.reached.add(name)
            document = json.loads(answer.body or b"null")
            self._pool.learn(name, document)
            self._pool.remember(name, params)
            self._bare |= name.startswith(("Delete", "Remove"))
            if name == "CreateFunction":
                self._keep_few(document["FunctionName"])

    def _keep_few(self, name: str) -> None:
        self._functions.append(name)
        if len(self._functions) > MOST_FUNCTIONS:
            gone = self._functions.popleft()
            self.connection.send(rendered("DeleteFunction", {"FunctionName": gone}))
            self._pool.forget_function(gone)


def _tamed(params: dict[str, Any]) -> dict[str, Any]:
    """Without the one request whose success would start all processes that the account may have."""
    bounds: Any = params.get("FunctionScalingConfig")
    least = bounds.get("MinExecutionEnvironments") if isinstance(bounds, dict) else None
    if isinstance(least, int | float) and 1 < least <= MOST_ENVIRONMENTS:
        return {**params, "FunctionScalingConfig": {**bounds, "MinExecutionEnvironments": 1}}
    return params


def _faults(planned: Planned, request: Request, answer: Answer) -> list[str]:
    if answer.status == 501 and planned.operation in NOT_YET:
        return []
    unable = answer.headers.get("x-amzn-errortype") == UNABLE and planned.operation in INVOKES
    if answer.status >= 500 and not unable:
        return [f"status {answer.status}"]
    if request.method == "HEAD":
        return ["HEAD is answered with a body"] if answer.body else []
    # A request that is spoiled, or names nothing, may have become one for another operation.
    other = planned.wire or "//" in request.path or request.path.endswith("/")
    return faults_of_wire("" if other else planned.operation, answer)


def send_some(fuzzing: Fuzzing, name: str, number: int) -> None:
    """Send a few requests for an operation; what they are depends on the seed alone."""

    @seed(SEED + number)
    @settings(
        max_examples=IN_A_ROW,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(name))
    def send(planned: Planned) -> None:
        fuzzing.send(planned)

    send()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    settings_of_server = {
        "LAMBDA_HOME_SPARES__PER_SIZE": "0",
        "LAMBDA_HOME_SPARES__MOST": "0",
        "LAMBDA_HOME_PREWARM__EWMA": "false",
        # Little more than what must stay unreserved: what is provisioned runs for real.
        "LAMBDA_HOME_LIMITS__MAX_GLOBAL_CONCURRENCY": "103",
    }
    with LiveServer("--sandbox", "process", "--ephemeral", environment=settings_of_server) as live:
        yield live


def test_requests_made_from_the_model_find_no_fault(server: LiveServer) -> None:
    fuzzing = Fuzzing(server)
    try:
        for number in range(-(-REQUESTS // (len(OPERATIONS) * IN_A_ROW))):
            order = random.Random(SEED + number).sample(OPERATIONS, len(OPERATIONS))
            for place, name in enumerate(order):
                if place % NEW_AFTER == 0:
                    fuzzing.prepare()
                send_some(fuzzing, name, number)
    finally:
        fuzzing.connection.close()
    assert not fuzzing.faults, "\n\n".join(fuzzing.faults.values())
    assert [line for line in server.output if "Traceback" in line] == []

    # It is worth something only if requests come through to what exists.
    sent = sum(fuzzing.statuses.values())
    assert sent >= REQUESTS
    assert sum(count for status, count in fuzzing.statuses.items() if status < 300) > sent / 6
    promised = len(OPERATIONS) - len(MAKING) - len(NOT_YET)
    assert len(fuzzing.reached) > promised * (0.9 if REQUESTS >= LONG else 0.6)
