"""The front of the hot paths: invokes, function URLs and the path proxy, past ASGI."""

from __future__ import annotations

from lambda_home.access.gate import Gate
from lambda_home.direct_http import Body, Head, Reply, Routes
from lambda_home.errors import ApiError
from lambda_home.front.targets import Target, target_of
from lambda_home.user_api.invoke import Refused


class FrontRoutes:
    """Sends each request to who answers it; see `direct_http.Routes`.

    What none of the three takes goes on to ASGI, and meets the gate there.
    """

    def __init__(self, gate: Gate, invokes: Routes, urls: Routes, proxy: Routes) -> None:
        self._gate = gate
        self._invokes = invokes
        self._others = {Target.FUNCTION_URL: urls, Target.PROXY: proxy}

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request, or leave it to ASGI."""
        target = target_of(head)
        if target is Target.LAMBDA:
            return self._invokes.begin(head, reply)
        other = self._others.get(target)
        if other is None:
            return None
        try:
            self._gate.look(head)
        except ApiError as error:
            return Refused(error, reply)
        return other.begin(head, reply)
