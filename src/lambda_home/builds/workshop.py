"""What builds are done with on this machine, made when the first one is asked for.

What speaks to Docker is imported only where builds are done in containers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from lambda_home.builds.cache import BuildCache
from lambda_home.builds.machine_rooms import MachineRooms
from lambda_home.builds.rooms import Limits, Rooms
from lambda_home.builds.running import Rules, Workshop
from lambda_home.builds.toolbox import any_search, lent
from lambda_home.config import Settings


def workshop(settings: Settings, root: Path, sandbox: str, stack: ExitStack) -> Workshop:
    """Make it; `sandbox` is what functions run in, `stack` takes it down.

    Raises SandboxError if Docker is asked for and does not answer.
    """
    chosen = settings.builds
    limits = Limits(chosen.memory_mb, chosen.tmp_mb, chosen.disk_mb)
    tools = lent(root / "tools")
    machine = MachineRooms(limits, tools, any_search())
    stack.callback(machine.close)
    kind = sandbox if chosen.sandbox == "auto" else chosen.sandbox
    rooms: Rooms = machine
    if kind == "docker":
        from lambda_home.builds.container_rooms import ContainerRooms  # noqa: PLC0415  see above
        from lambda_home.sandboxes.docker_daemon import connect  # noqa: PLC0415

        client = connect(settings.docker.host)
        stack.callback(client.close)
        rooms = ContainerRooms(client, settings.docker, chosen.images, limits, tools)
    rules = Rules(limits, chosen.timeout_s, chosen.log_mb, chosen.variables)
    cache = BuildCache(root / "cache", chosen.cache_mb << 20)
    has_choice = rooms is not machine and chosen.sandbox == "auto"
    return Workshop(rooms, machine, cache, rules, machine if has_choice else None)


Making = Callable[[ExitStack], Workshop]
