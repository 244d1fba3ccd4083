"""Operations on functions and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from lambda_home.arns import LATEST_PUBLISHED, FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import UPDATING, Code, FunctionVersion
from lambda_home.hot_reload.reloading import document_of
from lambda_home.packager.image_program import repository_of
from lambda_home.registry.changes import ConfigKind, Configuration, NewFunction
from lambda_home.registry.functions import Publish, check_revision
from lambda_home.user_api import capacity_provider_uses, code_signing_rules, tag_rules
from lambda_home.user_api.code_sources import check_architecture, fetch_code
from lambda_home.user_api.documents import answer_arn, configuration, listed
from lambda_home.user_api.function_settings import changes, check_code
from lambda_home.user_api.layers_of_functions import check_size, resolve
from lambda_home.user_api.lookups import check_role, vpc_config
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("CreateFunction")
async def create_function(backend: Backend, call: Call) -> Result:
    """Make a function; it is Pending until its code is prepared."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    package_type = params.get("PackageType") or "Zip"
    changes(params)  # all that can be told without asking anybody comes first
    check_code(params["Code"], package_type, updating=False)
    await check_architecture(backend, params.get("Architectures"), params.get("Runtime") or "")
    beside = await _beside(backend, call)
    params, layers = await _looked_up(backend, call)
    values = cast("NewFunction", {**changes(params), **layers})
    values["package_type"] = package_type
    if params.get("Architectures"):
        values["architectures"] = tuple(params["Architectures"])
    code, folder = await _fetch(backend, call, params["Code"], creating=True)
    if folder is not None:
        beside[ConfigKind.HOT_RELOAD] = document_of(folder)
    await check_size(backend, values.get("layers", ()), code)
    publish = _publish(params, bool(values["documents"].get("CapacityProviderConfig")))
    version = await asyncio.to_thread(
        backend.registry.create, ref, code, values, publish=publish, beside=beside
    )
    return configuration(version, version.arn)


