"""Contract row 39: what a hostile function tries against the machine and its neighbours.

One invocation tries everything of a kind; each attempt answers what the kernel said to it.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer, zip_of
from observing import below

SECRET = "swordfish-of-the-neighbour"

NEIGHBOUR = f"""
import ctypes, os, socket, threading
SECRET = "{SECRET}"
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for folder in ("/tmp", "/dev/shm"):
    try:
        open(folder + "/neighbour.txt", "w").write(SECRET)
        os.chmod(folder + "/neighbour.txt", 0o666)
    except OSError:
        pass
segment = libc.shmget(0x5EC2E7, 4096, 0o1666)
ctypes.memmove(libc.shmat(segment, None, 0), SECRET.encode(), len(SECRET))
libc.semget(0x5EC2E7, 1, 0o1666)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0lambda-home-neighbour")
listener.listen()
def handler(event, context):
    return open("/proc/self/status").read().split("NSpid:")[1].split("\\n")[0].split()
"""

TOOLS = r"""
import ctypes, errno, glob, json, os, signal, socket, stat, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def said(action):
    try:
        value = action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return type(error).__name__
    return value if isinstance(value, str | int | list | tuple) else "done"

def call(name, *words):
    ctypes.set_errno(0)
    if getattr(libc, name)(*words) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return "done"

def in_child(action):
    '''What a child process says, and how it ended.'''
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, str(said(action)).encode())
        os._exit(0)
    os.close(writing)
    text = os.fdopen(reading).read()
    return text or "ended by " + str(os.waitpid(pid, 0)[1])

def holds(path, words):
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError:
        return False
    return any(word.encode() in data for word in words)
"""

SNOOPING = f"""{TOOLS}
def handler(event, context):
    words = event["secrets"]
    seen = [f"/proc/{{p}}" for p in os.listdir("/proc") if p.isdigit()]
    found = {{
        "sockets": [p for p in event["sockets"] if os.path.exists(p)],
        "connect": {{p: said(lambda: socket.socket(socket.AF_UNIX).connect(p))
                    for p in event["sockets"]}},
        "files": {{p: said(lambda: open(p, "rb").read(1)) for p in event["files"]}},
        "by root links": {{p: said(lambda: os.listdir(p)) for p in
            [f"/proc/{{n}}/root{{event['data']}}" for n in ("1", "self", os.getppid())]}},
        "processes": len(seen),
        "kill": {{str(p): said(lambda: os.kill(p, 0)) for p in event["pids"]}},
        "peek": [p for p in seen for name in ("environ", "cmdline", "maps")
                 if holds(f"{{p}}/{{name}}", words)],
    }}
    found["secret files"] = [
        os.path.join(folder, name)
        for top in ("/tmp", "/dev/shm", "/var/task", "/var/lib", "/opt", "/run", "/home", "/root")
        for folder, _, names in os.walk(top) for name in names
        if holds(os.path.join(folder, name), words)
    ]
    found["shared memory"] = call("shmget", 0x5EC2E7, 4096, 0)
    found["semaphores"] = call("semget", 0x5EC2E7, 1, 0)
    found["segments"] = len(open("/proc/sysvipc/shm").readlines()) - 1
    found["queues"] = call("mq_open", b"/neighbour", 0)
    found["abstract socket"] = said(
        lambda: socket.socket(socket.AF_UNIX).connect("\\0lambda-home-neighbour"))
    return found
"""

BREAKING_OUT = f"""{TOOLS}
NEWNS, NEWNET, NEWUSER, NEWPID = 0x20000, 0x40000000, 0x10000000, 0x20000000

def in_namespace():
    if call("unshare", NEWUSER | NEWNS) != "done":
        return "denied"
    return ",".join([
        call("mount", None, b"/var/task", None, 0x1000 | 0x20, None),
        call("mount", None, b"/", None, 0x20, None),
        call("umount2", b"/var/task", 2),
        call("umount2", b"/proc", 2),
        said(lambda: open("/proc/sys/kernel/core_pattern", "w").write("x")),
        said(lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))),
        said(lambda: open("/var/task/lambda_function.py", "a")),
    ])

def suid():
    me = "/tmp/mine"
    with open("/bin/sh", "rb") as source, open(me, "wb") as copy:
        copy.write(source.read())
    os.chmod(me, 0o6755)
    return subprocess.run([me, "-p", "-c", "id -u"], capture_output=True, text=True).stdout.strip()

