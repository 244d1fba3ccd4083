"""Operations on tags of functions, event source mappings, code signing configs and others.

Creation tags of a function are stored as these operations store them: see `tag_rules`. Tagging a
function gives it a new RevisionId (recorded on AWS). Texts are recorded except where a comment says
otherwise.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.event_sources import mappings
from lambda_home.registry.configs import ConfigKind
from lambda_home.registry.resources import ResourceKind
from lambda_home.user_api import capacity_provider_rules
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.tag_rules import Tags, of_document, tags_of, with_tags, without_tags

Document = Mapping[str, Any]
_KINDS = {
    "event-source-mapping": ResourceKind.EVENT_SOURCE_MAPPING,
    "code-signing-config": ResourceKind.CODE_SIGNING_CONFIG,
    "capacity-provider": ResourceKind.CAPACITY_PROVIDER,
}
_STATES: Mapping[str, Callable[[Document, float, float], object]] = {
    "event-source-mapping": mappings.state_of,
    "capacity-provider": capacity_provider_rules.state_of,
}
_PARTS = 6  # of an ARN before the resource's name


@operation("TagResource")
async def tag_resource(backend: Backend, call: Call) -> Result:
    """Give a resource more tags, or other values of those that it has."""
    if not call.params["Tags"]:
        raise InvalidParameterValueException(
            "An error occurred and the request cannot be processed."
        )
    resource = _resource(call)
    await asyncio.to_thread(
        _change, backend, resource, lambda old: with_tags(old, call.params["Tags"])
    )
    return None


@operation("UntagResource")
async def untag_resource(backend: Backend, call: Call) -> Result:
    """Take tags away; those that the resource does not have are no error."""
    resource = _resource(call)
    await asyncio.to_thread(
        _change, backend, resource, lambda old: without_tags(old, call.params["TagKeys"])
    )
    return None


@operation("ListTags")
async def list_tags(backend: Backend, call: Call) -> Result:
    """All tags of a resource."""
    return {"Tags": await asyncio.to_thread(_tags, backend, _resource(call))}


# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Resource:
    """What an ARN names: a resource of `kind`, if that is one of ours, in the caller's `scope`."""

    scope: Scope
    arn: str
    kind: str
    name: str


def _resource(call: Call) -> FunctionRef | _Resource:
    arn: str = call.params["Resource"]
    *_, region, account, kind, name = arn.split(":")[: _PARTS + 1]
    if kind != "function":
        resource = _Resource(call.scope, arn, kind, name)
        if Scope(account, region) != call.scope:  # accounts and regions never see each other
            raise _missing(resource)
        return resource
    ref = FunctionRef.parse(call.scope, arn)
    if ref.qualifier:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function"
            " ARN."
        )
    return ref


def _tags(backend: Backend, resource: FunctionRef | _Resource) -> Tags:
    if isinstance(resource, FunctionRef):
        return tags_of(backend, resource)
    kind = _KINDS.get(resource.kind)
    found = backend.resources.get(resource.scope, kind, resource.name) if kind else None
    return of_document(_existing(backend, resource, found))


def _change(
    backend: Backend,
    resource: FunctionRef | _Resource,
    edit: Callable[[Document | None], Document],
) -> None:
    if isinstance(resource, FunctionRef):
        backend.configs.change(
            resource,
            ConfigKind.TAGS,
            lambda old: edit(old) or None,
            revision_id=str(uuid.uuid4()),
        )
        return
    kind = _KINDS.get(resource.kind)
    if kind is None:
        raise _missing(resource)

    backend.resources.change(
        resource.scope,
        kind,
        resource.name,
        lambda old: edit(_existing(backend, resource, old)),
    )


def _existing(backend: Backend, resource: _Resource, found: Document | None) -> Document:
    """What was found, if it is there still: what is deleted is stored until it is swept up."""
    state_of = _STATES.get(resource.kind)
    if found is not None and state_of is not None:
        now, hold_s = datetime.now(UTC).timestamp(), backend.rules.transition_ms / 1000
        if state_of(found, now, hold_s) is None:
            found = None
    if found is None:
        raise _missing(resource)
    return found


def _missing(resource: _Resource) -> ResourceNotFoundException:
    if resource.kind == "code-signing-config":
        # Recorded for other operations on such a configuration.
        text = f"The Lambda code signing configuration {resource.arn} can not be found."
        return ResourceNotFoundException(text, fault_type=None)
    # The text for layers, which nobody can tag, is made like the others.
    named = resource.kind.replace("-", " ").capitalize()
    return ResourceNotFoundException(f"{named} not found: {resource.arn}")