@operation("GetFunction")
async def get_function(backend: Backend, call: Call) -> Result:
    """A function with a link to its code, its tags and its reserved concurrency."""
    ref = call.ref()

    def read() -> tuple[FunctionVersion, int | None, Mapping[str, Any]]:
        version = backend.registry.get(ref)
        tags = backend.configs.get(ref, ConfigKind.TAGS) or {}
        return version, backend.registry.get_reserved(ref), tags

    version, reserved, tags = await asyncio.to_thread(read)
    result: dict[str, Any] = {
        "Configuration": configuration(version, answer_arn(version, ref)),
        "Code": _code(backend, call, version),
    }
    if tags.get("Tags"):
        result["Tags"] = tags["Tags"]
    if reserved is not None:
        result["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return result


@operation("GetFunctionConfiguration")
async def get_function_configuration(backend: Backend, call: Call) -> Result:
    """A function's configuration."""
    ref = call.ref()
    version = await asyncio.to_thread(backend.registry.get, ref)
    return configuration(version, answer_arn(version, ref))


@operation("ListFunctions")
async def list_functions(backend: Backend, call: Call) -> Result:
    """A page of functions, or with FunctionVersion=ALL of all their versions."""
    every = call.params.get("FunctionVersion") == "ALL"
    page = await asyncio.to_thread(
        backend.registry.list_functions,
        call.scope,
        marker=call.params.get("Marker"),
        max_items=call.params.get("MaxItems"),
        all_versions=every,
    )
    items = [listed(v, v.qualified_arn if every else v.arn) for v in page.items]
    return {"Functions": items, "NextMarker": page.next_marker}


@operation("ListVersionsByFunction")
async def list_versions_by_function(backend: Backend, call: Call) -> Result:
    """A page of a function's versions."""
    page = await asyncio.to_thread(
        backend.registry.list_versions,
        call.ref(),
        marker=call.params.get("Marker"),
        max_items=call.params.get("MaxItems"),
    )
    items = [listed(v, v.qualified_arn) for v in page.items]
    return {"Versions": items, "NextMarker": page.next_marker}


@operation("UpdateFunctionCode")
async def update_function_code(backend: Backend, call: Call) -> Result:
    """Give `$LATEST` other code; DryRun checks everything and changes nothing."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    latest = await _current(backend, ref)
    check_revision(latest, params.get("RevisionId"))
    check_code(params, latest.package_type, updating=True)
    await check_architecture(backend, params.get("Architectures"), latest.runtime)
    code, folder = await _fetch(backend, call, params)
    await check_size(backend, latest.layers, code)
    architectures = tuple(params.get("Architectures") or ()) or None
    if params.get("DryRun"):
        tried = replace(latest, code=code, architectures=architectures or latest.architectures)
        return configuration(replace(tried, status=UPDATING), tried.arn)
    async with backend.hot_reload.changing(ref, folder):
        version = await asyncio.to_thread(
            backend.registry.update_code,
            ref,
            code,
            architectures=architectures,
            publish=_publish(params, "CapacityProviderConfig" in latest.documents),
            revision_id=params.get("RevisionId"),
            strict=backend.rules.strict_states,
        )
    return configuration(version, version.arn if version.is_latest else version.qualified_arn)


@operation("UpdateFunctionConfiguration")
async def update_function_configuration(backend: Backend, call: Call) -> Result:
    """Change settings of `$LATEST`; environments with the old ones finish and stop."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    latest = await _current(backend, ref)
    changes(params, latest)
    params, layers = await _looked_up(backend, call)
    await check_size(backend, layers.get("layers", ()), latest.code)

    def edit(current: FunctionVersion) -> Configuration:
        return changes(params, current) | layers

    version = await asyncio.to_thread(
        backend.registry.update_configuration,
        ref,
        edit,
        revision_id=params.get("RevisionId"),
        strict=backend.rules.strict_states,
    )
    return configuration(version, version.arn)


@operation("PublishVersion")
async def publish_version(backend: Backend, call: Call) -> Result:
    """Freeze `$LATEST` as a numbered version."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    latest = await _current(backend, ref)
    version = await asyncio.to_thread(
        backend.registry.publish,
        ref,
        description=params.get("Description"),
        code_sha256=params.get("CodeSha256"),
        revision_id=params.get("RevisionId"),
        strict=backend.rules.strict_states,
        to=_publish(params, "CapacityProviderConfig" in latest.documents) or True,
    )
    return configuration(version, version.qualified_arn)


@operation("DeleteFunction")
async def delete_function(backend: Backend, call: Call) -> Result:
    """Delete a function or one version; what runs, finishes."""
    await asyncio.to_thread(backend.registry.delete, call.ref())
    return None


# ------------------------------------------------------------------------------------------------


async def _current(backend: Backend, ref: FunctionRef) -> FunctionVersion:
    """`$LATEST`, as soon as it is neither Pending nor InProgress; at once where states are strict.

    Then the registry answers AWS's 409.
    """
    if backend.rules.strict_states:
        return await asyncio.to_thread(backend.registry.get, ref)
    return await backend.deployer.when_settled(ref)


async def _fetch(
    backend: Backend, call: Call, given: Mapping[str, Any], *, creating: bool = False
) -> tuple[Code, str | None]:
    """The code that a request brings or names, and the folder that it is to follow, if any."""
    asked = backend.hot_reload.folder_in(given)
    if asked is None:
        return await fetch_code(backend, call.scope, given, creating=creating), None
    return await backend.hot_reload.code_of(asked)


async def _looked_up(backend: Backend, call: Call) -> tuple[Mapping[str, Any], Configuration]:
    """The parameters with what must exist put in its place, and the layers."""
    params, layers = call.params, Configuration()
    if params.get("CapacityProviderConfig"):
        await capacity_provider_uses.check(backend, call.scope, params["CapacityProviderConfig"])
    if params.get("Role"):
        await check_role(backend, call.scope, params["Role"])
    if params.get("VpcConfig") is not None:
        config = await vpc_config(backend, call.scope, params["VpcConfig"])
        params = {**params, "VpcConfig": config}
    if params.get("Layers") is not None:
        layers["layers"] = await resolve(backend, call.scope, params["Layers"])
    return params, layers


def _publish(params: Mapping[str, Any], managed: bool) -> Publish:  # noqa: FBT001
    """What to publish: only functions on managed instances have `$LATEST.PUBLISHED`."""
    if params.get("PublishTo") is None:
        return bool(params.get("Publish"))
    if not managed:
        raise InvalidParameterValueException(
            "PublishTo is supported only for functions with a CapacityProviderConfig."
        )
    return LATEST_PUBLISHED


async def _beside(backend: Backend, call: Call) -> dict[ConfigKind, Mapping[str, Any]]:
    """What is configured for a new function beside its versions; raises for what AWS refuses."""
    params = call.params
    found: dict[ConfigKind, Mapping[str, Any]] = {}
    tag_rules.check(params.get("Tags") or {})
    if params.get("Tags"):
        found[ConfigKind.TAGS] = {"Tags": params["Tags"]}
    signing = params.get("CodeSigningConfigArn")
    if signing:
        image = params.get("PackageType") == "Image"
        await code_signing_rules.check(backend, call.scope, signing, image=image)
        found[ConfigKind.CODE_SIGNING] = code_signing_rules.of_function(signing)
    return found


def _code(backend: Backend, call: Call, version: FunctionVersion) -> dict[str, Any]:
    """Where the code is: a link that serves the very ZIP, or the image."""
    if not version.is_image:
        location = backend.links.link(call.base_url, version.code.key)
        key = version.code.kms_key_arn or None
        return {"RepositoryType": "S3", "Location": location, "SourceKMSKeyArn": key}
    uri = version.code.image_uri
    return {
        "RepositoryType": "ECR",
        "ImageUri": uri,
        "ResolvedImageUri": f"{repository_of(uri)}@sha256:{version.code.sha256}",
    }
