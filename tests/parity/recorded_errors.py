"""Every error text recorded on AWS: status, code, members of the body, message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from parity.cases import RECORDED

_ENTRY = re.compile(r"^(?=\d{3} [A-Z]\w+ \()", re.MULTILINE)
_HEAD = re.compile(
    r"(?P<status>\d{3}) (?P<code>\w+) \((?P<members>[\w+]*)\) x\d+: ?(?P<message>.*)\n"
    r" +(?P<where>\S.*)",
    re.DOTALL,
)
_HIDDEN = re.compile(r"<[a-z][\w:-]*>|…")
_ACCOUNT = "111111111111"


@dataclass(frozen=True, slots=True)
class RecordedError:
    """One of them; `where` is the first answer that has it."""

    status: int
    code: str
    members: frozenset[str]
    message: str
    where: str

    @property
    def case(self) -> str:
        """The case that shows it, named as in lambda_api.json without its first part."""
        return self.where.rsplit("/", 1)[0].replace("::", "/")

    def unlike(self, answer: Mapping[str, Any], account: str) -> list[str]:
        """What of an answer (as botocore parses an error) is not as recorded."""
        error = answer.get("Error", {})
        members = answer.keys() - {"Error", "ResponseMetadata"}
        message = error.get("Message") or ""
        pairs = (
            (self.status, answer["ResponseMetadata"]["HTTPStatusCode"]),
            (self.code, error.get("Code")),
            (sorted(self.members), sorted(members)),
        )
        found = [f"recorded {one!r}, ours {other!r}" for one, other in pairs if one != other]
        if not re.fullmatch(self._pattern(account), message, re.DOTALL):
            found.append(f"\n  recorded {self.message}\n  ours     {message}")
        return found

    def _pattern(self, account: str) -> str:
        text = self.message.replace("<partition>", "aws").replace("<region>", "us-east-1")
        text = text.replace(_ACCOUNT, account)
        return ".+?".join(re.escape(part) for part in _HIDDEN.split(text))


@cache
def recorded_errors() -> Mapping[str, RecordedError]:
    """All of errors.txt, by where they were seen."""
    text = (RECORDED / "errors.txt").read_text("utf-8")
    found = [_parsed(entry) for entry in _ENTRY.split(text) if entry.strip()]
    return {error.where: error for error in found}


def _parsed(entry: str) -> RecordedError:
    match = _HEAD.fullmatch(entry.rstrip())
    if match is None:
        raise ValueError(f"not an entry of errors.txt: {entry!r}")
    members = frozenset(match["members"].split("+")) - {""}
    return RecordedError(
        int(match["status"]), match["code"], members, match["message"], match["where"]
    )
