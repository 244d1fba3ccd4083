"""Cross-origin requests to a route: preflights, and the headers of answers; pure.

As with HTTP APIs, a route that has CORS settings answers preflights itself, and what its function
says of CORS is left out. `*` is never sent together with credentials.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html,
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from dataclasses import dataclass

from lambda_home.gateway.messages import HttpResponse, TextFields

ANY = "*"
ANY_OF_SCHEME = frozenset({"http://*", "https://*"})
_CORS_FIELDS = "access-control-"
_SIMPLE_METHODS = frozenset({"GET", "HEAD", "POST"})  # the Fetch standard never asks for these


@dataclass(frozen=True, slots=True)
class Cors:
    """Who may use a route from pages of other sites, and how.

    `allow_origins` has origins in lower case, "*", "http://*" or "https://*"; `max_age` is in
    seconds.
    """

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool = False

    def allows_origin(self, origin: str) -> bool:
        """Whether pages of an origin may use the route."""
        origin = origin.lower()
        any_of_scheme = origin.partition("://")[0] + "://*"
        return any(allowed in {ANY, origin, any_of_scheme} for allowed in self.allow_origins)

    def allows_method(self, method: str) -> bool:
        """Whether such pages may use a method."""
        return ANY in self.allow_methods or method in self.allow_methods

    @property
    def varies(self) -> bool:
        """Whether answers differ by origin."""
        return self.allow_credentials or ANY not in self.allow_origins


def preflight(cors: Cors, origin: str, method: str, requested: str) -> HttpResponse:
    """The answer to a preflight for `method` and the header names that `requested` lists.

    For what is not allowed the headers that would allow it are missing, and the browser refuses.
    """
    fields: TextFields = []
    if cors.allows_origin(origin) and (cors.allows_method(method) or method in _SIMPLE_METHODS):
        fields = _origin_fields(cors, origin)
        # Browsers take "*" literally where credentials are sent: say what was asked for instead.
        methods = [method] if ANY in cors.allow_methods else cors.allow_methods
        if methods:
            fields.append(("access-control-allow-methods", ",".join(methods)))
        names = requested if ANY in cors.allow_headers else ",".join(cors.allow_headers)
        if names:
            fields.append(("access-control-allow-headers", names))
        if cors.max_age is not None:
            fields.append(("access-control-max-age", str(cors.max_age)))
    fields.append(("vary", "origin, access-control-request-method, access-control-request-headers"))
    return HttpResponse(204, fields)


def add_cors(response: HttpResponse, cors: Cors, origin: str | None) -> None:
    """Replace what a response says of CORS by what its route says; `origin` asked for it."""
    response.fields = [
        pair for pair in response.fields if not pair[0].lower().startswith(_CORS_FIELDS)
    ]
    if origin is not None and cors.allows_origin(origin):
        response.fields += _origin_fields(cors, origin)
        if cors.expose_headers:
            names = ",".join(cors.expose_headers)
            response.fields.append(("access-control-expose-headers", names))
    if cors.varies:
        response.fields.append(("vary", "origin"))


def _origin_fields(cors: Cors, origin: str) -> TextFields:
    fields = [("access-control-allow-origin", origin if cors.varies else ANY)]
    if cors.allow_credentials:
        fields.append(("access-control-allow-credentials", "true"))
    return fields
