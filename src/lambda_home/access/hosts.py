"""From where requests may come: Host against DNS rebinding, Origin against other sites; pure.

A page that a browser shows can send requests to this server. Two rules keep it out. The Host header
must be an address, a name of this machine or one that is configured: a name of the attacker's own
that resolves to this machine (DNS rebinding) is none of these. And the APIs take no request that a
page of another site sends, because they would take it for one of their user's.

Sources: RFC 9110 section 7.2 and RFC 9112 section 3.2 (Host), RFC 6454 (origins), RFC 6761
(localhost), https://www.w3.org/TR/fetch-metadata/, https://fetch.spec.whatwg.org/ (CORS).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import AccessDeniedException, ApiError, ValidationException

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<rest>[^/?#@\s]+)", re.IGNORECASE)
_TOKENS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SAFE_SUFFIXES: Final = (".localhost", ".on.aws")  # the latter is AWS's own, for function URLs
_HIGHEST_PORT: Final = 65_535
_MOST_JUDGED: Final = 1024
_LONGEST_SHOWN: Final = 100
_OWN_SITE: Final = frozenset({b"same-origin", b"none"})
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_EXPOSED: Final = (
    b"x-amzn-requestid, x-amzn-errortype, x-amz-executed-version, x-amz-function-error,"
    b" x-amz-log-result, x-amzn-remapped-content-type"
)
_PREFLIGHT_S: Final = 600

Authority = tuple[str, int | None]


class HostRules:
    """The rules of one server; remembers Host headers that it has judged.

    `allowed_hosts` are names, or suffixes such as ".example.org", which stands for that name and
    all below it. `own` are further names of this machine. `allowed_origins` are written as
    browsers write them: "https://console.example.org".
    """

    def __init__(
        self,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        own: Iterable[str] = (),
    ) -> None:
        names = [_plain(name) for name in (*allowed_hosts, *own) if name]
        self._names = frozenset(name.lstrip(".") for name in names)
        self._suffixes = (*_SAFE_SUFFIXES, *(name for name in names if name.startswith(".")))
        self._origins = frozenset(map(_origin, allowed_origins)) - {None}
        self._judged: dict[bytes, ApiError | None] = {}

    def check_host(self, head: Head) -> None:
        """Refuse what is not addressed to this server.

        Raises AccessDeniedException for a name that is not ours, ValidationException for a Host
        header that is missing, repeated or malformed.
        """
        host = head.headers.get(b"host")
        if host is None or len(head.fields) > len(head.headers):
            _one_host(head)
        try:
            error = self._judged[host or b""]
        except KeyError:
            error = self._judge(host or b"")
        if error is not None:
            raise type(error)(error.message)

    def check_origin(self, head: Head) -> None:
        """Refuse a request to an API that a page of another site sends.

        Raises AccessDeniedException. A browser says where a request comes from in Origin, and
        without one in Sec-Fetch-Site; a link that is followed is let in, since nothing is changed
        by GET. Programs send neither header. No API here speaks WebSocket.
        """
        headers = head.headers
        if b"websocket" in headers.get(b"upgrade", b"").lower():
            raise AccessDeniedException("This API does not speak WebSocket.")
        origin = headers.get(b"origin")
        if origin is not None:
            if not self.is_allowed(head):
                raise AccessDeniedException(
                    f"The origin {_shown(origin)} may not use this API: add it to"
                    " server.allowed_origins to let its pages in."
                )
            return
        site = headers.get(b"sec-fetch-site")
        if site is None or site in _OWN_SITE or _is_navigation(head):
            return
        raise AccessDeniedException(
            "Pages of other sites may not use this API: add their origin to"
            " server.allowed_origins to let them in."
        )

    def is_allowed(self, head: Head) -> bool:
        """Whether the Origin of a request is this server's own, or one that is configured."""
        if len(head.fields) > len(head.headers) and _count(head, b"origin") > 1:
            return False
        found = _origin(head.headers[b"origin"].decode("latin-1"))
        if found is None:
            return False
        return found in self._origins or found == _own_origin(head)

    def cors_headers(self, head: Head) -> FieldList:
        """Headers that let a configured origin's page read an answer; empty for other requests.

        Credentials of the browser's are not allowed: such a page signs its requests itself.
        """
        origin = head.headers.get(b"origin")
        if origin is None or not self._is_configured(origin):
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"origin"),
        ]

    def preflight(self, head: Head) -> FieldList | None:
        """The headers of a 204 to the preflight of a configured origin; None for all else."""
        headers = head.headers
        origin = headers.get(b"origin")
        if head.method != b"OPTIONS" or b"access-control-request-method" not in headers:
            return None
        if origin is None or not self._is_configured(origin):
            return None
        answer = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", b"%d" % _PREFLIGHT_S),
            (b"vary", b"origin, access-control-request-headers"),
        ]
        asked = headers.get(b"access-control-request-headers", b"").strip()
        if asked and _TOKENS.fullmatch(asked):
            answer.append((b"access-control-allow-headers", asked))
        if headers.get(b"access-control-request-private-network") == b"true":
            answer.append((b"access-control-allow-private-network", b"true"))
        return answer

    def _is_configured(self, origin: bytes) -> bool:
        return _origin(origin.decode("latin-1")) in self._origins

    def _judge(self, header: bytes) -> ApiError | None:
        if len(self._judged) >= _MOST_JUDGED:
            self._judged.clear()
        error = self._judged[header] = self._judgement(header)
        return error

    def _judgement(self, header: bytes) -> ApiError | None:
        found = _authority(header.decode("latin-1"))
        if found is None:
            return ValidationException(
                f"The Host header {_shown(header)} is malformed: it must be a name or an address,"
                " and may have a port."
            )
        host = found[0]
        if _is_address(host) or host == "localhost" or host in self._names:
            return None
        if host.endswith(self._suffixes):
            return None
        return AccessDeniedException(
            f"The host name {_shown(host.encode('latin-1'))} is not one of this server's: add it"
            " to server.allowed_hosts to be reached by it."
        )


