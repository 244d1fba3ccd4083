"""Makes the calls of recorded cases again, with boto3, against a live server.

Every case has an account of its own, so cases run side by side. Cases that call other services
share the one account that moto knows; their names are their own.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from live import LiveServer
from other_services import other_services
from parity.alignment import Faults, Reply, faults
from parity.cases import Call, Case
from parity.packages import UNZIPPED_LIMIT, codes_recorded, is_large, package, package_of, upload_of

ENVIRONMENT = {
    "LAMBDA_HOME_FUNCTIONS__STRICT_STATES": "true",
    "LAMBDA_HOME_LIMITS__MAX_GLOBAL_CONCURRENCY": "1000",
}
MOTO_ACCOUNT = "123456789012"
_CAPTURED_ACCOUNT = "000000000000"
_THREADS = 24
_POLL_S = 0.1
_SETTLED_WITHIN_S = 60.0
_FIRST_ACCOUNT = 300_000_000_000
_SECOND_ACCOUNT = 400_000_000_000
_MOVING = frozenset(
    {
        "Pending",
        "InProgress",
        "IN_PROGRESS",
        "Creating",
        "Enabling",
        "Updating",
        "Disabling",
        "CREATING",
        "UPDATING",
    }
)
_STATES = ("State", "LastUpdateStatus", "Status", "StreamStatus", "TableStatus")
_UNZIPPED = {
    "api/TestLambdaSizeLimits/test_large_lambda": UNZIPPED_LIMIT - 1_000,
    "api/TestLambdaSizeLimits/test_oversized_unzipped_lambda": UNZIPPED_LIMIT,
}

# Values that only the run that was captured could know, and whose member has ours.
_GENERATED = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"csc-[0-9a-f]+"), "CodeSigningConfigId"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "CodeSha256"),
)
_PLACEHOLDER = re.compile(r"<(\d+) bytes>|<(stream)>")
_CUT = re.compile(r"(.{80})… \((\d+) characters\)", re.DOTALL)
_MEMBER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: differences by recorded answer, and answers that are never right."""

    case: Case
    replies: Sequence[Reply]
    faults: Faults

    @property
    def passed(self) -> bool:
        """Whether everything equals the recording."""
        return not self.faults


@dataclass
class Values:
    """What calls of a case may refer to: newest values of members, and what stands for what."""

    account: str
    newest: dict[str, Any] = field(default_factory=dict)
    markers: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    uploads: int = 0

    def learn(self, answer: Any) -> None:
        """Remember every member of an answer."""
        if isinstance(answer, dict):
            for name, value in answer.items():
                if isinstance(value, str):
                    self.newest[name] = value
                self.learn(value)
        elif isinstance(answer, list):
            for value in reversed(answer):  # the first of a list is the newest then
                self.learn(value)

    def text(self, name: str, value: str) -> str:
        """The text of a member as it is in this run."""
        if cut := _CUT.fullmatch(value):
            fill = cut[1][-1] if len(set(cut[1])) == 1 else "#"
            value = cut[1] + fill * (int(cut[2]) - len(cut[1]))
        if member := _MEMBER.fullmatch(value):
            return str(self.newest[member[1]])
        value = value.replace(_CAPTURED_ACCOUNT, self.account)
        for pattern, usual in _GENERATED:
            member_name = name if name in self.newest and pattern.fullmatch(value) else usual
            if member_name in self.newest:
                value = pattern.sub(partial(self._ours, member_name), value)
        return value

    def _ours(self, member: str, found: re.Match[str]) -> str:
        """What stands for a value of the run that was captured: one of ours, always the same."""
        return self.known.setdefault(found[0], str(self.newest[member]))


