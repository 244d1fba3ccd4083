"""Configurations of the projects before this one, read as settings of ours.

Lambda@Home's TOML, Luma's JSON, YAML or environment, and the environment of Open Runtimes' Executor
load unchanged: what has a meaning here is taken, and each key that has none is told in one line.
Nothing in them keeps the server from starting.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

Values = dict[str, dict[str, Any]]
Taken = Mapping[tuple[str, str], Any]
"""Values by section and key."""

_HIGHEST_PORT: Final = 65_535
_SOFT_MS: Final = 45_000
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_UNITS: Final = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "h": 3_600_000}
_ENV_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=(.*)")
_FOREIGN = ("OPR_", "LUMA_")

ONE_PORT: Final = "one port serves everything that its two ports did"
ALWAYS: Final = "AWS's limits hold here"
ACCESS: Final = "set [access] and make access keys instead"
NO_DNS: Final = "names and certificates are made elsewhere; server.tls_certificate names one"
UNKNOWN: Final = "nothing of that kind is known here"


@dataclass(frozen=True, slots=True)
class Seed:
    """What was found: settings by section and key, and a line for each that has no meaning here.

    `file` is the configuration file if it is one of ours, to be read as such.
    """

    file: Path | None = None
    values: Values = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class _Meaningless(Exception):
    """A key, or its value, means nothing here; says why."""


Meaning = Callable[[Any], Taken]


def read(file: Path | None, environment: Mapping[str, str]) -> Seed:
    """What a configuration file and the environment have of other projects' settings.

    The environment counts for more than the file.
    """
    found = _Found()
    own = None
    if file is not None and not _read_file(file, found):
        own = file
    variables = {name: value for name, value in environment.items() if name.startswith(_FOREIGN)}
    found.take_all("the environment", variables, _VARIABLES)
    return Seed(own, found.values, tuple(found.warnings))


class _Found:
    """Collects settings and warnings."""

    def __init__(self) -> None:
        self.values: Values = {}
        self.warnings: list[str] = []

    def take_all(
        self, source: str, given: Mapping[str, Any], meanings: Mapping[str, Meaning | str]
    ) -> None:
        """Take what has a meaning; a text in `meanings` says why a key has none."""
        for key, value in given.items():
            if value is None or value == "":
                continue
            try:
                self.take(_meaning(meanings.get(key, UNKNOWN), value))
            except _Meaningless as error:
                self.warnings.append(f"{source}: {key} is not used: {error}.")

    def take(self, values: Taken) -> None:
        """Take settings."""
        for (section, key), value in values.items():
            self.values.setdefault(section, {})[key] = value


def _meaning(meaning: Meaning | str, value: Any) -> Taken:
    if isinstance(meaning, str):
        raise _Meaningless(meaning)
    return meaning(value)


# ------------------------------------------------------------------------------------------ values


def _setting(section: str, key: str, read_as: Callable[[Any], Any]) -> Meaning:
    return lambda value: {(section, key): read_as(value)}


def _port(value: Any) -> int:
    """A port, which Luma writes as ":8080"."""
    text = str(value).strip().rpartition(":")[2]
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise _Meaningless(f"{value!r} is no port")
    return int(text)


def _milliseconds(value: Any) -> int:
    """A time: a number of seconds, or a number with Go's units."""
    match = _DURATION.fullmatch(str(value).strip())
    milliseconds = round(float(match[1]) * _UNITS[match[2]]) if match else 0
    if milliseconds <= 0:
        raise _Meaningless(f"{value!r} is no time")
    return milliseconds


def _seconds(value: Any) -> float:
    return _milliseconds(value) / 1000


def _inactivity(value: Any) -> Taken:
    """After this time an idle environment is removed; it is frozen before, or then."""
    hard = _milliseconds(value)
    return {("idle", "hard_ms"): hard, ("idle", "soft_ms"): min(hard, _SOFT_MS)}


def _network(value: Any) -> str:
    """The first of a list of networks."""
    first = str(value).split(",")[0].strip()
    if not _NETWORK.fullmatch(first):
        raise _Meaningless(f"{value!r} is no name of a network")
    return first


def _positive(value: Any) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) == 0:
        raise _Meaningless(f"{value!r} is no positive whole number")
    return int(text)


def _memory_mb(value: Any) -> int:
    """What Lambda can give."""
    return min(max(_positive(value), 128), 10_240)


