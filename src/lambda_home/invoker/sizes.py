"""Tells the scheduler which sizes of spares the functions that exist would need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from lambda_home.registry.functions import FunctionRegistry
from lambda_home.runtimes import preloads
from lambda_home.scheduler.spares import SpareSize

_TOGETHER_S = 0.01
_REST = 10  # times as long as a count took: many functions and many changes take no whole core

_log = structlog.get_logger(__name__)

Use = Callable[[Mapping[SpareSize, int]], None]


class SizesInUse:
    """Counts again after every change, a little later: changes come in bursts."""

    def __init__(self, registry: FunctionRegistry, use: Use) -> None:
        self._registry = registry
        self._use = use
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start counting."""
        self._changed.set()
        self._task = asyncio.get_running_loop().create_task(self._count_forever())

    async def close(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def changed(self) -> None:
        """Some function was made, changed or deleted."""
        self._changed.set()

    async def _count_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._changed.clear()
            began = loop.time()
            try:
                found = await asyncio.to_thread(self._registry.sizes)
                sizes = {SpareSize(*size): count for size, count in found.items()}
                self._use({size: sizes[size] for size in sizes if preloads(size.runtime)})
            except Exception:
                _log.exception("counting the sizes in use failed")
            await asyncio.sleep(_REST * (loop.time() - began))
