"""How the Java runtime is started: with what options, and what it says where it cannot be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[3] / "runtimes" / "java" / "bootstrap"

pytestmark = pytest.mark.skipif(
    Path("/var/lang/bin/java").exists(), reason="this machine has a Java where AWS has it"
)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The runtime's folder, with a `java` that tells its arguments, and a task root beside it."""
    folder = tmp_path / "runtime"
    (folder / "client").mkdir(parents=True)
    (folder / "client" / "client.jar").touch()
    shutil.copy(BOOTSTRAP, folder)
    (tmp_path / "task").mkdir()
    fake = tmp_path / "bin" / "java"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    return folder


def start(runtime: Path, **variables: str) -> tuple[int, list[str]]:
    """The exit code and what was written."""
    root = runtime.parent
    done = subprocess.run(
        ["/bin/sh", str(runtime / "bootstrap")],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={
            "PATH": f"{root}/bin:/usr/bin:/bin",
            "LAMBDA_RUNTIME_DIR": str(runtime),
            "LAMBDA_TASK_ROOT": str(root / "task"),
            "_HANDLER": "app.App::handle",
            **variables,
        },
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("memory_mb", "heap"),
    # As AWS's runtimes were seen to be started.
    [("512", "445645k"), ("1536", "1336935k"), ("3008", "2834432k")],
)
def test_the_heap_is_as_large_as_on_aws(runtime: Path, memory_mb: str, heap: str) -> None:
    _, said = start(runtime, AWS_LAMBDA_FUNCTION_MEMORY_SIZE=memory_mb)
    # The shell rounds each part down, AWS the whole.
    given = int(said[0].removeprefix("-XX:MaxHeapSize=").removesuffix("k"))
    assert abs(given - int(heap.removesuffix("k"))) <= 2
    assert said[-3:] == ["-jar", f"{runtime}/client/client.jar", "app.App::handle"]
    assert {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"} < set(said)


def test_without_awss_client_it_says_how_to_get_it(runtime: Path) -> None:
    (runtime / "client" / "client.jar").unlink()
    code, said = start(runtime)
    assert code == 1
    assert "make java-client" in said[0]


def test_a_jar_of_ones_own_is_started_where_the_handler_names_it(runtime: Path) -> None:
    jar = runtime.parent / "task" / "bootstrap.jar"
    jar.touch()
    assert start(runtime)[1][-1] == "app.App::handle"
    assert start(runtime, _HANDLER="bootstrap.jar")[1][-2:] == ["-jar", str(jar)]


def test_layers_that_are_not_at_opt_join_the_class_path(runtime: Path) -> None:
    opt = runtime.parent / "opt"
    (opt / "java" / "lib").mkdir(parents=True)
    _, said = start(runtime, _LAMBDA_HOME_OPT=str(opt))
    assert f"{runtime}/client/client.jar:{opt}/java/lib/*" in said


def test_a_wrapper_starts_java(runtime: Path) -> None:
    wrapper = runtime.parent / "wrapper"
    assert start(runtime, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper)) == (
        127,
        [f"{wrapper}: does not exist"],
    )
    wrapper.write_text('#!/bin/sh\necho wrapped\nexec "$@"\n')
    assert start(runtime, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper))[0] == 126
    wrapper.chmod(0o755)
    said = start(runtime, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper))[1]
    assert (said[0], said[-1]) == ("wrapped", "app.App::handle")
