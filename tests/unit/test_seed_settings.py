"""seed_settings.py: other projects' configurations load unchanged; what means nothing is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambda_home.config import Settings, load
from lambda_home.errors import ConfigurationError
from lambda_home.seed_settings import read

README_FORM = """
[server]
bind = "127.0.0.1"
port_user_api = 9100
port_runtime_api = 9101

[data]
dir = "data"
db_url = "sqlite://data/lhome.db"

[docker]
host = ""

[defaults]
memory_mb = 256
timeout_ms = 3000
tmp_mb = 512

[idle]
soft_ms = 45000   # stop container
hard_ms = 300000  # rm container

[limits]
max_global_concurrency = 99
"""
HEAD_FORM = (
    README_FORM.replace("[data]", "max_request_body_size_mb = 50\nconsole_port = 9000\n[data]")
    + """
[warmup]
enabled = true
timeout_ms = 30000
"""
)
FIRST_FORM = """
server_address = "127.0.0.1"
port = 3000
storage_path = "./functions"

[docker_config]
network_name = "lambda-network"
container_prefix = "lambda-"
container_labels = {}

[execution_config]
max_concurrent_executions = 100
max_memory_mb = 64
max_cpu_shares = 1.0

[ric_config]
port = 8080
startup_timeout_seconds = 30
shutdown_timeout_seconds = 10

[lifecycle_config]
max_idle_time_seconds = 300
max_container_age_seconds = 3600
"""
LUMA_JSON = json.dumps(
    {
        "proxy_server_port": ":8080",
        "api_server_port": ":8081",
        "inactivity_timeout": 20,
        "check_interval": 3,
        "server_address": "localhost",
        "cloudflare": {"enabled": True, "api_token": "token-of-cloudflare"},
    }
)
LUMA_YAML = """
name: my-app
apps:
  web:
    image: my-app/web
    servers: [your-server.com]
    proxy: {hosts: [myapp.com], app_port: 3000}
services:
  db: {image: "postgres:17"}
