"""What an operation is: a coroutine from the caller's scope and parameters to a result.

Operations register themselves under AWS's name. Those of AWS's model that nobody registers answer
501, so that a client learns at once what is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lambda_home.arns import FunctionRef, Scope
from lambda_home.config import FunctionSettings
from lambda_home.hot_reload.reloading import HotReload
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.provisioning import Provisioner
from lambda_home.packager.deployer import Deployer
from lambda_home.packager.store import CodeStore
from lambda_home.registry.aliases import Aliases
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.layers import Layers
from lambda_home.registry.policies import Policies
from lambda_home.registry.provisioned import ProvisionedConcurrency
from lambda_home.registry.resources import Resources
from lambda_home.scheduler.spares import SpareKeeper
from lambda_home.services import Services
from lambda_home.user_api.code_links import CodeLinks


@dataclass(frozen=True, slots=True)
class Backend:
    """What operations work with. `concurrency` is the account's concurrent executions."""

    registry: FunctionRegistry
    configs: FunctionConfigs
    store: CodeStore
    deployer: Deployer
    links: CodeLinks
    concurrency: int
    aliases: Aliases
    provisioned: ProvisionedConcurrency
    provisioner: Provisioner
    spares: SpareKeeper
    services: Services
    resources: Resources
    layers: Layers
    policies: Policies
    rules: FunctionSettings
    invoker: Invoker
    hot_reload: HotReload


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who calls, with what, the base URL that it was sent to, and its own id."""

    scope: Scope
    params: Mapping[str, Any]
    base_url: str
    request_id: str = ""

    def ref(self) -> FunctionRef:
        """The function that FunctionName and Qualifier name; raises as FunctionRef.parse."""
        return FunctionRef.parse(
            self.scope, self.params["FunctionName"], self.params.get("Qualifier")
        )


Result = dict[str, Any] | None
Handler = Callable[[Backend, Call], Awaitable[Result]]
HANDLERS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    """Register a coroutine as the handler of AWS's operation `name`."""

    def register(handler: Handler) -> Handler:
        if name in HANDLERS:
            raise ValueError(f"{name} has two handlers")
        HANDLERS[name] = handler
        return handler

    return register
