"""The runtimes that functions may name: families, base images, architectures and ends of support.

One table, `runtimes/catalogue.toml`, says it all; here are its values and what follows from them.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

from lambda_home.bundled import bundled

ARCHITECTURES = ("x86_64", "arm64")
AWS_IMAGES = "public.ecr.aws/lambda"

_NEWER = re.compile(r"(?P<family>[a-z]+)(?P<version>\d+(?:\.\d+)*)(?:\.x)?")


class StartedBy(StrEnum):
    """Which file of a package is its program, where a package brings its own."""

    BOOTSTRAP = "bootstrap"
    HANDLER = "handler"
    EITHER = "bootstrap or handler"


@dataclass(frozen=True, slots=True)
class Family:
    """Runtimes that have a bootstrap in common: `runtimes/<name>/bootstrap`.

    `product` is what runs their functions ("Python"), `program` its name below /var/lang/bin; both
    are empty where packages bring their own program. The first `components` numbers of a version
    tell runtimes apart; versions before `oldest` do not run our bootstrap. `preloads`: its
    bootstrap can wait for a function, so there may be spares. `install` says how to get a version,
    which stands for `{}`.
    """

    name: str
    product: str
    program: str
    components: int
    oldest: tuple[int, ...]
    preloads: bool
    install: str

    @property
    def brings_program(self) -> bool:
        """Whether packages bring the program that runs them."""
        return not self.program

    def series(self, version: tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of a version that the names of runtimes count."""
        return version[: self.components]


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime identifier.

    `image` is AWS's base image, empty where AWS has published none. From the day `block_create` on
    no function of it can be created, from `block_update` on none be updated to it; None: not
    planned.
    """

    id: str
    family: Family
    version: str
    image: str
    architectures: tuple[str, ...] = ARCHITECTURES
    deprecated: date | None = None
    block_create: date | None = None
    block_update: date | None = None
    started_by: StartedBy = StartedBy.BOOTSTRAP

    @property
    def series(self) -> tuple[int, ...]:
        """The version as numbers, as far as the family counts; empty where there is no product."""
        if self.family.brings_program:
            return ()
        return self.family.series(numbers(self.version))

    @property
    def stand_in(self) -> str:
        """The local stand-in for AWS's base image, which `make base-images` makes."""
        return f"lambda-home/base-{self.family.name}:bookworm"

    def creatable(self, today: date) -> bool:
        """Whether functions of it can be created on a day."""
        return self.block_create is None or today < self.block_create

    def updatable(self, today: date) -> bool:
        """Whether functions can be updated to it on a day."""
        return self.block_update is None or today < self.block_update


def numbers(version: str) -> tuple[int, ...]:
    """`3.12` as numbers."""
    return tuple(int(number) for number in version.split(".") if number)


def runtime(name: str) -> Runtime | None:
    """The runtime of that name; None if there is none.

    One that is newer than the catalogue is read from its name, if it is of a known family.
    """
    found = catalogue().get(name)
    if found is None and (match := _NEWER.fullmatch(name)) is not None:
        family = families().get(match["family"])
        if family is not None and not family.brings_program:
            image = f"{AWS_IMAGES}/{family.name}:{match['version']}"
            return Runtime(name, family, match["version"], image)
    return found


def family_of(name: str) -> str:
    """The family of a runtime; empty if there is no such runtime."""
    found = runtime(name)
    return found.family.name if found else ""


def preloads(name: str) -> bool:
    """Whether there may be spares of a runtime."""
    found = runtime(name)
    return found is not None and found.family.preloads


def checked() -> date:
    """The day on which the catalogue was last compared with AWS's page."""
    day: date = _document()["checked"]
    return day


@cache
def families() -> Mapping[str, Family]:
    """All families by name."""
    described: dict[str, dict[str, Any]] = _document()["families"]
    return MappingProxyType(
        {
            name: Family(**{**members, "name": name, "oldest": numbers(members["oldest"])})
            for name, members in described.items()
        }
    )


@cache
def catalogue() -> Mapping[str, Runtime]:
    """All runtimes by identifier, those of a family from old to new."""
    described: dict[str, dict[str, Any]] = _document()["runtimes"]
    return MappingProxyType({name: _runtime(name, members) for name, members in described.items()})


def _runtime(name: str, members: dict[str, Any]) -> Runtime:
    image = members["image"]
    return Runtime(
        **{
            **members,
            "id": name,
            "family": families()[members["family"]],
            "image": f"{AWS_IMAGES}/{image}" if image else "",
            "architectures": tuple(members.get("architectures", ARCHITECTURES)),
            "started_by": StartedBy(members.get("started_by", StartedBy.BOOTSTRAP)),
        }
    )


@cache
def _document() -> dict[str, Any]:
    with (bundled("runtimes") / "catalogue.toml").open("rb") as file:
        return tomllib.load(file)