"""
EXECUTOR = """# compose reads this
OPR_EXECUTOR_ENV=development
OPR_EXECUTOR_IMAGES=openruntimes/php:v5-8.3
OPR_EXECUTOR_CONNECTION_STORAGE=file://localhost
OPR_EXECUTOR_CONNECTION_BUILD_CACHE_STORAGE=
OPR_EXECUTOR_INACTIVE_THRESHOLD=60
OPR_EXECUTOR_MAINTENANCE_INTERVAL=60
export OPR_EXECUTOR_NETWORK="openruntimes-runtimes,other"
OPR_EXECUTOR_SECRET=executor-secret-key
OPR_EXECUTOR_DOCKER_HUB_USERNAME=
OPR_EXECUTOR_DOCKER_HUB_PASSWORD='hub-password'
OPR_EXECUTOR_RUNTIME_VERSIONS=v5
OPR_EXECUTOR_RETRY_ATTEMPTS=5
OPR_EXECUTOR_RETRY_DELAY_MS=500
OPR_EXECUTOR_IMAGE_PULL=disabled
"""


def both(tmp_path: Path, text: str, **environment: str) -> tuple[Settings, tuple[str, ...]]:
    file = tmp_path / "configuration"
    file.write_text(text)
    seed = read(file, environment)
    return load(seed.file, None, seed.values), seed.warnings


def told(warnings: tuple[str, ...]) -> list[str]:
    """The keys that are told to mean nothing."""
    for warning in warnings:
        assert "\n" not in warning
        assert warning.endswith(".")
    return [warning.partition(": ")[2].partition(" is not used: ")[0] for warning in warnings]


def test_the_form_of_lambda_at_homes_readme_is_ours(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, README_FORM)
    assert warnings == ()
    assert settings.server.port_user_api == 9100
    assert settings.server.port_runtime_api == 9101
    assert settings.defaults.memory_mb == 256
    assert settings.limits.max_global_concurrency == 99
    assert settings.data.dir == Path("data")


def test_the_form_of_lambda_at_homes_last_version_is_taken(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, HEAD_FORM)
    assert settings.prewarm.on_create
    assert settings.server.port_user_api == 9100
    assert settings.limits.max_global_concurrency == 99
    assert sorted(told(warnings)) == [
        "server.console_port",
        "server.max_request_body_size_mb",
        "warmup.timeout_ms",
    ]


def test_its_ports_may_have_their_other_names(tmp_path: Path) -> None:
    text = "[server]\napi_port = 8000\nric_port = 8001\n[warmup]\nenabled = false\n"
    settings, warnings = both(tmp_path, text)
    assert (settings.server.port_user_api, settings.server.port_runtime_api) == (8000, 8001)
    assert not settings.prewarm.on_create
    assert warnings == ()


@pytest.mark.parametrize(
    ("written", "database", "keys"),
    [
        ("sqlite::memory:", "data/lhome.db", ["data.db_url"]),
        ("sqlite:other/home.db", "other/home.db", []),
        ("sqlite:///app/data/lhome.db", "/app/data/lhome.db", []),
    ],
)
def test_its_addresses_of_databases_are_understood(
    tmp_path: Path, written: str, database: str, keys: list[str]
) -> None:
    settings, warnings = both(tmp_path, f'[data]\ndb_url = "{written}"\n')
    assert settings.data.database == Path(database)
    assert told(warnings) == keys


def test_the_form_of_its_first_version_is_taken(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, FIRST_FORM)
    assert (settings.server.bind, settings.server.port_user_api) == ("127.0.0.1", 3000)
    assert settings.server.port_runtime_api == 8080
    assert settings.data.dir == Path("functions")
    assert settings.docker.network == "lambda-network"
    assert settings.limits.max_global_concurrency == 100
    assert settings.defaults.memory_mb == 128
    assert settings.sandbox.init_timeout_ms == 30_000
    assert settings.server.shutdown_grace_s == 10
    assert settings.idle.hard_ms == 300_000
    assert "execution_config.max_cpu_shares" in told(warnings)


def test_lumas_json_is_taken(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, LUMA_JSON)
    assert settings.server.port_user_api == 8080
    assert (settings.idle.hard_ms, settings.idle.soft_ms) == (20_000, 20_000)
    assert told(warnings) == ["api_server_port", "check_interval", "server_address", "cloudflare"]
    assert "token-of-cloudflare" not in str(warnings)


def test_lumas_yaml_says_nothing_about_a_server_and_stops_none(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, LUMA_YAML)
    assert settings.model_dump() == load().model_dump()
    assert told(warnings) == ["name", "apps", "services"]


@pytest.mark.parametrize(
    ("written", "hard_ms"), [("10m", 600_000), ("90s", 90_000), ("1.5h", 5_400_000)]
)
def test_times_may_have_units(tmp_path: Path, written: str, hard_ms: int) -> None:
    settings, _ = both(tmp_path, f"port: 8080\ninactivity_timeout: {written}\n")
    assert (settings.idle.hard_ms, settings.idle.soft_ms) == (hard_ms, 45_000)


def test_the_executors_file_is_taken(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, EXECUTOR)
    assert settings.idle.hard_ms == 60_000
    assert settings.docker.network == "openruntimes-runtimes"
    assert not settings.docker.allow_pull
    assert "OPR_EXECUTOR_SECRET" in told(warnings)
    assert len(warnings) == 9
    assert "executor-secret-key" not in str(warnings)
    assert "hub-password" not in str(warnings)


def test_a_file_of_numbers_is_no_toml_of_ours(tmp_path: Path) -> None:
    settings, warnings = both(tmp_path, "OPR_EXECUTOR_INACTIVE_TRESHOLD=30\nLUMA_PROXY_PORT=8088\n")
    assert (settings.idle.hard_ms, settings.server.port_user_api) == (30_000, 8088)
    assert warnings == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPR_EXECUTOR_INACTIVE_THRESHOLD", "soon"),
        ("OPR_EXECUTOR_INACTIVE_THRESHOLD", "-1"),
        ("OPR_EXECUTOR_NETWORK", "no network"),
        ("OPR_EXECUTOR_IMAGE_PULL", "perhaps"),
        ("OPR_EXECUTOR_OF_TOMORROW", "1"),
        ("LUMA_PROXY_PORT", "65536"),
        ("LUMA_INACTIVITY_TIMEOUT", "0"),
    ],
)
def test_what_cannot_be_understood_is_told_and_stops_nothing(name: str, value: str) -> None:
    seed = read(None, {name: value})
    assert told(seed.warnings) == [name]
    assert load(None, None, seed.values).model_dump() == load().model_dump()


def test_flags_count_most_then_our_environment_then_theirs_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[server]\nport_user_api = 1\nport_runtime_api = 1\n[idle]\nhard_ms = 1\n")
    theirs = {"LUMA_PROXY_PORT": "2", "LUMA_INACTIVITY_TIMEOUT": "2"}
    seed = read(file, theirs)
    assert seed.file == file
    settings = load(seed.file, None, seed.values)
    assert settings.server.port_user_api == 2
    assert settings.server.port_runtime_api == 1
    assert settings.idle.hard_ms == 2000
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_USER_API", "3")
    assert load(seed.file, None, seed.values).server.port_user_api == 3
    flags = {"server": {"port_user_api": 4}}
    assert load(seed.file, flags, seed.values).server.port_user_api == 4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[servers]\nport_user_api = 1\n", "servers"),
        ("[server]\nunknown = 1\n[warmup]\nenabled = true\n", "server.unknown"),
        ("[warmup]\nunknown = 1\n", "warmup"),
        ('[data]\ndb_url = "postgres://x"\n', "data.db_url"),
    ],
)
def test_unknown_keys_of_our_own_files_are_errors(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        both(tmp_path, text)


@pytest.mark.parametrize("text", ["just words", "- a\n- list\n", "{", "a: b\n", "\x00"])
def test_what_is_nobodys_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        both(tmp_path, text)


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    seed = read(tmp_path / "none.toml", {})
    with pytest.raises(ConfigurationError, match="no such file"):
        load(seed.file)
