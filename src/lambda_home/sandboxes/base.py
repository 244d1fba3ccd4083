"""The sandbox port: what the scheduler asks of whatever runs execution environments.

Lifecycle of one environment, for every adapter:

    start(spec)  ->  running  <->  frozen        freeze(id, frozen=True | False)
                        |             |
                        +--- stop(id) or its own end ---> exactly one `exited(Exit)`

- A spare (`spec.spare`) is started without a function: /opt and its task root are empty but for
  `lib` in each, which leads to a folder, and in the task root the file `spec.id`, by which its
  runtime proves that it sees the folder. `place` puts the function's code and layers there, once;
  from then on it is an environment like any other. (The loader never looks again at a folder of
  LD_LIBRARY_PATH that was not there when the interpreter started: hence `lib`, which then goes.)

- `open(observer)` comes first and reaps what a dead server left behind; `close()` comes last and
  leaves nothing running.
- `start` returns once the process exists, not once the runtime has polled. It raises SandboxError
  and leaves nothing behind where it fails (no `exited` follows then).
- `stop` is idempotent: asks politely for `grace_s` seconds, then kills the whole process tree. An
  unknown id is no error. A frozen environment can be stopped.
- The observer is called on the event loop. All `output` of an environment comes before its
  `exited`.
- Nothing above `sandboxes/` knows which adapter it talks to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from lambda_home.errors import LambdaHomeError
from lambda_home.functions import FunctionVersion


class SandboxError(LambdaHomeError):
    """An environment could not be started; the message says why and what to do."""


class RuntimeMissingError(SandboxError):
    """Nothing here runs that runtime; the message says what to install, if anything does."""


class EntrypointError(SandboxError):
    """There is no program to start, or none that can be; the message is AWS's."""


class ImageError(SandboxError):
    """A container image cannot be had; `code` is AWS's, as StateReasonCode has it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotNowError(SandboxError):
    """For a reason that passes (a full disk, a silent daemon): the same may work later."""


@dataclass(frozen=True, slots=True)
class ImageCode:
    """A container image as code: its name, the digest (hex) that it had when it was given.

    The others are what the function says about it: its ImageConfig, its architecture, its PATH.
    """

    uri: str
    digest: str
    architecture: str = "x86_64"
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    search_path: str = ""

    @classmethod
    def of(cls, version: FunctionVersion) -> ImageCode:
        """That of a version whose code is an image."""
        config = cast("Mapping[str, Any]", version.documents.get("ImageConfig") or {})
        return cls(
            version.code.image_uri,
            version.code.sha256,
            version.architectures[0],
            tuple(config.get("EntryPoint") or ()),
            tuple(config.get("Command") or ()),
            config.get("WorkingDirectory") or "",
            (version.environment or {}).get("PATH", ""),
        )


@dataclass(frozen=True, slots=True)
class Package:
    """What a version runs: the key of its ZIP in the store, its runtime, the keys of its layers.

    A container image is all three in one: then there is an `image`, and the others are empty.
    `architecture` is what the function is made for, as AWS names it; empty if nobody said.
    """

    code_key: str
    runtime: str
    layer_keys: tuple[str, ...] = ()
    image: ImageCode | None = None
    architecture: str = ""

    @classmethod
    def of(cls, version: FunctionVersion) -> Package:
        """The package of a version; of layers the last one wins."""
        if version.is_image:
            return cls("", "", image=ImageCode.of(version))
        layers = tuple(layer.key for layer in version.layers)
        made_for = version.architectures[0] if version.architectures != ("x86_64",) else ""
        return cls(version.code.key, version.runtime, layers, architecture=made_for)


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in a container image, and the variables that the image sets for it.

    `volumes_from` names a container that has the volumes which the image declares, if it does: they
    are shown from there, read-only. `has_shell`: /bin/sh is there, and with it output can go past
    the Docker daemon.
    """

    entry_point: tuple[str, ...]
    command: tuple[str, ...] = ()
    working_directory: str = "/"
    variables: tuple[tuple[str, str], ...] = ()
    volumes_from: str = ""
    has_shell: bool = True

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self.entry_point + self.command


@dataclass(frozen=True, slots=True)
class Prepared:
    """A package as one kind of sandbox runs it.

    `code` is a folder, or the tag of an image. `opt` is the folder to be shown as /opt; "" where
    there are no layers, or the image has them. `unstartable` says, in AWS's words, why the program
    that the package should bring cannot be started; "" where nothing speaks against it.
    `extensions` are the names of the files of /opt/extensions, in order. `program` is what a
    container image runs.
    """

    code: str
    opt: str = ""
    unstartable: str = ""
    extensions: tuple[str, ...] = ()
    program: Program | None = None


