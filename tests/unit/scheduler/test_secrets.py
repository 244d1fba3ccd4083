"""Secrets on their way into an environment: resolved late, and a missing one costs no spare."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from fakes import VERSION, until
from unit.scheduler.stage import Stage, opened

from lambda_home.errors import KMSInvalidStateException, KMSNotFoundException
from lambda_home.scheduler.spares import Spare, SpareLimits, SpareSize
from lambda_home.scheduler.variables import secret_references
from lambda_home.vault import VaultError

REFERS = replace(VERSION, environment={"PASSWORD": "SECRET_REF:db/main", "PLAIN": "x"})


def play(scene: Callable[[Stage], Awaitable[None]], stage: Callable[[], Stage]) -> None:
    async def main() -> None:
        async with opened(stage()) as ready:
            await scene(ready)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("environment", "references"),
    [
        (None, {}),
        ({"A": "x", "B": "", "C": " SECRET_REF:n", "D": "secret_ref:n", "E": "SECRET_REF"}, {}),
        ({"A": "SECRET_REF:n", "B": "SECRET_REF:n"}, {"A": "n", "B": "n"}),
        ({"A": "SECRET_REF:"}, {"A": ""}),
        ({"A": "SECRET_REF:a b"}, {"A": "a b"}),
        ({"AWS_REGION": "SECRET_REF:n", "_HANDLER": "SECRET_REF:n"}, {}),
    ],
)
def test_what_refers_to_a_secret(
    environment: dict[str, str] | None, references: dict[str, str]
) -> None:
    assert secret_references(replace(VERSION, environment=environment)) == references


def test_an_environment_has_the_value_of_the_moment_it_is_started() -> None:
    async def scene(stage: Stage) -> None:
        stage.run("a", REFERS)
        await stage.runtimes()
        (spec,) = stage.sandbox.running.values()
        assert (spec.environment["PASSWORD"], spec.environment["PLAIN"]) == ("value", "x")

    play(scene, lambda: Stage(secrets={"db/main": "value", "other": "y"}))


def test_a_handler_that_looks_like_a_reference_is_none() -> None:
    async def scene(stage: Stage) -> None:
        stage.run("a", replace(VERSION, handler="SECRET_REF:db/main"))
        await stage.runtimes()
        (spec,) = stage.sandbox.running.values()
        assert spec.environment["_HANDLER"] == "SECRET_REF:db/main"

    play(scene, lambda: Stage(secrets={"db/main": "value"}))


def test_a_missing_secret_is_told_to_whoever_waits_and_starts_nothing() -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(KMSNotFoundException, match=r"PASSWORD .* db/main") as refused:
            await stage.run("a", REFERS)
        assert "value" not in str(refused.value)
        assert stage.sandbox.verbs == []
        assert stage.states() == {}

    play(scene, lambda: Stage(secrets={"db": "value"}))


def test_a_secret_that_cannot_be_read_is_told_with_what_to_do() -> None:
    class Unreadable(dict[str, str]):
        def items(self) -> None:  # type: ignore[override]
            raise VaultError("put the key back")

    async def scene(stage: Stage) -> None:
        with pytest.raises(KMSInvalidStateException, match=r"PASSWORD .*put the key back"):
            await stage.run("a", REFERS)

    play(scene, lambda: Stage(secrets=Unreadable()))


def test_a_missing_secret_uses_no_spare_up() -> None:
    async def scene(stage: Stage) -> None:
        scheduler = stage.scheduler
        scheduler.use_sizes({SpareSize.of(VERSION): 1})
        await until(lambda: scheduler.spares.counts() == (0, 1))
        (spare_id,) = stage.sandbox.running
        spare = scheduler.spares.at(stage.sandbox.running[spare_id].host)
        assert isinstance(spare, Spare)
        given: list[object] = []
        scheduler.spares.wait_for_function(spare, spare.id, given.append, lambda: False)
        for number in range(3):
            with pytest.raises(KMSNotFoundException):
                await stage.run(str(number), REFERS)
        assert scheduler.spares.counts() == (1, 0)
        assert given == []

    play(scene, lambda: Stage(spares=SpareLimits(1, 1)))
