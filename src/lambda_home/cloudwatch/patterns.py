"""Filter patterns as requests give them."""

from __future__ import annotations

from lambda_home.errors import InvalidParameterException
from lambda_home.logs.events import Matcher
from lambda_home.logs.filters import BadFilterPattern, parse_pattern


def pattern_of(text: str) -> Matcher | None:
    """A pattern; None for one that everything matches. Raises InvalidParameterException."""
    if not text.strip():
        return None
    try:
        return parse_pattern(text)
    except BadFilterPattern as bad:
        raise InvalidParameterException(str(bad)) from None
