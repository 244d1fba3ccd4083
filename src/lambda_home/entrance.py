"""What stands at the doors: the gate of each port, and who answers behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lambda_home.access.callers import Callers
from lambda_home.access.gate import Believing, Gate
from lambda_home.access.hosts import HostRules
from lambda_home.access.roles import Role
from lambda_home.arns import Scope
from lambda_home.clock import SystemClock
from lambda_home.config import Settings
from lambda_home.direct_http import Body, Head, Reply, Routes
from lambda_home.engine import Engine
from lambda_home.front.app import App, Front
from lambda_home.front.direct import FrontRoutes
from lambda_home.front.environments import ByHostName
from lambda_home.functions import FunctionVersion
from lambda_home.health import Health
from lambda_home.user_api.app import UserApi
from lambda_home.user_api.code_links import CodeLinks
from lambda_home.user_api.invoke import InvokeRoutes
from lambda_home.user_api.operations import Backend
from lambda_home.user_api.response_stream import ResponseStreamEndpoint


@dataclass(frozen=True, slots=True)
class Door:
    """Who serves a port: `routes` the hot paths, `app` all else."""

    app: App
    routes: Routes


@dataclass(frozen=True, slots=True)
class Entrance:
    """The doors of the user API's port, and of the runtime API's for functions that call AWS."""

    user: Door
    functions: Door


def build_entrance(
    settings: Settings,
    engine: Engine,
    health: Health,
    version_at: Callable[[Head], FunctionVersion | None],
) -> Entrance:
    """Build both doors; `version_at` says whose environment sends a request."""
    callers = Callers(Scope(settings.aws.account_id, settings.aws.region))
    gate = Gate(HostRules(), Believing(callers))
    by_name = ByHostName(version_at, Role.INVOKER)
    inner = Gate(by_name, by_name)
    invoker = engine.invoker
    backend = _backend(settings, engine)
    streaming = ResponseStreamEndpoint(invoker, gate)
    user_api = UserApi(backend, streaming, gate, settings.defaults, health.report)
    nothing = Nothing()
    routes = FrontRoutes(gate, InvokeRoutes(invoker, gate), nothing, nothing)
    return Entrance(
        Door(Front(gate, user_api, user_api), routes),
        Door(Front(inner, user_api, user_api), InvokeRoutes(invoker, inner)),
    )


class Nothing:
    """Routes that take nothing."""

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Leave it."""
        del head, reply
        return None


def _backend(settings: Settings, engine: Engine) -> Backend:
    return Backend(
        registry=engine.registry,
        configs=engine.configs,
        store=engine.store,
        deployer=engine.deployer,
        links=CodeLinks(SystemClock()),
        concurrency=settings.limits.max_global_concurrency,
        aliases=engine.aliases,
        provisioned=engine.provisioned,
        provisioner=engine.provisioner,
        spares=engine.scheduler.spares,
        services=engine.services,
        resources=engine.resources,
        layers=engine.layers,
        policies=engine.policies,
        rules=settings.functions,
        invoker=engine.invoker,
    )