class _Replay:
    """One case, once. `waits` says whether single reads of a state are a waiter's."""

    def __init__(self, case: Case, target: Target, account: str, *, waits: bool) -> None:
        self._case = case
        self._target = target
        self._waits = waits
        self._values = Values(account)
        self._replies: list[Reply] = []
        self._same_code = codes_recorded(case.answers) <= len(_placeholders(case))

    def run(self) -> Outcome:
        """Make all calls, and hold the answers against the recording."""
        for call in self._case.calls:
            self._perform(call)
        found = faults(self._case.answers, self._replies, self._values.account)
        broken = [
            f"{reply.operation} answered {status}: {reply.answer.get('Error')}"
            for reply in self._replies
            if (status := reply.answer["ResponseMetadata"]["HTTPStatusCode"]) >= 500
        ]
        if broken:
            found["server failures"] = broken
        if not self._case.answers:
            found |= self._unlike_captured()
        return Outcome(self._case, self._replies, found)

    def _unlike_captured(self) -> Faults:
        """A case that keeps no answer was fine if nothing failed that did not fail before."""
        fine = {call.operation for call in self._case.calls if not call.raised}
        return {
            f"call {place}": [f"{reply.operation} failed: {reply.answer['Error']}"]
            for place, reply in enumerate(self._replies)
            if reply.error_code and reply.operation in fine
        }

    def _perform(self, call: Call) -> None:
        if call.operation in {"CreateMultipartUpload", "UploadPart"}:
            return
        if call.operation == "CompleteMultipartUpload":
            call = Call("s3", "PutObject", self._whole_object(call.parameters))
        elif "Marker" in call.parameters and call.operation not in self._values.markers:
            return  # there is no such page
        reads = call.operation.startswith(("Get", "Describe"))
        polls = reads and (call.times > 1 or self._waits)
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        parameters = self._parameters(call)
        for number in range(1, 1_000):
            answer = self._send(call, parameters)
            moving = polls and is_moving(answer) and time.monotonic() < deadline
            if number >= call.times and not moving:
                return
            if moving:
                time.sleep(_POLL_S)

    def _send(self, call: Call, parameters: Mapping[str, Any]) -> dict[str, Any]:
        client = self._target.client(call.service, self._values.account)
        try:
            answer: dict[str, Any] = client._make_api_call(call.operation, parameters)  # noqa: SLF001  by AWS's name
        except ClientError as error:
            answer = dict(error.response)
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if "Payload" in answer:
            answer["Payload"] = answer["Payload"].read().decode()
        answer["ResponseMetadata"] = {"HTTPHeaders": {}, "HTTPStatusCode": status}
        self._values.learn(answer)
        if marker := answer.get("NextMarker"):
            self._values.markers[call.operation] = marker
        else:
            self._values.markers.pop(call.operation, None)
        if call.service == "lambda" and not self._repeats(call.operation, answer):
            self._replies.append(Reply(call.operation, answer))
        return answer

    def _repeats(self, operation: str, answer: Mapping[str, Any]) -> bool:
        """Whether this is a poll that says what the one before said."""
        if not operation.startswith("Get") or not self._replies or not is_moving(answer):
            return False
        last = self._replies[-1]
        state = answer.get("Configuration", answer)
        before = last.answer.get("Configuration", last.answer)
        return last.operation == operation and _steady(state) == _steady(before)

    def _whole_object(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        body = package_of(_UNZIPPED[self._case.name])
        return {"Bucket": parameters["Bucket"], "Key": parameters["Key"], "Body": body}

    def _parameters(self, call: Call) -> dict[str, Any]:
        made = {name: self._value(name, value) for name, value in call.parameters.items()}
        if "Marker" in made:
            made["Marker"] = self._values.markers[call.operation]
        return made

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._value(key, member) for key, member in value.items()}
        if isinstance(value, list):
            return [self._value(name, member) for member in value]
        if not isinstance(value, str):
            return value
        if placeholder := _PLACEHOLDER.fullmatch(value):
            return self._bytes(name, placeholder)
        return self._values.text(name, value)

    def _bytes(self, name: str, placeholder: re.Match[str]) -> bytes:
        size = int(placeholder[1] or 0)
        if is_large(size):
            return upload_of(size)
        if name == "Payload":
            return b"{}"
        self._values.uploads += 1
        return package(placeholder[0] if self._same_code else str(self._values.uploads))


def _placeholders(case: Case) -> set[str]:
    """The different packages that the calls of a case upload."""
    return set(re.findall(r"<(?:\d+ bytes|stream)>", repr(list(case.calls))))


def is_moving(answer: Mapping[str, Any]) -> bool:
    for part in (answer, *(value for value in answer.values() if isinstance(value, dict))):
        if any(part.get(name) in _MOVING for name in _STATES):
            return True
    return False


def _steady(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in configuration.items() if name != "ResponseMetadata"}


class Target:
    """The server under test, and other services."""

    def __init__(self, url: str, services_url: str) -> None:
        self._url = url
        self._services_url = services_url
        self._session = boto3.Session()
        self._making = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, account: str) -> Any:
        """An unmodified client that neither tries again nor checks what it sends."""
        with self._making:
            if (service, account) not in self._clients:
                self._clients[service, account] = self._made(service, account)
            return self._clients[service, account]

    def _made(self, service: str, account: str) -> Any:
        return self._session.client(
            service,
            endpoint_url=self._url if service == "lambda" else self._services_url,
            region_name="us-east-1",
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=Config(
                parameter_validation=False,
                retries={"total_max_attempts": 1},
                read_timeout=60,
                s3={"addressing_style": "path"},
            ),
        )

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


@contextmanager
def target(transition_ms: int = 500) -> Iterator[Target]:
    """A server as the recordings need it, and moto's. States last for `transition_ms`."""
    with other_services() as services_url:
        environment = {
            **ENVIRONMENT,
            "LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": str(transition_ms),
            "LAMBDA_HOME_AWS__ENDPOINT_URL": services_url,
        }
        flags = ("--sandbox", "process", "--ephemeral")
        with LiveServer(*flags, environment=environment) as server:
            made = Target(server.url, services_url)
            try:
                yield made
            finally:
                made.close()


def replay_all(cases: Sequence[Case], at: Target, most: int = _THREADS) -> dict[str, Outcome]:
    """Replay the cases, at most so many side by side; long ones first."""
    numbered = sorted(enumerate(cases), key=lambda item: -len(item[1].calls))
    with ThreadPoolExecutor(most) as threads:
        outcomes = threads.map(lambda item: _replay(item[1], at, item[0]), numbered)
        return {outcome.case.name: outcome for outcome in outcomes}


def _replay(case: Case, at: Target, number: int) -> Outcome:
    """Replay a case; once more with the other reading of its calls if the likelier one fails.

    A single read of a state can be a waiter's (the emulator was ready at once) or a plain one.
    """
    likelier = not _shows_moving(case.answers)
    if any(call.service != "lambda" for call in case.calls):
        return _Replay(case, at, MOTO_ACCOUNT, waits=likelier).run()
    first = _Replay(case, at, str(_FIRST_ACCOUNT + number), waits=likelier).run()
    if first.passed or not _has_single_reads(case):
        return first
    second = _Replay(case, at, str(_SECOND_ACCOUNT + number), waits=not likelier).run()
    return second if second.passed else first


def _shows_moving(answers: Mapping[str, Any]) -> bool:
    """Whether a read that met a state in transition was kept."""
    return any(
        is_moving(answer)
        for answer in answers.values()
        if isinstance(answer, dict) and "Configuration" in answer
    )


def _has_single_reads(case: Case) -> bool:
    reads = {"GetFunction", "GetFunctionConfiguration"}
    return any(
        call.operation in reads and call.times == 1 and not call.raised for call in case.calls
    )
