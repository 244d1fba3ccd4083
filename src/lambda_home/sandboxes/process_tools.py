"""The programs that sandboxed processes are started with: which of them work on this machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from lambda_home.sandboxes.interpreters import Search, any_python
from lambda_home.sandboxes.process_command import Tools, trial
from lambda_home.sandboxes.process_owners import Uids

INNER_UID = 1000


def find_tools() -> Tools:
    """Look for the programs of the chain; bwrap counts only if it works here."""
    tools = _all_tools()
    return replace(tools, bwrap=None) if _why_bwrap_fails(tools) else tools


def probe(search: Search) -> tuple[bool, str]:
    """Say whether processes can be used here, and how well isolated, in one line."""
    why = _why_bwrap_fails(_all_tools())
    how = "isolated by bubblewrap"
    if why is not None:
        how = f"without bubblewrap ({why}): functions are NOT isolated from your files"
    if not any_python(search):
        return False, "no Python was found that functions could run on"
    return True, how


def _all_tools() -> Tools:
    which = shutil.which
    return Tools(which("bwrap"), which("setpriv"), which("prlimit"), which("env") or "/usr/bin/env")


@lru_cache(maxsize=4)
def _why_bwrap_fails(tools: Tools) -> str | None:
    as_root = os.geteuid() == 0
    if tools.bwrap is None:
        return "not installed"
    if as_root and tools.setpriv is None:
        return "setpriv, which gives up root, is not installed"
    command = trial(tools, Uids().take() if as_root else INNER_UID, as_root=as_root)
    try:
        done = subprocess.run(  # noqa: S603  (programs found here, fixed arguments)
            command, check=False, capture_output=True, text=True, timeout=10, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["it fails"])[-1]


def reachable(path: Path) -> bool:
    """Whether any user can get to a file or folder."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
