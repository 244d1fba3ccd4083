"""Function URL configurations as documents: making, changing and showing them; pure.

A document has `UrlId`, and the members of AWS's answers as far as they were sent. The URL itself is
made when it is shown: it names the port at which this server was reached. Rules are those recorded
on AWS unless a comment says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from lambda_home.arns import FunctionRef

Document = Mapping[str, Any]

URL_ID_LENGTH: Final = 32
URL_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"

_SETTINGS = ("AuthType", "Cors", "InvokeMode")
_HEADER_LISTS = frozenset({"AllowHeaders", "ExposeHeaders"})
_DEFAULT_MODE = "BUFFERED"


def new_document(url_id: str, given: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The configuration that a create asks for."""
    made = {"UrlId": url_id, "CreationTime": now, "LastModifiedTime": now}
    return {**made, **_settings(given)}


def changed_document(document: Document, given: Mapping[str, Any], now: str) -> dict[str, Any]:
    """What an update makes of a configuration: what is not given stays, empty `Cors` goes away."""
    kept = dict(document)
    if given.get("Cors") is not None:
        kept.pop("Cors", None)
    return {**kept, **_settings(given), "LastModifiedTime": now}


def created(document: Document, ref: FunctionRef, base_url: str) -> dict[str, Any]:
    """The answer to a create, which has no time of modification."""
    members = changed(document, ref, base_url)
    del members["LastModifiedTime"]
    return members


def changed(document: Document, ref: FunctionRef, base_url: str) -> dict[str, Any]:
    """The answer to an update: an invoke mode only if one was ever sent."""
    members = {name: value for name, value in document.items() if name != "UrlId"}
    url = function_url(base_url, document["UrlId"], ref.scope.region)
    return {**members, "FunctionArn": ref.qualified_arn, "FunctionUrl": url}


def shown(document: Document, ref: FunctionRef, base_url: str) -> dict[str, Any]:
    """A configuration as Get and List answer it: always with an invoke mode."""
    return {"InvokeMode": _DEFAULT_MODE, **changed(document, ref, base_url)}


def function_url(base_url: str, url_id: str, region: str) -> str:
    """The URL of a function, at the scheme and port of `base_url`.

    The host is one below `localhost`, which resolves to the own machine everywhere.
    """
    try:
        port = urlsplit(base_url).port
    except ValueError:  # a Host header may say anything
        port = None
    scheme = base_url.partition(":")[0]
    host = f"{url_id}.lambda-url.{region}.localhost"
    return f"{scheme}://{host}{'' if port is None else f':{port}'}/"


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: given[name] for name in _SETTINGS if given.get(name) is not None}
    cors = {
        name: [value.lower() for value in values] if name in _HEADER_LISTS else values
        for name, values in (found.pop("Cors", None) or {}).items()
        if values is not None
    }
    # AWS writes names of headers in lower case (seen on AWS in several reports).
    return {**found, "Cors": cors} if cors else found