def _boolean(value: Any) -> bool:
    if str(value).lower() in {"true", "enabled", "1", "yes", "on"}:
        return True
    if str(value).lower() in {"false", "disabled", "0", "no", "off"}:
        return False
    raise _Meaningless(f"{value!r} is neither true nor false")


def _db_url(value: Any) -> str:
    """Lambda@Home also writes `sqlite:PATH`, and `sqlite::memory:` for a database of the moment."""
    path = str(value).removeprefix("sqlite://").removeprefix("sqlite:")
    if path in {"", ":memory:"}:
        raise _Meaningless("the database is a file; --ephemeral keeps nothing")
    return f"sqlite://{path}"


# --------------------------------------------------------------------------- Open Runtimes, Luma

_VARIABLES: Final[Mapping[str, Meaning | str]] = {
    "OPR_EXECUTOR_INACTIVE_THRESHOLD": _inactivity,
    "OPR_EXECUTOR_INACTIVE_TRESHOLD": _inactivity,  # its name in older versions
    "OPR_EXECUTOR_NETWORK": _setting("docker", "network", _network),
    "OPR_EXECUTOR_IMAGE_PULL": _setting("docker", "allow_pull", _boolean),
    "OPR_EXECUTOR_SECRET": ACCESS,
    "OPR_EXECUTOR_ENV": "this server has one mode",
    "OPR_EXECUTOR_IMAGES": "[docker.images] names the base image of a runtime",
    "OPR_EXECUTOR_IMAGE": "[docker.images] names the base image of a runtime",
    "OPR_EXECUTOR_RUNTIMES": "functions name their runtime when they are created",
    "OPR_EXECUTOR_RUNTIME_VERSIONS": "functions name their runtime when they are created",
    "OPR_EXECUTOR_CONNECTION_STORAGE": "code lies in data.dir",
    "OPR_EXECUTOR_CONNECTION_BUILD_CACHE_STORAGE": "code lies in data.dir",
    "OPR_EXECUTOR_MAINTENANCE_INTERVAL": "idle environments are removed when it is time",
    "OPR_EXECUTOR_DOCKER_HUB_USERNAME": "use `docker login`",
    "OPR_EXECUTOR_DOCKER_HUB_PASSWORD": "use `docker login`",
    "OPR_EXECUTOR_RETRY_ATTEMPTS": "callers wait until an environment is ready",
    "OPR_EXECUTOR_RETRY_DELAY_MS": "callers wait until an environment is ready",
    "OPR_EXECUTOR_LOGGING_PROVIDER": "logs are files in data.dir",
    "OPR_EXECUTOR_LOGGING_CONFIG": "logs are files in data.dir",
    "LUMA_PROXY_PORT": _setting("server", "port_user_api", _port),
    "LUMA_API_PORT": ONE_PORT,
    "LUMA_INACTIVITY_TIMEOUT": _inactivity,
    "LUMA_CHECK_INTERVAL": "idle environments are removed when it is time",
    "LUMA_SERVER_ADDRESS": "execution environments need no address",
    "LUMA_CLOUDFLARE_ENABLED": NO_DNS,
    "LUMA_CLOUDFLARE_API_TOKEN": NO_DNS,
    "LUMA_CLOUDFLARE_ZONE_ID": NO_DNS,
    "LUMA_CLOUDFLARE_BASE_DOMAIN": NO_DNS,
    "LUMA_CLOUDFLARE_AUTO_GENERATE": NO_DNS,
}

_LUMA_KEYS: Final[Mapping[str, Meaning | str]] = {
    "port": _setting("server", "port_user_api", _port),
    "proxy_server_port": _setting("server", "port_user_api", _port),
    "api_server_port": ONE_PORT,
    "inactivity_timeout": _inactivity,
    "check_interval": _VARIABLES["LUMA_CHECK_INTERVAL"],
    "scale_threshold": "there is an environment for each request at a time",
    "server_address": _VARIABLES["LUMA_SERVER_ADDRESS"],
    "cloudflare": NO_DNS,
    "name": "this server has no project",
    "apps": "functions are created by the API, not by a file",
    "services": "functions are created by the API, not by a file",
    "ssh": "nothing is deployed over SSH",
    "docker": "no registry is used but the Docker daemon's",
    "proxy": NO_DNS,
}

# ---------------------------------------------------------------------------------- Lambda@Home

