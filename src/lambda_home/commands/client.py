"""HTTP to a running server: signed, bounded, and with errors as one line."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode

from lambda_home.commands.endpoint import Access, access_of
from lambda_home.commands.failures import Failure, Refused, Unreachable, WrongUse

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 5.0
_LONGEST_ANSWER_S = 960.0  # the longest function may take 900 s
_FIRST_ERROR = 400
# What the locale cannot have is in words of the command line as the bytes that the shell gave.
_AS_GIVEN = "surrogateescape"
_NOT_FOUND = 404
_NO_FUNCTION = "ResourceNotFoundException: Function not found: "
_DENIED = frozenset({401, 403})
_NAMELESS = frozenset({"MissingAuthenticationTokenException", "UnrecognizedClientException"})


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: `path` is quoted already, `body` JSON-able or bytes."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Any = None
    headers: Mapping[str, str] | None = None
    service: str = "lambda"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value. Raises Failure."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            raise Failure(
                "The answer is not JSON: is it lambda-home that listens at --endpoint-url?"
            ) from None


class Client:
    """Talks to one server; a context manager."""

    def __init__(self, access: Access) -> None:
        import httpx  # noqa: PLC0415  a tenth of a second that --help and serve need not wait for

        self.access = access
        self._errors = httpx.RequestError
        timeout = httpx.Timeout(_LONGEST_ANSWER_S, connect=_CONNECT_S)
        self._http = httpx.Client(timeout=timeout, verify=_trust(access), trust_env=False)

    def __enter__(self) -> Client:
        """Nothing is opened before the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, request: Request) -> Answer:
        """One exchange. Raises Refused for an error of the server's, Unreachable for no server."""
        with self._opened(request) as response:
            return Answer(response.status_code, _lower(response), response.read())

    def json(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The value of an answer in JSON; None for one without a body."""
        return self.send(Request(method, path, query, body)).json()

    @contextmanager
    def lines(self, request: Request) -> Iterator[Iterator[str]]:
        """The lines of an answer, while they come."""
        with self._opened(request) as response:
            yield response.iter_lines()

    @contextmanager
    def _opened(self, request: Request) -> Iterator[httpx.Response]:
        method, url, headers, body = self._signed(request)
        try:
            with self._http.stream(method, url, headers=headers, content=body) as response:
                if response.status_code >= _FIRST_ERROR:
                    self._refuse(response.status_code, _lower(response), response.read())
                yield response
        except self._errors as error:
            raise Unreachable(_unreachable(self.access.endpoint, _reason(error))) from error

    def _signed(self, request: Request) -> tuple[str, str, dict[str, str], bytes]:
        access = self.access
        query = urlencode(request.query or {}, quote_via=quote, errors=_AS_GIVEN)
        query = f"?{query}" if query else ""
        url = f"{access.endpoint}{request.path}{query}"
        headers = dict(request.headers or {})
        body = request.body
        if body is None:
            body = b""
        elif not isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
            body = _utf8(body)
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        elif access.key_id:
            headers = _with_signature(
                access, Request(request.method, url, None, body, headers, request.service)
            )
        return request.method, url, headers, body

    def _refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
        code, message = _error_in(headers, body)
        text = f"{code}: {message}" if code and message else code or message
        text = text or f"The server at {self.access.endpoint} answered {status}."
        if status == _NOT_FOUND and text.startswith(_NO_FUNCTION):
            text += " (see lambda-home list)"
        if status in _DENIED and (code in _NAMELESS or not self.access.key_id):
            text = text.rstrip(".") + (
                ". Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of this server"
                " (lambda-home keys create)."
            )
        raise Refused(status, code, text)


@contextmanager
def connected(endpoint: str | None, region: str | None = None) -> Iterator[Client]:
    """A client of the server that flags and environment name."""
    with Client(access_of(os.environ, endpoint, region)) as client:
        yield client


def quoted(name: str) -> str:
    """A name as one segment of a path. Raises WrongUse for one that is none."""
    if not name or name in {".", ".."}:
        raise WrongUse(f"{name!r} is not a name: give that of something that is listed.")
    return quote(name, safe="", errors=_AS_GIVEN)


def _utf8(document: Any) -> bytes:
    """A document as JSON. Raises WrongUse for words of the command line that are no UTF-8."""
    written = json.dumps(document, ensure_ascii=False).encode(errors=_AS_GIVEN)
    try:
        written.decode()
    except UnicodeDecodeError as error:
        raise WrongUse(f"What was given is not UTF-8 ({error.reason}): correct it.") from error
    return written


def _with_signature(access: Access, request: Request) -> dict[str, str]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415  only for callers with a key
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    unsigned = AWSRequest(request.method, request.path, dict(request.headers or {}), request.body)
    credentials = Credentials(access.key_id, access.secret, access.session_token or None)
    SigV4Auth(credentials, request.service, access.region).add_auth(unsigned)
    return {name: str(value) for name, value in unsigned.headers.items()}


def _trust(access: Access) -> ssl.SSLContext | bool:
    """Certificates of authorities; they are not read where there is no TLS."""
    if not access.endpoint.startswith("https:"):
        return False
    try:
        return ssl.create_default_context(cafile=access.ca_bundle or None)
    except OSError as error:
        raise WrongUse(
            f"AWS_CA_BUNDLE: {access.ca_bundle} cannot be read: {error.strerror}."
        ) from error


def _lower(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _error_in(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """Code and message of an error in one of AWS's shapes."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    code = headers.get("x-amzn-errortype") or str(document.get("__type") or "")
    found = next(
        (document[key] for key in ("message", "Message", "detail") if document.get(key)), ""
    )
    return code.split(":")[0].rpartition("#")[2], str(found)


def _unreachable(endpoint: str, reason: str) -> str:
    if "SSL:" in reason:
        return (
            f"TLS with {endpoint} fails ({reason}): begin the endpoint with http: if the server"
            " has no certificate, else name its authority's file in AWS_CA_BUNDLE."
        )
    return (
        f"No server answers at {endpoint} ({reason}): start one with lambda-home serve, or name"
        " another with --endpoint-url."
    )


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return re.sub(r"\[Errno -?\d+\] ", "", " ".join(text.split())).rstrip(".")
