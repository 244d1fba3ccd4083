"""Layers and their versions."""

from __future__ import annotations

from lambda_home.registry.database import Database


class Layers:
    """The layers of all accounts; synchronous and usable from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
