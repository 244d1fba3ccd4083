"""What both APIs stand on: every object built once, and the work that goes on by itself."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lambda_home.access.function_credentials import FunctionCredentials
from lambda_home.access.keys import EnvironmentCredentials
from lambda_home.access.roles import Role
from lambda_home.builds.queue import Builds, QueueRules
from lambda_home.builds.workshop import workshop
from lambda_home.clock import Clock, SystemClock
from lambda_home.config import FunctionSettings, Settings
from lambda_home.debugging.sessions import Debugging, Running, RunningFunctions, Sessions
from lambda_home.hot_reload.folders import FolderRules
from lambda_home.hot_reload.reloading import HotReload, HotReloadRules, Parts
from lambda_home.invoker.admission import Admission
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.invoker.delivery import Deliverer
from lambda_home.invoker.event_settings import EventSettings
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.provisioning import Provisioner, Sources
from lambda_home.invoker.resolution import Resolver
from lambda_home.invoker.retries import Policy
from lambda_home.invoker.routing import EvenDraws
from lambda_home.invoker.sizes import SizesInUse
from lambda_home.logs import LogStore
from lambda_home.metrics import Metrics
from lambda_home.packager.deployer import Deployer
from lambda_home.packager.store import CodeStore
from lambda_home.registry.aliases import Aliases
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.clearing import Clearing
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.layers import Layers
from lambda_home.registry.policies import Policies
from lambda_home.registry.provisioned import ProvisionedConcurrency
from lambda_home.registry.resources import Resources
from lambda_home.registry.secrets import Secrets
from lambda_home.sandbox_choice import Chosen
from lambda_home.scheduler.machinery import Credentials, Machinery, NoCredentials
from lambda_home.scheduler.pool import PoolLimits
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.scheduler.spares import SpareLimits
from lambda_home.server_log import InvocationLog
from lambda_home.services import AwsServices
from lambda_home.tracing import Tracing
from lambda_home.user_api.statistics import Observed, Statistics
from lambda_home.vault import Vault

# A container with Python, its shim of the Docker daemon included; as a process it is less.
_MB_PER_SPARE = 25


@dataclass(frozen=True, slots=True)
class Engine:
    """What both APIs stand on."""

    registry: FunctionRegistry
    configs: FunctionConfigs
    aliases: Aliases
    provisioned: ProvisionedConcurrency
    store: CodeStore
    deployer: Deployer
    scheduler: Scheduler
    provisioner: Provisioner
    invoker: Invoker
    events: AsyncQueue
    services: AwsServices
    resources: Resources
    layers: Layers
    policies: Policies
    temporary: EnvironmentCredentials
    changes: Changes
    vault: Vault
    secrets: Secrets
    clearing: Clearing
    logs: LogStore
    clock: Clock
    metrics: Metrics
    statistics: Statistics
    invocation_log: InvocationLog
    tracing: Tracing | None
    builds: Builds
    hot_reload: HotReload
    debugging: Debugging

    async def work(self, stack: AsyncExitStack, grace_s: float) -> None:
        """Begin what goes on by itself; `stack` ends it, running invocations get `grace_s`."""
        stack.push_async_callback(asyncio.to_thread, self.invocation_log.close)
        if self.tracing is not None:
            stack.push_async_callback(asyncio.to_thread, self.tracing.close)
        stack.push_async_callback(self.changes.close)
        stack.push_async_callback(self.scheduler.close, grace_s)
        if self.scheduler.spares.on:  # else nobody asks for sizes
            sizes = SizesInUse(self.registry, self.scheduler.use_sizes)
            self.changes.also(sizes.changed)
            await sizes.open()
            stack.push_async_callback(sizes.close)
        self.deployer.initialise = self.scheduler.restoring.take
        await self.deployer.open(self.debugging)
        stack.push_async_callback(self.debugging.close)
        stack.push_async_callback(self.deployer.close)
        await self.hot_reload.open()
        stack.push_async_callback(self.hot_reload.close)
        await stack.enter_async_context(self.provisioner)
        stack.callback(self.services.close)
        await self.events.open()
        stack.push_async_callback(self.events.close)
        await asyncio.to_thread(self.builds.open)
        stack.push_async_callback(asyncio.to_thread, self.builds.close)


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives the server, in its data directory."""

    database: Database
    store: CodeStore
    logs: LogStore
    vault: Vault
    builds: Path


