"""Which folders functions may be made of, and how a request names one; pure.

The form is LocalStack's: `S3Bucket=hot-reload, S3Key=/absolute/folder`
(https://docs.localstack.cloud/aws/tooling/lambda-tools/hot-reloading/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lambda_home.errors import InvalidParameterValueException


@dataclass(frozen=True, slots=True)
class FolderRules:
    """What the settings say: the bucket's name, and the folders below which code may be read.

    `roots` are absolute and have no symbolic link in them.
    """

    bucket: str
    roots: tuple[str, ...] = ()

    def folder_in(self, code: Mapping[str, Any]) -> str | None:
        """The folder that a FunctionCode names; None for one that is no hot reload.

        Raises InvalidParameterValueException for what cannot be a folder's name.
        """
        if not self.bucket or code.get("S3Bucket") != self.bucket or code.get("ZipFile"):
            return None
        key = str(code.get("S3Key") or "")
        if not key.startswith("/"):
            return None  # an object of a real bucket of that name
        if "\0" in key or ".." in PurePosixPath(key).parts:
            raise InvalidParameterValueException(
                f"S3Key {key!r} is no folder for hot reload: give its absolute path, without '..'."
            )
        return key

    def check(self, real: str, asked: str) -> None:
        """Raise InvalidParameterValueException unless `real`, links resolved, may be read."""
        if not self.roots:
            raise InvalidParameterValueException(
                f"Hot reload of {asked} is not allowed: this server reads no folders. Start it by"
                " lambda-home dev, or name the folder, or one above it, in hot_reload_folders of"
                " [functions] in its configuration."
            )
        if not is_below(real, self.roots):
            leads = "" if real == asked.rstrip("/") else f", which leads to {real},"
            raise InvalidParameterValueException(
                f"Hot reload of {asked}{leads} is not allowed: it is in none of hot_reload_folders"
                " of [functions] in the server's configuration."
            )


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Whether a path is one of `roots` or lies below one; all of them absolute and normal."""
    given = PurePosixPath(path)
    return any(given.is_relative_to(root) for root in roots)


def link_target(name: str, target: str, folder: str) -> str | None:
    """Where a symbolic link leads, relative to where it lies; None if it leads out of the folder.

    `name` is the link's path in `folder`, both with slashes; nothing is looked at on the disk.
    """
    here = PurePosixPath(name).parent
    if target.startswith("/"):
        whole = PurePosixPath(target)
        if ".." in whole.parts or not whole.is_relative_to(folder):
            return None
        climbing = [".."] * len(here.parts)
        inside = whole.relative_to(folder).parts
        return "/".join([*climbing, *inside]) or "."
    depth = len(here.parts)
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return None
    return target
