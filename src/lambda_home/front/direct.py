"""The front of the hot paths: invokes, function URLs and the path proxy, past ASGI."""

from __future__ import annotations

from lambda_home.access.gate import Gate
from lambda_home.direct_http import Body, FieldList, Head, Reply, Routes
from lambda_home.errors import ApiError
from lambda_home.front.targets import Target, target_of
from lambda_home.gateway.path_proxy import PathProxy
from lambda_home.user_api.invoke import Refused


class FrontRoutes:
    """Sends each request to who answers it; see `direct_http.Routes`.

    What none of the three takes goes on to ASGI, and meets the gate there.
    """

    def __init__(
        self,
        gate: Gate,
        invokes: Routes,
        urls: Routes,
        proxy: PathProxy,
        statuses: list[int] | None = None,
    ) -> None:
        """`statuses` counts answers by the first digit of their status."""
        self._gate = gate
        self._statuses = statuses
        self._invokes = invokes
        self._proxy = proxy
        self._others: dict[Target, Routes] = {Target.FUNCTION_URL: urls, Target.PROXY: proxy}

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request, or leave it to ASGI."""
        reply.statuses = self._statuses
        target = target_of(head)
        if target is Target.LAMBDA:
            return self._invokes.begin(head, self._for_pages(head, reply))
        other = self._others.get(target)
        if other is None:
            return None
        try:
            self._gate.look(head)
        except ApiError as error:
            if target is not Target.PROXY or not self._proxy.has_host(head):
                return Refused(error, head, reply)
        return other.begin(head, reply)

    def _for_pages(self, head: Head, reply: Reply) -> Reply:
        fields = self._gate.cors_headers(head)
        return ReplyWithFields(reply, fields) if fields else reply


class ReplyWithFields(Reply):
    """A reply whose answer gets further headers."""

    __slots__ = ("_lines", "_reply")

    def __init__(self, reply: Reply, fields: FieldList) -> None:
        self._reply = reply
        self._lines = b"".join(b"%b: %b\r\n" % field for field in fields)

    @property
    def data(self) -> bytes | None:
        """What was sent; None before."""
        return self._reply.data

    def send(self, data: bytes, *, close: bool = False) -> None:
        """Answer, with the headers after the status line."""
        status, end, rest = data.partition(b"\r\n")
        self._reply.send(status + end + self._lines + rest, close=close)
