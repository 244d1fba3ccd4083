"""Log events that come back: functions that log what they were told of logs; pure.

A function that is subscribed to its own log group, or to that of another one which is subscribed to
its, would be called for ever. Each delivery knows how many came before it on the way, by the
request ids of the lines in it; after 16, as many as Lambda lets a function call itself, lines are
delivered no more. AWS tells people to avoid such loops, and ends those of account-wide filters:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Subscriptions-recursion-prevention.html
"""

from __future__ import annotations

from typing import Final

from lambda_home.arns import FunctionRef
from lambda_home.logs.events import LiveEvent

MOST_DELIVERIES: Final = 16
_MOST_KNOWN: Final = 10_000
_USUAL_GROUP: Final = "/aws/lambda/"


class Loops:
    """Remembers which invocations deliveries caused; of very many the latest."""

    def __init__(self, most: int = _MOST_KNOWN) -> None:
        self._most = most
        self._deliveries: dict[str, int] = {}

    def before(self, event: LiveEvent) -> int:
        """How many deliveries led to this event."""
        return self._deliveries.get(event.request_id, 0) if event.request_id else 0

    def ends(self, event: LiveEvent, function: FunctionRef) -> bool:
        """Whether an event is not delivered to a function, since it went round often enough.

        What no request wrote in a function's own group tells of its environments: of one that each
        delivery may have started anew.
        """
        if not event.request_id:
            return event.scope == function.scope and event.group == _USUAL_GROUP + function.name
        return self.before(event) >= MOST_DELIVERIES

    def remember(self, request_id: str, deliveries: int) -> None:
        """A delivery, the so many-th on its way, is this invocation."""
        self._deliveries[request_id] = deliveries
        if len(self._deliveries) > self._most:
            self._deliveries.pop(next(iter(self._deliveries)))
