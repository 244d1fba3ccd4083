"""The log store: what functions and the platform wrote."""

from lambda_home.logs.events import LogLimits, LogText
from lambda_home.logs.store import LogStore

__all__ = ["LogLimits", "LogStore", "LogText"]
