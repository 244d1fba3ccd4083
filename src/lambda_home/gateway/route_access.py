"""Who may use a route: asks the gate."""

from __future__ import annotations

from typing import Any

from lambda_home.access.gate import Gate
from lambda_home.arns import FunctionRef
from lambda_home.direct_http import Head
from lambda_home.gateway.routes import Route
from lambda_home.gateway.url_rules import iam_of

_ACTION = "routes:invoke"


class RouteAccess:
    """The `path_proxy.Authorizer` of a server; `default` is for routes that say nothing."""

    def __init__(self, gate: Gate, default: str) -> None:
        self._gate = gate
        self._default = default

    def check(
        self, head: Head, body: bytes, ref: FunctionRef, route: Route | None
    ) -> dict[str, Any] | None:
        """Let anybody in, or whoever has signed and may. Raises ApiError."""
        if route is None:  # nobody has made it public, so no page of another site may call it
            self._gate.same_site(head)
        authorization = None if route is None else route.authorization
        if (authorization or self._default) == "NONE":
            return None
        if b"authorization" not in head.headers and b"X-Amz-Signature" not in head.query:
            self._gate.same_site(head)  # a session's cookie comes along from any page
        caller = self._gate.identify(head).prove(body)
        self._gate.allow(caller, _ACTION, ref.qualified_arn)
        return iam_of(caller)
