"""What `/api/healthz` says: each part is asked, and nothing is called well that did not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Check = Callable[[], Awaitable[Any]]


class Health:
    """Asks the parts of a server; a check that raises, or takes over `patience_s`, has failed."""

    def __init__(
        self, checks: Mapping[str, Check], sandbox_kind: str, *, patience_s: float = 2.0
    ) -> None:
        self._checks = checks
        self._sandbox_kind = sandbox_kind
        self._patience_s = patience_s

    async def report(self) -> dict[str, Any]:
        """`status` is "ok" only if every part is; a part that is not says why."""
        said = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        parts = dict(zip(self._checks, said, strict=True))
        well = all(part == "ok" for part in parts.values())
        return {
            "status": "ok" if well else "failing",
            **parts,
            "sandbox_kind": self._sandbox_kind,
        }

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._patience_s):
                await check()
        except TimeoutError:
            return f"no answer within {self._patience_s:g} s"
        except Exception as error:
            return str(error) or type(error).__name__
        return "ok"


async def knock(port: int) -> None:
    """Connect to a loopback port; raises OSError if nobody listens."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
