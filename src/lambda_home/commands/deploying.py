"""Brings a function of a server in line with a package: only what differs is changed.

Source of the sequence, create or update, then wait:
https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from lambda_home.commands.client import Client, quoted
from lambda_home.commands.detection import family_of
from lambda_home.commands.failures import Failure, Refused

_FUNCTIONS = "/2015-03-31/functions"
_URLS = "/2021-10-31/functions"
_NOT_FOUND = 404
_CONFLICT = 409
_ACCOUNT = re.compile(r"\barn:aws[\w-]*:lambda:[\w-]+:(\d{12}):function:")
_NO_ACCOUNT = "000000000000"
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_PATIENCE_S = 300.0

Working = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a function should be. `settings` are members of CreateFunction that somebody gave.

    `usual_runtime` is for a function that has none of this language, where nobody gave one.
    """

    name: str
    package: bytes
    settings: Mapping[str, Any]
    usual_runtime: str = ""

    def settings_beside(self, current: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a function that is so should have; {} is one that is not there."""
        usual = self.usual_runtime
        if not usual or family_of(str(current.get("Runtime", ""))) == family_of(usual):
            return self.settings
        return {"Runtime": usual, **self.settings}


@dataclass(slots=True)
class Outcome:
    """What was done: `action` is created, updated or unchanged, `changes` what differed."""

    action: str
    configuration: dict[str, Any]
    changes: list[str] = field(default_factory=list)


class Deployment:
    """One deployment; `working` tells a person what goes on.

    `waits` for the function to be usable; with `only_new` a function that is there is left alone.
    """

    def __init__(
        self, client: Client, working: Working, *, waits: bool = True, only_new: bool = False
    ) -> None:
        self._client = client
        self._working = working
        self._waits = waits
        self._only_new = only_new

    def bring(self, wanted: Wanted) -> Outcome:
        """Create or update. Raises Failure, also for a function that ends up failed."""
        path = f"{_FUNCTIONS}/{quoted(wanted.name)}"
        try:
            current = self._client.json("GET", f"{path}/configuration")
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            found = _ACCOUNT.search(str(error))
            return self._create(wanted, path, found[1] if found else _NO_ACCOUNT)
        if self._only_new:
            raise Failure(
                f"There is a function {wanted.name} already: use lambda-home deploy to change it."
            )
        return self._update(wanted, path, current)

    def url_of(self, name: str) -> str:
        """The function URL that anybody may call; made where there is none."""
        path = f"{_URLS}/{quoted(name)}/url"
        try:
            found = self._client.json("GET", path)
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            found = self._client.json("POST", path, {"AuthType": "NONE"})
        if found["AuthType"] == "NONE":
            self._permit(
                name,
                StatementId="FunctionURLAllowPublicAccess",
                Action="lambda:InvokeFunctionUrl",
                FunctionUrlAuthType="NONE",
            )
            self._permit(
                name,
                StatementId="FunctionURLInvokeAllowPublicAccess",
                Action="lambda:InvokeFunction",
                InvokedViaFunctionUrl=True,
            )
        return str(found["FunctionUrl"])

    def _permit(self, name: str, **statement: Any) -> None:
        body = {"Principal": "*", **statement}
        try:
            self._client.json("POST", f"{_FUNCTIONS}/{quoted(name)}/policy", body)
        except Refused as error:
            if error.status != _CONFLICT:  # it is there already
                raise

    def _create(self, wanted: Wanted, path: str, account: str) -> Outcome:
        body = {
            "FunctionName": wanted.name,
            "Role": f"arn:aws:iam::{account}:role/lambda-home",
            **wanted.settings_beside({}),
            "Code": {"ZipFile": base64.b64encode(wanted.package).decode()},
        }
        with self._working(f"Creating {wanted.name} ({_size(wanted.package)})"):
            made = self._client.json("POST", _FUNCTIONS, body)
        return Outcome("created", self._settled(path, made))

    def _update(self, wanted: Wanted, path: str, current: dict[str, Any]) -> Outcome:
        settled = self._settled(path, current, is_before=True)
        digest = base64.b64encode(hashlib.sha256(wanted.package).digest()).decode()
        has_new_code = settled.get("CodeSha256") != digest
        body = differing(settled, wanted.settings_beside(settled))
        changes = [*(["Code"] if has_new_code else []), *sorted(body)]
        if body:  # before the code: a setting that is refused leaves all as it was
            with self._working(f"Updating {', '.join(sorted(body))} of {wanted.name}"):
                settled = self._client.json("PUT", f"{path}/configuration", body)
        if has_new_code:
            settled = self._settled(path, settled, is_before=True)
            code = {"ZipFile": base64.b64encode(wanted.package).decode()}
            with self._working(f"Updating the code of {wanted.name} ({_size(wanted.package)})"):
                settled = self._client.json("PUT", f"{path}/code", code)
        if changes:
            settled = self._settled(path, settled)
        return Outcome("updated" if changes else "unchanged", settled, changes)

    def _settled(
        self, path: str, configuration: dict[str, Any], *, is_before: bool = False
    ) -> dict[str, Any]:
        """The configuration once nothing about it is pending.

        Before a change it has to be waited for, and a failure is no reason to stop.
        """
        if not _is_pending(configuration) or not (self._waits or is_before):
            return _unless_failed(configuration, is_before=is_before)
        pause = _FIRST_PAUSE_S
        deadline = time.monotonic() + _PATIENCE_S
        with self._working(f"Waiting for {configuration['FunctionName']}"):
            while _is_pending(configuration):
                if time.monotonic() > deadline:
                    raise Failure(
                        f"{configuration['FunctionName']} is still pending after"
                        f" {_PATIENCE_S:.0f} s: see lambda-home get"
                        f" {configuration['FunctionName']}."
                    )
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                configuration = self._client.json("GET", f"{path}/configuration")
        return _unless_failed(configuration, is_before=is_before)


def differing(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of the settings that are wanted, those that are not so yet."""
    return {name: value for name, value in wanted.items() if _comparable(name, current) != value}


def _comparable(name: str, current: Mapping[str, Any]) -> Any:
    """A member of a configuration, in the form in which requests have it."""
    value = current.get(name)
    if name == "Layers":
        return [layer["Arn"] for layer in value or []]
    if name == "Environment":
        return {"Variables": (value or {}).get("Variables", {})}
    return "" if name == "Description" and value is None else value


def _is_pending(configuration: Mapping[str, Any]) -> bool:
    return (
        configuration.get("State") == "Pending"
        or configuration.get("LastUpdateStatus") == "InProgress"
    )


def _unless_failed(configuration: dict[str, Any], *, is_before: bool) -> dict[str, Any]:
    if not is_before:
        for member in ("State", "LastUpdateStatus"):
            if configuration.get(member) == "Failed":
                reason = configuration.get(f"{member}Reason") or "the server gives no reason"
                raise Failure(f"{configuration['FunctionName']} failed: {reason}")
    return configuration


def _size(package: bytes) -> str:
    size = len(package)
    return f"{size / 1024:.1f} kB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MB"
