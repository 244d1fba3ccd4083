"""Which plan is for which sources; pure."""

from __future__ import annotations

import re

from lambda_home.builds.compiled import go_plan, gradle_plan, maven_plan, rust_plan
from lambda_home.builds.interpreted import node_plan, php_plan, python_plan, ruby_plan
from lambda_home.builds.trees import Part, Plan, PlanError, Step, Tree, family_of

MANIFESTS = (
    "requirements.txt",
    "pyproject.toml",
    "package.json",
    "Cargo.toml",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "Gemfile",
    "composer.json",
)
"""Files that say how a package is made."""

_LOCKS = re.compile(r"(^|/)([\w.-]*lock[\w.-]*|[\w.-]+\.sum|npm-shrinkwrap\.json)$")
_PLANNERS = {
    "python": (python_plan,),
    "nodejs": (node_plan,),
    "ruby": (ruby_plan,),
    "php": (php_plan,),
    "java": (maven_plan, gradle_plan),
    "provided": (rust_plan, go_plan, php_plan),
    "rust": (rust_plan,),
    "go": (go_plan,),
}
_ALL = (
    rust_plan,
    go_plan,
    maven_plan,
    gradle_plan,
    python_plan,
    node_plan,
    ruby_plan,
    php_plan,
)
_USUAL = {
    "python": "python3.13",
    "nodejs": "nodejs22.x",
    "ruby": "ruby3.4",
    "java": "java21",
    "provided": "provided.al2023",
    "php": "provided.al2023",
}


def plan_of(tree: Tree, runtime: str = "", command: str = "", output_directory: str = "") -> Plan:
    """How a package is made of sources. Raises PlanError.

    Without a runtime, the one manifest that asks for something to be done decides. `command` is
    run by a shell instead of what the manifest says; `output_directory` is then all of the package.
    """
    if not tree.names:
        raise PlanError("There are no files to build.")
    if command:
        return Plan(
            family_of(runtime),
            "command",
            steps=(Step(("sh", "-c", command), command),),
            parts=(Part("build", output_directory),),
            locks=tuple(sorted({*MANIFESTS, *filter(_LOCKS.search, tree.names)} & tree.names)),
        )
    plan = _recognised(tree, runtime)
    return plan.with_output(output_directory) if output_directory else plan


def usual_runtime(family: str) -> str:
    """What a package is built for whose runtime nobody named; empty for an unknown family."""
    return _USUAL.get(family, "")


def needs_build(tree: Tree, runtime: str = "") -> bool:
    """Whether there is more to do than to make a ZIP. Raises PlanError."""
    return bool(tree.names) and bool(plan_of(tree, runtime).steps)


def _recognised(tree: Tree, runtime: str) -> Plan:
    family = family_of(runtime)
    if runtime:
        plans = [plan for planner in _PLANNERS.get(family, ()) if (plan := planner(tree))]
        return next((plan for plan in plans if plan.steps), plans[0] if plans else Plan(family))
    plans = [plan for planner in _ALL if (plan := planner(tree))]
    busy = [plan for plan in plans if plan.steps]
    if len(busy) > 1 and len({plan.family for plan in busy}) > 1:
        named = ", ".join(plan.manifest for plan in busy)
        raise PlanError(f"Several files say how to build ({named}): give a runtime.")
    return next(iter(busy or plans), Plan(""))
