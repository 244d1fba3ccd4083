"""What /opt holds of a list of layers: unzipped one over the other, a later layer winning (pure).

"If the same file appears in multiple layers, the function uses the version in the last applied
layer" (https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html). A folder and a folder
become one; in any other conflict what comes later takes the place of what was there, a folder with
all that it held. As unzip does, a later layer writes through an earlier layer's symbolic link to a
folder (`lib64 -> lib`), if that lies within /opt.

The tree is put together in memory and written out afterwards with its links last, so no link can
lead a write elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lambda_home.errors import InvalidParameterValueException
from lambda_home.packager.archive import (
    MAX_DEPTH,
    MAX_LINK_HOPS,
    MAX_LINK_STEPS,
    MAX_PATH_BYTES,
    NO_TIME,
    Archive,
    Bytes,
    Entry,
    Kind,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """An entry, where it goes, and the ZIP that holds its bytes."""

    entry: Entry
    data: Bytes


def pieces(archive: Archive, data: Bytes) -> list[Piece]:
    """The entries of one ZIP."""
    return [Piece(entry, data) for entry in archive.entries]


def merged(layers: Sequence[tuple[Archive, Bytes]]) -> list[Piece]:
    """The entries of several ZIPs in their order, directories before what they hold.

    Raises InvalidParameterValueException for what only a list of layers that was made to be hard to
    read has: paths that get too long, links without end.
    """
    if len(layers) == 1:
        return pieces(*layers[0])
    merging = _Merging()
    for archive, data in layers:
        merging.add(archive, data)
    return list(merging.pieces())


@dataclass(slots=True, eq=False)
class _Folder:
    piece: Piece | None = None
    parent: _Folder | None = None
    inner: dict[str, _Folder | Piece] = field(default_factory=dict)


class _Merging:
    """The tree so far."""

    def __init__(self) -> None:
        self._root = _Folder()
        self._steps = 0

    def add(self, archive: Archive, data: Bytes) -> None:
        """Unzip one more layer over it.

        A folder that another entry of the same layer has pushed out takes what is still to come
        with it.
        """
        folders = {"": self._root}
        for entry in archive.entries:
            where, _, name = entry.path.rpartition("/")
            parent, piece = folders[where], Piece(entry, data)
            if entry.kind is Kind.DIRECTORY:
                folders[entry.path] = self._enter(parent, name, piece)
            else:
                parent.inner[name] = piece

    def pieces(self) -> Iterator[Piece]:
        """All entries with the paths that they have in the end."""
        ahead: list[tuple[str, int, _Folder]] = [("", 0, self._root)]
        while ahead:
            above, depth, folder = ahead.pop()
            for name, found in sorted(folder.inner.items()):
                path = f"{above}{name}"
                if depth == MAX_DEPTH or len(path.encode()) > MAX_PATH_BYTES:
                    raise _refusal(path, "has a path that is too long")
                piece = found.piece if isinstance(found, _Folder) else found
                if piece is not None:
                    yield replace(piece, entry=replace(piece.entry, path=path))
                if isinstance(found, _Folder):
                    ahead.append((f"{path}/", depth + 1, found))

    def _enter(self, parent: _Folder, name: str, piece: Piece) -> _Folder:
        """The folder of that name, an earlier one if there is one."""
        found = parent.inner.get(name)
        if isinstance(found, Piece) and found.entry.kind is Kind.SYMLINK:
            found = self._behind(parent, found.entry)
        if isinstance(found, _Folder):
            if piece.entry.modified != NO_TIME and found.piece is not None:
                found.piece = piece
            return found
        made = parent.inner[name] = _Folder(piece, parent)
        return made

    def _behind(self, here: _Folder, link: Entry) -> _Folder | None:
        """The folder that a link leads to; None if to none, or out of /opt."""
        hops = 0
        ahead = link.target.split("/")[::-1]
        while ahead:
            self._steps += 1
            if self._steps > MAX_LINK_STEPS:
                raise _refusal(link.path, "is one symbolic link too many")
            part = ahead.pop()
            found = here.inner.get(part)
            if part == "..":
                found = here.parent
            if part in ("", "."):
                continue
            if isinstance(found, Piece) and found.entry.kind is Kind.SYMLINK:
                hops += 1
                ahead.extend(found.entry.target.split("/")[::-1])
            elif isinstance(found, _Folder):
                here = found
            else:
                return None
            if hops > MAX_LINK_HOPS:
                return None
        return here


def _refusal(path: str, why: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"The layers do not fit together: entry {path!r} {why}.")
