"""Settings: packaged defaults < file < environment < flags, as frozen sections.

`configs/default.toml` is the one place where defaults stand; an unknown key or a bad value raises
ConfigurationError with one line that names it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from lambda_home.bundled import bundled
from lambda_home.errors import ConfigurationError

ENV_PREFIX = "LAMBDA_HOME_"
_OF_COMMANDS = frozenset({"LAMBDA_HOME_ENDPOINT_URL", "LAMBDA_HOME_TOKEN"})  # no settings
DEFAULT_DB_URL = "sqlite://data/lhome.db"

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
HostName = Annotated[str, Field(pattern=r"^\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]
Origin = Annotated[str, Field(pattern=r"^https?://[^/?#@*\s]+$")]
Url = Annotated[str, Field(pattern=r"^(https?://.+)?$")]


class Section(BaseModel):
    """One TOML table."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the two APIs listen."""

    bind: str
    port_user_api: Port
    port_runtime_api: Port
    insecure: bool
    shutdown_grace_s: Annotated[float, Field(ge=0)]
    allowed_hosts: tuple[HostName, ...]
    allowed_origins: tuple[Origin, ...]
    tls_certificate: str
    tls_key: str
    header_timeout_s: Seconds
    body_timeout_s: Seconds
    write_timeout_s: Seconds
    max_connections: Positive


class DataSettings(Section):
    """Where state lies."""

    dir: Path
    db_url: Annotated[str, Field(pattern=r"^sqlite://.+")]
    log_max_mb: Positive

    @property
    def database(self) -> Path:
        """The SQLite file."""
        if self.db_url == DEFAULT_DB_URL:
            return self.dir / "lhome.db"
        return Path(self.db_url.removeprefix("sqlite://"))


class DockerSettings(Section):
    """The Docker daemon and what it runs."""

    host: str
    network: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")]
    allow_pull: bool
    internet: bool
    images: dict[str, str]


class SandboxSettings(Section):
    """Which sandbox, and how environments start in it."""

    kind: Literal["auto", "docker", "process"]
    init_timeout_ms: Positive
    max_parallel_starts: Positive
    firewall: bool
    closed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...]


class SpareSettings(Section):
    """Environments that are started before anyone needs them."""

    per_size: Annotated[int, Field(ge=0)]
    most: Annotated[int, Field(ge=0)]


class DefaultSettings(Section):
    """What a body in Lambda@Home's form that leaves a member out gets."""

    memory_mb: Annotated[int, Field(ge=128, le=10240)]
    timeout_ms: Annotated[int, Field(ge=1000, le=900_000)]
    tmp_mb: Annotated[int, Field(ge=512, le=10240)]


class FunctionSettings(Section):
    """How functions change their states, and what must exist for them."""

    transition_ms: Annotated[int, Field(ge=0)]
    strict_states: bool
    endpoint_url: bool
    ignore_architecture: bool
    role: Literal["admin", "deployer", "invoker", "viewer"]
    check_roles: bool
    allow_deprecated_runtimes: bool
    hot_reload_bucket: str
    hot_reload_folders: tuple[Annotated[str, Field(pattern=r"^/")], ...]
    hot_reload_ignore: tuple[str, ...]
    hot_reload_poll_ms: Annotated[int, Field(ge=0)]


class IdleSettings(Section):
    """When idle environments are frozen and removed (milliseconds)."""

    soft_ms: Positive
    hard_ms: Positive


class PrewarmSettings(Section):
    """When environments are started before an invocation asks for them."""

    on_create: bool
    ewma: bool


class LimitSettings(Section):
    """Limits of an account."""

    max_global_concurrency: Positive


class AwsSettings(Section):
    """Who callers are taken for where they do not say, and where other services are."""

    account_id: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    companion: Annotated[str, Field(pattern=r"^(moto|https?://[^/?#\s]+[^?#\s]*)?$")]
    endpoint_url: Url
    endpoints: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], Url]


