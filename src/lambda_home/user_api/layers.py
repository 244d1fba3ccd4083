"""Operations on layers and their versions.

Answers and texts are those recorded on AWS.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lambda_home.errors import ResourceNotFoundException
from lambda_home.registry.layers import LayerPage, LayerRef, LayerVersion, Matches
from lambda_home.user_api.code_sources import fetch_zip, keep_zip
from lambda_home.user_api.layer_access import check_own, find, in_reach, layer_of, version_of
from lambda_home.user_api.operations import Backend, Call, Result, operation

_PUBLISHED = ("CompatibleRuntimes", "LicenseInfo", "CompatibleArchitectures")


@operation("PublishLayerVersion")
async def publish_layer_version(backend: Backend, call: Call) -> Result:
    """Make the next version of a layer, which is new with its first."""
    params = call.params
    ref = layer_of(call)
    await check_own(backend, call.scope, ref, "PublishLayerVersion")
    if not in_reach(call.scope, ref):
        raise _missing()
    members = {name: params[name] for name in _PUBLISHED if params.get(name) is not None}
    members["Description"] = params.get("Description") or ""
    code = await keep_zip(backend, await fetch_zip(backend, call.scope, params["Content"]))
    version = await asyncio.to_thread(backend.layers.publish, ref.scope, ref.name, code, members)
    return _with_content(backend, call, version)


@operation("GetLayerVersion")
async def get_layer_version(backend: Backend, call: Call) -> Result:
    """A version with a link to its ZIP."""
    return await _get(backend, call, layer_of(call))


@operation("GetLayerVersionByArn")
async def get_layer_version_by_arn(backend: Backend, call: Call) -> Result:
    """The same, by the version's ARN."""
    return await _get(backend, call, version_of(call.params["Arn"]))


@operation("ListLayers")
async def list_layers(backend: Backend, call: Call) -> Result:
    """A page of layers, each with its newest version that matches; those without one are left out.

    They come in the order of their names.
    """
    params = call.params
    page = await asyncio.to_thread(
        backend.layers.list_layers,
        call.scope,
        _matches(call),
        params.get("Marker"),
        params.get("MaxItems"),
    )
    items = [
        {
            "LayerName": version.ref.name,
            "LayerArn": version.ref.layer_arn,
            "LatestMatchingVersion": _listed(version),
        }
        for version in page.items
    ]
    return {"Layers": items, "NextMarker": page.next_marker}


@operation("ListLayerVersions")
async def list_layer_versions(backend: Backend, call: Call) -> Result:
    """A page of a layer's versions that match, the newest first; none if there is no such layer."""
    params = call.params
    ref = layer_of(call)
    await check_own(backend, call.scope, ref, "ListLayerVersions")
    page = LayerPage(())
    if in_reach(call.scope, ref):
        page = await asyncio.to_thread(
            backend.layers.list_versions,
            ref,
            _matches(call),
            params.get("Marker"),
            params.get("MaxItems"),
        )
    return {
        "LayerVersions": [_listed(version) for version in page.items],
        "NextMarker": page.next_marker,
    }


@operation("DeleteLayerVersion")
async def delete_layer_version(backend: Backend, call: Call) -> Result:
    """Delete a version, if there is one; functions that use it keep it."""
    ref = layer_of(call)
    await check_own(backend, call.scope, ref, "DeleteLayerVersion")
    if in_reach(call.scope, ref):
        await asyncio.to_thread(backend.layers.delete, ref)
    return None


# ------------------------------------------------------------------------------------------------


async def _get(backend: Backend, call: Call, ref: LayerRef | None) -> Result:
    version = None if ref is None else await find(backend, call.scope, ref)
    if version is None:
        raise _missing()
    return _with_content(backend, call, version)


def _matches(call: Call) -> Matches:
    runtime = call.params.get("CompatibleRuntime")
    architecture = call.params.get("CompatibleArchitecture")
    return lambda version: version.runs_on(runtime, architecture)


def _listed(version: LayerVersion) -> dict[str, Any]:
    return {
        **version.members,
        "LayerVersionArn": version.ref.arn,
        "Version": version.ref.number,
    }


def _with_content(backend: Backend, call: Call, version: LayerVersion) -> dict[str, Any]:
    content = {
        "Location": backend.links.link(call.base_url, version.code.key),
        "CodeSha256": version.code.sha256,
        "CodeSize": version.code.size,
    }
    return {"Content": content, "LayerArn": version.ref.layer_arn, **_listed(version)}


def _missing() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")
