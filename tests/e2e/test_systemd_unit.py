"""deploy/lambda-home.service, started by a systemd of its own: this machine's, in namespaces.

Its root is this machine's, under a layer in memory that takes all that is written. The server is
the wheel at /opt/lambda-home, as the unit's first lines say, with this environment's libraries.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from functions_under_test import create, invoke
from needs import ROOT
from observing import until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = [pytest.mark.slow, pytest.mark.needs("systemd")]

USER, USER_ID = "lambda-home", 64_123
SLEEP = """
import os, time
def handler(event, context):
    time.sleep(event)
    return os.getuid()
"""
# $0: a folder with empty ones, and what `new` is put into the root; $1: libraries; $2: Python.
BOOT = """
set -e
mount --make-rprivate /
root=$0/root
mount -t tmpfs tmpfs "$0/layer"
mkdir "$0/layer/upper" "$0/layer/work"
mount -t overlay -o "lowerdir=/,upperdir=$0/layer/upper,workdir=$0/layer/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
ip link set lo up
for path in run dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$path"; done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
rm -rf "$root/opt/lambda-home" "$root/etc/systemd/system" "$root/var/lib/lambda-home"
cp -r "$0/new/." "$root/"
mkdir -p "$root/opt/libraries" "$root/opt/python" "$root/before"
mount --bind "$1" "$root/opt/libraries"
mount --bind "$2" "$root/opt/python"
cd "$root"
pivot_root . before
umount --lazy /before
exec env -i container=lambda-home-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=lambda-home.service --log-target=null </dev/null
"""


URL = "http://127.0.0.1:9000"  # in a network of its own
_CLONE_NEWNET = 0x40000000


class Machine:
    """What systemd runs; `pid` is its own, `group` its control group.

    `pool` has threads that are in its network.
    """

    def __init__(self, pid: int, group: Path, pool: ThreadPoolExecutor) -> None:
        self._pid = pid
        self._group = group
        self.pool = pool

    def run(self, *words: str) -> str:
        """A command inside."""
        inside = ("nsenter", "--target", str(self._pid), "--mount", "--pid", "--cgroup", "--")
        done = subprocess.run([*inside, *words], check=False, capture_output=True, text=True)
        return (done.stdout + done.stderr).strip()

    def shown(self, name: str) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", "lambda-home")

    def until_ready(self) -> None:
        try:
            until(lambda: self.pool.submit(answers).result(), "the server does not answer")
        except AssertionError as error:
            error.add_note(self.run("systemctl", "status", "--no-pager", "lambda-home"))
            error.add_note(self.run("journalctl", "--no-pager", "--unit=lambda-home"))
            raise

    def processes(self) -> set[int]:
        """Those of the unit's control group, functions among them."""
        groups = self._group.glob("system.slice/lambda-home.service/**/cgroup.procs")
        return {int(pid) for group in groups for pid in group.read_text().split()}


