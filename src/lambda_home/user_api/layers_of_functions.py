"""The layer versions that a function asks for.

CreateFunction and UpdateFunctionConfiguration look all of them up, also those that the function has
already: a deleted version can stay on a function, but a list that names it is refused ("You must
remove this layer from the list before you can save any changes", the console says). Texts are
recorded on AWS unless a comment says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import UNZIPPED_LIMIT, Code, Layer
from lambda_home.packager.central_directory import read_records
from lambda_home.packager.store import CodeStore
from lambda_home.registry.layers import LayerVersion
from lambda_home.user_api.layer_access import find, in_reach, named
from lambda_home.user_api.operations import Backend

_MOST_LAYERS = 5


async def resolve(backend: Backend, scope: Scope, arns: Sequence[str]) -> tuple[Layer, ...]:
    """The layer versions that a function in `scope` asks for, in its order.

    Raises InvalidParameterValueException for too many, for what does not exist, is in another
    region or is there in two versions, and for what is too large together;
    AccessDeniedException for a version of another account that it does not share.
    """
    if len(arns) > _MOST_LAYERS:
        raise InvalidParameterValueException(f"Cannot reference more than {_MOST_LAYERS} layers.")
    given: dict[str, str] = {}
    found: list[Layer] = []
    for arn in arns:
        version = await _usable(backend, scope, arn)
        layer = version.ref.layer_arn
        if layer in given:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the"
                f" same function. {given[layer]} and {arn} are versions of the same layer."
            )
        given[layer] = arn
        found.append(Layer(version.ref.arn, version.code.key, version.code.size))
    await check_size(backend, found)
    return tuple(found)


async def check_size(backend: Backend, layers: Sequence[Layer], code: Code | None = None) -> None:
    """Raise InvalidParameterValueException if layers, or code with layers, are too large unzipped.

    The texts are those that people report of AWS.
    """
    if not layers:
        return
    sizes = [await _unzipped_size(backend.store, layer.key) for layer in layers]
    if sum(sizes) > UNZIPPED_LIMIT:
        raise InvalidParameterValueException(
            f"Layers consume more than the available size of {UNZIPPED_LIMIT} bytes"
        )
    if code is None or not code.key:
        return
    size = sum(sizes) + await _unzipped_size(backend.store, code.key)
    if size > UNZIPPED_LIMIT:
        raise InvalidParameterValueException(
            "Function code combined with layers exceeds the maximum allowed size of"
            f" {UNZIPPED_LIMIT} bytes. The actual size is {size} bytes."
        )


async def _usable(backend: Backend, scope: Scope, arn: str) -> LayerVersion:
    ref = named(arn)
    own = ref is not None and ref.scope.account == scope.account
    if ref is not None and own and not in_reach(scope, ref):
        raise InvalidParameterValueException(
            "Layers are not in the same region as the function. Layers are expected to be in"
            f" region {scope.region}."
        )
    version = None if ref is None else await find(backend, scope, ref)
    if version is None:
        raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
    return version


async def _unzipped_size(store: CodeStore, key: str) -> int:
    """The sum of what a stored ZIP declares; it was held against the contents when it came."""

    def read() -> int:
        with store.open(key) as package:
            return sum(record.size for record in read_records(memoryview(package.read())))

    return await asyncio.to_thread(read)
