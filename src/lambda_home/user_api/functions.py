"""Operations on functions and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from lambda_home.errors import InvalidParameterValueException, ServiceException
from lambda_home.functions import UPDATING, Code
from lambda_home.packager import archive
from lambda_home.registry.changes import Configuration, NewFunction
from lambda_home.registry.functions import check_revision
from lambda_home.user_api.documents import answer_arn, changes, configuration, listed
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("CreateFunction")
async def create_function(backend: Backend, call: Call) -> Result:
    """Make a function from a ZIP; it is Pending until its code is prepared."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    if params.get("PackageType", "Zip") == "Zip" and not (
        params.get("Runtime") and params.get("Handler")
    ):
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment"
            " packages."
        )
    values = cast("NewFunction", changes(params))
    if params.get("Architectures"):
        values["architectures"] = tuple(params["Architectures"])
    code = await _store_code(backend, params["Code"])
    version = await asyncio.to_thread(
        backend.registry.create, ref, code, values, publish=bool(params.get("Publish"))
    )
    return configuration(version, version.arn)


@operation("GetFunction")
async def get_function(backend: Backend, call: Call) -> Result:
    """A function with a link to its code, and its reserved concurrency."""
    ref = call.ref()
    version = await asyncio.to_thread(backend.registry.get, ref)
    result: dict[str, Any] = {
        "Configuration": configuration(version, answer_arn(version, ref)),
        "Code": {
            "RepositoryType": "S3",
            "Location": backend.links.link(call.base_url, version.code.key),
        },
    }
    reserved = await asyncio.to_thread(backend.registry.get_reserved, ref)
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
    latest = await backend.deployer.when_settled(ref)
    code = await _store_code(backend, params)
    architectures = tuple(params.get("Architectures") or ()) or None
    if params.get("DryRun"):
        check_revision(latest, params.get("RevisionId"))
        tried = replace(latest, code=code, architectures=architectures or latest.architectures)
        return configuration(replace(tried, status=UPDATING), tried.arn)
    version = await asyncio.to_thread(
        backend.registry.update_code,
        ref,
        code,
        architectures=architectures,
        publish=bool(params.get("Publish")),
        revision_id=params.get("RevisionId"),
    )
    return configuration(version, version.arn if version.is_latest else version.qualified_arn)


@operation("UpdateFunctionConfiguration")
async def update_function_configuration(backend: Backend, call: Call) -> Result:
    """Change settings of `$LATEST`; environments with the old ones finish and stop."""
    ref = replace(call.ref(), qualifier=None)
    await backend.deployer.when_settled(ref)
    members: Configuration = changes(call.params)
    version = await asyncio.to_thread(
        backend.registry.update_configuration,
        ref,
        members,
        revision_id=call.params.get("RevisionId"),
    )
    return configuration(version, version.arn)


@operation("PublishVersion")
async def publish_version(backend: Backend, call: Call) -> Result:
    """Freeze `$LATEST` as a numbered version."""
    params = call.params
    ref = replace(call.ref(), qualifier=None)
    await backend.deployer.when_settled(ref)
    version = await asyncio.to_thread(
        backend.registry.publish,
        ref,
        description=params.get("Description"),
        code_sha256=params.get("CodeSha256"),
        revision_id=params.get("RevisionId"),
    )
    return configuration(version, version.qualified_arn)


@operation("DeleteFunction")
async def delete_function(backend: Backend, call: Call) -> Result:
    """Delete a function or one version; what runs, finishes."""
    await asyncio.to_thread(backend.registry.delete, call.ref())
    return None


async def _store_code(backend: Backend, given: Mapping[str, Any]) -> Code:
    """Check and keep a deployment package.

    Raises InvalidParameterValueException, 413, and ServiceException where the disk has no room.
    """
    if given.get("ImageUri"):
        raise InvalidParameterValueException(
            "Container images are not supported by this version of lambda_home: send ZipFile."
        )
    if given.get("S3Bucket") or given.get("S3Key"):
        raise InvalidParameterValueException(
            "Code in S3 is not supported by this version of lambda_home: send ZipFile."
        )
    data = given.get("ZipFile")
    if not data:
        raise InvalidParameterValueException("Please provide a source for function code.")

    def check_and_keep() -> Code:
        archive.check_contents(archive.inspect(data), data)
        try:
            return backend.store.put(data)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ServiceException(
                f"The deployment package could not be stored: {reason}."
            ) from error

    return await asyncio.to_thread(check_and_keep)
