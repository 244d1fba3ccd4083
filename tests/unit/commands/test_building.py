"""`lambda-home build` and `deploy` of sources, as far as they need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from lambda_home.commands.building import Building, Wishes, needs, sources_of_git
from lambda_home.commands.client import Client, Request
from lambda_home.commands.failures import Failure, Refused, WrongUse
from lambda_home.commands.packaging import in_zip, package_of


class Refusing:
    """A server's client that is refused everything."""

    def __init__(self, status: int, code: str) -> None:
        self._refusal = Refused(status, code, f"{code}: no")

    def send(self, request: Request) -> Any:
        assert request.path == "/api/builds"
        raise self._refusal


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("six\n" if name == "requirements.txt" else "")
    return tmp_path


def test_sources_have_what_a_package_has_not(tmp_path: Path) -> None:
    place = folder(tmp_path, "app.py", "requirements.txt", "target/x", "pom.xml", ".git/config")
    (place / ".lambdaignore").write_text("requirements.txt\n")
    assert package_of(place).names == {"app.py", "pom.xml", "target/x"}
    sources = package_of(place, as_sources=True)
    assert sources.names == {".lambdaignore", "app.py", "pom.xml", "requirements.txt"}
    assert in_zip(sources.content, place).names == sources.names


@pytest.mark.parametrize(
    ("names", "wishes", "built"),
    [
        (("app.py", "requirements.txt"), Wishes(), True),
        (("app.py", "requirements.txt"), Wishes(runtime="nodejs22.x"), False),
        (("app.py",), Wishes(), False),
        (("app.py",), Wishes(command="true"), True),
        (("dist/app.py",), Wishes(output_directory="dist"), True),
    ],
)
def test_what_asks_for_it_is_built(
    tmp_path: Path, names: tuple[str, ...], wishes: Wishes, *, built: bool
) -> None:
    assert needs(package_of(folder(tmp_path, *names), as_sources=True), wishes) is built


def test_what_cannot_be_built_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    with pytest.raises(WrongUse, match="not JSON"):
        needs(package_of(tmp_path), Wishes())


def test_a_server_without_builds_is_told_with_what_to_do(tmp_path: Path) -> None:
    sources = package_of(folder(tmp_path, "app.py"))
    with pytest.raises(Failure, match="--no-build"):
        Building(cast("Client", Refusing(404, "UnknownOperationException"))).begin(
            sources, Wishes()
        )
    with pytest.raises(Refused):
        Building(cast("Client", Refusing(404, "ResourceNotFoundException"))).begin(
            sources, Wishes()
        )


def test_a_build_without_a_package_fails_the_command() -> None:
    building = Building(cast("Client", Refusing(500, "")))
    with pytest.raises(Failure, match="The build failed: no wheels"):
        building.package({"id": "1", "status": "failed", "reason": "no wheels"})


@pytest.mark.parametrize("url", ["ext::sh -c true", "--upload-pack=x", "http://example.org/a"])
def test_git_is_not_called_for_tricks(url: str) -> None:
    with pytest.raises(WrongUse):
        sources_of_git(url, "")


def test_a_repository_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="git failed"):
        sources_of_git((tmp_path / "none").as_uri(), "")


def test_wishes_are_a_query() -> None:
    wishes = Wishes(runtime="java21", deploy=True, function="f", variables={"A": "b=c"})
    assert wishes.query() == {
        "runtime": "java21",
        "function": "f",
        "deploy": "true",
        "variables.A": "b=c",
    }
