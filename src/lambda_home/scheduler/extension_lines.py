r"""Which lines of an environment's output are its external extensions' (pure).

The supervisor marks them, each with the index of its extension; a long line comes in pieces, all
but the last with a plus. Everything else is the function's, and goes on as it came:

    \x1eEXT 0\x1e<line>\n
    \x1eEXT+ 0\x1e<the beginning of a long line>\n
"""

from __future__ import annotations

import re

_MARKED = re.compile(rb"\x1eEXT(\+?) (\d{1,3})\x1e([^\n]*)\n")
_START = b"\x1eEXT"
_LONGEST_PIECE = 8 * 1024
_LONGEST_LINE = 256 * 1024


class ExtensionLines:
    """Takes the output of one environment apart."""

    def __init__(self) -> None:
        self._held = b""
        self._pieces: dict[bytes, bytes] = {}

    def split(self, chunk: bytes) -> tuple[bytes, list[bytes]]:
        """What the function wrote, and whole lines of extensions; bytes may be held back."""
        data = self._held + chunk
        if b"\x1e" not in data:
            self._held = b""
            return data, []
        rest: list[bytes] = []
        lines: list[bytes] = []
        at = 0
        for found in _MARKED.finditer(data):
            rest.append(data[at : found.start()])
            at = found.end()
            line = self._pieces.pop(found[2], b"") + found[3]
            if found[1] and len(line) < _LONGEST_LINE:
                self._pieces[found[2]] = line
            else:
                lines.append(line)
        tail = data[at:]
        held = _possible_mark(tail)
        self._held = tail[held:]
        rest.append(tail[:held])
        return b"".join(rest), lines

    def rest(self) -> bytes:
        """Nothing more comes: what was held back."""
        held, self._held = self._held, b""
        return held


def _possible_mark(tail: bytes) -> int:
    """Where a mark that has not wholly arrived may begin; the length if nowhere."""
    at = tail.find(_START)
    while at >= 0 and b"\n" in tail[at:]:
        at = tail.find(_START, at + 1)
    if at >= 0 and len(tail) - at <= _LONGEST_PIECE:
        return at
    for size in range(len(_START) - 1, 0, -1):
        if tail.endswith(_START[:size]):
            return len(tail) - size
    return len(tail)
