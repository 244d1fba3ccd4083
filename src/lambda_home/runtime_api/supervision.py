"""What the supervisor of external extensions asks for and says; see `runtimes/supervisor.sh`.

Each call waits until there is an answer: 200 says to go on. Whoever runs in an environment may
call, and harms nobody else.

    POST /2020-01-01/lambda-home/supervisor/registered                  start the runtime
    POST /2020-01-01/lambda-home/supervisor/ending                      end the runtime
    POST /2020-01-01/lambda-home/supervisor/exit/INDEX/CODE             an extension has ended
    POST /2020-01-01/lambda-home/supervisor/exit/runtime/CODE           the runtime has ended
    POST /2020-01-01/lambda-home/supervisor/launch-error/INDEX/REASON   an extension cannot start
"""

from __future__ import annotations

from collections.abc import Callable

from lambda_home.direct_http import Body, Reply
from lambda_home.runtime_api.routes import Asking, Refusing, response
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extended import Extended

PREFIX = b"/2020-01-01/lambda-home/supervisor/"
_MOST_DIGITS = 3


def supervision(extended: Extended, environment: Environment, path: str, reply: Reply) -> Body:
    """Take a request of the supervisor: `path` is what follows the prefix."""
    asked = _asked(extended, environment, path.split("/"), reply)
    if asked is None or not environment.extensions.supervised:
        return Refusing(reply, 404, "Runtime.NotFound", "No such resource.")
    return Asking(asked)


def _asked(
    extended: Extended, environment: Environment, words: list[str], reply: Reply
) -> Callable[[], None] | None:
    def go_on() -> None:
        reply.send(response(200, b"{}"))

    match words:
        case ["registered"]:
            return lambda: extended.runtime_waits(environment, go_on)
        case ["ending"]:
            return lambda: environment.extensions.when_ending(go_on)
        case ["exit", "runtime", code] if _is_number(code):
            return lambda: extended.runtime_ended(environment, int(code))
        case ["exit", index, code] if _is_number(index) and _is_number(code):

            def ended() -> None:
                extended.extension_ended(environment, int(index), int(code))
                go_on()

            return ended
        case ["launch-error", index, reason] if _is_number(index):

            def not_started() -> None:
                extended.not_started(environment, int(index), reason)
                go_on()

            return not_started
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
