"""Where pages of GetLogEvents begin, and the tokens that say so; pure.

`f/<id>/s` has what comes after an event, `b/<id>/s` what comes before it. At an end a page is
empty and gives its own token back; the other token then turns round without losing an event.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lambda_home.cloudwatch.identifiers import bad_token
from lambda_home.logs.events import StoredEvent

_DIGITS: Final = 56
_TOKEN = re.compile(r"(?P<way>[fb])/(?P<place>[0-9]{56})/s")
_START: Final = "0" * _DIGITS
_LARGEST: Final = 10**_DIGITS - 1


@dataclass(frozen=True, slots=True)
class Position:
    """Between two events: `place` is the id of the event before (`backwards`: after) the page."""

    place: str
    backwards: bool


def position_in(token: str) -> Position:
    """The position that a token says. Raises InvalidParameterException."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise bad_token()
    return Position(match["place"], match["way"] == "b")


def tokens_after(
    events: Sequence[StoredEvent], position: Position | None, more: str = ""
) -> tuple[str, str]:
    """The forward and the backward token of a page.

    `position` is where the page began, None for one without a token; `more` where the search
    goes on if it was broken off.
    """
    if events:
        return _forward(events[-1].id), _backward(events[0].id)
    if position is None:
        return _forward(_START), _backward(_START)
    place = int(more or position.place)
    if position.backwards:
        return _forward(_text(place - 1)), _backward(_text(place))
    return _forward(_text(place)), _backward(_text(place + 1))


def _forward(place: str) -> str:
    return f"f/{place}/s"


def _backward(place: str) -> str:
    return f"b/{place}/s"


def _text(place: int) -> str:
    return f"{min(max(place, 0), _LARGEST):0{_DIGITS}}"
