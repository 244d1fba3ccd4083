"""Operations on function URL configurations, of a function (`$LATEST`) or of an alias.

Texts and rules are those recorded on AWS. A configuration is a document of the kind URL under the
qualifier `$LATEST` or the alias's name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import ResourceConflictException, ResourceNotFoundException
from lambda_home.registry.configs import ConfigKind
from lambda_home.registry.paging import page_size
from lambda_home.user_api import function_url_rules as rules
from lambda_home.user_api.dates import microseconds
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from

_Document = Mapping[str, Any]


@operation("CreateFunctionUrlConfig")
async def create_function_url_config(backend: Backend, call: Call) -> Result:
    """Give a function or an alias a URL; each has one at most."""
    ref = call.ref()
    url_id = "".join(secrets.choice(rules.URL_ID_ALPHABET) for _ in range(rules.URL_ID_LENGTH))
    document = rules.new_document(url_id, call.params, microseconds(datetime.now(UTC)))

    def edit(old: _Document | None) -> _Document:
        if old is not None:
            # Two spaces, as recorded.
            raise ResourceConflictException(
                f"Failed to create function url config for [functionArn = {ref.qualified_arn}]."
                " Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        return document

    def create() -> None:
        _check_function(backend, ref)
        backend.configs.change(ref, ConfigKind.URL, edit, _qualifier(ref))

    await asyncio.to_thread(create)
    return rules.created(document, ref, call.base_url)


@operation("GetFunctionUrlConfig")
async def get_function_url_config(backend: Backend, call: Call) -> Result:
    """One configuration."""
    ref = call.ref()
    try:
        found = await asyncio.to_thread(backend.configs.get, ref, ConfigKind.URL, _qualifier(ref))
    except ResourceNotFoundException:
        found = None
    if found is None:
        raise _not_configured()
    return rules.shown(found, ref, call.base_url)


@operation("UpdateFunctionUrlConfig")
async def update_function_url_config(backend: Backend, call: Call) -> Result:
    """Change what is given and keep the rest; the URL stays the same."""
    ref = call.ref()
    now = microseconds(datetime.now(UTC))
    document: dict[str, Any] = {}

    def edit(old: _Document | None) -> _Document:
        if old is None:
            raise _not_configured()
        document.update(rules.changed_document(old, call.params, now))
        return document

    def update() -> None:
        _check_function(backend, ref)
        backend.configs.change(ref, ConfigKind.URL, edit, _qualifier(ref))

    await asyncio.to_thread(update)
    return rules.changed(document, ref, call.base_url)


@operation("DeleteFunctionUrlConfig")
async def delete_function_url_config(backend: Backend, call: Call) -> Result:
    """Take the URL away; the next one will be another."""
    ref = call.ref()
    try:
        there_was = await asyncio.to_thread(
            backend.configs.delete, ref, ConfigKind.URL, _qualifier(ref)
        )
    except ResourceNotFoundException:
        there_was = False
    if not there_was:
        raise _not_configured()
    return None


@operation("ListFunctionUrlConfigs")
async def list_function_url_configs(backend: Backend, call: Call) -> Result:
    """A page of a function's configurations; a marker is the ARN that the next page starts with."""
    ref = replace(call.ref(), qualifier=None)
    try:
        found = await asyncio.to_thread(backend.configs.all_of, ref, ConfigKind.URL)
    except ResourceNotFoundException:
        raise _no_function() from None
    items = [
        rules.shown(document, _of(ref, qualifier), call.base_url)
        for qualifier, document in found.items()
    ]
    items, following = page_from(
        sorted(items, key=_arn),
        _arn,
        call.params.get("Marker"),
        page_size(call.params.get("MaxItems")),
    )
    return {"FunctionUrlConfigs": items, "NextMarker": following}


# ------------------------------------------------------------------------------------------------


def _qualifier(ref: FunctionRef) -> str:
    return ref.qualifier or LATEST


def _of(ref: FunctionRef, qualifier: str) -> FunctionRef:
    """The function as the owner of a URL: `$LATEST` is not named."""
    return replace(ref, qualifier=None if qualifier == LATEST else qualifier)


def _arn(item: Mapping[str, Any]) -> str:
    arn: str = item["FunctionArn"]
    return arn


def _check_function(backend: Backend, ref: FunctionRef) -> None:
    """The function must exist, and the alias if one is named."""
    try:
        if ref.qualifier:
            backend.aliases.get(ref)
        else:
            backend.registry.get(ref)
    except ResourceNotFoundException:
        raise _no_function() from None


def _no_function() -> ResourceNotFoundException:
    return ResourceNotFoundException("Function does not exist")


def _not_configured() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")
