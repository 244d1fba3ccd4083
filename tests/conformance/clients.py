"""The runtime clients of the conformance suite: ours, and AWS's own without a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conformance import packages

PYTHON_TRACE = "stackTrace"
NODE_TRACE = "trace"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a client tells it: patterns of type and message, and where the stack is."""

    kind: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """A runtime client and what it promises; `slow` ones are compiled, or start slowly.

    `program` brings a layer with the language. `pieces` is the handler that streams, or "" where
    the language has no streaming. Not all `keeps_nulls` of objects, nor `logs_errors` by itself.
    """

    name: str
    title: str
    runtime: str
    package: Callable[[], bytes]
    error: Failure
    init_error: Failure
    handler: str = "app.handler"
    pieces: str = ""
    pieces_event: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    names_itself: bool = True
    library: bool = False
    keeps_nulls: bool = True
    logs_errors: bool = True
    spare: bool = False
    program: str = ""
    memory_mb: int = 256
    slow: bool = False


def _exits(status: int) -> Failure:
    """A program that ends by itself before it asks for work."""
    message = rf"RequestId: [0-9a-f-]{{36}} Error: Runtime exited with error: exit status {status}"
    return Failure(r"Runtime\.ExitError", message)


_PYTHON_ERROR = Failure("ValueError", "as asked: ü", PYTHON_TRACE)
_PYTHON_BROKEN = Failure("ValueError", "broken: ü", PYTHON_TRACE)
_NODE_ERROR = Failure("RangeError", "as asked: ü", NODE_TRACE)
_NODE_BROKEN = Failure("RangeError", "broken: ü", NODE_TRACE)
_WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}


def _typescript(name: str, title: str) -> Client:
    """A program that runs TypeScript as it is, in a layer."""
    return Client(
        name=name,
        title=title,
        runtime="provided.al2023",
        package=packages.typescript,
        error=_NODE_ERROR,
        init_error=_NODE_BROKEN,
        names_itself=False,
        program=name,
        memory_mb=512,
        slow=True,
    )


CLIENTS = (
    Client(
        name="python",
        title="Python",
        runtime="python3.11",
        package=packages.python,
        error=_PYTHON_ERROR,
        init_error=_PYTHON_BROKEN,
        pieces="pieces.handler",
        library=True,
        spare=True,
    ),
    Client(
        name="nodejs",
        title="Node.js",
        runtime="nodejs20.x",
        package=packages.nodejs,
        error=_NODE_ERROR,
        init_error=_NODE_BROKEN,
        pieces="app.pieces",
        library=True,
        spare=True,
    ),
    Client(
        name="ruby",
        title="Ruby",
        runtime="ruby3.3",
        package=packages.ruby,
        error=Failure("Function<ArgumentError>", "as asked: ü", "stackTrace"),
        init_error=Failure("Init<ArgumentError>", "broken: ü", "stackTrace"),
        library=True,
        spare=True,
    ),
    Client(
        name="php",
        title="PHP (layer)",
        runtime="provided.al2023",
        package=packages.php,
        error=Failure("DomainException", "as asked: ü", "stackTrace"),
        init_error=Failure("DomainException", "broken: ü", "stackTrace"),
        names_itself=False,
        program="php",
        slow=True,  # its layer is large
    ),
    _typescript("deno", "Deno (layer)"),
    _typescript("bun", "Bun (layer)"),
    Client(
        name="awslambdaric",
        title="AWS's awslambdaric (Python)",
        runtime="python3.11",
        package=packages.awslambdaric,
        error=_PYTHON_ERROR,
        init_error=_PYTHON_BROKEN,
        environment=_WRAPPED,
        library=True,
    ),
    Client(
        name="aws-lambda-ric",
        title="AWS's aws-lambda-ric (Node.js)",
        runtime="nodejs20.x",
        package=packages.aws_lambda_ric,
        error=_NODE_ERROR,
        init_error=_NODE_BROKEN,
        pieces="app.pieces",
        environment=_WRAPPED,
        library=True,
        slow=True,
    ),
    Client(
        name="java",
        title="AWS's runtime interface client (Java)",
        runtime="java17",
        package=packages.java,
        error=Failure(r"java\.lang\.IllegalStateException", "as asked: ü", "stackTrace"),
        init_error=Failure(
            r"java\.lang\.ExceptionInInitializerError", r"Error loading class app\.App"
        ),
        keeps_nulls=False,
        handler="app.App::handle",
        memory_mb=512,
        slow=True,
    ),
    Client(
        name="go",
        title="AWS's aws-lambda-go",
        runtime="provided.al2023",
        package=packages.go,
        error=Failure("errorString", "as asked: ü"),
        init_error=_exits(4),
        handler="bootstrap",
        pieces="bootstrap",
        pieces_event={"do": "pieces"},
        names_itself=False,
        slow=True,
    ),
    Client(
        name="rust",
        title="AWS's lambda_runtime (Rust)",
        runtime="provided.al2023",
        package=packages.rust,
        error=Failure(".+", "as asked: ü"),
        logs_errors=False,
        init_error=_exits(4),
        handler="bootstrap",
        pieces="bootstrap",
        pieces_event={"do": "pieces"},
        names_itself=False,
        slow=True,
    ),
)
