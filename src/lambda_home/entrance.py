"""What stands at the doors: the gate of each port, and who answers behind it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lambda_home.access.audit import AuditLog
from lambda_home.access.callers import Callers
from lambda_home.access.cross_account import CrossAccount
from lambda_home.access.gate import Authentication, Believing, Gate
from lambda_home.access.hosts import HostRules
from lambda_home.access.keys import AccessKeys
from lambda_home.access.roles import Role
from lambda_home.access.sessions import Sessions
from lambda_home.access.signed import Signing
from lambda_home.arns import Scope
from lambda_home.clock import SystemClock, VirtualClock
from lambda_home.cloudwatch.app import LogsApi
from lambda_home.cloudwatch.operations import LogsBackend
from lambda_home.cloudwatch.subscriptions import Subscriptions
from lambda_home.companion.beside import Beside
from lambda_home.config import Settings
from lambda_home.direct_http import Head, Routes
from lambda_home.engine import Engine
from lambda_home.front.app import App, Front, counted
from lambda_home.front.direct import FrontRoutes
from lambda_home.front.environments import ByHostName
from lambda_home.functions import FunctionVersion
from lambda_home.gateway.exchange import Exchange
from lambda_home.gateway.function_urls import FunctionUrls
from lambda_home.gateway.path_proxy import PathProxy
from lambda_home.gateway.route_access import RouteAccess
from lambda_home.gateway.route_book import RouteBook, existing
from lambda_home.gateway.url_index import UrlIndex
from lambda_home.health import Health
from lambda_home.operations.reset import Reset
from lambda_home.user_api.app import UserApi
from lambda_home.user_api.audit_admin import audit_routes
from lambda_home.user_api.build_deploying import deploying
from lambda_home.user_api.builds_admin import build_routes
from lambda_home.user_api.clock_admin import Passage, clock_routes
from lambda_home.user_api.code_links import CodeLinks
from lambda_home.user_api.debug_admin import debug_routes
from lambda_home.user_api.invoke import InvokeRoutes
from lambda_home.user_api.keys_admin import key_routes
from lambda_home.user_api.logs_admin import log_routes
from lambda_home.user_api.metrics_routes import metrics_routes
from lambda_home.user_api.operations import Backend
from lambda_home.user_api.reset_admin import reset_routes
from lambda_home.user_api.response_stream import ResponseStreamEndpoint
from lambda_home.user_api.routes_admin import admin_routes
from lambda_home.user_api.secrets_admin import secret_routes
from lambda_home.user_api.sessions_admin import session_routes
from lambda_home.user_api.stats_admin import log_level_routes, stats_routes


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
    logs: LogsApi
    subscriptions: Subscriptions


def build_entrance(
    settings: Settings,
    engine: Engine,
    health: Health,
    version_at: Callable[[Head], FunctionVersion | None],
    audit: AuditLog,
    beside: Beside,
) -> Entrance:
    """Build both doors; `version_at` says whose environment sends a request."""
    clock = SystemClock()
    keys = AccessKeys(engine.resources, engine.vault, clock.monotonic, engine.temporary)
    sessions = Sessions(keys, clock.monotonic)
    apis, of_functions = _authentications(settings, keys, sessions)
    gate = Gate(_host_rules(settings), apis, audit.denied, of_functions)
    by_name = ByHostName(version_at, Role(settings.functions.role))
    inner_ones = beside.known(by_name)
    inner = Gate(inner_ones, inner_ones, audit.denied)
    invoker = engine.invoker
    others = CrossAccount(engine.policies)
    backend = _backend(settings, engine)
    streaming = ResponseStreamEndpoint(invoker, gate, others)
    user_api = UserApi(backend, streaming, gate, settings.defaults, health.report, engine.clock.now)
    engine.builds.deploy = deploying(backend, asyncio.get_running_loop())
    book = _route_book(settings, engine)
    logs, subscriptions = _logs(engine)
    for router in (
        admin_routes(book),
        secret_routes(engine.secrets, clock.now),
        key_routes(keys, clock.now),
        session_routes(keys, sessions, clock.monotonic),
        audit_routes(audit),
        log_routes(engine.logs, engine.registry.get, engine.clock.now),
        reset_routes(_reset(engine, book, beside, subscriptions)),
        metrics_routes(engine.statistics),
        stats_routes(engine.statistics),
        log_level_routes(engine.invocation_log),
        build_routes(engine.builds, backend),
        debug_routes(engine.debugging, engine.hot_reload),
    ):
        user_api.include_router(router)
    if isinstance(engine.clock, VirtualClock):
        passage = Passage(engine.clock, engine.events, engine.scheduler, engine.logs.sweep)
        user_api.include_router(clock_routes(passage))
    exchange = Exchange(invoker)
    is_open = settings.access.auth == "none"
    route_access = RouteAccess(gate, "NONE" if is_open else "AWS_IAM")
    proxy = PathProxy(book, exchange, route_access, engine.clock)
    index = UrlIndex(engine.configs, engine.policies)
    engine.changes.also(index.forget)
    urls = FunctionUrls(index, exchange, gate, engine.clock.now)
    statuses = engine.metrics.statuses
    routes = FrontRoutes(gate, InvokeRoutes(invoker, gate, others), urls, proxy, statuses)
    return Entrance(
        Door(
            counted(Front(gate, user_api, logs, beside.forwarder, audit.changed), statuses), routes
        ),
        Door(
            Front(inner, user_api, logs, beside.forwarder, audit.changed),
            InvokeRoutes(invoker, inner, others),
        ),
        logs,
        subscriptions,
    )


def _logs(engine: Engine) -> tuple[LogsApi, Subscriptions]:
    exists = existing(engine.registry, engine.aliases)
    subscriptions = Subscriptions(engine.logs, engine.resources, engine.invoker, exists)
    backend = LogsBackend(engine.logs, subscriptions, threading.Lock())
    return LogsApi(backend, engine.clock), subscriptions


def _authentications(
    settings: Settings, keys: AccessKeys, sessions: Sessions
) -> tuple[Authentication, Authentication]:
    """How callers of the APIs are known, and callers of functions that ask for signatures."""
    here = Scope(settings.aws.account_id, settings.aws.region)
    clock = SystemClock()
    believed = Callers(here) if settings.access.auth == "none" else None
    signing = Signing(
        keys, sessions, here.region, lambda: datetime.now(UTC), clock.monotonic, believed
    )
    return (signing if believed is None else Believing(believed)), signing


def _route_book(settings: Settings, engine: Engine) -> RouteBook:
    here = Scope(settings.aws.account_id, settings.aws.region)
    exists = existing(engine.registry, engine.aliases)
    book = RouteBook(engine.resources, here, SystemClock(), exists)
    book.load()
    return book


def _reset(engine: Engine, book: RouteBook, beside: Beside, subscriptions: Subscriptions) -> Reset:
    def reload() -> None:
        book.load()
        subscriptions.reload()
        engine.builds.forget_removed()

    return Reset(
        clearing=engine.clearing,
        spares=engine.scheduler.spares,
        events=engine.events,
        clear_logs=engine.logs.clear,
        reload_routes=reload,
        reset_companion=beside.reset,
    )


def _host_rules(settings: Settings) -> HostRules:
    server = settings.server
    own = (socket.gethostname(), server.bind)
    return HostRules(server.allowed_hosts, server.allowed_origins, own)


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
        hot_reload=engine.hot_reload,
    )
