"""A server on each sandbox for hostile functions, with a data directory that can be looked around.

| row | what is attacked | test |
|---|---|---|
| contract 31 | hostile ZIPs through every door | `attacks/test_packages.py`; their table: `unit/packager/test_archive.py` |
| contract 34 | JSON that is none, nesting, surrogates | `api/test_bad_input.py`, `e2e/test_contract_limits.py`; by functions and the admin API: `attacks/test_results.py` |
| contract 38 | another function's runtime API | `attacks/test_spoofing.py`; by unit: `unit/runtime_api/test_app.py` |
| contract 25 | telemetry of others, and the server as a client of others | `attacks/test_telemetry.py`; by unit: `unit/telemetry/`, `unit/sandboxes/test_own_ports.py` |
| contract 39 | the machine, from inside | `attacks/test_from_inside.py`; descriptors, processes, memory: `e2e/sandboxes/test_*_isolation.py`; network: `attacks/test_egress.py` |
| contract 40 | random sequences, names, logs | `attacks/test_random_sequences.py`, `attacks/test_names.py`; AWS's model: `fuzz/test_schema_fuzz.py` |
| features 50, 52 | hostile sources and builds | `attacks/test_builds.py`; their tables: `unit/builds` |
| features 55 | hardening of a live container | `attacks/test_hardening.py`; of the adapter: `e2e/sandboxes/test_docker_isolation.py` |
| features 56 | traversal, header injection, SSRF | `attacks/test_names.py`, `attacks/test_results.py`, `attacks/test_packages.py` |
"""  # noqa: E501  a table

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SANDBOXES
from live import LiveServer


@pytest.fixture(scope="session", params=SANDBOXES)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server for hostile functions, whose data directory lies in a folder of its own."""
    ground: Path = tmp_path_factory.mktemp("ground")
    with LiveServer("--sandbox", request.param, "--data-dir", str(ground / "data")) as live:
        yield live