_HOME_KEYS: Final[Mapping[str, Meaning | str]] = {
    "server.max_request_body_size_mb": ALWAYS,
    "server.console_port": ONE_PORT,
    "server.api_port": _setting("server", "port_user_api", _port),
    "server.ric_port": _setting("server", "port_runtime_api", _port),
    "warmup.enabled": _setting("prewarm", "on_create", _boolean),
    "warmup.timeout_ms": "starting an environment ahead keeps nobody waiting",
}
"""Keys of later versions than its README's, all of whose keys are ours."""

_DB_URL: Final = _setting("data", "db_url", _db_url)

_FIRST_KEYS: Final[Mapping[str, Meaning | str]] = {
    "server_address": _setting("server", "bind", str),
    "port": _setting("server", "port_user_api", _port),
    "storage_path": _setting("data", "dir", str),
    "docker_config.network_name": _setting("docker", "network", _network),
    "docker_config.container_prefix": "names of containers are the server's own",
    "docker_config.container_labels": "labels of containers are the server's own",
    "execution_config.max_concurrent_executions": _setting(
        "limits", "max_global_concurrency", _positive
    ),
    "execution_config.max_memory_mb": _setting("defaults", "memory_mb", _memory_mb),
    "execution_config.max_cpu_shares": "a function's share of the processor follows its memory",
    "ric_config.port": _setting("server", "port_runtime_api", _port),
    "ric_config.startup_timeout_seconds": _setting("sandbox", "init_timeout_ms", _milliseconds),
    "ric_config.shutdown_timeout_seconds": _setting("server", "shutdown_grace_s", _seconds),
    "lifecycle_config.max_idle_time_seconds": _inactivity,
    "lifecycle_config.max_container_age_seconds": "environments have no age limit",
    "lifecycle_config.cleanup_interval_seconds": "idle environments are removed when it is time",
    "lifecycle_config.max_containers_per_function": "reserved concurrency is set by the API",
    "lifecycle_config.max_global_containers": "limits.max_global_concurrency is the limit",
}
"""Its first version's, before it was named so."""

_FIRST_SECTIONS: Final = frozenset(
    {"docker_config", "execution_config", "ric_config", "lifecycle_config"}
)


# -------------------------------------------------------------------------------------------- files


def _read_file(file: Path, found: _Found) -> bool:
    """Take a file of another project's; False for one of ours, of which nothing is taken."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        return False  # who reads ours says why
    variables = dict(_variables(text))
    if any(name.startswith(_FOREIGN) for name in variables):
        found.take_all(str(file), variables, _VARIABLES)
        return True
    try:
        return _read_toml(str(file), tomllib.loads(text), found)
    except tomllib.TOMLDecodeError:
        pass
    document = _mapping(text)
    if document is None or not document.keys() & _LUMA_KEYS.keys():
        return False
    found.take_all(str(file), document, _LUMA_KEYS)
    return True


def _read_toml(source: str, document: dict[str, Any], found: _Found) -> bool:
    if document.keys() & _FIRST_SECTIONS:
        found.take_all(source, dict(_flat(document)), _FIRST_KEYS)
        return True
    given = {
        key: value for key, value in _flat(document) if key in _HOME_KEYS or _is_theirs(key, value)
    }
    if not given:
        return False
    for key in given:
        section, _, name = key.partition(".")
        document[section].pop(name)
    if not document.get("warmup", {}):
        document.pop("warmup", None)
    # What is left is held against our own settings, which have all the others.
    for section, keys in document.items():
        found.values[section] = dict(keys) if isinstance(keys, dict) else keys
    found.take_all(source, given, {**_HOME_KEYS, "data.db_url": _DB_URL})
    return True


def _is_theirs(key: str, value: Any) -> bool:
    """Whether a value is in Lambda@Home's form of the database's address."""
    single = isinstance(value, str) and re.match(r"sqlite:(?!//)", value)
    return key == "data.db_url" and bool(single)


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys of the sections as `section.key`, others as they are."""
    for key, value in document.items():
        if isinstance(value, dict):
            for name, inner in value.items():
                yield f"{key}.{name}", inner
        else:
            yield key, value


def _variables(text: str) -> Iterator[tuple[str, str]]:
    """The lines of a file of environment variables; nothing if there is a line that is none."""
    found = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(stripped)
        if match is None:
            return
        value = match[2].strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        found.append((match[1], value[1:-1] if quoted else value))
    yield from found


def _mapping(text: str) -> dict[str, Any] | None:
    """A JSON or YAML document that is a mapping."""
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
