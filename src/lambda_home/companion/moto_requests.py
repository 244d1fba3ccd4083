"""Requests as moto understands them: whose they are, and which bucket they mean.

moto knows accounts by a header of its own, services by signatures alone, and takes the first label
of any host name for a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from lambda_home.companion.targets import account_in, bucket_in, service_of
from lambda_home.direct_http import Head

Environ = dict[str, Any]
Start = Callable[..., Any]
WsgiApp = Callable[[Environ, Start], Any]

_ACCOUNT = "HTTP_X_MOTO_ACCOUNT_ID"
_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.")
_NOT_FOUND = b'{"message": "moto\'s own API is not for callers of AWS\'s."}'


class Requests:
    """A WSGI app around moto's."""

    def __init__(self, app: WsgiApp, account: str, region: str) -> None:
        self._app = app
        self._account = account
        self._region = region

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Serve one request."""
        if _ACCOUNT in environ and environ.get("PATH_INFO", "").startswith("/moto-api"):
            # It wipes the data of all accounts, and records requests to files.
            length = str(len(_NOT_FOUND))
            start_response(
                "404 Not Found",
                [("Content-Type", "application/json"), ("Content-Length", length)],
            )
            return [_NOT_FOUND]
        head = _head(environ)
        service = service_of(head)
        environ.setdefault(_ACCOUNT, account_in(head) or self._account)
        host = environ.get("HTTP_HOST", "")
        if service == "s3":
            bucket = bucket_in(host)
            if bucket is not None:
                _put_into_path(environ, bucket)
        elif service is not None and "HTTP_AUTHORIZATION" not in environ:
            region = _REGION.search(host)
            named = f"{region[1] if region else self._region}/{service}"
            credential = f"{environ[_ACCOUNT]}/20260101/{named}/aws4_request"
            environ["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential={credential}, Signature=0"
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer


def _put_into_path(environ: Environ, bucket: str) -> None:
    environ["PATH_INFO"] = f"/{bucket}{environ.get('PATH_INFO', '')}"
    for name in ("RAW_URI", "REQUEST_URI"):
        if environ.get(name, "").startswith("/"):
            environ[name] = f"/{bucket}{environ[name]}"


def _head(environ: Environ) -> Head:
    names = {
        "HTTP_AUTHORIZATION": b"authorization",
        "HTTP_X_AMZ_TARGET": b"x-amz-target",
        "HTTP_HOST": b"host",
    }
    headers = {
        header: environ[name].encode("latin-1") for name, header in names.items() if name in environ
    }
    query = environ.get("QUERY_STRING", "").encode("latin-1")
    return Head(b"", b"", query, headers, 0, list(headers.items()))
