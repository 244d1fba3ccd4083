"""Settings: defaults, which source wins, and the one line that a mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_home.config import load
from lambda_home.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os  # noqa: PLC0415  only here is the process's environment touched

    for name in [name for name in os.environ if name.upper().startswith("LAMBDA_HOME_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def fault(file: Path | None = None, flags: dict[str, dict[str, object]] | None = None) -> str:
    """The message of the mistake, which is one line."""
    with pytest.raises(ConfigurationError) as caught:
        load(file, flags)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def test_defaults_are_those_of_lambda_at_home() -> None:
    settings = load()
    assert settings.server.bind == "127.0.0.1"
    assert settings.server.port_user_api == 9000
    assert settings.server.port_runtime_api == 9001
    assert settings.data.dir == Path("data")
    assert settings.data.db_url == "sqlite://data/lhome.db"
    assert settings.docker.host == ""
    defaults = settings.defaults
    assert (defaults.memory_mb, defaults.timeout_ms, defaults.tmp_mb) == (512, 3000, 512)
    assert (settings.idle.soft_ms, settings.idle.hard_ms) == (45_000, 300_000)
    assert settings.limits.max_global_concurrency == 256


def test_file_overrides_defaults_and_leaves_its_neighbours(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "[server]\nport_user_api = 1\n[idle]\nsoft_ms = 7\n"))
    assert (settings.server.port_user_api, settings.server.port_runtime_api) == (1, 9001)
    assert (settings.idle.soft_ms, settings.idle.hard_ms) == (7, 300_000)


def test_environment_overrides_file_and_flags_override_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        tmp_path, "[server]\nport_user_api = 1\nport_runtime_api = 1\nshutdown_grace_s = 1\n"
    )
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_USER_API", "2")
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_RUNTIME_API", "2")
    server = load(file, {"server": {"port_user_api": 3}}).server
    assert (server.port_user_api, server.port_runtime_api, server.shutdown_grace_s) == (3, 2, 1)


def test_section_async_goes_by_its_own_name_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(write(tmp_path, "[async]\nworkers = 3\n")).asynchronous.workers == 3
    monkeypatch.setenv("LAMBDA_HOME_ASYNC__WORKERS", "4")
    assert load().asynchronous.workers == 4
    assert load(None, {"async": {"workers": 5}}).asynchronous.workers == 5


def test_images_of_runtimes_are_read(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[docker.images]\n"python3.12" = "mine:1"\n'))
    assert settings.docker.images == {"python3.12": "mine:1"}


def test_database_lies_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert load().data.database == Path("data/lhome.db")
    moved = load(None, {"data": {"dir": tmp_path}})
    assert moved.data.database == tmp_path / "lhome.db"
    elsewhere = load(None, {"data": {"dir": tmp_path, "db_url": "sqlite:///var/x.db"}})
    assert elsewhere.data.database == Path("/var/x.db")


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.server.bind = "0.0.0.0"


UNKNOWN = [
    ("[server]\nport = 1\n", "server.port"),
    ("[servers]\nport_user_api = 1\n", "servers"),
    ("[warmup]\nenabled = true\n", "warmup"),
    ("[server.deep]\nx = 1\n", "server.deep"),
    ("stray = 1\n", "stray"),
]


@pytest.mark.parametrize(("text", "key"), UNKNOWN)
def test_unknown_key_in_the_file_is_named(tmp_path: Path, text: str, key: str) -> None:
    assert fault(write(tmp_path, text)) == f"Unknown setting {key}."


BAD = [
    ("[server]\nport_user_api = 65536\n", "server.port_user_api", "65536"),
    ("[server]\nport_user_api = -1\n", "server.port_user_api", "-1"),
    ('[server]\nport_user_api = "many"\n', "server.port_user_api", "many"),
    ("server = 3\n", "server", "3"),
    ("[defaults]\nmemory_mb = 64\n", "defaults.memory_mb", "64"),
    ("[defaults]\ntimeout_ms = 900001\n", "defaults.timeout_ms", "900001"),
    ('[sandbox]\nkind = "podman"\n', "sandbox.kind", "podman"),
    ("[limits]\nmax_global_concurrency = 0\n", "limits.max_global_concurrency", "0"),
    ('[data]\ndb_url = "postgres://x"\n', "data.db_url", "postgres://x"),
    ('[aws]\naccount_id = "1"\n', "aws.account_id", "'1'"),
    ("[async]\nworkers = 0\n", "async.workers", "0"),
]


@pytest.mark.parametrize(("text", "key", "value"), BAD)
def test_bad_value_is_named_with_its_key(tmp_path: Path, text: str, key: str, value: str) -> None:
    message = fault(write(tmp_path, text))
    assert f" {key}: " in message
    assert value in message


def test_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    file = write(tmp_path, "[server\n")
    message = fault(file)
    assert str(file) in message
    assert "line 1" in message


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe")
    assert str(file) in fault(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "absent.toml"
    assert str(missing) in fault(missing)
    assert str(tmp_path) in fault(tmp_path)  # a folder is no file


@pytest.mark.parametrize(
    "name", ["LAMBDA_HOME_SERVERS__BIND", "LAMBDA_HOME_PORT", "LAMBDA_HOME_SERVER"]
)
def test_unknown_section_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    assert name in fault()


def test_unknown_key_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT", "1")
    assert fault() == "Unknown setting server.port."


def test_bad_value_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_HOME_IDLE__SOFT_MS", "soon")
    assert fault().startswith("Bad value 'soon' for setting idle.soft_ms: ")
    monkeypatch.delenv("LAMBDA_HOME_IDLE__SOFT_MS")
    monkeypatch.setenv("LAMBDA_HOME_DOCKER__IMAGES", "{not json")
    assert "docker" in fault().lower()


def test_bad_flag_is_named() -> None:
    assert " limits.max_global_concurrency: " in fault(
        None, {"limits": {"max_global_concurrency": 0}}
    )
    assert fault(None, {"server": {"prot": 1}}) == "Unknown setting server.prot."
