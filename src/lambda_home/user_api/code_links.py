"""`Code.Location` of GetFunction: a signed link to the very ZIP, good for ten minutes as on AWS."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from lambda_home.clock import Clock

PATH = "/api/code/"
_LIFETIME_S = 600


class CodeLinks:
    """Makes and checks links; the key dies with the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def link(self, base_url: str, code_key: str) -> str:
        """A URL below `base_url` that serves the ZIP."""
        expires = int(self._clock.now()) + _LIFETIME_S
        signature = self._sign(code_key, expires)
        return f"{base_url}{PATH}{code_key}?Expires={expires}&Signature={signature}"

    def allows(self, code_key: str, expires: str, signature: str) -> bool:
        """Whether a link is one of ours and still good."""
        if not expires.isdigit() or int(expires) < self._clock.now():
            return False
        wanted = self._sign(code_key, int(expires)).encode()
        return hmac.compare_digest(wanted, signature.encode("utf-8", "replace"))

    def _sign(self, code_key: str, expires: int) -> str:
        return hmac.new(self._key, f"{code_key}:{expires}".encode(), hashlib.sha256).hexdigest()