def build(settings: Settings, kept: Kept, chosen: Chosen, clock: Clock) -> Engine:
    """Build everything; nothing runs yet."""
    database, store, logs, vault = kept.database, kept.store, kept.logs, kept.vault
    temporary = EnvironmentCredentials()
    changes = Changes(asyncio.get_running_loop())
    registry = FunctionRegistry(database, changes.told)
    configs = FunctionConfigs(database, changes.told)
    resources = Resources(database)
    secrets = Secrets(database, changes.told, vault)
    deployer = Deployer(
        registry, chosen.preparer, store, transition_s=settings.functions.transition_ms / 1000
    )
    metrics = Metrics()
    invocation_log = InvocationLog(on=settings.logging.invocations)
    tracing = Tracing(settings.tracing.otlp_endpoint) if settings.tracing.otlp_endpoint else None
    scheduler = Scheduler(
        Machinery(
            sandbox=chosen.sandbox,
            preparer=chosen.preparer,
            logs=logs,
            clock=clock,
            limits=PoolLimits(
                soft_s=settings.idle.soft_ms / 1000,
                hard_s=settings.idle.hard_ms / 1000,
                init_s=settings.sandbox.init_timeout_ms / 1000,
            ),
            max_parallel_starts=settings.sandbox.max_parallel_starts,
            spares=SpareLimits(
                settings.spares.per_size, min(settings.spares.most, _affordable_spares())
            ),
            forecasting=settings.prewarm.ewma,
            own_endpoint=settings.functions.endpoint_url,
            secrets=secrets.values,
            credentials=_credentials(settings, temporary),
            metrics=metrics,
            observers=(invocation_log, *((tracing,) if tracing else ())),
            most_logged_mb=settings.logs.max_invocation_mb,
        )
    )
    admission = Admission(settings.limits.max_global_concurrency)
    aliases = Aliases(database, changes.told)
    provisioned = ProvisionedConcurrency(database, changes.told)
    sessions = Sessions()
    run = RunningFunctions(database, changes.told, sessions)
    sources = Sources(run, configs, aliases)
    provisioner = Provisioner(
        sources,
        scheduler,
        prewarm_on_create=settings.prewarm.on_create,
        most_environments=settings.limits.max_global_concurrency,
    )
    resolver = Resolver(
        sources,
        deployer,
        admission,
        provisioner,
        clock.monotonic,
        strict_states=settings.functions.strict_states,
    )
    draw = EvenDraws(random.random())  # noqa: S311  nothing secret
    invoker = Invoker(run, resolver, admission, scheduler, clock.monotonic, draw)
    retrying = settings.asynchronous
    policy = Policy(retrying.retry_base_s, retrying.max_event_age_s)
    event_settings = EventSettings(registry, configs, policy)
    changes.also(event_settings.forget)
    services = AwsServices(
        settings.aws.endpoint_url,
        settings.aws.endpoints,
        names_accounts=bool(settings.aws.companion),
    )
    events = AsyncQueue(
        EventStore(database),
        invoker,
        clock,
        event_settings,
        Deliverer(invoker, services),
        retrying.workers,
    )
    invoker.events = events
    invoker.throttles = metrics
    if tracing is not None:
        invoker.traced = tracing.begin
    parts = Observed(
        registry, scheduler, events, resolver, logs, chosen.sandbox.name, chosen.statistics
    )
    changes.listen(invoker, deployer, provisioner)
    parts_of_reload = Parts(registry, configs, store, deployer, logs, clock)
    hot_reload = HotReload(parts_of_reload, _hot_reload_rules(settings.functions))
    changes.also(hot_reload.registry_changed)
    running = Running(scheduler, clock, chosen.sandbox.name == "docker")
    debugging = Debugging(sessions, registry, store, running, changes.told)
    return Engine(
        registry=registry,
        configs=configs,
        aliases=aliases,
        provisioned=provisioned,
        store=store,
        deployer=deployer,
        scheduler=scheduler,
        provisioner=provisioner,
        invoker=invoker,
        events=events,
        services=services,
        resources=resources,
        layers=Layers(database),
        policies=Policies(database, changes.told),
        temporary=temporary,
        changes=changes,
        vault=vault,
        secrets=secrets,
        clearing=Clearing(database, changes.told),
        logs=logs,
        clock=clock,
        metrics=metrics,
        statistics=Statistics(metrics, parts, clock.monotonic),
        invocation_log=invocation_log,
        tracing=tracing,
        hot_reload=hot_reload,
        debugging=debugging,
        builds=_builds(settings, kept, resources, chosen.sandbox.name),
    )


def _builds(settings: Settings, kept: Kept, resources: Resources, sandbox: str) -> Builds:
    rules = settings.builds
    making = partial(workshop, settings, kept.builds, sandbox)
    queue_rules = QueueRules(rules.workers, rules.keep, rules.log_mb)
    return Builds(resources, kept.builds, making, queue_rules, SystemClock().now)


def _hot_reload_rules(functions: FunctionSettings) -> HotReloadRules:
    roots = tuple(os.path.realpath(root) for root in functions.hot_reload_folders)
    folders = FolderRules(functions.hot_reload_bucket, roots)
    return HotReloadRules(folders, functions.hot_reload_ignore, functions.hot_reload_poll_ms)


def _credentials(settings: Settings, temporary: EnvironmentCredentials) -> Credentials:
    """What functions sign with: anything, where nobody verifies it."""
    if settings.access.auth == "none":
        return NoCredentials()
    return FunctionCredentials(temporary, Role(settings.functions.role))


def _affordable_spares() -> int:
    """How many spares an eighth of this machine's memory holds."""
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return memory_mb // 8 // _MB_PER_SPARE


class Changes:
    """Carries the registry's changes, told in any thread, to those on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._invoker: Invoker | None = None
        self._deployer: Deployer | None = None
        self._provisioner: Provisioner | None = None
        self._also: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, invoker: Invoker, deployer: Deployer, provisioner: Provisioner) -> None:
        """Set who is told."""
        self._invoker, self._deployer = invoker, deployer
        self._provisioner = provisioner

    def also(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change, on the event loop."""
        self._also.append(changed)

    def told(self, change: Change) -> None:
        """A change was committed. What the change outdates is forgotten before it is answered."""
        self._loop.call_soon_threadsafe(self._spread, change)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spread(self, change: Change) -> None:
        if self._invoker is None or self._deployer is None or self._provisioner is None:
            return
        self._invoker.forget(change)
        self._deployer.changed()
        self._provisioner.changed(change)
        for changed in self._also:
            changed()
        settled = change.kind is ChangeKind.SETTLED
        follow = self._invoker.settled if settled else self._invoker.changed
        task = self._loop.create_task(follow(change))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
