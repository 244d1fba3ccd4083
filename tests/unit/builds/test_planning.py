"""Which steps are for which sources."""

from __future__ import annotations

import json

import pytest

from lambda_home.builds.compiled import choose_jar
from lambda_home.builds.planning import needs_build, plan_of
from lambda_home.builds.trees import Part, PlanError, Tree, family_of

SHADED = "<project><artifactId>maven-shade-plugin</artifactId></project>"
MAIN = "package main\nfunc main() {}\n"
DEPENDENT = json.dumps({"dependencies": {"ms": "2"}})


def tree(files: dict[str, str]) -> Tree:
    return Tree(frozenset(files), files.__getitem__)


@pytest.mark.parametrize(
    ("files", "runtime", "steps"),
    [
        ({"app.py": "", "requirements.txt": "six"}, "", ["pip install --target /out"]),
        ({"app.py": "", "requirements.txt": "# none\n\n"}, "", []),
        ({"app.py": "", "requirements.txt": "boto3\nbotocore # here\n"}, "", []),
        ({"app.py": "", "requirements.txt": "boto3==1.2"}, "", ["pip install"]),
        ({"app.py": "", "pyproject.toml": "[tool.ruff]\n"}, "", []),
        ({"pyproject.toml": '[project]\ndependencies=["six>1"]\n'}, "", ["six>1"]),
        ({"pyproject.toml": "[build-system]\nrequires=[]\n"}, "", ["pip install --target /out"]),
        (
            {"pyproject.toml": '[project]\ndependencies=["six"]\n', "uv.lock": ""},
            "python3.12",
            ["uv export --frozen", "uv pip install --target /out"],
        ),
        ({"package.json": DEPENDENT, "package-lock.json": ""}, "", ["npm ci --omit=dev"]),
        ({"package.json": DEPENDENT, "npm-shrinkwrap.json": ""}, "", ["npm ci --omit=dev"]),
        ({"package.json": DEPENDENT}, "", ["npm install --no-package-lock --omit=dev"]),
        ({"package.json": DEPENDENT, "yarn.lock": ""}, "", ["yarn install --frozen-lockfile"]),
        (
            {"package.json": DEPENDENT, "yarn.lock": "", ".yarnrc.yml": ""},
            "",
            ["yarn workspaces focus --production"],
        ),
        ({"package.json": DEPENDENT, "pnpm-lock.yaml": ""}, "", ["pnpm install --frozen"]),
        ({"package.json": '{"devDependencies": {"x": "1"}}'}, "", []),
        (
            {"Cargo.toml": '[package]\nname="hi"', "src/main.rs": "", "Cargo.lock": ""},
            "",
            ["cargo build --release --locked --bin hi", "cp "],
        ),
        ({"go.mod": "", "main.go": MAIN}, "", ["CGO", "-o /out/bootstrap ."]),
        ({"go.mod": "", "cmd/hi/main.go": MAIN}, "", ["-o /out/bootstrap ./cmd/hi"]),
        ({"pom.xml": SHADED}, "", ["package"]),
        ({"pom.xml": "<project/>"}, "", ["package", "dependency:copy-dependencies"]),
        ({"build.gradle": ""}, "java21", ["gradle --no-daemon"]),
        ({"build.gradle.kts": "", "gradlew": ""}, "", ["sh ./gradlew"]),
        ({"Gemfile": ""}, "ruby3.4", ["bundle install"]),
        ({"composer.json": "{}"}, "", ["composer install --no-dev"]),
        ({"app.py": ""}, "", []),
    ],
)
def test_a_manifest_says_what_is_done(
    files: dict[str, str], runtime: str, steps: list[str]
) -> None:
    plan = plan_of(tree(files), runtime)
    titles = [step.title for step in plan.steps]
    if steps[:1] == ["CGO"]:
        assert dict(plan.variables) == {"CGO_ENABLED": "0", "GOOS": "linux"}
        steps = steps[1:]
    assert len(titles) == len(steps), titles
    for title, expected in zip(titles, steps, strict=True):
        assert expected in title
    assert needs_build(tree(files), runtime) is bool(steps)
    assert {name for name in plan.locks if name in files} or not steps


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"requirements.txt": "Six_X>1\n", "six_x-1.0.dist-info/METADATA": ""},
            "nothing is installed",
        ),
        (
            {"package.json": DEPENDENT, "node_modules/ms/package.json": "", "yarn.lock": ""},
            "nothing is installed",
        ),
        ({"Gemfile": "", "vendor/bundle/x": ""}, "nothing is installed"),
        ({"composer.json": "", "vendor/autoload.php": ""}, "nothing is installed"),
    ],
)
def test_what_is_there_already_is_not_installed_again(files: dict[str, str], said: str) -> None:
    plan = plan_of(tree(files))
    assert plan.steps == ()
    assert said in plan.notes[0]
    assert plan.parts == (Part("build"),)


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "six\nrequests\n", "six-1.0.dist-info/METADATA": ""},
        {"requirements.txt": "./wheels/x.whl\n", "x-1.0.dist-info/METADATA": ""},
        {"package.json": DEPENDENT, "node_modules/other/package.json": ""},
    ],
)
def test_what_is_there_in_part_is_installed(files: dict[str, str]) -> None:
    assert plan_of(tree(files)).steps


