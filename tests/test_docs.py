"""The documentation is true: it builds, its links lead somewhere, its commands do what it says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from live import LiveServer

from scripts.docs_hooks import links

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "SPECIFICATION.md", "CHANGELOG.md")),
]

# Run one after the other, in one folder and against one server: the first makes the function that
# the others use.
RUN = (
    "quick-start.md",
    "concepts.md",
    "http.md",
    "secrets.md",
    "access.md",
    "observing.md",
    "running.md",
    "deploying.md",
    "testing.md",
)
ADDRESS = "http://127.0.0.1:9000"
_CHROMIUM = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
)
MARK = "__the_end_of_a_command__"

_HEREDOC = re.compile(r"<<'(\w+)'")
_LOADED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(https?:)?//""")


@dataclass(slots=True)
class Step:
    """A command of a page with the output that the page shows; `...` stands for anything."""

    page: str
    command: str
    shown: str = ""


def steps(page: str, text: str) -> Iterator[Step]:
    """The commands of a page's console blocks; a block after `<!-- not run: why -->` has none."""
    blocks = r"(<!-- not run: .+ -->\n)?```console\n(.*?\n)```$"
    for match in re.finditer(blocks, text, re.MULTILINE | re.DOTALL):
        lines = iter([] if match[1] else match[2].splitlines())
        found: list[Step] = []
        for line in lines:
            if line.startswith("$ "):
                found.append(Step(page, _whole(line.removeprefix("$ "), lines)))
            else:
                found[-1].shown += line + "\n"
        yield from found


def _whole(first: str, lines: Iterator[str]) -> str:
    """A command with its continued lines and its here-document."""
    command = last = first
    end = _HEREDOC.search(first)
    while last != end[1] if end else last.endswith("\\") or command.count("'") % 2:
        last = next(lines)
        command += "\n" + last
    return command


def as_pattern(shown: str) -> re.Pattern[str]:
    """What may stand where a page shows this: the same, with anything for `...`."""
    return re.compile(".*".join(map(re.escape, shown.split("..."))), re.DOTALL)


def test_commands_are_read_with_their_output() -> None:
    text = (
        "```console\n$ cat > a <<'EOF'\n$ x\nEOF\n$ one \\\n  two\nout ...\n```\n"
        "<!-- not run: why -->\n```console\n$ never\n```\n"
    )
    assert [(step.command, step.shown) for step in steps("p", text)] == [
        ("cat > a <<'EOF'\n$ x\nEOF", ""),
        ("one \\\n  two", "out ...\n"),
    ]
    assert as_pattern("out ...\n").fullmatch("out 1\n")
    assert not as_pattern("out ...\n").fullmatch("in\n")


def test_a_link_is_found_with_its_anchor_and_not_in_code() -> None:
    text = "[a](b.md#c) [d](https://e.org)\n```\n[f](g.md)\n```\n![h](i.svg)"
    assert links(text) == ["b.md", "i.svg"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path.read_text()) if not (path.parent / link).exists()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a warning is an error."""
    built = tmp_path_factory.mktemp("docs") / "site"
    # -o: the set-up is not done again, even if what it is made from has changed.
    stamp = BIN.parent / ".lambda-home-setup"
    make = ("make", "-o", str(stamp), f"VENV={BIN.parent}", "docs", f"ARGS=--site-dir {built}")
    done = subprocess.run(make, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > 20
    assert [page for page in pages if _LOADED.search(page.read_text())] == []
    assert (site / "SPECIFICATION.html").is_file()
    assert (site / "configs" / "default.toml").is_file()


@pytest.mark.browser
def test_the_search_works_in_pages_that_are_opened_from_the_disk(
    site: Path, tmp_path: Path
) -> None:
    address = f"{(site / 'index.html').as_uri()}?q=SECRET_REF"
    command = ["chromium", *_CHROMIUM, f"--user-data-dir={tmp_path}", "--dump-dom", address]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert re.search(r'md-search-result__meta">\d+ matching documents<', done.stdout), done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer("--sandbox", "process", cwd=tmp_path_factory.mktemp("docs")) as running:
        yield running


class Shell:
    """A shell that runs one command after the other, as a reader would."""

    def __init__(self, folder: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment: Mapping[str, str] = {**kept, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self.process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[str, str]:
        """What a command prints, and its exit status."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the shell has no pipes")
        self.process.stdin.write(f"{command}\necho {MARK} $?\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            before, found, status = line.partition(MARK)
            printed += before
            if found:
                return printed.strip(), status.strip()
        return printed, "the shell ended"


@pytest.mark.slow
@pytest.mark.process
def test_the_commands_of_the_pages_do_what_they_say(server: LiveServer) -> None:
    shell = Shell(server.data_dir.parent)
    with shell.process:
        for page in RUN:
            for step in steps(page, (DOCS / page).read_text()):
                printed, status = shell.run(step.command.replace(ADDRESS, server.url))
                # Commands name the server in what they advise unless it is at the usual address.
                printed = printed.replace(f" --endpoint-url {server.url}\n", "\n")
                said = f"{page}: $ {step.command}\n{printed}\n[{status}]"
                assert status == "0", said
                wanted = step.shown.replace(ADDRESS, server.url).strip()
                assert as_pattern(wanted).fullmatch(printed), f"{said}\nshown:\n{wanted}"


@pytest.mark.slow
@pytest.mark.process
def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    """It shows no output; where a function answers, that is looked for."""
    with LiveServer("--sandbox", "process", cwd=tmp_path) as server:
        shell = Shell(server.data_dir.parent)
        with shell.process:
            for step in steps("README.md", (ROOT / "README.md").read_text()):
                printed, status = shell.run(step.command.replace(ADDRESS, server.url))
                said = f"$ {step.command}\n{printed}\n[{status}]"
                assert status == "0", said
                assert '"message"' not in printed, said
                if "invoke" in step.command:
                    assert '{"hello": ' in printed, said


def _said_by_the_source() -> list[str]:
    """Every text of the source, with ... for what is filled in."""
    found = []
    for path in (ROOT / "src" / "lambda_home").rglob("*.py"):
        if "_bundled" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "..." for p in node.values)
                found.append("".join(map(str, parts)))
    return found


def test_every_message_that_troubleshooting_explains_is_one_of_ours() -> None:
    headings = re.findall(r"^### `(.+)`$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    source = _said_by_the_source()
    assert len(headings) > 20
    for message in headings:
        pattern = as_pattern(message)
        assert any(pattern.search(text) for text in source), message


def test_the_comparison_counts_our_operations_as_the_coverage_does() -> None:
    coverage = (DOCS / "api-coverage.md").read_text()
    counted = re.search(r"of which (\d+) works, (\d+) stored only, (\d+) not yet", coverage)
    assert counted is not None
    text = (DOCS / "comparison.md").read_text()
    assert f"{counted[1]} work, {counted[2]} are checked, kept and answered" in text
    assert f"{counted[3]} operations, those of durable executions, answer 501" in text
