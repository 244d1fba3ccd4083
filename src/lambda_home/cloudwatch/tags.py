"""Operations on tags of log groups, in the older and the newer form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from lambda_home.cloudwatch.identifiers import group_in
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, Result, operation
from lambda_home.errors import InvalidParameterException, TooManyTagsException

_MOST: Final = 50
_RESERVED: Final = "aws:"
Tags = dict[str, str]


@operation("ListTagsForResource")
def list_tags_for_resource(backend: LogsBackend, call: LogsCall) -> Result:
    """The tags of the group that an ARN names."""
    return {"tags": _tags(backend, call, group_in(call.params["resourceArn"], call.scope))}


@operation("ListTagsLogGroup")
def list_tags_log_group(backend: LogsBackend, call: LogsCall) -> Result:
    """The tags of a group."""
    return {"tags": _tags(backend, call, call.params["logGroupName"])}


@operation("TagResource")
def tag_resource(backend: LogsBackend, call: LogsCall) -> Result:
    """Add tags to the group that an ARN names."""
    return _add(backend, call, group_in(call.params["resourceArn"], call.scope))


@operation("TagLogGroup")
def tag_log_group(backend: LogsBackend, call: LogsCall) -> Result:
    """Add tags to a group."""
    return _add(backend, call, call.params["logGroupName"])


@operation("UntagResource")
def untag_resource(backend: LogsBackend, call: LogsCall) -> Result:
    """Take tags from the group that an ARN names."""
    group = group_in(call.params["resourceArn"], call.scope)
    return _remove(backend, call, group, call.params["tagKeys"])


@operation("UntagLogGroup")
def untag_log_group(backend: LogsBackend, call: LogsCall) -> Result:
    """Take tags from a group."""
    return _remove(backend, call, call.params["logGroupName"], call.params["tags"])


def _tags(backend: LogsBackend, call: LogsCall, group: str) -> Tags:
    kept: Any = backend.store.group(call.scope, group).settings.get("tags") or {}
    return dict(kept)


def _add(backend: LogsBackend, call: LogsCall, group: str) -> Result:
    given = call.params["tags"]
    refuse_reserved(given)

    def edit(tags: Tags) -> Tags:
        tags |= given
        if len(tags) > _MOST:
            raise TooManyTagsException(f"A resource can have no more than {_MOST} tags.")
        return tags

    return _change(backend, call, group, edit)


def refuse_reserved(tags: Iterable[str]) -> None:
    """Raises InvalidParameterException for keys that are AWS's own."""
    if any(key.lower().startswith(_RESERVED) for key in tags):
        raise InvalidParameterException(
            "Tag keys that begin with aws: are reserved for internal use: give another key."
        )


def _remove(backend: LogsBackend, call: LogsCall, group: str, keys: list[str]) -> Result:
    def edit(tags: Tags) -> Tags:
        return {key: value for key, value in tags.items() if key not in keys}

    return _change(backend, call, group, edit)


def _change(
    backend: LogsBackend, call: LogsCall, group: str, edit: Callable[[Tags], Tags]
) -> Result:
    with backend.settings:
        settings = dict(backend.store.group(call.scope, group).settings)
        settings["tags"] = edit(_tags(backend, call, group))
        backend.store.put_settings(call.scope, group, settings)
    return None
