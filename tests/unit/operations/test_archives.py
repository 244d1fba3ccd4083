from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.operations.archives import BadBackupError, Manifest, Member, read_manifest

DIGEST = "0" * 64
DATABASE = {"name": "lhome.db", "size": 3, "sha256": DIGEST}


def document(*members: object, **changes: Any) -> bytes:
    whole = {
        "format": 1,
        "version": "1",
        "schema": "0004",
        "created_at": 5.0,
        "members": [DATABASE, *members],
    }
    return json.dumps(whole | changes).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    members = (Member("lhome.db", 3, DIGEST), Member(f"code/{DIGEST}.zip", 4, DIGEST))
    manifest = Manifest("0.1", "0004", 5.0, members)
    assert read_manifest(manifest.encode()) == manifest
    assert manifest.size == 7


@pytest.mark.parametrize(
    "name",
    [
        "../lhome.db",
        "/etc/passwd",
        "code/../../x.zip",
        f"code/{DIGEST}.zip/../../x",
        f"code/{'A' * 64}.zip",
        "lhome.db\n",
        "lhome.db-wal",
        "manifest.json",
        "",
        7,
        None,
    ],
)
def test_no_other_name_is_taken(name: object) -> None:
    with pytest.raises(BadBackupError):
        read_manifest(document({"name": name, "size": 1, "sha256": DIGEST}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        document(format=2),
        document(members=[]),
        document(DATABASE),
        document(members=7),
        document({"name": "logs.db", "size": -1, "sha256": DIGEST}),
        document({"name": "logs.db", "size": True, "sha256": DIGEST}),
        document({"name": "logs.db", "size": 1 << 60, "sha256": DIGEST}),
        document({"name": "logs.db", "size": 1, "sha256": "0"}),
        document("logs.db"),
    ],
)
def test_a_manifest_that_says_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(BadBackupError):
        read_manifest(text)
