"""Who is calling: account and region from the request's signature, else the configured ones.

The signature itself is not verified yet. An access key id that is a 12-digit number is taken for
the account, as other emulators do; the region is that of the SigV4 credential scope.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import re

from lambda_home.arns import Scope

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([a-z0-9-]+)/[a-z0-9-]+/aws4_request")
_ACCOUNT = re.compile(r"\d{12}")
_REMEMBERED = 1024


class Callers:
    """Remembers the scopes it has read, as the same credentials come with every request."""

    def __init__(self, default: Scope) -> None:
        self._default = default
        self._known: dict[bytes, Scope] = {}

    def scope_of(self, authorization: bytes | None) -> Scope:
        """The scope that an Authorization header speaks for."""
        if not authorization:
            return self._default
        credential = authorization.partition(b"Credential=")[2].partition(b",")[0]
        found = self._known.get(credential)
        if found is None:
            found = self._read(credential)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[credential] = found
        return found

    def _read(self, credential: bytes) -> Scope:
        match = _CREDENTIAL.match("Credential=" + credential.decode("latin-1"))
        if match is None:
            return self._default
        key, region = match[1], match[2]
        account = key if _ACCOUNT.fullmatch(key) else self._default.account
        return Scope(account, region)
