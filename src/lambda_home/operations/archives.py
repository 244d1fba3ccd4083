"""The form of a backup: what its members are called, and the list of them that comes first; pure.

A backup is a tar file, compressed by gzip. Its first member, `manifest.json`, names all others with
their sizes and SHA-256, in their order:

    lhome.db            the registry, as it was at one moment
    code/<key>.zip      the packages that functions and layers of that moment need
    logs.db             the logs, if they were asked for
    secrets.key         the key of the secrets, if it was asked for
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from lambda_home.errors import LambdaHomeError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "lhome.db"
LOGS: Final = "logs.db"
KEY: Final = "secrets.key"
LONGEST_MANIFEST: Final = 64 * 1024 * 1024
_MEMBER = re.compile(r"lhome\.db|logs\.db|secrets\.key|code/[0-9a-f]{64}\.zip")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST: Final = 1 << 50


class BadBackupError(LambdaHomeError):
    """A file is no backup, or a damaged one; the message is one line."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a backup; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `created_at` is seconds since the epoch, `schema` the registry's."""

    version: str
    schema: str
    created_at: float
    members: tuple[Member, ...]

    def encode(self) -> bytes:
        """The first member's bytes."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, indent=1).encode()

    @property
    def names(self) -> frozenset[str]:
        """The names of all members."""
        return frozenset(member.name for member in self.members)

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.size for member in self.members)


def package_name(key: str) -> str:
    """The member that holds a package."""
    return f"code/{key}.zip"


def read_manifest(text: bytes) -> Manifest:
    """A manifest from its bytes. Raises BadBackupError for whatever it must not say."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise BadBackupError(
                f"it has form {document['format']!r}, and this lambda_home reads {FORMAT}"
            )
        members = tuple(_member(given) for given in document["members"])
        found = Manifest(
            str(document["version"]),
            str(document["schema"]),
            float(document["created_at"]),
            members,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadBackupError("its list of contents cannot be read") from error
    if len(found.names) != len(members) or DATABASE not in found.names:
        raise BadBackupError("its list of contents names a file twice, or no database")
    return found


def _member(given: Mapping[str, Any]) -> Member:
    name, size, digest = given["name"], given["size"], given["sha256"]
    if not isinstance(name, str) or _MEMBER.fullmatch(name) is None:
        raise BadBackupError(f"it holds {str(name)[:80]!r}, which no backup does")
    if type(size) is not int or not 0 <= size <= _LONGEST:
        raise BadBackupError(f"it gives no size for {name}")
    if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
        raise BadBackupError(f"it gives no checksum for {name}")
    return Member(name, size, digest)
