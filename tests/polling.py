"""What deployment tools do between two calls: ask again until something has passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

_PAUSE_S = 0.02
_LONGEST_S = 60.0


def states_until(read: Callable[[], str], target: str, first: str) -> list[str]:
    """Read a state until it is `target`; the states that were seen, each once in a row.

    `first` is the state in the answer to the call before: a slow machine may see no more of it.
    """
    seen = [first]
    deadline = time.monotonic() + _LONGEST_S
    while seen[-1] != target:
        time.sleep(_PAUSE_S)
        state = read()
        if seen[-1] != state:
            seen.append(state)
        assert time.monotonic() < deadline, f"{target} never came, only {seen}"
    return seen


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """Status, code and message of a call that is refused."""
    try:
        answer = call(**members)
    except ClientError as error:
        found: Any = error.response
        status: int = found["ResponseMetadata"]["HTTPStatusCode"]
        return status, found["Error"]["Code"], found["Error"].get("Message", "")
    raise AssertionError(f"not refused: {answer}")


def is_gone(call: Callable[..., Any], **members: Any) -> bool:
    """Whether a read answers 404; other errors are raised."""
    try:
        call(**members)
    except ClientError as error:
        found: Any = error.response
        if found["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return True
        raise
    return False


def until_gone(call: Callable[..., Any], **members: Any) -> None:
    """Read until the answer is a 404."""
    states_until(lambda: "gone" if is_gone(call, **members) else "there", "gone", "asked")


def bare(answer: Any) -> dict[str, Any]:
    """An answer without its metadata."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
