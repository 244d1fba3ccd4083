"""What may be asked of a build, and what is told of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.builds.diagnosis import Stop, why_failed, why_stopped
from lambda_home.builds.documents import Asked, Build, Status, asked_of
from lambda_home.builds.trees import Step
from lambda_home.errors import InvalidParameterValueException

URL = "https://me:pass@example.org/a"


def test_both_spellings_of_members_are_understood() -> None:
    asked = asked_of({"outputDirectory": "dist", "cacheKey": "k.1"}, has_archive=True)
    assert (asked.output_directory, asked.cache_key) == ("dist", "k.1")
    assert asked_of({"git": URL, "ref": "main"}, has_archive=False).ref == "main"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"image": "x"}, "has no image"),
        ({"runtime": 3}, "runtime must be a string"),
        ({"runtime": "Python 3"}, "runtime's name"),
        ({"runtime": "../x"}, "runtime's name"),
        ({"runtime": "cobol85"}, "no runtime cobol85"),
        ({"command": "x" * 1025}, "at most 1024"),
        ({"command": "a\0b"}, "NUL"),
        ({"output_directory": "../x"}, "folder of the sources"),
        ({"output_directory": "/etc"}, "folder of the sources"),
        ({"directory": "a//b"}, "folder of the sources"),
        ({"directory": "-x"}, "folder of the sources"),
        ({"cache_key": ".x"}, "cache_key"),
        ({"cache_key": "a/b"}, "cache_key"),
        ({"variables": {"A": 1}}, "names and strings"),
        ({"variables": {"A=B": "x"}}, "names and strings"),
        ({"variables": {"PATH": "x"}}, "the build's own"),
        ({"variables": {"LD_PRELOAD": "x"}}, "the build's own"),
        ({"variables": {"A": "x" * 5000}}, "4096 bytes"),
        ({"deploy": True}, "needs a function"),
        ({"deploy": "yes"}, "true or false"),
        ({"git": URL}, "either the body"),
        ({"ref": "main"}, "for sources in git"),
    ],
)
def test_what_cannot_be_is_refused(members: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=said):
        asked_of(members, has_archive=True)


def test_a_request_without_sources_is_refused() -> None:
    with pytest.raises(InvalidParameterValueException, match="either the body"):
        asked_of({"runtime": "python3.12"}, has_archive=False)
    with pytest.raises(InvalidParameterValueException, match="archive"):
        asked_of({"git": "file:///etc"}, has_archive=False)


def test_a_build_is_kept_and_read_and_tells_no_secret() -> None:
    asked = Asked(git=URL, variables={"TOKEN": "hidden"})
    build = Build("1", asked, Status.PROCESSING, 1.0, started_at=2.0, commit="abc")
    assert Build.of(json.loads(json.dumps(build.document()))) == build
    for each in (build, build.ended(Status.FAILED, "x", 3.5)):
        shown = json.dumps(each.shown())
        assert "pass" not in shown
        assert "hidden" not in shown
    ended = build.ended(Status.FAILED, "x", 3.5)
    assert "pass" not in json.dumps(ended.document())
    assert "hidden" not in json.dumps(ended.document())
    assert ended.shown()["duration_s"] == 1.5
    assert ended.shown()["source"] == {"git": "https://example.org/a", "ref": "", "commit": "abc"}


@pytest.mark.parametrize(
    ("words", "code", "tail", "place", "said"),
    [
        (("yarn",), 127, "prlimit: failed to execute yarn", "this machine", "yarn is not there"),
        (("yarn",), 127, "", "Image x", "Image x has no yarn: give an image"),
        (("sh", "-c", "zig build"), 127, "sh: 1: zig: not found", "this machine", "zig is not"),
        (("pip",), 1, "blah\nTemporary failure in name resolution", "x", "over the network"),
        (("npm",), 1, "npm error code EAI_AGAIN", "x", "over the network"),
        (("go",), 1, "dial tcp: lookup proxy.example.org", "x", "over the network"),
        (("cargo",), 1, "No space left on device (os error 28)", "x", "found no room"),
        (("npm",), 1, "one\nlast line\n\n", "x", r"npm failed \(exit code 1\): last line"),
        (("npm",), 2, "", "x", "printed nothing"),
        (("npm",), 137, "", "x", "killed"),
    ],
)
def test_a_failure_names_its_cause(
    words: tuple[str, ...], code: int, tail: str, place: str, said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(why_failed(Step(words), code, tail, place))


def test_every_end_by_the_server_has_its_words() -> None:
    words = {why_stopped(stop, "64 MB") for stop in Stop}
    assert len(words) == len(Stop)
    assert "timeout_s" in why_stopped(Stop.TIMEOUT, "5 s")
