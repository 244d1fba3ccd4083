"""Tells the service manager that started the server how it is going.

sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names. Without one nothing is told.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"
_VARIABLE = "NOTIFY_SOCKET"
_ABSTRACT = "@"


class ServiceManager:
    """Whom to tell; takes the variable out of the environment, so that no child tells anything."""

    def __init__(self) -> None:
        address = os.environ.pop(_VARIABLE, "")
        self._address = f"\0{address[1:]}" if address.startswith(_ABSTRACT) else address

    def tell(self, state: str) -> None:
        """Send READY or STOPPING; a manager that does not listen is no error."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(state.encode(), self._address)
