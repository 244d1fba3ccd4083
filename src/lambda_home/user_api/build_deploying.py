"""What a build is for: the runtime of a function that exists, and its code afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import FunctionVersion
from lambda_home.packager.archive import code_of
from lambda_home.user_api.code_sources import keep_zip
from lambda_home.user_api.layers_of_functions import check_size
from lambda_home.user_api.operations import Backend


async def function_for(backend: Backend, scope: Scope, name: str) -> FunctionVersion:
    """`$LATEST` of a function that takes packages.

    Raises ResourceNotFoundException, InvalidParameterValueException.
    """
    ref = FunctionRef.parse(scope, name)
    if ref.qualifier is not None:
        raise InvalidParameterValueException(
            "A build is deployed to a function, not to a version or an alias: leave the qualifier"
            " out."
        )
    found = await asyncio.to_thread(backend.registry.get, ref)
    if found.package_type != "Zip":
        raise InvalidParameterValueException(
            f"{ref.name} is made of a container image and takes no package."
        )
    return found


async def give_code(backend: Backend, scope: Scope, name: str, package: Path) -> str:
    """Make a package the code of a function, unless it is already; says which.

    The package may be as large as one in S3. Raises as UpdateFunctionCode does.
    """
    latest = await function_for(backend, scope, name)
    data = await asyncio.to_thread(package.read_bytes)
    if latest.code.sha256 == await asyncio.to_thread(lambda: code_of(data).sha256):
        return f"{name} has this code already: it is left as it is."
    ref = replace(FunctionRef.parse(scope, name), qualifier=None)
    if not backend.rules.strict_states:
        latest = await backend.deployer.when_settled(ref)
    code = await keep_zip(backend, data)
    await check_size(backend, latest.layers, code)
    await asyncio.to_thread(
        backend.registry.update_code, ref, code, strict=backend.rules.strict_states
    )
    return f"{name} has the new code, CodeSha256 {code.sha256}."


def deploying(
    backend: Backend, loop: asyncio.AbstractEventLoop
) -> Callable[[Scope, str, Path], str]:
    """`give_code` for threads, which `loop` does the work for."""

    def deploy(scope: Scope, function: str, package: Path) -> str:
        work = give_code(backend, scope, function, package)
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    return deploy