@pytest.mark.parametrize(
    ("files", "runtime", "said"),
    [
        ({}, "", "no files"),
        ({"package.json": "{"}, "", "not JSON"),
        ({"package.json": "[]"}, "", "not a JSON object"),
        ({"pyproject.toml": "[["}, "", "not TOML"),
        ({"Cargo.toml": "[["}, "", "not TOML"),
        ({"Cargo.toml": "[workspace]"}, "", r"no \[package\]"),
        ({"Cargo.toml": '[package]\nname="a"', "src/lib.rs": ""}, "", "no binary"),
        (
            {"Cargo.toml": '[package]\nname="a"', "src/main.rs": "", "src/bin/b.rs": ""},
            "",
            r"several binaries \(a, b\)",
        ),
        ({"go.mod": "", "x.go": "package x"}, "", "no package main"),
        ({"go.mod": "", "cmd/a/m.go": MAIN, "cmd/b/m.go": MAIN}, "", "exactly one"),
        ({"pyproject.toml": '[project]\ndependencies=["--pre"]'}, "", "no dependency"),
        (
            {"requirements.txt": "six", "package.json": DEPENDENT},
            "",
            r"requirements.txt, package.json\): give a runtime",
        ),
    ],
)
def test_what_cannot_be_planned_is_said(files: dict[str, str], runtime: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan_of(tree(files), runtime)


def test_a_runtime_decides_between_manifests() -> None:
    both = tree({"requirements.txt": "six", "package.json": DEPENDENT})
    assert plan_of(both, "python3.12").manifest == "requirements.txt"
    assert plan_of(both, "nodejs22.x").manifest == "package.json"
    assert plan_of(both, "java21").steps == ()


def test_a_binary_called_bootstrap_is_the_one() -> None:
    files = {"Cargo.toml": '[package]\nname="a"', "src/main.rs": "", "src/bin/bootstrap.rs": ""}
    assert "--bin bootstrap" in plan_of(tree(files)).steps[0].title


def test_a_command_stands_for_what_the_files_say() -> None:
    files = {"package.json": "{", "package-lock.json": "", "a/go.sum": "", "index.js": ""}
    plan = plan_of(tree(files), "nodejs22.x", "npm ci && npm run build; true", "dist")
    assert [step.words for step in plan.steps] == [("sh", "-c", "npm ci && npm run build; true")]
    assert plan.parts == (Part("build", "dist"),)
    assert plan.locks == ("a/go.sum", "package-lock.json", "package.json")


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"requirements.txt": "six"}, (Part("out"), Part("build", "dist"))),
        ({"package.json": DEPENDENT}, (Part("build", "dist"),)),
        ({"go.mod": "", "main.go": MAIN}, (Part("build", "dist"),)),
    ],
)
def test_an_output_directory_stands_for_the_sources(
    files: dict[str, str], parts: tuple[Part, ...]
) -> None:
    assert plan_of(tree(files), "", "", "dist").parts == parts


@pytest.mark.parametrize(
    ("runtime", "family"),
    [
        ("python3.12", "python"),
        ("nodejs22.x", "nodejs"),
        ("provided.al2023", "provided"),
        ("java8.al2", "java"),
        ("ruby3.4", "ruby"),
        ("go1.x", "go"),
        ("", ""),
    ],
)
def test_the_family_is_told_by_the_name(runtime: str, family: str) -> None:
    assert family_of(runtime) == family


def test_the_jar_with_everything_is_chosen() -> None:
    jars = {"original-a.jar": 9, "a-sources.jar": 9, "a.jar": 5, "a-all.jar": 4, "b.jar": 7}
    assert choose_jar(jars) == "a-all.jar"
    assert choose_jar({"a.jar": 5, "b.jar": 7}) == "b.jar"
    with pytest.raises(PlanError, match="no JAR"):
        choose_jar({"original-a.jar": 9})
