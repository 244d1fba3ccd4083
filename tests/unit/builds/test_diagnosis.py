"""The line that says why a step of a build failed."""

from __future__ import annotations

import pytest

from lambda_home.builds.diagnosis import why_failed
from lambda_home.builds.trees import Step

MAVEN = """\
[ERROR] Failed to execute goal compile: Compilation failure:
[ERROR] Source option 5 is no longer supported. Use 7 or later.
[ERROR] -> [Help 1]
[ERROR]
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
[ERROR] Re-run Maven using the -X switch to enable full debug logging.
[ERROR]
[ERROR] For more information about the errors and possible solutions, please read:
[ERROR] [Help 1] http://example.org/MojoFailureException
"""


@pytest.mark.parametrize(
    ("tool", "tail", "cause"),
    [
        ("mvn", MAVEN, "[ERROR] Source option 5 is no longer supported. Use 7 or later."),
        ("npm", "one\ntwo\n\n", "two"),
        ("mvn", "[ERROR] -> [Help 1]\n", "[ERROR] -> [Help 1]"),
        ("pip", "", "it printed nothing."),
    ],
)
def test_the_last_line_that_names_a_cause_is_told(tool: str, tail: str, cause: str) -> None:
    step = Step((tool, "x"))
    assert why_failed(step, 1, tail, "this machine") == f"{tool} failed (exit code 1): {cause}"