OWN_ENDPOINT: Final = "http://<AWS_LAMBDA_RUNTIME_API>"
"""Stands for the runtime API's URL as the environment sees it: AWS's APIs are there, too."""


def addressed(environment: Mapping[str, str], runtime_api: str) -> Mapping[str, str]:
    """`environment` with the address of the runtime API where OWN_ENDPOINT stands for it."""
    if environment.get("AWS_ENDPOINT_URL") != OWN_ENDPOINT:
        return environment
    return {**environment, "AWS_ENDPOINT_URL": f"http://{runtime_api}"}


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One execution environment to start.

    `id` names it (32 hex digits); `host` is its unguessable host name, its only credential at the
    runtime API. `code` and `opt` are what `CodePreparer.prepare` returned, for a `spare` the `code`
    is what `CodePreparer.bare` returned. `environment` is complete but for AWS_LAMBDA_RUNTIME_API,
    which the adapter adds because only it knows the address, and puts in the place of an
    AWS_ENDPOINT_URL that is OWN_ENDPOINT (see `addressed`). `labels` are for people (function,
    version). `command` is what runs in an image; empty: the image knows. `extensions` are external
    ones: they and then the command are run by a supervisor (see `supervision`). Of a function's own
    container image `program` stands in the place of `command`.
    """

    id: str
    host: str
    runtime: str
    code: str
    environment: Mapping[str, str]
    memory_mb: int
    tmp_mb: int
    labels: Mapping[str, str]
    spare: bool = False
    opt: str = ""
    command: tuple[str, ...] = ("/var/runtime/bootstrap",)
    extensions: tuple[str, ...] = ()
    program: Program | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How an environment ended: an exit `code` (0-255), or the `signal` number that killed it.

    Both None: unknown. `out_of_memory` is True where the kernel killed it for its memory limit.
    `unstartable` says why there was nothing that could be started, as an EntrypointError does.
    """

    id: str
    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False
    unstartable: str = ""


class SandboxObserver(Protocol):
    """Who is told what environments do."""

    def output(self, environment_id: str, chunk: bytes) -> None:
        """Bytes that the environment wrote to standard output or error, in order, cut anywhere."""

    def exited(self, how: Exit) -> None:
        """The environment is gone, by `stop` or by itself; told exactly once."""


class CodePreparer(Protocol):
    """Turns stored code and layers into what one kind of sandbox runs."""

    async def prepare(self, package: Package) -> Prepared:
        """What a SandboxSpec needs; idempotent, one at a time per package.

        Raises SandboxError if that runtime cannot run here (the message names what to install).
        """

    async def resolve_image(self, uri: str) -> str | None:
        """The digest (hex) of a container image at this moment; None if images do not run here.

        Raises ImageError if there is none.
        """

    async def runs(self, architecture: str) -> bool:
        """Whether programs made for an architecture, as AWS names it, run here, maybe emulated."""

    async def bare(self, runtime: str) -> str | None:
        """The `code` of a spare of that runtime; None if spares are not possible here.

        Raises SandboxError if that runtime cannot run here.
        """

    async def unpack(self, package: Package) -> Prepared | None:
        """Folders for `Sandbox.place`; None if they are too large to be placed quickly.

        Raises SandboxError.
        """

    async def prepare_ahead(self, package: Package) -> None:
        """Do what the first start will need, while the function is being made.

        Raises SandboxError.
        """

    def warning_for(self, package: Package) -> str | None:
        """What the log should say about how a package that was prepared runs here, if anything."""

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        """Remove what was prepared for any other code, or any other list of layers."""


class Sandbox(Protocol):
    """See the module's docstring for the lifecycle."""

    name: str

    async def open(self, observer: SandboxObserver) -> None:
        """Get ready; reap leftovers of dead servers. Raises SandboxError."""

    async def start(self, spec: SandboxSpec) -> None:
        """Start one environment. Raises SandboxError."""

    async def place(
        self, environment_id: str, package: Prepared, environment: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Give a spare its code; answers `environment` as it is inside. Raises SandboxError."""

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        """End one environment; returns when it is gone."""

    async def freeze(self, environment_id: str, *, frozen: bool) -> None:
        """Pause or resume all processes of an environment; memory and sockets stay."""

    async def reach(self, environment_id: str, port: int) -> tuple[str, int] | None:
        """Where the server reaches a TCP port on which this very environment listens.

        None if it does not listen there, or cannot be reached: never the address of anybody else.
        """

    def collect(self, environment_id: str) -> None:
        """Tell the observer now what an environment has written; without, it may take moments."""

    def peak_memory_mb(self, environment_id: str) -> int:
        """The most memory the environment has used so far (MB, rounded up); 0 if unknown."""

    async def close(self) -> None:
        """Stop everything that this server started."""
