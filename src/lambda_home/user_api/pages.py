"""Pages whose marker is the key of the first item of the next page; pure.

AWS lists what belongs to one function like that. The marker is an identifier that the answer shows
anyway, such as an ARN: what comes and goes before it neither repeats nor hides anything after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def page_from(
    items: Sequence[T], key: Callable[[T], str], marker: str | None, limit: int
) -> tuple[list[T], str | None]:
    """At most `limit` of `items`, which are in the order of `key`, and the marker of the rest."""
    following = [item for item in items if key(item) >= (marker or "")]
    rest = following[limit : limit + 1]
    return following[:limit], key(rest[0]) if rest else None
