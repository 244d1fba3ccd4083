"""What exists at a server, as far as its answers have told: names for later requests to hit.

Requests are planned with places in the pool (`Ref`) instead of names, so that a plan does not
depend on what a server has answered before.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from model_requests.building import operation as model_operation

_KEPT: Final = 8
_DEEPEST: Final = 8
NOWHERE: Final = "nobody-has-this-name"
MARKER: Final = "marker"
"""The kind of page markers; each operation has its own."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A place in the pool: the n-th of what is known of a kind, or `otherwise`."""

    kind: str
    number: int
    otherwise: str = "example"


# Members of answers that name something, and the kinds of what they name.
_TOLD: Mapping[str, str] = {
    "AliasArn": "function arn",
    "CapacityProviderArn": "provider arn",
    "CodeSha256": "hash",
    "CodeSigningConfigArn": "signing",
    "EventSourceMappingArn": "mapping arn",
    "FunctionArn": "function arn",
    "FunctionName": "function",
    "LayerArn": "layer arn",
    "LayerName": "layer",
    "LayerVersionArn": "layer version",
    "RevisionId": "revision",
    "Sid": "statement",
    "UUID": "mapping",
    "Version": "version",
}


# Members that together name one thing.
_NAMING: Final = frozenset(
    {
        "FunctionName",
        "LayerName",
        "Name",
        "Qualifier",
        "Resource",
        "ResourceArn",
        "StatementId",
        "VersionNumber",
    }
)
_VERB: Final = re.compile("^(Add|Create|Delete|Get|List|Publish|Put|Remove|Tag|Untag|Update)")
_MAKING: Final = re.compile("^(Add|Create|Publish|Put|Tag)")
_OTHER_NOUNS: Final[Mapping[str, str]] = {
    "LayerVersionPolicy": "LayerVersionPermission",
    "Policy": "Permission",
}


class Pool:
    """The newest few names of each kind, and which names belong together."""

    def __init__(self) -> None:
        self._known: dict[str, deque[str]] = {}
        self._made: dict[str, deque[dict[str, Any]]] = {}

    def remember(self, operation: str, params: Mapping[str, Any]) -> None:
        """Know the names of a request that has made something, or has taken it away."""
        made = self._made.setdefault(_noun(operation), deque(maxlen=_KEPT))
        names = {name: item for name, item in params.items() if name in _NAMING}
        if names in made:
            made.remove(names)
        if _MAKING.match(operation):
            made.append(names)
        if operation == "DeleteFunction" and "Qualifier" not in params:
            self.forget_function(params["FunctionName"])

    def alike(self, planned: Mapping[Any, Any], operation: str, number: int) -> dict[Any, Any]:
        """What is planned for an operation, naming something that was made by a request."""
        made = self._made.get(_noun(operation))
        if not made:
            return dict(planned)
        names = made[-1 - number % len(made)]
        kept = {key: item for key, item in planned.items() if not _is_place(key, item)}
        return {**kept, **names} if _is_known(operation, names) else dict(planned)

    def learn(self, operation: str, document: Any) -> None:
        """Keep the names in an answer to an operation."""
        self._learn(document, 0)
        if isinstance(document, dict) and document.get("NextMarker"):
            self._keep(_marker_of(operation), document["NextMarker"])

    def _learn(self, document: Any, depth: int) -> None:
        if depth > _DEEPEST:
            return
        if isinstance(document, list):
            for item in document:
                self._learn(item, depth + 1)
        elif isinstance(document, dict):
            for name, item in document.items():
                if isinstance(item, str):
                    self._learn_text(name, item, document, depth)
                else:
                    self._learn(item, depth + 1)

    def _learn_text(self, name: str, text: str, around: Mapping[str, Any], depth: int) -> None:
        if name in {"Policy", "Statement"}:
            self._learn(json.loads(text), depth + 1)
        elif name == "Name" and "AliasArn" in around:
            self._keep("alias", text)
        elif name in _TOLD:
            self._keep(_TOLD[name], text)
        if name == "CapacityProviderArn":
            self._keep("provider", text.rpartition(":")[2])

    def _keep(self, kind: str, text: str) -> None:
        known = self._known.setdefault(kind, deque(maxlen=_KEPT))
        if text not in known:
            known.append(text)

    def forget_function(self, name: str) -> None:
        """A function is gone, and all that belonged to it."""
        for made in self._made.values():
            for names in [one for one in made if one.get("FunctionName") == name]:
                made.remove(names)
        for kind in ("function", "function arn"):
            known = self._known.get(kind, deque())
            gone = [text for text in known if name in text.split(":")]
            for text in gone:
                known.remove(text)

    def resolved(self, planned: Any, operation: str, *, running: bool = True) -> Any:
        """What is planned for an operation, with names in place of places.

        Not `running`: the names of functions are those of none that exists.
        """
        if isinstance(planned, Ref):
            return self._name(planned, operation, running=running)
        if isinstance(planned, dict):
            return {
                self.resolved(key, operation): self.resolved(item, operation, running=running)
                for key, item in planned.items()
            }
        if isinstance(planned, list):
            return [self.resolved(item, operation, running=running) for item in planned]
        return planned

    def _name(self, place: Ref, operation: str, *, running: bool) -> str:
        kind = _marker_of(operation) if place.kind == MARKER else place.kind
        known = self._known.get(kind)
        if not known:
            return place.otherwise
        if not running and kind.startswith("function"):
            return NOWHERE
        return known[place.number % len(known)]


def _noun(operation: str) -> str:
    noun = _VERB.sub("", operation)
    return _OTHER_NOUNS.get(noun, noun)


def _is_place(member: Any, item: Any) -> bool:
    return isinstance(item, Ref) and member in _NAMING


def _is_known(operation: str, names: Mapping[str, Any]) -> bool:
    return set(names) <= set(model_operation(operation).input_shape.members)


def _marker_of(operation: str) -> str:
    return f"{MARKER} {operation}"
