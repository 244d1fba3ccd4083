"""Moments as AWS Lambda writes them; pure."""

from __future__ import annotations

from datetime import UTC, datetime


def milliseconds(moment: datetime) -> str:
    """As in `LastModified` of functions: `2026-11-21T10:15:30.123+0000`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def microseconds(moment: datetime) -> str:
    """As in `CreationTime` of function URLs: `2026-11-21T10:15:30.123456Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
