"""Builds as documents, and what may be asked of one; pure.

States are those of Open Runtimes' builds: waiting, processing, then ready, failed or canceled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from lambda_home.builds.git_sources import checked_source, shown_url
from lambda_home.builds.trees import PlanError
from lambda_home.errors import InvalidParameterValueException
from lambda_home.runtimes import runtime as known_runtime

LONGEST_COMMAND: Final = 1024
"""Characters, as the executor of Open Runtimes takes them."""
_RUNTIME = re.compile(r"[a-z][a-z0-9._]{0,63}")
_CACHE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LONGEST_PATH = 1024
_LONGEST_VARIABLES = 4096
_OURS = frozenset({"HOME", "PATH", "TMPDIR"})
_MEMBERS: Final = {
    "git": str,
    "ref": str,
    "directory": str,
    "runtime": str,
    "command": str,
    "output_directory": str,
    "cache_key": str,
    "variables": dict,
    "function": str,
    "deploy": bool,
}
_ALSO_CALLED: Final = {"outputDirectory": "output_directory", "cacheKey": "cache_key"}


class Status(StrEnum):
    """How far a build is."""

    WAITING = "waiting"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (Status.WAITING, Status.PROCESSING)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks a build for. Without `git` the sources come as an archive.

    `directory` is the folder of the sources that is built; `output_directory` that of which the
    package is made, relative to it. `cache_key` names what is kept for later builds, else that
    follows from runtime and lock files. With `deploy`, `function` gets the package as its code.
    """

    git: str = ""
    ref: str = ""
    directory: str = ""
    runtime: str = ""
    command: str = ""
    output_directory: str = ""
    cache_key: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    function: str = ""
    deploy: bool = False


@dataclass(frozen=True, slots=True)
class Build:
    """One build. Times are seconds since the epoch, 0 for what has not come; sizes are bytes.

    `manifest` is what it was made by, `code_sha256` as Lambda has it, `commit` of a git source.
    """

    id: str
    asked: Asked
    status: Status
    created_at: float
    started_at: float = 0.0
    ended_at: float = 0.0
    reason: str = ""
    runtime: str = ""
    manifest: str = ""
    sandbox: str = ""
    commit: str = ""
    size: int = 0
    unpacked_size: int = 0
    code_sha256: str = ""
    deployed: bool = False

    def ended(self, status: Status, reason: str, now: float) -> Build:
        """The same, at its end: passwords in a URL and values of variables are forgotten."""
        asked = replace(
            self.asked,
            git=shown_url(self.asked.git),
            variables=dict.fromkeys(self.asked.variables, ""),
        )
        return replace(self, asked=asked, status=status, reason=reason, ended_at=now)

    def document(self) -> dict[str, Any]:
        """What the registry keeps."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Build:
        """What a document of the registry says."""
        known = {each.name for each in fields(cls)}
        members = {name: value for name, value in document.items() if name in known}
        asked = {each.name for each in fields(Asked)}
        members["asked"] = Asked(
            **{name: value for name, value in document["asked"].items() if name in asked}
        )
        members["status"] = Status(document["status"])
        return cls(**members)

    def shown(self) -> dict[str, Any]:
        """What the API answers; values of variables are not told."""
        asked = self.asked
        source: dict[str, Any]
        source = {"git": shown_url(asked.git), "ref": asked.ref} if asked.git else {"archive": True}
        if self.commit:
            source["commit"] = self.commit
        end = self.ended_at or None
        return {
            "id": self.id,
            "status": str(self.status),
            "reason": self.reason or None,
            "source": source,
            "directory": asked.directory,
            "runtime": self.runtime or asked.runtime or None,
            "manifest": self.manifest or None,
            "command": asked.command or None,
            "output_directory": asked.output_directory or None,
            "cache_key": asked.cache_key or None,
            "variables": sorted(asked.variables),
            "sandbox": self.sandbox or None,
            "function": asked.function or None,
            "deploy": asked.deploy,
            "deployed": self.deployed,
            "created_at": self.created_at,
            "started_at": self.started_at or None,
            "ended_at": end,
            "duration_s": round(end - self.started_at, 3) if end and self.started_at else None,
            "size": self.size or None,
            "unpacked_size": self.unpacked_size or None,
            "code_sha256": self.code_sha256 or None,
        }


def asked_of(document: Mapping[str, Any], *, has_archive: bool) -> Asked:
    """What a request asks for. Raises InvalidParameterValueException, in one line."""
    given = {_ALSO_CALLED.get(name, name): value for name, value in document.items()}
    for name, value in given.items():
        if name not in _MEMBERS:
            raise _wrong(f"A build has no {name[:64]}: it may have {', '.join(_MEMBERS)}.")
        if not isinstance(value, _MEMBERS[name]):
            kind = {str: "a string", bool: "true or false", dict: "an object"}[_MEMBERS[name]]
            raise _wrong(f"{name} must be {kind}.")
    asked = Asked(**given)
    _check_source(asked, has_archive=has_archive)
    _check_text(asked)
    _check_variables(asked.variables)
    if asked.deploy and not asked.function:
        raise _wrong("deploy needs a function to deploy to.")
    return asked


def _check_source(asked: Asked, *, has_archive: bool) -> None:
    if bool(asked.git) == has_archive:
        raise _wrong(
            'The sources of a build are either the body, a .zip or .tar.gz, or {"git": URL}.'
        )
    if asked.ref and not asked.git:
        raise _wrong("ref is for sources in git.")
    if asked.git:
        try:
            checked_source(asked.git, asked.ref)
        except PlanError as error:
            raise _wrong(str(error)) from None


def _check_text(asked: Asked) -> None:
    if asked.runtime and not _RUNTIME.fullmatch(asked.runtime):
        raise _wrong("runtime must be a runtime's name, as python3.13.")
    if asked.runtime and known_runtime(asked.runtime) is None:
        raise _wrong(f"There is no runtime {asked.runtime}: give one as python3.13.")
    if len(asked.command) > LONGEST_COMMAND or "\0" in asked.command:
        raise _wrong(f"command has at most {LONGEST_COMMAND} characters, and no NUL.")
    if asked.cache_key and not _CACHE_KEY.fullmatch(asked.cache_key):
        raise _wrong("cache_key has 1 to 128 letters, digits and ._-, and begins with no sign.")
    for name in ("directory", "output_directory"):
        path: str = getattr(asked, name)
        parts = path.split("/")
        if path and (
            len(path) > _LONGEST_PATH
            or not path.isprintable()
            or path.startswith("-")
            or not {"", ".", ".."}.isdisjoint(parts)
        ):
            raise _wrong(f"{name} must be a folder of the sources, as functions/hello.")


def _check_variables(variables: Mapping[str, Any]) -> None:
    size = 0
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise _wrong("variables must be names and strings, as in an environment.")
        if name in _OURS or name.startswith(("LD_", "_LAMBDA_HOME")):
            raise _wrong(f"The variable {name} is the build's own.")
        size += len(name) + len(value.encode("utf-8", "replace"))
    if size > _LONGEST_VARIABLES:
        raise _wrong(f"variables may have {_LONGEST_VARIABLES} bytes; these have {size}.")


def _wrong(text: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(text)
