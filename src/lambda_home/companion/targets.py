"""Which AWS service a request is for; pure."""

from __future__ import annotations

from lambda_home.direct_http import Head

_SERVICE = 3  # of key/date/region/service/aws4_request


def service_of(head: Head) -> str | None:
    """The service that a request's signature names; None for one that names none."""
    authorization = head.headers.get(b"authorization", b"")
    parts = authorization.partition(b"Credential=")[2].partition(b",")[0].split(b"/")
    return parts[_SERVICE].decode("latin-1") if len(parts) > _SERVICE else None
