"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lambda_home.service_manager import READY, STOPPING, ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_it_hears_of_ready_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    name = f"lambda-home-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}" if abstract else name)
        end.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        manager = ServiceManager()
        assert "NOTIFY_SOCKET" not in os.environ
        manager.tell(READY)
        manager.tell(STOPPING)
        assert [end.recv(64), end.recv(64)] == [b"READY=1", b"STOPPING=1"]
    manager.tell(STOPPING)  # it listens no more


def test_without_one_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceManager().tell(READY)
