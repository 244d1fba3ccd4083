"""Which sizes of spares the functions that exist need."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

from lambda_home.invoker.sizes import SizesInUse
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.spares import SpareSize


def test_only_runtimes_that_preload_have_sizes() -> None:
    """Else a start of a spare that cannot be is tried again each minute."""
    counted = {
        ("python3.12", 128, 512): 2,
        ("nodejs22.x", 256, 512): 1,
        ("provided.al2023", 128, 512): 3,
        ("dotnet8", 128, 512): 1,
        ("rust", 128, 512): 1,
    }
    registry = cast("FunctionRegistry", SimpleNamespace(sizes=lambda: counted))

    async def main() -> Mapping[SpareSize, int]:
        told: asyncio.Future[Mapping[SpareSize, int]] = asyncio.get_running_loop().create_future()
        sizes = SizesInUse(registry, told.set_result)
        await sizes.open()
        try:
            return await asyncio.wait_for(told, 10)
        finally:
            await sizes.close()

    assert asyncio.run(main()) == {
        SpareSize("python3.12", 128, 512): 2,
        SpareSize("nodejs22.x", 256, 512): 1,
    }
