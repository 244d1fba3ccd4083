"""The log store: what functions and the platform wrote."""

from lambda_home.logs.events import LogEvent, LogLimits
from lambda_home.logs.store import LogStore

__all__ = ["LogEvent", "LogLimits", "LogStore"]
