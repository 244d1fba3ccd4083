"""From sources to functions that run, in both sandboxes: rows 51 and 52 of the seeds' features."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import signal
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from building import NODE_SOURCES, PYTHON_SOURCES, WORD, Builder
from conftest import SANDBOXES
from functions_under_test import create, fresh_name
from live import LiveServer, zip_of
from observing import WITHOUT_SPARES, until
from pem_files import pem_files
from typer.testing import CliRunner, Result

from lambda_home.cli import app

pytestmark = pytest.mark.slow

SETTINGS = {**WITHOUT_SPARES, "LAMBDA_HOME_BUILDS__VARIABLES": '{"GIT_SSL_NO_VERIFY": "1"}'}
PYTHON = "python3.11"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="module", params=SANDBOXES)
def both(request: pytest.FixtureRequest) -> Iterator[Builder]:
    with LiveServer("--ephemeral", "--sandbox", request.param, environment=SETTINGS) as live:
        yield Builder(live)


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with LiveServer("--ephemeral", "--sandbox", "process", environment=SETTINGS) as live:
        yield Builder(live)


def invoked(builder: Builder, name: str) -> Any:
    answer = builder.server.client().invoke(FunctionName=name)
    return json.loads(answer["Payload"].read())


def prepared(server: LiveServer) -> set[str]:
    """What a server has made of packages: unpacked folders, or images."""
    unpacked = server.data_dir / "unpacked"
    folders = {path.name for path in unpacked.glob("[!.]*")} if unpacked.is_dir() else set()
    instance = server.data_dir / "instance-id"
    if not instance.exists():
        return folders
    mine = f"label=lambda-home.instance={instance.read_text().strip()}"
    command = ["docker", "images", "--format", "{{.ID}} {{.Tag}}", "--filter", mine]
    return folders | set(subprocess.check_output(command, text=True).splitlines())


def test_row_50_code_with_the_same_digest_is_kept_and_prepared_once(both: Builder) -> None:
    source = f"def handler(event, context): return {fresh_name()!r}"
    server = both.server
    package = zip_of({"lambda_function.py": source})
    before = prepared(server)
    first = create(server.client(), "", Runtime=PYTHON, Code={"ZipFile": package})
    answer = invoked(both, first)
    made = prepared(server)
    assert len(made - before) == 1
    second = create(server.client(), "", Runtime=PYTHON, Code={"ZipFile": package})
    assert invoked(both, second) == answer
    server.client().update_function_code(FunctionName=second, ZipFile=package)
    assert invoked(both, second) == answer
    assert prepared(server) == made


def test_row_51_and_52_requirements_are_installed_and_deployed_once(both: Builder) -> None:
    name = create(both.server.client(), "def handler(e, c): return 'old'", Runtime=PYTHON)
    first = both.ready(PYTHON_SOURCES, function=name, deploy="true")
    assert (first["runtime"], first["manifest"]) == (PYTHON, "requirements.txt")
    assert first["deployed"] is True
    names = set(both.package(first["id"]).namelist())
    assert {"lambda_function.py", "greet/__init__.py"} <= names
    assert not any(part in names for part in ("requirements.txt", ".lambdaignore"))
    assert invoked(both, name) == WORD
    configuration = both.server.client().get_function_configuration(FunctionName=name)
    assert configuration["CodeSha256"] == first["code_sha256"]
    again = both.ready(PYTHON_SOURCES, function=name, deploy="true")
    assert again["code_sha256"] == first["code_sha256"]
    assert "has this code already" in both.log(again["id"])
    later = both.server.client().get_function_configuration(FunctionName=name)
    assert later["RevisionId"] == configuration["RevisionId"]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_row_51_a_lock_is_installed_by_npm(both: Builder) -> None:
    source = "exports.handler = async () => 'old';"
    name = create(both.server.client(), source, Runtime="nodejs20.x")
    done = both.ready(NODE_SOURCES, function=name, deploy="true")
    assert done["manifest"] == "package-lock.json"
    assert invoked(both, name) == "hello from npm"


def test_a_command_makes_the_output_directory(both: Builder) -> None:
    command = "mkdir -p dist && cp app.py dist/made.py && echo $GREETING > dist/word"
    done = both.ready(
        {"app.py": "x = 1"},
        command=command,
        outputDirectory="dist",
        runtime=PYTHON,
        **{"variables.GREETING": "hi"},
    )
    package = both.package(done["id"])
    assert package.namelist() == ["made.py", "word"]
    assert package.read("word") == b"hi\n"
    assert done["variables"] == ["GREETING"]


def test_a_tool_that_is_missing_is_named_with_what_to_do(both: Builder) -> None:
    done = both.build(
        {"index.js": "", "package.json": '{"dependencies": {"a": "1"}}', "yarn.lock": ""}
    )
    assert done["status"] == "failed"
    assert "yarn" in done["reason"]
    assert "builds.images" in done["reason"]


def test_a_failed_step_is_told_with_its_last_line(both: Builder) -> None:
    done = both.build(
        {"a.py": ""}, command="echo before; echo it is broken >&2; exit 3", runtime=PYTHON
    )
    assert done["reason"] == "sh failed (exit code 3): it is broken"
    lines = [line.split(" ", 1) for line in both.log(done["id"]).splitlines()]
    assert [text for _, text in lines][-3:-1] == ["before", "it is broken"]
    assert all(stamp.endswith("Z") and len(stamp) == 27 for stamp, _ in lines)
    answer = both.call("GET", f"/{done['id']}/artefact")
    assert answer.status_code == 409
    assert "it is broken" in answer.json()["message"]


def test_a_build_is_canceled_with_all_that_it_started(both: Builder) -> None:
    mark = f"sleep {secrets.randbelow(10**9) + 10**6}"
    build_id = both.begin({"a.py": ""}, command=f"echo begun; {mark} & {mark}", runtime=PYTHON)
    until(lambda: "Z begun" in both.log(build_id), "the build does not begin")
    assert both.call("DELETE", f"/{build_id}").status_code == 202
    assert both.ended(build_id)["status"] == "canceled"
    processes = ["ps", "axo", "args"]
    until(lambda: mark not in subprocess.check_output(processes, text=True), "it goes on")
    assert both.call("DELETE", f"/{build_id}").status_code == 204
    assert both.call("GET", f"/{build_id}").status_code == 404


def test_what_is_vendored_is_only_zipped(builder: Builder) -> None:
    sources = {
        "lambda_function.py": "import greet",
        "requirements.txt": "greet==1.0",
        "greet/__init__.py": "",
        "greet-1.0.dist-info/METADATA": "",
    }
    done = builder.ready(sources)
    assert "nothing is installed" in builder.log(done["id"])
    assert set(builder.package(done["id"]).namelist()) == set(sources)


def test_a_folder_of_a_tar_is_built(builder: Builder) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in {"repo/f/app.py": b"x = 1\n", "repo/README": b"no"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    done = builder.ready(buffer.getvalue(), directory="repo/f")
    assert builder.package(done["id"]).namelist() == ["app.py"]
    missing = builder.build(buffer.getvalue(), directory="repo/g")
    assert missing["reason"] == "The sources have no folder repo/g."


def test_the_cache_is_there_for_the_next_build_of_the_same_account_alone(builder: Builder) -> None:
    command = "cat /cache/kept 2>/dev/null; echo secret > /cache/kept"
    asked = {"command": command, "cacheKey": "mine", "runtime": PYTHON}
    builder.ready({"a.py": ""}, **asked)
    again = builder.ready({"a.py": ""}, **asked)
    assert "Z secret" in builder.log(again["id"])
    other = Builder(builder.server, "111111111111")
    theirs = other.ready({"a.py": ""}, **asked)
    assert "Z secret" not in other.log(theirs["id"])
    assert builder.call("GET", f"/{theirs['id']}").status_code == 404
    assert theirs["id"] not in builder.call("GET").text


def test_logs_are_streamed_and_polled(builder: Builder) -> None:
    build_id = builder.begin({"a.py": ""}, command="echo one; sleep 0.3; echo two", runtime=PYTHON)
    events = builder.call("GET", f"/{build_id}/logs", headers={"Accept": "text/event-stream"}).text
    kinds = [line for line in events.splitlines() if line.startswith("event:")]
    assert kinds.count("event: end") == 1
    assert events.index('"one"') < events.index('"two"') < events.index("event: end")
    end = json.loads(events.strip().splitlines()[-1].removeprefix("data: "))
    assert (end["id"], end["status"]) == (build_id, "ready")
    accept = {"Accept": "application/json"}
    page = builder.call("GET", f"/{build_id}/logs", headers=accept).json()
    assert {"one", "two"} <= {line["content"] for line in page["lines"]}
    rest = builder.call("GET", f"/{build_id}/logs?after={page['next']}", headers=accept).json()
    assert (rest["lines"], rest["next"], rest["status"]) == ([], page["next"], "ready")


class Repository(BaseHTTPRequestHandler):
    """git's own server of repositories, as a CGI program (git-http-backend(1))."""

    root = Path()

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        size = int(self.headers.get("Content-Length") or 0)
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(size),
            capture_output=True,
            check=True,
            env={
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(size),
                "REMOTE_ADDR": "127.0.0.1",
                "PATH": "/usr/bin:/bin",
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _serve  # noqa: N815  the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        del format, args


def git(folder: Path, *words: str) -> str:
    person = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", *person, "-C", str(folder), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with a function in a folder, on the branch `work`; and its commit."""
    folder = tmp_path_factory.mktemp("git") / "repo"
    (folder / "f").mkdir(parents=True)
    (folder / "f" / "app.py").write_text("def handler(event, context): return 'from git'\n")
    (folder / "evil").symlink_to("/etc/passwd")
    git(folder, "init", "--quiet", "--initial-branch=work")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    return folder, git(folder, "rev-parse", "HEAD")


@pytest.fixture
def remote(repository: tuple[Path, str], tmp_path: Path) -> Iterator[str]:
    """The URL of the same, over TLS."""
    certificate, key = pem_files(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    Repository.root = repository[0].parent
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"https://me:hidden-word@127.0.0.1:{httpd.server_port}/repo/.git"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@needs_git
def test_a_branch_or_commit_is_fetched_by_the_server(
    builder: Builder, repository: tuple[Path, str], remote: str
) -> None:
    for ref in ("work", repository[1]):
        asked = {"git": remote, "ref": ref, "directory": "f"}
        answer = builder.call("POST", json=asked)
        assert answer.status_code == 202, answer.text
        done = builder.ended(answer.json()["id"])
        log = builder.log(done["id"])
        assert done["status"] == "ready", log
        assert done["source"]["commit"] == repository[1]
        assert builder.package(done["id"]).namelist() == ["app.py"]
        assert "hidden-word" not in f"{log}{done}{answer.text}"
    wrong = builder.call("POST", json={"git": remote, "ref": "no-such-branch"}).json()
    failed = builder.ended(wrong["id"])
    assert failed["status"] == "failed"
    assert "no-such-branch" in failed["reason"]


def run(builder: Builder, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LAMBDA_HOME_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAMBDA_HOME_ENDPOINT_URL", builder.server.url)
    return CliRunner().invoke(app, list(words))


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_deploy_builds_what_the_files_ask_for(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / fresh_name("deploy"), PYTHON_SOURCES)
    done = run(builder, monkeypatch, "deploy", str(folder), "--runtime", PYTHON)
    assert done.exit_code == 0, done.output
    assert "==> 1/1 pip install" in done.stderr
    assert "is created" in done.stdout
    assert invoked(builder, folder.name) == WORD
    again = run(builder, monkeypatch, "deploy", str(folder), "--runtime", PYTHON, "--json")
    assert json.loads(again.stdout)["Action"] == "unchanged"
    plain = run(builder, monkeypatch, "deploy", str(folder), "--no-build", "--json")
    assert json.loads(plain.stdout)["Changes"][0] == "Code"


def test_deploy_runs_the_command_that_the_project_names(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = 'build_command = "mkdir dist && sed s/old/new/ src.py > dist/app.py"\n'
    source = "def handler(event, context): return 'old'\n"
    project += f'output_directory = "dist"\nruntime = "{PYTHON}"\n'
    folder = written(
        tmp_path / fresh_name("command"), {"src.py": source, "lambda-home.toml": project}
    )
    done = run(builder, monkeypatch, "deploy", str(folder))
    assert done.exit_code == 0, done.output
    assert invoked(builder, folder.name) == "new"
    broken = run(builder, monkeypatch, "deploy", str(folder), "--build-command", "exit 4")
    assert broken.exit_code == 1
    assert "sh failed (exit code 4)" in broken.stderr


@needs_git
def test_build_saves_the_package_of_a_folder_or_repository(
    builder: Builder, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = repository[0].as_uri()
    save = tmp_path / "made.zip"
    words = ("build", url, "--ref", "work", "--directory", "f", "--output", str(save), "--json")
    (repository[0] / "evil").unlink()
    git(repository[0], "commit", "--quiet", "--all", "--message=two")
    done = run(builder, monkeypatch, *words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["status"], found["size"]) == ("ready", save.stat().st_size)
    for wrong in ("ext::sh -c true", "--", "http://example.org/a"):
        assert run(builder, monkeypatch, "build", "--ref", "x", "--", wrong).exit_code == 2
    failed = run(builder, monkeypatch, "build", str(repository[0]), "--command", "exit 1")
    assert failed.exit_code == 1
    assert "Status" in failed.stdout
    assert "printed nothing" in failed.stderr.splitlines()[-1]


def test_a_server_that_stops_lets_followers_go_and_ends_builds(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--sandbox", "process")
    with LiveServer(*data, environment=SETTINGS) as live:
        builder = Builder(live)
        build_id = builder.begin({"a.py": ""}, command="echo begun; sleep 997", runtime=PYTHON)
        until(lambda: "Z begun" in builder.log(build_id), "the build does not begin")
        url, seen = f"{live.url}/api/builds/{build_id}/logs", []
        with httpx.stream("GET", url, headers={"Accept": "text/event-stream"}) as events:
            lines = events.iter_lines()
            seen.append(next(lines))
            begun = time.monotonic()
            assert live.stop() == 0
            seen.extend(lines)
    assert time.monotonic() - begun < 8
    assert "event: end" not in seen


@pytest.mark.languages
def test_a_killed_server_leaves_a_build_that_failed(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"), "--sandbox", "process")
    mark = fresh_name("left")
    with LiveServer(*data, environment=SETTINGS) as live:
        first = Builder(live)
        build_id = first.begin({"a.py": ""}, command=f"echo {mark}; sleep 998", runtime=PYTHON)
        until(lambda: f"Z {mark}" in first.log(build_id), "the build does not begin")
        live.stop(signal.SIGKILL)
    with LiveServer(*data, environment=SETTINGS) as live:
        done = Builder(live).ended(build_id)
        assert (done["status"], done["reason"]) == (
            "failed",
            "The server was stopped during the build: start it again.",
        )
        processes = ["ps", "axo", "args"]
        until(
            lambda: "sleep 998" not in subprocess.check_output(processes, text=True),
            "what the build started is left",
        )


RUST = {
    "Cargo.toml": '[package]\nname = "hi"\nversion = "0.1.0"\n',
    "src/main.rs": "fn main() {}\n",
}
GO = {"go.mod": "module hi\n\ngo 1.20\n", "main.go": "package main\n\nfunc main() {}\n"}
JAVA = {
    "pom.xml": '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    "<groupId>a</groupId><artifactId>hi</artifactId><version>1</version><properties>"
    "<maven.compiler.source>17</maven.compiler.source>"
    "<maven.compiler.target>17</maven.compiler.target></properties></project>",
    "src/main/java/a/H.java": "package a; public class H { }\n",
}


@pytest.mark.languages
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("tool", "sources", "made"),
    [
        ("cargo", RUST, "bootstrap"),
        ("go", GO, "bootstrap"),
        ("mvn", JAVA, "a/H.class"),
    ],
    ids=["rust", "go", "java"],
)
def test_programs_are_compiled_to_the_same_bytes_each_time(
    builder: Builder, tool: str, sources: dict[str, str], made: str
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    first, again = (builder.ready(sources) for _ in range(2))
    assert builder.package(first["id"]).namelist() == [made]
    assert "Cache: exact" in builder.log(again["id"])
    assert first["code_sha256"] == again["code_sha256"]
