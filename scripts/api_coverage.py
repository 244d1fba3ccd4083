"""Writes docs/api-coverage.md: every operation of AWS's model, and what it does here.

    python scripts/api_coverage.py            print the page
    python scripts/api_coverage.py --write    write it

Which operations there are comes from botocore's model, which of them answer from the server's own
table of handlers; what is kept without effect stands in the tables below.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from lambda_home.user_api import app
from lambda_home.user_api.operations import HANDLERS
from lambda_home.user_api.protocol import operation_names

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "api-coverage.md"
WORKS, STORED, NOT_YET = "works", "stored only", "not yet"

# Operations that are served past the table of handlers, by endpoints of their own.
ENDPOINTS: Final = frozenset({"Invoke", "InvokeWithResponseStream"})

# Families that are kept and answered, and change nothing else: all operations whose name has the
# word, but for layers.
STORED_ONLY: Final[Mapping[str, str]] = {
    "CapacityProvider": "no instances are started",
    "CodeSigning": "signatures are not checked",
    "EventSourceMapping": "states as on AWS; nothing is read from the sources yet",
    "RuntimeManagement": "runtimes are those of the machine or its images",
}
_NO_EFFECT: Final = (
    "no effect: VpcConfig, FileSystemConfigs, KMSKeyArn, TracingConfig,"
    " DurableConfig, RuntimeConfig, AcceleratorConfig; of CapacityProviderConfig only"
    " the concurrency has one"
)

# What a member of an operation that works does not do.
NOTES: Final[Mapping[str, str]] = {
    "CreateFunction": f"{_NO_EFFECT}; container images run in Docker only",
    "UpdateFunctionConfiguration": _NO_EFFECT,
    "UpdateFunctionCode": "container images run in Docker only",
    "Invoke": "DurableExecutionName is ignored",
    "ListFunctions": "MasterRegion is ignored",
    "PutFunctionScalingConfig": "on every version, not only on managed instances",
    "AddPermission": "asked for function URLs and callers of other accounts",
    "PutResourcePolicy": "asked for function URLs and callers of other accounts",
    "PublishLayerVersion": "architectures and runtimes are kept and listed by, not enforced",
}


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an operation does here: works, is stored only, or is not there yet."""

    operation: str
    state: str
    note: str


def coverage() -> Iterator[Coverage]:
    """Every operation of the model, by name."""
    served = served_operations()
    for name in sorted(operation_names()):
        family = next((word for word in STORED_ONLY if word in name and "Layer" not in name), None)
        if name not in served:
            yield Coverage(name, NOT_YET, "answers 501")
        elif family is not None:
            yield Coverage(name, STORED, STORED_ONLY[family])
        else:
            yield Coverage(name, WORKS, NOTES.get(name, ""))


def served_operations() -> frozenset[str]:
    """The operations that the server answers."""
    if not app.OPERATION_MODULES:
        raise RuntimeError("operations are registered by importing their modules")
    return frozenset(HANDLERS) | ENDPOINTS


def page() -> str:
    """The whole page."""
    found = list(coverage())
    counts = {state: sum(one.state == state for one in found) for state in (WORKS, STORED, NOT_YET)}
    summed = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines = [
        "# Operations of the Lambda API",
        "",
        "Written by `python scripts/api_coverage.py --write`; do not edit.",
        "",
        f"Operations in AWS's model: {len(found)}, of which {summed}.",
        '"works" does what AWS does; "stored only" is validated, kept and answered as on AWS, with',
        'no other effect; "not yet" answers 501.',
        "",
        "| operation | state | note |",
        "|---|---|---|",
        *(f"| {one.operation} | {one.state} | {one.note} |" for one in found),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print or write the page."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