class AsyncSettings(Section):
    """Asynchronous invokes."""

    retry_base_s: Annotated[float, Field(ge=0)]
    workers: Positive
    max_event_age_s: Positive


class AccessSettings(Section):
    """How callers are known."""

    auth: Literal["none", "sigv4"]


class SecretSettings(Section):
    """How secrets and access keys are encrypted in the database."""

    key: SecretStr


class LogSettings(Section):
    """How much is kept of what functions log."""

    max_mb: Positive
    max_invocation_mb: Annotated[int, Field(ge=0)]
    retention_days: Annotated[int, Field(ge=0)]
    files: bool


class LoggingSettings(Section):
    """The server's own log."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "json", "pretty"]
    invocations: bool


class TracingSettings(Section):
    """Where traces of invocations are sent."""

    otlp_endpoint: Url


class BuildSettings(Section):
    """How deployment packages are made of sources."""

    workers: Positive
    timeout_s: Seconds
    sandbox: Literal["auto", "docker", "process"]
    memory_mb: Annotated[int, Field(ge=64)]
    tmp_mb: Positive
    disk_mb: Positive
    log_mb: Positive
    cache_mb: Annotated[int, Field(ge=0)]
    keep: Positive
    images: dict[str, str]
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str]


class TestingSettings(Section):
    """What only tests of one's own need."""

    virtual_clock: bool


class Settings(BaseSettings):
    """All settings; make one with `load`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_prefix_target="all",
        env_nested_delimiter="__",
    )

    server: ServerSettings
    data: DataSettings
    docker: DockerSettings
    sandbox: SandboxSettings
    spares: SpareSettings
    defaults: DefaultSettings
    functions: FunctionSettings
    idle: IdleSettings
    prewarm: PrewarmSettings
    limits: LimitSettings
    aws: AwsSettings
    asynchronous: AsyncSettings = Field(alias="async")
    access: AccessSettings
    secrets: SecretSettings
    logs: LogSettings
    logging: LoggingSettings
    tracing: TracingSettings
    builds: BuildSettings
    testing: TestingSettings


def load(
    file: Path | None = None,
    flags: Mapping[str, Mapping[str, object]] | None = None,
    seed: Mapping[str, Mapping[str, object]] | None = None,
) -> Settings:
    """Read the settings: packaged defaults < `file` < `seed` < environment < `flags` (by section).

    `seed` is what other projects' configurations say (`seed_settings`).

    Raises ConfigurationError for a file that cannot be read, an unknown key or a bad value.
    """
    _refuse_unknown_sections(os.environ)
    files = [bundled("configs") / "default.toml", *([file] if file else [])]

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Highest priority first."""
            del dotenv_settings, file_secret_settings
            toml = TomlConfigSettingsSource(settings_cls, toml_file=files, deep_merge=True)
            other = InitSettingsSource(settings_cls, cast("dict[str, Any]", dict(seed or {})))
            return init_settings, env_settings, other, toml

    if file is not None and not file.is_file():
        raise ConfigurationError(f"Cannot read the configuration file {file}: no such file.")
    try:
        return Sourced(**cast("dict[str, Any]", dict(flags or {})))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from error
    except SettingsError as error:
        raise ConfigurationError(f"Bad setting: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(_first_fault(error)) from error


def _refuse_unknown_sections(environment: Mapping[str, str]) -> None:
    known = {field.alias or name for name, field in Settings.model_fields.items()}
    for variable in environment:
        if not variable.upper().startswith(ENV_PREFIX) or variable in _OF_COMMANDS:
            continue
        section = variable.upper().removeprefix(ENV_PREFIX).split("__")[0].lower()
        if section not in known or "__" not in variable:
            raise ConfigurationError(
                f"Unknown setting {variable} in the environment: expected"
                f" {ENV_PREFIX}<SECTION>__<KEY> with a section of {', '.join(sorted(known))}."
            )


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"Unknown setting {key}."
    shown = "" if key.startswith("secrets.") else f" {fault['input']!r}"
    return f"Bad value{shown} for setting {key}: {fault['msg']}."