def dumps_core():
    pid = os.fork()
    if pid == 0:
        os.chdir("/tmp")
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(pid, 0)[1]), glob.glob("/tmp/core*")

def bomb():
    threading.stack_size(32768)
    done, started = threading.Event(), 0
    try:
        for _ in range(1500):
            threading.Thread(target=done.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    done.set()
    return str(started)

def fill(path, most):
    with open(path, "wb", 0) as file:
        for _ in range(most >> 20):
            file.write(bytes(1 << 20))

def handler(event, context):
    lines = open("/proc/self/status").read().splitlines()
    status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
    everyone = [int(p) for p in os.listdir("/proc") if p.isdigit()]
    others = [p for p in everyone if said(lambda: os.stat(f"/proc/{{p}}").st_uid) != os.getuid()]
    task = "/var/task/lambda_function.py"
    writes = [task, "/var/task/new", "/var/runtime/bootstrap", "/opt/new",
              "/etc/passwd", "/etc/hosts", "/usr/bin/new", "/bin/sh", "/new",
              "/proc/sys/kernel/core_pattern",
              "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run",
              "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
              "/proc/1/mem", "/proc/1/oom_score_adj", "/dev/mem", "/dev/kmsg",
              "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/kvm", "/dev/net/tun"]
    return {{
        "uid": os.getuid(),
        "no new privileges": status["NoNewPrivs"],
        "capabilities": int(status["CapEff"], 16),
        "become root": {{n: said(lambda: getattr(os, n)(0)) for n in ("setuid", "setgid")}},
        "writes": {{p: said(lambda: open(p, "r+" if os.path.exists(p) else "w")) for p in writes}},
        "owner": [said(lambda: os.chmod(task, 0o777)), said(lambda: os.utime(task)),
                  said(lambda: os.link(task, "/tmp/link")), said(lambda: os.remove(task)),
                  said(lambda: os.rename(task, task + "x")), said(lambda: os.chown("/tmp", 0, 0)),
                  said(lambda: os.setxattr(task, "user.x", b"x"))],
        "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount": call("umount2", b"/var/task", 2),
        "pivot": said(lambda: os.chroot("/tmp")),
        "unshare": {{str(flag): in_child(lambda: call("unshare", flag))
                    for flag in (NEWNS, NEWNET, NEWPID)}},
        "user namespace": in_child(in_namespace),
        "setns": said(lambda: [call("setns", os.open(f"/proc/1/ns/{{n}}", os.O_RDONLY), 0)
                               for n in ("mnt", "net", "pid")]),
        "raw sockets": [said(lambda: socket.socket(*kind)) for kind in
            ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_PACKET, socket.SOCK_RAW, 3))],
        "low port": said(lambda: socket.create_server(("127.0.0.1", 81))),
        "ptrace": [call("ptrace", 16, p, None, None) for p in others],
        "signals": [said(lambda: os.kill(p, 0)) for p in others],
        "reboot": call("reboot", 0x89ABCDEF),
        "hostname": call("sethostname", b"x", 1),
        "clock": said(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "module": call("syscall", 175, b"", 0, b"") if os.uname().machine == "x86_64" else "EPERM",
        "priority": said(lambda: os.nice(-5)),
        "suid": said(suid),
        "core": said(dumps_core),
        "device": said(lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))),
        "tmp mb": (lambda s: s.f_blocks * s.f_frsize >> 20)(os.statvfs("/tmp")),
        "fill shm": in_child(lambda: fill("/dev/shm/full", 600 << 20)),
        "bomb": in_child(bomb),
        "fds": said(lambda: [os.dup(0) for _ in range(1025)]),
    }}
"""


DENIED = {"EPERM", "EACCES", "EROFS", "ENOENT", "ESRCH", "ENOSYS", "EXDEV", "EINVAL"}
OWN_INIT = {"/proc/1/mem", "/proc/1/oom_score_adj"}
"""In a container the first process is the function's own, of its own user."""


@pytest.fixture(scope="module")
def seen(target: LiveServer) -> dict[str, Any]:
    """What a function saw of its neighbour, of the server and of the machine."""
    client = target.client()
    layer = client.publish_layer_version(
        LayerName=fresh_name("layer"), Content={"ZipFile": zip_of({"secret.txt": SECRET})}
    )
    neighbour = create(
        client,
        NEIGHBOUR,
        fresh_name("neighbour"),
        Environment={"Variables": {"NEIGHBOUR": SECRET}},
        Layers=[layer["LayerVersionArn"]],
    )
    assert invoke(client, neighbour, {}).error is None
    assert target.process is not None
    data = target.data_dir
    files = [str(path) for path in below(data) if path.is_file()]
    assert any(name.endswith("lhome.db") for name in files)
    asked = {
        "secrets": [SECRET],
        "sockets": ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"],
        "files": files[:200],
        "data": str(data),
        "pids": [target.process.pid, os.getpid()],
    }
    answer = invoke(client, create(client, SNOOPING, fresh_name("snoop"), Timeout=30), asked)
    assert answer.error is None, answer.payload
    return dict(answer.payload)


