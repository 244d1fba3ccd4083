"""What the registry's tests share: deterministic clocks and ids, and short ways to say things."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from lambda_home.arns import FunctionRef, Scope
from lambda_home.functions import READY, Code, FunctionVersion
from lambda_home.registry.changes import Change, NewFunction
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry

HERE = Scope("000000000000", "us-east-1")
ELSEWHERE = Scope("111111111111", "eu-west-1")


def code(text: str = "a", size: int = 100) -> Code:
    return Code(text * 8, f"sha-{text}", size)


def ref(name: str = "fn", qualifier: str | None = None, scope: Scope = HERE) -> FunctionRef:
    return FunctionRef(scope, name, qualifier)


@dataclass
class Ticking:
    """A clock that moves a second whenever it is read."""

    now: datetime = datetime(2026, 11, 21, 10, 0, 0, 7000, UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class World:
    path: Path
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = count(1)
        self.database = Database.open(self.path)
        self.registry = FunctionRegistry(
            self.database,
            self.changes.append,
            clock=Ticking(),
            new_uuid=lambda: uuid.UUID(int=next(ids)),
        )

    def close(self) -> None:
        self.database.close()

    def create(self, name: str = "fn", *, scope: Scope = HERE, size: int = 100) -> FunctionVersion:
        values = NewFunction(runtime="python3.12", handler="index.handler", role="arn:aws:iam::r")
        return self.registry.create(ref(name, scope=scope), code(size=size), values)

    def settle(self, version: FunctionVersion) -> bool:
        return self.registry.settle(
            version.scope, version.name, version.version, version.run_key, READY
        )

    def active(self, name: str = "fn", *, scope: Scope = HERE, size: int = 100) -> FunctionVersion:
        """A function whose creation has ended."""
        self.settle(self.create(name, scope=scope, size=size))
        return self.registry.get(ref(name, scope=scope))

    def described(self, text: str, name: str = "fn") -> FunctionVersion:
        """`$LATEST` after an update of its description that has ended."""
        self.settle(self.registry.update_configuration(ref(name), {"description": text}))
        return self.registry.get(ref(name))
