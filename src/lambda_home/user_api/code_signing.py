"""Operations on code signing configurations, and on which one a function uses.

Configurations are stored and answered; no signature is checked. Texts and rules are those recorded
on AWS except where a comment says otherwise.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambda_home.arns import FunctionRef, Scope, function_arn
from lambda_home.errors import ResourceConflictException, ResourceNotFoundException
from lambda_home.registry.configs import ConfigKind
from lambda_home.registry.resources import ResourceKind
from lambda_home.user_api import code_signing_rules, tag_rules
from lambda_home.user_api.dates import milliseconds
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from

_KIND = ResourceKind.CODE_SIGNING_CONFIG
_PAGE_LIMIT = 10_000  # API_ListCodeSigningConfigs
_ID_BYTES = 9  # AWS's ids have 17 hexadecimal digits
_ID_DIGITS = 17
_DEFAULT_POLICIES = {"UntrustedArtifactOnDeployment": "Warn"}

_Document = Mapping[str, Any]


@operation("CreateCodeSigningConfig")
async def create_code_signing_config(backend: Backend, call: Call) -> Result:
    """Make a configuration; equal ones may exist beside each other."""
    tags = call.params.get("Tags") or {}
    tag_rules.check(tags)
    name = f"csc-{secrets.token_hex(_ID_BYTES)[:_ID_DIGITS]}"
    document = {
        "CodeSigningConfigId": name,
        "CodeSigningConfigArn": code_signing_rules.config_arn(call.scope, name),
        **_changed({"CodeSigningPolicies": _DEFAULT_POLICIES}, call.params),
    }
    if tags:
        document["Tags"] = dict(tags)
    await asyncio.to_thread(backend.resources.change, call.scope, _KIND, name, lambda _: document)
    return {"CodeSigningConfig": _shown(document)}


@operation("GetCodeSigningConfig")
async def get_code_signing_config(backend: Backend, call: Call) -> Result:
    """One configuration."""
    return {"CodeSigningConfig": _shown(await asyncio.to_thread(_find, backend, call))}


@operation("UpdateCodeSigningConfig")
async def update_code_signing_config(backend: Backend, call: Call) -> Result:
    """Change what is given and keep the rest."""
    changed: dict[str, Any] = {}

    def update() -> None:
        name = _find(backend, call)["CodeSigningConfigId"]
        backend.resources.change(call.scope, _KIND, name, edit)

    def edit(old: _Document | None) -> _Document:
        if old is None:
            raise _not_found(call)
        changed.update(_changed(old, call.params))
        return changed

    await asyncio.to_thread(update)
    return {"CodeSigningConfig": _shown(changed)}


@operation("DeleteCodeSigningConfig")
async def delete_code_signing_config(backend: Backend, call: Call) -> Result:
    """Take a configuration away that no function uses."""

    def delete() -> None:
        document = _find(backend, call)
        if _users(backend, call.scope, document["CodeSigningConfigArn"]):
            # AWS refuses this; its text is not recorded.
            raise ResourceConflictException(
                "Cannot delete the code signing configuration"
                f" {document['CodeSigningConfigArn']} because it is in use by one or more"
                " functions."
            )
        name = document["CodeSigningConfigId"]
        backend.resources.change(call.scope, _KIND, name, lambda _: None)

    await asyncio.to_thread(delete)
    return None


@operation("ListCodeSigningConfigs")
async def list_code_signing_configs(backend: Backend, call: Call) -> Result:
    """A page of the configurations of an account and region."""
    found = await asyncio.to_thread(backend.resources.all_of, call.scope, _KIND)
    items, following = _page(call, sorted(found))
    return {"CodeSigningConfigs": [_shown(found[name]) for name in items], "NextMarker": following}


@operation("ListFunctionsByCodeSigningConfig")
async def list_functions_by_code_signing_config(backend: Backend, call: Call) -> Result:
    """A page of the functions that use a configuration."""

    def read() -> list[str]:
        return _users(backend, call.scope, _find(backend, call)["CodeSigningConfigArn"])

    items, following = _page(call, await asyncio.to_thread(read))
    return {"FunctionArns": items, "NextMarker": following}


@operation("PutFunctionCodeSigningConfig")
async def put_function_code_signing_config(backend: Backend, call: Call) -> Result:
    """Let a function use a configuration, which is looked at before the function is."""
    ref = _function(call)
    arn = call.params["CodeSigningConfigArn"]
    await code_signing_rules.check(backend, call.scope, arn)
    document = code_signing_rules.of_function(arn)

    def put() -> None:
        _check_code(backend, ref)
        backend.configs.put(ref, ConfigKind.CODE_SIGNING, document)

    await asyncio.to_thread(put)
    return {**document, "FunctionName": ref.name}


@operation("GetFunctionCodeSigningConfig")
async def get_function_code_signing_config(backend: Backend, call: Call) -> Result:
    """The configuration that a function uses; an empty answer where it uses none."""
    ref = _function(call)

    def read() -> _Document | None:
        _check_code(backend, ref)
        return backend.configs.get(ref, ConfigKind.CODE_SIGNING)

    document = await asyncio.to_thread(read)
    return {**document, "FunctionName": ref.name} if document else {}


@operation("DeleteFunctionCodeSigningConfig")
async def delete_function_code_signing_config(backend: Backend, call: Call) -> Result:
    """Let a function use no configuration; that it used none is no error."""
    ref = _function(call)

    def delete() -> None:
        _check_code(backend, ref)
        backend.configs.delete(ref, ConfigKind.CODE_SIGNING)

    await asyncio.to_thread(delete)
    return None


# ------------------------------------------------------------------------------------------------


def _function(call: Call) -> FunctionRef:
    return replace(call.ref(), qualifier=None)


def _check_code(backend: Backend, ref: FunctionRef) -> None:
    """The function must exist, and its code must not be an image."""
    if backend.registry.get(ref).is_image:
        raise code_signing_rules.unsupported()


def _find(backend: Backend, call: Call) -> _Document:
    found = code_signing_rules.find(backend, call.scope, call.params["CodeSigningConfigArn"])
    if found is None:
        raise _not_found(call)
    return found


def _users(backend: Backend, scope: Scope, arn: str) -> list[str]:
    """The ARNs of the functions that use a configuration, in their order."""
    wanted = code_signing_rules.of_function(arn)
    return sorted(
        function_arn(scope, name)
        for (owner, name, _), document in backend.configs.everywhere(
            ConfigKind.CODE_SIGNING
        ).items()
        if owner == scope and document == wanted
    )


def _changed(document: _Document, given: Mapping[str, Any]) -> dict[str, Any]:
    members = {"LastModified": milliseconds(datetime.now(UTC))}
    for name in ("Description", "AllowedPublishers", "CodeSigningPolicies"):
        if given.get(name) is not None:
            members[name] = given[name]
    if not members.get("CodeSigningPolicies"):
        members["CodeSigningPolicies"] = document["CodeSigningPolicies"]
    return {**document, **members}


def _shown(document: _Document) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "Tags"}


def _page(call: Call, items: list[str]) -> tuple[list[str], str | None]:
    limit = min(call.params.get("MaxItems") or _PAGE_LIMIT, _PAGE_LIMIT)
    return page_from(items, str, call.params.get("Marker"), limit)


def _not_found(call: Call) -> ResourceNotFoundException:
    """Without `Type`, as recorded."""
    return ResourceNotFoundException(
        f"The Lambda code signing configuration {call.params['CodeSigningConfigArn']} can not be"
        " found.",
        fault_type=None,
    )
