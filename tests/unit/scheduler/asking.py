"""Extensions in tests: those of an environment, and their requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fakes import ReadyPreparer

from lambda_home.sandboxes.base import Package, Prepared
from lambda_home.scheduler.extensions import ExtensionRefusedError, Extensions

BOTH = ("INVOKE", "SHUTDOWN")


@dataclass
class Asked:
    """A parked request of an extension."""

    events: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    gone: bool = False

    def deliver(self, event: dict[str, object]) -> None:
        self.events.append(event)

    def refuse(self, error: ExtensionRefusedError) -> None:
        self.refused.append(error.error_type)


class WithExtensions(ReadyPreparer):
    """Packages have the external extensions `one` and `two`."""

    names: tuple[str, ...] = ("one", "two")

    async def prepare(self, package: Package) -> Prepared:
        prepared = await super().prepare(package)
        return Prepared(prepared.code, prepared.opt, extensions=self.names)


class WithOne(WithExtensions):
    names: tuple[str, ...] = ("one",)


def registered(*events: str, name: str = "one") -> Extensions:
    """An external extension that has registered."""
    extensions = Extensions()
    extensions.expect([name])
    extensions.register(name, events, name)
    return extensions


def ask(extensions: Extensions, identifier: str = "one") -> Asked:
    asked = Asked()
    extensions.poll(identifier, asked)
    return asked


def types(asked: Asked) -> list[str]:
    return [str(event["eventType"]) for event in asked.events]
