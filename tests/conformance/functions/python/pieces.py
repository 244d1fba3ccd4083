"""The conformance suite's function that streams."""

from __future__ import annotations

import time
from typing import Any

from awslambda import streamify_response  # type: ignore[import-not-found]


@streamify_response  # type: ignore[untyped-decorator]
def handler(_event: Any, stream: Any, _context: Any) -> None:
    stream.write("one;")
    time.sleep(0.5)
    stream.write("two;")
