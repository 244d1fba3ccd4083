"""Tags: what they may be, and where they are kept.

The tags of a function are a document of the kind TAGS, `{"Tags": {...}}`; there is none where it
has no tags. The tags of other resources are the member `Tags` of their documents. Source: recorded
on AWS; https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from lambda_home.arns import FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.operations import Backend

Tags = dict[str, str]

MOST_TAGS: Final = 50
_RESERVED = "aws:"


def check(tags: Mapping[str, str]) -> None:
    """Raise InvalidParameterValueException if a resource cannot have all these tags."""
    for key in tags:
        if key.lower().startswith(_RESERVED):
            # AWS refuses these; its text is not recorded.
            raise InvalidParameterValueException(
                f"Tag keys starting with '{_RESERVED}' are reserved for system use: {key}"
            )
    if len(tags) > MOST_TAGS:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")


def with_tags(document: Mapping[str, Any] | None, new: Mapping[str, str]) -> dict[str, Any]:
    """A document with more tags, or other values of those that it has; raises as `check`."""
    tags = {**of_document(document), **new}
    check(tags)
    return _replaced(document, tags)


def without_tags(document: Mapping[str, Any] | None, keys: Iterable[str]) -> dict[str, Any]:
    """A document without some tags; those that it does not have are no error."""
    gone = set(keys)
    rest = {key: value for key, value in of_document(document).items() if key not in gone}
    return _replaced(document, rest)


def of_document(document: Mapping[str, Any] | None) -> Tags:
    """The tags in a document."""
    return dict(document.get("Tags") or {}) if document else {}


def tags_of(backend: Backend, ref: FunctionRef) -> Tags:
    """The tags of a function, whatever the qualifier; blocking. A 404 for a missing function."""
    return of_document(backend.configs.get(ref, ConfigKind.TAGS))


def _replaced(document: Mapping[str, Any] | None, tags: Tags) -> dict[str, Any]:
    rest = {name: value for name, value in (document or {}).items() if name != "Tags"}
    return {**rest, "Tags": tags} if tags else rest
