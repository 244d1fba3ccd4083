"""Plans for Rust, Go and Java: a package of what was compiled, without the sources; pure.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/rust-package.html,
https://docs.aws.amazon.com/lambda/latest/dg/golang-package.html,
https://docs.aws.amazon.com/lambda/latest/dg/java-package.html
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from lambda_home.builds.trees import CACHE, OUT, PLAN, Part, Plan, PlanError, Step, Tree

BOOTSTRAP = "bootstrap"
_BINARY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_OTHER = re.compile(r"src/bin/([^/]+)(?:\.rs|/main\.rs)")
_MAIN = re.compile(r"^\s*package\s+main\b", re.MULTILINE)
_ONE_JAR = re.compile(r"maven-shade-plugin|jar-with-dependencies")
_NO_PROGRAMS = re.compile(r"^original-|-(sources|javadoc|tests|test-sources|plain)\.jar$")
_COMPLETE = re.compile(r"(-all|-shaded|-jar-with-dependencies|-aws)\.jar$")
_FIRST_MOMENT = "1980-01-01T00:00:02Z"  # the first that Maven takes

_GRADLE_SCRIPT = f"""\
allprojects {{
  afterEvaluate {{ project ->
    if (project == project.rootProject && project.plugins.hasPlugin('java')) {{
      project.tasks.register('lambdaHomePackage', Copy) {{
        from project.sourceSets.main.output
        into '{OUT}'
        into('lib') {{ from project.configurations.runtimeClasspath }}
      }}
    }}
  }}
}}
"""


def rust_plan(tree: Tree) -> Plan | None:
    """For a Cargo.toml: its only binary, or the one called bootstrap. Raises PlanError."""
    if not tree.has("Cargo.toml"):
        return None
    try:
        document = tomllib.loads(tree.read("Cargo.toml"))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"Cargo.toml is not TOML: {error}.") from error
    name = _binary(tree, document)
    locked = ("--locked",) if tree.has("Cargo.lock") else ()
    return Plan(
        "provided",
        "Cargo.toml",
        steps=(
            Step(("cargo", "build", "--release", *locked, "--bin", name)),
            Step(("cp", f"{CACHE}/cargo-target/release/{name}", f"{OUT}/{BOOTSTRAP}")),
        ),
        parts=(Part("out"),),
        locks=("Cargo.toml", "Cargo.lock"),
    )


def go_plan(tree: Tree) -> Plan | None:
    """For a go.mod: the package main at the root, or the only one below cmd. Raises PlanError."""
    if not tree.has("go.mod"):
        return None
    flags = ("-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=")
    words = ("go", "build", *flags, "-o", f"{OUT}/{BOOTSTRAP}", _go_package(tree))
    return Plan(
        "provided",
        "go.mod",
        steps=(Step(words),),
        parts=(Part("out"),),
        locks=("go.mod", "go.sum"),
        variables={"CGO_ENABLED": "0", "GOOS": "linux"},
    )


def maven_plan(tree: Tree) -> Plan | None:
    """For a pom.xml: the JAR that has everything, where one is made; else classes and lib."""
    if not tree.has("pom.xml"):
        return None
    maven = ("mvn", "--batch-mode", "--no-transfer-progress")
    stamp = f"-Dproject.build.outputTimestamp={_FIRST_MOMENT}"
    package = Step((*maven, "-DskipTests", stamp, "package"))
    if _ONE_JAR.search(tree.read("pom.xml")):
        parts = (Part("build", "target", jar=True),)
        return Plan("java", "pom.xml", steps=(package,), parts=parts, locks=("pom.xml",))
    copy = (*maven, "dependency:copy-dependencies", "-DincludeScope=runtime")
    return Plan(
        "java",
        "pom.xml",
        steps=(package, Step((*copy, f"-DoutputDirectory={OUT}/lib"))),
        parts=(Part("build", "target/classes"), Part("out")),
        locks=("pom.xml",),
    )


def gradle_plan(tree: Tree) -> Plan | None:
    """For a build.gradle(.kts): classes and lib, whatever else the build makes."""
    manifest = tree.first_of("build.gradle", "build.gradle.kts")
    if manifest is None:
        return None
    program = ("sh", "./gradlew") if tree.has("gradlew") else ("gradle",)
    flags = ("--no-daemon", "--console=plain", "--init-script", f"{PLAN}/package.gradle")
    return Plan(
        "java",
        manifest,
        steps=(Step((*program, *flags, "lambdaHomePackage")),),
        parts=(Part("out"),),
        locks=(manifest, "gradle.lockfile", "gradle/wrapper/gradle-wrapper.properties"),
        files={"package.gradle": _GRADLE_SCRIPT},
    )


def choose_jar(sizes: Mapping[str, int]) -> str:
    """Of JARs with their sizes, the one that has everything. Raises PlanError if there is none."""
    found = {name: size for name, size in sizes.items() if not _NO_PROGRAMS.search(name)}
    if not found:
        raise PlanError("The build made no JAR in target: is its packaging jar?")
    return max(found, key=lambda name: (bool(_COMPLETE.search(name)), found[name], name))


def _binary(tree: Tree, document: dict[str, Any]) -> str:
    package = document.get("package")
    if not isinstance(package, dict):
        raise PlanError(
            "Cargo.toml has no [package]: build the workspace's member that is the function, or"
            " give a command."
        )
    listed = document.get("bin")
    names = [str(each.get("name")) for each in listed or () if isinstance(each, dict)]
    if tree.has("src/main.rs") and not any(
        isinstance(each, dict) and each.get("path") == "src/main.rs" for each in listed or ()
    ):
        names.append(str(package.get("name")))
    names.extend(match[1] for source in sorted(tree.names) if (match := _OTHER.fullmatch(source)))
    names = list(dict.fromkeys(name for name in names if _BINARY_NAME.fullmatch(name)))
    if BOOTSTRAP in names:
        return BOOTSTRAP
    if len(names) != 1:
        which = f"several binaries ({', '.join(names)})" if names else "no binary"
        raise PlanError(f"Cargo.toml has {which}: call the function's bootstrap.")
    return names[0]


def _go_package(tree: Tree) -> str:
    def is_main(name: str) -> bool:
        is_source = name.endswith(".go") and not name.endswith("_test.go")
        return is_source and _MAIN.search(tree.read(name)) is not None

    if any("/" not in name and is_main(name) for name in tree.names):
        return "."
    below = {
        name.rpartition("/")[0]
        for name in tree.names
        if re.fullmatch(r"cmd/[A-Za-z0-9_.-]+/[^/]+", name) and is_main(name)
    }
    if len(below) == 1:
        return f"./{below.pop()}"
    raise PlanError(
        "There is no package main at the root, nor exactly one below cmd: give a command, or build"
        " the folder that is the function."
    )