@pytest.fixture(scope="module")
def tried(target: LiveServer) -> dict[str, Any]:
    """What came of each attempt to get out."""
    client = target.client()
    name = create(client, BREAKING_OUT, fresh_name("out"), Timeout=30, MemorySize=512)
    answer = invoke(client, name, {})
    assert answer.error is None, answer.payload
    return dict(answer.payload)


def in_docker(target: LiveServer) -> bool:
    return target.facts["sandbox"].startswith("docker")


def test_the_containers_daemon_is_out_of_reach(seen: dict[str, Any]) -> None:
    assert seen["sockets"] == []
    assert set(seen["connect"].values()) <= DENIED


def test_the_database_the_code_and_the_logs_are_out_of_reach(seen: dict[str, Any]) -> None:
    assert seen["files"]
    assert set(seen["files"].values()) <= DENIED
    assert set(seen["by root links"].values()) <= DENIED


def test_other_processes_are_neither_seen_nor_signalled(seen: dict[str, Any]) -> None:
    assert seen["processes"] <= 4
    assert set(seen["kill"].values()) == {"ESRCH"}
    assert seen["peek"] == []


def test_nothing_of_the_neighbour_is_found(seen: dict[str, Any], target: LiveServer) -> None:
    assert seen["secret files"] == []
    assert seen["shared memory"] == seen["semaphores"] == seen["queues"] == "ENOENT"
    assert seen["segments"] == 0
    # Processes share the machine's network, and with it abstract sockets: docs/security.md says so.
    assert seen["abstract socket"] == ("ECONNREFUSED" if in_docker(target) else "done")


def test_a_function_becomes_nobody_else(tried: dict[str, Any]) -> None:
    assert tried["uid"] != 0
    assert tried["no new privileges"].strip() == "1"
    assert tried["capabilities"] == 0
    assert tried["become root"] == {"setuid": "EPERM", "setgid": "EPERM"}
    assert tried["suid"] == str(tried["uid"])


def test_nothing_but_its_tmp_can_be_written(tried: dict[str, Any], target: LiveServer) -> None:
    own = OWN_INIT if in_docker(target) else set()
    assert {path for path, said in tried["writes"].items() if said not in DENIED} <= own
    assert set(tried["owner"]) <= DENIED
    assert tried["device"] == "EPERM"


@pytest.mark.parametrize("what", ["mount", "unmount", "pivot", "reboot", "hostname", "clock"])
def test_the_machine_cannot_be_changed(tried: dict[str, Any], what: str) -> None:
    assert tried[what] == "EPERM"


def test_no_namespace_is_entered_or_made_that_helps(tried: dict[str, Any]) -> None:
    assert set(tried["unshare"].values()) == {"EPERM"}
    assert tried["setns"] in ("EACCES", ["EPERM"] * 3)
    inside = tried["user namespace"]
    assert inside == "denied" or set(inside.split(",")) <= DENIED


def test_neighbours_cannot_be_traced_or_listened_to(tried: dict[str, Any]) -> None:
    assert set(tried["ptrace"] + tried["signals"]) <= {"EPERM"}
    assert tried["raw sockets"] == ["EPERM", "EPERM"]
    assert tried["module"] in DENIED
    assert tried["priority"] == "EPERM"


def test_resources_have_an_end(tried: dict[str, Any]) -> None:
    assert tried["core"] == [False, []]
    assert tried["tmp mb"] == 512
    assert tried["fill shm"] in {"ENOSPC", "EACCES"} or tried["fill shm"].startswith("ended by")
    assert 900 < int(tried["bomb"]) <= 1024
    assert tried["fds"] == "EMFILE"


def test_the_server_and_the_next_invocation_are_well(
    tried: dict[str, Any], seen: dict[str, Any], target: LiveServer
) -> None:
    del tried, seen
    name = create(target.client(), "def handler(event, context):\n    return 'well'\n")
    assert invoke(target.client(), name, {}).payload == "well"
    assert [line for line in target.output if "Traceback" in line] == []
