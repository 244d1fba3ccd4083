"""Section `runtimes`: the first and the following answers of each runtime client.

The functions are those of the conformance suite. Every cold start is that of a function with a
package of its own, with spares where there are some. No target depends on these figures.
"""

from __future__ import annotations

import base64
import json

import pytest
from conformance import packages
from conformance.clients import CLIENTS, Client
from live import ROLE

from bench.figures import Effort, Outcome, Row, times
from bench.servers import (
    Caller,
    delete,
    function_images_as_before,
    runtime_of,
    sandboxes,
    serving,
    settle,
    wait_until_active,
)

_COLD = 10
_WARM = 200
_EVENT = b'{"do": "echo", "value": "pong"}'
_PONG = b'"pong"'
_CREATED = 201


def runtimes(effort: Effort, outcome: Outcome) -> None:
    """Cold and warm, in each kind of sandbox; clients that need a layer are left out."""
    for sandbox in sandboxes():
        for client in CLIENTS:
            if client.program:
                continue
            try:
                package = client.package()
            except pytest.skip.Exception as why:
                outcome.skipped.append(f"runtimes, {sandbox}, {client.title}: {why.msg}")
                continue
            with function_images_as_before(), serving(sandbox) as (_, caller):
                _one(effort, outcome, _Subject(caller, client, sandbox, package))


class _Subject:
    """Makes functions of one client, each with a package of its own."""

    def __init__(self, caller: Caller, client: Client, sandbox: str, package: bytes) -> None:
        self.caller = caller
        self.client = client
        self.sandbox = sandbox
        self._package = package
        self._number = 0

    def create(self) -> str:
        """A new function, active, with nothing else starting. Raises RuntimeError."""
        self._number += 1
        name = f"{self.client.name}{self._number}"
        package = packages.archive({"number": (name.encode(), 0o644)}, beside=self._package)
        document = {
            "FunctionName": name,
            "Runtime": self._runtime(),
            "Handler": self.client.handler,
            "Role": ROLE,
            "Timeout": 30,
            "MemorySize": self.client.memory_mb,
            "Environment": {"Variables": dict(self.client.environment)},
            "Code": {"ZipFile": base64.b64encode(package).decode()},
        }
        body = json.dumps(document).encode()
        made = self.caller.request("POST", "/2015-03-31/functions", body)
        if made.status != _CREATED:
            raise RuntimeError(f"CreateFunction answered {made.status}: {made.body[:200]!r}")
        wait_until_active(self.caller, name)
        settle(self.caller)
        return name

    def seconds(self, name: str) -> tuple[float, int]:
        """How long one answer takes, and 1 if it is wrong, else 0."""
        answer = self.caller.invoke(name, _EVENT)
        return answer.seconds, int(answer.body != _PONG)

    def _runtime(self) -> str:
        """The client's, or for Python and Node.js the one that this machine has."""
        family = self.client.runtime.rstrip("0123456789.x")
        if family in {"python", "nodejs"}:
            return runtime_of(self.sandbox, family)
        return self.client.runtime


def _one(effort: Effort, outcome: Outcome, subject: _Subject) -> None:
    cold: list[tuple[float, int]] = []
    name = subject.create()
    subject.seconds(name)  # what the whole server does once
    for _ in range(effort.count(_COLD)):
        delete(subject.caller, name)
        name = subject.create()
        cold.append(subject.seconds(name))
    warm = [subject.seconds(name) for _ in range(effort.count(_WARM))]
    for kind, samples in (("cold", cold), ("warm", warm)):
        outcome.add(
            Row(
                f"runtimes.{kind}.{subject.sandbox}.{subject.client.name}",
                f"{kind}, {subject.sandbox}, {subject.client.title}",
                len(samples),
                sum(wrong for _, wrong in samples),
                times(seconds for seconds, _ in samples),
            )
        )
