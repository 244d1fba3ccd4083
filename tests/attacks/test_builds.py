"""Hostile builds: they are begun together, and each is held against what it must not do."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from building import Builder
from conftest import SANDBOXES
from functions_under_test import fresh_name
from live import LiveServer, zip_of
from observing import WITHOUT_SPARES, until

pytestmark = pytest.mark.slow

PYTHON = "python3.11"
SECRET = "the-servers-own-secret"
SETTINGS = {
    **WITHOUT_SPARES,
    "LAMBDA_HOME_BUILDS__WORKERS": "3",
    "LAMBDA_HOME_BUILDS__TIMEOUT_S": "10",
    "LAMBDA_HOME_BUILDS__MEMORY_MB": "128",
    "LAMBDA_HOME_BUILDS__TMP_MB": "64",
    "LAMBDA_HOME_BUILDS__DISK_MB": "48",
    "LAMBDA_HOME_SECRETS__KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "SOME_TOKEN": SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
}

LOOK_AROUND = """\
import os, pathlib, socket
def tried(what, act):
    try:
        print(what, "DID", act())
    except Exception as error:
        print(what, "refused", type(error).__name__)
tried("environment", lambda: [v for v in os.environ.values() if "secret" in v] or 1 / 0)
tried("docker", lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"))
tried("docker", lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"))
tried("data", lambda: os.listdir(os.environ["DATA"]))
tried("neighbour", lambda: open(os.environ["DATA"] + "/neighbour").read())
tried("home", lambda: os.listdir("/root") or 1 / 0)
tried("shadow", lambda: open("/etc/shadow").read())
tried("processes", lambda: [p for p in os.listdir("/proc") if p.isdigit() and
      b"lambda_home" in pathlib.Path("/proc", p, "cmdline").read_bytes()] or 1 / 0)
tried("plan", lambda: open("/plan/x", "w"))
tried("tools", lambda: open("/tools/bin/pip", "w"))
tried("system", lambda: open("/usr/bin/x", "w"))
tried("root", lambda: open("/x", "w"))
tried("identity", lambda: os.setuid(0) if os.getuid() else 1)
tried("mount", lambda: os.system("mount -t tmpfs none /mnt 2>/dev/null") and 1 / 0)
tried("signal", lambda: os.kill(-1, 0) if os.getuid() == 0 else 1 / 0)
tried("device", lambda: os.mknod("/build/disk", 0o60600, os.makedev(8, 0)))
print("looked")
"""

BUILDS = {
    "looking": ({"look.py": LOOK_AROUND}, "python3 look.py"),
    "forks": (
        {
            "f.py": "import os\nprint('begun', flush=True)\n"
            "while True:\n try: os.fork()\n except OSError: pass\n"
        },
        "python3 f.py",
    ),
    "memory": ({"m.py": "x = []\nwhile True: x.append(bytes(8 << 20))\n"}, "python3 m.py"),
    "flood": ({"a": ""}, "echo first; yes; true"),
    "line": ({"a": ""}, "tr '\\\\0' x </dev/zero"),
    "disk": (
        {"a": ""},
        "i=0; while true; do i=$((i+1)); head -c 9000000 /dev/urandom >/out/$i; done",
    ),
    "file": ({"a": ""}, "head -c 60000000 /dev/zero >/out/one; ls -s /out/one; exit 5"),
    "sleeping": ({"a": ""}, "(sleep 996 &) ; echo done"),
    "links": (
        {"a": "x"},
        "ln -s /etc/passwd p; ln -s ../../.. up; ln -s / root; mkfifo f; ln -s a fine",
    ),
    "output": ({"a": "x"}, "rm -rf dist; ln -s /etc dist"),
    "names": ({"a": "x"}, "printf x > 'a\\\\b'; mkdir -p ok; printf y > ok/y"),
}
ASKED = {"output": {"output_directory": "dist"}}


@dataclass(frozen=True)
class Attacked:
    builder: Builder
    ids: dict[str, str]
    kind: str

    def ended(self, name: str) -> tuple[dict[str, Any], str]:
        found = self.builder.ended(self.ids[name])
        return found, self.builder.log(self.ids[name])


def _slow_in_docker() -> list[Any]:
    """Most of it is the same in both; what differs is worth its time now and then."""
    slow = {"docker": (pytest.mark.languages,)}
    return [
        pytest.param(*each.values, marks=(*each.marks, *slow.get(str(each.values[0]), ())))
        for each in SANDBOXES
    ]


@pytest.fixture(scope="module", params=_slow_in_docker())
def attacked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    data = tmp_path_factory.mktemp("ground") / "data"
    data.mkdir()
    (data / "neighbour").write_text(SECRET)
    flags = ("--sandbox", request.param, "--data-dir", str(data))
    with LiveServer(*flags, environment=SETTINGS) as live:
        builder = Builder(live)
        ids = {
            name: builder.begin(
                sources,
                command=command.replace("\\\\", "\\"),
                runtime=PYTHON,
                **{"variables.DATA": str(data)},
                **ASKED.get(name, {}),
            )
            for name, (sources, command) in BUILDS.items()
        }
        yield Attacked(builder, ids, request.param)


def test_a_build_sees_nothing_but_itself(attacked: Attacked) -> None:
    done, log = attacked.ended("looking")
    assert done["status"] == "ready", log
    assert "Z looked" in log
    assert " DID " not in log
    assert SECRET not in log


def test_forks_end_with_the_build_and_the_server_stays_up(attacked: Attacked) -> None:
    build_id = attacked.ids["forks"]
    until(lambda: "begun" in attacked.builder.log(build_id), "the forks do not begin")
    attacked.builder.call("DELETE", f"/{build_id}")
    assert attacked.ended("forks")[0]["status"] in {"canceled", "failed"}
    assert httpx.get(f"{attacked.builder.server.url}/healthz", timeout=20).status_code == 200
    command = ["pgrep", "-fc", "python3 f.py"]

    def none_left() -> bool:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stdout.strip() == "0"

    until(none_left, "forks are left")


def test_memory_is_bounded(attacked: Attacked) -> None:
    done, _ = attacked.ended("memory")
    assert (
        done["reason"] == "The build needs more than 128 MB of memory (setting builds.memory_mb)."
    )


@pytest.mark.parametrize("name", ["flood", "line"])
def test_endless_output_is_bounded_and_ended(attacked: Attacked, name: str) -> None:
    done, log = attacked.ended(name)
    assert done["status"] == "failed"
    assert done["reason"] == "The build printed more than 64 MB: make it quieter."
    assert len(log) < 2 << 20
    assert "left out here" in log


@pytest.mark.parametrize("name", ["disk", "file"])
def test_the_disk_is_bounded(attacked: Attacked, name: str) -> None:
    done, log = attacked.ended(name)
    assert done["status"] == "failed", log
    assert "disk" in done["reason"] or "room" in done["reason"] or "65536" not in log
    folder = attacked.builder.server.data_dir / "builds" / "000000000000.us-east-1" / done["id"]
    until(lambda: not (folder / "work").exists(), "the work is left")
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 4 << 20


def test_what_a_build_leaves_running_ends_with_it(attacked: Attacked) -> None:
    done, _ = attacked.ended("sleeping")
    assert done["status"] == "ready"
    command = ["pgrep", "-fc", "sleep 996"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.stdout.strip() == "0"


def test_links_in_what_was_built_lead_nowhere(attacked: Attacked) -> None:
    done, log = attacked.ended("links")
    assert done["status"] == "ready"
    assert attacked.builder.package(done["id"]).namelist() == ["a", "fine"]
    assert log.count("is left out") == 4
    output, _ = attacked.ended("output")
    assert output["reason"] == "The build made no folder dist."


def test_names_that_are_no_names_are_refused_or_harmless(attacked: Attacked) -> None:
    done, _ = attacked.ended("names")
    assert done["status"] in {"failed", "ready"}
    if done["status"] == "ready":
        assert all(".." not in name for name in attacked.builder.package(done["id"]).namelist())


@pytest.mark.parametrize(
    "asked",
    [
        {"git": "ext::sh -c 'touch /tmp/pwned'"},
        {"git": "--upload-pack=touch /tmp/pwned"},
        {"git": "file:///etc"},
        {"git": "/etc"},
        {"git": "ssh://-oProxyCommand=touch/x"},
        {"git": "https://example.org/a", "ref": "--upload-pack=x"},
        {"git": "https://example.org/a", "directory": "../.."},
        {"git": ["https://example.org/a"]},
        {"git": "https://example.org/a", "variables": {"GIT_SSH_COMMAND\n": "x"}},
        {"source": "/etc"},
    ],
)
def test_tricks_with_urls_are_refused_at_once(attacked: Attacked, asked: dict[str, Any]) -> None:
    answer = attacked.builder.call("POST", json=asked)
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-amzn-errortype"] == "InvalidParameterValueException"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"\x00\x01", 400), (b"[]", 400), (b"{", 400), (b'"x"', 400), (b"PK", 202)],
)
def test_bodies_that_are_no_sources(attacked: Attacked, body: bytes, status: int) -> None:
    answer = attacked.builder.call("POST", content=body)
    assert answer.status_code == status, answer.text
    if status == 202:
        assert "cannot be unpacked" in attacked.builder.ended(answer.json()["id"])["reason"]


def test_an_archive_that_climbs_is_a_build_that_failed(attacked: Attacked) -> None:
    done = attacked.builder.build(zip_of({f"../../{fresh_name()}": "x"}))
    assert done["status"] == "failed"
    assert "cannot be unpacked" in done["reason"]


def test_a_body_that_is_too_long_is_refused_before_it_is_read(attacked: Attacked) -> None:
    url = httpx.URL(attacked.builder.server.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=20)
    connection.putrequest("POST", "/api/builds")
    connection.putheader("Content-Length", "99999999999")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (
        413,
        "RequestEntityTooLargeException",
    )
    connection.close()


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e%2f%2e%2e/logs", "/x/logs", "/" + "0" * 24 + "/artefact"],
)
def test_names_of_builds_lead_nowhere(attacked: Attacked, path: str) -> None:
    assert attacked.builder.call("GET", path).status_code in {400, 404}
    assert Path("/etc/passwd").exists()
