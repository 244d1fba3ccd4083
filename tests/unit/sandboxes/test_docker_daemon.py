"""Why a Docker daemon cannot be used."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_daemon import connect

NOBODY = 65_534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_daemon_that_this_user_may_not_use_is_no_daemon_that_does_not_answer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(path))
        daemon.listen()
        path.chmod(0o600)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(SandboxError, match=r"may not use .* add it to the group docker"):
                connect(f"unix://{path}")
        finally:
            os.seteuid(0)


def test_nobody_answers_where_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no Docker daemon answers at unix:///"):
        connect(f"unix://{tmp_path}/docker.sock")
