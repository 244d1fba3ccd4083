"""What tests need of the machine beside Python: is it there, and if not, how does one get it.

Markers name it: `docker`, `process`, `browser`, or `needs("sam")`. Tests are skipped where it is
not there. REQUIRE_SANDBOXES=docker,process,browser and REQUIRE_TOOLS=sam,... say what must be
there: without it the run fails before its first test (continuous integration).
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Final

import pytest

from lambda_home.packager.base_image import BaseImages
from lambda_home.sandboxes.docker_daemon import probe

ROOT: Final = Path(__file__).parents[1]
WHEELHOUSE: Final = ROOT / "dist" / "wheelhouse"
RECIPE_TOOLS: Final = Path(os.environ.get("RECIPE_TOOLS") or ROOT / ".recipe-tools")
SAM: Final = RECIPE_TOOLS / "sam" / "bin" / "sam"
NODE_MODULES: Final = RECIPE_TOOLS / "node" / "node_modules"

MARKERS: Final = ("docker", "process", "browser")
VARIABLES: Final = ("REQUIRE_SANDBOXES", "REQUIRE_TOOLS")
_SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@cache
def why_not(kind: str) -> str | None:
    """Why tests that need this cannot run here; None if they can. KeyError for what is unknown."""
    return CHECKS[kind]()


def required() -> dict[str, str]:
    """What must be here, by the environment, and is not: why. Raises pytest.UsageError."""
    names = {
        name for variable in VARIABLES for name in os.environ.get(variable, "").split(",") if name
    }
    if unknown := names - CHECKS.keys():
        raise pytest.UsageError(f"{' and '.join(VARIABLES)} know no {', '.join(sorted(unknown))}")
    return {name: reason for name in sorted(names) if (reason := why_not(name)) is not None}


def of(item: pytest.Item) -> list[str]:
    """What a test needs."""
    marked = [marker for marker in MARKERS if item.get_closest_marker(marker) is not None]
    return [*marked, *(mark.args[0] for mark in item.iter_markers("needs"))]


def _docker() -> str | None:
    if shutil.which("docker") is None:
        return "Docker tests need the docker command"
    found, reason = probe("", lambda client: BaseImages(client, {}, allow_pull=False).find_any())
    return None if found else f"Docker tests need a daemon and base images: {reason}"


def _program(name: str, package: str) -> str | None:
    found = shutil.which(name, path=_SYSTEM_PATH) is not None
    return None if found else f"needs {name} (Debian: apt-get install {package})"


def _recipe_tool(path: Path) -> str | None:
    return None if path.exists() else f"needs {path.name}: `make recipe-tools` installs it"


def _wheelhouse() -> str | None:
    lock = WHEELHOUSE / "requirements.lock"
    current = ROOT / "requirements.lock"
    usable = lock.exists() and filecmp.cmp(lock, current, shallow=False)
    return None if usable else "the server's image needs its wheels: run `make wheelhouse`"


CHECKS: Final[Mapping[str, Callable[[], str | None]]] = {
    "docker": _docker,
    "process": partial(_program, "bwrap", "bubblewrap"),
    "browser": partial(_program, "chromium", "chromium"),
    "wheelhouse": _wheelhouse,
    "sam": partial(_recipe_tool, SAM),
    "cdk": partial(_recipe_tool, NODE_MODULES / "aws-cdk-lib"),
    "serverless": partial(_recipe_tool, NODE_MODULES / "serverless"),
    "cc": partial(_program, "cc", "gcc"),  # the model of a power cut
    "nft": partial(_program, "nft", "nftables"),
    "iptables": partial(_program, "iptables-restore", "iptables"),
    "systemd": partial(_program, "systemd-analyze", "systemd"),
    "ruby": partial(_program, "ruby", "ruby"),
    "php": partial(_program, "php", "php-cli"),
    "javac": partial(_program, "javac", "openjdk-17-jdk-headless"),
}
