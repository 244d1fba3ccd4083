"""The catalogue of runtimes against AWS's model, and what follows from its dates."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from lambda_home.bundled import bundled
from lambda_home.runtimes import catalogue, checked, families, family_of, preloads, runtime
from lambda_home.user_api.protocol.deviations import LISTED_ONLY_RUNTIMES
from lambda_home.user_api.protocol.model import operation

DATED = [name for name, found in catalogue().items() if found.block_create]


def test_the_catalogue_holds_awss_identifiers_and_rust() -> None:
    shape = operation("CreateFunction").input.members["Runtime"].shape
    assert set(catalogue()) - {"rust"} == set(shape.accepted) - LISTED_ONLY_RUNTIMES


@pytest.mark.parametrize(
    ("name", "family", "series", "image"),
    [
        ("python3.12", "python", (3, 12), "public.ecr.aws/lambda/python:3.12"),
        ("nodejs22.x", "nodejs", (22,), "public.ecr.aws/lambda/nodejs:22"),
        ("nodejs4.3", "nodejs", (4,), ""),
        ("ruby3.4", "ruby", (3, 4), "public.ecr.aws/lambda/ruby:3.4"),
        ("java8.al2", "java", (8,), "public.ecr.aws/lambda/java:8.al2"),
        ("java21", "java", (21,), "public.ecr.aws/lambda/java:21"),
        ("dotnetcore3.1", "dotnet", (3,), "public.ecr.aws/lambda/dotnet:core3.1"),
        ("provided.al2", "provided", (), "public.ecr.aws/lambda/provided:al2"),
        ("provided.al2023", "provided", (), "public.ecr.aws/lambda/provided:al2023"),
        ("rust", "provided", (), "public.ecr.aws/lambda/provided:al2023"),
        ("go1.x", "provided", (), "public.ecr.aws/lambda/go:1"),
    ],
)
def test_a_runtime_has_its_family_series_and_image(
    name: str, family: str, series: tuple[int, ...], image: str
) -> None:
    found = catalogue()[name]
    assert (found.family.name, found.series, found.image) == (family, series, image)
    assert found.stand_in == f"lambda-home/base-{family}:bookworm"


def test_a_runtime_newer_than_the_catalogue_is_read_from_its_name() -> None:
    found = runtime("python3.99")
    assert found is not None
    assert (found.family.name, found.series) == ("python", (3, 99))
    assert (found.image, found.block_create) == ("public.ecr.aws/lambda/python:3.99", None)
    assert "python3.99" not in catalogue()


def test_what_no_catalogue_knows_has_no_family() -> None:
    assert (runtime("cobol85"), family_of("cobol85"), preloads("cobol85")) == (None, "", False)


@pytest.mark.parametrize("name", DATED)
def test_an_end_comes_on_its_day(name: str) -> None:
    found, day = catalogue()[name], timedelta(days=1)
    assert found.block_create
    assert found.block_update
    assert found.block_create <= found.block_update
    assert found.creatable(found.block_create - day)
    assert not found.creatable(found.block_create)
    assert found.updatable(found.block_update - day)
    assert not found.updatable(found.block_update)


def test_what_has_no_planned_end_never_ends() -> None:
    assert catalogue()["python3.15"].creatable(date(2100, 1, 1))
    assert catalogue()["python3.15"].updatable(date(2100, 1, 1))


def test_what_was_refused_on_the_day_of_the_check_is_what_aws_refuses() -> None:
    """Recorded on AWS for eight of them; its page lists the others."""
    refused = [name for name, found in catalogue().items() if not found.creatable(checked())]
    assert " ".join(refused) == (
        "nodejs nodejs4.3 nodejs4.3-edge nodejs6.10 nodejs8.10 nodejs10.x nodejs12.x nodejs14.x"
        " python2.7 python3.6 python3.7 ruby2.5 ruby2.7 java8 dotnetcore1.0 dotnetcore2.0"
        " dotnetcore2.1 dotnetcore3.1 go1.x provided"
    )


def test_those_families_preload_whose_bootstrap_knows_of_spares() -> None:
    for name, family in families().items():
        files = (bundled("runtimes") / name).rglob("*")
        sources = [path.read_bytes() for path in files if path.is_file()]
        assert family.preloads == any(b"_LAMBDA_HOME_SPARE" in source for source in sources), name
