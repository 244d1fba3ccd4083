"""Plans for Python, Node.js, Ruby and PHP: what is missing is installed beside the sources; pure.

Dependencies that are there already are not installed again: a folder that was made for an upload
stays as it is. Sources of the ways, per language:
https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
https://docs.aws.amazon.com/lambda/latest/dg/nodejs-package.html
https://docs.aws.amazon.com/lambda/latest/dg/ruby-package.html
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from lambda_home.builds.trees import CACHE, OUT, Part, Plan, PlanError, Step, Tree

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:$|[\[<>=!~;@ (#])")
_PIP = ("pip", "install", "--target", OUT, "--no-compile", "--no-input", "--progress-bar", "off")
_ON_AWS = frozenset({"boto3", "botocore"})
_DEPENDENCIES_FIRST = (Part("out"), Part("build"))
_BERRY = re.compile(r"yarn@(?!1\.)|yarn@\d{2,}\.")


def python_plan(tree: Tree) -> Plan | None:
    """For requirements.txt, else pyproject.toml; None without either. Raises PlanError."""
    if tree.has("requirements.txt"):
        return _requirements(tree)
    if tree.has("pyproject.toml"):
        return _pyproject(tree)
    return None


def node_plan(tree: Tree) -> Plan | None:
    """For package.json, with the package manager whose lock is there. Raises PlanError."""
    if not tree.has("package.json"):
        return None
    document = _package_json(tree)
    wanted = {*_object(document, "dependencies"), *_object(document, "optionalDependencies")}
    plan = Plan("nodejs", "package.json")
    if not wanted:
        return plan
    needed = _object(document, "dependencies")
    if tree.has_below("node_modules") and all(
        tree.has(f"node_modules/{name}/package.json") for name in needed
    ):
        note = "node_modules has all dependencies: nothing is installed. Without it they would be."
        return Plan("nodejs", "package.json", notes=(note,))
    lock, step, notes = _node_install(tree, document)
    return Plan(
        "nodejs",
        lock or "package.json",
        steps=(step,),
        locks=tuple(name for name in (lock, "package.json") if name),
        notes=notes,
        variables={"NODE_ENV": "production"},
    )


def ruby_plan(tree: Tree) -> Plan | None:
    """For a Gemfile: `bundle install` into vendor/bundle."""
    if not tree.has("Gemfile"):
        return None
    if tree.has_below("vendor/bundle"):
        return Plan("ruby", "Gemfile", notes=("vendor/bundle is there: nothing is installed.",))
    locked = tree.has("Gemfile.lock")
    return Plan(
        "ruby",
        "Gemfile",
        steps=(Step(("bundle", "install")),),
        locks=("Gemfile", "Gemfile.lock"),
        notes=() if locked else (_unlocked("Gemfile.lock", "bundle lock"),),
        variables={
            "BUNDLE_PATH": "vendor/bundle",
            "BUNDLE_WITHOUT": "development:test",
            **({"BUNDLE_FROZEN": "true"} if locked else {}),
        },
    )


def php_plan(tree: Tree) -> Plan | None:
    """For a composer.json: `composer install` into vendor."""
    if not tree.has("composer.json"):
        return None
    if tree.has("vendor/autoload.php"):
        return Plan("php", "composer.json", notes=("vendor is there: nothing is installed.",))
    words = ("composer", "install", "--no-dev", "--no-interaction", "--no-progress")
    notes = () if tree.has("composer.lock") else (_unlocked("composer.lock", "composer update"),)
    return Plan(
        "php",
        "composer.json",
        steps=(Step((*words, "--prefer-dist", "--optimize-autoloader")),),
        locks=("composer.json", "composer.lock"),
        notes=notes,
    )


def _requirements(tree: Tree) -> Plan:
    lines = tree.read("requirements.txt").splitlines()
    asked = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not asked:
        return Plan("python", "requirements.txt")
    if all(line.split("#")[0].strip().lower() in _ON_AWS for line in asked):
        note = "boto3 comes with the runtime: nothing is installed. With a version it would be."
        return Plan("python", "requirements.txt", notes=(note,))
    if _are_there(tree, asked):
        note = "All of requirements.txt is in the folder: nothing is installed."
        return Plan("python", "requirements.txt", notes=(note,))
    return Plan(
        "python",
        "requirements.txt",
        steps=(Step((*_PIP, "-r", "requirements.txt")),),
        parts=_DEPENDENCIES_FIRST,
        locks=("requirements.txt",),
    )


def _pyproject(tree: Tree) -> Plan | None:
    try:
        document = tomllib.loads(tree.read("pyproject.toml"))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"pyproject.toml is not TOML: {error}.") from error
    project = document.get("project")
    project = project if isinstance(project, dict) else {}
    asked = [str(each) for each in project.get("dependencies") or ()]
    is_package = "build-system" in document
    if not asked and not is_package:
        return None
    if asked and _are_there(tree, asked):
        note = "All dependencies of pyproject.toml are in the folder: nothing is installed."
        return Plan("python", "pyproject.toml", notes=(note,))
    if tree.has("uv.lock"):
        return _uv(is_package=is_package)
    if option := next((each for each in asked if each.startswith("-")), None):
        raise PlanError(f"{option!r} in pyproject.toml is no dependency.")
    return Plan(
        "python",
        "pyproject.toml",
        steps=(Step((*_PIP, *([BUILD_ITSELF] if is_package else asked))),),
        parts=_DEPENDENCIES_FIRST,
        locks=("pyproject.toml",),
    )


BUILD_ITSELF = "."


def _uv(*, is_package: bool) -> Plan:
    """What uv.lock says exactly, and the project itself if it is a package."""
    export = ("uv", "export", "--frozen", "--no-dev", "--no-editable", "--quiet")
    listed = f"{CACHE}/requirements.txt"  # each step has a /tmp of its own
    only = () if is_package else ("--no-emit-project",)
    return Plan(
        "python",
        "uv.lock",
        steps=(
            Step((*export, *only, "--output-file", listed)),
            Step(("uv", "pip", "install", "--target", OUT, "-r", listed)),
        ),
        parts=_DEPENDENCIES_FIRST,
        locks=("uv.lock",),
        variables={"UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"},
    )


def _are_there(tree: Tree, asked: Iterable[str]) -> bool:
    """Whether `pip install --target` was run on the folder: each name has its dist-info."""
    there = {
        _normal(name.partition("/")[0].removesuffix(".dist-info").rpartition("-")[0])
        for name in tree.names
        if name.partition("/")[0].endswith(".dist-info")
    }
    for line in asked:
        match = _REQUIREMENT.match(line)
        if match is None or _normal(match[1]) not in there:
            return False
    return True


def _normal(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package_json(tree: Tree) -> dict[str, Any]:
    try:
        document = json.loads(tree.read("package.json"))
    except (ValueError, RecursionError) as error:
        raise PlanError(f"package.json is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise PlanError("package.json is not a JSON object.")
    return document


def _object(document: dict[str, Any], member: str) -> dict[str, Any]:
    value = document.get(member)
    return value if isinstance(value, dict) else {}


def _node_install(tree: Tree, document: dict[str, Any]) -> tuple[str, Step, tuple[str, ...]]:
    """The lock, the step that installs by it, and what is to be said."""
    npm = ("--omit=dev", "--no-audit", "--no-fund", "--no-progress")
    lock = tree.first_of("npm-shrinkwrap.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock")
    words: tuple[str, ...]
    match lock:
        case None:
            note = _unlocked("package-lock.json", "npm install")
            return "", Step(("npm", "install", "--no-package-lock", *npm)), (note,)
        case "pnpm-lock.yaml":
            words = ("pnpm", "install", "--frozen-lockfile", "--prod", "--node-linker=hoisted")
            words += ("--store-dir", f"{CACHE}/pnpm")
        case "yarn.lock":
            manager = str(document.get("packageManager", ""))
            if tree.has(".yarnrc.yml") or _BERRY.match(manager):
                words = ("yarn", "workspaces", "focus", "--production")
            else:
                words = ("yarn", "install", "--frozen-lockfile", "--production")
        case _:
            words = ("npm", "ci", *npm)
    return lock, Step(words), ()


def _unlocked(lock: str, command: str) -> str:
    return (
        f"There is no {lock}: versions are chosen now, and the next build may choose others."
        f" `{command}` makes one."
    )