def enter_network(pid: int) -> None:
    """Take this thread into a process's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        assert libc.setns(network.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def answers() -> bool:
    with suppress(OSError), urlopen(f"{URL}/api/healthz", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def client() -> LambdaClient:
    made: LambdaClient = boto3.client(
        "lambda",
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    return made


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def furnish(new: Path, wheel: Path) -> None:
    """What an administrator does: the program, a user, the unit, a drop-in with settings."""
    program = new / "opt/lambda-home"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = program / "lib" / version / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    write(site / "libraries.pth", "/opt/libraries")
    write(program / "pyvenv.cfg", "home = /opt/python/bin")
    (program / "bin").mkdir()
    (program / "bin/python3").symlink_to(f"/opt/python/bin/{version}")
    call = ("from lambda_home.__main__ import main", "main()")
    write(program / "bin/lambda-home", "#!/opt/lambda-home/bin/python3", *call)
    (program / "bin/lambda-home").chmod(0o755)
    accounts = {
        "passwd": f"{USER}:x:{USER_ID}:{USER_ID}::/var/lib/lambda-home:/usr/sbin/nologin",
        "group": f"{USER}:x:{USER_ID}:",
    }
    for name, line in accounts.items():
        write(new / "etc" / name, Path("/etc", name).read_text().strip(), line)
    units = new / "etc/systemd/system"
    write(units / "lambda-home.service", (ROOT / "deploy/lambda-home.service").read_text())
    write(
        units / "lambda-home.service.d/settings.conf",
        "[Service]",
        "Environment=LD_LIBRARY_PATH=/opt/python/lib",  # this Python was made for another place
    )
    write(new / "etc/machine-id")
    # It would set what belongs to the whole machine.
    (units / "systemd-sysctl.service").symlink_to("/dev/null")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("systemd")
    for name in ("root", "layer", "new"):
        (folder / name).mkdir()
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder))
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, cwd=folder)
    furnish(folder / "new", next(folder.glob("*.whl")))
    found = subprocess.run(
        ["findmnt", "--noheadings", "--first-only", "--types=cgroup2", "--output=TARGET"],
        check=False,
        capture_output=True,
        text=True,
    )
    if found.returncode:
        pytest.skip("control groups of version 2 are not mounted here")
    group = Path(found.stdout.strip(), f"lambda-home-test-{os.getpid()}")
    group.mkdir()
    namespaces = "--mount --pid --fork --kill-child --uts --ipc --net --cgroup"
    boot = f'echo $$ >"{group}/cgroup.procs" && exec unshare {namespaces} bash -c "$@"'
    given = (BOOT, str(folder), sysconfig.get_paths()["purelib"], sys.base_prefix)
    with (folder / "said").open("w+b") as said:
        unshared = subprocess.Popen(["bash", "-c", boot, "-", *given], stdout=said, stderr=said)
        try:
            pid = booted(unshared.pid)
            if pid is None:
                said.seek(0)
                pytest.fail(f"systemd did not start: {said.read().decode()}")
            with ThreadPoolExecutor(2, initializer=enter_network, initargs=(pid,)) as pool:
                yield Machine(pid, group, pool)
        finally:
            unshared.kill()
            unshared.wait()
            until(lambda: removed(group), "processes are left")


def booted(unshared: int) -> int | None:
    """The process of systemd, None if there will be none."""
    while Path(f"/proc/{unshared}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        for pid in Path(f"/proc/{unshared}/task/{unshared}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return int(pid)
        time.sleep(0.02)
    return None


def removed(group: Path) -> bool:
    """Whether a control group could be removed, with all below it."""
    with suppress(OSError):
        for path in sorted(group.glob("**/"), reverse=True):
            path.rmdir()
    return not group.exists()


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can boot a systemd")
def test_the_unit_serves_drains_and_comes_back(machine: Machine) -> None:
    machine.until_ready()
    with closing(client()) as before:
        name = machine.pool.submit(create, before, SLEEP, Timeout=30).result()
        answer = machine.pool.submit(invoke, before, name, 0).result()
    assert answer.error is None, answer.raw
    server = int(machine.shown("MainPID"))
    assert machine.run("stat", "--format=%U %a", "/var/lib/lambda-home") == f"{USER} 700"
    assert machine.run("stat", "--format=%u", f"/proc/{server}") == str(USER_ID)
    assert len(machine.processes()) > 1, "functions run elsewhere"

    # Killed: what it has started goes with it, and systemd starts it again with all that it had.
    of_dead = machine.processes()
    machine.run("kill", "-KILL", str(server))
    until(lambda: not of_dead & machine.processes(), "something of the dead server is left")
    until(lambda: machine.shown("MainPID") not in {"0", str(server)}, "it is not started again")
    machine.until_ready()

    # Stopped: what runs is answered, and nothing is left.
    with closing(client()) as after:
        machine.pool.submit(invoke, after, name, 0).result()  # connected, and warm
        call = machine.pool.submit(invoke, after, name, 2)
        time.sleep(0.5)
        machine.run("systemctl", "stop", "lambda-home")
        assert call.result().error is None, call.result().raw
    assert machine.shown("Result") == "success"
    assert machine.shown("ActiveState") == "inactive"
    assert not machine.processes()


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    unit = (ROOT / "deploy/lambda-home.service").read_text()
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    assert program is not None
    copy = tmp_path / "lambda-home.service"
    copy.write_text(unit.replace(program[1], sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "lambda-home.service" in line]
    assert not said
    assert Path(program[1]).name == "lambda-home"