def _one_host(head: Head) -> None:
    if b"host" not in head.headers:
        raise ValidationException("The Host header is missing.")
    if _count(head, b"host") > 1:
        raise ValidationException("The Host header must be there once.")


def _count(head: Head, name: bytes) -> int:
    return sum(name == field for field, _ in head.fields)


def _is_navigation(head: Head) -> bool:
    """Whether a user follows a link, or opens a window."""
    return (
        head.method in {b"GET", b"HEAD"}
        and head.headers.get(b"sec-fetch-mode") == b"navigate"
        and head.headers.get(b"sec-fetch-dest") == b"document"
    )


def _authority(text: str) -> Authority | None:
    """Host, in lower case, and port; None for what is no `host[:port]`."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > _HIGHEST_PORT:
        return None
    host = _plain(match["host"])
    if not host.strip(".") or ".." in host or host.startswith("."):
        return None
    return None if host.startswith("[") and not _is_address(host) else (host, port)


def _plain(name: str) -> str:
    """A name in lower case, without the dot of the root."""
    return name.lower().removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        else:
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a serialised origin; None for `null` and whatever is none."""
    match = _ORIGIN.fullmatch(text)
    found = _authority(match["rest"]) if match else None
    if match is None or found is None:
        return None
    scheme = match["scheme"].lower()
    return scheme, found[0], found[1] or _DEFAULT_PORTS[scheme]


def _own_origin(head: Head) -> tuple[str, str, int] | None:
    found = _authority(head.headers.get(b"host", b"").decode("latin-1"))
    if found is None or head.scheme not in _DEFAULT_PORTS:
        return None
    return head.scheme, found[0], found[1] or _DEFAULT_PORTS[head.scheme]


def _shown(value: bytes) -> str:
    """What a client sent, as far as it can stand in one line."""
    text = value[:_LONGEST_SHOWN].decode("latin-1")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text) or '""'
