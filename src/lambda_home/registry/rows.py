"""Function versions as rows, and rows as function versions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row

from lambda_home.arns import LATEST, LATEST_PUBLISHED, Scope
from lambda_home.functions import Code, FunctionVersion, Layer, State, Status, UpdateStatus

LATEST_NUMBER = 0
LATEST_PUBLISHED_NUMBER = 10**18
"""More than any version's number: it comes last where versions are in order."""
_MOST_DIGITS = 18  # of a number that SQLite holds
_NAMED = {LATEST_NUMBER: LATEST, LATEST_PUBLISHED_NUMBER: LATEST_PUBLISHED}


def number_of(qualifier: str | None) -> int | None:
    """The row number that a qualifier names; None if it can only be an alias."""
    if qualifier is None or qualifier == LATEST:
        return LATEST_NUMBER
    if qualifier == LATEST_PUBLISHED:
        return LATEST_PUBLISHED_NUMBER
    plain = qualifier.isascii() and qualifier.isdigit() and not qualifier.startswith("0")
    return int(qualifier) if plain and len(qualifier) <= _MOST_DIGITS else None


def qualifier_of(number: int) -> str:
    """The version that a row number means."""
    return _NAMED.get(number) or str(number)


def encode(version: FunctionVersion) -> dict[str, object]:
    """The columns of `version`, without `function_id` and `fingerprint`."""
    settings = _configuration(version) | {"status": _status(version.status)}
    return {
        "number": number_of(version.version),
        "revision_id": version.revision_id,
        "run_key": version.run_key,
        "code_key": version.code.key,
        "code_sha256": version.code.sha256,
        "code_size": version.code.size,
        "state": version.status.state,
        "busy": version.status.busy,
        "last_modified": version.last_modified,
        "settings": json.dumps(settings, separators=(",", ":")),
    }


def decode(row: Row[Any]) -> FunctionVersion:
    """The version that a row of `queries.JOINED` holds."""
    settings = json.loads(row.settings)
    environment = settings["environment"]
    return FunctionVersion(
        scope=Scope(row.account, row.region),
        name=row.name,
        version=qualifier_of(row.number),
        runtime=settings["runtime"],
        handler=settings["handler"],
        role=settings["role"],
        code=Code(
            row.code_key,
            row.code_sha256,
            row.code_size,
            image_uri=settings.get("image_uri", ""),
            kms_key_arn=settings.get("code_kms_key_arn", ""),
        ),
        revision_id=row.revision_id,
        last_modified=row.last_modified,
        description=settings["description"],
        timeout_s=settings["timeout_s"],
        memory_mb=settings["memory_mb"],
        tmp_mb=settings["tmp_mb"],
        environment=None if environment is None else MappingProxyType(environment),
        architectures=tuple(settings["architectures"]),
        package_type=settings["package_type"],
        status=_read_status(settings["status"]),
        run_key=row.run_key,
        layers=tuple(Layer(**layer) for layer in settings.get("layers", ())),
        documents=MappingProxyType(settings["documents"]),
    )


def fingerprint(latest: FunctionVersion) -> str:
    """A digest of all that publishing copies: equal digests make equal versions."""
    content = [latest.code.key, latest.code.sha256, _configuration(latest)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _configuration(version: FunctionVersion) -> dict[str, object]:
    environment = version.environment
    rare: dict[str, object] = {}  # not written where there is none: fingerprints stay as they were
    if version.layers:
        rare["layers"] = [asdict(layer) for layer in version.layers]
    if version.code.image_uri:
        rare["image_uri"] = version.code.image_uri
    if version.code.kms_key_arn:
        rare["code_kms_key_arn"] = version.code.kms_key_arn
    return rare | {
        "runtime": version.runtime,
        "handler": version.handler,
        "role": version.role,
        "description": version.description,
        "timeout_s": version.timeout_s,
        "memory_mb": version.memory_mb,
        "tmp_mb": version.tmp_mb,
        "environment": None if environment is None else dict(environment),
        "architectures": list(version.architectures),
        "package_type": version.package_type,
        "documents": dict(version.documents),
    }


def _status(status: Status) -> list[str | None]:
    return [
        status.state,
        status.reason,
        status.reason_code,
        status.update,
        status.update_reason,
        status.update_reason_code,
    ]


def _read_status(members: list[Any]) -> Status:
    state, reason, code, update, update_reason, update_code = members
    updated = UpdateStatus(update) if update else None
    return Status(State(state), reason, code, updated, update_reason, update_code)
